"""One forward pass, followed call by call: which layers there are and what each can see."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.jit import ScriptModule

from ._functions import DATA, PARTS, Function, bounds
from ._kinds import is_builtin_kind, kind_of
from ._moves import sliced
from ._random import draws
from ._rules import Call, NotDependentError
from ._state import State, flattened
from ._walk import Frame, Walk, first_tensor, split_call
from ._writes import written


@dataclass(eq=False)
class Found:
    """A layer as it was met; `layers.trace` makes a `Layer` of it."""

    name: str
    path: str
    kind: str
    module: str
    call: int
    parameters: int
    leaf: bool
    noop: bool
    state: State
    owner: int | str
    """What was called: calls of the same are counted together."""


Observer = Callable[[Found, Tensor], None]


class Tracer(Walk):
    """Collects in `found`, in call order, every layer whose output depends on the image.

    `observe` is called with each layer right after it ran, before anything can overwrite its
    output in place.
    """

    def __init__(self, root: nn.Module, image: Tensor, observe: Observer | None = None) -> None:
        super().__init__(root)
        self.found: list[Found] = []
        self.draws = False
        """Whether the network drew random numbers."""
        self._observe = observe
        self._constant: State | None = None
        self._states: dict[int, tuple[weakref.ref[Tensor], State | None, bool]] = {}
        self._weights = {id(t): t for m in root.modules() for t in _tensors_of(m)}
        self._image = State.image(tuple(image.shape))
        self._remember(image, self._image)
        self._count = 0
        self._sizes: dict[int, dict[int, int]] = {}

    # -- what is known of tensors --------------------------------------------------------------

    def _remember(self, tensor: Tensor, state: State | None, clear: bool = True) -> None:
        # Weak: a pass that kept every tensor alive would need the memory of all layers at once.
        self._states[id(tensor)] = weakref.ref(tensor), state, clear

    def _recall(self, tensor: Tensor) -> tuple[State | None, bool]:
        """Its state, None for a constant; and whether we know where it came from."""
        entry = self._states.get(id(tensor))
        if entry is not None and entry[0]() is tensor:
            if entry[1] is None and tensor._base is not None:
                # A view of a constant into which the image may have been written since.
                base, clear = self._recall(tensor._base)
                return (flattened([base], tuple(tensor.shape)), clear) if base else entry[1:]
            return entry[1], entry[2]
        # Otherwise a constant out of some variable, or made by TorchScript, an autograd function.
        return None, id(tensor) in self._weights

    def _state(self, tensor: Tensor) -> State | None:
        return self._recall(tensor)[0]

    def _guess(self, tensors: list[Tensor]) -> list[State | None]:
        """States of tensors of which at least one must depend on the image."""
        states = [self._state(t) for t in tensors]
        if not any(states):
            for i, tensor in enumerate(tensors):
                obscure = not self._recall(tensor)[1] and tensor.is_floating_point()
                if obscure and tensor.dim() == 4:
                    shape = tuple(tensor.shape)
                    state = self._image.flat(shape, exact=False).laid_out(shape, 2, 3)
                    self._remember(tensor, state)
                    states[i] = state
        return states

    # -- functions ------------------------------------------------------------------------------

    def called(
        self,
        frame: Frame,
        function: Function,
        raw: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        self.draws = self.draws or draws(raw, args, kwargs)
        tensors = _tensors_in(args, kwargs)
        # Nobody convolves a constant.
        certain = function.kind in ("conv", "pool", "norm", "resize")
        states = self._guess(tensors) if certain else [self._state(t) for t in tensors]
        result = raw(*args, **kwargs)
        out = first_tensor(result)
        if function.name == "setitem":
            out = args[0]
        if out is None:
            return result
        if not any(states):
            clear = function.name not in DATA and all(self._recall(t)[1] for t in tensors)
            _each_tensor(result, lambda t: self._remember(t, None, clear))
            return result
        call = Call(function.name, raw, args, kwargs, out, tensors, states)
        with torch._C.DisableTorchFunction():  # modes further out need not hear what we do
            if function.name in PARTS:
                self._parts(call, result)
            else:
                self._follow(frame, function, call, result)
        return result

    def _follow(self, frame: Frame, function: Function, call: Call, result: Any) -> None:
        same = any(call.out is t for t in call.tensors)
        if same and function.moves and not call.function.__name__.endswith("_"):
            return  # dropout in evaluation mode, contiguous(), to(): the very same tensor
        self._count += 1
        try:
            state = function.rule(call)
        except NotDependentError:
            self._remember(call.out, None)
            if same:
                self._tell_base(call, None)
            return
        except (TypeError, ValueError, IndexError, KeyError, AttributeError, RuntimeError):
            # Called in a way the rule does not foresee: an upper bound, and `exact` says so.
            state = flattened(call.known, call.shape)
        if not function.moves:
            state = state.but(origin=self._count, bounds=bounds(call))
            frame.memory["work"] = True
        elif state.origin < 0 and call.known:
            state = state.but(origin=call.known[0].origin)
        _each_tensor(result, lambda t: self._remember(t, _resized(state, t)))
        self._remember(call.out, state)
        if same:
            self._tell_base(call, state)
        hidden = frame.builtin or (function.name == "pad" and is_builtin_kind(frame))
        if not function.moves and not hidden and call.out.is_floating_point():
            self._found_function(frame, function, call, state)

    def _tell_base(self, call: Call, state: State | None) -> None:
        """Writing in place into a view changes the tensor it is a view of."""
        base = call.out._base
        if base is None:
            return
        old = self._state(base)
        if state is None:  # a constant: the cells there see less now
            self._remember(base, None if old is None else old.but(exact=False))
            return
        before = next(s for t, s in zip(call.tensors, call.states, strict=True) if t is call.out)
        if before is None or not before.alike(state):
            self._remember(base, written(base, call.out, state, old))

    def _parts(self, call: Call, result: Any) -> None:
        """chunk, split, unbind: each part is a slice."""
        state = call.first
        if state is None:
            _each_tensor(result, lambda t: self._remember(t, None))
            return
        place = {"unbind": 1, "hsplit": 9}.get(call.name, 2)
        dim = int(call.arg(place, "dim", 0)) % len(state.shape)
        start = 0
        for part in result:
            whole = part.dim() == len(state.shape)
            stop = start + (part.shape[dim] if whole else 1)
            index: list[Any] = [slice(None)] * len(state.shape)
            index[dim] = slice(start, stop) if whole else start
            self._remember(part, sliced(state, index, tuple(part.shape)))
            start = stop

    def _found_function(self, frame: Frame, function: Function, call: Call, state: State) -> None:
        kind = function.kind
        distinct = {id(t) for t, s in zip(call.tensors, call.states, strict=True) if s is not None}
        if kind == "other" and function.name in ("add", "sub", "mul", "div") and len(distinct) > 1:
            kind = "merge"
        if function.name in ("mean", "amax") and len(call.shape) == 4 and state.maps:
            kind = "pool" if state.sight.rows.n == 1 else "other"
        number = frame.calls[function.name]
        weights = sum(t.numel() for t in call.tensors if isinstance(t, nn.Parameter))
        self._add(
            Found(
                f"{frame.name}/{function.name}#{number}",
                f"{frame.name}/{function.name}",
                kind,
                function.name,
                number,
                weights,
                True,
                False,
                state,
                f"{frame.name}/{function.name}",
            ),
            call.out,
        )

    def _add(self, found: Found, output: Tensor) -> None:
        self.found.append(found)
        if self._observe is not None:
            self._observe(found, output)

    # -- modules --------------------------------------------------------------------------------

    def entered(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        tensors = _tensors_in(args, kwargs)
        self._guess(tensors)
        seen = [(t, s) for t in tensors if (s := self._state(t)) is not None]
        frame.memory["inputs"] = [(t, version(t), s) for t, s in seen]

    def left(self, frame: Frame, output: Any) -> None:
        inputs = frame.memory.pop("inputs")
        tensor = first_tensor(output)
        outer = self._frames[-2].memory if len(self._frames) > 1 else {}
        if frame.memory.get("work"):
            outer["work"] = True
        if tensor is None:
            return
        state, clear = self._recall(tensor)
        if state is None:
            if clear or not inputs:
                return
            # Computed out of sight (TorchScript, an autograd function) from what we do know.
            state = flattened([s for _, _, s in inputs], tuple(tensor.shape))
            frame.memory["work"] = outer["work"] = True
        state = self._with_axes(state, tensor, inputs)
        self._remember(tensor, state)
        if frame.name and tensor.is_floating_point():
            self._found_module(frame, tensor, state, inputs)

    def _with_axes(self, state: State, tensor: Tensor, inputs: list[Any]) -> State:
        """A module that mixes up rows and columns (window attention) still returns maps."""
        if tensor.dim() != 4 or state.y is not None or state.x is not None:
            return state
        like = next((s for _, _, s in inputs if s.maps), None)
        if like is None:
            return state
        return state.laid_out(tuple(tensor.shape), like.y, like.x)

    def _found_module(self, frame: Frame, out: Tensor, state: State, inputs: list[Any]) -> None:
        same = any(out is t and version(out) == before for t, before, _ in inputs)
        idle = same or not frame.memory.get("work")
        # Some normalisations hold an activation, which may be none: timm's BatchNormAct2d.
        kind = kind_of(frame.module)
        leaf = frame.leaf or (kind != "other" and not frame.memory.get("parts"))
        if not leaf:
            kind = "block"
        if not idle and len(self._frames) > 1:
            self._frames[-2].memory["parts"] = True
        if leaf:
            kind = self._fold(frame, state, kind)
        path, number = split_call(frame.name)
        self._add(
            Found(
                frame.name,
                path,
                kind,
                type(frame.module).__name__,
                number,
                sum(self._parameters(frame.module).values()),
                leaf,
                idle,
                state,
                id(frame.module),
            ),
            out,
        )

    def _fold(self, frame: Frame, state: State, kind: str) -> str:
        """A custom layer that returns what its last function computed is one layer with it."""
        last = next((f for f in reversed(self.found) if not f.noop), None)
        if last is None or not last.path.startswith(f"{frame.name}/"):
            return kind
        if last.state.origin != state.origin:
            return kind
        self.found.remove(last)
        return last.kind if kind == "other" and last.kind != "merge" else kind

    def _parameters(self, module: nn.Module) -> dict[int, int]:
        """The sizes of a module's parameters by identity, since some are shared."""
        known = self._sizes.get(id(module))
        if known is None:
            known = {id(p): p.numel() for p in module._parameters.values() if p is not None}
            for child in module._modules.values():
                if isinstance(child, ScriptModule):
                    known.update((id(p), p.numel()) for p in child.parameters())
                elif child is not None:
                    known.update(self._parameters(child))
            self._sizes[id(module)] = known
        return known


