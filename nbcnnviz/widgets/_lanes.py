"""What a browser may ask: lanes, their checked arguments, and the envelope around them.

A message from the browser is untrusted input. Whatever does not have exactly the expected
shape is dropped; nothing in it is ever used as an attribute name, a path or a dtype.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

import numpy as np

from ._codec import Array, unpack
from ._worker import Job

Check = Callable[[Any], Any]
"""Returns the value, or raises ValueError."""

W = TypeVar("W")
P = ParamSpec("P")
Answer = Callable[Concatenate[W, Job, P], bytes]

_MARK = "_nbcnnviz_lane"
_LARGEST = sys.float_info.max
_ID_LIMIT = 64
_BLOB_LIMIT = 8 * 2**20
"""Of one question: the server closes the connection at 10 MB."""


@dataclass(frozen=True)
class Lane:
    """One kind of question."""

    checks: Mapping[str, Check]
    """By name, the checks of its arguments."""
    long: bool
    """Its work has steps, can be stopped, and concerns all views of the widget."""
    apart: bool = False
    """Its work is done by the widget's own worker: it does not use the network."""


def lane(**checks: Check) -> Callable[[Answer[W, P]], Answer[W, P]]:
    """Declare a method as the answer to one kind of question; its name less `_lane_` is the lane.

    The method gets the `Job` and each declared argument by name, and returns a packed blob. It
    is short work: it passes long work, and its answer is for the view that asked.
    """
    return _mark(Lane(checks, long=False))


def long_lane(**checks: Check) -> Callable[[Answer[W, P]], Answer[W, P]]:
    """Declare a method as the answer to a kind of question that takes many steps.

    It calls `job.progress` at each, may show partial results, and is ended by any view's Stop.
    There is one such work of a kind for the whole widget: every view hears of it.
    """
    return _mark(Lane(checks, long=True))


def apart_lane(**checks: Check) -> Callable[[Answer[W, P]], Answer[W, P]]:
    """Declare a long lane whose work does not use the network.

    The widget has a worker of its own for it, beside which the network answers other questions.
    """
    return _mark(Lane(checks, long=True, apart=True))


def _mark(found: Lane) -> Callable[[Answer[W, P]], Answer[W, P]]:
    def mark(method: Answer[W, P]) -> Answer[W, P]:
        setattr(method, _MARK, found)
        return method

    return mark


Lanes = Mapping[str, Lane]


def lanes_of(cls: type) -> Lanes:
    """The lanes that a class and its bases declare."""
    names = [name for name in dir(cls) if name.startswith("_lane_")]
    methods = {name.removeprefix("_lane_"): getattr(cls, name) for name in names}
    return {
        name: getattr(method, _MARK) for name, method in methods.items() if hasattr(method, _MARK)
    }


