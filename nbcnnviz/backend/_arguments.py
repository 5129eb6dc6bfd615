"""Numbers and flags that users give: checked, with errors that name the argument and the fix."""

from __future__ import annotations

import numbers
from typing import Any

import numpy as np
from torch import Tensor


def is_whole(value: Any) -> bool:
    """Python's and NumPy's whole numbers; True is none."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def whole(name: str, value: Any, least: int) -> int:
    """A whole number of at least so much.

    Raises:
        TypeError, ValueError: it is none, or less.
    """
    if not is_whole(value):
        raise TypeError(f"{name}={value!r}: give a whole number of at least {least}")
    if value < least:
        raise ValueError(f"{name}={value!r}: give at least {least}")
    return int(value)


def check_count(name: str, value: Any) -> None:
    """Refuse what is no whole number of at least 1."""
    if not is_whole(value) or value < 1:
        raise ValueError(f"{name}={value!r}: give a whole number of at least 1")


def real(name: str, value: Any, least: float, above: bool = False) -> float:
    """A finite number of at least (or above) so much.

    Raises:
        TypeError, ValueError: it is none, or out of range.
    """
    number = isinstance(value, int | float | np.integer | np.floating)
    if not number or isinstance(value, bool):
        raise TypeError(f"{name}={value!r}: give a number")
    if not np.isfinite(value) or value < least or (above and value == least):
        limit = "" if least == -np.inf else f" {'above' if above else 'of at least'} {least:g}"
        raise ValueError(f"{name}={value!r}: give a finite number{limit}")
    return float(value)


def read_flag(name: str, value: Any) -> bool:
    """True or False.

    Raises:
        TypeError: it is neither; "no" would count as true.
    """
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"{name}={value!r}: give True or False")
    return bool(value)


def plain(value: Any) -> Any:
    """NumPy's and PyTorch's numbers and arrays as Python's numbers and lists, the rest as it is."""
    return value.tolist() if isinstance(value, np.ndarray | np.generic | Tensor) else value