def _resized(state: State, tensor: Tensor) -> State:
    """For the further outputs of a function (the indices of a maximum): the same, if they fit."""
    shape = tuple(tensor.shape)
    return state if shape == state.shape else flattened([state], shape)


def _tensors_of(module: nn.Module) -> list[Tensor]:
    own = [t for t in (*module._parameters.values(), *module._buffers.values()) if t is not None]
    return [*own, *(v for v in module.__dict__.values() if isinstance(v, Tensor))]


def _tensors_in(args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    found: list[Tensor] = []
    for value in (*args, *kwargs.values()) if kwargs else args:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found.extend(_tensors_in(tuple(value), {}))
        elif isinstance(value, dict):
            found.extend(_tensors_in((), value))
    return found


def _each_tensor(result: Any, visit: Callable[[Tensor], None]) -> None:
    for tensor in _tensors_in((result,), {}):
        visit(tensor)


def version(tensor: Tensor) -> int:
    """How often the tensor was written to; tensors made in inference mode do not count that."""
    return -1 if tensor.is_inference() else tensor._version


def as_maps(tensor: Tensor, channels_last: bool) -> Tensor:
    """(N, H, W, C) as (N, C, H, W); a view."""
    return tensor.permute(0, 3, 1, 2) if channels_last else tensor


def shape_of(state: State) -> tuple[int, ...]:
    """(C, H, W) of maps, (D,) of anything else."""
    shape = state.shape[1:]
    if not state.maps:
        return (int(np.prod(shape)),)
    return (shape[2], shape[0], shape[1]) if state.channels_last else shape


def run(root: nn.Module, image: Tensor, observe: Observer | None = None) -> Tracer:
    """Run the network on the image (1, C, H, W) once, without gradients."""
    if image.is_inference():  # such a tensor could not be worked on in place
        image = image.clone()
    tracer = Tracer(root, image, observe)
    with torch.no_grad(), tracer:
        root(image)
    return tracer
