"""Which layers carry content and style in a network that nobody has tuned by hand."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import nn

from .layers import Layer, known_layers, wrap

if TYPE_CHECKING:
    from .network import Network

_STAGES = 5
"""As many as VGG has."""
_CONTENT = 3
"""Index of the stage whose second activation holds the content: VGG's relu4_2."""


@dataclass(frozen=True)
class StyleLayers:
    """Names of layers, earliest first."""

    content: str
    style: tuple[str, ...]

    def __str__(self) -> str:
        return f"Content is read at {self.content!r}, style at {', '.join(map(repr, self.style))}."


def style_layers_for(net: Network | nn.Module) -> StyleLayers:
    """Layers for `style_transfer` in any CNN, by the rule that gives Gatys et al.'s in VGG.

    A stage is a run of layers with maps of one size. Style: the first activation of each of the
    first five stages (relu1_1 to relu5_1). Content: the second activation of the fourth stage
    (relu4_2), of the last one where there are fewer. Networks without activations with maps
    take other layers in their place. Maps of a single cell do not count.

    Args:
        net: a `Network` or a bare module.

    Raises:
        ValueError: no layer puts out maps of more than one cell.

    Example:
        >>> import nbcnnviz as nv
        >>> str(style_layers_for(nv.Network.digits()))
        "Content is read at 'relu2', style at 'relu1', 'relu2'."
    """
    stages = _stages(known_layers(wrap(net)))
    if not stages:
        raise ValueError("net: no layer puts out maps of more than one cell; style needs some")
    content = stages[min(_CONTENT, len(stages) - 1)]
    return StyleLayers(content[min(1, len(content) - 1)].name, tuple(s[0].name for s in stages))


def _stages(layers: Sequence[Layer]) -> list[list[Layer]]:
    """Activations by the size of their maps, large to small, five stages at most."""
    leaves = [one for one in layers if one.spatial and one.leaf and max(one.shape[1:]) > 1]
    chosen = [one for one in leaves if one.kind == "act"] or leaves
    stages: dict[tuple[int, ...], list[Layer]] = {}
    for layer in chosen:
        smaller = all(layer.shape[1] * layer.shape[2] <= h * w for h, w in stages)
        # What is enlarged again, in a decoder, is no further stage.
        if smaller or layer.shape[1:] in stages:
            stages.setdefault(layer.shape[1:], []).append(layer)
    return list(stages.values())[:_STAGES]
