"""What the content and the styles look like to a network, found once for each layer and size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ._dream_image import resized
from ._dream_octaves import octave_sizes
from ._dream_pass import Lens
from ._style_losses import gram_matrix, mixed
from .layers import Layer


@dataclass(frozen=True, eq=False)
class Target:
    """What maps or a Gram matrix should be, and how large that is."""

    values: Tensor
    scale: Tensor
    """Mean square: an error of this size is as bad as nothing at all."""

    @classmethod
    def of(cls, values: Tensor) -> Target:
        return cls(values, values.square().mean().clamp(min=1e-12))


class Targets:
    """Targets at one size of the content. Any thread may ask for them.

    Args:
        lens: looks through the network.
        content: (1, C, H, W).
        styles: (1, C, h, w) each.
    """

    def __init__(self, lens: Lens, content: Tensor, styles: Sequence[Tensor]) -> None:
        self._lens = lens
        self._content = content
        self._styles = styles
        self._maps: dict[str, Target] = {}
        self._grams: dict[str, list[Tensor]] = {}
        self._mixed: tuple[Any, dict[str, Target]] = None, {}

    def content(self, layer: Layer) -> Target:
        """(1, C, h, w): the content's maps."""
        if layer.name not in self._maps:
            maps = self._lens.features(self._content, [layer])
            self._maps[layer.name] = Target.of(maps[layer.name])
        return self._maps[layer.name]

    def style(self, layers: Sequence[Layer], weights: Sequence[float]) -> dict[str, Target]:
        """(1, C, C) by layer: the weighted mean of the styles' Gram matrices."""
        key = tuple(layer.name for layer in layers), tuple(weights)
        known, found = self._mixed
        # Another thread may ask for others in between: what is returned is held here.
        if known != key:
            found = self._mix(layers, weights)
            self._mixed = key, found
        return found

    def _mix(self, layers: Sequence[Layer], weights: Sequence[float]) -> dict[str, Target]:
        missing = [layer for layer in layers if layer.name not in self._grams]
        if missing:
            each = [self._lens.features(style, missing) for style in self._styles]
            for layer in missing:
                self._grams[layer.name] = [gram_matrix(maps[layer.name]) for maps in each]
        return {layer.name: Target.of(mixed(self._grams[layer.name], weights)) for layer in layers}


def scale_sizes(size: tuple[int, int], scales: int) -> list[tuple[int, int]]:
    """Heights and widths, each twice the one before, up to the size itself.

    Those that come out below 32 pixels are left out, the size itself never.

    Example:
        >>> scale_sizes((200, 101), 20)
        [(100, 50), (200, 101)]
    """
    return octave_sizes(size, scales, 2.0)


def fitted(style: Tensor, content: Tensor) -> Tensor:
    """A style at the scale of the content: with its proportions, and as many pixels.

    Never enlarged, since there is no texture between its pixels.
    """
    own, wanted = style.shape[2] * style.shape[3], content.shape[2] * content.shape[3]
    factor = min(1.0, (wanted / own) ** 0.5)
    size = (max(1, round(style.shape[2] * factor)), max(1, round(style.shape[3] * factor)))
    return resized(style, size)
