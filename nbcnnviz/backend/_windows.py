"""Parts of maps that differ from a base, one per image of a batch.

Changing a few pixels changes a rectangle of each map, its window. Everything outside is as in the
base, the maps of the unchanged image.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Offsets: TypeAlias = npt.NDArray[np.int64]
"""The first row, or column, of each image's window, (B,)."""

_PADDING = {0.0: 0, float("-inf"): 1}
"""Rows behind the last position of a base's table, by the value they are filled with."""


class Layout(NamedTuple):
    """Where a tensor (B, ...) keeps the positions of its maps."""

    y: int
    """The dimension of the rows; that of the columns is the next."""
    height: int
    width: int

    @property
    def area(self) -> int:
        return self.height * self.width


class Box(NamedTuple):
    """Rectangles of one size in maps, each image's at its own place."""

    tops: Offsets
    lefts: Offsets
    height: int
    width: int

    @property
    def area(self) -> int:
        return self.height * self.width

    def same(self, other: Box) -> bool:
        return (
            self.height == other.height
            and self.width == other.width
            and bool((self.tops == other.tops).all() and (self.lefts == other.lefts).all())
        )


@dataclass(eq=False)
class Window:
    """What a batch of images holds within a box; outside, they equal the base."""

    values: Tensor
    """(B, ..., h, w, ...), as in the layout of the whole."""
    box: Box
    whole: Tensor | None = None
    """The maps with the window pasted in, once somebody has needed them."""


def copied(value: Window | Tensor) -> Window | Tensor:
    """In memory of its own."""
    if isinstance(value, Window):
        return Window(value.values.clone(), value.box)
    return value.clone()


def bytes_of(value: Any) -> int:
    """Of a window, a tensor, or several of them."""
    if isinstance(value, Window):
        return bytes_of(value.values) + bytes_of(value.whole)
    if isinstance(value, Tensor):
        return value.numel() * value.element_size()
    return sum(map(bytes_of, value)) if isinstance(value, list | tuple) else 0


def to_rows(values: Tensor, y: int) -> Tensor:
    """(B, ..., h, w, ...) as (B, h, w, rest). No copy for 4-D tensors in channels_last."""
    if y == 2 and values.ndim == 4:
        return values.permute(0, 2, 3, 1)
    if y != 1:
        values = values.movedim((y, y + 1), (1, 2))
    return values.flatten(3) if values.ndim > 3 else values.unsqueeze(3)


def from_rows(rows: Tensor, y: int, rest: tuple[int, ...]) -> Tensor:
    """The inverse of `to_rows`; `rest` are the sizes besides the batch and the positions."""
    if y == 2 and len(rest) == 1:
        return rows.permute(0, 3, 1, 2)
    values = rows.reshape(*rows.shape[:3], *rest)
    return values.movedim((1, 2), (y, y + 1)) if y != 1 else values


@dataclass(eq=False)
class Base:
    """The maps of the unchanged image at one place in the graph."""

    table: Tensor
    """(H * W + 2, R): a row for each position, then one of zeros and one of -inf."""
    layout: Layout
    rest: tuple[int, ...]
    facts: dict[str, Any] = field(default_factory=dict)
    """What follows from the table and is dropped with a change: sums, maxima."""

    @classmethod
    def of(cls, values: Tensor, layout: Layout) -> Base:
        """A copy of the maps (1, ...) of one image."""
        rows = to_rows(values, layout.y)
        table = rows.new_empty(layout.area + len(_PADDING), rows.shape[3])
        table[: layout.area].view(layout.height, layout.width, -1).copy_(rows[0])
        for fill, place in _PADDING.items():
            table[layout.area + place] = fill
        rest = (*values.shape[1 : layout.y], *values.shape[layout.y + 2 :])
        return cls(table, layout, rest)

    @property
    def rows(self) -> Tensor:
        """(H, W, R), a view."""
        return self.table[: self.layout.area].view(self.layout.height, self.layout.width, -1)

    @property
    def values(self) -> Tensor:
        """The maps in the layout of the graph, (1, ...), a view."""
        return from_rows(self.rows[None], self.layout.y, self.rest)

    def bytes(self) -> int:
        return self.table.numel() * self.table.element_size()

    def changed(self, value: Window | Tensor, copy: bool) -> Base:
        """With the only image of a batch pasted in for good; in place unless `copy`."""
        table = self.table.clone() if copy else self.table
        made = Base(table, self.layout, self.rest)
        if isinstance(value, Window):
            rows, box = to_rows(value.values, self.layout.y), value.box
            top, left = int(box.tops[0]), int(box.lefts[0])
            made.rows[top : top + box.height, left : left + box.width] = rows[0]
        else:
            made.rows.copy_(to_rows(value, self.layout.y)[0])
        return made

    def crop(self, box: Box, window: Window, padding: float = 0.0) -> Tensor:
        """(B, h, w, R): what the changed images hold in a box, which may reach over the edge.

        Args:
            box: where, and how much.
            window: what has changed.
            padding: what lies beyond the edge, 0 or -inf.
        """
        changed = to_rows(window.values, self.layout.y)
        within = _fixed_offset(box, window.box)
        index = self._index(box, padding)
        size = (len(box.tops), box.height, box.width, -1)
        if within is None:
            index = _detour(index, box, window.box, len(self.table))
            both = torch.cat([self.table, changed.reshape(-1, changed.shape[3])])
            return both.index_select(0, self._send(index)).view(size)
        out = self.table.index_select(0, self._send(index)).view(size)
        (y, h), (x, w) = within
        rows, columns = _overlap(y, h, box.height), _overlap(x, w, box.width)
        if rows is not None and columns is not None:
            out[:, rows[0], columns[0]] = changed[:, rows[1], columns[1]]
        return out

    def old(self, box: Box) -> Tensor:
        """(B, h, w, R): the base itself in a box that lies within the maps."""
        index = self._send(self._index(box, 0.0))
        return self.table.index_select(0, index).view(len(box.tops), box.height, box.width, -1)

    def whole(self, window: Window) -> Tensor:
        """The changed maps in the layout of the graph, (B, ...)."""
        if window.whole is None:
            changed, box = to_rows(window.values, self.layout.y), window.box
            count, area = len(box.tops), self.layout.area
            rows = self.table[:area].repeat(count, 1)
            index = self._index(box, 0.0) + (np.arange(count) * area)[:, None, None]
            rows.index_copy_(0, self._send(index), changed.reshape(-1, changed.shape[3]))
            shaped = rows.view(count, self.layout.height, self.layout.width, -1)
            window.whole = from_rows(shaped, self.layout.y, self.rest)
        return window.whole

    def _index(self, box: Box, padding: float) -> Offsets:
        """(B, h, w): rows of the table."""
        height, width = self.layout.height, self.layout.width
        y = box.tops[:, None] + np.arange(box.height)
        x = box.lefts[:, None] + np.arange(box.width)
        beyond_y, beyond_x = (y < 0) | (y >= height), (x < 0) | (x >= width)
        index: Offsets = (y * width)[:, :, None] + x[:, None, :]
        if beyond_y.any() or beyond_x.any():
            beyond = beyond_y[:, :, None] | beyond_x[:, None, :]
            index[beyond] = self.layout.area + _PADDING[padding]
        return index

    def _send(self, index: Offsets) -> Tensor:
        return torch.from_numpy(index.reshape(-1)).to(self.table.device, non_blocking=True)


