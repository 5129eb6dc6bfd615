"""DeepDream, StyleTransfer and Maximize on a page, with a kernel that a test can hold and break.

    kernel = FakeKernel("deep_dream")
    view = DreamPage(kernel.open(static_page), kernel)
    view.button("Play").click()
    view.push(3)                        # the kernel does three steps, each of which is shown
    kernel.asked[-1]                    # the newest question

The pictures of the fake run are flat but for a disc that grows with the steps, so that a test can
tell which step is on the stage: `view.shown()`.
"""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image, ImageDraw
from static_page import StaticPage
from view import View

from nbcnnviz.widgets._codec import pack

WIDTH, HEIGHT = 320, 240
STEPS, OCTAVES = 40, 4
LONG = {"run", "thumbs", "apart"}
LAYERS = [
    ("conv1", "Conv2d", "conv", (16, 64, 64)),
    ("conv1.act", "ReLU", "act", (16, 64, 64)),
    ("pool1", "MaxPool2d", "pool", (16, 32, 32)),
    ("conv2", "Conv2d", "conv", (32, 32, 32)),
    ("conv2.act", "ReLU", "act", (32, 32, 32)),
    ("pool2", "MaxPool2d", "pool", (32, 16, 16)),
    ("conv3", "Conv2d", "conv", (64, 16, 16)),
    ("conv3.act", "ReLU", "act", (64, 16, 16)),
    ("conv4", "Conv2d", "conv", (96, 8, 8)),
    ("conv4.act", "ReLU", "act", (96, 8, 8)),
    ("conv5", "Conv2d", "conv", (128, 4, 4)),
    ("conv5.act", "ReLU", "act", (128, 4, 4)),
    ("head", "Linear", "linear", (10,)),
]
OWN: dict[str, dict[str, Any]] = {
    "deep_dream": {
        "mix": {"conv3.act": 1.0},
        "channel": None,
        "lr": 0.01,
        "octaves": 4,
        "octave_scale": 1.4,
        "steps": 10,
        "jitter": 32,
        "smooth": 0.75,
        "guided": False,
    },
    "style_transfer": {
        "content_layer": "conv4.act",
        "style_layers": {"conv1.act": 0.5, "conv2.act": 0.25, "conv3.act": 0.25},
        "content_weight": 1.0,
        "style_weight": 10.0,
        "tv_weight": 10.0,
        "style_weights": [0.5, 0.5],
        "keep_colours": False,
        "scales": 2,
        "steps": 20,
    },
    "maximize": {
        "layer": "conv3.act",
        "channel": 3,
        "target": None,
        "position": None,
        "count": 4,
        "diversity": 1.0,
        "lr": 0.05,
        "steps": 40,
        "transforms": 1.0,
    },
}


def jpeg(step: int, size: tuple[int, int] = (WIDTH, HEIGHT), ground: str = "#406080") -> bytes:
    """A picture on whose disc a step can be told."""
    image = Image.new("RGB", size, ground)
    draw = ImageDraw.Draw(image)
    width, height = size
    reach = (0.1 + 0.85 * step / STEPS) * height / 2
    centre = width / 2, height / 2
    box = [centre[0] - reach, centre[1] - reach, centre[0] + reach, centre[1] + reach]
    draw.ellipse(box, fill="#f0a030")
    for i in range(0, width, 16):
        draw.line([(i, 0), (i + 8, 12)], fill=(i % 255, 200, 90), width=2)
    file = io.BytesIO()
    image.save(file, "JPEG", quality=88)
    return file.getvalue()


def _bytes(data: bytes) -> np.ndarray:
    return np.frombuffer(data, np.uint8)


def layers() -> list[dict[str, Any]]:
    """Trait `_layers`."""
    more = {"parameters": 0, "field": [9, 9], "dead": None, "saturated": None, "nan": 0, "inf": 0}
    return [
        {"name": n, "label": n, "module": m, "kind": k, "leaf": True, "shape": list(s), **more}
        for n, m, k, s in LAYERS
    ]


