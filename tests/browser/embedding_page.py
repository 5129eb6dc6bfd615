"""Embedding as its user meets it, with real answers and a kernel that a test can hold and break.

kernel = FakeKernel()                       # 400 digits, by PCA of a layer
view = EmbeddingPage(kernel.open(static_page), kernel)
view.hover(17)                              # the mouse on a point
view.lasso([(0.2, 0.2), (0.8, 0.2), (0.5, 0.9)])   # in shares of the stage
view.polygon()                              # what it was, in the data's own measure
kernel.asked[-1]                            # the newest question
view.send("embed", blob, "partial")         # the kernel tells something on its own

What the kernel answers comes from a Python widget; maps that a test makes up are `made_up`.
"""

from __future__ import annotations

import base64
import functools
import json
from typing import Any

import hostile
import numpy as np
from PIL import Image
from rows import Case
from sklearn.datasets import load_digits
from static_page import StaticPage, WidgetKernel
from view import View
from watch import Watch

import nbcnnviz as nv
from nbcnnviz.widgets._codec import pack, unpack
from nbcnnviz.widgets._embedding_record import coded, decoded

COUNT = 400
LAYER = "gap"
LONG = {"embed", "lapse", "maps"}
WAIT = 60

# WebGL contexts that live, counted from before the widget's code runs.
COUNT_CONTEXTS = """(() => {
  const own = HTMLCanvasElement.prototype.getContext;
  window.contexts = [];
  HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
    const found = own.call(this, kind, ...more);
    if (/^webgl/.test(kind) && found && !window.contexts.includes(found))
      window.contexts.push(found);
    return found;
  };
  window.living = () => window.contexts.filter((gl) => !gl.isContextLost()).length;
})()"""
NO_WEBGL = """(() => {
  const own = HTMLCanvasElement.prototype.getContext;
  HTMLCanvasElement.prototype.getContext = function (kind, ...more) {
    return /^webgl/.test(kind) ? null : own.call(this, kind, ...more);
  };
})()"""

_SEND = """([content, blob]) => {
  const bytes = blob && Uint8Array.from(atob(blob), (letter) => letter.charCodeAt(0));
  window.running.model.receive(content, bytes);
}"""

_SET = """([name, blob]) => {
  const bytes = Uint8Array.from(atob(blob), (letter) => letter.charCodeAt(0));
  window.running.model.set(name, new DataView(bytes.buffer));
}"""


def digit_pictures(count: int = COUNT) -> tuple[list[Image.Image], list[int]]:
    """Some of scikit-learn's digits, with what they are."""
    data = load_digits()
    pictures = (data.images[:count] * 255 / 16).astype(np.uint8)
    return [Image.fromarray(each) for each in pictures], data.target[:count].tolist()


@functools.cache
def the_widget() -> Any:
    """One for all tests."""
    pictures, labels = digit_pictures()
    widget = nv.Embedding(nv.Network.digits(), pictures, labels, LAYER)
    assert widget.quality is not None
    settle(widget)
    return widget


def settle(widget: Any) -> None:
    """Wait until neither worker has anything to do."""
    for worker in (widget._endpoint.worker_of("embed"), widget._endpoint.worker):
        assert worker.join(WAIT)


@functools.cache
def first_traits() -> dict[str, Any]:
    """The traits of the widget as it was made."""
    widget = the_widget()
    return {name: getattr(widget, name) for name in type(widget)._synced()}


def decoded_map(blob: bytes) -> np.ndarray:
    """The coordinates as a page computes them."""
    _, arrays = unpack(blob)
    return decoded(arrays["xy"], arrays["range"])


def made_up(xy: np.ndarray, run: int = 90, **meta: Any) -> bytes:
    """A map that a test makes up."""
    about = {
        "run": run,
        "layer": LAYER,
        "method": "tsne",
        "iteration": 0,
        "total": 0,
        "kl": None,
        "complete": True,
        "explained": None,
        "quality": None,
        "notes": [],
        "sample": False,
        "seconds": 1.0,
    }
    codes, span = coded(np.asarray(xy, float))
    return pack({**about, **meta}, {"xy": codes, "range": span})


