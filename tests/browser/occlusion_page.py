"""Occlusion as its user meets it, with a kernel that a test can hold, break and look into.

kernel = FakeKernel()                       # a picture of 48 x 64, scores by what is hidden
view = OcclusionPage(kernel.open(static_page), kernel)
view.drag((10, 20), (40, 20))               # with the real mouse, in pixels of the picture
view.until_asked()                          # waits for the question that ends the stroke
kernel.masks[-1]                            # what came over the wire, (48, 64) uint8
"""

from __future__ import annotations

from typing import Any

import numpy as np
from static_page import StaticPage
from view import View

from nbcnnviz.widgets._codec import pack, unpack

HEIGHT, WIDTH = 48, 64
GRAY = 130
"""What stands in for hidden pixels under fill "mean"."""
LABELS = ["saucer", "spoon", "cup", "espresso", "tray", "crane", "crane"]
ESPRESSO, CUP = 3, 2
WINDOW, STRIDE = (16, 16), (8, 8)
GRID = (5, 7)


class FakeKernel:
    """Answers as docs/base.md says; espresso is the answer until 40 % of the picture is hidden."""

    def __init__(self) -> None:
        self.masks: list[np.ndarray] = []
        """All masks that came with questions of lane scores."""
        self.asked: list[dict[str, Any]] = []
        self.held: set[str] = set()
        """Lanes whose questions are acknowledged and not answered."""
        self.broken: dict[str, str] = {}
        """Lanes that fail, with the message."""
        self.dead = False
        """Nothing is answered."""
        self.target = ESPRESSO
        self.swept = False
        self._running: dict[str, Any] | None = None

    def open(self, static_page: Any, saved: bool = False, **options: Any) -> StaticPage:
        """A page of its own; `saved`: one without any kernel."""
        traits = {**self.traits(), **options.pop("traits", {})}
        return static_page.scripted("occlusion", traits, None if saved else self, **options)

    def traits(self) -> dict[str, Any]:
        return {
            "fill": "mean",
            "window": WINDOW[0],
            "stride": STRIDE[0],
            "score": "logit",
            "show": "drop",
            "_epoch": "e1",
            "_about": {"network": "stub", "assumptions": []},
            "_target": {"name": LABELS[self.target], "index": self.target},
            "_classes": LABELS,
            "_image": pack(
                {"name": "coffee", "size": [HEIGHT, WIDTH]},
                {"picture": picture(), "hidden": hidden("mean")},
            ),
            "_mask": mask_blob(np.zeros((HEIGHT, WIDTH), np.uint8)),
            "_scores": self.scores(0.0, "mean"),
            "_sweep": sweep_blob(self.target) if self.swept else b"",
        }

    def __call__(self, message: dict[str, Any], blob: bytes | None = None) -> list[Any]:
        kind = message["type"]
        if self.dead:
            return []
        if kind == "hello":
            return [({"type": "hello", "view": message["view"], "epoch": "e1"}, None)]
        if kind == "stop":
            return self._stop()
        return self._answer(message, blob) if kind == "ask" else []

    def _answer(self, message: dict[str, Any], blob: bytes | None) -> list[Any]:
        lane, args = message["lane"], message["args"]
        self.asked.append({"lane": lane, **args})
        about = {key: message[key] for key in ("view", "epoch", "seq", "lane")}
        about["all"] = lane == "sweep"
        ack = ({"type": "ack", **about}, None)
        if lane == "scores":
            self.masks.append(whole(args["box"], unpack(blob or b"")[1]["mask"]))
        if lane in self.broken:
            reply = {"type": "reply", **about, "status": "error", "ms": 3}
            return [ack, ({**reply, "message": self.broken[lane]}, None)]
        ok = {"type": "reply", **about, "status": "ok", "ms": 7, "message": ""}
        if lane == "sweep" and lane in self.held:
            self._running = about
            progress = {"type": "progress", **about, "done": 9, "total": 35, "left": 4.2}
            partial = sweep_blob(self.target, done=9)
            return [ack, (progress, None), ({**ok, "status": "partial"}, partial)]
        if lane in self.held:
            return [ack]
        return [ack, (ok, self._blob(lane, args))]

    def _stop(self) -> list[Any]:
        about, self._running = self._running, None
        if about is None:
            return []
        reply = {"type": "reply", **about, "status": "cancelled", "ms": 40, "message": ""}
        return [(reply, None)]

    def _blob(self, lane: str, args: dict[str, Any]) -> bytes:
        if lane == "scores":
            return self.scores(float(self.masks[-1].mean() / 255), args["fill"])
        if lane == "fill":
            return pack({"fill": args["fill"]}, {"hidden": hidden(args["fill"])})
        if lane == "code":
            return pack({"code": "occlude(net, image, mask)"}, {})
        if lane == "target":
            self.target = ESPRESSO if args["index"] is None else args["index"]
            return sweep_blob(self.target) if self.swept else pack({"sweep": False}, {})
        self.swept = True
        return sweep_blob(self.target, score=args["score"])

    def scores(self, share: float, fill: Any) -> bytes:
        """The answer of lane scores with this share of the picture hidden."""
        best = {ESPRESSO: 0.96 * (1 - share), CUP: 0.014 + share, 0: 0.007, 1: 0.004, 4: 0.003}
        before = {ESPRESSO: 0.96, CUP: 0.014, 0: 0.007, 1: 0.004, 4: 0.003}
        classes = [
            {
                "index": index,
                "label": LABELS[index],
                "probability": value,
                "logit": 10 * value,
                "before": {"logit": 10 * before[index], "probability": before[index]},
            }
            for index, value in best.items()
        ]
        answer = ESPRESSO if share < 0.4 else CUP
        meta = {
            "classes": classes,
            "predicted": {"index": answer, "label": LABELS[answer]},
            "clean": {"index": ESPRESSO, "label": "espresso"},
            "hidden": share,
            "fill": fill,
        }
        return pack(meta, {})


