"""Convolutions and linear layers on the CPU with weights in oneDNN's own order.

These kernels take an activation along, and leave out the reordering of the weights that
`F.conv2d` does at each call. For small windows that is half of the time. They are what
`torch.compile` generates for a frozen model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, fx
from torch.nn import functional as F

from ._simplify import bound, op_name


@dataclass(frozen=True)
class Activation:
    """What oneDNN does with each number after a convolution."""

    name: str = "none"
    numbers: tuple[float | None, ...] = (None,)
    variant: str = ""


def activation(node: fx.Node) -> Activation | None:
    """An activation that can be taken along; None for any other operation."""
    name = op_name(node)
    if name in _PLAIN:
        return Activation(_PLAIN[name])
    if name in ("relu6", "hardtanh"):
        limits = (0.0, 6.0) if name == "relu6" else _limits(node)
        return Activation("hardtanh", limits)
    if name == "leaky_relu":
        return Activation(name, (float(bound(node)["negative_slope"]),))
    if name == "gelu":
        return Activation(name, (None,), bound(node)["approximate"])
    return None


_PLAIN = {
    "relu": "relu",
    "sigmoid": "sigmoid",
    "tanh": "tanh",
    "silu": "swish",
    "hardswish": "hardswish",
    "hardsigmoid": "hardsigmoid",
}


def _limits(node: fx.Node) -> tuple[float, float]:
    given = bound(node)
    return float(given["min_val"]), float(given["max_val"])


def available(dtype: torch.dtype, device: torch.device) -> bool:
    """Whether oneDNN computes in this precision here."""
    kernels = ("_convolution_pointwise", "_linear_pointwise", "_reorder_linear_weight")
    there = torch._C._has_mkldnn and all(hasattr(torch.ops.mkldnn, name) for name in kernels)
    if device.type != "cpu" or not there:
        return False
    if dtype == torch.bfloat16:
        return bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())
    return dtype == torch.float32


def convolution(
    weight: Tensor,
    bias: Tensor | None,
    stride: tuple[int, int],
    dilation: tuple[int, int],
    groups: int,
    then: Activation,
) -> Callable[[Tensor, tuple[int, int]], Tensor]:
    """A function of (B, C, H, W) and the padding (rows, columns); `then` where `available`."""
    if not available(weight.dtype, weight.device):
        return lambda x, padding: F.conv2d(
            x.to(weight.dtype), weight, bias, stride, padding, dilation, groups
        )
    if weight.shape[2:] == (1, 1) and groups == 1:
        return _by_linear(weight, bias, stride, then)
    size = [8, weight.shape[1] * groups, 16, 16]
    reorder: Any = torch._C._nn.mkldnn_reorder_conv2d_weight
    packed = reorder(weight.to_mkldnn(), (0, 0), stride, dilation, groups, size)
    kernel = torch.ops.mkldnn._convolution_pointwise.default
    after = (then.name, list(then.numbers), then.variant)

    def run(x: Tensor, padding: tuple[int, int]) -> Tensor:
        x = x.to(weight.dtype)
        made: Tensor = kernel(x, packed, bias, padding, stride, dilation, groups, *after)
        return made

    return run


def _by_linear(
    weight: Tensor, bias: Tensor | None, stride: tuple[int, int], then: Activation
) -> Callable[[Tensor, tuple[int, int]], Tensor]:
    """A 1 x 1 convolution as a linear layer over channels.

    The order that oneDNN wants for a convolution's weights depends on the size of the maps, and
    another one costs up to a hundred times the work. For a linear layer one order serves all.
    """
    over_channels = linear(weight.flatten(1), bias, then)

    def run(x: Tensor, padding: tuple[int, int]) -> Tensor:
        if any(padding):
            x = F.pad(x, (padding[1], padding[1], padding[0], padding[0]))
        if stride != (1, 1):
            x = x[:, :, :: stride[0], :: stride[1]]
        return over_channels(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)

    return run


def linear(weight: Tensor, bias: Tensor | None, then: Activation) -> Callable[[Tensor], Tensor]:
    """A function of (..., features); `then` where `available`."""
    if not available(weight.dtype, weight.device):
        return lambda x: F.linear(x.to(weight.dtype), weight, bias)
    packed = torch.ops.mkldnn._reorder_linear_weight.default(weight, _ROWS)
    kernel = torch.ops.mkldnn._linear_pointwise.default
    after = (then.name, list(then.numbers), then.variant)

    def run(x: Tensor) -> Tensor:
        made: Tensor = kernel(x.to(weight.dtype).contiguous(), packed, bias, *after)
        return made

    return run


_ROWS = 1024
"""For how many rows the weights of a linear layer are laid out; any number works."""
