"""An exported graph made plainer: no identities, batch norms in convolutions, few spellings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten


class NotExportable(ValueError):
    """No graph with fixed operations describes what the network does for every image."""


def op_name(node: fx.Node) -> str:
    """ "conv2d" for `aten.conv2d.default`, "getitem" for the Python function."""
    target = node.target
    if isinstance(target, torch._ops.OpOverload):
        return str(target._schema.name).partition("::")[2]
    return getattr(target, "__name__", str(target))


def shape(node: fx.Node) -> tuple[int, ...] | None:
    """Of its value, with -1 for sizes that follow the batch; None if it is no tensor."""
    value = node.meta.get("val")
    if not isinstance(value, Tensor):
        return None
    sizes = tuple(size if isinstance(size, int) else -1 for size in value.shape)
    return (-1, *sizes[1:]) if "batch" in node.meta else sizes


def bound(node: fx.Node) -> dict[str, Any]:
    """The arguments of an ATen operation by name, defaults included."""
    assert isinstance(node.target, torch._ops.OpOverload)
    found: dict[str, Any] = {}
    for place, argument in enumerate(node.target._schema.arguments):
        if place < len(node.args):
            found[argument.name] = node.args[place]
        elif argument.name in node.kwargs:
            found[argument.name] = node.kwargs[argument.name]
        elif argument.has_default_value():
            found[argument.name] = argument.default_value
    return found


def pair(value: Any, default: int = 1) -> tuple[int, int]:
    """(rows, columns) of a size that may be one number, a list of one or two, or missing."""
    if isinstance(value, int):
        return value, value
    values = [int(v) for v in value or ()] or [default]
    return values[0], values[-1]


def affine(x: Tensor, scale: Tensor, shift: Tensor) -> Tensor:
    """A batch norm in evaluation mode."""
    return torch.addcmul(shift, x, scale)


class _Pass:
    """The graph that is being changed, and what its parameters are."""

    def __init__(self, graph: fx.Graph, constants: dict[fx.Node, Tensor]) -> None:
        self.graph = graph
        self.constants = constants
        self.first = next(iter(graph.nodes))

    def constant(self, name: str, value: Tensor) -> fx.Node:
        with self.graph.inserting_before(self.first):
            node = self.graph.placeholder(name)
        node.meta["val"] = value
        self.constants[node] = value
        return node

    def value(self, argument: Any) -> Tensor | None:
        """A parameter's value; None for an argument that is missing or changes."""
        return self.constants.get(argument) if isinstance(argument, fx.Node) else None

    def replace(self, node: fx.Node, target: Callable[..., Any], *args: Any) -> None:
        node.target, node.args, node.kwargs = target, args, {}


def simplify(graph: fx.Graph, constants: dict[fx.Node, Tensor]) -> None:
    """Change the graph in place.

    Raises:
        NotExportable: a batch norm averages over the images of a batch.
    """
    state = _Pass(graph, constants)
    for node in list(graph.nodes):
        if node.op == "call_function" and node not in constants:
            rewrite = _REWRITES.get(op_name(node))
            if rewrite is not None:
                rewrite(state, node)
            if _is_identity(node):
                node.replace_all_uses_with(node.all_input_nodes[0])
    _drop_unused(graph)


def _drop_unused(graph: fx.Graph) -> None:
    for node in reversed(list(graph.nodes)):
        if node.op == "call_function" and not node.users:
            graph.erase_node(node)


_PASSING = frozenset(
    "alias clone contiguous detach lift_fresh lift_fresh_copy positive resolve_conj resolve_neg "
    "expand_as view_as reshape_as expand view reshape squeeze slice narrow".split()
)
_DROPOUTS = frozenset("dropout feature_dropout alpha_dropout feature_alpha_dropout".split())
_POOLS = ("adaptive_avg_pool2d", "_adaptive_avg_pool2d", "avg_pool2d", "max_pool2d")


def _is_identity(node: fx.Node) -> bool:
    """Whether its value is that of its only tensor argument."""
    name, before = op_name(node), node.all_input_nodes
    if name in _DROPOUTS:
        return not bound(node)["train"]
    if name in ("to", "_to_copy", "type_as"):
        return len(before) == 1 and _same(node, before[0])
    if name in _PASSING:
        return _same(node, before[0])
    if name in _POOLS and bound(node).get("output_size") is not None:
        return shape(node) == shape(before[0])
    return False


def _same(node: fx.Node, source: fx.Node) -> bool:
    one, other = node.meta.get("val"), source.meta.get("val")
    if not isinstance(one, Tensor) or not isinstance(other, Tensor):
        return False
    same = len(one.shape) == len(other.shape) and all(
        # Not by `shape`, for which 4 * batch is as good as batch.
        str(a) == str(b)
        for a, b in zip(one.shape, other.shape, strict=True)
    )
    return same and one.dtype == other.dtype and one.device == other.device


# -- batch norm -----------------------------------------------------------------------------------


