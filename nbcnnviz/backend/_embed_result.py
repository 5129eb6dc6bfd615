"""What an extraction of features returns."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._embed_read import ANSWER
from ._embed_source import Source

Floats = npt.NDArray[np.float32]
_CHUNK = 64 << 20
"""Bytes of features looked at in one piece."""
Progress = Callable[[int, int], Any]
"""Called with the images done and of how many (0: not known); returning True stops."""


@dataclass(frozen=True)
class Failure:
    """An image that could not be read."""

    index: int
    """Among those given, from 0 on; its row is NaN."""
    name: str
    """Its file, or "image 7"."""
    reason: str


@dataclass(frozen=True, eq=False)
class Extraction:
    """Features of many images, with what happened on the way."""

    layers: Mapping[str, Floats]
    """(N, D) by layer: row i is of image i."""
    failures: tuple[Failure, ...]
    """Images whose rows are NaN."""
    total: int
    """How many images there are; 0 if a stop came before that was known."""
    complete: bool
    """Whether all were looked at; not so after a stop."""
    resumed: int = 0
    """So many rows were in the file already."""
    notes: tuple[str, ...] = ()
    """What was assumed, and which layers put out NaN or infinity, in sentences."""

    @property
    def features(self) -> Floats:
        """(N, D) of the only layer, or of the first."""
        return next(iter(self.layers.values()))

    def __repr__(self) -> str:
        what = ", ".join(f"{name} {len(v)} x {v.shape[1]}" for name, v in self.layers.items())
        bad = f", {len(self.failures)} unreadable" if self.failures else ""
        return f"Extraction({what}{bad}{'' if self.complete else ', stopped'})"


def failed(source: Source, reasons: Mapping[int, str]) -> tuple[Failure, ...]:
    """Unreadable images by number."""
    return tuple(Failure(i, source.name(i), why) for i, why in sorted(reasons.items()))


def faulty(layers: Mapping[str, Floats], failures: Mapping[int, str]) -> list[str]:
    """What is to be said of layers that put out what no map can be made of.

    Args:
        layers: (N, D) by layer.
        failures: images whose rows are NaN for want of an image.
    """
    notes = []
    for name, table in layers.items():
        size = max(1, _CHUNK // max(1, 4 * table.shape[1]))
        rows = [
            start + int(row)
            for start in range(0, len(table), size)
            for row in np.flatnonzero(~np.isfinite(table[start : start + size]).all(1))
            if start + int(row) not in failures
        ]
        # That a network has no classes is no fault.
        if rows and name != ANSWER:
            notes.append(
                f"Layer {name!r} puts out NaN or infinity in {len(rows)} of {len(table)} rows; the "
                f"first is row {rows[0]}."
            )
    return notes


def none_readable(source: Source, reasons: Mapping[int, str]) -> ValueError:
    """Says so, with the first reason."""
    if not reasons:
        return ValueError("images: there are none")
    first = min(reasons)
    return ValueError(
        f"images: none of {len(reasons)} could be read; {source.name(first)}: {reasons[first]}"
    )
