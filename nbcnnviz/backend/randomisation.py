"""Whether an attribution notices that the weights of the network are random."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from . import _model
from ._arguments import check_count
from ._attr_pixels import read_generator
from ._attr_question import Progress, check_progress
from ._shadow import shadow
from ._walk import module_path, named_modules
from .attribution import attribute, find_method
from .layers import Layer, known_layers, wrap
from .network import Network


@dataclass(frozen=True)
class Randomisation:
    """How much of an attribution is left when weights are replaced by random ones."""

    method: str
    cascading: bool
    layers: tuple[str, ...]
    """Whose weights were randomised: in `cascading` this one and all above it, else it alone."""
    similarity: tuple[float, ...]
    """Rank correlation (Spearman) of |values| with the original, -1..1; NaN for a flat map."""
    similarity_signed: tuple[float, ...]
    """The same of the values with their signs."""
    complete: bool = True
    """Whether all layers were done; not so after a stop."""

    @property
    def remaining(self) -> float:
        """The similarity with the last of the layers randomised: near 0 as it should be."""
        return self.similarity[-1]


def weight_randomisation(
    net: Network | nn.Module,
    image: Any,
    method: str,
    target: Any = None,
    layer: Layer | str | None = None,
    score: str = "logit",
    cascading: bool = True,
    most: int | None = None,
    generator: torch.Generator | None = None,
    on_progress: Progress | None = None,
    **options: Any,
) -> Randomisation:
    """Whether a method notices that the weights are random.

    Adebayo et al. (2018, https://arxiv.org/abs/1810.03292, section 3): from the scores down to
    the image, one layer's weights after another are replaced by random ones (normal, with the mean
    and the deviation of those that were there). A picture that stays the same, as that of guided
    backpropagation often does, is about the image more than about the network. The weights are
    replaced in a copy of the modules; those of the model stay.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        method: one of `METHODS`.
        target: see `attribute`; the class predicted by the network as it is, for None.
        layer, score: see `attribute`.
        cascading: False: each layer alone, the others as they are.
        most: at most so many of the layers, spread evenly; None: all.
        generator: where the weights come from; None: always the same.
        on_progress: called with the layers done and of all; returning True stops.
        options: of the method.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import nbcnnviz as nv
        >>> found = weight_randomisation(nv.Network.digits(), nv.sample_image("digit"), "gradient")
        >>> found.layers[0], len(found.similarity) == len(found.layers)
        ('fc', True)
    """
    net = wrap(net)
    find_method(method)
    if most is not None:
        check_count("most", most)
    check_progress(on_progress)
    generator = read_generator(generator)
    original = attribute(net, image, method, target, layer, score=score, **options)
    where = layer if layer is not None or method == "cam" else original.layer
    names, similar, signed = [], [], []
    total = 0
    for name, total, other in _randomised(net, image, cascading, most, generator):
        found = attribute(other, image, method, original.target, where, score=score, **options)
        names.append(name)
        similar.append(_rank_correlation(original.values.abs(), found.values.abs()))
        signed.append(_rank_correlation(original.values, found.values))
        if on_progress is not None and on_progress(len(names), total) is True:
            break
    done = len(names) == total
    return Randomisation(method, cascading, tuple(names), tuple(similar), tuple(signed), done)


class NoWeightsError(ValueError):
    """There are no weights to replace."""


def _randomised(
    net: Network,
    image: Any,
    cascading: bool,
    most: int | None,
    generator: torch.Generator,
) -> Iterator[tuple[str, int, Network]]:
    """A layer, how many there are, and the network with that layer's weights replaced.

    The same network each time: what it was before is over.
    """
    if _model.is_scripted(net.model):
        raise NoWeightsError("net: TorchScript runs a part of it, whose weights stay as they are")
    groups = _groups(net, image)
    if not groups:
        raise NoWeightsError("net: none of its layers has weights")
    # Modules of its own, each with a list of its own of the parameters that they share.
    with net.lock:
        body = shadow(net.model)
    modules = dict(named_modules(body))
    shown = _spread(len(groups), most)
    for i, (name, paths) in enumerate(groups):
        before = [dict(modules[path]._parameters) for path in paths]
        if cascading or i in shown:
            for path in paths:
                _randomise(modules[path], generator)
        if i in shown:
            yield name, len(shown), Network(body, net.preprocess, net.labels)
        if not cascading:
            for path, parameters in zip(paths, before, strict=True):
                modules[path]._parameters.update(parameters)


def _groups(net: Network, image: Any) -> list[tuple[str, list[str]]]:
    """Layers with weights and the paths of the modules that hold them, from the scores down.

    What only scales and shifts, as a normalisation does, goes with the layer before it.
    """
    modules = dict(named_modules(net.model))
    order: dict[str, int] = {}
    for layer in known_layers(net, image, noops=True):
        order.setdefault(module_path(layer.name, modules) or "", len(order))
    held: list[tuple[int, str, str]] = []
    for path, module in modules.items():
        if any(p is not None for p in module._parameters.values()):
            # A parametrised weight lies in a module of its own, which is called by nobody.
            owner = next((up for up in _upwards(path) if up in order), None)
            if owner is not None:
                held.append((order[owner], owner, path))
    groups: list[tuple[str, list[str]]] = []
    for _, owner, path in sorted(held):
        parameters = [p for p in modules[path]._parameters.values() if p is not None]
        if groups and (groups[-1][0] == owner or all(p.dim() < 2 for p in parameters)):
            groups[-1][1].append(path)
        else:
            groups.append((owner, [path]))
    return groups[::-1]


def _upwards(path: str) -> Iterator[str]:
    """The path, then those of the modules around it, the network's own ("") last."""
    while path:
        yield path
        path = path.rpartition(".")[0]
    yield ""


def _spread(count: int, most: int | None) -> set[int]:
    """At most so many of 0 .. count - 1, evenly, the last one among them."""
    wanted = count if most is None else min(most, count)
    return {round((i + 1) * count / wanted) - 1 for i in range(wanted)}


def _randomise(module: nn.Module, generator: torch.Generator) -> None:
    for name, parameter in module._parameters.items():
        if parameter is not None and parameter.is_floating_point():
            known = parameter.detach().float()
            drawn = torch.randn(known.shape, generator=generator, device=generator.device)
            deviation = known.std(correction=0)
            made = (drawn.to(known) * deviation + known.mean()).to(parameter.dtype)
            module._parameters[name] = nn.Parameter(made, requires_grad=False)


def _rank_correlation(a: Tensor, b: Tensor) -> float:
    from scipy.stats import spearmanr

    first, second = (each.flatten().numpy().astype(np.float64) for each in (a, b))
    if first.std() == 0 or second.std() == 0:
        return float("nan")
    return float(spearmanr(first, second).statistic)


__all__ = ["Randomisation", "weight_randomisation"]
