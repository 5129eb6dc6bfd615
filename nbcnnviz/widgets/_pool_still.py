"""Maps before and after pooling as small pictures, for where no browser runs the widget."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .. import colormaps
from ..backend import pooling
from ..backend.maps import quantise
from ._pool_record import How, PoolRecord


def tiles(
    record: PoolRecord, how: How, channel: int, most: int
) -> list[tuple[str, npt.NDArray[np.uint8]]]:
    """For a channel and those after it the map and its pooled self, on one scale each.

    Only the maps where they cannot be pooled so.
    """
    count = len(record.exact)
    chosen = [(channel + step) % count for step in range(min(most, count))]
    # In the order before, after, before, after.
    stacks = [record.exact[chosen].float()]
    if pooling.pool_problem(record.size, **how.args()) is None:
        stacks.append(record.pooled(how, chosen).values.float())
    made = [quantise(stack) for stack in stacks]
    before = made[0]
    signed = bool((before.lo < 0).any())
    name = colormaps.resolve("auto", signed)
    painted = []
    for place, number in enumerate(chosen):
        lo, hi = float(before.lo[place]), float(before.hi[place])
        span = colormaps.display_range(lo, hi, "map", name in colormaps.DIVERGING, (lo, hi))
        for label, maps in zip((str(number), "pooled"), made, strict=False):
            ends = float(maps.lo[place]), float(maps.hi[place])
            painted.append((label, colormaps.colour(maps.codes[place], *ends, name, *span)))
    return painted


def headline(record: PoolRecord, how: How) -> str:
    """What becomes of the maps, with the arithmetic; or why nothing does."""
    before = " x ".join(map(str, record.exact.shape))
    problem = pooling.pool_problem(record.size, **how.args())
    if problem:
        return f"{record.layer.name}   {before}   {problem}"
    height, width = pooling.pool_arithmetic(record.size, **how.args())
    after = f"{len(record.exact)} x {height.size} x {width.size}"
    return f"{record.layer.name}   {how.op}: {before} -> {after}   {height.formula}"
