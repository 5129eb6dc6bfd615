"""How sight goes through functions that write into a tensor, or into a part of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import Tensor

from ._rules import Call, NotDependentError, unknown
from ._state import Sight, State, broadcast, flattened, fresh
from .receptive_field import Axis, Ints


def copied(call: Call) -> State:
    """x.copy_(y), x.fill_(y), x.zero_(): what is put in, and nothing of what was there.

    Raises:
        NotDependentError: that is a constant.
    """
    put = call.states[1] if len(call.states) > 1 else None
    if put is None:
        raise NotDependentError
    return broadcast([put], call.shape)


def scattered(call: Call) -> State:
    """Writes to places that only the values of an index tell: what is put in, and what was."""
    return flattened(call.known, call.shape)


def assigned(call: Call) -> State:
    """x[...] = y with numbers, slices, None and an ellipsis; other indices are `scattered`."""
    where = call.args[1]
    if isinstance(where, Tensor) and where.shape == call.out.shape and _is_number(call.args[2]):
        return broadcast(call.known, call.shape)  # x[x < 0] = 0
    index = where if isinstance(where, tuple) else (where,)
    if not all(i is None or i is ... or type(i) in (int, slice) for i in index):
        return scattered(call)
    old = call.first
    values = [s for s in call.states[1:] if s is not None]
    part = call.args[0][where]
    if values:
        return written(call.args[0], part, broadcast(values, tuple(part.shape)), old)
    if old is None:
        return unknown(call)
    return old.but(exact=False, bounds=None)  # a constant: the cells there see less now


def _is_number(value: Any) -> bool:
    return not isinstance(value, Tensor) or value.dim() == 0


def written(whole: Tensor, part: Tensor, put: State, old: State | None) -> State:
    """What is known of a tensor after something was put into a view of it.

    Args:
        whole: the tensor.
        part: a view of it.
        put: what is known of what was put there.
        old: what was known of the tensor before.
    """
    shape = tuple(whole.shape)
    if part.shape == whole.shape and part.stride() == whole.stride():
        return put
    places = _places(whole, part)
    known = [s for s in (old, put) if s is not None]
    down = None if put.y is None else places[put.y]
    across = None if put.x is None else places[put.x]
    if down is None or across is None:
        return flattened(known, shape)
    y, x = down[0], across[0]
    if old is not None and (old.which is not None or (old.y, old.x) != (y, x)):
        return flattened(known, shape)
    sight = put.sight
    blank = old.sight if old is not None else _nothing(shape[y], shape[x], sight)
    rows, more = _put(blank.rows, sight.rows, *down[1:])
    columns, wider = _put(blank.columns, sight.columns, *across[1:])
    # Else cells that were overwritten may see less than before, while those beside them do not.
    exact = put.exact and more and wider and (old is None or old.exact)
    return fresh(State(shape, y, x, (Sight(rows, columns),), None, exact))


def _nothing(height: int, width: int, like: Sight) -> Sight:
    def blank(n: int, axis: Axis) -> Axis:
        return Axis(np.full(n, axis.total), np.zeros(n, np.int64), axis.total, None)

    return Sight(blank(height, like.rows), blank(width, like.columns))


def _put(axis: Axis, part: Axis, start: int, step: int) -> tuple[Axis, bool]:
    """An axis of which some positions also see what `part` sees; is that all they see?"""
    index: Ints = start + step * np.arange(part.n)
    before = axis.lo[index], axis.hi[index]
    more = bool((part.lo <= before[0]).all() and (part.hi >= before[1]).all())
    lo, hi = axis.lo.copy(), axis.hi.copy()
    lo[index], hi[index] = np.minimum(before[0], part.lo), np.maximum(before[1], part.hi)
    affine = None
    if np.array_equal(lo, axis.lo) and np.array_equal(hi, axis.hi):
        affine = axis.affine
    elif part.affine and step == 1 and (axis.lo >= axis.hi).all():
        size, stride, offset = part.affine
        affine = size, stride, offset - start * stride
    return Axis(lo, hi, axis.total, affine), more


def _places(whole: Tensor, part: Tensor) -> list[tuple[int, int, int] | None]:
    """For each dimension of a view (dimension, start, step) within the whole; None if unclear."""
    strides, shape = whole.stride(), tuple(whole.shape)
    wide = sorted((d for d in range(whole.dim()) if shape[d] > 1), key=lambda d: -strides[d])
    starts, rest = {}, int(part.storage_offset()) - int(whole.storage_offset())
    for d in wide:
        starts[d], rest = divmod(rest, strides[d]) if strides[d] else (0, rest)

    def place(n: int, stride: int) -> tuple[int, int, int] | None:
        d = next((d for d in wide if 0 < strides[d] <= stride), None)
        if d is None or rest or stride % strides[d]:
            return None
        step = stride // strides[d]
        return (d, starts[d], step) if starts[d] + (n - 1) * step < shape[d] else None

    return [place(n, stride) for n, stride in zip(part.shape, part.stride(), strict=True)]
