"""A segmentation out of a saliency map: which pixels belong to the object."""

from __future__ import annotations

import numbers
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ._attr_result import Attribution
from ._graph_cut import graph_cut
from ._model import kind

WAYS = ("threshold", "graph_cut")


@dataclass(frozen=True, eq=False)
class SaliencyMask:
    """Pixels that a threshold or a cut keeps."""

    mask: Tensor
    """(H, W) of bool; `backend.occlude` takes it."""
    threshold: float
    """Values above it are salient."""
    pieces: int
    """Connected pieces that are kept."""
    dropped: int
    """Connected pieces that were too small."""

    @property
    def coverage(self) -> float:
        """Share of the image that is kept, 0..1."""
        return float(self.mask.float().mean())

    @property
    def box(self) -> tuple[int, int, int, int] | None:
        """Around all that is kept: top, left, bottom, right, the latter two exclusive.

        None for an empty mask.
        """
        if not bool(self.mask.any()):
            return None
        rows, columns = (torch.nonzero(self.mask.any(dim)).flatten() for dim in (1, 0))
        return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1

    def __repr__(self) -> str:
        return (
            f"SaliencyMask({self.coverage:.1%} in {self.pieces} pieces within {self.box}; "
            f"threshold {self.threshold:.3g}, {self.dropped} small pieces dropped)"
        )


def saliency_mask(
    attribution: Attribution | Any,
    quantile: float = 0.95,
    method: str = "threshold",
    reduce: str = "abs",
    smallest: float = 0.001,
    background: float = 0.3,
    image: Any = None,
) -> SaliencyMask:
    """Which pixels the most salient ones belong to.

    Simonyan et al. (2013, https://arxiv.org/abs/1312.6034, section 3.2): pixels above the 95 %
    quantile of the saliency map are object, those below the 30 % quantile are background, and
    what lies between goes to one of them by its colour, with a cut along edges of the picture.

        threshold   mask = [heat > the quantile]
        graph_cut   the cheapest cut of the picture between the two seeds

    Args:
        attribution: an `Attribution`, or a map (H, W).
        quantile: of the heat, 0..1: 1 - quantile is the share of pixels that is kept. Where many
            pixels have the same value fewer are kept: only those above it.
        method: "threshold" or "graph_cut".
        reduce: how the colours of a pixel make one number, see `Attribution.heat`.
        smallest: connected pieces of a smaller share of the image are dropped, 0..1.
        background: of "graph_cut": the quantile below which pixels are background.
        image: of "graph_cut": the picture (H, W, 3) of bytes, for example
            `net.picture(net.prepare(image))`.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> heat = torch.zeros(10, 10)
        >>> heat[2:5, 3:7] = 1
        >>> saliency_mask(heat, quantile=0.8).box
        (2, 3, 5, 7)
    """
    if method not in WAYS:
        raise ValueError(f"method={method!r}: choose one of {list(WAYS)}")
    for name, value in (("quantile", quantile), ("smallest", smallest), ("background", background)):
        if not isinstance(value, numbers.Real) or not 0 <= value <= 1:
            raise ValueError(f"{name}={value!r}: give a share in 0..1")
    heat = _heat(attribution, reduce)
    threshold = float(np.quantile(heat, quantile))
    salient = heat > threshold
    if method == "graph_cut":
        if background > quantile:
            raise ValueError(f"background={background}: give at most quantile={quantile}")
        picture = _picture(image, heat.shape)
        # Not the salient ones, which may have the same value where most are 0.
        behind = (heat <= np.quantile(heat, background)) & ~salient
        if salient.any() and behind.any():
            salient = graph_cut(picture, salient, behind)
    kept, pieces, dropped = _large_pieces(salient, smallest)
    return SaliencyMask(torch.from_numpy(kept), threshold, pieces, dropped)


def _heat(attribution: Any, reduce: str) -> Any:
    if isinstance(attribution, Attribution):
        heat = attribution.heat(reduce).numpy()
    elif isinstance(attribution, Tensor):
        heat = attribution.detach().cpu().double().numpy()  # NumPy has no bfloat16
    elif isinstance(attribution, np.ndarray) and attribution.dtype.kind in "biuf":
        heat = attribution
    else:
        raise TypeError(f"attribution: a {kind(attribution)}; give an Attribution or a map (H, W)")
    if heat.ndim != 2 or not heat.size:
        shape = " x ".join(map(str, heat.shape))
        raise ValueError(f"attribution: {shape}; give an Attribution or a map (H, W)")
    heat = heat.astype(np.float64)
    if not np.isfinite(heat).all():
        raise ValueError("attribution: it holds NaN or infinite values, which have no rank")
    return heat


def _picture(image: Any, size: tuple[int, ...]) -> Any:
    if image is None:
        raise ValueError(
            'image: method="graph_cut" cuts along the edges of the picture; give '
            "net.picture(net.prepare(image))"
        )
    picture = np.asarray(image)
    if picture.ndim != 3 or picture.shape[:2] != size or picture.dtype != np.uint8:
        raise ValueError(
            f"image: {picture.dtype} of shape {picture.shape}; give bytes ({size[0]}, {size[1]}, "
            "3), such as net.picture(net.prepare(image))"
        )
    return picture.astype(np.float64) / 255


def _large_pieces(mask: Any, smallest: float) -> tuple[Any, int, int]:
    """The pieces that are large enough, how many they are, and how many others there were."""
    from scipy import ndimage

    # Touching corners connect.
    numbered, count = ndimage.label(mask, structure=np.ones((3, 3)))
    sizes = np.bincount(numbered.ravel(), minlength=count + 1)
    large = sizes >= smallest * mask.size
    large[0] = False
    kept = int(large.sum())
    return large[numbered], kept, count - kept


__all__ = ["SaliencyMask", "saliency_mask"]
