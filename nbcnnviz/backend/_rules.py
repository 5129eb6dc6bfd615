"""How what a tensor can see follows from one function call: a rule for each kind of function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ._state import Shape, Sight, State, broadcast, flattened, fresh, tidy
from .receptive_field import Axis


@dataclass(frozen=True, eq=False)
class Call:
    """One function call, seen from outside."""

    name: str
    function: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    out: Tensor
    """The first tensor it returned."""
    tensors: Sequence[Tensor]
    """Every tensor among the arguments, in order."""
    states: Sequence[State | None]
    """What is known of each of `tensors`; None for weights and other constants."""

    def arg(self, place: int, name: str, default: Any = None) -> Any:
        """An argument, however it was passed."""
        if name in self.kwargs:
            return self.kwargs[name]
        return self.args[place] if len(self.args) > place else default

    @property
    def known(self) -> list[State]:
        """What is known of the arguments that depend on the image."""
        return [s for s in self.states if s is not None]

    @property
    def first(self) -> State | None:
        return self.states[0]

    @property
    def shape(self) -> Shape:
        return tuple(self.out.shape)


Rule = Callable[[Call], State]


def pair(value: Any) -> tuple[int, int]:
    """(vertical, horizontal) of PyTorch's `int or tuple`."""
    if isinstance(value, int):
        return value, value
    values = [int(v) for v in value]
    return (values[0], values[-1])


def unknown(call: Call) -> State:
    """Any function: it sees at most what its arguments see."""
    made, known = flattened(call.known, call.shape), call.known
    # Where every value sees the same already, as after global pooling, that is no mere bound.
    certain = len(known) == 1 and known[0].exact and known[0].one_sight
    return made.but(exact=True) if certain else made


def elementwise(call: Call) -> State:
    """Each element from the elements at the same place: activations, sums, products."""
    return broadcast(call.known, call.shape)


def converted(call: Call) -> State:
    """The first argument in another form; a second one only lends its type or shape."""
    return first_or_constant(call)


def first_or_constant(call: Call) -> State:
    """What is known of the first argument.

    Raises:
        NotDependentError: it is a constant; the call read only the shape of the others.
    """
    if call.first is None:
        raise NotDependentError
    return call.first


def nothing(call: Call) -> State:
    """Does not read the values of its arguments: zeros_like, new_ones."""
    raise NotDependentError


class NotDependentError(Exception):
    """The result is a constant."""


def _spatial(call: Call) -> State | None:
    """The input of a function that works on (N, C, H, W)."""
    state = call.first
    if state is None or len(state.shape) != 4:
        return None
    return state if (state.y, state.x) == (2, 3) else state.laid_out(state.shape, 2, 3)


def _windows(call: Call, state: State, kernel: Any, stride: Any, before: Any, step: Any) -> State:
    (kh, kw), (sh, sw), (ph, pw), (dh, dw) = map(pair, (kernel, stride, before, step))
    h, w = call.shape[2:]
    return state.each(
        call.shape,
        lambda rows: rows.window(h, kh, sh, ph, dh),
        lambda columns: columns.window(w, kw, sw, pw, dw),
    )


