"""What a pooling does: its parameters, whether they fit a map, and how many values come out."""

from __future__ import annotations

import difflib
import operator
from dataclasses import dataclass
from typing import Any, TypeAlias

from ._arguments import read_flag

Pair: TypeAlias = tuple[int, int]
"""(rows, columns)"""

OPS = ("max", "avg", "l2", "global_avg", "global_max")
"""The ways to pool."""
_MOST = 2**31 - 1
"""PyTorch's kernels count in 32 bits."""
_WIDEST = 2**63 - 1
"""Divisors have 64."""


@dataclass(frozen=True)
class Arithmetic:
    """How many windows fit along one side of a map, spelled out."""

    size: int
    """How many values come out."""
    formula: str
    """For people: "floor((112 + 2*1 - 3)/2) + 1 = 56"."""
    dropped: bool
    """`ceil_mode` would add a window that begins in the padding, and PyTorch leaves it out."""
    unread: int
    """How many of the map's rows (columns) lie in no window."""


@dataclass(frozen=True)
class Pooling:
    """The parameters of one pooling. One over whole maps has a single window, the map."""

    op: str
    """max, avg, l2, global_avg or global_max. Calls of networks may also be l1, l3, ... (other
    norms), adaptive_avg and adaptive_max (to `output` values), or fractional_max."""
    window: Pair | None
    """(rows, columns); None where the windows are not all of one size."""
    stride: Pair | None
    """None: as there is no fixed one."""
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False
    count_include_pad: bool = True
    """For avg: the zeros of the padding count as values."""
    divisor_override: int | None = None
    """For avg: what sums are divided by; None: by how many values there are."""
    output: Pair | None = None
    """For adaptive_avg, adaptive_max and fractional_max: how many values come out."""

    @property
    def whole(self) -> bool:
        """Whether it has no windows to choose: global or adaptive."""
        return self.op.startswith(("global", "adaptive"))

    def averages_whole(self, size: Pair) -> bool:
        """Whether it makes of each map of this size its mean."""
        plain = self.padding == (0, 0) and self.divisor_override is None
        return self.op == "global_avg" or (self.op == "avg" and plain and self.window == size)

    def windows(self) -> tuple[Pair, Pair]:
        """Window and stride, where both are known."""
        assert self.window is not None
        return self.window, self.window if self.stride is None else self.stride

    def arithmetic(self, size: Pair) -> tuple[Arithmetic, Arithmetic]:
        """How many values come out of maps of this size, down and across."""
        if self.op.startswith("global"):
            made = [Arithmetic(1, f"the whole of {n} = 1", False, 0) for n in size]
            return made[0], made[1]
        window, stride = self.windows()
        made = [
            _count(size[i], window[i], stride[i], self.padding[i], self.dilation[i], self.ceil_mode)
            for i in (0, 1)
        ]
        return made[0], made[1]

    def problem(self, size: Pair) -> str | None:
        """Why this cannot pool maps of this size, with what to give instead; None if it can."""
        if min(size) < 1:
            return f"maps: {size[0]} x {size[1]} holds no values; give maps of at least 1 x 1"
        if self.whole:
            return None
        window, stride = self.windows()
        for name, value, least in (
            ("window", window, 1),
            ("stride", stride, 1),
            ("padding", self.padding, 0),
            ("dilation", self.dilation, 1),
        ):
            if min(value) < least:
                return f"{name}={shown(value)}: give at least {least}"
            if max(value) > _MOST:
                return f"{name}={shown(value)}: too large for PyTorch; give at most {_MOST}"
        if self.divisor_override == 0:
            return "divisor_override=0: sums cannot be divided by it; give None or another number"
        for i, line in enumerate(("row", "column")):
            text = self._misfit(size[i], i, line)
            if text:
                return text
        return None

    def check(self, size: Pair) -> None:
        """Raise a ValueError with the `problem`, if there is one."""
        problem = self.problem(size)
        if problem:
            raise ValueError(problem)

    def _misfit(self, n: int, i: int, line: str) -> str | None:
        """What is wrong along one side of the maps."""
        lines = f"{n} {line}" if n == 1 else f"{n} {line}s"
        window, stride = self.windows()
        k, s, p, d = window[i], stride[i], self.padding[i], self.dilation[i]
        if p > k // 2:
            return (
                f"padding={shown(self.padding)}: more than half of window={shown(window)}; "
                f"give at most {shown((window[0] // 2, window[1] // 2))}"
            )
        size, _ = _size(n, k, s, p, d, self.ceil_mode)
        if size < 1:
            reach = (
                f" with dilation={shown(self.dilation)} spans {d * (k - 1) + 1}" if d > 1 else ""
            )
            return (
                f"window={shown(window)}{reach}: larger than the maps, {lines} with {2 * p} of "
                f"padding; give a window of at most {(n + 2 * p - 1) // d + 1}"
            )
        early = range(min(size, -(-p // s)))
        if not all(_inside(n, o * s - p, k, d) for o in early):
            # PyTorch returns -infinity there, and the index of some other cell or of none.
            return (
                f"dilation={shown(self.dilation)}: with padding={shown(self.padding)} a window "
                f"reads only padding, as the maps have {lines}; give padding=0 or less dilation"
            )
        return None


def _inside(n: int, start: int, k: int, d: int) -> bool:
    """Whether any value of a window lies in a map of n."""
    first = start if start >= 0 else start + d * (-start // d + bool(-start % d))
    return first < n and first <= start + d * (k - 1)


def _size(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> tuple[int, bool]:
    """How many windows PyTorch counts, and whether it leaves one out that begins in the padding."""
    room = n + 2 * p - (d * (k - 1) + 1)
    size = -(-room // s) + 1 if ceil_mode else room // s + 1
    dropped = ceil_mode and (size - 1) * s >= n + p
    return size - dropped, dropped


def _count(n: int, k: int, s: int, p: int, d: int, ceil_mode: bool) -> Arithmetic:
    size, dropped = _size(n, k, s, p, d, ceil_mode)
    reach = str(k) if d == 1 else f"({d}*({k} - 1) + 1)"
    less = " - 1" if dropped else ""
    kind = "ceil" if ceil_mode else "floor"
    formula = f"{kind}(({n} + 2*{p} - {reach})/{s}) + 1{less} = {size}"
    starts = [o * s - p for o in range(size)]
    # Only cells on the map: a window may have any number of others in its padding.
    read = {i for a in starts for i in range(a % d if a < 0 else a, min(n, a + d * k), d)}
    return Arithmetic(size, formula, dropped, n - len(read))


_WHOLE = {op: Pooling(op, None, None) for op in OPS if op.startswith("global")}
"""Whatever else is given: they have no windows."""


def shown(pair: Pair) -> str:
    """3 rather than (3, 3)."""
    return str(pair[0]) if pair[0] == pair[1] else str(pair)


def read_op(op: Any) -> str:
    """The name of a way to pool.

    Raises:
        TypeError, ValueError: there is no such; the nearest is named.
    """
    if not isinstance(op, str):
        raise TypeError(f"op: a {type(op).__name__}; give one of {', '.join(OPS)}")
    if op not in OPS:
        near = difflib.get_close_matches(op, OPS, 1)
        hint = f"did you mean {near[0]!r}? There are " if near else "give one of "
        raise ValueError(f"op={op!r}: there is no such pooling; {hint}{', '.join(OPS)}")
    return op


def read_pair(value: Any, name: str) -> Pair:
    """A whole number, or one each for rows and columns.

    Raises:
        TypeError: it is neither.
    """
    values = list(value) if isinstance(value, tuple | list) else [value, value]
    try:
        if len(values) != 2 or any(isinstance(v, bool) for v in values):
            raise TypeError
        return operator.index(values[0]), operator.index(values[1])
    except TypeError:
        raise TypeError(
            f"{name}={value!r}: give a whole number, or two of them for (rows, columns)"
        ) from None


def read_divisor(value: Any) -> int | None:
    """A whole number, or None.

    Raises:
        TypeError: it is neither.
        ValueError: PyTorch cannot hold it.
    """
    try:
        if isinstance(value, bool):
            raise TypeError
        found = None if value is None else operator.index(value)
    except TypeError:
        raise TypeError(f"divisor_override={value!r}: give a whole number or None") from None
    if found is not None and abs(found) > _WIDEST:
        raise ValueError(f"divisor_override={found}: too large for PyTorch; give at most {_WIDEST}")
    return found


def read_pooling(
    op: Any,
    window: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: Any,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> Pooling:
    """Parameters as a user gives them; whether they fit a map is for `Pooling.problem` to say.

    Raises:
        TypeError, ValueError: one that is none, by name.
    """
    if read_op(op) in _WHOLE:
        return _WHOLE[op]
    size = read_pair(window, "window")
    return Pooling(
        op,
        size,
        size if stride is None else read_pair(stride, "stride"),
        read_pair(padding, "padding"),
        read_pair(dilation, "dilation"),
        read_flag("ceil_mode", ceil_mode),
        read_flag("count_include_pad", count_include_pad),
        read_divisor(divisor_override),
    )
