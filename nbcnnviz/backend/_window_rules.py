"""Which operations keep to windows, and how: a rule for each."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, fx
from torch.nn import functional as F

from . import _operations as ops
from . import _packed
from ._operations import Operation
from ._simplify import bound, op_name, pair, shape
from ._windows import Base, Layout, Offsets, Sweep

if TYPE_CHECKING:
    from ._plan import Planner

Rule: TypeAlias = Callable[["Planner", fx.Node], "Operation | None"]
"""None: in this case the operation needs whole maps."""


def rule_for(node: fx.Node) -> Rule | None:
    """The rule for a node's operation; None if it always needs whole maps."""
    rule = _RULES.get(op_name(node)) or (elementwise if _is_pointwise(node) else None)
    # A size that follows the batch may stand anywhere; only those of views are looked for.
    numbers = any(isinstance(n.meta.get("val"), torch.SymInt) for n in node.all_input_nodes)
    return None if numbers and rule is not _reshape else rule


def _is_pointwise(node: fx.Node) -> bool:
    return torch.Tag.pointwise in getattr(node.target, "tags", ())


def rest_of(node: fx.Node, layout: Layout) -> tuple[int, ...]:
    """The sizes of a node's value besides the batch and the positions."""
    size = shape(node) or ()
    return (*size[1 : layout.y], *size[layout.y + 2 :])


# -- positions stay where they are ------------------------------------------------------------


def elementwise(planner: Planner, node: fx.Node) -> Operation | None:
    """With broadcasting: dimensions are aligned from the last one on."""
    size = shape(node)
    inputs = planner.changing(node)
    if size is None or not inputs or planner.layouts[inputs[0]] is None:
        return None
    first = planner.layouts[inputs[0]]
    assert first is not None
    y = first.y + len(size) - len(shape(inputs[0]) or ())
    for each in inputs:
        layout = planner.layouts[each]
        if layout is None or layout.y + len(size) - len(shape(each) or ()) != y:
            return None
    constants: dict[fx.Node, int] = {}
    fixed: dict[int, Base] = {}
    for each in node.all_input_nodes:
        value = planner.exported.constants.get(each)
        if value is None:
            continue
        sizes = (1,) * (len(size) - value.ndim) + tuple(value.shape)
        if sizes[y : y + 2] == (1, 1):
            continue
        if sizes[y : y + 2] != (first.height, first.width) or sizes[0] != 1:
            return None
        constants[each] = -1 - len(fixed)
        whole = planner.convert(node, value).reshape(sizes)
        fixed[constants[each]] = Base.of(whole, Layout(y, first.height, first.width))
    return planner.pointwise(node, y, constants, fixed)


def _along(*names: str) -> Rule:
    """An operation along some dimensions, which must not be those of positions."""

    def rule(planner: Planner, node: fx.Node) -> Operation | None:
        inputs = planner.changing(node)
        layout = planner.layouts[inputs[0]] if inputs else None
        given = bound(node)
        if layout is None:
            return None
        if any(planner.layouts[each] is None for each in inputs):
            return None
        if any(planner.layouts[each].y != layout.y for each in inputs):  # type: ignore[union-attr]
            return None
        rank = len(shape(inputs[0]) or ())
        dims = _dims(next((given[name] for name in names if name in given), None), rank)
        if dims is None or not {0, layout.y, layout.y + 1}.isdisjoint(dims):
            return None
        result = node.meta["val"]
        one = result if isinstance(result, Tensor) else result[0]
        gone = sum(dim < layout.y for dim in dims) if one.ndim < rank else 0
        if one.ndim > rank:  # torch.stack
            gone = -1 if min(dims) <= layout.y else 0
        return planner.pointwise(node, layout.y - gone)

    return rule


def _dims(given: Any, rank: int) -> set[int] | None:
    if given is None:
        return None
    return {d % rank for d in ([given] if isinstance(given, int) else given)}


