"""What is kept of a run, so that it can be looked at again: small pictures, and how it went."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
from PIL import Image

RGB = npt.NDArray[np.uint8]
Point = tuple[int, float]
T = TypeVar("T")

MOST = 24
"""Frames of a film."""
EDGE, FRAME_BYTES = 256, 11_000
"""Of one frame of the film."""
LAST_EDGE, LAST_BYTES = 640, 130_000
"""Of the present picture, where it is saved."""
QUALITY = 88

_POINTS, _SAVED_POINTS = 2000, 300
_FEW = 64
"""Pixels: a smaller picture keeps all its colours."""
_LOWER = (75, 60, 45, 30)
"""Qualities that are tried where a picture does not fit."""


def jpeg(picture: RGB, edge: int, limit: int | None = None) -> bytes:
    """A picture (H, W, 3) as JPEG, its longer edge at most so many pixels.

    Args:
        picture: 8 bits.
        edge: pixels.
        limit: bytes; where it would take more, first the quality goes down, then the size.

    Example:
        >>> noise = np.random.default_rng(0).integers(0, 256, (300, 400, 3), np.uint8)
        >>> len(jpeg(noise, 256, 10_000)) <= 10_000
        True
    """
    image = Image.fromarray(picture)
    while True:
        factor = edge / max(image.size)
        if factor < 1:
            size = [max(1, round(length * factor)) for length in image.size]
            image = image.resize((size[0], size[1]), Image.Resampling.LANCZOS, reducing_gap=2.0)
        for quality in (QUALITY, *_LOWER):
            data = _encoded(image, quality)
            if limit is None or len(data) <= limit:
                return data
        if max(image.size) == 1:
            return data
        edge = max(1, max(image.size) * 2 // 3)


def smaller(data: bytes, edge: int, limit: int) -> bytes:
    """A JPEG of at most so many bytes, the same one if it fits."""
    if len(data) <= limit:
        return data
    return jpeg(np.asarray(Image.open(io.BytesIO(data))), edge, limit)


def _encoded(image: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, subsampling=0 if max(image.size) < _FEW else 2)
    return file.getvalue()


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame of the film."""

    step: int
    octave: int
    jpeg: bytes

    @property
    def image(self) -> Image.Image:
        """The small picture."""
        return Image.open(io.BytesIO(self.jpeg))


class Film:
    """Frames and numbers of a run: evenly spread, and no more however long it takes.

    Any thread may read it while another one adds to it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._shots: list[Shot] = []
        self._trace: list[Point] = []
        self._untold: list[Point] = []

    @property
    def shots(self) -> list[Shot]:
        """The frames, in their order."""
        with self._lock:
            return list(self._shots)

    @property
    def trace(self) -> list[Point]:
        """Steps, and what each began with."""
        with self._lock:
            return list(self._trace)

    def saved_trace(self) -> list[Point]:
        """Few enough of its points for a saved notebook."""
        trace = self.trace
        while len(trace) > _SAVED_POINTS:
            trace = _halved(trace)
        return trace

    def untold(self) -> list[Point]:
        """The points since the last call of this."""
        with self._lock:
            points, self._untold = self._untold, []
        return points

    def note(self, step: int, value: float) -> None:
        """What a step began with."""
        with self._lock:
            for name in ("_trace", "_untold"):
                points = [*getattr(self, name), (step, value)]
                setattr(self, name, _halved(points) if len(points) > _POINTS else points)

    def add(self, step: int, steps: int, octave: int, picture: Callable[[], RGB]) -> None:
        """Keep the picture of a step, if it is one of those that are evenly spread over `steps`."""
        with self._lock:
            last = self._shots[-1].step if self._shots else None
        if last is None or step >= steps or _slot(step, steps) != _slot(last, steps):
            shot = Shot(step, octave, jpeg(picture(), EDGE, FRAME_BYTES))
            with self._lock:
                earlier = [one for one in self._shots if one.step < step]
                self._shots = thinned([*earlier, shot], lambda one: one.step, MOST)


def thinned(items: Sequence[T], place: Callable[[T], int], most: int) -> list[T]:
    """The items without those that stand closest, until few enough are left.

    The first and the last stay.

    Example:
        >>> thinned([1, 2, 10, 20, 30], lambda step: step, 4)
        [1, 10, 20, 30]
    """
    left = list(items)
    while len(left) > max(2, most):
        inner = range(1, len(left) - 1)
        del left[min(inner, key=lambda i: place(left[i + 1]) - place(left[i - 1]))]
    return left


def _slot(step: int, steps: int) -> int:
    """Which of the film's places a step is for."""
    return step if steps <= MOST else (step - 1) * (MOST - 1) // (steps - 1)


def _halved(points: list[Any]) -> list[Any]:
    return [p for i, p in enumerate(points) if i % 2 == 0 or i == len(points) - 1]
