"""What a rectifier does on the way back: gradient, guided backpropagation, deconvnet.

The three differ at the ReLU alone (Springenberg et al. 2014, https://arxiv.org/abs/1412.6806,
fig. 1). With x what went into it and g the gradient that arrives at what came out of it:

    gradient    g [x > 0]
    guided      g [x > 0] [g > 0]
    deconvnet   g [g > 0]              Zeiler & Fergus (2014), https://arxiv.org/abs/1311.2901

A convolution goes back by its transposed filters, without the bias, and a max pooling by its
switches: the gradient goes where the maximum was. Where windows overlap and share a maximum their
contributions add up, while `nn.MaxUnpool2d` would keep one of them. BatchNorm (a factor), average
pooling and residual sums are outside both papers; they go back as in any gradient.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Collection
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.overrides import TorchFunctionMode

from ._functions import describe
from ._model import is_scripted

RULES = ("gradient", "guided", "deconvnet")
"""The rules that have names."""
SMOOTH = frozenset("silu gelu leaky_relu mish hardswish elu celu selu prelu rrelu softplus".split())
"""Activations that are shaped like a ReLU, and go back like one only if that is asked for."""

_CLAMPS = frozenset({"clamp", "clip", "clamp_min"})
_RECTIFIERS = _CLAMPS | {"relu", "relu6", "hardtanh", "threshold"}
_OTHERS = frozenset("sigmoid tanh hardsigmoid softsign logsigmoid hardshrink softshrink".split())
_WATCHED = _RECTIFIERS | SMOOTH | _OTHERS
_SCRIPTED = ("aten::relu", "aten::hardtanh", "aten::clamp", "aten::threshold")


class BackwardRule(TorchFunctionMode):
    """While entered, every call of a rectifier takes its way back by a rule.

    Seen are calls on the thread that entered: of `F.relu`, `torch.relu`, `x.relu_()`, ReLU6,
    `hardtanh` from 0 on, `clamp(min=0)` and `threshold(0, 0)`, thus also of `nn.ReLU` and its
    kin, used once or many times, in place or not. What the network computes stays the same. The
    rule belongs to the call: what else reads the same tensor keeps its own gradient.

    A rectifier made of other functions (`x * (x > 0)`) is not recognised. Those that TorchScript
    runs, and activations of another shape, keep their ordinary gradient; `notes` names them.

    Args:
        rule: "gradient", "guided" or "deconvnet". It is read on the way back: setting the
            attribute between two of them takes the same graph back in two ways.
        as_relu: smooth activations, by name ("silu", "gelu", "leaky_relu", ...; "all"), that
            shall go back as if they were a ReLU. Neither paper knows them.

    Raises:
        ValueError: no such rule or activation.

    Example:
        >>> x = torch.tensor([-1.0, 1.0, 1.0], requires_grad=True)
        >>> with BackwardRule("guided"):
        ...     y = x.relu()
        >>> torch.autograd.grad(y, x, torch.tensor([1.0, 1.0, -1.0]))[0]
        tensor([0., 1., 0.])
    """

    def __init__(self, rule: str, as_relu: str | Collection[str] = ()) -> None:
        super().__init__()
        if rule not in RULES:
            raise ValueError(f"rule={rule!r}: choose one of {list(RULES)}")
        self.rule = rule
        self.as_relu = read_smooth(as_relu)
        self.applied: Counter[str] = Counter()
        """How many calls of each function got the rule."""
        self.passed: Counter[str] = Counter()
        """How many calls of each activation kept their ordinary gradient."""

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        name = describe(func).name
        if name not in _WATCHED:
            return func(*args, **kwargs)
        x, call = _with_input(func, args, kwargs)
        if not (isinstance(x, Tensor) and x.requires_grad and torch.is_grad_enabled()):
            return func(*args, **kwargs)
        high = None if name in SMOOTH else _ceiling(name, args, kwargs)
        if high is None and name not in self.as_relu:
            # A clamp elsewhere is arithmetic and no activation.
            self.passed[name] += name not in _CLAMPS
            return func(*args, **kwargs)
        self.applied[name] += 1
        return _Rectify.apply(x, call, self, high, name in _CLAMPS)

    def notes(self, body: nn.Module) -> tuple[str, ...]:
        """What the rule did not reach, in sentences.

        Args:
            body: the network that ran.
        """
        said = [
            f"{name}, {_times(count)}: keeps its ordinary gradient"
            + (f'; as_relu=("{name}",) treats it as a ReLU.' if name in SMOOTH else ".")
            for name, count in sorted(self.passed.items())
            if count
        ]
        said += [
            f"{path or 'The network'} runs as TorchScript: its ReLUs keep their ordinary gradient."
            for path in scripted_rectifiers(body)
        ]
        if not sum(self.applied.values()):
            said.append("The network called no ReLU: this is its ordinary gradient.")
        return tuple(said)


class _Rectify(Function):
    """One call of a rectifier, y = min(max(x, 0), high), or of what shall count as one (None).

    It saves a single tensor, as the function itself does, and may be handed that one in its
    stead: checkpointing runs the function again, out of our sight.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        call: Callable[[Tensor], Tensor],
        way: BackwardRule,
        high: float | None,
        clamp: bool,
    ) -> Tensor:
        # What comes out tells as much as what went in, but for functions with a slope of their own.
        # A copy: the call may be in place.
        own = clamp or high is None
        before = x.clone() if own else None
        y = call(x)
        if y is x:
            ctx.mark_dirty(x)
        ctx.way, ctx.high, ctx.call = way, high, call if own else None
        ctx.save_for_backward(y if before is None else before)
        return y

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (g,), (kept,), rule = gradients, ctx.saved_tensors, ctx.way.rule
        if rule == "deconvnet":
            back = g.relu()
        elif rule == "gradient" and ctx.call is not None:
            back = g * _slope(kept, ctx.call)
        else:
            back = _through(g, kept, math.inf if ctx.high is None else ctx.high)
        if rule == "guided":
            back.relu_()
        return back, None, None, None, None


