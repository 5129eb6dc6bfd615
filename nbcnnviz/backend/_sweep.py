"""Where the windows of an occlusion sweep stand, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .target import Target, check_score, read

_FIRST = 0.0075
"""Share of the positions that make the first whole map, at most: it runs before the engine is
built, one image at a time, and should take a tenth of the time all the same."""
_FEWEST = 4
"""Fewer positions are no map."""


@dataclass(frozen=True)
class Grid:
    """All places of a window that moves over an image, row by row."""

    size: tuple[int, int]
    """Height and width of the image."""
    window: tuple[int, int]
    stride: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx): so many that the last window reaches or passes the edge, as in captum."""
        ny, nx = (
            -(-(size - window) // stride) + 1
            for size, window, stride in zip(self.size, self.window, self.stride, strict=True)
        )
        return ny, nx

    @cached_property
    def spans(self) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
        """(start, length) by row and by column; the last window is clipped at the edge."""
        rows, columns = (
            [(i * stride, min(window, size - i * stride)) for i in range(count)]
            for size, window, stride, count in zip(
                self.size, self.window, self.stride, self.shape, strict=True
            )
        )
        return rows, columns

    @cached_property
    def positions(self) -> Tensor:
        """(ny * nx, 4): top, left, height and width of what is hidden."""
        rows, columns = self.spans
        return torch.tensor(
            [(top, left, high, wide) for top, high in rows for left, wide in columns], device="cpu"
        )

    def corner(self, number: int) -> tuple[int, int]:
        """Top and left of the full-sized window that holds what is hidden at a position."""
        top, left = self.positions[number, :2].tolist()
        return min(top, self.size[0] - self.window[0]), min(left, self.size[1] - self.window[1])

    @cached_property
    def steps(self) -> list[int]:
        """The grid is visited at every 8th position, say, then at every 4th, 2nd, 1st."""
        ny, nx = self.shape
        most = max(_FEWEST, _FIRST * ny * nx)
        step = 1
        while step < max(ny, nx) and _count(ny, step) * _count(nx, step) > most:
            step *= 2
        return [1 << i for i in range(step.bit_length() - 1, -1, -1)]

    def levels(self) -> list[list[int]]:
        """Positions by number, coarse to fine: the first level alone is a whole map."""
        seen: set[int] = set()
        levels = []
        for step in self.steps:
            fresh = [n for n in self._level(step) if n not in seen]
            seen.update(fresh)
            if fresh:
                levels.append(fresh)
        return levels

    def _level(self, step: int) -> list[int]:
        ny, nx = self.shape
        rows, columns = (range(*_line(count, step, self.steps[0])) for count in (ny, nx))
        return [y * nx + x for y in rows for x in columns]

    def nearest(self, known: Tensor) -> Tensor:
        """For each position the number of a known one close by, (ny, nx); -1 where none is.

        Args:
            known: (ny, nx) of bool; filled level by level.
        """
        ny, nx = self.shape
        found = torch.full((ny, nx), -1, device="cpu")
        for step in self.steps:
            y, x = (_closest(count, step, self.steps[0]) for count in (ny, nx))
            numbers = y[:, None] * nx + x
            # Finer levels overwrite coarser ones where they are there.
            found = torch.where(known.flatten()[numbers], numbers, found)
        return found

    def spread(self, values: Tensor) -> Tensor:
        """For each pixel the mean of the values (ny, nx) of the windows over it, (H, W).

        Values that are NaN do not count; a pixel without any is NaN.
        """
        rows, columns = (
            _cover(spans, size) for spans, size in zip(self.spans, self.size, strict=True)
        )
        there = ~values.isnan()
        # Float64: sums of many windows stay exact to what float32 shows.
        total = rows.T @ values.double().nan_to_num(0) @ columns
        count = rows.T @ there.double() @ columns
        return (total / count).to(values.dtype)


def _count(positions: int, step: int) -> int:
    return len(range(*_line(positions, step, step)))


def _line(positions: int, step: int, first: int) -> tuple[int, int, int]:
    """The coarsest level begins half a step inside, so that its cells are centred."""
    start = min(step, positions) // 2 if step == first else 0
    return start, positions, step


def _closest(positions: int, step: int, first: int) -> Tensor:
    """For each of the positions the closest one on a level."""
    line = torch.tensor(list(range(*_line(positions, step, first))), device="cpu")
    every = torch.arange(positions, device="cpu")
    return line[(every[:, None] - line).abs().argmin(1)]


def _cover(spans: Sequence[tuple[int, int]], size: int) -> Tensor:
    """(n, size): 1 where a window covers a pixel."""
    cover = torch.zeros(len(spans), size, dtype=torch.float64, device="cpu")
    for row, (start, length) in zip(cover, spans, strict=True):
        row[start : start + length] = 1
    return cover


@dataclass(frozen=True, eq=False, repr=False)
class Sweep:
    """What a network answers while a window hides one part of the image after another.

    `scores` is the map of Zeiler & Fergus (2014, fig. 7): the score itself, low where the hidden
    part mattered. `drop` is captum's: how much the score falls, high where it mattered. All
    tensors are on the CPU. What an unfinished sweep does not know is NaN, for classes -1.
    """

    target: Target
    score: str
    """"logit" or "probability"."""
    window: tuple[int, int]
    """Height and width in pixels of the network's input."""
    stride: tuple[int, int]
    size: tuple[int, int]
    """Height and width of the network's input."""
    fill: Any
    logits: Tensor
    """(ny, nx, classes), the logits at each position; no classes if the network has none."""
    clean: Tensor
    """(classes,), the logits of the whole image."""
    known: Tensor
    """(ny, nx), which positions are done."""
    complete: bool
    """Whether all are; not so after a stop."""
    engine: str
    """"incremental" or "plain": what computed it."""
    note: str
    """Why that engine, and what else should be known; may be empty."""
    precision: str
    """"float32" (the network's own) or "bfloat16" (a preview)."""
    labels: tuple[str, ...] | None = None
    """Of the classes."""
    unit: Target | None = None
    """The layer's unit that was measured along the way."""
    activations: Tensor | None = None
    """(ny, nx), what `unit` gave at each position."""
    clean_activation: float = math.nan
    """What `unit` gives for the whole image."""

    def __repr__(self) -> str:
        ny, nx = self.known.shape
        done = "" if self.complete else f", {int(self.known.sum())} of them done"
        sizes = ", ".join(
            f"{name} {pair[0]} x {pair[1]}"
            for name, pair in (("window", self.window), ("stride", self.stride))
        )
        return (
            f"Sweep({self.score} of {self.target.name}: {ny} x {nx} positions{done}; {sizes}; "
            f"engine {self.engine})"
        )

    @property
    def grid(self) -> Grid:
        """Where the windows stand."""
        return Grid(self.size, self.window, self.stride)

    @property
    def positions(self) -> Tensor:
        """(ny * nx, 4): top, left, height and width in pixels of what is hidden, row by row."""
        return self.grid.positions

    @cached_property
    def scores(self) -> Tensor:
        """(ny, nx): the target's score with that part hidden, as Zeiler & Fergus plot it."""
        if self.target.needs_layer:
            assert self.activations is not None
            return self.activations
        values = self.clean.new_full(self.known.shape, math.nan)
        values[self.known] = self.target.scores(self.logits[self.known], self.score)
        return values

    @cached_property
    def baseline(self) -> float:
        """The target's score for the whole image."""
        if self.target.needs_layer:
            return self.clean_activation
        return float(self.target.scores(self.clean[None], self.score)[0])

    @cached_property
    def predicted(self) -> Tensor:
        """(ny, nx): the class predicted with that part hidden."""
        if not self.logits.shape[2]:
            return torch.full(self.known.shape, -1, device="cpu")
        return torch.where(self.known, self.logits.argmax(2), -1)

    @property
    def prediction(self) -> int:
        """The class predicted for the whole image; -1 if there are no classes."""
        return int(self.clean.argmax()) if len(self.clean) else -1

    @cached_property
    def flips(self) -> Tensor:
        """(ny, nx): where hiding that part changes the predicted class."""
        return self.known & (self.predicted != self.prediction)

    @cached_property
    def drop(self) -> Tensor:
        """(H, W): mean of baseline - score over all windows that cover the pixel, as in captum."""
        return self.grid.spread(self.baseline - self.scores)

    def for_target(self, target: Any, score: str | None = None) -> Sweep:
        """The same sweep seen from another target; nothing is computed anew.

        Args:
            target: see `Target.of`. Of a layer's units just the one that was measured.
            score: "logit" or "probability"; None: as it was.

        Raises:
            TypeError, ValueError: no such target, or a unit that was not measured.
        """
        chosen = read(target, self.labels)
        if chosen.needs_layer:
            if chosen != self.unit:
                raise ValueError(
                    f"target={chosen.name!r}: units have to be measured during the sweep; call "
                    "occlusion_sweep with this target"
                )
        else:
            if not len(self.clean):
                raise ValueError(f"target={chosen.name!r}: the network puts out no class scores")
            chosen = chosen.resolve(self.clean, self.labels)
        how = (self.score if not chosen.needs_layer else "logit") if score is None else score
        check_score(how, chosen)
        made = replace(self, target=chosen, score=how)
        # A function that fails does so here rather than when the map is looked at.
        made.scores, made.baseline  # noqa: B018
        return made

    def preview(self) -> Sweep:
        """A sweep to look at: what is not done yet is taken from the nearest position that is."""
        if self.complete:
            return self
        nearest = self.grid.nearest(self.known)
        numbers = nearest.clamp(min=0).flatten()
        known = nearest >= 0
        shape = self.known.shape
        maps = self.activations
        return replace(
            self,
            logits=self.logits.flatten(0, 1)[numbers].reshape(*shape, -1),
            activations=None if maps is None else maps.flatten()[numbers].reshape(shape),
            known=known,
        )


@dataclass(frozen=True, eq=False)
class Frame:
    """A sweep on its way."""

    done: int
    """Positions computed."""
    total: int
    """Positions in all."""
    seconds: float
    """Since the beginning."""
    sweep: Sweep
    """What is known so far; `sweep.preview()` fills the gaps for the eye."""

    @property
    def scores(self) -> Tensor:
        """(ny, nx): the target's scores so far, NaN elsewhere."""
        return self.sweep.scores

    @property
    def left(self) -> float:
        """Seconds that the rest will take if it goes on as it did."""
        return self.seconds / max(self.done, 1) * (self.total - self.done)