class FakeKernel:
    """One run of 40 steps at four sizes, as docs/base.md and the widgets' contract say."""

    def __init__(self, stem: str = "deep_dream", guide: bool = False, name: str = "cat") -> None:
        self.stem, self.guide, self.name = stem, guide, name
        self.asked: list[dict[str, Any]] = []
        self.broken: dict[str, str] = {}
        """Lanes that fail, with the message."""
        self.state, self.number, self.step, self.end = "fresh", 1, 0, STEPS
        self.stopped, self.notes = "", ["Layer 'conv3.act' was chosen."]
        self.title = f"What {stem} made of {name}"
        self.kept: list[tuple[str, bytes]] = []
        """Answers in trait `_start`."""
        self.film: list[int] = []
        self.seen = 0
        self._running: dict[str, Any] | None = None
        self._told = 0

    # -- traits -------------------------------------------------------------------------------

    def traits(self) -> dict[str, Any]:
        sentence = "The input is normalised as for ImageNet."
        return {
            "theme": "auto",
            "_epoch": "e1",
            "_about": {"network": "Fake", "assumptions": [sentence], "repr": "Fake()"},
            "_layers": layers(),
            "_start": self.start_blob(),
            "_film": b"" if self.state == "fresh" else self.film_blob(),
            **OWN[self.stem],
        }

    def start_blob(self) -> bytes:
        styles = ["brick", "waves"] if self.stem == "style_transfer" else []
        guide = "flower" if self.guide else None
        meta = {"name": self.name, "height": HEIGHT, "width": WIDTH, "styles": styles}
        arrays = {"jpeg": _bytes(jpeg(0, ground="#208040"))}
        for i, _ in enumerate(styles):
            arrays[f"style_{i}"] = _bytes(jpeg(20, (160, 160), "#a03030"))
        if guide:
            arrays["guide"] = _bytes(jpeg(30, (120, 120), "#a0a030"))
        if self.stem == "maximize":
            arrays = {}
        if self.kept:
            meta["kept"] = [{"lane": lane, "bytes": len(data)} for lane, data in self.kept]
            arrays["kept"] = _bytes(b"".join(data for _, data in self.kept))
        classes = ["tabby", "tiger cat", "lynx", "espresso"]
        return pack({**meta, "guide": guide, "classes": classes}, arrays)

    def film_blob(self) -> bytes:
        small = [jpeg(step, (WIDTH // 2, HEIGHT // 2)) for step in self.film]
        rows = [
            {"step": step, "octave": self.octave(step), "bytes": len(data)}
            for step, data in zip(self.film, small, strict=True)
        ]
        trace = [[step, self.value(step)] for step in range(1, self.step + 1)]
        meta = {**self.meta(), "trace": trace, "frames": rows}
        return pack(meta, {"jpegs": _bytes(b"".join(small)), "last": _bytes(jpeg(self.step))})

    def octave(self, step: int) -> int:
        return min(OCTAVES, 1 + max(0, step - 1) * OCTAVES // STEPS)

    def value(self, step: int) -> float:
        return 1000.0 * 0.93**step if self.stem == "style_transfer" else 2.0 + step * step / 40

    def meta(self) -> dict[str, Any]:
        name = "total" if self.stem == "style_transfer" else "objective"
        losses = {name: self.value(self.step)} if self.step else {}
        if self.stem == "style_transfer" and self.step:
            losses |= {"content": 12.3, "style": 0.0456, "tv": 1.0}
        return {
            "state": self.state,
            "run": self.number,
            "step": self.step,
            "steps": STEPS,
            "title": self.title if self.step else "",
            "octave": self.octave(self.step),
            "octaves": OCTAVES if self.stem != "maximize" else 1,
            "losses": losses,
            "stopped": self.stopped,
            "notes": self.notes,
            "height": HEIGHT,
            "width": WIDTH,
        }

    # -- the run ------------------------------------------------------------------------------

    def advance(self, steps: int = 1) -> list[Any]:
        """Do some steps of the run that is asked for; what the kernel says meanwhile."""
        assert self._running is not None, "no run was asked for"
        self.step = min(self.step + steps, self.end)
        self.film.append(self.step)
        over = self.step >= self.end
        if over:
            self.state = "done" if self.step >= STEPS else "paused"
        about, progress = self._running, {"done": self.step, "total": STEPS, "left": 1.5}
        reply = {"status": "ok" if over else "partial", "ms": 12, "message": ""}
        if over:
            self._running = None
        return [
            ({"type": "progress", **about, **progress}, None),
            ({"type": "reply", **about, **reply}, self._frame()),
        ]

    def _frame(self) -> bytes:
        trace = [[step, self.value(step)] for step in range(self._told + 1, self.step + 1)]
        self._told = self.step
        sheet = self.stem == "maximize"
        size = (WIDTH, WIDTH) if sheet else (WIDTH, HEIGHT)
        grid = {"grid": [2, 2]} if sheet else {}
        return pack(
            {**self.meta(), "trace": trace, **grid}, {"jpeg": _bytes(jpeg(self.step, size))}
        )

    def _run(self, about: dict[str, Any], steps: int, again: bool) -> list[Any]:
        if again or self.step >= STEPS:
            self.number, self.step, self.film, self._told = self.number + 1, 0, [], 0
        self.end = min(STEPS, self.step + steps) if steps else STEPS
        self.state, self._running = "running", about
        return [({"type": "progress", **about, "done": self.step, "total": STEPS, "left": 2}, None)]

    # -- messages -----------------------------------------------------------------------------

    def open(self, static_page: Any, saved: bool = False, **options: Any) -> StaticPage:
        """A page of its own; `saved`: one without any kernel."""
        traits = {**self.traits(), **options.pop("traits", {})}
        return static_page.scripted(self.stem, traits, None if saved else self, **options)

    def __call__(self, message: dict[str, Any], blob: bytes | None = None) -> list[Any]:
        kind = message["type"]
        if kind == "hello":
            return [({"type": "hello", "view": message["view"], "epoch": "e1"}, None)]
        if kind == "stop":
            return self._stop()
        self.seen += kind == "seen"
        return self._answer(message) if kind == "ask" else []

    def _stop(self) -> list[Any]:
        about, self._running = self._running, None
        if about is None:
            return []
        self.state = "paused"
        return [({"type": "reply", **about, "status": "cancelled", "ms": 3, "message": ""}, None)]

    def _answer(self, message: dict[str, Any]) -> list[Any]:
        lane, args = message["lane"], message["args"]
        self.asked.append({"lane": lane, **args})
        about = {key: message[key] for key in ("view", "epoch", "seq", "lane")}
        about["all"] = lane in LONG
        ack = ({"type": "ack", **about, "waits": ""}, None)
        reply = {"type": "reply", **about, "status": "ok", "ms": 12, "message": ""}
        if lane in self.broken:
            self.state = "paused" if self.step else "fresh"
            return [ack, ({**reply, "status": "error", "message": self.broken[lane]}, None)]
        if lane == "run":
            ending = [] if self._running is None else self._stop()
            return [*ending, ack, *self._run(about, **args)]
        return [ack, (reply, getattr(self, lane)(**args))]

    def picture(self) -> bytes:
        image = Image.open(io.BytesIO(jpeg(self.step)))
        file = io.BytesIO()
        image.save(file, "PNG")
        meta = {"height": HEIGHT, "width": WIDTH, "name": f"{self.name}-{self.step}"}
        return pack(meta, {"png": _bytes(file.getvalue())})

    def thumbs(self, layers: list[str]) -> bytes:
        all_ = [jpeg(3 * i, (96, 96), f"#{40 + i * 8:02x}60a0") for i in range(len(layers))]
        offsets = np.cumsum([0, *map(len, all_)]).astype(np.int32)
        return pack({"layers": layers}, {"jpegs": _bytes(b"".join(all_)), "offsets": offsets})

    def gram(self, layer: str) -> bytes:
        rng = np.random.default_rng(self.step)
        half = rng.random((24, 6))
        now = (half @ half.T * 40).clip(0, 254).astype(np.uint8)
        target = np.random.default_rng(99).random((24, 6))
        wanted = (target @ target.T * 40).clip(0, 254).astype(np.uint8)
        ends = {"lo": np.zeros(2, np.float32), "hi": np.array([2.0, 4.0], np.float32)}
        meta = {"layer": layer, "channels": 64, "shown": 24}
        return pack(meta, {"now": now, "target": wanted, **ends})

    def apart(self, steps: int) -> bytes:
        one, two = jpeg(8, (160, 120)), jpeg(30, (160, 120), "#a03030")
        return pack({"step": steps, "steps": steps}, {"content": _bytes(one), "style": _bytes(two)})

    def code(self) -> bytes:
        return pack({"code": "import nbcnnviz as nv\nnv.DeepDream(net, image)"}, {})

    def count(self, lane: str) -> int:
        return sum(each["lane"] == lane for each in self.asked)


class DreamPage(View):
    """One of the three on a page."""

    def __init__(self, page: Any, kernel: Any = None, stem: str = "", index: int = 0) -> None:
        self.page, self.kernel = page, kernel
        stem = stem or (kernel.stem if kernel else "deep_dream")
        self.root = page.page.locator(f".nbcnnviz[data-widget={stem}]").nth(index)
        self.stage = self.root.locator("canvas[data-role=stage]")
        self.film = self.root.locator("[data-role=film]")
        self.status = self.root.locator("[role=status]")
        self.losses = self.root.locator("canvas[data-role=losses]")
        self.where = self.root.locator("[data-role=where]")
        self.range = self.root.get_by_role("slider", name="frame", exact=True)
        self.wipe = self.root.get_by_role("slider", name="before / after")
        self.stage.wait_for()
        self.page.until(lambda: self.run() is not None, "the run is known")

    def run(self) -> str | None:
        return self.root.get_attribute("data-run")

    def step(self) -> int:
        return int(self.root.get_attribute("data-step") or 0)

    def shown_step(self) -> int:
        return int(self.root.get_attribute("data-shown-step") or 0)

    def wait(self, run: str) -> None:
        self.page.until(lambda: self.run() == run, f"the run is {run}")

    def push(self, *steps: int) -> None:
        """The fake kernel does some steps, and again, each time once the last ones were seen."""
        self.page.until(lambda: self.kernel._running, "a run is asked for")
        for count in steps or (1,):
            seen = self.kernel.seen
            sent = self.kernel.advance(count)
            self.receive(sent)
            if sent[-1][0]["status"] == "partial":
                self.page.until(lambda: self.kernel.seen > seen, "the page has seen it")  # noqa: B023
            self.page.until(lambda: self.step() == self.kernel.step, "the page is as far")

    def receive(self, sent: list[Any]) -> None:
        for content, blob in sent:
            data = None if blob is None else base64.b64encode(blob).decode()
            self.page.page.evaluate(
                """([content, data]) => {
                  const bytes = data && Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                  window.running.model.receive(content, bytes || undefined);
                }""",
                [content, data],
            )

    def publish(self, **blobs: bytes) -> None:
        """Set traits of bytes as the kernel does."""
        blobs = blobs or {"_film": self.kernel.film_blob()}
        for name, blob in blobs.items():
            self.page.page.evaluate(
                """([name, data]) => {
                  const bytes = Uint8Array.from(atob(data), (c) => c.charCodeAt(0));
                  window.running.model.set(name, new DataView(bytes.buffer));
                }""",
                [name, base64.b64encode(blob).decode()],
            )

    def shown(self, canvas: Any = None) -> float:
        """Which step's disc is on the stage."""
        pixels = self.pixels(canvas)
        row = pixels[len(pixels) // 2]
        disc = (row[:, 0] > 180) & (row[:, 1] > 100) & (row[:, 2] < 110)
        return (disc.sum() / len(pixels) - 0.1) / 0.85 * STEPS

    def shows(self, step: int) -> None:
        """Wait until the stage shows this step."""
        self.page.until(lambda: abs(self.shown() - step) < 0.8, f"step {step} is on the stage")
