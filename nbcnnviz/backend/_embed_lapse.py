"""The same images through several layers: a map of each, turned so that points flow."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ._embed_project import Frame, OnFrame, Points, Projection, Table, projection

_CALM: dict[str, dict[str, Any]] = {
    # Early exaggeration would untangle the map anew and forget where points were.
    "tsne": {"early_iterations": 0},
    # So would UMAP's first large steps; the maps are as trustworthy with smaller ones.
    "umap": {"learning_rate": 0.1},
}
"""What follows another map, by method."""


@dataclass(frozen=True, eq=False)
class TimeLapse:
    """Maps of one layer after another."""

    layers: tuple[str, ...]
    maps: tuple[Points, ...]
    """(N, 2) each, centred, of the same size (mean square radius 1), turned to the one before."""
    projections: tuple[Projection, ...]
    """As they came, each in its own place and size."""
    complete: bool
    """False after a stop: the last layers are missing, or the last map is half done."""

    def at(self, time: float) -> Points:
        """The map at a time from 0, the first layer, to `len(layers) - 1`: points go straight."""
        place = min(max(float(time), 0.0), len(self.maps) - 1)
        first = min(int(place), max(0, len(self.maps) - 2))
        second = min(first + 1, len(self.maps) - 1)
        share = place - first
        points: Points = (1 - share) * self.maps[first] + share * self.maps[second]
        return points


def time_lapse(
    features: Mapping[str, Any],
    method: str = "tsne",
    on_frame: OnFrame | None = None,
    seed: int = 0,
    **options: Any,
) -> TimeLapse:
    """Maps of several layers' features of the same images, as one flowing picture.

    Each t-SNE starts from the map before it, without early exaggeration, and each UMAP too, with
    a learning_rate of 0.1; UMAP shows its end only, so that a stop takes effect after the layer.
    Every map is then centred, scaled to mean square radius 1 and turned, mirrored if need be, to
    the one before it by the orthogonal Procrustes rotation R = U V', with U S V' the singular
    value decomposition of X' Y, which minimises
    |X R - Y| (Schoenemann, 1966, https://doi.org/10.1007/BF02289451).

    Args:
        features: (N, D) by layer, in the order in which to show them, as `extract` gives for
            several layers.
        method, seed, options: see `project`.
        on_frame: called with frames that are turned in the same way; returning True stops.

    Raises:
        TypeError, ValueError: no layer, or layers with different numbers of rows.

    Example:
        >>> draw = np.random.default_rng(0).normal
        >>> lapse = time_lapse({"conv1": draw(size=(40, 5)), "conv2": draw(size=(40, 9))}, "pca")
        >>> lapse.layers, lapse.at(0.5).shape
        (('conv1', 'conv2'), (40, 2))
    """
    if not isinstance(features, Mapping) or not features:
        raise TypeError("features: give a dictionary of (N, D) by layer, with at least one")
    rows = {name: len(np.asarray(table)) for name, table in features.items()}
    if len(set(rows.values())) > 1:
        raise ValueError(f"features: rows by layer are {rows}; give the same images of each")
    # A layer at which an image is missing must not pull the others' maps.
    present = np.all([Table(table).present for table in features.values()], 0)
    maps: list[Points] = []
    made: list[Projection] = []
    stopped = False
    for name, table in features.items():
        before = maps[-1] if maps else None

        def show(frame: Frame, name: str = name, before: Points | None = before) -> Any:
            nonlocal stopped
            assert on_frame is not None
            turned = replace(frame, xy=aligned(frame.xy, before), layer=name)
            stopped = on_frame(turned) is True
            return stopped

        start: dict[str, Any] = {}
        if before is not None and method in _CALM:
            start = {**_CALM[method], **options, "initial": before}
        kept = _without(table, present)
        found = projection(
            kept, method, None if on_frame is None else show, seed, **{**options, **start}
        )
        made.append(found)
        maps.append(aligned(found.xy, before))
        if stopped:
            break
    names = tuple(features)[: len(maps)]
    whole = len(maps) == len(features) and all(one.complete for one in made)
    return TimeLapse(names, tuple(maps), tuple(made), whole)


def _without(table: Any, present: Any) -> Any:
    if present.all():
        return table
    kept = np.array(table, np.float64)
    kept[~present] = np.nan
    return kept


def aligned(xy: Points, to: Points | None) -> Points:
    """A map (N, 2), centred, of mean square radius 1, and turned to another such map."""
    from scipy.linalg import orthogonal_procrustes

    good = np.isfinite(xy).all(1)
    moved = xy - xy[good].mean(0)
    radius = float(np.sqrt((moved[good] ** 2).sum(1).mean()))
    if radius > 0:
        moved = moved / radius
    if to is not None:
        turn, _ = orthogonal_procrustes(moved[good], to[good])
        moved = moved @ turn
    points: Points = moved
    return points


__all__ = ["TimeLapse", "aligned", "time_lapse"]
