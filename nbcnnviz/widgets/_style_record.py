"""What only a style transfer shows: Gram matrices, and its two halves each for itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor

from ..backend._dream_frames import DreamFrame
from ..backend.maps import quantise
from ..backend.network import Network
from ..backend.style import style_transfer
from ._codec import pack
from ._dream import prepared
from ._dream_film import RGB, jpeg
from ._dream_record import MORE_EDGE, flat
from ._dream_run import Settings

CHANNELS = 64
"""Of a Gram matrix are shown, those in which the style is strongest."""
_APART_EDGE = 224


def styles(net: Network, given: Sequence[Any]) -> list[tuple[str, RGB]]:
    """Names and pictures of the styles.

    Raises:
        ValueError: there is none.
    """
    if not given:
        raise ValueError("style: there is none; give at least one image")
    found = []
    for place, image in enumerate(given):
        otherwise = "style" if len(given) == 1 else f"style {place + 1}"
        picture, name = prepared(net, image, MORE_EDGE, "style")
        found.append((otherwise if name == "style" else name, picture))
    return found


def gram_blob(layer: str, now: Tensor, target: Tensor) -> bytes:
    """The answer of lane "gram": the strongest channels of both matrices (C, C)."""
    strongest = target.diagonal().argsort(descending=True, stable=True)[:CHANNELS]
    pair = torch.stack([now, target])[:, strongest][:, :, strongest]
    found = quantise(pair.float().cpu())
    meta = {"layer": layer, "channels": len(target), "shown": len(strongest)}
    arrays = {"now": found.codes[0], "target": found.codes[1], "lo": found.lo, "hi": found.hi}
    return pack(meta, arrays)


def apart(
    net: Network, content: Any, style: Sequence[Any], wanted: Settings, steps: int
) -> Iterator[Callable[[], bytes]]:
    """Both halves of a style transfer from noise, step by step; what packs the present ones."""
    layers = {name: wanted[name] for name in ("content_layer", "style_layers", "style_weights")}
    common = {**layers, "init": "noise", "scales": 1, "steps": steps, "size": _APART_EDGE}
    only_content = style_transfer(net, content, style, style_weight=0, **common)
    only_style = style_transfer(net, content, style, content_weight=0, **common)
    for one, other in zip(only_content, only_style, strict=False):

        def blob(one: DreamFrame = one, other: DreamFrame = other) -> bytes:
            frames = {"content": one, "style": other}
            jpegs = {name: flat(jpeg(f.image, MORE_EDGE)) for name, f in frames.items()}
            return pack({"step": one.step, "steps": steps}, jpegs)

        yield blob
