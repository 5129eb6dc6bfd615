"""How far a map in the plane can be trusted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from ._attr_pixels import check_count
from ._embed_project import Table

_MOST = 3000
"""Trustworthiness compares all pairs; of more points a sample is taken."""


@dataclass(frozen=True)
class Quality:
    """Figures of a map; 1 is best."""

    trustworthiness: float | None
    """0 to 1: whether neighbours in the map are neighbours among the features; None if all rows of
    features are equal."""
    purity: float | None
    """Share of a point's neighbours in the map with its label; None without labels."""
    features_purity: float | None
    """The same among the features: what the map cannot be expected to exceed by much."""
    chance: float | None
    """The purity of a map without any order."""
    neighbors: int
    notes: tuple[str, ...] = ()


def quality(
    features: Any, xy: Any, labels: Any = None, neighbors: int = 10, seed: int = 0
) -> Quality:
    """Trustworthiness and neighbours' purity of a map, by scikit-learn.

    Trustworthiness (Venna & Kaski, 2001) is 1 - 2 / (N k (2N - 3k - 1)) times the sum, over the
    k neighbours j of each point i in the map that are none among the features, of r(i, j) - k,
    with r their rank among the features. Purity is the mean share of a point's k neighbours that
    have its label.

    Args:
        features: (N, D).
        xy: the map (N, 2). Rows that are NaN in either are left out.
        labels: (N,), anything that can be compared; points with None or NaN count for
            trustworthiness only.
        neighbors: k; less if there are not twice as many points.
        seed: of the sample of 3,000 points that is taken of more.

    Raises:
        TypeError, ValueError: shapes that do not match; fewer than 4 points.

    Example:
        >>> table = np.random.default_rng(0).normal(size=(60, 2))
        >>> quality(table, table).trustworthiness
        1.0
    """
    from sklearn.manifold import trustworthiness

    table, points = Table(features), Table(xy)
    if table.rows != points.rows:
        raise ValueError(f"xy: {points.rows} rows for {table.rows} of features; give as many")
    check_count("neighbors", neighbors)
    names = None if labels is None else _codes(labels, table.rows)
    rows = np.flatnonzero(table.present & points.present)
    if len(rows) < 4:
        raise ValueError(f"xy: {len(rows)} points are too few; give at least 4")
    notes = []
    if len(rows) > _MOST:
        notes.append(f"Of {len(rows)} points {_MOST} were drawn.")
        rows = np.sort(np.random.default_rng(seed).choice(rows, _MOST, replace=False))
    k = min(neighbors, (len(rows) - 1) // 2)
    if k < neighbors:
        notes.append(f"{k} neighbours, since there are only {len(rows)} points.")
    high, low = np.asarray(table.array[rows], np.float64), points.array[rows]
    if (high == high[0]).all():
        notes.append("All rows of features are equal: nobody is nearer than the others.")
        return Quality(None, None, None, None, k, tuple(notes))
    trust = float(trustworthiness(high, low, n_neighbors=k))
    if names is None:
        return Quality(trust, None, None, None, k, tuple(notes))
    names = names[rows]
    known = names >= 0
    counts = np.bincount(names[known])
    total = int(counts.sum())
    if total < 2:
        return Quality(trust, None, None, None, k, tuple(notes))
    if not known.all():
        notes.append(f"Of purity {int((~known).sum())} points without a label are left out.")
    k = min(k, total - 1)
    chance = float((counts * (counts - 1)).sum() / (total * (total - 1)))
    shown, inside = (_purity(part[known], names[known], k) for part in (low, high))
    return Quality(trust, shown, inside, chance, k, tuple(notes))


def _codes(labels: Any, count: int) -> Any:
    """(N,) 0, 1, ...; -1 for None and NaN."""
    array = np.asarray(labels)
    if array.shape != (count,):
        shape = " x ".join(map(str, array.shape)) or "a single one"
        raise ValueError(f"labels: {shape}; give {count}, one per row")
    missing = np.array([each is None or each != each for each in array.tolist()], bool)
    if array.dtype == object:
        array = np.array([str(each) for each in labels])
    codes = np.full(count, -1)
    codes[~missing] = np.unique(array[~missing], return_inverse=True)[1]
    return codes


def _purity(points: Any, names: Any, k: int) -> float:
    from sklearn.neighbors import NearestNeighbors

    near = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)
    return float((names[near] == names[:, None]).mean())
