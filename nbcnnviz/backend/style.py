"""Style transfer: a new image with the content of one and the style of another."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ._arguments import whole
from ._dream_frames import Controls, DreamFrame, Frames
from ._dream_image import Pixels, generator_at, load, resized, seed_of, working_dtype
from ._dream_octaves import left_out
from ._dream_pass import Lens
from ._dream_plan import Plan
from ._style_colours import matched
from ._style_layers import StyleLayers, style_layers_for
from ._style_losses import content_loss, gram_matrix, style_loss, total_variation
from ._style_run import OPTIMIZERS, Run, Start, read
from ._style_targets import scale_sizes
from .layers import wrap

if TYPE_CHECKING:
    from .network import Network

_INITS = ("recoloured", "content", "noise", "style")


def style_transfer(
    net: Network | nn.Module,
    content: Any,
    style: Any,
    content_layer: Any = None,
    style_layers: Any = None,
    content_weight: float = 1.0,
    style_weight: float = 10.0,
    tv_weight: float = 10.0,
    style_weights: Any = None,
    init: Any = "recoloured",
    optimizer: str = "adam",
    scales: int = 2,
    steps: int = 150,
    lr: float | None = None,
    keep_colours: bool = False,
    size: Any = 384,
    generator: torch.Generator | None = None,
    resume: DreamFrame | None = None,
) -> StyleFrames:
    """Paint the content of one image in the style of another (Gatys, Ecker & Bethge 2016).

    What falls is

        a |F - P|^2 / |P|^2 + b sum_l w_l |G_l - A_l|^2 / |A_l|^2 + c TV(p)

    with the maps F and P of the new image and of the content at the content layer, the Gram
    matrices G and A of the new image and of the style at the style layers, and the mean squared
    difference TV of neighbouring colours. Each error is relative to its target, so that the same
    weights do for layers and networks of any scale. `content_weight=0` with `init="noise"`
    leaves the style alone, `style_weight=0` the content alone.

    The image is worked on in coordinates in which natural images are white (Olah et al. 2017):
    in pixels, networks other than VGG give noise.

    Args:
        net: a `Network` or a bare module. It runs up to the deepest of the layers.
        content: anything image-like, see `Network.prepare`, but whole: nothing is cropped.
        style: the same, or several of them.
        content_layer: with maps; None: see `style_layers_for`. `notes` say which were chosen.
        style_layers: several, or {layer: weight}; None: see `style_layers_for`.
        content_weight: a, at least 0.
        style_weight: b, at least 0; the weights of the layers add up to 1.
        tv_weight: c, at least 0; smooths.
        style_weights: one for each style; None: all alike.
        init: "recoloured" (the content in the colours of the style that weighs most), "content",
            "noise", "style" (that style), or an image, also by its path. "recoloured" is what one
            gets unasked because begun with the content itself, parts of the picture keep colours
            that the style does not have.
        optimizer: "adam", or "lbfgs" with a line search: fewer steps, each of which takes several
            passes at times.
        scales: how many sizes, each twice the one before; at least 1. Those below 32 pixels are
            left out.
        steps: at each size.
        lr: about the mean change of a colour (0..1) by a step of Adam (None: 0.02); the length
            that L-BFGS tries first (None: 1).
        keep_colours: only the lightness changes; the colours of the styles are brought to those
            of the content before.
        size: longer edge in pixels, at most (a picture smaller than the network's usual input is
            enlarged to that); (height, width); None: the content's own. Styles are brought to
            as many pixels, never enlarged.
        generator: for init="noise"; None: always the same noise.
        resume: a frame of a run with the same arguments, after which to go on, bit for bit.
            Scales, steps, optimizer and keep_colours may be others: then it goes on at the size
            next to the frame's own.

    Returns:
        An iterator of frames, the last of which is the result. Its `controls` hold content_layer,
        style_layers, the weights and lr. Values that are not finite end the run with the last
        good frame, which says so in `stopped`.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import nbcnnviz as nv
        >>> digits = nv.Network.digits()
        >>> frames = style_transfer(
        ...     digits, nv.sample_image("digit"), nv.sample_image("brick"), scales=1, steps=2
        ... )
        >>> sorted(frames.result().losses)
        ['content', 'style', 'total', 'tv']
    """
    net = wrap(net)
    _check(optimizer, keep_colours)
    with torch.inference_mode(False), torch.no_grad():
        styles = _several(style)
        controls = Controls(
            partial(read, net, len(styles), optimizer),
            content_layer=content_layer,
            style_layers=style_layers,
            content_weight=content_weight,
            style_weight=style_weight,
            tv_weight=tv_weight,
            style_weights=style_weights,
            lr=lr,
        )
        pixels = Pixels.of(net)
        picture = load(net, content, size, "content")
        height, width = int(picture.shape[2]), int(picture.shape[3])
        painted = [load(net, each, None, "style") for each in styles]
        if keep_colours:
            painted = [_recoloured(each, picture, pixels) for each in painted]
        wanted, lens = whole("scales", scales, 1), Lens(net)
        sizes = scale_sizes((height, width), wanted)
        lens.try_small(sizes[0], controls.now.layers, "content")
        run = Run(
            lens=lens,
            controls=controls,
            content=picture,
            styles=painted,
            plan=Plan(tuple(sizes), whole("steps", steps, 1)),
            optimizer=optimizer,
            keep_colours=keep_colours,
            pixels=pixels,
            notes=left_out(wanted, sizes, "scale"),
        )
        seed = seed_of(generator)
        weights = controls.now.style_weights
        heaviest = painted[weights.index(max(weights))]
        first = _first(net, init, picture, heaviest, pixels, seed)
        start = run.start(first, resume)
        return StyleFrames(run, start)


class StyleFrames(Frames):
    """The frames of a style transfer, and the Gram matrices that are compared on the way."""

    def __init__(self, run: Run, start: Start) -> None:
        notes = run.controls.now.notes + run.notes
        super().__init__(run.frames(start), run.controls, notes, start.steps)
        self._run = run

    def grams(self, frame: DreamFrame | None, layer: str) -> tuple[Tensor, Tensor]:
        """The Gram matrices (C, C) of a frame at a layer, and of the styles at the same size.

        Args:
            frame: of this run; None: the content.
            layer: any with maps, also one that the style is not read at.

        Raises:
            TypeError, ValueError: no such layer, or one without maps.
        """
        with torch.inference_mode(False), torch.no_grad():
            return self._run.grams(None if frame is None else frame.tensor, layer)


def _check(optimizer: Any, keep_colours: Any) -> None:
    if optimizer not in OPTIMIZERS:
        raise ValueError(f"optimizer={optimizer!r}: choose one of {list(OPTIMIZERS)}")
    if not isinstance(keep_colours, bool):
        raise TypeError(f"keep_colours={keep_colours!r}: give True or False")


def _several(style: Any) -> list[Any]:
    """A list or tuple is several styles; an array or a tensor is one."""
    styles = list(style) if isinstance(style, list | tuple) else [style]
    if not styles:
        raise ValueError("style: there is none; give at least one image")
    return styles


def _recoloured(image: Tensor, like: Tensor, pixels: Pixels) -> Tensor:
    colours = matched(pixels.colours(image), pixels.colours(like))
    return pixels.clip(pixels.inputs(colours))


def _first(
    net: Network,
    init: Any,
    content: Tensor,
    style: Tensor,
    pixels: Pixels,
    seed: int,
) -> Tensor:
    """The image to begin with, at the content's full size."""
    size = int(content.shape[2]), int(content.shape[3])
    named = isinstance(init, str)
    if named and init == "content":
        return content
    if named and init == "recoloured":
        return _recoloured(content, style, pixels)
    if named and init == "style":
        return pixels.clip(resized(style, size))
    if named and init == "noise":
        noise = torch.rand(
            content.shape, generator=generator_at(seed, 0), dtype=torch.float64, device="cpu"
        )
        # Around the mean colour: a faint noise is soon gone.
        return pixels.inputs(0.5 + 0.2 * (noise - 0.5)).to(content.device, working_dtype(net))
    if named and not Path(init).is_file():
        raise ValueError(
            f"init={init!r}: choose one of {list(_INITS)}, or give an image; there is no such file"
        )
    return load(net, init, size, "init")


__all__ = [
    "StyleFrames",
    "StyleLayers",
    "content_loss",
    "gram_matrix",
    "style_layers_for",
    "style_loss",
    "style_transfer",
    "total_variation",
]