class OcclusionPage(View):
    """One Occlusion on a page, painted and idle (or `state`)."""

    def __init__(
        self, page: StaticPage, kernel: Any = None, state: str | None = "idle", index: int = 0
    ) -> None:
        self.page, self.kernel = page, kernel
        self.root = page.page.locator(".nbcnnviz[data-widget=occlusion]").nth(index)
        self.stage = self.root.locator("canvas[data-role=stage]")
        self.map = self.root.locator("canvas[data-role=sweep]")
        self.verdict = self.root.locator("[data-role=verdict]")
        self.legend = self.root.locator("[data-role=legend] li")
        self.status = self.root.locator("[role=status]")
        self.error = self.root.locator(".nbc-error")
        self.caption = self.root.locator(".oc-caption")
        self.spoken = self.root.locator("[data-role=spoken]")
        self.stage.wait_for()
        page.painted(self.stage)
        if state is not None:
            self.wait(state)

    def tool(self, name: str) -> None:
        self.root.get_by_role("radio", name=name).check(force=True)

    def scores(self) -> dict[int, str]:
        """Of each class in the list: its text."""
        # At once: rows come and go while one paints.
        rows = self.root.evaluate(
            """root => [...root.querySelectorAll("[data-role=scores] [data-class]")]
              .map((row) => [row.dataset.class, row.innerText])"""
        )
        return {int(index): text for index, text in rows}

    # -- the mouse, in pixels of the picture -----------------------------------------------------

    def at(self, x: float, y: float, canvas: Any = None) -> tuple[float, float]:
        """Where a point of the picture is on the page."""
        box = (canvas or self.stage).bounding_box()
        assert box is not None
        return box["x"] + x / WIDTH * box["width"], box["y"] + y / HEIGHT * box["height"]

    def drag(self, *points: tuple[float, float], up: bool = True) -> None:
        mouse = self.page.page.mouse
        mouse.move(*self.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*self.at(*point), steps=5)
        if up:
            mouse.up()

    def until_asked(self, done: bool = True) -> dict[str, Any]:
        """Wait until the newest question of lane scores has this `done`; the question."""
        asked = lambda: [each for each in self.kernel.asked if each["lane"] == "scores"]  # noqa: E731
        self.page.until(lambda: asked() and asked()[-1]["done"] is done, "the scores are asked for")
        return asked()[-1]

    # -- what is painted ---------------------------------------------------------------------------

    def canvas(self, canvas: Any = None) -> np.ndarray:
        """A canvas at the middle of each pixel of the picture, (48, 64, 3)."""
        pixels = self.pixels(canvas)
        high, wide = pixels.shape[:2]
        rows = ((np.arange(HEIGHT) + 0.5) * high / HEIGHT).astype(int)
        columns = ((np.arange(WIDTH) + 0.5) * wide / WIDTH).astype(int)
        return pixels[rows][:, columns]

    def shows(self, mask: np.ndarray, colour: int = GRAY) -> None:
        """Wait until the stage hides what `mask` hides, and shows the rest of the picture."""
        inner, outer = _eroded(mask == 255), _eroded(mask == 0)

        def there() -> bool:
            off = np.abs(self.canvas() - np.where(mask[..., None] > 0, colour, picture())).max(-1)
            return bool(off[inner].max(initial=0) <= 2 and off[outer].max(initial=0) <= 12)

        self.page.until(there, "the stage shows what is painted")