def made_up_points(
    count: int, classes: int = 10, index: np.ndarray | None = None, **meta: Any
) -> bytes:
    """Points of a few classes, and a number."""
    codes = (np.arange(count) % classes).astype(np.uint16)
    numbers = np.linspace(0, 1, count, dtype=np.float32)
    values = [f"class {k}" for k in range(classes)]
    columns = [
        {"key": "label", "title": "label", "kind": "category", "values": values},
        {"key": "colours:n", "title": "n", "kind": "number", "lo": 0.0, "hi": 1.0},
    ]
    about: dict[str, Any] = {
        "total": count,
        "sample": index is not None,
        "names": None,
        "columns": columns,
        "default": "label",
        "unread": 0,
        "layer_choices": "none",
        "error": None,
        "given": True,
    }
    arrays = {"c_0": codes, "c_1": numbers}
    if index is not None:
        arrays = {name: each[index] for name, each in arrays.items()}
        arrays["index"] = index.astype(np.int32)
    return pack({**about, **meta}, arrays)


def plain_traits(**more: Any) -> dict[str, Any]:
    """The traits of an Embedding without network and pictures."""
    return {
        "theme": "auto",
        "_about": {"network": "", "assumptions": [], "repr": ""},
        "layer": "",
        "_layers": [],
        "method": "given",
        "perplexity": 30.0,
        "iterations": 750,
        "colour_by": "",
        "_points": b"",
        "_map": b"",
        "_selection": b"",
        "_thumbs": b"",
        "_lapse": b"",
        "_epoch": "e1",
        **more,
    }


class FakeKernel:
    """Answers as docs/base.md says, with what the widget in Python says."""

    def __init__(self, widget: Any = None) -> None:
        self.widget = widget or the_widget()
        first_traits()
        self.widget.selection = []
        self.asked: list[dict[str, Any]] = []
        self.held: set[str] = set()
        """Lanes whose questions are acknowledged and not answered."""
        self.broken: dict[str, str] = {}
        """Lanes that fail, with the message."""
        self.given: dict[str, Any] = {}
        """Answers of lanes, instead of the real ones: blobs, or functions of the question."""
        self._real = WidgetKernel(self.widget)
        self._running: dict[str, Any] | None = None

    def open(
        self, static_page: Any, saved: bool = False, before: str | None = None, **options: Any
    ) -> StaticPage:
        """A page of its own; `saved`: one without any kernel; `before`: a script to run first."""
        traits = {**first_traits(), **options.pop("traits", {})}
        traits["_epoch"] = self.widget._epoch
        kernel = None if saved else self
        page: StaticPage = static_page.scripted("embedding", traits, kernel, **options)
        if before is not None:
            page.page.add_init_script(before)
            page.page.reload()
        return page

    def __call__(self, message: dict[str, Any], blob: bytes | None = None) -> list[Any]:
        kind = message["type"]
        if kind == "ask":
            return self._answer(message, blob)
        if kind == "stop":
            return self._stop()
        return self._real(message) if kind == "hello" else []

    def _answer(self, message: dict[str, Any], blob: bytes | None) -> list[Any]:
        lane, args = message["lane"], message["args"]
        arrays = {} if blob is None else unpack(blob)[1]
        self.asked.append({"lane": lane, **args, **arrays})
        about = {key: message[key] for key in ("view", "epoch", "seq", "lane")}
        about["all"] = lane in LONG
        ack = ({"type": "ack", **about, "waits": ""}, None)
        reply = {"type": "reply", **about, "status": "error", "ms": 12, "message": ""}
        if lane in self.broken:
            return [ack, ({**reply, "message": self.broken[lane]}, None)]
        if lane in self.held:
            self._running = about
            progress = {"type": "progress", **about, "done": 200, "total": 750, "left": 3.2}
            return [ack, (progress, None)]
        if lane in self.given:
            given = self.given[lane]
            made = given(self.asked[-1]) if callable(given) else given
            return [ack, ({**reply, "status": "ok"}, made)]
        sent: list[Any] = self._real(message, blob)
        settle(self.widget)
        more, self._real._sent = self._real._sent, []
        return [*sent, *more]

    def _stop(self) -> list[Any]:
        about, self._running = self._running, None
        if about is None:
            return []
        reply = {"type": "reply", **about, "status": "cancelled", "ms": 40, "message": ""}
        return [(reply, None)]

    def count(self, lane: str) -> int:
        return sum(each["lane"] == lane for each in self.asked)


