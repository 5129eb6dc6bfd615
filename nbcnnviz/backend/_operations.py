"""The operations of a graph, each on whole maps and, if it can, on windows alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from ._windows import Base, Box, Layout, Offsets, Sweep, Window, from_rows, reach, to_rows, union

ELEMENTWISE = (
    "relu relu6 hardtanh hardswish hardsigmoid silu gelu mish elu celu selu leaky_relu softplus "
    "log_sigmoid sigmoid tanh clamp clamp_min clamp_max threshold hardshrink softshrink add sub "
    "rsub mul div pow neg abs exp sqrt rsqrt where maximum minimum addcmul masked_fill "
    "floor_divide affine"
)
OVERWRITING = frozenset(
    "relu relu6 hardtanh hardswish hardsigmoid silu mish elu celu selu leaky_relu sigmoid tanh "
    "clamp clamp_min clamp_max add sub mul div".split()
)
"""Operations that may put their result in the place of their first argument."""
FRESH = frozenset(
    f"{ELEMENTWISE} conv2d convolution linear layer_norm group_norm softmax max_pool2d "
    "avg_pool2d cat mean sum amax matmul".split()
)
"""Operations whose result shares no memory with an argument."""


@dataclass(frozen=True)
class Slot:
    """Stands for a value in the arguments of an operation."""

    index: int


@dataclass(eq=False)
class State:
    """What a run of the graph works with."""

    bases: dict[int, Base]
    """Maps of the unchanged image, by slot."""
    values: list[Any]
    """By slot: a `Window`, a tensor of whole maps or vectors, a list of these, or a number."""
    batch: int
    limit: float
    """From this share of a map on a window is no gain."""

    def whole(self, slot: int) -> Any:
        value = self.values[slot]
        return self.bases[slot].whole(value) if isinstance(value, Window) else value


def fill(argument: Any, look_up: Callable[[int], Any]) -> Any:
    """An argument with values in the place of slots."""
    if isinstance(argument, Slot):
        return look_up(argument.index)
    if isinstance(argument, list | tuple):
        return [fill(each, look_up) for each in argument]
    return argument


@dataclass(eq=False)
class Operation:
    """An operation that is not known to keep to windows: it needs whole maps."""

    slot: int
    name: str
    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    inputs: tuple[int, ...]
    """Slots among the arguments."""
    layout: Layout | None = None
    """Of the result."""
    fresh: bool = False
    """The result shares no memory with an argument."""
    overwrites: Callable[..., Any] | None = None
    """The same with the result in the place of the first argument."""

    def run(self, state: State) -> Any:
        for slot in self.inputs:
            if isinstance(state.values[slot], Window):
                result = self.windowed(state)
                return self.whole(state) if result is None else result
        return self.whole(state)

    def windowed(self, state: State) -> Any:
        """The result on windows; None if whole maps are needed, or cheaper."""
        return None

    def whole(self, state: State) -> Any:
        return self.apply(state.whole)

    def apply(self, look_up: Callable[[int], Any]) -> Any:
        kwargs = {key: fill(value, look_up) for key, value in self.kwargs.items()}
        return self.call(*[fill(each, look_up) for each in self.args], **kwargs)

    def needs(self) -> Sequence[int]:
        """The slots whose base must be kept."""
        return self.inputs


class Size(Operation):
    """The batch size, or a multiple of it."""

    def run(self, state: State) -> int:
        value, dim = state.values[self.inputs[0]], self.args[1]
        return state.batch if isinstance(value, Window) else int(value.shape[dim])

    def needs(self) -> Sequence[int]:
        return ()


class Pick(Operation):
    """One of several results."""

    def run(self, state: State) -> Any:
        return state.values[self.inputs[0]][self.args[1]]

    def needs(self) -> Sequence[int]:
        return ()


@dataclass(eq=False)
class Pointwise(Operation):
    """Each position of the result is made of what its arguments hold at the same position."""

    maps: dict[int, tuple[int, tuple[int, ...]]] = field(default_factory=dict)
    """For inputs with positions: where they keep them, and their other sizes."""
    fixed: dict[int, Base] = field(default_factory=dict)
    """Constants with positions, by negative numbers that stand for them in the arguments."""

    def windowed(self, state: State) -> Any:
        windows = {slot: state.values[slot] for slot in self.maps}
        if not all(isinstance(window, Window) for window in windows.values()):
            return None
        assert self.layout is not None
        box = next(iter(windows.values())).box
        if len(windows) > 1:
            box = union([window.box for window in windows.values()], self.layout)
            if box.area >= state.limit * self.layout.area:
                return None

        def look_up(slot: int) -> Any:
            if slot in self.fixed:
                base = self.fixed[slot]
                return from_rows(base.old(box), base.layout.y, base.rest)
            if slot not in windows:
                return state.values[slot]
            window: Window = windows[slot]
            if box is window.box or box.same(window.box):
                return window.values
            y, rest = self.maps[slot]
            return from_rows(state.bases[slot].crop(box, window), y, rest)

        result = self.apply(look_up)
        if isinstance(result, Tensor):
            return Window(result, box)
        return [Window(each, box) for each in result]

    def whole(self, state: State) -> Any:
        def look_up(slot: int) -> Any:
            return self.fixed[slot].values if slot in self.fixed else state.whole(slot)

        return self.apply(look_up)

    def needs(self) -> Sequence[int]:
        return tuple(self.maps) if len(self.maps) > 1 else ()


@dataclass(eq=False)
class Reshape(Operation):
    """Splits or merges dimensions, but not those of positions; keeps channels last in memory."""

    y: int = 0
    """Where the argument keeps its positions."""
    rest: tuple[int, ...] = ()
    """The other sizes of the result."""

    def run(self, state: State) -> Any:
        value = state.values[self.inputs[0]]
        if isinstance(value, Window):
            return Window(self.apply_to(value.values), value.box)
        return self.apply_to(value)

    def apply_to(self, values: Tensor) -> Tensor:
        assert self.layout is not None
        return from_rows(to_rows(values, self.y), self.layout.y, self.rest)

    def needs(self) -> Sequence[int]:
        return ()


@dataclass(eq=False)
class Local(Operation):
    """A sliding operation on (B, C, H, W): convolution, pooling, slicing."""

    sweeps: tuple[Sweep, Sweep] = (Sweep(1, 1, 0, 1), Sweep(1, 1, 0, 1))
    padding: float = 0.0
    """What lies beyond the edge."""
    on_crop: Callable[[Tensor, Box], Tensor] = lambda crop, box: crop
    """The operation without padding, on the inputs of a box."""

    def windowed(self, state: State) -> Any:
        slot, layout = self.inputs[0], self.layout
        window: Window = state.values[slot]
        assert layout is not None
        y, x, box = *self.sweeps, window.box
        if y.trivial and x.trivial:
            return Window(self.on_crop(window.values, box), box)
        tops, height = reach(box.tops, box.height, y, layout.height)
        lefts, width = reach(box.lefts, box.width, x, layout.width)
        if height * width >= state.limit * layout.area:
            return None
        out = Box(tops, lefts, height, width)
        (tops, height), (lefts, width) = y.sees(tops, height), x.sees(lefts, width)
        seen = Box(tops, lefts, height, width)
        crop = state.bases[slot].crop(seen, window, self.padding)
        return Window(self.on_crop(crop.permute(0, 3, 1, 2), out), out)


@dataclass(eq=False)
class Shift(Operation):
    """Padding with a constant: the window stays as it is, in a larger map."""

    top: int = 0
    left: int = 0

    def windowed(self, state: State) -> Any:
        window: Window = state.values[self.inputs[0]]
        box = window.box
        moved = Box(box.tops + self.top, box.lefts + self.left, box.height, box.width)
        return Window(window.values, moved)


@dataclass(eq=False)
class Total(Operation):
    """A sum or mean over all positions, by what the window adds to that of the base."""

    y: int = 0
    rest: tuple[int, ...] = ()
    """The other sizes of the argument."""
    others: tuple[int, ...] = ()
    """Which of these are summed as well, counted within them from 1."""
    size: tuple[int, ...] = ()
    """Of the result, without the batch."""
    divisor: int = 1

    def windowed(self, state: State) -> Any:
        window: Window = state.values[self.inputs[0]]
        base = state.bases[self.inputs[0]]
        if "sum" not in base.facts:
            base.facts["sum"] = _sum(base.rows[None])
        rows = to_rows(window.values, self.y)
        total = _sum(rows) - _sum(base.old(window.box)) + base.facts["sum"]
        if self.others:
            total = total.view(-1, *self.rest).sum(self.others)
        return (total / self.divisor).to(rows.dtype).reshape(-1, *self.size)


def _sum(rows: Tensor) -> Tensor:
    wide = torch.float32 if rows.element_size() < 4 else rows.dtype
    return rows.sum((1, 2), dtype=wide)


@dataclass(eq=False)
class Maximum(Operation):
    """A maximum over all positions: of the window, and of the base around it."""

    y: int = 0
    size: tuple[int, ...] = ()

    def windowed(self, state: State) -> Any:
        window: Window = state.values[self.inputs[0]]
        base, box = state.bases[self.inputs[0]], window.box
        if "max" not in base.facts:
            base.facts["max"] = _surroundings(base)
        above, below, before, after = base.facts["max"]
        best = to_rows(window.values, self.y).amax((1, 2))
        around = (
            (above, box.tops),
            (below, box.tops + box.height),
            (before, box.lefts),
            (after, box.lefts + box.width),
        )
        for table, places in around:
            index = torch.from_numpy(places).to(best.device)
            best = torch.maximum(best, table.index_select(0, index))
        return best.reshape(-1, *self.size)


def _surroundings(base: Base) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Maxima above each row, from it on, before each column, from it on; (size + 1, R)."""
    made: list[Tensor] = []
    for across in (1, 0):
        lines = base.rows.amax(across)
        nothing = lines.new_full((1, lines.shape[1]), float("-inf"))
        made.append(torch.cat([nothing, lines.cummax(0).values]))
        made.append(torch.cat([lines.flip(0).cummax(0).values.flip(0), nothing]))
    return made[0], made[1], made[2], made[3]


def average_on_crop(
    sweeps: tuple[Sweep, Sweep], counts: tuple[Offsets, Offsets], device: torch.device
) -> Callable[[Tensor, Box], Tensor]:
    """Average pooling of crops whose divisor depends on how near the edge they are."""
    kernel, stride = [s.kernel for s in sweeps], [s.stride for s in sweeps]
    rows, columns = (torch.from_numpy(count).to(device) for count in counts)
    same = all(int(c.min()) == int(c.max()) for c in (rows, columns))

    def run(crop: Tensor, box: Box) -> Tensor:
        if same:
            divisor = int(rows[0]) * int(columns[0])
            return F.avg_pool2d(crop, kernel, stride, divisor_override=divisor)
        total = F.avg_pool2d(crop, kernel, stride, divisor_override=1)
        y = torch.from_numpy(box.tops).to(device)[:, None] + torch.arange(box.height, device=device)
        x = torch.from_numpy(box.lefts).to(device)[:, None] + torch.arange(box.width, device=device)
        return total / (rows[y][:, None, :, None] * columns[x][:, None, None, :]).to(total.dtype)

    return run
