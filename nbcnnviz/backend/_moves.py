"""How sight goes through functions that only move values: permute, view, slices, cat, pad."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ._rules import Call, first_or_constant, unknown
from ._state import Shape, Sight, State, broadcast, flattened, frame_of, fresh, joined, tidy
from .receptive_field import Axis, Ints


def permutation(call: Call) -> State:
    """permute, transpose, movedim and the like."""
    state = call.first
    if state is None:
        return unknown(call)
    # A tensor whose sizes are its dimension numbers tells where each of them goes.
    probe = torch.empty(()).expand(tuple(range(2, 2 + len(state.shape))))
    arguments = call.args[1:]
    kwargs = {k: v for k, v in call.kwargs.items() if k not in ("input", "self")}
    order = [n - 2 for n in call.function(probe, *arguments, **kwargs).shape]
    which = None if state.which is None else state.which.transpose(order)
    places = {d: i for i, d in enumerate(order)}
    return state.but(
        shape=call.shape, y=places.get(_no(state.y)), x=places.get(_no(state.x)), which=which
    )


def _no(place: int | None) -> int:
    return -1 if place is None else place


def reshaping(call: Call) -> State:
    """view, reshape, flatten, squeeze: a dimension that is neither split nor merged stays."""
    state = first_or_constant(call)
    places = _same_dimensions(state.shape, call.shape)
    y = places.get(_no(state.y))
    x = places.get(_no(state.x))
    which = state.which
    if which is not None:
        frame = frame_of(call.shape, y, x)
        which = which.reshape(frame) if which.size == int(np.prod(frame)) else None
    return state.moved(call.shape, places, which)


def _same_dimensions(old: Shape, new: Shape) -> dict[int, int]:
    """Which dimension became which, where the sizes leave no doubt."""
    places: dict[int, int] = {}
    i = j = 0
    while i < len(old) and j < len(new):
        a, b = [i], [j]
        left, right = old[i], new[j]
        while left != right and i < len(old) and j < len(new):
            if left < right:
                i += 1
                a.append(i)
                left *= old[i] if i < len(old) else 1
            else:
                j += 1
                b.append(j)
                right *= new[j] if j < len(new) else 1
        wide_a = [d for d in a if d < len(old) and old[d] != 1] or a
        wide_b = [d for d in b if d < len(new) and new[d] != 1] or b
        if len(wide_a) == len(wide_b) == 1:
            places[wide_a[0]] = wide_b[0]
        i, j = i + 1, j + 1
    return places


def expansion(call: Call) -> State:
    """expand: broadcasting by itself."""
    state = first_or_constant(call)
    return broadcast([state], call.shape).but(origin=state.origin, bounds=state.bounds)


def concatenation(call: Call) -> State:
    """cat(tensors, dim)."""
    ndim = len(call.shape)
    dim = call.arg(1, "dim", call.kwargs.get("axis", 0)) % ndim
    like = call.known[0]
    states = [
        _constant(tuple(t.shape), like) if s is None else s
        for t, s in zip(call.tensors, call.states, strict=True)
        if t.dim() == ndim
    ]
    return joined(states, call.shape, dim)


def _constant(shape: Shape, like: State) -> State:
    """A tensor that sees nothing, laid out like another one."""
    blank = []
    for place, axis in ((like.y, like.sights[0].rows), (like.x, like.sights[0].columns)):
        n = 1 if place is None else shape[place]
        blank.append(Axis(np.full(n, axis.total), np.zeros(n, np.int64), axis.total, None))
    return State(shape, like.y, like.x, (Sight(*blank),))


def stacking(call: Call) -> State:
    """stack(tensors, dim): a new dimension, then a concatenation."""
    ndim = len(call.shape)
    dim = call.arg(1, "dim", 0) % ndim

    def shifted(state: State) -> State:
        places = {d: d + (d >= dim) for d in range(ndim - 1)}
        which = None if state.which is None else np.expand_dims(state.which, dim)
        shape = (*state.shape[:dim], 1, *state.shape[dim:])
        return state.moved(shape, places, which)

    like = call.known[0]
    states = [_constant(like.shape, like) if s is None else s for s in call.states]
    return joined([shifted(s) for s in states], call.shape, dim)


def slicing(call: Call) -> State:
    """x[...] with numbers, slices, None and an ellipsis."""
    state, index = call.first, call.args[1]
    if state is None:
        return unknown(call)
    index = index if isinstance(index, tuple) else (index,)
    if not all(i is None or i is ... or type(i) in (int, slice) for i in index):
        return reindexing(call)
    gap = len(state.shape) - sum(i is not None and i is not ... for i in index)
    if ... in index:
        at = index.index(...)
        index = (*index[:at], *[slice(None)] * gap, *index[at + 1 :])
    else:
        index = (*index, *[slice(None)] * gap)
    return sliced(state, index, call.shape)


def sliced(state: State, index: Sequence[Any], shape: Shape) -> State:
    """`index` names every dimension of the tensor once, None being new ones."""
    places: dict[int, int] = {}
    chosen: dict[int, Ints] = {}
    frame: list[Any] = []
    old = new = 0
    for entry in index:
        if entry is None:
            frame.append(None)
            new += 1
            continue
        chosen[old] = np.atleast_1d(np.arange(state.shape[old])[entry])
        spatial = old in (state.y, state.x)
        frame.append((0 if isinstance(entry, int) else slice(None)) if spatial else entry)
        if not isinstance(entry, int):
            places[old] = new
            new += 1
        old += 1
    rows, columns = chosen.get(_no(state.y)), chosen.get(_no(state.x))
    cut = state.each(
        state.shape,
        (lambda a: a) if rows is None else (lambda a: a.pick(rows)),
        (lambda a: a) if columns is None else (lambda a: a.pick(columns)),
    )
    which = None if state.which is None else state.which[tuple(frame)]
    exact = cut.exact
    # A dropped dimension has one row left, which loses nothing.
    return tidy(cut.moved(shape, places, which).but(exact=exact))


def reindexing(call: Call) -> State:
    """Any function that only moves values: it is asked where each row and column ends up."""
    state = call.first
    others = [s for s in call.states[1:] if s is not None]
    if state is None or others or state.y is None or state.x is None:
        return unknown(call)
    rows, y = _moved_axis(call, state, state.y)
    columns, x = _moved_axis(call, state, state.x)
    if y is None or x is None or y == x:
        return flattened([state], call.shape)
    seen = state.sight
    sight = Sight(_between(seen.rows, rows), _between(seen.columns, columns))
    # Where rows went to different channels this is a bound for the single channel.
    parted = any(not np.array_equal(*bounds) for bounds in (rows, columns))
    exact = state.exact and state.which is None and not parted
    return State(call.shape, y, x, (sight,), None, exact, state.origin, state.bounds)


def unshuffling(call: Call) -> State:
    """pixel_unshuffle: the rows and columns of each block become channels."""
    state, factor = call.first, call.arg(1, "downscale_factor")
    if state is None or (state.y, state.x) != (2, 3) or state.which is not None:
        return reindexing(call)
    h, w = (np.arange(n) * factor for n in call.shape[2:])
    seen = state.sight
    steps = [(dy, dx) for dy in range(factor) for dx in range(factor)]
    sights = tuple(Sight(seen.rows.pick(h + dy), seen.columns.pick(w + dx)) for dy, dx in steps)
    which = np.tile(np.arange(len(sights)), state.shape[1]).reshape(1, -1, 1, 1)
    return tidy(State(call.shape, 2, 3, sights, which, state.exact))


def _moved_axis(call: Call, state: State, dim: int) -> tuple[tuple[Ints, Ints], int | None]:
    """For each position along the new dimension the first and last old position it holds."""
    view = [1] * len(state.shape)
    view[dim] = -1
    numbers = torch.arange(state.shape[dim], dtype=torch.float64).view(view).expand(state.shape)
    kwargs = {k: v for k, v in call.kwargs.items() if k not in ("input", "self")}
    args = [_on_cpu(a) for a in call.args[1:]]
    if call.function is F.pad and call.arg(2, "mode", "constant") == "constant":
        moved = F.pad(numbers, call.arg(1, "pad"), value=-1)
    else:
        moved = call.function(numbers, *args, **kwargs)
    best, bounds = None, (np.zeros(0, np.int64), np.zeros(0, np.int64))
    spread = torch.inf
    for d in range(moved.dim()):
        rest = [k for k in range(moved.dim()) if k != d]
        high = moved.amax(rest) if rest else moved
        low = torch.where(moved < 0, torch.inf, moved).amin(rest) if rest else moved
        low = torch.where(high < 0, high, low)
        extent = float((high - low).mean())
        if extent < spread:
            best, spread = d, extent
            bounds = low.long().numpy(), high.long().numpy()
    if spread >= state.shape[dim] - 1 and state.shape[dim] > 1:
        return bounds, None
    return bounds, dim if state.shape[dim] == 1 and moved.dim() == len(state.shape) else best


def _on_cpu(value: Any) -> Any:
    if isinstance(value, tuple | list):
        return type(value)(map(_on_cpu, value))
    return value.cpu() if isinstance(value, Tensor) else value


def _between(axis: Axis, bounds: tuple[Ints, Ints]) -> Axis:
    low, high = bounds
    if np.array_equal(low, high):
        return axis.pick(low)
    return axis.between(low, high + 1)


def padding(call: Call) -> State:
    """pad(input, pad, mode, value)."""
    state, pads = call.first, list(call.arg(1, "pad"))
    if state is None:
        return unknown(call)
    made = reindexing(call)
    ndim = len(state.shape)
    touched = {ndim - 1 - i // 2 for i, n in enumerate(pads) if n}
    if touched <= {state.y, state.x} and state.which is not None:
        sights = tuple(
            reindexing(replace(call, states=[state.but(sights=(s,), which=None)])).sights[0]
            for s in state.sights
        )
        made = made.but(sights=sights, which=state.which)
    if made.y is None:
        return made

    def shifted(axis: Axis, old: Axis, dim: int | None) -> Axis:
        before = pads[2 * (ndim - 1 - _no(dim))] if 2 * (ndim - 1 - _no(dim)) < len(pads) else 0
        if not old.affine or call.arg(2, "mode", "constant") != "constant":
            return replace(axis, affine=None)
        size, step, offset = old.affine
        return replace(axis, affine=(size, step, offset - before * step))

    old = state.sights
    sights = tuple(
        Sight(shifted(s.rows, o.rows, state.y), shifted(s.columns, o.columns, state.x))
        for s, o in zip(
            made.sights, old if len(old) == len(made.sights) else [state.sight], strict=True
        )
    )
    return fresh(made.but(sights=sights))