def _stack(planner: Planner, node: fx.Node) -> Operation | None:
    inputs = planner.changing(node)
    layout = planner.layouts[inputs[0]] if inputs else None
    if layout is None or any(planner.layouts[each] != layout for each in inputs):
        return None
    dim = bound(node)["dim"] % len(shape(node) or ())
    if dim in (0, layout.y + 1) or set(node.all_input_nodes) != set(inputs):
        return None
    return planner.pointwise(node, layout.y + (dim <= layout.y))


def _cat(planner: Planner, node: fx.Node) -> Operation | None:
    # A constant among the parts would have to be cropped and repeated.
    if len(planner.changing(node)) < len(node.all_input_nodes):
        return None
    return _along("dim")(planner, node)


def _layer_norm(planner: Planner, node: fx.Node) -> Operation | None:
    found, given = planner.only_map(node), bound(node)
    if found is None:
        return None
    rank = len(shape(found[0]) or ())
    if found[1].y + 1 >= rank - len(given["normalized_shape"]):
        return None
    return planner.pointwise(node, found[1].y)


def _linear(planner: Planner, node: fx.Node) -> Operation | None:
    call, given = None, bound(node)
    fixed = planner.fixed(node, given["weight"], given["bias"])
    if fixed is not None and given["input"] not in planner.exported.constants:
        call = _packed.linear(*fixed, planner.then(node))
    return _over_channels(planner, node, call) or planner.make(Operation, node, call)


def _over_channels(
    planner: Planner, node: fx.Node, call: Callable[[Tensor], Tensor] | None = None
) -> Operation | None:
    found = planner.only_map(node)
    if found is None or found[0] is not node.args[0]:
        return None
    if found[1].y + 1 == len(shape(found[0]) or ()) - 1:
        return None
    return planner.pointwise(node, found[1].y, call=call)


def _matmul(planner: Planner, node: fx.Node) -> Operation | None:
    weight = planner.exported.constants.get(node.args[1])  # type: ignore[arg-type]
    return _over_channels(planner, node) if weight is not None and weight.ndim == 2 else None


def _per_channel(planner: Planner, node: fx.Node) -> Operation | None:
    """prelu: its weights belong to dimension 1."""
    found = planner.only_map(node)
    return planner.pointwise(node, found[1].y) if found and found[1].y > 1 else None


def _permute(planner: Planner, node: fx.Node) -> Operation | None:
    found, given = planner.only_map(node), bound(node)
    if found is None:
        return None
    rank = len(shape(found[0]) or ())
    if "dims" in given:
        order = [d % rank for d in given["dims"]]
    else:
        order = list(range(rank))
        one, other = (given[k] % rank for k in given if k.startswith(("dim", "axis")))
        order[one], order[other] = order[other], order[one]
    y = order.index(found[1].y)
    if order[0] != 0 or y + 1 == rank or order[y + 1] != found[1].y + 1:
        return None
    return planner.pointwise(node, y)


def _reshape(planner: Planner, node: fx.Node) -> Operation | None:
    found, size = planner.only_map(node), shape(node)
    if found is None or size is None or size[0] != -1 or -1 in size[1:]:
        return None
    source, layout = found
    if "batch" not in source.meta or "batch" not in node.meta:  # but a multiple of it
        return None
    before = prod((shape(source) or ())[1 : layout.y])
    for y in range(1, len(size) - 1):
        same = size[y : y + 2] == layout[1:] and prod(size[1:y]) == before
        if same:
            made = Layout(y, layout.height, layout.width)
            rest = (*size[1:y], *size[y + 2 :])
            return planner.make(ops.Reshape, node, layout=made, y=layout.y, rest=rest)
    return None


def _pick(planner: Planner, node: fx.Node) -> Operation | None:
    source: Any = node.args[0]
    return planner.make(ops.Pick, node, layout=planner.layouts[source] if shape(node) else None)


