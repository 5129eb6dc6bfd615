"""Class activation maps: the maps of one layer, each with a weight, added up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from . import _gap_head, _model
from ._attr_pass import Pass
from ._attr_question import Question
from ._attr_result import Attribution, on_cpu
from ._gap_head import GapHead
from .layers import Layer, find, known_layers
from .recorder import Recorder
from .target import Target

if TYPE_CHECKING:
    from .network import Network

_REMEMBERED = 8
"""How many heads a network keeps, one per input size."""


class Check(NamedTuple):
    """Two numbers, or maps, that have to be equal."""

    name: str
    """As a formula."""
    left: float
    """The left side; of maps the value of largest size."""
    right: float
    error: float
    """Their largest difference, relative to the right side."""


@dataclass(frozen=True, eq=False)
class Terms:
    """The arithmetic of a CAM: sum over k of weights_k maps_k."""

    maps: Tensor
    """(K, h, w), A_k, what the layer put out."""
    weights: Tensor
    """(K,), or (K, h, w) where every position has its own (Layer-CAM)."""
    bias: float | None = None
    """What the score has besides: score = mean of the CAM + bias. None where that does not hold."""
    checks: tuple[Check, ...] = ()
    """What was verified."""

    @cached_property
    def each(self) -> Tensor:
        """(K, h, w), the terms."""
        weights = self.weights if self.weights.dim() == 3 else self.weights[:, None, None]
        return weights * self.maps

    @cached_property
    def map(self) -> Tensor:
        """(h, w), their sum, signed."""
        return self.each.sum(0)

    @cached_property
    def shares(self) -> Tensor:
        """(K,), the mean of each term; in original CAM they add up to score - bias."""
        return self.each.mean((1, 2))

    @cached_property
    def order(self) -> Tensor:
        """(K,), channels by the size of their share, the largest first."""
        return self.shares.abs().argsort(descending=True, stable=True)

    def running(self, count: int) -> Tensor:
        """(h, w), the sum of the first `count` terms in that order."""
        return self.each[self.order[:count]].sum(0)


def cam(ask: Question) -> Attribution:
    """sum over k of w_k A_k, with the class's weights w behind global average pooling; signed."""
    if ask.target.needs_layer:
        raise ValueError(
            f"target={ask.target.name!r}: cam explains the scores of classes; gradcam explains "
            "units, too"
        )
    head = head_of(ask.net, ask.x)
    logits = head.scores.float()
    ask.target = target = ask.target.resolve(logits, ask.net.labels)
    if head.after:
        ask.note(f"The network ends with {head.after}; the CAM explains the score before it.")
    linear, score = _gradient_of_scores(target, logits, ask.kind)
    terms = Terms(on_cpu(head.maps), on_cpu(linear @ head.weight.float()))
    if ask.kind == "logit" and target.function is None:
        bias = float(linear @ head.bias.float())
        terms = replace(terms, bias=bias, checks=(_mean_is_score(terms, bias, score),))
    layer = _fed_layer(ask, head)
    return Attribution(
        values=_upsampled(terms.map, ask.x),
        method=ask.method,
        target=target,
        score=score,
        score_name=ask.kind,
        layer=layer,
        coarse=terms.map,
        terms=terms,
        logits=on_cpu(logits),
        notes=tuple(ask.notes),
        options=ask.options,
    )


def gradcam(ask: Question, *, relu: bool = True) -> Attribution:
    """w_k = mean over the map of dS / dA_k."""
    return _gradcam(ask, ask.run(start=ask.layer), relu)


def gradcam_plus_plus(ask: Question, *, relu: bool = True) -> Attribution:
    """w_k = sum of a max(0, g), with a = g^2 / (2 g^2 + g^3 sum of A_k), equation 19.

    With g > 0 that is a = 1 / (2 + g sum of A_k), so that nothing is divided by zero where the
    gradient vanishes. pytorch-grad-cam adds 1e-6 to the denominator, which decides alone where
    gradients are small.
    """
    run = ask.run(start=ask.layer)
    maps, gradient = _maps_and_gradient(ask, run)
    g = gradient.clamp(min=0)
    weights = (g / (2 + g * maps.sum((1, 2), keepdim=True))).sum((1, 2))
    return _weighted(ask, run, Terms(on_cpu(maps), on_cpu(weights)), relu)


