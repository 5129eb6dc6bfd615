"""In which order many windows are computed, and how many at once."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from torch import Tensor

from ._windows import Box, Offsets

_SIZES = (4, 8, 16, 32, 64, 128, 256)
_CACHE = 24 << 20
"""Tensors larger than this are slow: memory for them is fetched anew each time."""
_TRIES = 2
"""A size counts as measured after so many batches."""


def numbers(places: Tensor | Sequence[int]) -> Offsets:
    """Rows or columns, (B,)."""
    return np.asarray(places.cpu() if isinstance(places, Tensor) else places, dtype=np.int64)


def place(
    patches: Tensor, tops: Tensor | Sequence[int], lefts: Tensor | Sequence[int], image: Tensor
) -> Box:
    """Where patches (B, C, h, w) or (C, h, w) go in an image (1, C, H, W).

    Raises:
        ValueError: one reaches beyond the image, or the shapes do not match.
    """
    y, x = numbers(tops), numbers(lefts)
    _, channels, height, width = image.shape
    size = tuple(patches.shape)
    if len(size) not in (3, 4) or size[-3] != channels or 0 in size[-3:]:
        raise ValueError(
            f"patches: {' x '.join(map(str, size))}; give (B, {channels}, h, w), at least 1 x 1"
        )
    count = size[0] if len(size) == 4 else len(y)
    if y.shape != (count,) or x.shape != (count,):
        raise ValueError(
            f"tops, lefts: {y.shape} and {x.shape}; give one number for each of {count} patches"
        )
    fits = (y >= 0) & (x >= 0) & (y + size[-2] <= height) & (x + size[-1] <= width)
    if not fits.all():
        bad = int(np.flatnonzero(~fits)[0])
        raise ValueError(
            f"patches: one of {size[-2]} x {size[-1]} at row {y[bad]}, column {x[bad]} reaches "
            f"beyond the image of {height} x {width}; cut it at the edge"
        )
    return Box(y, x, size[-2], size[-1])


def check(x: Tensor, precision: str, memory: int) -> None:
    """Refuse what no engine can be made of."""
    if not isinstance(x, Tensor) or x.ndim != 4 or x.shape[0] != 1 or not x.is_floating_point():
        raise ValueError("x: give one image as net.prepare makes it, (1, C, H, W)")
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f'precision={precision!r}: give "float32" or "bfloat16"')
    if memory <= 0:
        raise ValueError(f"memory={memory!r}: give a positive number of bytes")


def order(tops: Offsets, lefts: Offsets, step: int) -> Offsets:
    """From coarse to fine: first positions that are multiples of `step`, then those between.

    Windows whose positions agree modulo the total stride of a network lie alike in all of its
    maps, so that their rectangles have the same size; they come one after another.
    """
    y, x = tops % step, lefts % step
    coarse = np.minimum(np.gcd(y, step), np.gcd(x, step))
    return np.lexsort((lefts, tops, x, y, -coarse))


def chunks(tops: Offsets, lefts: Offsets, step: int, size: int) -> Iterator[slice]:
    """Parts of about `size` ordered windows, not across a change of phase if it can be helped."""
    phase = (tops % step) * step + lefts % step
    ends = [*(np.flatnonzero(np.diff(phase)) + 1), len(phase)]
    start = 0
    for place, end in enumerate(ends):
        after = ends[place + 1] if place + 1 < len(ends) else math.inf
        if end - start >= size / 2 or after - start > size:
            parts = math.ceil((end - start) / size)
            bounds = np.linspace(start, end, parts + 1).astype(int).tolist()
            yield from (slice(a, b) for a, b in itertools.pairwise(bounds))
            start = int(end)
    if start < len(phase):
        yield slice(start, len(phase))


@dataclass(eq=False)
class Tuner:
    """Finds the fastest batch size while the work is done, within a bound on memory."""

    largest: int
    """How many images fit in memory."""
    start: int
    seconds: dict[int, list[float]] = field(default_factory=dict)
    """Per image, by batch size."""

    @classmethod
    def of(cls, peak: int, tensor: int, memory: int, on_cpu: bool) -> Tuner:
        """For images that take `peak` bytes each, `tensor` of them in the largest tensor."""
        most = max(1, memory // max(peak, 1))
        cached = _CACHE // max(tensor, 1) if on_cpu else most
        start = max(1, min(cached, 64, most))
        return cls(most, max([s for s in _SIZES if s <= start], default=start))

    def next(self) -> int:
        """The size to take now: the fastest, once its neighbours have been tried."""
        best = self._best()
        for size in (best, best * 2, best // 2):
            fits = 1 <= size <= min(self.largest, _SIZES[-1])
            if fits and len(self.seconds.get(size, ())) < _TRIES:
                return size
        return best

    def _best(self) -> int:
        if not self.seconds:
            return self.start
        return min(self.seconds, key=lambda size: min(self.seconds[size]))

    def measured(self, count: int, seconds: float) -> None:
        """Learn how long a batch of `count` images took."""
        near = min(_SIZES, key=lambda size: abs(size - count))
        if abs(near - count) <= near / 4:
            self.seconds.setdefault(near, []).append(seconds / count)
