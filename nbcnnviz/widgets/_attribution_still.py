"""What an Attribution widget shows where no browser runs it: pictures, a sentence, code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from .. import colormaps
from ..backend.maps import quantise
from ..backend.network import Network, Prediction
from ._attribution_record import Made
from ._attribution_work import Question

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RGB = npt.NDArray[np.uint8]
_OPACITY = 0.65
_CONTRAST = 0.995


@dataclass(frozen=True)
class Shown:
    """The state of a widget at one moment."""

    net: Network
    picture: RGB
    """(H, W, 3)"""
    name: str
    made: Sequence[Made]
    reduce: str

    @property
    def headline(self) -> str:
        """What is explained, and by what."""
        found = [one.found for one in self.made if one.found is not None]
        names = ", ".join(one.method for one in self.made)
        if not found:
            return f"{names} of {self.name}: {self.made[0].error}" if self.made else self.name
        first = found[0]
        chance = "" if first.probability is None else f", probability {first.probability:.3f}"
        score = f"{first.score_name} {first.score:.3g}{chance}"
        return f"{first.target.name!r} in {self.name} ({score}): {names}"

    def tiles(self) -> list[tuple[str, RGB]]:
        """Each method's map over the picture, with its range."""
        return [self._tile(one) for one in self.made]

    def _tile(self, one: Made) -> tuple[str, RGB]:
        found = one.found
        if found is None:
            return f"{one.method}: none", self.picture
        values = found.heat(self.reduce)
        if found.values.dim() == 3:
            # A few pixels of many have most of it.
            most = _large(values) or 1.0
            values = values.clamp(-most, most)
        heat = quantise(values[None])
        lo, hi = float(heat.lo[0]), float(heat.hi[0])
        label = f"{one.method} {found.minimum:.2g}..{found.maximum:.2g}"
        if not found.positive:
            return f"{label}: no positive evidence", self.picture
        name = colormaps.resolve("auto", lo < 0)
        span = colormaps.display_range(lo, hi, "map", name in colormaps.DIVERGING, (lo, hi))
        painted = colormaps.colour(heat.codes[0], lo, hi, name, *span)
        if found.values.dim() == 3:
            return label, painted
        mixed = (1 - _OPACITY) * self.picture + _OPACITY * painted
        return label, mixed.astype(np.uint8)

    def sheet(self, predictions: Sequence[Prediction]) -> RGB:
        """All of it as one picture."""
        from . import _still

        tiles, bars = self.tiles(), [(p.label, p.probability) for p in predictions]
        columns = 3 if len(tiles) > 4 else 2
        return _still.grid(
            title=self.headline, picture=self.picture, bars=bars, tiles=tiles, columns=columns
        )

    def figure(self) -> Figure:
        """The maps as a matplotlib figure."""
        from . import _still

        return _still.figure(title=self.headline, tiles=self.tiles())


def _large(values: Tensor) -> float:
    """The size that most values stay below; `Tensor.quantile` takes but 16 million of them."""
    sizes = values[torch.isfinite(values)].abs()
    return float(sizes.kthvalue(1 + int(_CONTRAST * (len(sizes) - 1))).values)


def code(net: Network, image: str, question: Question) -> str:
    """The backend calls that give what the widget shows."""
    lines = ["import nbcnnviz as nv\n", f"net = {net.source}", f"image = ...  # {image}"]
    target = question.aim if question.unit is not None else question.target.value
    if callable(target):
        lines.append("target = ...  # your function of the scores")
        shown = "target"
    else:
        shown = repr(target)
    for method in question.methods:
        more = "" if question.score == "logit" else f", score={question.score!r}"
        if _weighs(method) and question.unit is None:
            more = f", layer={question.layer!r}{more}"
        lines.append(
            f"{method.replace('++', '_plus_plus')} = nv.backend.attribute("
            f"net, image, {method!r}, {shown}{more})"
        )
    lines.append(f"{question.methods[0].replace('++', '_plus_plus')}.values")
    return "\n".join(lines) + "\n"


def _weighs(method: str) -> bool:
    from ..backend.attribution import METHODS

    return METHODS[method].is_cam and method != "cam"