def _size(planner: Planner, node: fx.Node) -> Operation | None:
    return planner.make(ops.Size, node)


# -- sliding operations ----------------------------------------------------------------------


def _convolution(planner: Planner, node: fx.Node) -> Operation | None:
    size, given = shape(node), bound(node)
    fixed = planner.fixed(node, given["weight"], given["bias"])
    source = given["input"]
    if fixed is None or size is None or len(size) != 4 or given.get("transposed", False):
        return None
    kernel, dilation = pair(list(fixed[0].shape[2:])), pair(given["dilation"])
    stride = pair(given["stride"])
    before, more = (0, 0), (0, 0)
    if given["padding"] == "same":
        total = [d * (k - 1) for k, d in zip(kernel, dilation, strict=True)]
        before, more = (total[0] // 2, total[1] // 2), (total[0] % 2, total[1] % 2)
    elif given["padding"] != "valid":
        before = pair(given["padding"], 0)
    run = _packed.convolution(*fixed, stride, dilation, given["groups"], planner.then(node))

    def whole(x: Tensor) -> Tensor:
        # At the far edges "same" may pad by one more.
        return run(F.pad(x, (0, more[1], 0, more[0])) if any(more) else x, before)

    if planner.plain_map(node) is None or source in planner.exported.constants:
        return planner.make(Operation, node, whole)
    sweeps = [Sweep(*each) for each in zip(kernel, stride, before, dilation, strict=True)]
    return planner.make(
        ops.Local,
        node,
        whole,
        layout=Layout(2, size[2], size[3]),
        sweeps=tuple(sweeps),
        on_crop=lambda crop, box: run(crop, (0, 0)),
    )


def _max_pool(planner: Planner, node: fx.Node) -> Operation | None:
    found, size, given = planner.plain_map(node), shape(node), bound(node)
    if found is None or size is None:
        return None
    kernel = pair(given["kernel_size"])
    stride = pair(given["stride"] or kernel)
    padding, dilation = pair(given["padding"], 0), pair(given["dilation"])
    sweeps = [Sweep(*each) for each in zip(kernel, stride, padding, dilation, strict=True)]
    return planner.make(
        ops.Local,
        node,
        layout=Layout(2, size[2], size[3]),
        sweeps=tuple(sweeps),
        padding=float("-inf"),
        on_crop=lambda crop, box: F.max_pool2d(crop, kernel, stride, 0, dilation),
    )


def _average_pool(planner: Planner, node: fx.Node) -> Operation | None:
    found, size, given = planner.plain_map(node), shape(node), bound(node)
    if found is None or size is None:
        return None
    kernel = pair(given["kernel_size"])
    stride, padding = pair(given["stride"] or kernel), pair(given["padding"], 0)
    sweeps = [Sweep(*each, 1) for each in zip(kernel, stride, padding, strict=True)]
    counts = [
        _counts(sweep, before, after, given["count_include_pad"])
        for sweep, before, after in zip(sweeps, found[1][1:], size[2:], strict=True)
    ]
    if given["divisor_override"]:
        counts = [np.full_like(counts[0], given["divisor_override"]), np.ones_like(counts[1])]
    device = found[0].meta["val"].device
    on_crop = ops.average_on_crop((sweeps[0], sweeps[1]), (counts[0], counts[1]), device)
    return planner.make(
        ops.Local,
        node,
        layout=Layout(2, size[2], size[3]),
        sweeps=tuple(sweeps),
        on_crop=on_crop,
    )


def _counts(sweep: Sweep, before: int, after: int, include: bool) -> Offsets:
    """How many inputs each average is divided by, along one axis."""
    first = np.arange(after) * sweep.stride - sweep.padding
    end = np.minimum(first + sweep.kernel, before + sweep.padding)
    if not include:
        first, end = np.maximum(first, 0), np.minimum(end, before)
    return end - first


def _pad(planner: Planner, node: fx.Node) -> Operation | None:
    found, size, given = planner.only_map(node), shape(node), bound(node)
    if found is None or size is None or given.get("mode", "constant") != "constant":
        return None
    pads = given["pad"]
    if found[1].y != len(size) - 2 or len(pads) > 4 or min(pads) < 0:
        return None
    left, top = pads[0], pads[2] if len(pads) > 2 else 0
    return planner.make(
        ops.Shift, node, layout=Layout(found[1].y, size[-2], size[-1]), top=top, left=left
    )


def _slice(planner: Planner, node: fx.Node) -> Operation | None:
    built = _along("dim")(planner, node)
    found, size, given = planner.plain_map(node), shape(node), bound(node)
    if built is not None or found is None or size is None or given["dim"] % 4 < 2:
        return built
    axis, start, step = given["dim"] % 4 - 2, given["start"] or 0, given["step"]
    start = max(start + found[1][1 + axis], 0) if start < 0 else start
    sweeps = [Sweep(1, 1, 0, 1), Sweep(1, 1, 0, 1)]
    sweeps[axis] = Sweep(1, step, -start, 1)
    places = (slice(None), slice(None), *(slice(None, None, s.stride) for s in sweeps))
    return planner.make(
        ops.Local,
        node,
        layout=Layout(2, size[2], size[3]),
        sweeps=tuple(sweeps),
        on_crop=lambda crop, box: crop[places],
    )


# -- over all positions ----------------------------------------------------------------------


def _reduction(planner: Planner, node: fx.Node) -> Operation | None:
    found, size, given = planner.only_map(node), shape(node), bound(node)
    if found is None or size is None:
        return None
    source, layout = found
    before = shape(source) or ()
    dims = _dims(given["dim"], len(before)) or set(range(len(before)))
    here = {layout.y, layout.y + 1}
    if 0 in dims or not here <= dims:
        return _along("dim")(planner, node)
    rest = rest_of(source, layout)
    kept = [d for d in range(1, len(before)) if d not in here]
    others = tuple(1 + place for place, d in enumerate(kept) if d in dims)
    if op_name(node) == "amax":
        return None if others else planner.make(ops.Maximum, node, y=layout.y, size=size[1:])
    mean = op_name(node) == "mean"
    divisor = layout.area * prod(rest[place - 1] for place in others) if mean else 1
    return planner.make(
        ops.Total, node, y=layout.y, rest=rest, others=others, size=size[1:], divisor=divisor
    )


def _rules() -> dict[str, Rule]:
    by_rule: list[tuple[Rule, str]] = [
        (elementwise, f"{ops.ELEMENTWISE} to _to_copy"),
        (_per_channel, "prelu _prelu_kernel"),
        (_along("dim"), "softmax log_softmax _softmax _log_softmax cumsum glu split chunk"),
        (_along("dim"), "split_with_sizes unbind select narrow unsafe_chunk unsafe_split argmax"),
        (_along("dim"), "linalg_vector_norm logsumexp amin index_select flip"),
        (_cat, "cat concat concatenate"),
        (_stack, "stack"),
        (_layer_norm, "layer_norm"),
        (_linear, "linear"),
        (_matmul, "matmul"),
        (_permute, "permute transpose swapaxes swapdims"),
        (_reshape, "view reshape _unsafe_view flatten unflatten squeeze unsqueeze"),
        (_pick, "getitem"),
        (_size, "sym_size"),
        (_convolution, "conv2d convolution"),
        (_max_pool, "max_pool2d"),
        (_average_pool, "avg_pool2d"),
        (_pad, "pad constant_pad_nd"),
        (_slice, "slice"),
        (_reduction, "mean sum amax"),
    ]
    return {name: rule for rule, names in by_rule for name in names.split()}


_RULES = _rules()
__all__ = ["rest_of", "rule_for"]
