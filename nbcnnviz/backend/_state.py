"""What is known of a tensor while a network runs: its image axes and what its cells can see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from .receptive_field import Axis

Shape = tuple[int, ...]
Which = npt.NDArray[np.int64]
_LAYOUTS = ((2, 3), (1, 2))


class Sight(NamedTuple):
    """What some channels see: an interval of rows for each row, of columns for each column."""

    rows: Axis
    columns: Axis

    def merge(self, other: Sight) -> Sight:
        return Sight(self.rows.merge(other.rows), self.columns.merge(other.columns))

    def same(self, other: Sight) -> bool:
        return self.rows.same(other.rows) and self.columns.same(other.columns)


class Bounds(NamedTuple):
    """Where a bounded activation is flat: values at or beyond these count as saturated."""

    low: float | None
    high: float | None


@dataclass(frozen=True, eq=False)
class State:
    """What is known of one tensor that depends on the image. States are never changed."""

    shape: Shape
    y: int | None
    """The dimension that runs down the image; None when there is none, or it is mixed up."""
    x: int | None
    sights: tuple[Sight, ...]
    """More than one where branches were concatenated: a later split may part them again."""
    which: Which | None = None
    """For each channel its entry of `sights`: the tensor's shape with 1 at y and x."""
    exact: bool = True
    origin: int = -1
    """Number of the function call that computed the values; views and slices keep it."""
    bounds: Bounds | None = None

    @classmethod
    def image(cls, shape: Shape) -> State:
        """The network's input, (1, C, H, W)."""
        sight = Sight(Axis.identity(shape[2]), Axis.identity(shape[3]))
        return cls(shape, 2, 3, (sight,))

    def but(self, **changes: Any) -> State:
        """`dataclasses.replace`, several times as fast; there are hundreds in a pass."""
        made = object.__new__(State)
        made.__dict__.update(self.__dict__, **changes)
        return made

    @property
    def sight(self) -> Sight:
        """What the tensor as a whole sees, all channels taken together."""
        seen = self.sights[0]
        for other in self.sights[1:]:
            seen = seen.merge(other)
        return seen

    @property
    def one_sight(self) -> bool:
        """Whether every value of the tensor sees the same part of the image."""
        return self.which is None and self.sights[0].rows.n == self.sights[0].columns.n == 1

    @property
    def maps(self) -> bool:
        """Whether this is a stack of maps, (N, C, H, W) or (N, H, W, C)."""
        return len(self.shape) == 4 and self.shape[0] == 1 and (self.y, self.x) in _LAYOUTS

    @property
    def channels_last(self) -> bool:
        return self.maps and self.y == 1

    def alike(self, other: State) -> bool:
        """Whether each cell sees what the same cell of the other sees."""
        if (self.shape, self.y, self.x) != (other.shape, other.y, other.x):
            return False
        if self.which is None or other.which is None:
            return self.which is other.which and self.sights[0].same(other.sights[0])
        alike = len(self.sights) == len(other.sights) and np.array_equal(self.which, other.which)
        return alike and all(map(Sight.same, self.sights, other.sights))

    def uniform(self) -> State:
        """All channels see what any of them sees."""
        return self if self.which is None else self.but(sights=(self.sight,), which=None)

    def each(
        self,
        shape: Shape,
        rows: Callable[[Axis], Axis] = lambda axis: axis,
        columns: Callable[[Axis], Axis] = lambda axis: axis,
    ) -> State:
        """The same dimensions, other rows and columns."""
        sights = tuple(Sight(rows(s.rows), columns(s.columns)) for s in self.sights)
        return self.but(shape=shape, sights=sights)

    def flat(self, shape: Shape, *, exact: bool | None = None) -> State:
        """Rows and columns can no longer be told apart."""
        seen = self.sight
        if exact is None:
            exact = seen.rows.n == 1 and seen.columns.n == 1
        sight = Sight(seen.rows.collapse(), seen.columns.collapse())
        return State(shape, None, None, (sight,), None, self.exact and exact, self.origin)

    def laid_out(self, shape: Shape, y: int, x: int) -> State:
        """Where the image runs in a tensor is learnt from who reads it: a convolution, say."""
        sight = self.flat(shape).sight
        spread = Sight(sight.rows.expand(shape[y]), sight.columns.expand(shape[x]))
        return State(shape, y, x, (spread,), None, self.exact, self.origin)

    def moved(self, shape: Shape, places: dict[int, int], which: Which | None) -> State:
        """Dimension d has become places[d]; one that is missing there was merged or dropped."""
        y = places.get(self.y) if self.y is not None else None
        x = places.get(self.x) if self.x is not None else None
        lost = (self.y is not None and y is None and self.sights[0].rows.n > 1) or (
            self.x is not None and x is None and self.sights[0].columns.n > 1
        )
        made = self if which is not None else self.uniform()
        made = made.but(shape=shape, y=y, x=x, which=which, exact=self.exact and not lost)
        return made.each(
            shape,
            (lambda a: a) if y is not None else Axis.collapse,
            (lambda a: a) if x is not None else Axis.collapse,
        )

    def aligned(self, ndim: int) -> State:
        """With leading dimensions of size 1, as broadcasting adds them."""
        shift = ndim - len(self.shape)
        if not shift:
            return self
        return self.but(
            shape=(1,) * shift + self.shape,
            y=None if self.y is None else self.y + shift,
            x=None if self.x is None else self.x + shift,
            which=None
            if self.which is None
            else self.which.reshape((1,) * shift + self.which.shape),
        )


