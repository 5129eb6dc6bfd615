"""Running a network with one of its pooling calls changed, or up to it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from torch import Tensor, nn

from ._failure import _PLAIN
from ._functions import Function
from ._pool_calls import Maps, arguments, read_call
from ._pool_compute import compute
from ._pool_settings import Pooling, shown
from ._tracer import _tensors_in
from ._walk import Frame, Walk, first_tensor

Choose = Callable[[Pooling], Pooling]
"""From what a call pools with to what it shall pool with."""


class Reached(BaseException):
    """The call has run and nothing else is wanted. No `Exception`: networks may catch those."""


class PoolWalk(Walk):
    """Follows a pass up to one pooling call, and changes what the call pools with.

    Args:
        root: what `Network.evaluating()` lends.
        call: the function's call, as a `PoolTracer` named it.
        maps: how its input holds the maps.
        choose: what to pool with instead; None: break off and keep the call's input and output.
        layer: how errors name the call.
    """

    def __init__(
        self, root: nn.Module, call: str, maps: Maps, layer: str, choose: Choose | None
    ) -> None:
        super().__init__(root)
        self.met = False
        """Whether the call took place."""
        self.input: Tensor | None = None
        """(1, C, H, W), a copy."""
        self.pooling: Pooling | None = None
        """What the call pools with, left as it is."""
        self.problem = ""
        """Why the call cannot pool so."""
        self._call, self._maps, self._layer, self._choose = call, maps, layer, choose
        self._how = ""
        self._failed: tuple[str, str, Sequence[Tensor]] | None = None
        self._split = ""

    def called(
        self,
        frame: Frame,
        function: Function,
        raw: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        name = f"{frame.name}/{function.name}#{frame.calls[function.name]}"
        if name == self._call:
            return self._pool(function.name, raw, args, kwargs)
        if not self.met:
            return raw(*args, **kwargs)
        shown_name = frame.name if frame.leaf or frame.builtin else name
        try:
            result = raw(*args, **kwargs)
        except Exception:
            # The last one counts: a network may catch those before.
            self._failed = shown_name, function.name, _tensors_in(args, kwargs)
            raise
        if function.moves and not self._split:
            self._watch(shown_name, first_tensor(args), first_tensor(result))
        return result

    def _pool(self, name: str, raw: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        self.met = True
        given = arguments(name, args, kwargs)
        first = self._maps.first(given["input"])
        result = raw(*args, **kwargs)
        out = first_tensor(result)
        assert out is not None
        maps = Maps((first.shape[1], first.shape[2], first.shape[3]), self._maps.axes)
        self.pooling = read_call(name, given, maps, tuple(out.shape))
        assert self.pooling is not None
        if self._choose is None:
            self.input = first.detach().clone()
            raise Reached
        try:
            chosen = self._choose(self.pooling)
        except ValueError as error:
            self._refuse(str(error))
        self._how = _changes(self.pooling, chosen)
        if not self._how:
            return result
        problem = chosen.problem(maps.size)
        if problem:
            self._refuse(problem)
        values, indices = compute(first, chosen)
        if name in ("mean", "amax"):
            return self._like_mean(values, bool(given.get("keepdim", False)), chosen)
        # Without indices for a call that returns them: it matters only if they are used.
        return (values, indices) if isinstance(result, tuple) else values

    def _like_mean(self, values: Tensor, keepdim: bool, chosen: Pooling) -> Tensor:
        """Maps in the form in which `x.mean((2, 3))` returns its numbers."""
        if not keepdim and values.shape[2:] != (1, 1):
            height, width = values.shape[2:]
            self._refuse(
                f"layer={self._layer!r}: the network expects one number of each map, and "
                f"{chosen.op!r} would leave {height} x {width}; give op='global_avg', "
                f"op='global_max' or window={self._maps.size}"
            )
        if not keepdim:
            return values.flatten(1)
        if self._maps.axes == (2,):
            return values.flatten(2)
        return values.permute(0, 2, 3, 1) if self._maps.axes == (1, 2) else values

    def _refuse(self, problem: str) -> NoReturn:
        self.problem = problem
        raise Reached

    def _watch(self, name: str, before: Tensor | None, after: Tensor | None) -> None:
        """`x.view(-1, 400)` of 800 numbers makes two images of one, without a complaint."""
        if before is None or after is None or not before.ndim or not after.ndim:
            return
        rows = after.shape[0]
        one = before.shape[0] == 1 and after.numel() == before.numel()
        if one and rows > 1 and after.ndim == 2:
            self._split = (
                f"{name!r} takes {after.shape[1]} numbers at a time and would get {after.numel()}"
            )

    def misfit(self, error: Exception | None) -> str:
        """What the changed maps no longer fit, in words; empty if nothing was changed before it.

        Args:
            error: what was raised; None: the network put out scores for several images.
        """
        if not self._how or (error is not None and type(error) not in _PLAIN):
            return ""
        so = f"after {self._layer!r} pools with {self._how}"
        advice = "an adaptive pool before it would take any size"
        if error is None:
            return f"{self._split or 'the network makes several images of one'} {so}; {advice}"
        if self._failed is None:
            return f"the network fails {so}: {_brief(error)}"
        name, function, tensors = self._failed
        if function == "linear" and len(tensors) > 1:
            takes, gets = tensors[1].shape[-1], tensors[0].shape[-1]
            return f"{name!r} takes {takes} numbers and would get {gets} {so}; {advice}"
        shapes = " and ".join(" x ".join(map(str, t.shape)) or "a number" for t in tensors[:4])
        if function == "max_unpool2d":
            return f"{name!r} cannot put maxima back {so}: {_brief(error)}"
        return f"{name!r} ({function}) cannot work on {shapes} {so}: {_brief(error)}"


def _brief(error: Exception) -> str:
    return str(error).partition("\n")[0].rstrip(".") or type(error).__name__


def _changes(old: Pooling, new: Pooling) -> str:
    """What is different, in words; empty if nothing is."""
    made = [] if old.op == new.op else [f"op {new.op!r}"]
    if not new.whole:
        pairs = [
            ("window", old.window, new.window),
            ("stride", old.stride, new.stride),
            ("padding", old.padding, new.padding),
            ("dilation", old.dilation, new.dilation),
        ]
        made += [f"{name} {shown(b)}" for name, a, b in pairs if b is not None and a != b]
        flags = ("ceil_mode", "count_include_pad", "divisor_override")
        made += [f"{f}={getattr(new, f)}" for f in flags if getattr(old, f) != getattr(new, f)]
    return ", ".join(made)
