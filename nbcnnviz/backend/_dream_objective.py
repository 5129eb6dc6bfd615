"""What a dream raises: the activations of layers, of channels, or their likeness to a guide's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._arguments import is_whole, plain, real
from ._dream_pass import Lens, Maps, find_maps
from .layers import Layer, default_layer

if TYPE_CHECKING:
    from .network import Network

_DEEP = 20
"""Pixels to a cell of a deep layer, at most: a 16th, and some room for odd sizes."""
_PRODUCTS = 2**24
"""Dot products with a guide's positions that are held at once."""


@dataclass(frozen=True)
class Aim:
    """Layers with weights, and the channels of them that count."""

    layers: tuple[Layer, ...]
    weights: tuple[float, ...]
    channels: tuple[int, ...] | None
    """None: all."""

    @classmethod
    def of(cls, net: Network, layer: Any, channel: Any) -> Aim:
        """What a user means by layers and channels; see `deep_dream`.

        Raises:
            TypeError, ValueError: no such layer or channel, no maps, bad weights; by name.
        """
        if isinstance(layer, Mapping):
            named = dict(layer)
        elif isinstance(layer, Layer | str):
            named = {layer: 1.0}
        elif isinstance(layer, Sequence):
            named = dict.fromkeys(layer, 1.0)
        else:
            raise TypeError(f"layer={layer!r}: give a layer, several, or {{layer: weight}}")
        if not named:
            raise ValueError("layer: there is none; give at least one")
        found = tuple(find_maps(net, name) for name in named)
        weights = tuple(real("layer: weight", weight, -float("inf")) for weight in named.values())
        if not any(weights):
            raise ValueError("layer: every weight is 0; give one that is not")
        return cls(found, weights, _channels(found, channel))

    def chosen(self, maps: Tensor) -> Tensor:
        """The channels that count, of maps (N, C, H, W)."""
        return maps if self.channels is None else maps[:, list(self.channels)]

    def strength(self, maps: Maps) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum over layers of w / 2 mean(a^2): its gradient at a layer is a w / n.

        Dividing 1/2 ||a||^2 by the number n of activations makes layers and octaves of different
        size comparable; the gradient's direction stays.
        """
        parts = {
            layer.name: self.chosen(maps[layer.name]).square().mean() / 2 for layer in self.layers
        }
        return self._sum(parts)

    def likeness(self, maps: Maps, guide: Mapping[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum over layers of w mean(max_j <a_i, g_j>) over positions i.

        Each position is drawn to that position j of the guide whose channels fit best.
        """
        parts = {}
        for layer in self.layers:
            # (C, positions)
            own = self.chosen(maps[layer.name])[0].flatten(1)
            other = self.chosen(guide[layer.name])[0].flatten(1)
            parts[layer.name] = (own * best_match(own.detach(), other)).sum() / own.numel()
        return self._sum(parts)

    def _sum(self, parts: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        weighed = [
            weight * parts[layer.name]
            for layer, weight in zip(self.layers, self.weights, strict=True)
        ]
        total = torch.stack(weighed).sum()
        return total, {"objective": total, **(parts if len(parts) > 1 else {})}


class Guide:
    """A second image whose features are found once for each layer."""

    def __init__(self, lens: Lens, x: Tensor) -> None:
        self._lens = lens
        self._x = x
        self._known: dict[str, Tensor] = {}

    def maps(self, layers: Sequence[Layer]) -> dict[str, Tensor]:
        """What layers put out for it."""
        missing = [layer for layer in layers if layer.name not in self._known]
        if missing:
            self._known.update(self._lens.features(self._x, missing))
        return {layer.name: self._known[layer.name] for layer in layers}


def best_match(own: Tensor, other: Tensor) -> Tensor:
    """For each column of (C, n) that column of (C, m) with which its dot product is largest.

    Example:
        >>> best_match(torch.eye(2), torch.tensor([[0.0, 2.0], [1.0, 0.0]]))
        tensor([[2., 0.],
                [0., 1.]])
    """
    many = max(1, _PRODUCTS // other.shape[1])
    best = [(part.T @ other).argmax(1) for part in torch.split(own, many, 1)]
    return other[:, torch.cat(best)]


def dream_layer(layers: Sequence[Layer], size: tuple[int, int]) -> Layer:
    """A layer whose dreams are rich: the middle one of those at a 16th of the input's size.

    There textures have become parts of objects. Networks that shrink less are read at their
    coarsest maps. A block's output is preferred, since all its branches are in it.

    Args:
        layers: of the network.
        size: of what it is fed.
    """
    usable = [one for one in layers if one.spatial and max(one.shape[1:]) > 1]
    deep = [one for one in usable if max(size) <= _DEEP * max(one.shape[1:])]
    if not deep:
        return default_layer(layers)
    coarsest = min(max(one.shape[1:]) for one in deep)
    stage = [one for one in deep if max(one.shape[1:]) == coarsest]
    for kinds in (("block", "merge"), ("act",), ("conv", "norm", "pool")):
        fitting = [one for one in stage if one.kind in kinds and one.name]
        # The outermost: "blocks.4", and not the normalisation with an activation within.
        outer = [one for one in fitting if one.name.count(".") == _depth(fitting)]
        if outer:
            return outer[len(outer) // 2]
    return stage[len(stage) // 2]


def _depth(layers: Sequence[Layer]) -> int:
    return min((layer.name.count(".") for layer in layers), default=0)


def _channels(layers: Sequence[Layer], channel: Any) -> tuple[int, ...] | None:
    channel = plain(channel)
    if channel is None:
        return None
    several = channel if isinstance(channel, list | tuple | range) else [channel]
    if not several or not all(is_whole(each) for each in several):
        raise TypeError(f"channel={channel!r}: give a whole number, several, or None for all")
    for layer in layers:
        count = layer.shape[0]
        if min(several) < 0 or max(several) >= count:
            raise ValueError(
                f"channel={channel!r}: {layer.name!r} has {count} channels, 0 to {count - 1}"
            )
    return tuple(dict.fromkeys(int(each) for each in several))
