"""Which cells the max poolings below a unit let through: the switches of the deconvnet."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.nn import functional as F

from . import _attr_pass
from ._arguments import check_count
from ._attr_question import scores_of
from ._attr_result import on_cpu
from ._functions import Function
from ._rules import Call, pair
from ._walk import Frame, Walk, first_tensor
from .layers import Layer, known_layers, wrap
from .rules import BackwardRule
from .target import read

if TYPE_CHECKING:
    from .network import Network

_NAMES = frozenset({"max_pool2d", "max_pool2d_with_indices"})
_OTHERS = frozenset(
    "adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d adaptive_max_pool2d_with_indices "
    "fractional_max_pool2d fractional_max_pool2d_with_indices max_pool1d max_pool3d "
    "max amax".split()
)
"""Functions that also take maxima, of which no switches are given."""


@dataclass(frozen=True, eq=False)
class Switches:
    """The maxima of one pooling that a unit's way back goes through, the strongest first."""

    layer: str
    """The pooling."""
    channels: Tensor
    """(M,), in whole numbers."""
    cells: Tensor
    """(M, 2), (y, x) in the maps that are pooled, in whole numbers."""
    points: Tensor
    """(M, 2), (y, x) in pixels of the network's input: the middle of what the cell sees."""
    values: Tensor
    """(M,), what goes back through each; where windows that overlap share one, their sum."""
    count: int
    """How many there are, also those beyond the limit."""


def pool_switches(
    net: Network | nn.Module,
    image: Any,
    target: Any = None,
    rule: str = "deconvnet",
    limit: int = 500,
) -> tuple[Switches, ...]:
    """The switches that a unit's reconstruction goes through, pooling by pooling.

    Zeiler & Fergus (2014, https://arxiv.org/abs/1311.2901, section 2.1): a max pooling notes
    where each maximum was, and on the way back puts what arrives at that place. Without max
    poolings below the unit there is nothing. Of adaptive poolings and of functions that take
    maxima (amax, max) none are given, and a warning names those that are passed on the way.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        target: a unit (layer, channel, (y, x)) as a rule, see `Target.of`; None: the predicted
            class.
        rule: what ReLUs do on the way back, see `rules.BackwardRule`.
        limit: at most so many for each pooling, the strongest.

    Returns:
        One for each max pooling with any, in the order in which they run.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import nbcnnviz as nv
        >>> net, image = nv.Network.digits(), nv.sample_image("digit")
        >>> [each.layer for each in pool_switches(net, image, ("conv2", 0, "max"))]
        ['pool1']
    """
    found, others = find_switches(wrap(net), image, target, rule, limit)
    if others:
        warnings.warn(sentence_of(others), stacklevel=2)
    return found


def find_switches(
    net: Network, image: Any, target: Any = None, rule: str = "deconvnet", limit: int = 500
) -> tuple[tuple[Switches, ...], tuple[str, ...]]:
    """See `pool_switches`; and the names of other maxima that something went back through."""
    check_count("limit", limit)
    aim = read(target, net.labels)
    with torch.inference_mode(False), torch.no_grad():
        x = net.prepare(image)
        known = known_layers(net, x)
    layers = [aim.find_layer(known)] if aim.needs_layer else []
    met: list[_Met] = []
    others: list[tuple[str, GradientEdge]] = []
    with torch.inference_mode(False), torch.enable_grad():
        run = _attr_pass.forward(
            *(net, x, layers, BackwardRule(rule), not layers),
            listen=lambda body: _Listener(body, met, others),
        )
        if layers:
            aim = _attr_pass.single_unit(aim, run)
        else:
            aim = aim.resolve(scores_of(run)[0], net.labels)
        score = run.score(aim, "logit")
        edges = [one.edge for one in met] + [edge for _, edge in others]
        seed = torch.ones_like(score)
        found = _attr_pass.gradients(net, run, score, edges, rule, seed) if edges else ()
    passed = zip(others, found[len(met) :], strict=True)
    names = [name for (name, _), back in passed if back is not None and bool(back.any())]
    mine = zip(met, found[: len(met)], strict=True)
    pairs = [(one, back) for one, back in mine if back is not None]
    made = [_switches(one, back[0], known, limit) for one, back in pairs]
    return tuple(each for each in made if each is not None), tuple(dict.fromkeys(names))


