"""A network as a functional graph of ATen operations, by `torch.export`."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx, nn

from . import _model, layers
from ._export_guard import on_its_own, without_gradients
from ._simplify import NotExportable, op_name, simplify
from .layers import Layer
from .recorder import Recorder

if TYPE_CHECKING:
    from .network import Network

_SAMPLES = 11
"""The batch a network is traced with: a number that stands for nothing else in networks."""
_REMEMBERED = 2
"""How many graphs a network keeps: with and without a layer as the target."""
_SIZED = frozenset("view reshape _unsafe_view expand zeros ones full new_zeros new_full".split())
# These may return their argument itself, which their schemas do not say.
_PASSED_ON = frozenset(
    "dropout feature_dropout alpha_dropout feature_alpha_dropout native_dropout getitem "
    "view_as reshape_as type_as pad expand_as".split()
)


@dataclass(frozen=True, eq=False)
class Exported:
    """A functional graph that runs on any batch size. Not to be changed once it is made."""

    graph: fx.Graph
    input: fx.Node
    output: fx.Node
    """Its value is (N, K)."""
    constants: dict[fx.Node, Tensor]
    """Values of parameters, buffers and whatever follows from them alone."""
    fixed_batch: bool
    """The network insisted on the batch size, which was then taken out of the graph."""


class _Scores(nn.Module):
    """A network reduced to its class scores (N, K)."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        return _model.scores(self.body(x))


class _Totals(nn.Module):
    """A network reduced to each channel's sum over positions in one layer, (N, C)."""

    def __init__(self, body: nn.Module, layer: Layer) -> None:
        super().__init__()
        self.body = body
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        # Breaking off after the layer would leave the tracer inside the modules around it.
        with Recorder(self.body, [self.layer], stop_early=False) as recorder:
            recorder.run(x)
        maps: Tensor = recorder[self.layer.name]
        return maps.sum((2, 3))


def reduced(body: nn.Module, layer: Layer | None) -> nn.Module:
    """The module whose output (N, K) is what occlusion looks at."""
    return _Scores(body) if layer is None else _Totals(body, layer)


def find_layer(net: Network, x: Tensor, name: Layer | str) -> Layer:
    """The layer of this name, which must put out maps.

    Raises:
        ValueError: there is none, or it has no positions to sum over.
    """
    layer = layers.find(layers.known_layers(net, x), name)
    if not layer.spatial:
        raise ValueError(
            f"layer={layer.name!r}: it puts out {layer.shape[0]} numbers, not maps (C, H, W); "
            "choose a layer with `spatial` true, as net.layers() lists them"
        )
    return layer


def export(net: Network, x: Tensor, layer: Layer | None = None) -> Exported:
    """The graph for inputs of the size of `x`, (1, C, H, W); kept until the weights change.

    Raises:
        NotExportable: control flow depends on values, or an operation is unknown to PyTorch.
    """
    cache: dict[Any, Exported | NotExportable] = net.__dict__.setdefault("_export_cache", {})
    key = (net.version(), tuple(x.shape), None if layer is None else layer.name)
    if key not in cache:
        made: Exported | NotExportable
        try:
            made = _export(net, x, layer)
        except NotExportable as error:
            # To find that out takes as long as a success. Its traceback would hold the network.
            made = error.with_traceback(None)
            made.__cause__ = made.__context__ = None
        for old in [each for each in cache if each[0] != key[0]]:
            del cache[old]
        cache[key] = made
        while len(cache) > _REMEMBERED:
            cache.pop(next(iter(cache)))
    found = cache[key]
    if isinstance(found, NotExportable):
        raise NotExportable(str(found))
    return found


def known(net: Network, x: Tensor) -> bool:
    """Whether inputs of this size have been tried with the weights as they are."""
    tried = net.__dict__.get("_export_cache", {})
    return any(key[:2] == (net.version(), tuple(x.shape)) for key in tried)


def _export(net: Network, x: Tensor, layer: Layer | None) -> Exported:
    sample = x.detach().expand(_SAMPLES, -1, -1, -1).clone()
    dynamic = ({0: torch.export.Dim.AUTO},)
    with net.evaluating() as body, warnings.catch_warnings(), on_its_own():
        warnings.simplefilter("ignore")
        without_gradients(body)
        try:
            program = torch.export.export(
                reduced(body, layer), (sample,), dynamic_shapes=dynamic, strict=False
            )
            if not _make_functional(program.graph):
                program = torch.export.export(
                    reduced(body, layer), (sample,), dynamic_shapes=dynamic, strict=False
                ).run_decompositions({})
            return _read(program)
        except NotExportable:
            raise
        except Exception as error:
            # torch.export raises errors of a dozen private types, also for mistakes of its own.
            raise NotExportable(
                f"net: torch.export cannot take {net.name} ({_first_line(error)}); "
                'engine="plain" runs it as it is'
            ) from error


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines else type(error).__name__


