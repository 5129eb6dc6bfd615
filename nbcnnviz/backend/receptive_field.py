"""Which part of the image a cell of a layer can see: intervals of rows and columns.

Two forms go side by side. The exact one is an interval [lo, hi) of input rows for each output row
(and of columns for each column), clipped at the borders as padding demands. The affine one,
(size, stride, offset), is the textbook's: output i sees [offset + i * stride, that + size), also
beyond the image; it exists as long as every step moves all cells alike.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
Affine = tuple[int, int, int]
"""(size, stride, offset), in input pixels."""


@dataclass(frozen=True, eq=False)
class Axis:
    """What the positions along one axis of a tensor can depend on in the image."""

    lo: Ints
    hi: Ints
    """(n,) position i depends on input positions lo[i] .. hi[i] - 1; on none when lo >= hi."""
    total: int
    """How many positions the image has along this axis."""
    affine: Affine | None

    @classmethod
    def identity(cls, total: int) -> Axis:
        """The image itself: every pixel sees itself."""
        lo = np.arange(total)
        return cls(lo, lo + 1, total, (1, 1, 0))

    @functools.cached_property
    def _made(self) -> dict[Any, Any]:
        """Windows and sums computed before: rows and columns of a square image are one axis."""
        return {}

    @classmethod
    def whole(cls, total: int, n: int = 1) -> Axis:
        """n positions that see everything."""
        return cls(np.zeros(n, np.int64), np.full(n, total), total, (total, 0, 0))

    @property
    def n(self) -> int:
        return len(self.lo)

    @functools.cached_property
    def covers(self) -> bool:
        """Every position sees the whole image."""
        return bool((self.lo <= 0).all() and (self.hi >= self.total).all())

    def window(self, n: int, kernel: int, stride: int, before: int, dilation: int = 1) -> Axis:
        """n windows: a convolution or pooling, with `before` cells of padding at the start."""
        key = n, kernel, stride, before, dilation
        if key not in self._made:
            self._made[key] = self._window(*key)
        made: Axis = self._made[key]
        return made

    def _window(self, n: int, kernel: int, stride: int, before: int, dilation: int) -> Axis:
        if (n, kernel, stride, before) == (self.n, 1, 1, 0):
            return self
        affine = None
        if self.affine:
            size, step, offset = self.affine
            affine = (size + (kernel - 1) * dilation * step, stride * step, offset - before * step)
        start = np.arange(n) * stride - before
        if not self.ordered:
            return self.taps(start[:, None] + np.arange(kernel) * dilation, affine)
        # First and last tap of each window that lies inside: what is between lies between.
        last = start + (kernel - 1) * dilation
        first = np.where(start < 0, start % dilation, start)
        last = np.where(last >= self.n, self.n - 1 - (self.n - 1 - start) % dilation, last)
        some = (first <= last) & (last >= 0) & (first < self.n)
        lo = np.where(some, self.lo[np.where(some, first, 0)], self.total)
        hi = np.where(some, self.hi[np.where(some, last, 0)], 0)
        return Axis(lo, hi, self.total, affine)

    @functools.cached_property
    def ordered(self) -> bool:
        """Later positions see neither earlier nor less far, as nearly always."""
        return bool((np.diff(self.lo) >= 0).all() and (np.diff(self.hi) >= 0).all())

    def taps(self, taps: Ints, affine: Affine | None = None) -> Axis:
        """Position i depends on the positions taps[i, :]; those outside the axis do not count."""
        inside = (taps >= 0) & (taps < self.n)
        safe = np.where(inside, taps, 0)
        lo = np.where(inside, self.lo[safe], self.total).min(1, initial=self.total)
        hi = np.where(inside, self.hi[safe], 0).max(1, initial=0)
        return Axis(lo, hi, self.total, affine)

    def between(self, start: Ints, stop: Ints) -> Axis:
        """Position i depends on the positions start[i] .. stop[i] - 1."""
        longest = int((stop - start).max(initial=1))
        taps = start[:, None] + np.arange(longest)
        widths = np.unique(stop - start)
        steps = np.unique(np.diff(start))
        affine = None
        if self.affine and len(widths) == 1 and len(steps) <= 1:
            size, step, offset = self.affine
            jump = int(steps[0]) if len(steps) else longest
            affine = (
                size + (longest - 1) * step,
                jump * step,
                offset + int(start[0]) * step,
            )
        return self.taps(np.where(taps < stop[:, None], taps, -1), affine)

    def pick(self, index: Ints) -> Axis:
        """Position i is a copy of position index[i]; of nothing where that is negative."""
        affine = None
        steps = np.unique(np.diff(index))
        if self.affine and len(steps) <= 1 and len(index) and steps.min(initial=index[0]) >= 0:
            size, step, offset = self.affine
            jump = int(steps[0]) if len(steps) else 1
            affine = (size, jump * step, offset + int(index[0]) * step)
        return self.taps(index[:, None], affine)

    def collapse(self, n: int = 1) -> Axis:
        """n positions that each depend on all that any position here depends on."""
        if self.n == 1:
            return self.expand(n)
        affine = None
        if self.affine:
            size, step, offset = self.affine
            affine = (
                size + (self.n - 1) * step,
                self.n * step if n == 1 else 0,
                offset,
            )
        lo = np.full(n, self.lo.min(initial=self.total))
        return Axis(lo, np.full(n, self.hi.max(initial=0)), self.total, affine)

    def expand(self, n: int) -> Axis:
        """One position broadcast to n."""
        if self.n == n:
            return self
        affine = (self.affine[0], 0, self.affine[2]) if self.affine else None
        return Axis(np.repeat(self.lo, n), np.repeat(self.hi, n), self.total, affine)

    def merge(self, other: Axis) -> Axis:
        """Depends on what either depends on: a sum, a product, a concatenation of channels."""
        if self is other:
            return self
        key = id(other)
        if key not in self._made:
            n = max(self.n, other.n)
            a, b = self.expand(n), other.expand(n)
            lo, hi = np.minimum(a.lo, b.lo), np.maximum(a.hi, b.hi)
            # The other one is kept as well, so that its id stays its own.
            self._made[key] = Axis(lo, hi, self.total, _merge_affine(a, b)), other
        made: Axis = self._made[key][0]
        return made

    def followed_by(self, other: Axis) -> Axis:
        """The positions of this axis, then those of another one."""
        lo, hi = (
            np.concatenate([self.lo, other.lo]),
            np.concatenate([self.hi, other.hi]),
        )
        return Axis(lo, hi, self.total, None)

    def same(self, other: Axis) -> bool:
        """Equal in both forms."""
        return self is other or (
            self.affine == other.affine
            and np.array_equal(self.lo, other.lo)
            and np.array_equal(self.hi, other.hi)
        )

    @functools.cached_property
    def intervals(self) -> npt.NDArray[np.int32]:
        """(n, 2); a position that depends on nothing has the interval [0, 0)."""
        empty = self.lo >= self.hi
        pairs = np.stack([np.where(empty, 0, self.lo), np.where(empty, 0, self.hi)], 1)
        pairs = pairs.astype(np.int32)
        pairs.flags.writeable = False  # layers share it
        return pairs


def _merge_affine(a: Axis, b: Axis) -> Affine | None:
    if a.affine and b.affine and (a.affine[1] == b.affine[1] or a.n == 1):
        start = min(a.affine[2], b.affine[2])
        stop = max(a.affine[2] + a.affine[0], b.affine[2] + b.affine[0])
        return stop - start, max(a.affine[1], b.affine[1]), start
    if a.covers or b.covers:  # the gate of a squeeze-and-excite block
        return a.total, 0, 0
    return None


@dataclass(frozen=True, eq=False, repr=False)
class ReceptiveField:
    """What the cells of a layer can see of the image, in pixels of what the network is fed.

    Example:
        >>> import torch
        >>> import nbcnnviz as nv
        >>> field = nv.Network(torch.nn.Conv2d(3, 4, 3, padding=1)).layers()[0].field
        >>> field.size
        (3, 3)
        >>> field.box(0, 0)
        (0, 0, 2, 2)
    """

    size: tuple[int, int]
    """Height and width; in theory, thus not clipped at the borders (ResNet-18's layer4: 435)."""
    stride: tuple[int, int] | None
    """How far the fields of two neighbours lie apart; 0 where every cell sees everything.

    None where it differs from cell to cell, for example after upsampling.
    """
    offset: tuple[int, int] | None
    """Upper left corner of the first cell's field, negative with padding; None like `stride`."""
    rows: npt.NDArray[np.int32]
    """(H, 2) the input rows [start, stop) on which each row of the layer can depend."""
    columns: npt.NDArray[np.int32]
    """(W, 2) likewise."""
    exact: bool
    """False: an operation was met of which only an upper bound is known."""

    @classmethod
    def of(cls, rows: Axis, columns: Axis, exact: bool) -> ReceptiveField:
        """From the two axes of a tensor."""
        stride = offset = None
        if rows.affine and columns.affine:
            stride = rows.affine[1], columns.affine[1]
            offset = rows.affine[2], columns.affine[2]
        return cls(
            (_size(rows), _size(columns)),
            stride,
            offset,
            rows.intervals,
            columns.intervals,
            exact,
        )

    def __repr__(self) -> str:
        most = "" if self.exact else "at most "
        parts = [f"sees {most}{self.size[0]} x {self.size[1]}"]
        if self.stride is not None and self.offset is not None:
            parts += [f"stride {self.stride}", f"offset {self.offset}"]
        return f"ReceptiveField({', '.join(parts)})"

    def box(self, y: int, x: int) -> tuple[int, int, int, int]:
        """The pixels that cell (y, x) can see: top, left, bottom, right, the latter exclusive.

        Raises:
            ValueError: there is no such cell.
        """
        height, width = len(self.rows), len(self.columns)
        if not (0 <= y < height and 0 <= x < width):
            raise ValueError(
                f"(y, x): there is no cell ({y}, {x}); y goes from 0 to {height - 1}, "
                f"x from 0 to {width - 1}"
            )
        top, bottom = self.rows[y]
        left, right = self.columns[x]
        return int(top), int(left), int(bottom), int(right)


def _size(axis: Axis) -> int:
    if axis.affine:
        return axis.affine[0]
    return int(np.maximum(axis.hi - axis.lo, 0).max(initial=0))
