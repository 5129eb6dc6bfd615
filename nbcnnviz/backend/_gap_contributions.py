"""Scores as sums over channels, where a network ends with global average pooling."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import layers
from ._gap_head import NoGapHeadError, gap_head
from .target import Target

if TYPE_CHECKING:
    from .network import Network


@dataclass(frozen=True, eq=False)
class GapContributions:
    """One class's score, channel by channel: logit = sum(products) + bias."""

    index: int
    """Of the class."""
    label: str
    layer: str | None
    """The layer whose maps are averaged; None if it is no layer's output as it stands."""
    pool: str
    """The layer that averages."""
    linear: str
    """The linear layer; empty if the means themselves are the scores."""
    gap: Tensor
    """(C,), the mean of each map."""
    weights: Tensor
    """(C,), of the class."""
    bias: float
    products: Tensor
    """(C,), weights * gap: what each channel adds to the score."""
    logit: float
    """What the network computed, before a softmax if it ends with one."""
    classes: int
    """How many there are."""

    @property
    def total(self) -> float:
        """sum(products) + bias, in double precision."""
        return float(self.products.double().sum()) + self.bias

    @property
    def agrees(self) -> bool:
        """Whether the total is the logit, up to the rounding of single precision."""
        size = float(self.products.double().abs().sum()) + abs(self.bias)
        allowed = 4 * float(torch.finfo(self.gap.dtype).eps) * math.sqrt(len(self.gap)) * size
        return abs(self.total - self.logit) <= allowed


def gap_contributions(net: Network | nn.Module, image: Any, target: Any = None) -> GapContributions:
    """What each channel adds to a class's score, where the score is linear in the means of maps.

    score_c = sum_k w_ck mean(A_k) + b_c: the step before the class activation map of Zhou et al.
    2016 (https://arxiv.org/abs/1512.04150), whose mean over positions is the sum over k.

    Args:
        net: a `Network` or a bare module that ends with global average pooling and a linear layer.
        image: anything image-like, see `Network.prepare`.
        target: a class by index or label; None: the predicted class.

    Raises:
        ValueError: the network ends otherwise, and how; no such class.
        TypeError: the target is no class.

    Example:
        >>> import nbcnnviz as nv
        >>> parts = gap_contributions(nv.Network.digits(), nv.sample_image("digit"))
        >>> parts.label, parts.agrees
        ('3', True)
    """
    net = layers.wrap(net)
    chosen = Target.of(net, target)
    if chosen.needs_layer or chosen.function is not None:
        raise TypeError(f"target={chosen.name!r}: no class; give a class index, a label or None")
    head = gap_head(net, image)
    chosen = chosen.resolve(head.scores, net.labels)
    index = chosen.index
    assert index is not None
    weights = head.weight[index].clone()
    return GapContributions(
        index=index,
        label=net.label(index),
        layer=head.layer,
        pool=head.pool,
        linear=head.linear,
        gap=head.gap,
        weights=weights,
        bias=float(head.bias[index]),
        products=weights * head.gap,
        logit=float(head.scores[index]),
        classes=head.scores.numel(),
    )


__all__ = ["GapContributions", "NoGapHeadError", "gap_contributions"]
