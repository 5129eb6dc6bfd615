"""Which function calls of a network pool, with what parameters, and on which maps."""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from ._functions import Function
from ._pool_settings import Pair, Pooling
from ._rules import pair
from ._state import Shape, State
from ._tracer import Observer, Tracer
from ._walk import Frame, first_tensor

_MAX = "kernel_size stride padding dilation ceil_mode return_indices"
_PLACES = {
    "max_pool2d": _MAX,
    "max_pool2d_with_indices": _MAX,
    "avg_pool2d": "kernel_size stride padding ceil_mode count_include_pad divisor_override",
    "lp_pool2d": "norm_type kernel_size stride ceil_mode",
    "adaptive_avg_pool2d": "output_size",
    "adaptive_max_pool2d": "output_size return_indices",
    "adaptive_max_pool2d_with_indices": "output_size return_indices",
    "fractional_max_pool2d": "kernel_size output_size output_ratio return_indices",
    "mean": "dim keepdim",
    "amax": "dim keepdim",
}
"""The arguments of each pooling function after the maps, in order."""
_MEANS = {"mean": "global_avg", "amax": "global_max"}
_FLATTENING = ("flatten", "view", "reshape")


@dataclass(frozen=True)
class Maps:
    """How a tensor holds the maps of one image."""

    shape: tuple[int, int, int]
    """(C, H, W)"""
    axes: tuple[int, ...]
    """The dimensions of rows and columns: (2, 3), (1, 2), or (2,) for (1, C, H * W)."""

    @classmethod
    def of(cls, state: State | None) -> Maps | None:
        """None if they are no maps."""
        if state is None or not state.maps:
            return None
        _, a, b, c = state.shape
        return cls((c, a, b), (1, 2)) if state.channels_last else cls((a, b, c), (2, 3))

    @property
    def size(self) -> Pair:
        return self.shape[1], self.shape[2]

    def first(self, tensor: Tensor) -> Tensor:
        """The tensor as (1, C, H, W); a view where it can be one."""
        if self.axes == (1, 2):
            return tensor.permute(0, 3, 1, 2)
        return tensor.reshape(1, *self.shape) if self.axes == (2,) else tensor


def arguments(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """The arguments of a pooling function by name, the maps as "input"."""
    given = dict(zip(_PLACES[name].split(), args[1:], strict=False))
    given.update(kwargs)
    if "axis" in given:
        given["dim"] = given.pop("axis")
    given["input"] = args[0] if args else given.get("input", given.get("self"))
    return given


def read_call(name: str, given: dict[str, Any], maps: Maps, out: Shape) -> Pooling | None:
    """What a call pools with; None if it reduces anything else than maps.

    Args:
        name: of the function.
        given: its `arguments`.
        maps: how its input holds the maps.
        out: the shape of its output, the first one.
    """
    if name in _MEANS:
        dims = given.get("dim")
        ndim = 3 if maps.axes == (2,) else 4
        listed = [dims] if type(dims) is int else dims if isinstance(dims, list | tuple) else ()
        if {int(d) % ndim for d in listed} != set(maps.axes):
            return None
        return Pooling(_MEANS[name], maps.size, maps.size)
    if maps.axes != (2, 3):
        return None
    if name.startswith("adaptive"):
        return _adaptive(name[9:12], maps.size, (out[2], out[3]))
    window = pair(given["kernel_size"])
    if name.startswith("fractional"):
        return Pooling("fractional_max", window, None, output=(out[2], out[3]))
    stride = given.get("stride")
    # PyTorch's own functions take an empty list for "as the window".
    stride = window if stride is None or stride in ([], ()) else pair(stride)
    made = Pooling("max", window, stride, ceil_mode=bool(given.get("ceil_mode", False)))
    if name.startswith("lp"):
        return replace(made, op=f"l{float(given['norm_type']):g}")
    made = replace(made, padding=pair(given.get("padding", 0)))
    if name.startswith("max"):
        return replace(made, dilation=pair(given.get("dilation", 1)))
    return replace(
        made,
        op="avg",
        count_include_pad=bool(given.get("count_include_pad", True)),
        divisor_override=given.get("divisor_override"),
    )


def _adaptive(op: str, size: Pair, out: Pair) -> Pooling:
    """Equal windows side by side where the sizes divide, windows of several sizes elsewhere."""
    if out == (1, 1):
        return Pooling(f"global_{op}", size, size)
    window = None
    if size[0] % out[0] == 0 and size[1] % out[1] == 0:
        window = size[0] // out[0], size[1] // out[1]
    return Pooling(f"adaptive_{op}", window, window, output=out)


@dataclass(frozen=True, eq=False)
class Heard:
    """A call that pools, as a `PoolTracer` met it."""

    name: str
    """Of the function's call: "layer1.0.pool#2/max_pool2d#1"."""
    module: str
    """Of the module's call in which it was made, empty for the network's own forward."""
    title: str
    """For people."""
    pooling: Pooling
    maps: Maps
    input: Tensor
    """Only until the call has been dealt with."""
    output: Tensor


def title(frame: Frame, call: str) -> str:
    """How to name a function call for people: by its module, if that consists of little else."""
    inner = frame.leaf or frame.builtin
    return f"{frame.name} ({type(frame.module).__name__})" if inner else call


class PoolTracer(Tracer):
    """Follows a pass and tells `pooled` of every call that pools maps."""

    def __init__(self, root: nn.Module, image: Tensor, observe: Observer | None = None) -> None:
        super().__init__(root, image, observe)
        self._flat: dict[int, tuple[weakref.ref[Tensor], Maps]] = {}

    def pooled(self, heard: Heard) -> None:
        """A call that pools has returned."""

    def called(
        self,
        frame: Frame,
        function: Function,
        raw: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        result = super().called(frame, function, raw, args, kwargs)
        pools = function.name in _PLACES
        if pools or function.name in _FLATTENING:
            with torch._C.DisableTorchFunction():
                self._consider(frame, function.name, args, kwargs, first_tensor(result))
        return result

    def _consider(
        self,
        frame: Frame,
        name: str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        out: Tensor | None,
    ) -> None:
        source = args[0] if args else kwargs.get("input", kwargs.get("self"))
        if out is None or not isinstance(source, Tensor):
            return
        maps = Maps.of(self._state(source)) or self._flattened(source)
        if maps is None:
            return
        if name in _FLATTENING:
            channels, height, width = maps.shape
            if maps.axes == (2, 3) and out.shape == (1, channels, height * width):
                self._flat[id(out)] = weakref.ref(out), Maps(maps.shape, (2,))
            return
        pooling = read_call(name, arguments(name, args, kwargs), maps, tuple(out.shape))
        if pooling is not None:
            call = f"{frame.name}/{name}#{frame.calls[name]}"
            self.pooled(Heard(call, frame.name, title(frame, call), pooling, maps, source, out))

    def _flattened(self, tensor: Tensor) -> Maps | None:
        entry = self._flat.get(id(tensor))
        return entry[1] if entry is not None and entry[0]() is tensor else None

    def layer_name(self, call: str, module: str) -> str | None:
        """The layer that a call is, once the pass is over: itself, or the module around it."""
        names = {found.name for found in self.found}
        return next((name for name in (call, module) if name in names), None)
