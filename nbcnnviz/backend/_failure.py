"""Why a forward pass failed: in which layer, on what, and what might help."""

from __future__ import annotations

from dataclasses import dataclass
from types import TracebackType
from typing import Any

from torch import Tensor, nn

from ._walk import first_tensor, named_modules
from .preprocess import Preprocess

_PLAIN = (
    *(RuntimeError, NotImplementedError, AssertionError, AttributeError, ZeroDivisionError),
    *(IndexError, KeyError, TypeError, ValueError),
)
"""Errors of Python's and PyTorch's own, which do not say where they come from.

Exactly these: a subclass (out of memory, one of the user's) means something to whoever catches it.
"""


@dataclass(frozen=True, eq=False)
class _Place:
    """The innermost module that was running."""

    path: str
    module: nn.Module
    shape: tuple[int, ...] | None
    """Of the first tensor that reached it."""
    image: tuple[int, ...] | None
    """Of what the network was given."""

    def __str__(self) -> str:
        kind = type(self.module).__name__
        who = f"its layer {self.path!r} ({kind})" if self.path else f"its own forward ({kind})"
        return f"{who} failed on {_by(self.shape)}" if self.shape else f"{who} failed"


def explained(error: Exception, body: nn.Module, guess: Preprocess | None) -> Exception | None:
    """An error to raise from another one, which names the layer that failed and what to do.

    None for errors that come from elsewhere, and for those that had better stay what they are:
    they only get a note (from Python 3.11 on).

    Args:
        error: what was raised while `body` was lent.
        body: the network that ran.
        guess: the preprocessing, unless it was given: it may be to blame.
    """
    place = _find(error.__traceback__, body)
    if place is None:
        return None
    if type(error) not in _PLAIN:
        if hasattr(error, "add_note"):
            error.add_note(f"net: {place}")
        return None
    text = f"{place}: {str(error).rstrip('.') or type(error).__name__}"
    if type(error) is not RuntimeError:
        return type(error)(f"net: {text}")
    given = guess if guess and place.image == (1, guess.channels, *guess.size) else None
    advice = _advice(place, str(error), given)
    if not _has_convolutions(body):
        text = f"it has no 2-D convolutions, so there are no maps to look at; {text}"
        advice = advice if isinstance(place.module, nn.Linear) else ""
        return ValueError(f"net: {text}{advice}")
    return (ValueError if advice else RuntimeError)(f"net: {text}{advice}")


def _find(trace: TracebackType | None, body: nn.Module) -> _Place | None:
    """Modules stand in the frames of the traceback, in `_call_impl` with their arguments."""
    paths = {id(module): path for path, module in named_modules(body)}
    shapes: dict[int, tuple[int, ...] | None] = {}
    last: Any = None
    while trace is not None:
        inside = trace.tb_frame.f_locals
        if id(inside.get("self")) in paths:
            last = inside["self"]
            if trace.tb_frame.f_code.co_name == "_call_impl":
                given = (*inside["args"], *inside["kwargs"].values())
                shapes[id(last)] = _shape(first_tensor(given))
        trace = trace.tb_next
    if last is None:
        return None
    return _Place(paths[id(last)], last, shapes.get(id(last)), shapes.get(id(body)))


def _has_convolutions(body: nn.Module) -> bool:
    """Also as mere parameters; a network without any weights may pool."""
    dimensions = [parameter.dim() for parameter in body.parameters()]
    return 4 in dimensions or not dimensions


def _advice(place: _Place, message: str, guess: Preprocess | None) -> str:
    """What might help when the input, which was only guessed, may be to blame."""
    if guess is None:
        return ""
    module: Any = place.module
    wanted = getattr(module, "in_channels", None) or getattr(module, "num_features", None)
    if wanted is not None and place.shape and place.shape[1:2] != (wanted,):
        if place.shape != place.image:
            return ""  # it does not fit the layer before it, whatever the input
        return f". {guess.channels} channels were only guessed. {_give(guess.size, wanted)}"
    if "size" not in message.lower() and "shape" not in message:
        return ""
    height, width = guess.size
    size = f"Inputs may need another size: {height} x {width} was only guessed."
    return f". {size} {_give('(height, width)', guess.channels)}"


def _give(size: Any, channels: int) -> str:
    more = "" if channels == 3 else f", channels={channels}"
    return f"Give nv.Network(model, preprocess=nv.backend.Preprocess(size={size}{more}))"


def _shape(tensor: Tensor | None) -> tuple[int, ...] | None:
    return None if tensor is None else tuple(tensor.shape)


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "a single number"