def sentence_of(others: Sequence[str]) -> str:
    """That of some maxima no switches are known."""
    return f"no switches are given of {', '.join(others)}: only those of max_pool2d are known"


@dataclass(frozen=True, eq=False)
class _Met:
    """One call of a max pooling."""

    names: tuple[str, str]
    """Of the call, and of the module in which it was made."""
    window: tuple[int, int]
    stride: tuple[int, int]
    padding: tuple[int, int]
    dilation: tuple[int, int]
    edge: GradientEdge
    """Of what came out."""
    indices: Tensor
    """(C, h, w): where each maximum was, y * width + x."""
    width: int
    """Of the maps that are pooled."""


class _Listener(Walk):
    """Notes where the maxima are."""

    def __init__(
        self, root: nn.Module, met: list[_Met], others: list[tuple[str, GradientEdge]]
    ) -> None:
        super().__init__(root)
        self._met = met
        self._others = others

    def called(
        self,
        frame: Frame,
        function: Function,
        raw: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        result = raw(*args, **kwargs)
        out = first_tensor(result) if function.name in _NAMES else None
        if out is not None and out.requires_grad and out.dim() == 4:
            with torch._C.DisableTorchFunction(), torch.no_grad():
                call = Call(function.name, raw, args, kwargs, out, (), ())
                names = f"{frame.name}/{function.name}#{frame.calls[function.name]}", frame.name
                self._met.append(_read(call, names))
        if function.name in _OTHERS:
            self._note(f"{frame.name}/{function.name}", result, args, kwargs)
        return result

    def _note(self, name: str, result: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """Note maxima that are taken over cells, not between two tensors."""
        out, given = first_tensor(result), first_tensor([*args, *kwargs.values()])
        with torch._C.DisableTorchFunction():
            if out is None or given is None or not out.requires_grad:
                return
            if out.numel() < given.numel():
                self._others.append((name, get_gradient_edge(out)))


def _read(call: Call, names: tuple[str, str]) -> _Met:
    """max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)"""
    x: Tensor = call.arg(0, "input")
    window = pair(call.arg(1, "kernel_size"))
    stride = pair(call.arg(2, "stride") or window)
    padding, dilation = pair(call.arg(3, "padding", 0)), pair(call.arg(4, "dilation", 1))
    ceil = bool(call.arg(5, "ceil_mode", False))
    _, indices = F.max_pool2d(x, window, stride, padding, dilation, ceil, return_indices=True)
    edge = get_gradient_edge(call.out)
    return _Met(names, window, stride, padding, dilation, edge, indices[0], int(x.shape[3]))


def _switches(met: _Met, back: Tensor, known: list[Layer], limit: int) -> Switches | None:
    """What goes back (C, h, w), by the cells that it goes to."""
    used = back != 0
    if not bool(used.any()):
        return None
    channel = torch.arange(len(back), device=back.device)[:, None, None].expand_as(back)[used]
    place = torch.stack([channel, met.indices[used]], 1)
    places, which = torch.unique(place, dim=0, return_inverse=True)
    values = torch.zeros(len(places), device=back.device, dtype=back.dtype)
    values.index_add_(0, which, back[used])
    count = len(places)
    strongest = values.abs().argsort(descending=True, stable=True)[:limit]
    places, values = places[strongest].cpu(), values[strongest]
    cells = torch.stack([places[:, 1] // met.width, places[:, 1] % met.width], 1)
    layer = next((one for name in met.names for one in known if one.name == name), None)
    name = met.names[0] if layer is None else layer.name
    points = _middles(cells, met, layer)
    return Switches(name, places[:, 0], cells, points, on_cpu(values), count)


def _middles(cells: Tensor, met: _Met, layer: Layer | None) -> Tensor:
    """The middles of what cells (y, x) of the pooled maps see, from what the pooling sees."""
    field = None if layer is None else layer.field
    if field is None or field.stride is None or field.offset is None:
        return torch.full(cells.shape, torch.nan, device="cpu")
    points = []
    for axis in (0, 1):
        step = field.stride[axis] // met.stride[axis]
        size = field.size[axis] - (met.window[axis] - 1) * met.dilation[axis] * step
        begin = field.offset[axis] + met.padding[axis] * step
        points.append(begin + cells[:, axis] * step + (size - 1) / 2)
    return torch.stack(points, 1)


__all__ = ["Switches", "pool_switches"]
