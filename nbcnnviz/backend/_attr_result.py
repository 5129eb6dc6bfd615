"""What an attribution is: a picture in numbers, and all that has to be said with it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor

from ._model import probabilities
from .target import Target

if TYPE_CHECKING:
    from .cam import Terms

REDUCTIONS = ("abs", "signed", "positive", "sum", "norm")
"""How the colours of a pixel make one number, see `Attribution.heat`."""


class Completeness(NamedTuple):
    """Whether the attributions add up to what is explained, as they should (Sundararajan 2017)."""

    attributed: float
    """The sum over all pixels and channels."""
    difference: float
    """score(image) - score(baseline)."""

    @property
    def error(self) -> float:
        """|attributed - difference| / |difference|; infinite where the scores are equal."""
        gap = abs(self.attributed - self.difference)
        if not gap:
            return 0.0
        return gap / abs(self.difference) if self.difference else math.inf


@dataclass(frozen=True, eq=False)
class Attribution:
    """How much each part of an image has to do with a score.

    All tensors are on the CPU, in float32, in the size of what the network is fed, and raw: nothing
    is scaled, clipped or normalised.
    """

    values: Tensor
    """(C, H, W), signed, of pixel methods; (H, W) of CAM methods, bilinear."""
    method: str
    target: Target
    """What was explained; of a channel's maximum with the position where it lies."""
    score: float
    """Of the target: its logit, probability or activation."""
    score_name: str
    """"logit", "probability" or "activation": which of them was explained."""
    layer: str | None = None
    """Whose maps a CAM method weighted."""
    coarse: Tensor | None = None
    """(h, w), the CAM in that layer's own size."""
    terms: Terms | None = None
    """The arithmetic behind a CAM: weights and maps."""
    completeness: Completeness | None = None
    """Of integrated gradients."""
    done: int = 1
    """How many samples or steps it is made of."""
    total: int = 1
    """Of how many; more than `done` after a stop."""
    logits: Tensor | None = None
    """(classes,) of the image; None if the pass ended before, or there are no classes."""
    notes: tuple[str, ...] = ()
    """What was chosen without being asked for, and what could not be done, in sentences."""
    options: Mapping[str, Any] = field(default_factory=dict)
    """Those that were given."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width."""
        return int(self.values.shape[-2]), int(self.values.shape[-1])

    @property
    def complete(self) -> bool:
        """Whether all samples were done."""
        return self.done == self.total

    @cached_property
    def missing(self) -> int:
        """How many values are NaN or infinite."""
        return int((~torch.isfinite(self.values)).sum())

    @property
    def minimum(self) -> float:
        """The smallest value that is a number; NaN where none is."""
        return float(self._numbers.min()) if self._numbers.numel() else math.nan

    @property
    def maximum(self) -> float:
        """The largest value that is a number; NaN where none is."""
        return float(self._numbers.max()) if self._numbers.numel() else math.nan

    @property
    def _numbers(self) -> Tensor:
        return self.values[torch.isfinite(self.values)] if self.missing else self.values

    @property
    def positive(self) -> bool:
        """Whether there is any evidence for the target; if not, a normalised map is mere noise."""
        return self.maximum > 0

    @property
    def probability(self) -> float | None:
        """Of the class; None where the target is none, or the scores are not known."""
        if self.target.index is None or self.logits is None:
            return None
        return float(probabilities(self.logits[None])[0, self.target.index])

    def heat(self, reduce: str = "abs") -> Tensor:
        """One number per pixel, (H, W); a CAM is one already and stays as it is.

        Args:
            reduce: "abs", the largest |value| of the channels, is Simonyan's saliency map
                (https://arxiv.org/abs/1312.6034, section 3.1); "signed" is that value with its
                sign; "positive" the largest value above 0; "sum" the sum; "norm" the root of the
                sum of squares.

        Raises:
            ValueError: no such reduction.
        """
        if reduce not in REDUCTIONS:
            raise ValueError(f"reduce={reduce!r}: choose one of {list(REDUCTIONS)}")
        values = self.values
        if values.dim() == 2:
            return values
        if reduce == "sum":
            return values.sum(0)
        if reduce == "norm":
            return values.square().sum(0).sqrt()
        if reduce == "positive":
            return values.amax(0).clamp(min=0)
        size = values.abs()
        if reduce == "abs":
            return size.amax(0)
        return values.gather(0, size.argmax(0, keepdim=True))[0]

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.values.shape))
        where = f" at {self.layer}" if self.layer else ""
        part = "" if self.complete else f", {self.done} of {self.total} done"
        return (
            f"Attribution({self.method} of {self.target.name}{where}: {shape}, "
            f"{self.minimum:.3g} to {self.maximum:.3g}; {self.score_name} {self.score:.3g}{part})"
        )


def on_cpu(values: Tensor) -> Tensor:
    """As results are given."""
    return values.detach().to("cpu", torch.float32).contiguous()
