"""How far a map in the plane can be trusted."""

from __future__ import annotations

import hashlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ._arguments import check_count
from ._embed_project import Array, Table, equal_rows

Rows = npt.NDArray[np.int64]

_MOST = 3000
"""Trustworthiness compares all pairs; of more points a sample is taken."""
_LEAST = 4
"""Points of which figures can be given."""


@dataclass(frozen=True)
class Quality:
    """Figures of a map; 1 is best. Those that cannot be told are None, and a note says why."""

    trustworthiness: float | None
    """0 to 1: whether neighbours in the map are neighbours among the features."""
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
    have its label; by chance it is the sum of n (n - 1) / (N (N - 1)) over labels of n points.
    Points without a label are left out of both, as if they were not there.

    Of equal points none is nearer than another: what would depend on that is None.

    Args:
        features: (N, D).
        xy: the map (N, 2). Rows that are NaN in either are left out.
        labels: (N,), anything that can be compared. None, NaN (pandas' NA and NaT, too), and in a
            masked array what is masked stand for no label: of codes with 65535 for none give
            np.ma.masked_equal(codes, 65535).
        neighbors: k; less if there are not twice as many points.
        seed: of the sample of 3,000 points that is taken of more.

    Raises:
        TypeError, ValueError: shapes that do not match; fewer than 4 points.

    Example:
        >>> table = np.random.default_rng(0).normal(size=(60, 2))
        >>> quality(table, table).trustworthiness
        1.0
        >>> quality(table, table, [None] * 60).purity is None
        True
    """
    table, points = Table(features), Table(xy)
    if table.rows != points.rows:
        raise ValueError(f"xy: {points.rows} rows for {table.rows} of features; give as many")
    check_count("neighbors", neighbors)
    codes = None if labels is None else _codes(labels, table.rows)
    rows = np.flatnonzero(table.present & points.present)
    if len(rows) < _LEAST:
        raise ValueError(f"xy: {len(rows)} points are too few; give at least {_LEAST}")
    notes: list[str] = []
    some = _sample(rows, seed, notes)
    k = min(neighbors, (len(some) - 1) // 2)
    if k < neighbors:
        notes.append(f"{k} neighbours, since there are only {len(rows)} points.")
    trust = _trust(_values(table, some), _values(points, some), k, notes)
    if codes is None:
        return Quality(trust, None, None, None, k, tuple(notes))
    named = rows[codes[rows] >= 0]
    if len(named) < len(rows):
        notes.append(f"{len(rows) - len(named)} of {len(rows)} points have no label.")
    if len(named) < _LEAST:
        notes.append(f"No purity: fewer than {_LEAST} points have a label.")
        return Quality(trust, None, None, None, k, tuple(notes))
    if len(named) < len(rows):
        some = _sample(named, seed, notes)
    near = min(k, (len(some) - 1) // 2)
    if near < k:
        notes.append(f"Purity is that of {near} neighbours: only {len(named)} have a label.")
    mine = codes[some]
    there, before = (_purity(_values(t, some), mine, near) for t in (points, table))
    return Quality(trust, there, before, _chance(mine), k, tuple(notes))


def _sample(rows: Rows, seed: int, notes: list[str]) -> Rows:
    """No more than 3,000 of them."""
    if len(rows) <= _MOST:
        return rows
    notes.append(f"Of {len(rows)} points {_MOST} were drawn.")
    return np.sort(np.random.default_rng(seed).choice(rows, _MOST, replace=False))


def _values(table: Table, rows: Rows) -> Array:
    return np.asarray(table.array[rows])


def _trust(high: Array, low: Array, k: int, notes: list[str]) -> float | None:
    """None where neighbours are neighbours by accident."""
    from sklearn.manifold import trustworthiness

    if equal_rows(high):
        notes.append("No trustworthiness: all rows are equal, and none is nearer than another.")
        return None
    if equal_rows(low):
        notes.append("No trustworthiness: all points of the map lie in one place.")
        return None
    crowd = _crowd(high, k)
    if crowd:
        notes.append(
            f"{crowd} of {len(high)} points have more than {k} others with equal features, so "
            f"that which are the {k} nearest is an accident."
        )
    if crowd == len(high):
        return None
    return float(trustworthiness(np.asarray(high, np.float64), low, n_neighbors=k))


def _crowd(rows: Array, k: int) -> int:
    """How many rows have more than k others that are equal."""
    # Without minus zeros, whose bytes are others.
    keys = [hashlib.blake2b((row + 0).tobytes(), digest_size=16).digest() for row in rows]
    return sum(count for count in Counter(keys).values() if count > k + 1)


def _codes(labels: Any, count: int) -> Any:
    """Numbers of labels from 0 on, and -1 without one."""
    array = np.asarray(labels)
    if array.shape != (count,):
        shape = " x ".join(map(str, array.shape)) or "a single one"
        raise ValueError(f"labels: {shape}; give {count}, one per row")
    there = ~np.ma.getmaskarray(labels) if isinstance(labels, np.ma.MaskedArray) else True
    if array.dtype == object:
        there &= np.array([not _none(each) for each in array])
        array = np.array([str(each) for each in array])
    elif array.dtype.kind in "fcmM":
        there &= array == array
    codes = np.full(count, -1)
    known = np.broadcast_to(there, count)
    codes[known] = np.unique(array[known], return_inverse=True)[1]
    return codes


def _none(label: Any) -> bool:
    if label is None:
        return True
    try:
        return bool(label != label)
    except TypeError:  # whether pandas' NA is itself is not known
        return True


def _purity(points: Array, codes: Any, k: int) -> float | None:
    """None where none is nearer than another."""
    from sklearn.neighbors import NearestNeighbors

    if equal_rows(points):
        return None
    near = NearestNeighbors(n_neighbors=k).fit(np.asarray(points, np.float64))
    found = near.kneighbors(return_distance=False)
    return float((codes[found] == codes[:, None]).mean())


def _chance(codes: Any) -> float:
    """That two points drawn without putting back have the same label."""
    counts = np.bincount(codes).astype(np.float64)
    return float((counts * (counts - 1)).sum() / (len(codes) * (len(codes) - 1)))
