"""Masks: what a user may give, and how they blend an image with what hides it."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._model import kind


def blend(x: Tensor, fill: Tensor, mask: Tensor) -> Tensor:
    """x (1 - m) + fill m for a mask (H, W) of float32."""
    mask = mask.to(x.device, x.dtype)
    return x * (1 - mask) + fill * mask


def read_mask(mask: Any, size: tuple[int, int]) -> Tensor:
    """A mask as float32 (H, W) on the CPU.

    Raises:
        TypeError: neither bool nor float.
        ValueError: another shape, NaN, or values outside 0..1.
    """
    values = mask if isinstance(mask, Tensor) else torch.from_numpy(_array(mask))
    shape = " x ".join(map(str, values.shape)) or "a single number"
    if values.dtype != torch.bool and not values.is_floating_point():
        raise TypeError(
            f"mask: values of {values.dtype}; give bool (mask > 0), or floats in 0..1 "
            "(mask / 255 where 255 hides)"
        )
    if tuple(values.shape) != size:
        raise ValueError(
            f"mask: {shape}, but the network sees {size[0]} x {size[1]} pixels; give a mask (H, W) "
            "of that size"
        )
    # A copy: the caller may go on painting.
    values = values.detach().to("cpu", torch.float32, copy=True)
    if not bool(torch.isfinite(values).all()):
        raise ValueError("mask: holds NaN or infinite values; give 0 (shown) to 1 (hidden)")
    low, high = values.aminmax()
    if low < 0 or high > 1:
        raise ValueError(
            f"mask: values from {float(low):.3g} to {float(high):.3g}; give 0 (shown) to 1 (hidden)"
        )
    return values


def _array(mask: Any) -> Any:
    if not hasattr(mask, "__array__") and not isinstance(mask, list | tuple):
        raise TypeError(f"mask: a {kind(mask)}; give an array or a tensor (H, W)")
    array = np.asarray(mask)
    if array.dtype.kind not in "bf":
        raise TypeError(
            f"mask: values of {array.dtype}; give bool (mask > 0), or floats in 0..1 "
            "(mask / 255 where 255 hides)"
        )
    # PyTorch knows neither other byte orders nor negative strides.
    return np.array(array, dtype=bool if array.dtype.kind == "b" else np.float32, order="C")
