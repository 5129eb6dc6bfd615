"""From quantised maps to colours: the same 256-entry tables, to the byte, as in the browser.

`js/src/lib/colormap.ts` does the same arithmetic in float64 on tables generated from the same
matplotlib colormaps, so that a PNG made in the kernel and a canvas painted in the browser agree.
"""

from __future__ import annotations

import functools
from typing import Literal

import numpy as np
import numpy.typing as npt

Scale = Literal["map", "layer", "symmetric"]
Codes = npt.NDArray[np.uint8]

SEQUENTIAL = ("viridis", "magma", "inferno", "cividis", "gray")
DIVERGING = ("RdBu_r", "coolwarm", "PuOr_r")
NAMES = ("auto", *SEQUENTIAL, *DIVERGING)
SCALES: tuple[Scale, ...] = ("map", "layer", "symmetric")

NAN_CODE = 255
"""Codes 0..254 are values from `lo` to `hi`; this one says "not a number"."""

# Magenta beside every colormap here: it cannot be taken for a value.
_HATCH = np.array([[214, 51, 132], [255, 255, 255]], np.uint8)


@functools.cache
def table(name: str) -> Codes:
    """The 256 colours of a matplotlib colormap, (256, 3) uint8.

    Raises:
        ValueError: `name` is not one of the colormaps this package draws with.
    """
    if name not in SEQUENTIAL + DIVERGING:
        raise ValueError(f"colormap={name!r} is unknown: choose one of {', '.join(NAMES)}")
    import matplotlib

    colours = matplotlib.colormaps[name](np.arange(256), bytes=True)[:, :3]
    return np.ascontiguousarray(colours, np.uint8)


def resolve(name: str, signed: bool) -> str:
    """The colormap that "auto" stands for: diverging when there are negative values."""
    return name if name != "auto" else "RdBu_r" if signed else "viridis"


def display_range(
    lo: float, hi: float, scale: Scale, diverging: bool, layer: tuple[float, float]
) -> tuple[float, float]:
    """The values that the first and the last colour of the table stand for.

    Args:
        lo, hi: smallest and largest finite value of the map.
        scale: "map" (its own range), "layer" (that of all maps of the layer) or "symmetric"
            (all of the layer, centred on zero).
        diverging: a diverging table is always centred on zero.
        layer: smallest and largest finite value in the layer.
    """
    a, b = (lo, hi) if scale == "map" else layer
    if diverging or scale == "symmetric":
        m = max(abs(a), abs(b))
        return -m, m
    return a, b


def indices(lo: float, hi: float, a: float, b: float) -> Codes:
    """The table entry of each code 0..254 of a map quantised to [lo, hi], shown over [a, b]."""
    if not b > a:
        return np.zeros(NAN_CODE, np.uint8)
    values = lo + np.arange(NAN_CODE, dtype=np.float64) * (hi - lo) / 254
    return np.clip(np.floor((values - a) / (b - a) * 256), 0, 255).astype(np.uint8)


def colour(codes: Codes, lo: float, hi: float, name: str, a: float, b: float) -> Codes:
    """Paint one quantised map (h, w) as (h, w, 3) uint8; what is not a number is hatched."""
    lut = np.zeros((256, 3), np.uint8)
    lut[:NAN_CODE] = table(name)[indices(float(lo), float(hi), a, b)]
    image: Codes = lut[codes]
    y, x = np.nonzero(codes == NAN_CODE)
    image[y, x] = _HATCH[(x + y) % 2]
    return image
