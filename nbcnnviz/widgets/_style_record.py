"""What only a style transfer shows: Gram matrices, and its two halves each for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..backend._dream_frames import DreamFrame
from ..backend.maps import quantise
from ..backend.network import Network
from ..backend.style import StyleFrames, style_transfer
from ._codec import pack
from ._dream_film import RGB, jpeg
from ._dream_given import prepared
from ._dream_record import KEPT_BYTES, MORE_EDGE, flat
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


class Grams:
    """Gram matrices of a picture and of the styles, for any thread: the run is left alone.

    Args:
        make: the backend's frames under some settings, of which none is ever computed.
    """

    def __init__(self, make: Callable[[Settings], StyleFrames]) -> None:
        self._make = make
        # Garbage collection may close a widget at any moment, and so come to `forget`.
        self._lock = threading.RLock()
        self._known: tuple[Any, StyleFrames] | None = None

    def blob(self, frame: DreamFrame | None, layer: str, wanted: Settings) -> bytes:
        """Those at a layer, of a frame or, where there is none, of the content."""
        # What the styles' matrices hang on.
        key = wanted["keep_colours"], tuple(wanted["style_weights"])
        with self._lock:
            if self._known is None or self._known[0] != key:
                self._known = key, self._make(wanted)
            now, target = self._known[1].grams(frame, layer)
        return gram_blob(layer, now, target)

    def forget(self) -> None:
        """Let go of the network."""
        with self._lock:
            self._known = None


@dataclass(frozen=True, eq=False)
class Halves:
    """The content alone and the style alone, after as many steps."""

    content: DreamFrame
    style: DreamFrame
    steps: int

    def blob(self, limit: int | None = None) -> bytes:
        """The answer of lane "apart", each picture in at most so many bytes."""
        frames = {"content": self.content, "style": self.style}
        jpegs = {name: flat(jpeg(f.image, MORE_EDGE, limit)) for name, f in frames.items()}
        return pack({"step": self.content.step, "steps": self.steps}, jpegs)

    def small(self) -> bytes:
        """The same for a saved notebook, where there is less room."""
        return self.blob(KEPT_BYTES // 5)


def apart(
    net: Network, content: Any, style: Sequence[Any], wanted: Settings, steps: int
) -> Iterator[Halves]:
    """Both halves of a style transfer from noise, step by step."""
    layers = {name: wanted[name] for name in ("content_layer", "style_layers", "style_weights")}
    common = {**layers, "init": "noise", "scales": 1, "steps": steps, "size": _APART_EDGE}
    only_content = style_transfer(net, content, style, style_weight=0, **common)
    only_style = style_transfer(net, content, style, content_weight=0, **common)
    for one, other in zip(only_content, only_style, strict=False):
        yield Halves(one, other, steps)