def text(limit: int = 500) -> Check:
    """A string of at most `limit` characters."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or len(value) > limit:
            raise ValueError("expected a short text")
        return value

    return check


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def whole(low: int = 0, high: int = 2**31 - 1) -> Check:
    """A whole number within the bounds; JSON has no integers, so 3.0 counts."""

    def check(value: Any) -> int:
        if not _is_number(value) or (isinstance(value, float) and not value.is_integer()):
            raise ValueError("expected a whole number")
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low} to {high}")
        return int(value)

    return check


def number(low: float = -math.inf, high: float = math.inf) -> Check:
    """A finite number within the bounds."""

    def check(value: Any) -> float:
        # Whole numbers in JSON may be too large for a float.
        if not _is_number(value) or not -_LARGEST <= value <= _LARGEST:
            raise ValueError("expected a number")
        if not low <= value <= high:
            raise ValueError(f"expected a number from {low:g} to {high:g}")
        return float(value)

    return check


def flag(value: Any) -> bool:
    """true or false."""
    if value is True or value is False:
        return bool(value)
    raise ValueError("expected true or false")


def one_of(*choices: str) -> Check:
    """One of a few words."""

    def check(value: Any) -> str:
        if not isinstance(value, str) or value not in choices:
            raise ValueError(f"expected one of {', '.join(choices)}")
        return value

    return check


def optional(check: Check) -> Check:
    """What `check` accepts, or null."""
    return lambda value: None if value is None else check(value)


def several(check: Check, limit: int) -> Check:
    """A list of at most `limit` values."""

    def check_all(value: Any) -> list[Any]:
        if not isinstance(value, list) or len(value) > limit:
            raise ValueError(f"expected a list of at most {limit}")
        return [check(item) for item in value]

    return check_all


def pair(low: int = 0, high: int = 2**31 - 1) -> Check:
    """Two whole numbers within the bounds: down and across, height and width."""
    both = several(whole(low, high), 2)

    def check(value: Any) -> tuple[int, int]:
        found = both(value)
        if len(found) != 2:
            raise ValueError("expected two numbers, down and across")
        return found[0], found[1]

    return check


def array(dtype: str, ndim: int) -> Check:
    """An array that came along in the question's blob, of this dtype and so many dimensions."""

    def check(value: Any) -> Array:
        if not isinstance(value, np.ndarray) or value.dtype != dtype or value.ndim != ndim:
            raise ValueError(f"expected an array of {dtype} in {ndim} dimensions")
        return value

    return check


@dataclass(frozen=True)
class Ask:
    """One question of a view."""

    view: str
    seq: int
    lane: str
    args: dict[str, Any]


@dataclass(frozen=True)
class Stop:
    """A view's Stop button: it ends the widget's long work."""

    view: str


@dataclass(frozen=True)
class Seen:
    """A view has shown a partial result."""

    view: str
    lane: str


@dataclass(frozen=True)
class Hello:
    """A new view, or one that wants to know whether the kernel is there."""

    view: str


@dataclass(frozen=True)
class Refused:
    """A question that is none of this widget's, or whose arguments are wrong."""

    view: str
    seq: int
    lane: str
    why: str


Message = Ask | Stop | Seen | Hello | Refused


def parse(content: Any, buffers: Any, epoch: str, lanes: Lanes) -> Message | None:
    """The message a view of this widget sent, or None for what is not even a question."""
    try:
        kind = content["type"]
        view = text(_ID_LIMIT)(content["view"])
        if not view:
            return None
        if kind == "hello":
            return Hello(view)
        if content["epoch"] != epoch:
            return None
        if kind == "stop":
            return Stop(view)
        name = text(_ID_LIMIT)(content["lane"])
        if kind == "seen":
            return Seen(view, name)
        if kind != "ask":
            return None
        seq = whole()(content["seq"])
    except (KeyError, TypeError, ValueError):
        return None
    try:
        return Ask(view, seq, name, _checked(lanes, name, content.get("args"), buffers))
    except ValueError as error:
        return Refused(view, seq, name, str(error))


def _checked(lanes: Lanes, name: str, args: Any, buffers: Any) -> dict[str, Any]:
    """The arguments of a lane, or ValueError with what is wrong with them."""
    if name not in lanes:
        raise ValueError("this widget does not answer such a question")
    checks = lanes[name].checks
    given = {**args, **_arrays(buffers)} if isinstance(args, dict) else {}
    if not isinstance(args, dict) or set(given) != set(checks):
        raise ValueError(f"the question needs {', '.join(checks) or 'no arguments'}")
    found = {}
    for key, check in checks.items():
        try:
            found[key] = check(given[key])
        except (ValueError, TypeError) as error:
            raise ValueError(f"{key}: {error}") from None
    return found


def _arrays(buffers: Any) -> dict[str, Array]:
    """The arrays that came along with a question."""
    if not buffers:
        return {}
    blob = memoryview(buffers[0])
    if len(buffers) > 1 or blob.nbytes > _BLOB_LIMIT:
        raise ValueError(f"its arrays take more than {_BLOB_LIMIT:,} bytes")
    try:
        return unpack(blob)[1]
    except Exception:  # whatever nonsense a browser may send
        raise ValueError("its arrays cannot be read") from None
