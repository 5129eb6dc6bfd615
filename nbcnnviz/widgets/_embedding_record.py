"""Maps, selections and time-lapses of an Embedding as the page gets them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..backend._embed_project import Frame, Projection
from ..backend._embed_quality import Quality
from ._codec import Array, pack

Points = npt.NDArray[np.float64]
Indices = npt.NDArray[np.int64]

METHODS = ("pca", "tsne", "umap", "given")
NOWHERE = 65535
"""The code of a coordinate that there is not."""
_CODES = 65534
COMPONENTS = 20
"""Whose explained variance is told."""


@dataclass(frozen=True)
class Question:
    """Which map: what does not matter to the method is 0."""

    layer: str
    method: str
    perplexity: float
    iterations: int

    @classmethod
    def of(cls, layer: str, method: str, perplexity: float, iterations: int) -> Question:
        """Of the settings."""
        near = perplexity if method in ("tsne", "umap") else 0.0
        layer = "" if method == "given" else layer
        return cls(layer, method, near, iterations if method == "tsne" else 0)


@dataclass(frozen=True, eq=False)
class Map:
    """Where the points lie, on the way or at the end."""

    question: Question
    run: int
    """Grows from map to map."""
    xy: Points
    """(N, 2), NaN without a place."""
    iteration: int = 0
    total: int = 0
    kl: float | None = None
    complete: bool = False
    projection: Projection | None = None
    """None on the way."""
    quality: Quality | None = None
    notes: tuple[str, ...] = ()
    seconds: float = 0.0

    def with_frame(self, frame: Frame, seconds: float) -> Map:
        """The same run, further on."""
        return Map(
            *(self.question, self.run, frame.xy, frame.iteration, frame.total, frame.kl),
            notes=self.notes,
            seconds=seconds,
        )

    def blob(self, index: Array | None = None) -> bytes:
        """The answer of lane "embed"; with `index` of these points only."""
        explained = None if self.projection is None else self.projection.explained
        found = self.quality
        quality = None if found is None else asdict(found)
        if quality is not None:
            del quality["notes"]
        meta = {
            "run": self.run,
            "layer": self.question.layer,
            "method": self.question.method,
            "iteration": self.iteration,
            "total": self.total,
            "kl": self.kl,
            "complete": self.complete,
            "explained": None if explained is None else explained[:COMPONENTS].tolist(),
            "quality": quality,
            "notes": [*self.notes, *(found.notes if found else ())],
            "sample": index is not None,
            "seconds": round(self.seconds, 2),
        }
        codes, span = coded(self.xy)
        return pack(meta, {"xy": codes if index is None else codes[index], "range": span})


def coded(xy: Points) -> tuple[Array, Array]:
    """Places as 16 bits of a square that holds them all, and the square: x0, x1, y0, y1."""
    good = np.isfinite(xy).all(-1)
    some = xy[good]
    low, high = (some.min(0), some.max(0)) if len(some) else (np.zeros(2), np.zeros(2))
    half = float((high - low).max()) / 2 or 1.0
    centre = (low + high) / 2
    span = np.stack([centre - half, centre + half], 1).ravel().astype(np.float32)
    # What the page computes with is the rounded square.
    start, size = span[[0, 2]].astype(np.float64), np.diff(span.astype(np.float64))[[0, 2]]
    codes = np.full(xy.shape, NOWHERE, np.uint16)
    codes[good] = np.clip(np.rint((some - start) / size * _CODES), 0, _CODES).astype(np.uint16)
    return codes, span


def decoded(codes: Array, span: Array) -> Points:
    """Places as the page sees them."""
    start, size = span[[0, 2]].astype(np.float64), np.diff(span.astype(np.float64))[[0, 2]]
    xy: Points = start + codes / _CODES * size
    xy[codes == NOWHERE] = np.nan
    return xy


def lapse_blob(
    layers: Sequence[str], method: str, maps: Sequence[Points], complete: bool, index: Any = None
) -> bytes:
    """The answer of lane "lapse": one square for all layers."""
    codes, span = coded(np.stack(maps))
    meta = {"layers": list(layers), "method": method, "complete": complete}
    return pack(meta, {"xy": codes if index is None else codes[:, index], "range": span})


def bits_of(indices: Indices, count: int) -> npt.NDArray[np.uint8]:
    """A set of points, one bit for each, the lowest first."""
    chosen = np.zeros(count, bool)
    chosen[indices] = True
    return np.packbits(chosen, bitorder="little")


def indices_of(bits: Array, count: int) -> Indices:
    """The set that a page sent.

    Raises:
        ValueError: it is of another number of points.
    """
    if len(bits) != -(-count // 8):
        raise ValueError(f"expected {-(-count // 8)} bytes, one bit for each of {count} points")
    return np.flatnonzero(np.unpackbits(bits, count=count, bitorder="little"))


def selection_blob(indices: Indices, count: int, origin: str) -> bytes:
    """The trait `_selection`."""
    bits = bits_of(indices, count) if len(indices) else np.zeros(0, np.uint8)
    return pack({"origin": origin, "count": len(indices)}, {"bits": bits})


def read_selection(value: Any, count: int) -> Indices:
    """Indices, or a mask, as sorted indices, each once.

    Raises:
        TypeError, ValueError: neither, or a point that there is not.
    """
    if value is None:
        return np.zeros(0, np.int64)
    if isinstance(value, Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise TypeError(
            f"selection={value!r}: give indices, or a mask of {count} booleans; [] for none"
        )
    # A set is no sequence of its elements to NumPy.
    array = np.asarray(value if hasattr(value, "__len__") and not _is_set(value) else list(value))
    if array.dtype == bool:
        if array.shape != (count,):
            shape = " x ".join(map(str, array.shape))
            raise ValueError(f"selection: a mask of {shape}; give {count} booleans, or indices")
        return np.flatnonzero(array)
    if array.size == 0:
        return np.zeros(0, np.int64)
    if array.ndim != 1 or array.dtype.kind not in "iu":
        what = f"{array.ndim} dimensions" if array.ndim != 1 else f"{array.dtype}"
        raise TypeError(f"selection: {what}; give whole numbers from 0 to {count - 1}, or a mask")
    if array.min() < 0 or array.max() >= count:
        wrong = array[(array < 0) | (array >= count)][0]
        raise ValueError(f"selection: there is no point {wrong}; give 0 to {count - 1}")
    return np.unique(array).astype(np.int64)


def _is_set(value: Any) -> bool:
    return isinstance(value, set | frozenset)


def evenly(indices: Array, most: int) -> Array:
    """At most so many of them, from all over."""
    if len(indices) <= most:
        return indices
    some: Array = indices[np.linspace(0, len(indices) - 1, most).round().astype(np.int64)]
    return some


def sample_of(count: int, bytes_each: int, room: int, most: int = 50_000) -> Array | None:
    """The points that a saved notebook keeps; None for all.

    Args:
        count: N.
        bytes_each: that each takes, its number not counted.
        room: bytes.
        most: points.
    """
    if count <= most and count * bytes_each <= room:
        return None
    kept = min(most, room // (bytes_each + 4))
    chosen = np.random.default_rng(0).choice(count, kept, replace=False)
    return np.sort(chosen).astype(np.int32)
