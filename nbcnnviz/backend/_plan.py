"""From an exported graph to operations: where each value keeps its positions, what it needs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, fx

from . import _operations as ops
from . import _packed
from ._export import Exported
from ._operations import Operation, Slot
from ._packed import Activation
from ._simplify import bound, op_name, shape
from ._window_rules import rest_of, rule_for
from ._windows import Base, Layout

AnyOperation = TypeVar("AnyOperation", bound=Operation)
_TAKING = ("conv2d", "convolution", "linear")
_SMALL = 8
"""Windows cover maps of this size whatever the phase."""


@dataclass(eq=False)
class Plan:
    """Operations in order; the value of each goes to its slot."""

    operations: list[Operation]
    dead: list[tuple[int, ...]]
    """Slots that nobody needs any more, after each operation."""
    bases: dict[int, Layout]
    """What must be kept of the unchanged image."""
    output: int
    slots: int
    step: int
    """The total stride up to the last maps that are larger than a few positions."""
    why: str
    """Why windows are of no use from the start; empty if they are."""


class Planner:
    """Chooses an operation for each node of a graph."""

    def __init__(self, exported: Exported, dtype: torch.dtype) -> None:
        self.exported = exported
        self.dtype = dtype
        self.head = _head(exported)
        self.taken_along = self._find_activations()
        self.layouts: dict[fx.Node, Layout | None] = {}
        self.slots: dict[fx.Node, int] = {}

    def run(self) -> Plan:
        made: list[Operation] = []
        for node in self.exported.graph.nodes:
            if node is self.exported.input:
                size = shape(node)
                assert size is not None
                self.layouts[node] = Layout(2, size[2], size[3])
                self.slots[node] = 0
            elif node in self.taken_along.values():
                before = node.all_input_nodes[0]
                self.slots[node], self.layouts[node] = self.slots[before], self.layouts[before]
            elif node.op == "call_function" and node not in self.exported.constants:
                self.slots[node] = len(self.slots)
                operation = self.operation(node)
                self.layouts[node] = operation.layout
                made.append(operation)
        return self.finish(made)

    def operation(self, node: fx.Node) -> Operation:
        rule = rule_for(node)
        built = rule(self, node) if rule else None
        return built or self.make(Operation, node)

    def make(
        self,
        kind: type[AnyOperation],
        node: fx.Node,
        call: Callable[[Tensor], Tensor] | None = None,
        constants: dict[fx.Node, int] | None = None,
        **options: Any,
    ) -> AnyOperation:
        """An operation with the node's arguments.

        Args:
            kind: its class.
            node: what it stands for.
            call: what to call with the first argument alone, instead of the node's function.
            constants: numbers that take the place of some constants; the others are put in.
            options: for the class.
        """
        inputs: dict[int, None] = {}

        def resolve(argument: fx.Node) -> Any:
            if constants and argument in constants:
                return Slot(constants[argument])
            if argument in self.exported.constants:
                return self.convert(node, self.exported.constants[argument])
            if argument.op == "get_attr":
                return argument.meta["module"]
            inputs[self.slots[argument]] = None
            return Slot(self.slots[argument])

        given = (node.args, node.kwargs) if call is None else (node.args[:1], {})
        args, kwargs = _map(given, resolve)
        slots = tuple(inputs)
        name, run = op_name(node), call or _call(node)
        made = kind(self.slots[node], name, run, args, kwargs, slots, **options)
        made.fresh = name in ops.FRESH
        if call is None and args and isinstance(args[0], Slot) and name in ops.OVERWRITING:
            source: Any = node.args[0]
            if _alike(node, source):
                made.overwrites = getattr(getattr(torch.ops.aten, f"{name}_"), _overload(node))
        return made

    def finish(self, made: list[Operation]) -> Plan:
        output = self.slots[self.exported.output]
        last = {output: len(made)}
        for place, operation in enumerate(made):
            for slot in (operation.slot, *operation.inputs):
                last[slot] = max(last.get(slot, 0), place)
        dead: list[list[int]] = [[] for _ in range(len(made) + 1)]
        for slot, place in last.items():
            dead[place].append(slot)
        by_slot = {self.slots[node]: layout for node, layout in self.layouts.items()}
        bases = {
            slot: layout
            for operation in made
            for slot in operation.needs()
            if (layout := by_slot[slot]) is not None
        }
        _work_in_place(made, last)
        whole = [o for o in made if 0 in o.inputs and type(o) is Operation]
        why = f"{whole[0].name} sees the whole image at once" if whole else ""
        step = _total_stride(made)
        free = [tuple(each) for each in dead[:-1]]
        return Plan(made, free, bases, output, len(self.slots), step, why)

    def convert(self, node: fx.Node, value: Tensor) -> Tensor:
        """A constant in the precision in which a node computes."""
        return (
            value.to(self.dtype) if value.is_floating_point() and node not in self.head else value
        )

    def _find_activations(self) -> dict[fx.Node, fx.Node]:
        """Activations that the convolution or linear layer before them takes along."""
        found: dict[fx.Node, fx.Node] = {}
        device = self.exported.input.meta["val"].device
        if not _packed.available(self.dtype, device):
            return found
        for node in self.exported.graph.nodes:
            after = next(iter(node.users), None)
            if after is None or len(node.users) > 1 or not self._takes_along(node):
                continue
            if _packed.activation(after) is not None:
                found[node] = after
        return found

    def _takes_along(self, node: fx.Node) -> bool:
        name = op_name(node)
        if name not in _TAKING or node in self.head or node in self.exported.constants:
            return False
        given, size = bound(node), shape(node) or ()
        if given["input"] in self.exported.constants or given.get("transposed", False):
            return False
        plain = self.fixed(node, given["weight"], given["bias"]) is not None
        return plain and (name == "linear" or len(size) == 4)

    def fixed(self, node: fx.Node, weight: Any, bias: Any) -> tuple[Tensor, Tensor | None] | None:
        """The parameters of a layer in its precision; None if they depend on the image."""
        constants = self.exported.constants
        if weight not in constants or (bias is not None and bias not in constants):
            return None
        made = self.convert(node, constants[weight])
        return made, None if bias is None else self.convert(node, constants[bias])

    def then(self, node: fx.Node) -> Activation:
        """The activation that is taken along with a node."""
        after = self.taken_along.get(node)
        found = None if after is None else _packed.activation(after)
        return found or Activation()

    # -- help for rules ----------------------------------------------------------------------

    def changing(self, node: fx.Node) -> list[fx.Node]:
        """The arguments that depend on the image and are tensors."""
        constants = self.exported.constants
        return [
            each
            for each in node.all_input_nodes
            if each not in constants and isinstance(each.meta.get("val"), Tensor)
        ]

    def only_map(self, node: fx.Node) -> tuple[fx.Node, Layout] | None:
        """The one argument that depends on the image, if it has positions."""
        changing = self.changing(node)
        layout = self.layouts[changing[0]] if len(changing) == 1 else None
        return None if layout is None else (changing[0], layout)

    def plain_map(self, node: fx.Node) -> tuple[fx.Node, Layout] | None:
        """The same if it is (B, C, H, W)."""
        found = self.only_map(node)
        if found is None or found[1].y != 2 or len(shape(found[0]) or ()) != 4:
            return None
        return found

    def pointwise(
        self,
        node: fx.Node,
        y: int,
        constants: dict[fx.Node, int] | None = None,
        fixed: dict[int, Base] | None = None,
        call: Callable[[Tensor], Tensor] | None = None,
    ) -> Operation | None:
        """An operation on positions, whose result keeps them in dimension `y`."""
        inputs = {n: self.layouts[n] for n in self.changing(node)}
        layouts = [layout for layout in inputs.values() if layout is not None]
        if not layouts or len(layouts) < len(inputs):
            return None
        if len({layout[1:] for layout in layouts}) > 1:
            return None
        layout = Layout(y, layouts[0].height, layouts[0].width)
        maps = {
            self.slots[n]: (one.y, rest_of(n, one)) for n, one in inputs.items() if one is not None
        }
        return self.make(
            ops.Pointwise,
            node,
            call,
            constants,
            layout=layout,
            maps=maps,
            fixed=fixed or {},
        )


def _total_stride(made: list[Operation]) -> int:
    strides, total = {0: 1}, 1
    for operation in made:
        stride = max((strides.get(slot, 1) for slot in operation.inputs), default=1)
        if isinstance(operation, ops.Local):
            stride *= max(sweep.stride for sweep in operation.sweeps)
        strides[operation.slot] = stride
        if operation.layout is not None and max(operation.layout[1:]) > _SMALL:
            total = max(total, stride)
    return total


def _head(exported: Exported) -> set[fx.Node]:
    """What stays in full precision: the last linear layer and what follows it."""
    head: set[fx.Node] = set()
    node = exported.output
    while node is not exported.input:
        if node not in exported.constants:
            head.add(node)
        before = [n for n in node.all_input_nodes if n not in exported.constants]
        if op_name(node) == "linear":
            return head
        if len(before) != 1 or len(shape(node) or ()) != 2:
            break
        node = before[0]
    return set()


def _work_in_place(made: list[Operation], last: dict[int, int]) -> None:
    """Let operations overwrite an argument that nobody needs afterwards."""
    users: dict[int, list[Operation]] = {}
    makers = {operation.slot: operation for operation in made}
    for operation in made:
        for slot in operation.inputs:
            users.setdefault(slot, []).append(operation)
    for place, operation in enumerate(made):
        slot = operation.args[0].index if operation.overwrites else -1
        if slot in makers and last[slot] == place:
            # What shares memory with the argument must not change under others' hands.
            near = [makers[slot], *users[slot]]
            if all(each.fresh for each in near):
                operation.call = operation.overwrites or operation.call


def _map(argument: Any, resolve: Callable[[fx.Node], Any]) -> Any:
    if isinstance(argument, fx.Node):
        return resolve(argument)
    if isinstance(argument, list | tuple):
        made = [_map(each, resolve) for each in argument]
        return tuple(made) if isinstance(argument, tuple) else made
    if isinstance(argument, dict):
        return {key: _map(value, resolve) for key, value in argument.items()}
    return argument


def _alike(node: fx.Node, source: fx.Node) -> bool:
    one, other = node.meta["val"], source.meta.get("val")
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return False
    return shape(node) == shape(source) and one.dtype == other.dtype


def _overload(node: fx.Node) -> str:
    assert isinstance(node.target, torch._ops.OpOverload)
    return node.target._overloadname


def _call(node: fx.Node) -> Callable[..., Any]:
    assert callable(node.target)
    # A view is only possible for some orders in memory; channels_last is not among them.
    return torch.reshape if op_name(node) in ("view", "_unsafe_view") else node.target


__all__ = ["Plan", "Planner"]