def _slope(x: Tensor, call: Callable[[Tensor], Tensor]) -> Tensor:
    """A function's own derivative; that of `clamp` at its ends differs by spelling and version."""
    with torch._C.DisableTorchFunction(), torch.enable_grad():
        leaf = x.detach().requires_grad_()
        y = call(leaf * 1)
        return torch.autograd.grad(y, leaf, torch.ones_like(y))[0]


def _through(g: Tensor, kept: Tensor, high: float) -> Tensor:
    """g [0 < kept < high], with PyTorch's own functions, which do it in one go."""
    aten: Any = torch.ops.aten
    if high == math.inf:
        back: Tensor = aten.threshold_backward(g, kept, 0)
    else:
        back = aten.hardtanh_backward(g, kept, 0, high)
    return back


def _with_input(
    func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Any, Callable[[Tensor], Tensor]]:
    """What a function is applied to, and the function of that alone."""
    if kwargs.get("out") is not None:
        return None, func  # autograd has no such calls
    if args:
        return args[0], lambda x: func(x, *args[1:], **kwargs)
    name = "self" if "self" in kwargs else "input"
    return kwargs.get(name), lambda x: func(**{**kwargs, name: x})


def _ceiling(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float | None:
    """The upper end of a rectifier, that is of min(max(x, 0), end); None for other functions."""

    def arg(place: int, key: str, default: Any = None) -> Any:
        return kwargs.get(key, args[place] if len(args) > place else default)

    low: Any = 0.0
    high: Any = math.inf
    if name == "relu6":
        high = 6.0
    elif name == "hardtanh":
        low, high = arg(1, "min_val", -1.0), arg(2, "max_val", 1.0)
    elif name in ("clamp", "clip"):
        low, high = arg(1, "min"), arg(2, "max")
    elif name == "clamp_min":
        low = arg(1, "min")
    elif name == "threshold":
        low, high = arg(1, "threshold"), math.inf
        if arg(2, "value") != 0:
            return None
    elif name != "relu":
        return None
    low, high = _number(low, None), _number(high, math.inf)
    return high if low == 0 and high is not None and high > 0 else None


def _number(value: Any, default: float | None) -> float | None:
    """A limit as a number; None for one that differs from element to element."""
    if isinstance(value, Tensor):
        return float(value) if value.numel() == 1 else None
    return default if value is None else float(value)


def read_smooth(names: Any) -> frozenset[str]:
    """The activations that shall count as ReLUs.

    Raises:
        TypeError, ValueError: not names, or not of smooth activations.
    """
    if names == "all":
        return SMOOTH
    if isinstance(names, str):
        names = (names,)
    if not isinstance(names, Collection):
        raise TypeError(f'as_relu={names!r}: give names of activations, or "all"')
    for name in names:
        if not isinstance(name, str) or name not in SMOOTH:
            raise ValueError(f'as_relu={name!r}: choose among {sorted(SMOOTH)}, or "all"')
    return frozenset(names)


def scripted_rectifiers(body: nn.Module) -> list[str]:
    """Paths of the outermost scripted modules that hold a rectifier: nobody sees their calls."""
    found: list[str] = []
    outer: list[str] = []
    if not is_scripted(body):
        return found
    for path, module in body.named_modules():
        if not isinstance(module, torch.jit.ScriptModule):
            continue
        if any(path.startswith(f"{each}." if each else "") for each in outer):
            continue
        outer.append(path)
        if any(name in str(module.inlined_graph) for name in _SCRIPTED):
            found.append(path)
    return found


def _times(count: int) -> str:
    return "1 call" if count == 1 else f"{count} calls"


__all__ = ["RULES", "SMOOTH", "BackwardRule"]
