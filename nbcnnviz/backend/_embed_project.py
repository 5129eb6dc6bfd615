"""Maps of features in the plane: what they have in common, and PCA."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arguments import check_count
from ._embed_store import fits
from ._model import kind

Array = npt.NDArray[Any]
Points = npt.NDArray[np.float64]
Transform = Callable[[Array], Points]

_CHUNK = 64 << 20
"""Bytes of features looked at in one piece."""
_EXACT = 1024
"""Up to so many features, or rows, the components are found by a full decomposition."""


@dataclass(frozen=True, eq=False)
class Frame:
    """A map on the way to the final one."""

    xy: Points
    """(N, 2), a copy; NaN where the features are."""
    iteration: int
    total: int
    """Iterations of the whole run."""
    kl: float | None = None
    """KL divergence, of t-SNE; None at its start, before there are neighbourhoods."""
    method: str = "tsne"
    layer: str | None = None
    """In a time-lapse, whose features these are."""

    @property
    def progress(self) -> float:
        """0 to 1."""
        return self.iteration / max(1, self.total)


OnFrame = Callable[[Frame], Any]
"""Called with each frame; returning True stops, and the map so far is the result."""


@dataclass(frozen=True, eq=False)
class Projection:
    """A map of N points, with how it came about."""

    xy: Points
    """(N, 2)"""
    method: str
    options: Mapping[str, Any]
    """All of them, the defaults included."""
    notes: tuple[str, ...] = ()
    """What was assumed or left out, in sentences."""
    explained: Points | None = None
    """PCA: the share of the variance of each component, largest first."""
    kl: float | None = None
    """t-SNE: the KL divergence of `xy`; None if it was stopped at the start."""
    history: tuple[tuple[int, float], ...] = ()
    """t-SNE: iteration and KL divergence of each frame after the first."""
    iterations: int = 0
    """t-SNE: how many were done."""
    complete: bool = True
    """False after a stop."""
    width: int = 0
    """Features that a point had."""
    _transform: Transform | None = field(default=None, repr=False)

    def transform(self, features: Any) -> Points:
        """Where further points (M, D) lie in this map, which stays as it is: (M, 2).

        Raises:
            ValueError: another number of features, NaN or infinite ones.
        """
        table = Table(features)
        if table.width != self.width:
            raise ValueError(
                f"features: {table.width} per row, but this map was made of {self.width}; give "
                "those of the same layer"
            )
        if self._transform is None:
            raise ValueError(f"this map ({self.method}) takes no further points")
        return table.spread(self._transform(table.good()))


class Table:
    """Features (N, D), checked; rows that are NaN throughout stand for unreadable images."""

    def __init__(self, features: Any) -> None:
        array = features if isinstance(features, np.ndarray) else np.asarray(features)
        if array.dtype.kind not in "fiub":
            raise TypeError(f"features: an array of {array.dtype}; give real numbers")
        if array.ndim != 2 or 0 in array.shape:
            shape = " x ".join(map(str, array.shape))
            raise ValueError(f"features: {shape or 'a number'}; give (N, D), one row per point")
        self.array: Array = array
        self.rows, self.width = array.shape
        self.present = self._find_present()
        """(N,), which rows there are."""
        self.whole = bool(self.present.all())

    def _find_present(self) -> npt.NDArray[np.bool_]:
        present = np.ones(self.rows, bool)
        if self.array.dtype.kind != "f":
            return present
        for part in chunks(self.array):
            finite = np.asarray(np.isfinite(self.array[part]))
            if finite.all():
                continue
            missing = np.all(np.isnan(self.array[part]), axis=1, keepdims=True)
            bad = ~finite & ~missing
            if bad.any():
                row, column = np.argwhere(bad)[0]
                value = self.array[part.start + row, column]
                raise ValueError(
                    f"features: row {part.start + row}, column {column} is {value}; replace such "
                    "values (np.nan_to_num does), or make the whole row NaN to leave it out"
                )
            present[part] = ~missing[:, 0]
        if not present.any():
            raise ValueError("features: all rows are NaN; there is nothing to map")
        return present

    @property
    def count(self) -> int:
        """Rows that there are."""
        return int(self.present.sum())

    def good(self) -> Array:
        """(count, D)"""
        return self.array if self.whole else self.array[self.present]

    def spread(self, xy: Array) -> Points:
        """(N, 2), NaN for the missing rows."""
        points = np.full((self.rows, xy.shape[1]), np.nan)
        points[self.present] = xy
        return points

    def notes(self) -> list[str]:
        """What is to be said of missing rows, and of equal ones."""
        notes = []
        if not self.whole:
            notes.append(f"{self.rows - self.count} of {self.rows} rows are NaN and have no place.")
        if equal_rows(self.good()):
            notes.append("All rows are equal.")
        return notes


def chunks(array: Array) -> list[slice]:
    """Of rows (N, D), so that a file on disk is never in memory as a whole."""
    rows, width = array.shape
    size = max(1, _CHUNK // (width * 8))
    return [slice(i, min(i + size, rows)) for i in range(0, rows, size)]


def equal_rows(array: Array) -> bool:
    """Whether all rows (N, D) are the same, up to rounding.

    The same image gives other last digits in another batch.
    """
    first = np.asarray(array[0])
    room = 0.0
    if array.dtype.kind == "f":
        # Half precision is so coarse that its last digits may count.
        eps = min(np.finfo(array.dtype).eps, np.finfo(np.float32).eps)
        room = 4 * float(eps) * float(np.abs(first).max())
    # Mostly the last row tells.
    parts = [slice(-1, None), *chunks(array)]
    return all(_near(array[part], first, room) for part in parts)


def _near(rows: Array, first: Array, room: float) -> bool:
    if room:
        return bool((np.abs(rows - first) <= room).all())
    return bool((rows == first).all())


def initial_map(initial: Any, table: Table) -> Points:
    """A map (N, 2) to start from, without the rows that are missing: (count, 2).

    Raises:
        ValueError: another shape, NaN or infinite values.
    """
    xy = np.asarray(initial, np.float64)
    if xy.shape != (table.rows, 2):
        shape = " x ".join(map(str, xy.shape))
        raise ValueError(f"initial: {shape}; give a map {table.rows} x 2")
    xy = xy[table.present]
    if not np.isfinite(xy).all():
        raise ValueError("initial: it holds NaN or infinite values; give finite ones")
    return xy


# -- PCA ----------------------------------------------------------------------------------------


@dataclass
class Components:
    """Principal components, fitted."""

    xy: Points
    explained: Points
    notes: list[str]
    transform: Transform


def principal(features: Array, count: int, seed: int) -> Components:
    """The first principal components of features (N, D)."""
    from sklearn.decomposition import PCA

    rows, width = features.shape
    most = min(count, rows, width)
    if not fits(3 * rows * width * 8):
        return _in_pieces(features, most)
    # In double precision: the covariance of features with a large mean loses its digits else.
    values = np.asarray(features, np.float64)
    if equal_rows(features):
        return _all_equal(values, most)
    notes = []
    if min(rows, width) <= _EXACT:
        solver = "covariance_eigh" if width <= _EXACT and rows > 4 * width else "full"
        model = PCA(most, svd_solver=solver)
    else:
        model = PCA(most, svd_solver="randomized", iterated_power=7, random_state=seed)
        notes = [f"Of {rows} x {width} numbers the components are found by random projections."]
    xy = model.fit_transform(values)
    return Components(xy, model.explained_variance_ratio_, notes, model.transform)


def _in_pieces(features: Array, count: int) -> Components:
    """What does not fit in memory."""
    from sklearn.decomposition import IncrementalPCA
    from sklearn.utils import gen_batches

    rows, width = features.shape
    size = max(5 * width, count, 1000)
    pieces = list(gen_batches(rows, min(size, rows), min_batch_size=count))
    model = IncrementalPCA(count)
    for piece in pieces:
        model.partial_fit(np.asarray(features[piece], np.float64))

    def transform(some: Array) -> Points:
        parts = [model.transform(some[i : i + size]) for i in range(0, len(some), size)]
        return np.concatenate(parts)

    notes = [f"The components are found in {len(pieces)} pieces, nearly exactly: memory is short."]
    return Components(transform(features), model.explained_variance_ratio_, notes, transform)


def _all_equal(values: Array, count: int) -> Components:
    mean = values[:1]

    def transform(some: Array) -> Points:
        made: Points = np.zeros((len(some), count)) + 0 * (some - mean)[:, :1]
        return made

    zeros = np.zeros((len(values), count))
    return Components(zeros, np.zeros(count), [], transform)


def _pca(table: Table, on_frame: OnFrame | None, seed: int, *, components: int = 10) -> Projection:
    """`components`: of how many to tell the explained variance."""
    check_count("components", components)
    found = principal(table.good(), max(2, components), seed)
    xy = table.spread(_two(found.xy))
    if on_frame is not None:
        on_frame(Frame(xy.copy(), 1, 1, None, "pca"))
    return Projection(
        xy,
        "pca",
        {"components": components},
        (*table.notes(), *found.notes),
        found.explained[:components],
        width=table.width,
        _transform=lambda some: _two(found.transform(some)),
    )


def _two(xy: Array) -> Points:
    """(N, 2), also of points on a line."""
    missing = max(0, 2 - xy.shape[1])
    return np.pad(xy[:, :2], ((0, 0), (0, missing))).astype(np.float64)


# -- the front door -----------------------------------------------------------------------------


def _methods() -> dict[str, Callable[..., Projection]]:
    from ._embed_tsne import tsne
    from ._embed_umap import umap

    return {"pca": _pca, "tsne": tsne, "umap": umap}


def projection(
    features: Any,
    method: str = "pca",
    on_frame: OnFrame | None = None,
    seed: int = 0,
    **options: Any,
) -> Projection:
    """Like `project`, with explained variance, KL divergences, notes and `transform`.

    Example:
        >>> table = np.random.default_rng(0).normal(size=(60, 8))
        >>> found = projection(table, "pca")
        >>> bool(found.explained[0] >= found.explained[1]), found.transform(table[:2]).shape
        (True, (2, 2))
    """
    table = Table(features)
    methods = _methods()
    if method not in methods:
        raise ValueError(f"method={method!r}: choose one of {list(methods)}")
    if on_frame is not None and not callable(on_frame):
        raise TypeError(f"on_frame: a {kind(on_frame)} cannot be called; give a function")
    if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or not 0 <= seed < 2**32:
        raise ValueError(f"seed={seed!r}: give a whole number from 0 to 4294967295")
    run = methods[method]
    known = inspect.signature(run).parameters.values()
    names = [p.name for p in known if p.kind is p.KEYWORD_ONLY]
    free = any(p.kind is p.VAR_KEYWORD for p in known)
    for name in options:
        if name not in names and not free:
            raise TypeError(f"{name}: method={method!r} has no such option; it takes {names}")
    return run(table, on_frame, int(seed), **options)


def project(
    features: Any,
    method: str = "pca",
    on_frame: OnFrame | None = None,
    seed: int = 0,
    **options: Any,
) -> Points:
    """A map (N, 2) of features (N, D).

    "pca" is the projection on the two directions of largest variance (Pearson, 1901), computed by
    scikit-learn. "tsne" (van der Maaten & Hinton, 2008,
    https://jmlr.org/papers/v9/vandermaaten08a.html), computed by openTSNE, minimises
    KL(P || Q) = sum over i, j of p_ij log(p_ij / q_ij), with Gaussian neighbourhoods P among the
    features and those of Student's t among the points. "umap" (McInnes et al., 2018,
    https://arxiv.org/abs/1802.03426) needs the extra `umap`; it works in one go and cannot be
    stopped on the way.

    The same seed gives the same map. A row that is NaN throughout, an unreadable image, gets NaN.

    Args:
        features: (N, D), may be memory-mapped.
        method: "pca", "tsne" or "umap".
        on_frame: called with a `Frame` every few iterations of t-SNE, of the others with the
            result; returning True stops, and the map so far is returned.
        seed: for random projections, approximate neighbours, and UMAP.
        options: pca: components. tsne: perplexity (30, at most a third of the points), iterations
            (750), every (10), initial, pca (50), metric, neighbors, gradient, early_exaggeration,
            early_iterations, exaggeration, learning_rate, n_jobs, as in openTSNE. umap: neighbors
            (15), min_dist (0.1), metric, initial, and those of umap-learn.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name; too few points.
        ImportError: "umap" without its extra.

    Example:
        >>> project(np.random.default_rng(0).normal(size=(60, 8)), "pca").shape
        (60, 2)
    """
    return projection(features, method, on_frame, seed, **options).xy


def preload() -> None:
    """Import what the maps need, about a second's work, so that the first one comes at once."""
    for name in ("sklearn.decomposition", "sklearn.manifold", "sklearn.neighbors", "openTSNE"):
        importlib.import_module(name)
