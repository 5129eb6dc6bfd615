"""Cutting an image in two along its edges, given a few pixels of either side.

The energy of Boykov & Jolly (2001, https://doi.org/10.1109/ICCV.2001.937505) with colour models
that are mixtures of Gaussians, as in GrabCut (Rother et al. 2004,
https://doi.org/10.1145/1015706.1015720): each pixel pays for a side by how unlikely its colour is
there, and each pair of neighbours that are cut apart pays the more the more alike they are. The
cheapest cut is a maximum flow, which SciPy finds.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Doubles = npt.NDArray[np.float64]

_SMOOTHNESS = 50.0
"""What GrabCut takes for the weight of the pairs."""
_COMPONENTS = 5
"""Gaussians in each colour model, as in GrabCut."""
_SCALE = 100
"""Flows are whole numbers: a hundredth is the unit."""
_HALF = ((0, 1, 1.0), (1, 0, 1.0), (1, 1, 2**0.5), (1, -1, 2**0.5))
"""Half of the eight neighbours: down, right, distance."""


def graph_cut(picture: Doubles, foreground: Bools, background: Bools) -> Bools:
    """The side of the foreground, (H, W).

    Args:
        picture: (H, W, C).
        foreground: (H, W), pixels that are known to belong to it.
        background: (H, W), pixels that are known not to.
    """
    height, width, _ = picture.shape
    count = height * width
    inside, outside = (_surprise(picture, seeds) for seeds in (foreground, background))
    # Every pixel pays for one of the sides; what both cost alike decides nothing.
    least = np.minimum(inside, outside)
    sure = 8 * _SMOOTHNESS + (inside + outside - 2 * least).max() + 1
    from_source = np.where(foreground, sure, np.where(background, 0, outside - least)).ravel()
    to_sink = np.where(background, sure, np.where(foreground, 0, inside - least)).ravel()
    first, second, cost = _pairs(picture)
    pixels = np.arange(count)
    source, sink = np.full(count, count), np.full(count, count + 1)
    rows = np.concatenate([first, second, source, pixels])
    columns = np.concatenate([second, first, pixels, sink])
    capacity = np.concatenate([cost, cost, from_source, to_sink])
    return _source_side(rows, columns, capacity, count).reshape(height, width)


def _surprise(picture: Doubles, seeds: Bools) -> Doubles:
    """(H, W): minus the logarithm of how likely each colour is, given those of the seeds."""
    from sklearn.mixture import GaussianMixture

    known = picture[seeds]
    # The fit takes two samples at least, and no more components than there are colours.
    known = known.repeat(2, 0) if len(known) == 1 else known
    components = max(1, min(_COMPONENTS, len(np.unique(known, axis=0))))
    model = GaussianMixture(components, reg_covar=1e-4, random_state=0).fit(known)
    flat = picture.reshape(-1, picture.shape[2])
    surprise: Doubles = -model.score_samples(flat).reshape(picture.shape[:2])
    return surprise


def _pairs(picture: Doubles) -> tuple[Any, Any, Doubles]:
    """Neighbours, each pair once, and what it costs to cut them apart."""
    height, width, _ = picture.shape
    number = np.arange(height * width).reshape(height, width)
    ends: list[tuple[Any, Any, Doubles, float]] = []
    for down, right, far in _HALF:
        here = (slice(0, height - down), slice(max(0, -right), width - max(0, right)))
        there = (slice(down, height), slice(max(0, right), width + min(0, right)))
        apart = ((picture[here] - picture[there]) ** 2).sum(2).ravel()
        ends.append((number[here].ravel(), number[there].ravel(), apart, far))
    mean = np.concatenate([apart for _, _, apart, _ in ends]).mean()
    beta = 1 / (2 * mean) if mean else 0.0
    cost = [_SMOOTHNESS / far * np.exp(-beta * apart) for _, _, apart, far in ends]
    first, second = (np.concatenate([each[i] for each in ends]) for i in (0, 1))
    return first, second, np.concatenate(cost)


def _source_side(rows: Any, columns: Any, capacity: Doubles, count: int) -> Bools:
    """(count,): which pixels the source still reaches when the flow is at its maximum."""
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import breadth_first_order, maximum_flow

    whole = np.rint(capacity * _SCALE).astype(np.int32)
    graph = csr_matrix((whole, (rows, columns)), shape=(count + 2, count + 2))
    flow = maximum_flow(graph, count, count + 1).flow
    left = graph - flow
    left.data = np.maximum(left.data, 0)
    left.eliminate_zeros()
    reached = breadth_first_order(left, count, return_predecessors=False)
    side = np.zeros(count + 2, bool)
    side[reached] = True
    return side[:count]
