"""Attribution as its user meets it, with real answers and a kernel that a test can hold and break.

kernel = FakeKernel()                       # the demo network looks at a cat
view = AttributionPage(kernel.open(static_page), kernel)
view.point(112, 112)                        # the mouse, in pixels of the picture, on the stage
view.values()                               # what every map says there
kernel.asked[-1]                            # the newest question

What the kernel answers is computed once by the Python widget and kept, so that no test changes what
another one sees.
"""

from __future__ import annotations

import functools
import json
from typing import Any

import hostile
from rows import Case
from static_page import StaticPage, WidgetKernel
from view import View
from watch import Watch

import nbcnnviz as nv
from nbcnnviz.widgets._codec import pack, unpack
from nbcnnviz.widgets.attribution import Attribution

SIZE = 224
METHODS = ("gradient", "guided_backprop", "gradcam")
LAYER = "bn2.act"
LONG = {"attribute", "evidence", "patches"}
IMAGES = ("cat", "coffee", "rocket", "flower")


@functools.cache
def the_widget() -> Any:
    """One for all tests: its answers depend on the questions alone."""
    images = [nv.sample_image(name) for name in IMAGES]
    image = nv.sample_image("cat")
    return Attribution(nv.Network.demo(), image, METHODS, images=images, name="cat")


@functools.cache
def _kernel() -> WidgetKernel:
    return WidgetKernel(the_widget())


@functools.cache
def _answer(lane: str, args: str) -> tuple[str, str, bytes | None]:
    """Status, message and blob of the last reply."""
    epoch = the_widget()._epoch
    ask = {"type": "ask", "view": "cache", "epoch": epoch, "seq": _turn(), "lane": lane}
    sent = _kernel()({**ask, "args": json.loads(args)})
    replies = [each for each in sent if each[0]["type"] == "reply"]
    content, blob = replies[-1]
    return content["status"], content.get("message", ""), blob


_turns = iter(range(1, 1 << 30))


def _turn() -> int:
    return next(_turns)


@functools.cache
def first_traits() -> dict[str, Any]:
    """The traits of the widget as it was made."""
    widget = the_widget()
    traits = {name: getattr(widget, name) for name in type(widget)._synced()}
    meta, arrays = unpack(widget._images)
    whole = {"picture": widget._inputs.pictures[0]}
    return {**traits, "_epoch": "e1", "_images": pack(meta, {**arrays, **whole})}


class FakeKernel:
    """Answers as docs/base.md says, with what the widget in Python says."""

    def __init__(self) -> None:
        first_traits()
        self.asked: list[dict[str, Any]] = []
        self.held: set[str] = set()
        """Lanes whose questions are acknowledged and not answered."""
        self.broken: dict[str, str] = {}
        """Lanes that fail, with the message."""
        self.given: dict[str, bytes] = {}
        """Answers of lanes, instead of the real ones."""
        self._running: dict[str, Any] | None = None

    def open(self, static_page: Any, saved: bool = False, **options: Any) -> StaticPage:
        """A page of its own; `saved`: one without any kernel."""
        traits = {**first_traits(), **options.pop("traits", {})}
        return static_page.scripted("attribution", traits, None if saved else self, **options)

    def __call__(self, message: dict[str, Any], blob: bytes | None = None) -> list[Any]:
        kind = message["type"]
        if kind == "hello":
            return [({"type": "hello", "view": message["view"], "epoch": "e1"}, None)]
        if kind == "stop":
            return self._stop()
        return self._answer(message) if kind == "ask" else []

    def _answer(self, message: dict[str, Any]) -> list[Any]:
        lane, args = message["lane"], message["args"]
        self.asked.append({"lane": lane, **args})
        about = {key: message[key] for key in ("view", "epoch", "seq", "lane")}
        about["all"] = lane in LONG
        ack = ({"type": "ack", **about}, None)
        reply = {"type": "reply", **about, "status": "error", "ms": 12, "message": ""}
        if lane in self.broken:
            return [ack, ({**reply, "message": self.broken[lane]}, None)]
        if lane in self.held:
            self._running = about
            progress = {"type": "progress", **about, "done": 30, "total": 140, "left": 3.2}
            return [ack, (progress, None)]
        if lane in self.given:
            return [ack, ({**reply, "status": "ok"}, self.given[lane])]
        status, words, blob = _answer(lane, json.dumps(args, sort_keys=True))
        return [ack, ({**reply, "status": status, "message": words}, blob)]

    def _stop(self) -> list[Any]:
        about, self._running = self._running, None
        if about is None:
            return []
        reply = {"type": "reply", **about, "status": "cancelled", "ms": 40, "message": ""}
        return [(reply, None)]

    def count(self, lane: str = "attribute") -> int:
        return sum(each["lane"] == lane for each in self.asked)