class EmbeddingPage(View):
    """One Embedding on a page, painted and idle (or `state`)."""

    mode = "RGBA"

    def __init__(
        self, page: Any, kernel: Any = None, state: str | None = "idle", index: int = 0
    ) -> None:
        self.page, self.kernel = page, kernel
        self.near = False
        """Whether a test has zoomed."""
        self.root = page.page.locator(".nbcnnviz[data-widget=embedding]").nth(index)
        self.stage = self.root.locator("canvas[data-role=stage]")
        self.top = self.root.locator(".em-over")
        self.status = self.root.locator("[role=status]")
        self.card = self.root.locator("[data-role=card]")
        self.legend = self.root.locator("[data-role=legend]")
        self.montage = self.root.locator("[data-role=montage]")
        self.quality = self.root.locator("[data-role=quality]")
        self.stage.wait_for()
        self.stage.scroll_into_view_if_needed()
        if state is not None:
            self.wait(state)
            page.painted(self.stage)

    def data(self, name: str) -> str | None:
        return self.root.get_attribute(f"data-{name}")

    def until_data(self, **wanted: Any) -> None:
        for name, value in wanted.items():
            self.page.until(
                lambda name=name, value=value: self.data(name) == str(value), f"{name} is {value}"
            )

    def map(self) -> np.ndarray:
        """(N, 2): the trait `_map` as the page has it."""
        text = self.page.page.evaluate(
            """() => {
              const view = window.running.model.get("_map");
              const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
              return btoa(Array.from(bytes, (b) => String.fromCharCode(b)).join(""));
            }"""
        )
        return decoded_map(base64.b64decode(text))

    def at(self, x: float, y: float) -> tuple[float, float]:
        """A place of the stage, in shares of it, as one of the page."""
        box = self.top.bounding_box()
        assert box is not None
        return box["x"] + x * box["width"], box["y"] + y * box["height"]

    def place(self, xy: np.ndarray, index: int) -> tuple[float, float]:
        """Where a point lies on the page, with nothing moved or zoomed."""
        low, high = np.nanmin(xy, 0), np.nanmax(xy, 0)
        half, centre = (high - low).max() / 2, (low + high) / 2
        box = self.top.bounding_box()
        assert box is not None
        scale = 0.94 * min(np.floor(box["width"]), np.floor(box["height"])) / 2
        u, v = (xy[index] - centre) / half * scale
        return box["x"] + np.floor(box["width"]) / 2 + u, box["y"] + np.floor(box["height"]) / 2 - v

    def hover(self, index: int, xy: np.ndarray | None = None) -> None:
        self.page.page.mouse.move(*self.place(self.map() if xy is None else xy, index))

    def hover_anything(self) -> None:
        """The mouse over the map until a point answers."""
        for step in range(1, 60):
            self.page.page.mouse.move(*self.at(0.2 + 0.01 * step, 0.5), steps=2)
            if self.card.is_visible():
                return
        raise AssertionError("no point answers the pointer")

    def tool(self, name: str) -> None:
        self.root.get_by_role("button", name=name, exact=True).click()

    def lasso(self, corners: list[tuple[float, float]], key: str | None = None) -> None:
        """Draw around a place; a key may be held."""
        self.tool("lasso")
        self.drag(corners, key)

    def drag(self, corners: list[tuple[float, float]], key: str | None = None) -> None:
        mouse, keyboard = self.page.page.mouse, self.page.page.keyboard
        if key is not None:
            keyboard.down(key)
        mouse.move(*self.at(*corners[0]))
        mouse.down()
        for x, y in corners[1:]:
            mouse.move(*self.at(x, y), steps=8)
        mouse.up()
        if key is not None:
            keyboard.up(key)

    def polygon(self) -> np.ndarray:
        """(K, 2): the outline of the last lasso, in the data's own measure."""
        text = self.stage.get_attribute("data-polygon")
        assert text is not None
        return np.array(json.loads(text))

    def send(self, lane: str, blob: bytes | None, status: str = "partial", seq: int = 1) -> None:
        """The kernel tells all views something of its own work."""
        content = {
            "type": "reply",
            "view": "",
            "epoch": self.page.trait("_epoch"),
            "seq": seq,
            "lane": lane,
            "all": True,
            "status": status,
            "ms": 10,
            "message": "",
        }
        text = None if blob is None else base64.b64encode(blob).decode()
        self.page.page.evaluate(_SEND, [content, text])

    def living(self) -> int:
        """WebGL contexts that are alive; the page was opened with COUNT_CONTEXTS."""
        return int(self.page.page.evaluate("() => window.living()"))