def convolution(call: Call) -> State:
    """conv2d(input, weight, bias, stride, padding, dilation, groups)."""
    state, weight = _spatial(call), call.arg(1, "weight")
    if state is None or (call.states[1:] and any(call.states[1:])):
        return unknown(call)
    groups = call.arg(6, "groups", 1)
    kernel, dilation = weight.shape[2:], call.arg(5, "dilation", 1)
    padding = call.arg(4, "padding", 0)
    if padding == "same":
        padding = [(k - 1) * d // 2 for k, d in zip(kernel, pair(dilation), strict=True)]
    elif padding == "valid":
        padding = 0
    state = _by_group(state, groups, call.shape)
    return fresh(_windows(call, state, kernel, call.arg(3, "stride", 1), padding, dilation))


def _by_group(state: State, groups: int, shape: Shape) -> State:
    """Each output channel sees what the input channels of its group see."""
    if state.which is None or groups == 1:
        return state.uniform()
    sights: list[Sight] = []
    for codes in state.which.reshape(groups, -1):
        used = np.unique(codes)
        sight = state.sights[used[0]]
        for code in used[1:]:
            sight = sight.merge(state.sights[code])
        sights.append(sight)
    which = np.repeat(np.arange(groups), shape[1] // groups).reshape(1, -1, 1, 1)
    return tidy(state.but(sights=tuple(sights), which=which))


def transposed_convolution(call: Call) -> State:
    """conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)."""
    state, weight = _spatial(call), call.arg(1, "weight")
    if state is None:
        return unknown(call)
    stride, padding = pair(call.arg(3, "stride", 1)), pair(call.arg(4, "padding", 0))
    dilation = pair(call.arg(7, "dilation", 1))
    state = _by_group(state, call.arg(6, "groups", 1), call.shape)

    def spread(axis: Axis, i: int) -> Axis:
        taps = np.arange(call.shape[2 + i])[:, None] + padding[i]
        taps = taps - np.arange(weight.shape[2 + i]) * dilation[i]
        source, rest = np.divmod(taps, stride[i])
        if stride[i] == 1:
            before = (weight.shape[2 + i] - 1) * dilation[i] - padding[i]
            return axis.window(len(taps), weight.shape[2 + i], 1, before, dilation[i])
        return axis.taps(np.where(rest == 0, source, -1))

    return fresh(state.each(call.shape, lambda a: spread(a, 0), lambda a: spread(a, 1)))


def max_pool(call: Call) -> State:
    """max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)."""
    state, kernel = _spatial(call), call.arg(1, "kernel_size")
    if state is None:
        return unknown(call)
    stride = call.arg(2, "stride") or kernel
    padding, dilation = call.arg(3, "padding", 0), call.arg(4, "dilation", 1)
    return fresh(_windows(call, state, kernel, stride, padding, dilation))


def average_pool(call: Call) -> State:
    """avg_pool2d(input, kernel_size, stride, padding, ceil_mode)."""
    state, kernel = _spatial(call), call.arg(1, "kernel_size")
    if state is None:
        return unknown(call)
    stride = call.arg(2, "stride") or kernel
    return fresh(_windows(call, state, kernel, stride, call.arg(3, "padding", 0), 1))


def power_pool(call: Call) -> State:
    """lp_pool2d(input, norm_type, kernel_size, stride, ceil_mode)."""
    state, kernel = _spatial(call), call.arg(2, "kernel_size")
    if state is None:
        return unknown(call)
    return fresh(_windows(call, state, kernel, call.arg(3, "stride") or kernel, 0, 1))


def adaptive_pool(call: Call) -> State:
    """Output i of n covers floor(i * size / n) .. ceil((i + 1) * size / n)."""
    state = _spatial(call)
    if state is None:
        return unknown(call)

    def shrink(axis: Axis, size: int, n: int) -> Axis:
        if axis.n != size:
            return axis.expand(n)
        start = np.arange(n) * size // n
        return axis.between(start, -(-(np.arange(n) + 1) * size // n))

    (h, w), (m, n) = state.shape[2:], call.shape[2:]
    return fresh(state.each(call.shape, lambda a: shrink(a, h, m), lambda a: shrink(a, w, n)))


def interpolation(call: Call) -> State:
    """interpolate(input, ...): an output depends on the inputs that have a weight in it."""
    state = _spatial(call)
    if state is None:
        return unknown(call)

    def resample(axis: Axis, i: int) -> Axis:
        return axis.expand(call.shape[2 + i]) if axis.n == 1 else _weighted(call, axis, i)

    return fresh(state.each(call.shape, lambda a: resample(a, 0), lambda a: resample(a, 1)))


def _weighted(call: Call, axis: Axis, i: int) -> Axis:
    """Ask the function itself: each input position is a channel with a single one in it."""
    probe = torch.eye(axis.n, dtype=torch.float64)[None]
    # Two cells wide: PyTorch 2.15 gets antialiased maps of a single column wrong.
    probe = torch.stack([probe, probe], 3 if i == 0 else 2)
    options = dict(
        zip(("size", "scale_factor", "mode", "align_corners"), call.args[1:], strict=False)
    )
    options.update({k: v for k, v in call.kwargs.items() if k != "input"})
    n = call.shape[2 + i]
    if options.get("size") is not None:
        options["size"] = (n, 2) if i == 0 else (2, n)
    out = F.interpolate(probe, **options)
    # (inputs, outputs)
    weights = (out[0, :, :, 0] if i == 0 else out[0, :, 0, :]).numpy()
    used = np.abs(weights) > 1e-9
    first, last = used.argmax(0), len(used) - used[::-1].argmax(0)
    if np.array_equal(first, np.arange(axis.n)) and np.array_equal(last, first + 1):
        return axis
    return replace(axis.between(first, last), affine=None)


def reduction(call: Call) -> State:
    """mean, sum, amax over some dimensions, or all."""
    state = call.first
    if state is None or len(call.known) > 1:
        return elementwise(call)
    ndim = len(state.shape)
    place = 2 if call.name == "norm" else 1
    dims = call.arg(place, "dim", call.kwargs.get("axis"))
    if isinstance(dims, Tensor):
        return elementwise(call)
    if isinstance(dims, bool) or not isinstance(dims, int | list | tuple):
        dims = range(ndim)
    gone = {d % ndim for d in ([dims] if isinstance(dims, int) else dims)} or set(range(ndim))
    kept = len(call.shape) == ndim
    left = [d for d in range(ndim) if kept or d not in gone]
    made = state if gone <= {state.y, state.x} else state.uniform()
    made = made.each(
        state.shape,
        Axis.collapse if state.y in gone else lambda a: a,
        Axis.collapse if state.x in gone else lambda a: a,
    )
    which = made.which
    if which is not None and not kept:
        which = which.squeeze(tuple(gone))
    made = made.moved(call.shape, {d: i for i, d in enumerate(left)}, which)
    return fresh(made.but(exact=state.exact))


def along(call: Call) -> State:
    """softmax(input, dim) and what else mixes all positions along one dimension."""
    state = call.first
    default, place = (1, 2) if call.name == "normalize" else (-1, 1)
    if state is None:
        return unknown(call)
    return _mixed(call, state, {call.arg(place, "dim", default) % len(state.shape)})


def _mixed(call: Call, state: State, dims: set[int]) -> State:
    made = state if dims <= {state.y, state.x} else state.uniform()
    made = made.each(
        call.shape,
        (lambda a: a.collapse(a.n)) if state.y in dims else (lambda a: a),
        (lambda a: a.collapse(a.n)) if state.x in dims else (lambda a: a),
    )
    return fresh(made)


def everywhere(call: Call) -> State:
    """group_norm, instance_norm: statistics over the whole map."""
    state = call.first
    if state is None:
        return unknown(call)
    return _mixed(call, state, set(range(len(state.shape))))


def batch_norm(call: Call) -> State:
    """With running statistics each cell for itself, else over the whole map."""
    return everywhere(call) if call.arg(5, "training", False) else _for_itself(call)


def instance_norm(call: Call) -> State:
    """instance_norm(input, running_mean, running_var, weight, bias, use_input_stats)."""
    return everywhere(call) if call.arg(5, "use_input_stats", True) else _for_itself(call)


def _for_itself(call: Call) -> State:
    return unknown(call) if call.first is None else fresh(call.first)


def across_channels(call: Call) -> State:
    """local_response_norm."""
    return unknown(call) if call.first is None else fresh(call.first.uniform())


def layer_norm(call: Call) -> State:
    """Over the last dimensions, as many as `normalized_shape` has."""
    state = call.first
    if state is None:
        return unknown(call)
    ndim = len(state.shape)
    return _mixed(call, state, set(range(ndim - len(call.arg(1, "normalized_shape")), ndim)))


def linear(call: Call) -> State:
    """Mixes the last dimension."""
    state = call.first
    if state is None or len(call.known) > 1:
        return unknown(call)
    last = len(state.shape) - 1
    if last in (state.y, state.x):
        return fresh(state.flat(call.shape))
    return fresh(state.uniform().but(shape=call.shape))


def data(call: Call) -> State:
    """torch.tensor(x): a copy of a tensor; of anything else that holds some, who knows what."""
    return converted(call) if isinstance(call.arg(0, "data"), Tensor) else unknown(call)
