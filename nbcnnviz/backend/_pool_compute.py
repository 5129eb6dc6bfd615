"""Pooling itself: PyTorch's own functions, and by hand what they cannot do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from ._pool_settings import Pooling

_HALF = (torch.float16, torch.bfloat16)


class Pooled(NamedTuple):
    """What a pooling makes of maps."""

    values: Tensor
    """(C, h, w), or (N, C, h, w)."""
    indices: Tensor | None
    """int64 in the same shape: where in its map each maximum was, as y * W + x. None for ways to
    pool that choose no single value."""


def compute(maps: Tensor, pooling: Pooling) -> Pooled:
    """Pool maps (C, H, W) or (N, C, H, W) that `pooling.problem` has nothing against."""
    op = pooling.op
    if op == "global_max":
        return Pooled(*F.adaptive_max_pool2d(maps, 1, return_indices=True))
    if op == "global_avg":
        return Pooled(F.adaptive_avg_pool2d(maps, 1), None)
    if op == "adaptive_max":
        return Pooled(*F.adaptive_max_pool2d(maps, pooling.output or 1, return_indices=True))
    if op == "adaptive_avg":
        return Pooled(F.adaptive_avg_pool2d(maps, pooling.output or 1), None)
    window, stride = pooling.windows()
    padding, dilation, ceil = pooling.padding, pooling.dilation, pooling.ceil_mode
    if op == "max":
        return Pooled(*F.max_pool2d(maps, window, stride, padding, dilation, ceil, True))
    if op == "avg":
        include, divisor = pooling.count_include_pad, pooling.divisor_override
        return Pooled(average(maps, pooling, include, divisor), None)
    return Pooled(_power(maps, pooling, float(op[1:])), None)


def average(maps: Tensor, pooling: Pooling, include: bool, divisor: int | None) -> Tensor:
    """The mean of each window; the padding holds zeros, which count if `include`."""
    window, stride = pooling.windows()
    if pooling.dilation == (1, 1):
        ceil = pooling.ceil_mode
        return F.avg_pool2d(maps, window, stride, pooling.padding, ceil, include, divisor)
    height, width = maps.shape[-2:]
    rows, columns = pooling.arithmetic((height, width))
    size = rows.size, columns.size
    (top, left), (down, across) = pooling.padding, pooling.dilation
    # As many zeros after the map as the last window needs.
    bottom = max(stride[0] * (size[0] - 1) + down * (window[0] - 1) + 1 - top - height, 0)
    right = max(stride[1] * (size[1] - 1) + across * (window[1] - 1) + 1 - left - width, 0)
    wide = F.pad(maps.float() if maps.dtype in _HALF else maps, (left, right, top, bottom))
    total = wide.new_zeros((*wide.shape[:-2], *size))
    # Row by row, in PyTorch's own order, so that undilated sums would be equal to the last bit.
    for i in range(window[0]):
        lines = wide[..., i * down :: stride[0], :][..., : size[0], :]
        for j in range(window[1]):
            total += lines[..., j * across :: stride[1]][..., : size[1]]
    if divisor is None:
        counts = [
            _counts(pooling, axis, size[axis], n, include) for axis, n in enumerate((height, width))
        ]
        total /= torch.outer(*[torch.tensor(c, dtype=total.dtype) for c in counts]).to(total.device)
    else:
        total /= divisor
    return total.to(maps.dtype)


def _counts(pooling: Pooling, axis: int, size: int, n: int, include: bool) -> Sequence[int]:
    """How many values of each window count along one axis: those on the map, or on its padding."""
    window, stride = (pair[axis] for pair in pooling.windows())
    padding, dilation = pooling.padding[axis], pooling.dilation[axis]
    low, high = (-padding, n + padding) if include else (0, n)
    return [
        sum(low <= o * stride - padding + i * dilation < high for i in range(window))
        for o in range(size)
    ]


def _power(maps: Tensor, pooling: Pooling, norm: float) -> Tensor:
    """(sum |x|^p)^(1/p) of each window."""
    window, stride = pooling.windows()
    if pooling.padding == (0, 0) and pooling.dilation == (1, 1):
        return F.lp_pool2d(maps, norm, window, stride, pooling.ceil_mode)
    # The rest is what F.lp_pool2d does, also that a window which `ceil_mode` lets reach beyond
    # the padding counts as if it were full.
    mean = average(maps.pow(norm), pooling, True, None)
    return (mean.sign() * mean.abs().relu()).mul(window[0] * window[1]).pow(1 / norm)