def picture() -> np.ndarray:
    """Without edges, so that a canvas that smooths it shows the same, (48, 64, 3) uint8."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    bands = [40 + 3 * y, 250 - 3 * x, 20 + 2 * (x + y)]
    return np.stack(bands, -1).clip(0, 255).astype(np.uint8)


def hidden(fill: Any) -> np.ndarray:
    """What stands in under a fill."""
    if fill == "blur":
        return np.broadcast_to(picture().mean((0, 1)), (HEIGHT, WIDTH, 3)).astype(np.uint8)
    named = {"mean": GRAY, "black": 0, "gray": 128, "noise": 90}
    colour = [named[fill]] * 3 if isinstance(fill, str) else fill
    return np.array(colour, np.uint8).reshape(1, 1, 3)


def whole(box: list[int], crop: np.ndarray) -> np.ndarray:
    """The mask of which a crop came."""
    top, left, height, width = box
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top : top + height, left : left + width] = crop
    return mask


def mask_blob(mask: np.ndarray, origin: str = "") -> bytes:
    return pack({"origin": origin}, {"mask": mask})


def capsule(*points: tuple[float, float], size: float, hardness: float = 1) -> np.ndarray:
    """What a round brush hides along these points, by the distance to each segment."""
    y, x = np.mgrid[:HEIGHT, :WIDTH] + 0.5
    best = np.full((HEIGHT, WIDTH), np.inf)
    for (ax, ay), (bx, by) in zip(points, [*points[1:], points[-1]], strict=True):
        length = (bx - ax) ** 2 + (by - ay) ** 2
        along = ((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / (length or 1)
        along = along.clip(0, 1)
        best = np.minimum(best, np.hypot(x - ax - along * (bx - ax), y - ay - along * (by - ay)))
    edge = max(1, size / 2 * (1 - hardness))
    inside = ((size / 2 + 0.5 - best) / edge).clip(0, 1)
    smooth = inside if edge == 1 else inside**2 * (3 - 2 * inside)
    return np.round(255 * smooth).astype(np.uint8)


def boxed(top: int, left: int, bottom: int, right: int) -> np.ndarray:
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[max(0, top) : bottom, max(0, left) : right] = 255
    return mask


def sweep_scores(target: int) -> np.ndarray:
    """The logit at each position: low in the middle for espresso, else rising to the right."""
    y, x = np.mgrid[: GRID[0], : GRID[1]]
    if target == ESPRESSO:
        return (10 - 4 * np.exp(-((y - 2) ** 2 + (x - 3) ** 2) / 2)).astype(np.float32)
    return (2 + x).astype(np.float32)


def sweep_predicted() -> np.ndarray:
    return np.where(sweep_scores(ESPRESSO) < 8.5, CUP, ESPRESSO).astype(np.int32)


def sweep_blob(target: int = ESPRESSO, done: int = 35, score: str = "logit") -> bytes:
    """The answer of lane sweep when `done` of 35 positions are known."""
    scores = sweep_scores(target)
    known = (np.arange(scores.size) < done).astype(np.uint8).reshape(GRID)
    baseline = 10.0 if target == ESPRESSO else 2.0
    drop = np.kron(baseline - scores, np.ones((10, 10)))[:HEIGHT, :WIDTH]
    codes = np.round((drop - drop.min()) / (drop.max() - drop.min()) * 254).astype(np.uint8)
    meta = {
        "window": list(WINDOW),
        "stride": list(STRIDE),
        "size": [HEIGHT, WIDTH],
        "fill": "mean",
        "score": score,
        "target": {"name": LABELS[target], "index": target},
        "baseline": baseline,
        "prediction": {"index": ESPRESSO, "label": "espresso"},
        "labels": {str(ESPRESSO): "espresso", str(CUP): "cup"},
        "done": done,
        "total": 35,
        "complete": done == 35,
        "engine": "incremental",
        "note": "",
        "seconds": 1.5,
    }
    ends = {"lo": drop.min(), "hi": drop.max()}
    return pack(
        meta,
        {
            "scores": scores,
            "known": known,
            "predicted": sweep_predicted(),
            "codes": codes[None],
            **{name: np.array([value], np.float32) for name, value in ends.items()},
        },
    )


def _eroded(area: np.ndarray) -> np.ndarray:
    """An area without its border: there a canvas that smooths mixes both sides."""
    padded = np.pad(area, 2, constant_values=True)
    high, wide = area.shape
    return np.all([padded[y : y + high, x : x + wide] for y in range(5) for x in range(5)], axis=0)