def _batch_norm(state: _Pass, node: fx.Node) -> None:
    given = bound(node)
    if given.get("training", False):
        raise NotExportable(
            "net: a batch norm without running statistics averages over the images of a batch, "
            'so each image must run alone; engine="plain" does'
        )
    mean, variance = state.value(given["running_mean"]), state.value(given["running_var"])
    if mean is None or variance is None:
        return
    weight, bias = state.value(given.get("weight")), state.value(given.get("bias"))
    # In double precision, so that folding adds no error of its own.
    scale = (variance.double() + given["eps"]).rsqrt()
    scale = scale if weight is None else scale * weight.double()
    shift = -mean.double() * scale
    shift = shift if bias is None else shift + bias.double()
    result = _only_first(node)
    if result is None:
        return
    source: Any = given["input"]
    if op_name(source) in ("conv2d", "convolution") and _fold(state, source, scale, shift):
        result.replace_all_uses_with(source)
        return
    dims = (-1, *(1,) * (len(shape(source) or ()) - 2))
    made = [
        state.constant(f"{node.name}_{name}", v.to(mean.dtype).view(dims))
        for name, v in (("scale", scale), ("shift", shift))
    ]
    with state.graph.inserting_before(node):
        plain = state.graph.call_function(affine, (source, *made))
    plain.meta.update(source.meta)
    result.replace_all_uses_with(plain)


def _only_first(node: fx.Node) -> fx.Node | None:
    """The node that carries the first result: itself, or its only `getitem`."""
    if isinstance(node.meta.get("val"), Tensor):
        return node
    firsts = [u for u in node.users if op_name(u) == "getitem" and u.args[1] == 0]
    return firsts[0] if len(firsts) == 1 == len(node.users) else None


def _fold(state: _Pass, conv: fx.Node, scale: Tensor, shift: Tensor) -> bool:
    """Let a convolution do what the batch norm behind it does."""
    given = bound(conv)
    weight, bias = state.value(given["weight"]), state.value(given["bias"])
    missing = bias is None and given["bias"] is not None
    if weight is None or missing or len(conv.users) > 1 or given.get("transposed", False):
        return False
    scaled = weight.double() * scale.view(-1, *(1,) * (weight.ndim - 1))
    moved = shift if bias is None else shift + bias.double() * scale
    names = [argument.name for argument in conv.target._schema.arguments]  # type: ignore[union-attr]
    args = [given[name] for name in names]
    args[names.index("weight")] = state.constant(f"{conv.name}_weight", scaled.to(weight.dtype))
    args[names.index("bias")] = state.constant(f"{conv.name}_bias", moved.to(weight.dtype))
    conv.args, conv.kwargs = tuple(args), {}
    return True


# -- pooling --------------------------------------------------------------------------------------


def _pool(state: _Pass, node: fx.Node) -> None:
    """Pooling of whole maps becomes a mean or a maximum; adaptive pooling an ordinary one."""
    source: Any = node.args[0]
    size, result = shape(source), _only_first(node)
    if size is None or len(size) != 4 or result is None:
        return
    given, name = bound(node), op_name(node)
    maximum = "max" in name
    if "output_size" in given:
        out = pair(given["output_size"])
        if size[2] % out[0] or size[3] % out[1]:
            return
        kernel = (size[2] // out[0], size[3] // out[1])
        plain = [kernel, kernel]
    else:
        kernel = pair(given["kernel_size"])
        other = given.get("divisor_override") or max(pair(given.get("dilation"))) > 1
        if kernel != size[2:] or max(pair(given["padding"], 0)) or other:
            plain = []
        else:
            plain = [kernel, kernel]
    if kernel == size[2:] and plain:
        with state.graph.inserting_before(node):
            whole = (aten.amax.default if maximum else aten.mean.dim, (source, [-2, -1], True))
            made = state.graph.call_function(*whole)
    elif plain and not maximum and kernel != (1, 1):
        with state.graph.inserting_before(node):
            made = state.graph.call_function(aten.avg_pool2d.default, (source, *plain))
    elif name == "max_pool2d_with_indices" or (plain and maximum):
        args = plain or [given[k] for k in ("kernel_size", "stride", "padding", "dilation")]
        args = [list(a) for a in args] + ([] if plain else [given["ceil_mode"]])
        with state.graph.inserting_before(node):
            made = state.graph.call_function(aten.max_pool2d.default, (source, *args))
    else:
        return
    made.meta.update(result.meta)
    result.replace_all_uses_with(made)


def _first_result(state: _Pass, node: fx.Node) -> None:
    """A layer norm that also returns its statistics becomes one that does not."""
    given, result = bound(node), _only_first(node)
    if result is None:
        return
    names = ("input", "normalized_shape", "weight", "bias", "eps")
    with state.graph.inserting_before(node):
        made = state.graph.call_function(aten.layer_norm.default, tuple(given[n] for n in names))
    made.meta.update(result.meta)
    result.replace_all_uses_with(made)


_REWRITES: dict[str, Callable[[_Pass, fx.Node], None]] = {
    "batch_norm": _batch_norm,
    "_native_batch_norm_legit_no_training": _batch_norm,
    "native_layer_norm": _first_result,
    **dict.fromkeys(
        (
            *_POOLS,
            "max_pool2d_with_indices",
            "adaptive_max_pool2d",
        ),
        _pool,
    ),
}