def _read(program: torch.export.ExportedProgram) -> Exported:
    """The graph with its constants worked out and without what the output does not need."""
    graph, signature = program.graph, program.graph_signature
    given: dict[str, Any] = {**program.constants, **program.state_dict}
    named = {
        **signature.inputs_to_parameters,
        **signature.inputs_to_buffers,
        **signature.inputs_to_lifted_tensor_constants,
    }
    constants: dict[fx.Node, Tensor] = {}
    for node in graph.nodes:
        if node.op == "placeholder" and node.name in named:
            constants[node] = given[named[node.name]].detach()
    (entry,) = (n for n in graph.nodes if n.name in signature.user_inputs)
    wanted = str(signature.user_outputs[0])
    (output,) = (n for n in graph.nodes if n.name == wanted)
    (end,) = (n for n in graph.nodes if n.op == "output")
    end.args = ((output,),)
    _keep_only(graph, {end, entry})
    _resolve_modules(graph, program.graph_module)
    fixed = _free_batch(graph, entry)
    _refuse_objects(graph, {entry, *constants})
    _fold_constants(graph, entry, constants)
    simplify(graph, constants)
    output = end.args[0][0]
    if output is entry or output in constants:
        raise NotExportable("net: its scores do not depend on the image")
    return Exported(graph, entry, output, constants, fixed)


def _keep_only(graph: fx.Graph, needed: set[fx.Node]) -> None:
    for node in reversed(list(graph.nodes)):
        if node in needed:
            needed.update(node.all_input_nodes)
        else:
            graph.erase_node(node)


def _free_batch(graph: fx.Graph, entry: fx.Node) -> bool:
    """Where the batch size of the trace is written down, put that of the run."""
    with graph.inserting_after(entry):
        size = graph.call_function(torch.ops.aten.sym_size.int, (entry, 0))
    found = False
    # A network that insists on a number leaves the symbol to some nodes and the number to others.
    spellings = (str(_SAMPLES), str(entry.meta["val"].shape[0]))
    for node in graph.nodes:
        value = node.meta.get("val")
        if isinstance(value, Tensor) and value.ndim and str(value.shape[0]) in spellings:
            node.meta["batch"] = True
        for place, sizes in enumerate(node.args):
            listed = op_name(node) in _SIZED and isinstance(sizes, list)
            if listed and sizes[:1] == [_SAMPLES]:
                node.update_arg(place, [size, *sizes[1:]])
                found = True
    return found


def _refuse_objects(graph: fx.Graph, known: set[fx.Node]) -> None:
    for node in graph.nodes:
        if node.op == "placeholder" and node not in known:
            raise NotExportable(
                f"net: its graph needs {node.name}, which is no tensor; networks that draw random "
                'numbers do. engine="plain" runs it as it is'
            )


def _resolve_modules(graph: fx.Graph, owner: nn.Module) -> None:
    """Put the bodies of higher-order operations where their names stand."""
    for node in graph.nodes:
        if node.op == "get_attr":
            node.meta["module"] = owner.get_submodule(str(node.target))


def _fold_constants(graph: fx.Graph, entry: fx.Node, constants: dict[fx.Node, Tensor]) -> None:
    changing = {entry}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if changing.intersection(node.all_input_nodes):
            changing.add(node)
        elif isinstance(node.target, torch._ops.OpOverload):
            args, kwargs = fx.node.map_arg((node.args, node.kwargs), constants.__getitem__)
            constants[node] = node.target(*args, **kwargs)


def _make_functional(graph: fx.Graph) -> bool:
    """Turn `relu_` into `relu` and so on; False where views make that a riddle.

    Much faster than PyTorch's own functionalisation, which traces everything once more.
    """
    order = {node: place for place, node in enumerate(graph.nodes)}
    roots: dict[fx.Node, fx.Node] = {}
    for node in list(graph.nodes):
        roots[node] = _root(node, roots)
        target = node.target
        if not isinstance(target, torch._ops.OpOverload) or not target._schema.is_mutable:
            continue
        place, functional = order[node], _functional(target)
        written = node.args[0] if node.args else None
        if functional is None or not isinstance(written, fx.Node) or written.op == "get_attr":
            return False
        family = (n for n, root in roots.items() if root is roots[written])
        others = (n for n in family if n is not written and n is not node)
        if any(order[user] > place for other in others for user in other.users):
            return False
        node.target = functional
        for user in list(written.users):
            if order[user] > place:
                user.replace_input_with(written, node)
        roots[node] = node
    return True


def _functional(target: torch._ops.OpOverload) -> torch._ops.OpOverload | None:
    """`aten.relu` for `aten.relu_`."""
    space, _, name = target._schema.name.partition("::")
    arguments = target._schema.arguments
    writes = [a for a in arguments if a.alias_info is not None and a.alias_info.is_write]
    if not name.endswith("_") or len(writes) != 1 or writes[0] is not arguments[0]:
        return None
    packet = getattr(getattr(torch.ops, space), name.rstrip("_"), None)
    found: torch._ops.OpOverload | None = getattr(packet, target._overloadname, None)
    return found


def _root(node: fx.Node, roots: dict[fx.Node, fx.Node]) -> fx.Node:
    """The node whose memory this one may share."""
    source = next(iter(node.all_input_nodes), None)
    if source is None or node.op != "call_function":
        return node
    shares = op_name(node) in _PASSED_ON
    if isinstance(node.target, torch._ops.OpOverload):
        schema = node.target._schema
        shares |= any(r.alias_info is not None for r in schema.returns) and not schema.is_mutable
    return roots[source] if shares else node


__all__ = ["Exported", "NotExportable", "export", "find_layer", "reduced"]
