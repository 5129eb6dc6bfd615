"""Pooling of maps: by itself, as a network does it, and what if the network pooled otherwise."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ._gap_contributions import GapContributions, gap_contributions
from ._model import kind
from ._pool_compute import Pooled, compute
from ._pool_layers import PoolingLayer, pool_at, pool_input, pooling_layers, replace_pooling
from ._pool_settings import OPS, Arithmetic, read_pooling
from ._pool_shift import Translation, shifted, translation

_DTYPES = (torch.float16, torch.bfloat16, torch.float32, torch.float64)


def pool(
    maps: Tensor,
    op: str,
    window: int | tuple[int, int] = 2,
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
    *,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Pooled:
    """Pool each of the maps by itself, to the last bit as PyTorch does.

    With R the cells of a window: max R, mean R ("avg"), sqrt(sum R^2) ("l2"). "global_avg" and
    "global_max" make one number of each map and need nothing else. PyTorch has no dilation for
    averages and no padding for "l2"; here they follow the same rules: the padding holds -infinity
    for "max" and zeros elsewhere. A window that `ceil_mode` lets reach beyond the padding is
    averaged over what there is of it, and "l2" scales that up to a full window, as PyTorch does.
    Where a window holds NaN so is its result.

    Args:
        maps: (C, H, W) or (N, C, H, W), floating point.
        op: "max", "avg", "l2", "global_avg" or "global_max".
        window: a side in cells, or (rows, columns).
        stride: cells from one window to the next; None: as large as the window.
        padding: cells around the map, at most half of the window.
        dilation: cells from one value of a window to the next.
        ceil_mode: also windows that reach beyond the lower and right edge.
        count_include_pad: "avg": the zeros of the padding count as values.
        divisor_override: "avg": divide sums by this instead of the number of values.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name; `pool_problem` says the
            same of arguments for which one only wants to know.

    Example:
        >>> pool(torch.arange(16.0).view(1, 4, 4), "max")
        Pooled(values=tensor([[[ 5.,  7.],
                 [13., 15.]]]), indices=tensor([[[ 5,  7],
                 [13, 15]]]))
    """
    pooling = read_pooling(
        op, window, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override
    )
    check_maps(maps)
    pooling.check((maps.shape[-2], maps.shape[-1]))
    return compute(maps, pooling)


def check_maps(maps: Any) -> None:
    """Refuse what is no stack of maps.

    Raises:
        TypeError, ValueError: the type, the number of dimensions, no cells at all.
    """
    if not isinstance(maps, Tensor):
        raise TypeError(f"maps: a {kind(maps)}; give a tensor, torch.as_tensor helps")
    if maps.dtype not in _DTYPES:
        raise TypeError(f"maps: a tensor of {maps.dtype}; give floating point, maps.float()")
    shape = " x ".join(map(str, maps.shape)) or "a single number"
    if maps.ndim not in (3, 4):
        hint = "; maps[None] makes a stack of one" if maps.ndim == 2 else ""
        raise ValueError(f"maps: {shape}; give (C, H, W) or (N, C, H, W){hint}")
    if maps.layout != torch.strided:
        raise TypeError("maps: a sparse tensor; give a dense one, maps.to_dense()")
    if not maps.numel():
        raise ValueError(f"maps: {shape} holds no values; give at least one map of one cell")


def pool_problem(
    size: Sequence[int],
    op: str = "max",
    window: Any = 2,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    *,
    divisor_override: int | None = None,
) -> str | None:
    """Why maps cannot be pooled so, in words, with what to give instead; None if they can.

    Args:
        size: (H, W) of the maps, or their whole shape.
        op, window, stride, padding, dilation, ceil_mode, divisor_override: see `pool`.

    Example:
        >>> pool_problem((5, 5), "max", window=2, padding=2)
        'padding=2: more than half of window=2; give at most 1'
    """
    try:
        made = read_pooling(
            op, window, stride, padding, dilation, ceil_mode, True, divisor_override
        )
    except (TypeError, ValueError) as error:
        return str(error)
    return made.problem(_size(size))


def pool_arithmetic(
    size: Sequence[int],
    op: str = "max",
    window: Any = 2,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> tuple[Arithmetic, Arithmetic]:
    """How many values come out of maps, down and across, with the formula spelled out.

    floor((n + 2 padding - (dilation (window - 1) + 1)) / stride) + 1, with ceil instead of floor
    in `ceil_mode`, where a last window that would begin in the padding does not count.

    Args:
        size: (H, W) of the maps, or their whole shape.
        op, window, stride, padding, dilation, ceil_mode: see `pool`.

    Raises:
        TypeError, ValueError: they cannot be pooled so.

    Example:
        >>> pool_arithmetic((112, 112), "max", window=3, stride=2, padding=1)[0].formula
        'floor((112 + 2*1 - 3)/2) + 1 = 56'
    """
    made = read_pooling(op, window, stride, padding, dilation, ceil_mode)
    made.check(_size(size))
    return made.arithmetic(_size(size))


def _size(size: Sequence[int]) -> tuple[int, int]:
    try:
        return operator.index(size[-2]), operator.index(size[-1])
    except (IndexError, TypeError):
        raise ValueError(f"size={size!r}: give (H, W) of the maps") from None


__all__ = [
    "OPS",
    "Arithmetic",
    "GapContributions",
    "Pooled",
    "PoolingLayer",
    "Translation",
    "gap_contributions",
    "pool",
    "pool_arithmetic",
    "pool_at",
    "pool_input",
    "pool_problem",
    "pooling_layers",
    "replace_pooling",
    "shifted",
    "translation",
]