Span: TypeAlias = tuple[int, int]


def _fixed_offset(box: Box, window: Box) -> tuple[Span, Span] | None:
    """First row and height, first column and width of all windows within their boxes."""
    y, x = window.tops - box.tops, window.lefts - box.lefts
    if (y != y[0]).any() or (x != x[0]).any():
        return None
    return (int(y[0]), window.height), (int(x[0]), window.width)


def _overlap(start: int, length: int, size: int) -> tuple[slice, slice] | None:
    """Where `length` cells from `start` on meet 0..size: there, and counted from `start`."""
    first, end = max(start, 0), min(start + length, size)
    return (slice(first, end), slice(first - start, end - start)) if first < end else None


def _detour(index: Offsets, box: Box, window: Box, behind: int) -> Offsets:
    """Let the cells of a box that lie in the window be read `behind` the table."""
    y = (box.tops - window.tops)[:, None] + np.arange(box.height)
    x = (box.lefts - window.lefts)[:, None] + np.arange(box.width)
    inside = ((y >= 0) & (y < window.height))[:, :, None] & ((x >= 0) & (x < window.width))[:, None]
    starts = behind + np.arange(len(y)) * window.area
    return np.where(inside, (starts[:, None] + y * window.width)[:, :, None] + x[:, None], index)


def reach(first: Offsets, length: int, op: Sweep, size: int) -> tuple[Offsets, int]:
    """Which outputs of a sliding operation see `length` inputs from `first` on, along one axis.

    Returns the first output of each image and how many there are, the same number for all: who
    has fewer, at an edge, gets unchanged ones too.
    """
    low = -((op.dilation * (op.kernel - 1) - op.padding - first) // op.stride)
    high = (first + length - 1 + op.padding) // op.stride
    low, high = np.maximum(low, 0), np.minimum(high, size - 1)
    count = max(int((high - low).max()) + 1, 1)
    return np.clip(low, 0, size - count), count


class Sweep(NamedTuple):
    """A sliding operation along one axis."""

    kernel: int
    stride: int
    padding: int
    dilation: int

    @property
    def trivial(self) -> bool:
        """Each output is made of the input at the same place alone."""
        return (self.kernel, self.stride, self.padding) == (1, 1, 0)

    def sees(self, first: Offsets, count: int) -> tuple[Offsets, int]:
        """The inputs that `count` outputs from `first` on are made of; some lie beyond an edge."""
        length = (count - 1) * self.stride + self.dilation * (self.kernel - 1) + 1
        return first * self.stride - self.padding, length


def union(boxes: list[Box], layout: Layout) -> Box:
    """The smallest boxes of one size around those of each image."""
    first = boxes[0]
    if all(box is first or box.same(first) for box in boxes[1:]):
        return first
    tops, height = _span([(b.tops, b.height) for b in boxes], layout.height)
    lefts, width = _span([(b.lefts, b.width) for b in boxes], layout.width)
    return Box(tops, lefts, height, width)


def _span(parts: list[tuple[Offsets, int]], size: int) -> tuple[Offsets, int]:
    low = np.minimum.reduce([first for first, _ in parts])
    high = np.maximum.reduce([first + length for first, length in parts])
    length = min(int((high - low).max()), size)
    return np.minimum(low, size - length), length