def fresh(state: State) -> State:
    """For values that a function has computed anew: what was said of the old ones is void."""
    return state.but(bounds=None, origin=-1)


def frame_of(shape: Shape, y: int | None, x: int | None) -> Shape:
    """The shape of `which`: that of the tensor with 1 at y and x."""
    return tuple(1 if d in (y, x) else n for d, n in enumerate(shape))


def broadcast(states: Sequence[State], shape: Shape) -> State:
    """An element-by-element function of several tensors: what any of them sees."""
    if len(states) == 1 and states[0].shape == shape:
        return fresh(states[0])
    aligned = [s.aligned(len(shape)) for s in states]
    y, x = _agreed([s.y for s in aligned]), _agreed([s.x for s in aligned])
    if y == -1 or x == -1:
        return flattened(states, shape)
    exact = all(s.exact for s in aligned)
    spread = [
        s.each(
            shape,
            (lambda a: a) if y is None else (lambda a: a.expand(shape[y])),
            (lambda a: a) if x is None else (lambda a: a.expand(shape[x])),
        )
        for s in aligned
    ]
    first = spread[0]
    made = first.but(y=y, x=x, exact=exact, bounds=None, origin=-1)
    if all(s.which is None for s in spread):
        for other in spread[1:]:
            made = made.but(sights=(made.sights[0].merge(other.sights[0]),))
        return made
    for other in spread[1:]:
        made = _combine(made, other, frame_of(shape, y, x))
    return made


def _agreed(places: Sequence[int | None]) -> int | None:
    """The one place all agree on; None when nobody knows one, -1 when they differ."""
    known = {p for p in places if p is not None}
    return None if not known else known.pop() if len(known) == 1 else -1


def _combine(a: State, b: State, frame: Shape) -> State:
    first = np.zeros(frame, np.int64) if a.which is None else np.broadcast_to(a.which, frame)
    second = np.zeros(frame, np.int64) if b.which is None else np.broadcast_to(b.which, frame)
    codes, which = np.unique(first * len(b.sights) + second, return_inverse=True)
    sights = tuple(
        a.sights[code // len(b.sights)].merge(b.sights[code % len(b.sights)]) for code in codes
    )
    return tidy(a.but(sights=sights, which=which.reshape(frame)))


def flattened(states: Sequence[State], shape: Shape) -> State:
    """Some function of several tensors: an upper bound of what it can see."""
    seen = [s.flat(shape, exact=False) for s in states]
    made = seen[0]
    for other in seen[1:]:
        made = made.but(sights=(made.sights[0].merge(other.sights[0]),))
    like = next((s for s in states if _fits(s, shape)), None)
    if like is not None and like.y is not None and like.x is not None:
        made = made.laid_out(shape, like.y, like.x)
    return made.but(exact=False, origin=-1)


def _fits(state: State, shape: Shape) -> bool:
    """Whether a tensor of this shape very likely has its image axes where `state` has them."""
    y, x = state.y, state.x
    if y is None or x is None or len(shape) != len(state.shape):
        return False
    return (shape[y], shape[x]) == (state.shape[y], state.shape[x])


def tidy(state: State) -> State:
    """Equal sights made one, unused ones dropped."""
    if state.which is None or not state.which.size:  # no boxes found: no channels
        return state.uniform()
    kept: list[Sight] = []
    new = np.zeros(len(state.sights), np.int64)
    for index in np.unique(state.which):
        sight = state.sights[index]
        place = next((i for i, other in enumerate(kept) if other.same(sight)), len(kept))
        kept.extend([sight] if place == len(kept) else [])
        new[index] = place
    which = None if len(kept) == 1 else new[state.which]
    return state.but(sights=tuple(kept), which=which)


def joined(states: Sequence[State], shape: Shape, dim: int) -> State:
    """A concatenation along `dim`."""
    y, x = _agreed([s.y for s in states]), _agreed([s.x for s in states])
    if y == -1 or x == -1:
        return flattened(states, shape)
    exact = all(s.exact for s in states)
    if dim in (y, x):
        return _joined_in_space([s.uniform() for s in states], shape, dim == y, exact)
    states = [_placed(s, y, x) for s in states]
    sights: list[Sight] = []
    parts = []
    for s in states:
        frame = frame_of(s.shape, y, x)
        which = np.zeros(frame, np.int64) if s.which is None else s.which
        parts.append(which + len(sights))
        sights.extend(s.sights)
    joint = np.concatenate(parts, axis=dim)
    return tidy(State(shape, y, x, tuple(sights), joint, exact))


def _placed(state: State, y: int | None, x: int | None) -> State:
    """A state that lost its axes, spread over those that its companions have."""
    if (state.y, state.x) == (y, x) or y is None or x is None:
        return state
    return state.laid_out(state.shape, y, x)


def _joined_in_space(states: Sequence[State], shape: Shape, rows: bool, exact: bool) -> State:
    made = states[0]
    for other in states[1:]:
        a, b = made.sights[0], other.sights[0]
        if rows:
            sight = Sight(a.rows.followed_by(b.rows), a.columns.merge(b.columns))
            exact = exact and a.columns.same(b.columns)
        else:
            sight = Sight(a.rows.merge(b.rows), a.columns.followed_by(b.columns))
            exact = exact and a.rows.same(b.rows)
        made = made.but(sights=(sight,))
    return made.but(shape=shape, exact=exact, bounds=None, origin=-1)
