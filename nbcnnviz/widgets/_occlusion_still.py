"""What an Occlusion widget shows where no browser runs it: pictures, a sentence, code."""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import colormaps
from ..backend.maps import quantise
from ..backend.network import Network
from ..backend.occlusion import Sweep
from ..backend.target import Target
from ._occlusion_record import Codes, Floats, Painted, codes_of, ranked

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_OPACITY = 0.6
"""Of a sweep's map over the picture."""


@dataclass(frozen=True)
class Shown:
    """The state of a widget at one moment."""

    net: Network
    picture: Codes
    """(H, W, 3), nothing hidden."""
    masked: Codes
    """(H, W, 3), what the network sees."""
    clean: Floats
    """(classes,), logits with nothing hidden."""
    painted: Painted
    sweep: Sweep | None
    fill: Any

    @property
    def headline(self) -> str:
        """How much is hidden, and what that does to the answer."""
        before, now = (
            self.net.label(int(logits.argmax())) for logits in (self.clean, self.painted.scores)
        )
        answer = f"still {now!r}" if before == now else f"was {before!r}, now {now!r}"
        return f"{self.painted.hidden:.0%} hidden by {self.fill}: {answer}"

    def tiles(self) -> list[tuple[str, Codes]]:
        """The sweep's map over the picture, or the picture as it was."""
        if self.sweep is None:
            return [("nothing hidden", self.picture)]
        drop = quantise(self.sweep.preview().drop[None])
        lo, hi = float(drop.lo[0]), float(drop.hi[0])
        name = colormaps.resolve("auto", lo < 0)
        span = colormaps.display_range(lo, hi, "map", name in colormaps.DIVERGING, (lo, hi))
        painted = colormaps.colour(drop.codes[0], lo, hi, name, *span)
        mixed = (1 - _OPACITY) * self.picture + _OPACITY * painted
        return [(f"drop of {self.sweep.target.name}: {lo:.3g} to {hi:.3g}", mixed.astype(np.uint8))]

    def sheet(self) -> Codes:
        """A still picture of it all."""
        from . import _still

        best = ranked(self.painted.scores)[:5]
        return _still.grid(
            title=self.headline,
            picture=self.masked,
            bars=[(self.net.label(index), share) for index, share in best],
            tiles=self.tiles(),
        )

    def figure(self) -> Figure:
        """The masked picture and the map as a matplotlib figure."""
        from . import _still

        return _still.figure(title=self.headline, tiles=[("hidden", self.masked), *self.tiles()])


def code(
    network: str,
    image: str,
    mask: Floats,
    *,
    fill: Any,
    window: Any,
    stride: Any,
    target: Target,
    score: str,
) -> str:
    """The backend calls that give the same scores and the same sweep."""
    lines = ["import nbcnnviz as nv", "", f"net = {network}", f"image = ...  # {image}"]
    if mask.any():
        lines[:1] = ["import base64", "import zlib", "", "import numpy as np", lines[0]]
        lines += [
            f"mask = {_source(mask)}",
            f"logits = nv.backend.occlude(net, image, mask, fill={fill!r})  # (classes,)",
        ]
    return "\n".join(
        [
            *lines,
            "sweep = nv.backend.occlusion_sweep(",
            f"    net, image, window={window!r}, stride={stride!r}, fill={fill!r},",
            f"    target={_named(target)}, score={score!r},",
            ")",
            "",
        ]
    )


def _source(mask: Floats) -> str:
    """A Python expression for a mask, short enough to be copied."""
    height, width = mask.shape
    text = base64.b64encode(zlib.compress(codes_of(mask).tobytes(), 9)).decode()
    return (
        f'np.frombuffer(zlib.decompress(base64.b64decode("{text}")), np.uint8)'
        f".reshape({height}, {width}) / 255"
    )


def _named(target: Target) -> str:
    """A Python expression for a target."""
    return target.name if target.function is not None else repr(target.value)