class AttributionPage(View):
    """One Attribution on a page, painted and idle (or `state`)."""

    def __init__(
        self, page: Watch, kernel: Any = None, state: str | None = "idle", index: int = 0
    ) -> None:
        self.page, self.kernel = page, kernel
        self.root = page.page.locator(".nbcnnviz[data-widget=attribution]").nth(index)
        self.stage = self.root.locator("canvas[data-role=stage]")
        self.tiles = self.root.locator(".at-tile")
        self.status = self.root.locator("[role=status]")
        self.headline = self.root.locator("[data-role=target]")
        self.terms = self.root.locator("[data-role=terms]")
        self.methods = self.root.locator("[data-role=methods]")
        self.stage.wait_for()
        page.painted(self.stage)
        if state is not None:
            self.wait(state)
            if not page.errors:
                self.fresh()

    def fresh(self) -> None:
        """Wait until every map answers the question."""
        stale = self.root.locator(".at-tile[data-stale]")
        self.page.until(lambda: stale.count() == 0, "every map answers the question")

    def canvas(self, method: str) -> Any:
        return self.root.locator(f"canvas[data-method='{method}']")

    def tile(self, method: str) -> Any:
        return self.tiles.filter(has=self.page.page.locator(f"[data-method='{method}']"))

    def explain(self, label: str, typed: str) -> None:
        field = self.root.get_by_role("combobox", name=label, exact=True)
        field.fill(typed)
        field.press("Enter")

    def point(
        self, x: float, y: float, canvas: Any = None, size: tuple[int, int] = (SIZE, SIZE)
    ) -> None:
        """The mouse on a pixel of the picture (or a cell of a map): in its middle."""
        self.page.page.mouse.move(*self.at(x, y, canvas, size))

    def click(self, x: float, y: float, canvas: Any, size: tuple[int, int] = (SIZE, SIZE)) -> None:
        self.page.page.mouse.click(*self.at(x, y, canvas, size))

    def at(self, x: float, y: float, canvas: Any, size: tuple[int, int]) -> tuple[float, float]:
        canvas = canvas or self.stage
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        assert box is not None
        height, width = size
        return (
            box["x"] + (x + 0.5) / width * box["width"],
            box["y"] + (y + 0.5) / height * box["height"],
        )

    def values(self) -> list[str]:
        """What every map says where the cursor is."""
        return self.root.locator("[data-role=value]").all_inner_texts()


