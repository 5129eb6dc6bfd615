"""Linear functions of averaged maps: what each call of a network makes of one."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from ._functions import Function
from ._rules import Call
from ._tracer import Found


@dataclass(frozen=True, eq=False)
class Gap:
    """An average over whole maps."""

    name: str
    """Of the function call."""
    module: str
    """Of the module's call in which it was made."""
    title: str
    """For people."""
    maps: Tensor
    """(C, H, W), a copy."""
    values: Tensor
    """(C,), a copy."""
    makers: Sequence[Found]
    """Layers whose output the maps are, the innermost first."""


@dataclass(frozen=True, eq=False)
class Linear:
    """What is known of a vector that is weight @ gap + bias."""

    gap: Gap
    values: Tensor
    weight: Tensor | None = None
    """(K, C); None: the identity."""
    bias: Tensor | None = None
    """(K,); None: zero."""
    where: tuple[str, str] = ("", "")
    """The last linear call, and the module around it."""
    after: str = ""

    def then(self, weight: Tensor, bias: Tensor | None = None) -> Linear:
        """weight @ (self) + bias"""
        both = weight if self.weight is None else weight @ self.weight
        if self.bias is not None:
            carried = weight @ self.bias
            bias = carried if bias is None else carried + bias
        return replace(self, weight=both, bias=bias)

    def scaled(self, factor: Tensor) -> Linear:
        """factor * (self), for each number its own factor (K,)."""
        weight = torch.diag(factor) if self.weight is None else factor[:, None] * self.weight
        return replace(self, weight=weight, bias=None if self.bias is None else factor * self.bias)

    def shifted(self, by: Tensor) -> Linear:
        """self + by, (K,)"""
        return replace(self, bias=by if self.bias is None else self.bias + by)


def after(function: Function, call: Call, tag: Linear) -> Linear | None:
    """What is known of the result of a call, None if it is not linear."""
    if function.moves:
        return tag if _same(call) else None
    rule = _RULES.get(function.name)
    return None if rule is None or tag.after else rule(call, tag)


def _same(call: Call) -> bool:
    """Reshaped or copied only. Dropout may be on, and a comparison counts as a move."""
    before, after = call.tensors[0].flatten(), call.out.flatten()
    alike = after.is_floating_point() and before.shape == after.shape
    return alike and torch.allclose(after.to(before.dtype), before, 0, 0, equal_nan=True)


def _linear(call: Call, tag: Linear) -> Linear | None:
    weight, bias = call.arg(1, "weight"), call.arg(2, "bias")
    return tag.then(weight, bias) if _fits(weight, tag) else None


def _convolution(call: Call, tag: Linear) -> Linear | None:
    weight, bias = call.arg(1, "weight"), call.arg(2, "bias")
    plain = tuple(weight.shape[2:]) == (1, 1) and call.arg(6, "groups", 1) == 1
    plain = plain and tuple(call.shape[2:]) == (1, 1)
    return tag.then(weight.flatten(1), bias) if plain and _fits(weight, tag) else None


def _product(call: Call, tag: Linear) -> Linear | None:
    """vector @ matrix"""
    matrix = call.tensors[1] if len(call.tensors) == 2 else None
    if matrix is None or call.states[1] is not None or matrix.ndim != 2:
        return None
    return tag.then(matrix.t()) if _fits(matrix.t(), tag) else None


def _product_and_sum(call: Call, tag: Linear) -> Linear | None:
    """addmm(bias, vector, matrix)"""
    if len(call.tensors) != 3 or {"alpha", "beta"} & set(call.kwargs):
        return None
    bias, _, matrix = call.tensors
    if call.states[0] is not None or call.states[2] is not None or not _fits(matrix.t(), tag):
        return None
    return tag.then(matrix.t(), bias.flatten().expand(matrix.shape[1]))


def _fits(weight: Tensor, tag: Linear) -> bool:
    return int(weight.shape[1]) == tag.values.numel()


def _constant(call: Call, tag: Linear) -> Tensor | None:
    """The other operand of a sum or product, (K,); None if it depends on the image."""
    operands = [call.arg(0, "input"), call.arg(1, "other")]
    others = [value for value in operands if not isinstance(value, Tensor)]
    others += [t for t, s in zip(call.tensors, call.states, strict=True) if s is None]
    same = call.out.numel() == tag.values.numel()
    if len(others) != 1 or not same or call.kwargs.keys() & {"alpha", "rounding_mode", "out"}:
        return None
    return torch.as_tensor(others[0]).to(call.out).expand(call.shape).flatten()


def _sum(call: Call, tag: Linear) -> Linear | None:
    constant = _constant(call, tag)
    return None if constant is None else tag.shifted(constant)


def _difference(call: Call, tag: Linear) -> Linear | None:
    constant = _constant(call, tag) if call.states[0] is not None else None
    return None if constant is None else tag.shifted(-constant)


def _times(call: Call, tag: Linear) -> Linear | None:
    constant = _constant(call, tag)
    return None if constant is None else tag.scaled(constant)


def _divided(call: Call, tag: Linear) -> Linear | None:
    constant = _constant(call, tag) if call.states[0] is not None else None
    return None if constant is None else tag.scaled(1 / constant)


def _batch_norm(call: Call, tag: Linear) -> Linear | None:
    mean, variance = call.arg(1, "running_mean"), call.arg(2, "running_var")
    weight, bias = call.arg(3, "weight"), call.arg(4, "bias")
    if call.arg(5, "training", False) or mean is None or len(mean) != tag.values.numel():
        return None
    factor = (variance + call.arg(7, "eps", 1e-5)).rsqrt()
    factor = factor if weight is None else factor * weight
    made = tag.shifted(-mean).scaled(factor)
    return made if bias is None else made.shifted(bias)


def _link(call: Call, tag: Linear) -> Linear | None:
    """What may follow scores: they are read before it."""
    along = "softmax" not in call.name or call.arg(1, "dim", -1) in (1, -1)
    return replace(tag, after=call.name) if along and call.out.ndim == 2 else None


_RULES: dict[str, Callable[[Call, Linear], Linear | None]] = {
    "linear": _linear,
    "conv2d": _convolution,
    "matmul": _product,
    "mm": _product,
    "addmm": _product_and_sum,
    "add": _sum,
    "sub": _difference,
    "mul": _times,
    "div": _divided,
    "batch_norm": _batch_norm,
    "softmax": _link,
    "log_softmax": _link,
    "sigmoid": _link,
    "log_sigmoid": _link,
}