def layercam(ask: Question, *, relu: bool = True) -> Attribution:
    """w_k = max(0, dS / dA_k), one at every position."""
    run = ask.run(start=ask.layer)
    maps, gradient = _maps_and_gradient(ask, run)
    return _weighted(ask, run, Terms(on_cpu(maps), on_cpu(gradient.clamp(min=0))), relu)


def guided_gradcam(ask: Question, *, as_relu: Any = ()) -> Attribution:
    """Guided backpropagation x Grad-CAM."""
    run = ask.run(True, as_relu)
    # One graph, which goes back twice.
    coarse = _gradcam(ask, run, True, keep=True)
    guided = on_cpu(ask.gradients(run, rule="guided")[0][0])
    found = ask.answer(run, guided * coarse.values)
    return replace(found, coarse=coarse.coarse, terms=coarse.terms)


def _gradcam(ask: Question, run: Pass, relu: bool, keep: bool = False) -> Attribution:
    maps, gradient = _maps_and_gradient(ask, run, keep)
    return _weighted(ask, run, Terms(on_cpu(maps), on_cpu(gradient.mean((1, 2)))), relu)


def _maps_and_gradient(ask: Question, run: Pass, keep: bool = False) -> tuple[Tensor, Tensor]:
    """The layer's maps (K, h, w) and the score's gradient with respect to them."""
    assert ask.layer is not None
    (gradient,) = ask.gradients(run, [ask.layer.name], keep=keep)
    return run.maps(ask.layer.name)[0].detach().float(), gradient[0].float()


def _weighted(ask: Question, run: Pass, terms: Terms, relu: bool) -> Attribution:
    if not isinstance(relu, bool):
        raise TypeError(f"relu={relu!r}: give True or False")
    coarse = terms.map.clamp(min=0) if relu else terms.map
    if relu and bool((coarse <= 0).all()):
        ask.note(f"No positive evidence: nothing in these maps speaks for {ask.target.name}.")
    return ask.answer(run, _upsampled(coarse, ask.x), coarse=coarse, terms=terms)


def _upsampled(coarse: Tensor, x: Tensor) -> Tensor:
    """(h, w) -> (H, W)"""
    size = (int(x.shape[2]), int(x.shape[3]))
    return F.interpolate(coarse[None, None], size, mode="bilinear", align_corners=False)[0, 0]


# -- which layer ---------------------------------------------------------------------------------


def place_of(
    method: str, known: Sequence[Layer], layer: Layer | str | None, unit: Layer | None
) -> tuple[Layer | None, list[str]]:
    """The layer whose maps are weighted, and what to say of the choice; None: the method finds it.

    Args:
        method: its name.
        known: all layers, in the order in which they run.
        layer: what was asked for, if anything.
        unit: whose unit is explained: what runs after it has no part in that.

    Raises:
        ValueError: no such layer, or one without maps; none before the unit's.
    """
    if layer is not None:
        found = find(known, layer)
        if not found.spatial:
            raise ValueError(
                f"layer={found.name!r}: it puts out {found.shape[0]} numbers and no maps; "
                f"the last layer with maps is {last_maps(known).name!r}"
            )
        return found, []
    if method == "cam":
        return None, []
    if unit is None:
        found = last_maps(known)
        return found, [f"The layer is {found.name!r}, the last one with maps."]
    before = _before(known, unit)
    if not any(one.spatial for one in before):
        raise ValueError(
            f"target: {unit.name!r} is the first layer with maps, and {method} weights those of an "
            "earlier one; choose a unit of a later layer"
        )
    found = last_maps(before)
    return found, [f"The layer is {found.name!r}, the last one with maps before {unit.name!r}."]


def _before(known: Sequence[Layer], unit: Layer) -> list[Layer]:
    """The layers that run before one, which are no part of it."""
    names = [one.name for one in known]
    inside = (f"{unit.name}.", f"{unit.name}/")
    return [one for one in known[: names.index(unit.name)] if not one.name.startswith(inside)]