class AttributionCase(Case):
    """Attribution of the digits network, where classes are chosen."""

    stem = "attribution"
    make = "nv.Attribution(net, digit)"
    write, read = "target", "target.name"
    values = ("8", "5")
    use = """
      const kind = round % 8, turn = round >> 3;
      if (kind === 0) root.querySelectorAll("[data-role=scores] button")[turn % 3].click();
      if (kind === 1) slide("threshold", 20 + (turn * 7) % 80);
      if (kind === 2) point((turn % 10) / 10, 0.3);
      if (kind === 3) pick("colours", ["auto", "magma", "gray"][turn % 3]);
      if (kind === 4) pick("unit", ["max", "class", "total"][turn % 3]);
      if (kind === 5) slide("opacity", (turn * 13) % 100);
      if (kind === 6) pick("values", ["signed", "abs", "positive"][turn % 3]);
      if (kind === 7) point(0.5, (turn % 10) / 10);
    """

    def widget(self) -> Attribution:
        return Attribution(nv.Network.digits(), nv.sample_image("digit"))

    def view(self, page: Watch, index: int = 0, state: str = "idle") -> AttributionPage:
        return AttributionPage(page, None, state, index)

    def shown(self, view: AttributionPage) -> list[Any]:
        maps = view.root.locator("canvas[data-method]")
        ends = "all => all.map(({ dataset }) => [dataset.method, dataset.min, dataset.max])"
        return [view.headline.inner_text(), *maps.evaluate_all(ends)]

    def choose(self, view: AttributionPage, value: str) -> None:
        view.explain("explain", value)
        view.page.until(lambda: view.root.get_attribute("data-target") == value)
        view.fresh()

    def look(self, view: AttributionPage) -> None:
        view.root.get_by_role("checkbox", name="overlay").click()

    def point(self, view: AttributionPage) -> str:
        view.point(40, 30, size=(100, 100))
        view.page.until(lambda: "Saliency (gradient) " in view.status.inner_text())
        assert all(view.values())
        return view.status.inner_text()

    def beyond(self, view: AttributionPage) -> None:
        view.explain("explain", "8")
        view.page.until(lambda: "not saved in this file" in view.status.inner_text())
        assert "not computed" in view.headline.inner_text()
        view.explain("explain", "predicted class")
        view.fresh()

    def hostile(self, net: nv.Network) -> Attribution:
        methods = ("gradient", "gradcam", "cam")
        return Attribution(net, hostile.picture(), methods, name=hostile.STRINGS[1])

    def walk(self, view: AttributionPage, widget: Attribution) -> None:
        page = view.page
        best = [p.label for p in widget._inputs.predictions[0]]
        labels = view.root.locator("[data-role=scores] [data-class] > :first-child")
        assert labels.all_text_contents() == best
        buttons = view.root.locator("[data-role=scores] button")
        names = buttons.evaluate_all("all => all.map((el) => el.getAttribute('aria-label'))")
        assert names == [f"explain {label}" for label in best]
        picture = view.root.locator("[data-role=picture]")
        assert picture.get_attribute("aria-label").startswith(hostile.STRINGS[1])
        # Classes: from the list, in the headline, and two of them.
        for label, button in zip(best, buttons.all(), strict=True):
            button.click()
            page.until(lambda n=label: view.root.get_attribute("data-target") == n, repr(label))
            assert view.headline.text_content().startswith(label)
        view.button("+ class").click()
        view.explain("minus", hostile.STRINGS[3])
        page.until(lambda: hostile.STRINGS[3] in (view.root.get_attribute("data-target") or ""))
        options = view.root.locator("datalist").nth(1).locator("option")
        offered = options.evaluate_all("all => all.map((option) => option.value)")
        assert hostile.STRINGS[3] in offered
        # Layers: in the list, chosen, and in what is said of a method.
        picker = view.root.get_by_role("combobox", name="Layer", exact=True)
        picker.click()
        names = view.root.locator("[role=option] .nbc-opt-name")
        page.until(lambda: names.count() > len(hostile.LAYERS))
        assert {f"layers.{name}" for name in hostile.LAYERS} <= set(names.all_text_contents())
        view.press("Escape")
        # Those with a slash have a test of their own, in test_attribution.py.
        for name in [name for name in hostile.LAYERS if "/" not in name][1::4]:
            page.set(layer=f"layers.{name}")
            said = f"Maps of layers.{name}."
            page.until(lambda s=said: s in view.tile("gradcam").text_content(), said)
        # Errors of one question are a line, those of one method stand in its place.
        for channel, string in enumerate(hostile.STRINGS[:8], 1):
            widget.net.model.gate.message = string
            view.root.get_by_role("spinbutton", name="channel").fill(str(channel % 3))
            view.press("Enter")
            page.until(lambda s=string: s in view.root.locator(".nbc-error").text_content(), string)
        widget.net.model.gate.message = None
