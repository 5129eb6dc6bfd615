"""What every widget promises alike, row by row of the scorecard, and what a test must know of one.

A widget takes part with an entry in CASES of test_rows.py: a `Case` of its own, in the file of its
page. Its tests then cover Notebook 7, two views, a restart, a saved notebook, nbconvert, a page of
its own, names that attack, and long use.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, ClassVar

from watch import Watch

SETUP = """
import nbcnnviz as nv
net = nv.Network.digits()
digit = nv.sample_image("digit")
"""

_CLOSE = """(index) => {
  const { content } = window.jupyterapp.shell.currentWidget;
  content.widgets[index].model.clearExecution();
}"""

_CELLS = """() => {
  const { content } = window.jupyterapp.shell.currentWidget;
  return [content.activeCellIndex, content.widgets.length];
}"""

_AGAIN = """async (times) => {
  const address = document.querySelector("link[rel=stylesheet]").href.replace(".css", ".js");
  const module = await import(address);
  const page = await (await fetch(location.pathname.replace(".html", ".json"))).json();
  const here = document.getElementById("here");
  const respond = async (message, answer) => {
    for (const [content, blob] of await window.kernel(message))
      answer(content, blob && Uint8Array.from(atob(blob), (c) => c.charCodeAt(0)));
  };
  for (let i = 0; i < times; i += 1) {
    window.running.end();
    window.running = await nbcnnviz.start(here, page, module, respond);
    for (let f = 0; f < 4; f += 1) await new Promise((go) => requestAnimationFrame(go));
    document.querySelector(".nbcnnviz [tabindex='0'], .nbcnnviz input").focus();
    for (let f = 0; f < 8; f += 1) await new Promise((go) => requestAnimationFrame(go));
  }
}"""

# What the scripts `Case.use` find at hand: `model`, `root`, `stage`, `frame()`, `idle()`,
# `button(name)`, `slide(label, value)`, `pick(label, value)`, `point(x, y)` in shares of the stage.
_USE = """async (rounds) => {
  const { model } = window.running;
  const root = document.querySelector(".nbcnnviz");
  const stage = () => root.querySelector("canvas[data-role=stage]");
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  const idle = async () => {
    for (let i = 0; i < 3 || root.dataset.state !== "idle"; i += 1) await frame();
  };
  const name = (each) => each.getAttribute("aria-label")
    ?? (each.labels?.[0]?.querySelector("span") ?? each).textContent.trim();
  const named = (kind, wanted) =>
    [...root.querySelectorAll(kind)].find((each) => name(each) === wanted);
  const button = (label) => named("button", label).click();
  const give = (kind, event) => (label, value) => {
    const input = named(kind, label);
    input.value = value;
    input.dispatchEvent(new Event(event, { bubbles: true }));
  };
  const slide = give("input[type=range]", "input"), pick = give("select", "change");
  const point = (x, y) => {
    const box = stage().getBoundingClientRect();
    stage().dispatchEvent(new PointerEvent("pointermove", { bubbles: true,
      clientX: box.x + x * box.width, clientY: box.y + y * box.height }));
  };
  const use = async (round) => { %s };
  for (let round = 0; round < rounds; round += 1) {
    await use(round);
    // Several a frame, as from a mouse or a slider; now and then all are done.
    if (round %% 10 === 9) await idle();
    else if (round %% 2) await frame();
  }
  for (let i = 0; i < 10; i += 1) await idle();
}"""


class Case:
    """One widget in the tests that are the same for all: how to make, drive and read it.

    A view is what `view()` gives: it has `root`, `stage`, `page` and `wait(state)`.
    """

    stem = ""
    """Of the widget's files."""
    make = ""
    """The expression that makes a small one in a notebook, after `SETUP`."""
    finish = False
    """There is nothing to see before `compute()`."""
    write = ""
    """The attribute of the widget that `choose` sets."""
    read = ""
    """Where Python has what `choose` gave: an expression after "w."."""
    values: tuple[Any, Any] = (None, None)
    """Two values to choose, neither of them the first one; each needs the kernel."""
    export: ClassVar[dict[str, Any]] = {}
    """Options of `save_html`."""
    use = ""
    """One round of a long use in JavaScript, by the number `round`; see `_USE`."""
    questions = 100
    """How many questions a thousand rounds ask at the least."""

    def widget(self) -> Any:
        """A small one in this process."""
        raise NotImplementedError

    def view(self, page: Watch, index: int = 0, state: str = "idle") -> Any:
        """The nth one on a page, painted and in this state."""
        raise NotImplementedError

    def shown(self, view: Any) -> Any:
        """What it says of what all views share; two that are equal show the same."""
        raise NotImplementedError

    def choose(self, view: Any, value: Any) -> None:
        """Choose a value of `values` by the page."""
        raise NotImplementedError

    def look(self, view: Any) -> None:
        """Change the stage in a way that concerns this view alone and needs no kernel."""
        raise NotImplementedError

    def point(self, view: Any) -> str:
        """Put the mouse on the stage; what it says of the place."""
        raise NotImplementedError

    def beyond(self, view: Any) -> None:
        """Ask a saved page for what it does not hold."""
        raise NotImplementedError

    def keys(self, view: Any) -> Any:
        """What takes the arrow keys."""
        return view.stage

    def says(self, view: Any) -> str:
        """What changes when the arrow keys lead on."""
        return str(view.status.inner_text())

    def hostile(self, net: Any) -> Any:
        """A widget over `hostile.network()`; what else has a name attacks too."""
        raise NotImplementedError

    def walk(self, view: Any, widget: Any) -> None:
        """Look at all places of a hostile widget where names and errors are; each is as written."""
        raise NotImplementedError

    # -- the same for all -------------------------------------------------------------------------

    def open(self, page: Watch, state: str = "idle") -> Any:
        """The view of a notebook's or a page's one widget of this kind."""
        view = self.view(page, 0, state)
        assert page.page.locator(f".nbcnnviz[data-widget={self.stem}]").count() == 1
        return view

    def chosen(self, nb: Any, view: Any, value: Any) -> None:
        """Choose by the page, and wait until Python knows and the answer is shown."""
        before = self.shown(view)
        self.choose(view, value)
        nb.until(lambda: nb.value(f"w.{self.read}") == value, f"Python has {value!r}")
        nb.until(lambda: self.shown(view) != before, "the answer is shown")
        view.wait("idle")

    def told(self, nb: Any, view: Any, value: Any) -> None:
        """Choose in Python, and wait until the page shows it."""
        before = self.shown(view)
        nb.execute(f"w.{self.write} = {value!r}")
        nb.until(lambda: self.shown(view) != before, "what Python chooses is shown")
        view.wait("idle")

    def looks(self, view: Any) -> None:
        """Change the look, and wait until it has changed."""
        changes(view, lambda: self.look(view))

    def round(self) -> str:
        """A function (rounds) in JavaScript: the long use."""
        return _USE % self.use