def last_maps(known: Sequence[Layer]) -> Layer:
    """The last layer that puts out maps and is no mere pooling of them.

    A block that ends with it stands for it: "layer4" rather than "layer4.1.relu#2".
    """
    maps = [i for i, one in enumerate(known) if one.spatial and max(one.shape[1:]) > 1]
    maps = maps or [i for i, one in enumerate(known) if one.spatial]
    leaves = [i for i in maps if known[i].leaf]
    best = [i for i in leaves if known[i].kind not in ("pool", "resize")] or leaves or maps
    found = known[best[-1]]
    for block in known[best[-1] + 1 :]:
        ends_here = not block.leaf and block.shape == found.shape
        if not ends_here or not found.name.startswith((f"{block.name}.", f"{block.name}/")):
            break
        found = block
    return found


# -- original CAM --------------------------------------------------------------------------------


def head_of(net: Network, x: Tensor) -> GapHead:
    """The global average pooling and the linear layer that a network ends with, for an image.

    Raises:
        ValueError: it ends otherwise; the message says how, and what to use instead.
    """
    known: dict[Any, GapHead] = net.__dict__.setdefault("_head_cache", {})
    key = tuple(x.shape), net.version()
    if key in known:
        return _again(net, x, known[key])
    try:
        head = _gap_head.gap_head(net, x)
    except _gap_head.NoGapHeadError as error:
        raise ValueError(
            f'method="cam": {str(error).removeprefix("net: ")}; "gradcam" needs no such end and '
            "is the same up to a factor where there is one"
        ) from error
    if head.layer is not None and not head.after:
        while len(known) >= _REMEMBERED:
            known.pop(next(iter(known)))
        nothing = head.maps.new_empty(0)
        # What belongs to the network; maps and scores belong to the image.
        known[key] = replace(head, maps=nothing, gap=nothing, scores=nothing)
    return head


def _again(net: Network, x: Tensor, head: GapHead) -> GapHead:
    """The maps and scores of another image, in one pass that follows no calls."""
    assert head.layer is not None
    layer = find(known_layers(net, x), head.layer)
    with net.evaluating() as body, Recorder(body, [layer], stop_early=False) as recorder:
        scores = _model.scores(recorder.run(x))[0]
    maps = recorder[layer][0]
    return replace(head, maps=maps, gap=maps.mean((1, 2)), scores=scores)


def _gradient_of_scores(target: Target, logits: Tensor, score: str) -> tuple[Tensor, float]:
    """How the target depends on each class's score (classes,), and its value."""
    leaf = logits.detach().clone().requires_grad_()
    value = target.scores(leaf[None], score)[0]
    if not value.requires_grad:
        raise ValueError(f"target={target.name!r}: it has no gradient with respect to the scores")
    return torch.autograd.grad(value, leaf)[0], float(value.detach())


def _mean_is_score(terms: Terms, bias: float, score: float) -> Check:
    left = float(terms.map.double().mean()) + bias
    return Check("mean of CAM + bias = score", left, score, relative(left - score, score))


def relative(difference: float, of: float) -> float:
    """The size of a difference in terms of what it should be."""
    return abs(difference) / max(abs(of), torch.finfo(torch.float32).tiny)


def _fed_layer(ask: Question, head: GapHead) -> str | None:
    """The layer that the pooling reads; what was asked for if it is the same.

    Raises:
        ValueError: the maps of the layer that was asked for are others.
    """
    if ask.layer is None or ask.layer.name == head.layer:
        if head.layer is not None:
            ask.note(f"The layer is {head.layer!r}, which {head.pool!r} averages.")
        return head.layer
    with ask.net.evaluating() as body, Recorder(body, [ask.layer]) as recorder:
        recorder.run(ask.x)
    if torch.equal(recorder[ask.layer][0], head.maps):
        return ask.layer.name
    raise ValueError(
        f"layer={ask.layer.name!r}: cam is about the maps that {head.pool!r} averages, those of "
        f"{head.layer!r}; gradcam and layercam take any layer"
    )


__all__ = ["Check", "Terms"]