class EmbeddingCase(Case):
    """Embedding of a picture that is shifted, where layers are chosen."""

    stem = "embedding"
    make = (
        "nv.Embedding(net, [net.prepare(digit)[0].roll((k // 16, k % 16), (1, 2)) "
        "for k in range(96)], ['even', 'odd'] * 48, perplexity=4)"
    )
    write = read = "layer"
    values = ("conv1", "pool2")
    questions = 60
    use = """
      const kind = round % 8, turn = round >> 3;
      const map = root.querySelector(".em-over");
      const box = map.getBoundingClientRect();
      const move = (x, y) => map.dispatchEvent(new PointerEvent("pointermove", { bubbles: true,
        clientX: box.x + x * box.width, clientY: box.y + y * box.height }));
      const press = (key) =>
        map.dispatchEvent(new KeyboardEvent("keydown", { bubbles: true, key }));
      if (kind === 0) model.set("layer", ["conv1", "conv2", "pool2"][turn % 3]);
      if (kind === 1) for (let x = 0.1; x < 0.9; x += 0.04) move(x, (turn % 10) / 10);
      if (kind === 2) pick("colour by", ["label", "prediction", "confidence"][turn % 3]);
      if (kind === 3) press(["+", "-", "0", "]", "["][turn % 5]);
      if (kind === 4) { press("]"); press("s"); }
      if (kind === 5) button(["lasso", "box", "pan"][turn % 3]);
      if (kind === 6) slide("perplexity", 2 + turn % 3);
      if (kind === 7) press("Escape");
    """

    def widget(self) -> nv.Embedding:
        net, digit = nv.Network.digits(), nv.sample_image("digit")
        widget: nv.Embedding = eval(self.make, {"nv": nv, "net": net, "digit": digit})
        assert widget.quality is not None
        return widget

    def view(self, page: Watch, index: int = 0, state: str = "idle") -> EmbeddingPage:
        view = EmbeddingPage(page, None, state, index)
        page.until(lambda: view.data("points") not in (None, "0"), "there are points")
        return view

    def shown(self, view: EmbeddingPage) -> list[str]:
        of = view.root.get_by_role("region", name="the map")
        return [self._picker(view).input_value(), of.inner_text(), view.legend.inner_text()]

    def choose(self, view: EmbeddingPage, value: str) -> None:
        self._picker(view).fill(value)
        view.press("Enter")
        view.page.until(lambda: f"of {value}" in self.shown(view)[1], f"the map of {value}")

    def look(self, view: EmbeddingPage) -> None:
        view.top.focus()
        view.press("0" if view.near else "+")
        view.near = not view.near

    def point(self, view: EmbeddingPage) -> str:
        view.top.focus()
        view.press("]")
        view.page.until(view.card.is_visible)
        said: str = view.card.inner_text()
        view.press("Escape")
        return said

    def keys(self, view: EmbeddingPage) -> Any:
        return view.top

    def says(self, view: EmbeddingPage) -> str:
        return view.page.pixels(view.root)

    def beyond(self, view: EmbeddingPage) -> None:
        view.choose("method", "tsne")
        view.button("Run").click()
        view.page.until(lambda: "not saved in this file" in view.status.inner_text())
        view.choose("method", "pca")

    def hostile(self, net: nv.Network) -> nv.Embedding:
        count = len(hostile.STRINGS)
        pictures = [hostile.picture().roll(k % 16, 2).roll(k // 16, 1) for k in range(count)]
        layer = f"layers.{hostile.LAYERS[1]}"
        names = hostile.STRINGS[::-1]
        return nv.Embedding(
            net, pictures, hostile.STRINGS, layer, names=names, colours={hostile.STRINGS[2]: names}
        )

    def walk(self, view: EmbeddingPage, widget: nv.Embedding) -> None:
        page = view.page
        rows = view.legend.locator("[data-value]")
        page.until(lambda: rows.count() == len(hostile.STRINGS))
        values = rows.evaluate_all("all => all.map((row) => row.dataset.value)")
        assert sorted(values) == sorted(hostile.STRINGS)
        picker = self._picker(view)
        picker.click()
        names = view.root.locator("[role=option] .nbc-opt-name")
        page.until(lambda: names.count() > len(hostile.LAYERS))
        assert {f"layers.{name}" for name in hostile.LAYERS} <= set(names.all_text_contents())
        view.press("Escape")
        view.top.focus()
        for index in range(8):
            view.press("]")
            said = hostile.STRINGS[::-1][index]
            page.until(lambda s=said: s in view.card.text_content(), repr(said))
        view.press("Escape")
        choices = view.root.get_by_role("combobox", name="colour by").locator("option")
        assert hostile.STRINGS[2] in choices.all_text_contents()
        alert = view.root.locator(".nbc-error")
        for layer, string in zip(hostile.LAYERS[2:10], hostile.STRINGS[:8], strict=True):
            widget.net.model.gate.message = string
            picker.fill(f"layers.{layer}")
            view.press("Enter")
            page.until(lambda s=string: s in alert.text_content(), repr(string))
        widget.net.model.gate.message = None
        picker.fill(f"layers.{hostile.LAYERS[1]}")
        view.press("Enter")
        view.wait("idle")

    def _picker(self, view: EmbeddingPage) -> Any:
        return view.root.get_by_role("combobox", name="Layer", exact=True)