def changes(view: Any, what: Callable[[], None]) -> None:
    """Do something that another picture comes of, and wait for it."""
    before = view.page.pixels(view.root)
    what()
    view.page.until(lambda: view.page.pixels(view.root) != before, "the picture changes")


def settled(view: Any) -> str:
    """The hash of the stage, once it has not changed for a while; without the mouse over it."""
    page = view.page
    page.page.mouse.move(1, 1)
    found = [page.pixels(view.root)]

    def still() -> bool:
        page.page.wait_for_timeout(150)
        found.append(page.pixels(view.root))
        return found[-1] == found[-2]

    page.until(still, "the picture stays")
    return found[-1]


def close_output(nb: Any, index: int) -> None:
    """Take the outputs of a cell away."""
    nb.page.evaluate(_CLOSE, index)


def cells(nb: Any) -> list[int]:
    """The number of the chosen cell and how many there are."""
    return list(nb.page.evaluate(_CELLS))


def again(page: Any, times: int) -> None:
    """On a static page: end the view and begin another one, so many times."""
    page.page.evaluate(_AGAIN, times)


def nowhere(page: Any) -> list[str]:
    """Load a page once more without a network; gives the list of what it asks the network for."""
    asked: list[str] = []

    def note(request: Any) -> None:
        if not re.match(r"(file|blob|data):", request.url):
            asked.append(request.url)

    page.page.on("request", note)
    page.page.context.set_offline(True)
    page.page.reload()
    return asked
