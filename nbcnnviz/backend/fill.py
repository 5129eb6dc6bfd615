"""What stands in for hidden pixels."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._model import kind
from .layers import wrap

if TYPE_CHECKING:
    from .network import Network

FILLS = ("mean", "black", "gray", "blur", "noise")
"""The fills that have names."""

_LEVELS = {"black": 0.0, "gray": 0.5}
_BLUR = 20
"""The standard deviation of "blur" is the longer side over this: 11 pixels for 224."""
_LUMINANCE = (0.299, 0.587, 0.114)
_COLOUR = (
    "give whole numbers in 0..255, as in (255, 128, 0), or floats in 0..1, as in (1.0, 0.5, 0.0)"
)


def filled(
    net: Network | nn.Module,
    image: Any,
    fill: Any = "mean",
    generator: torch.Generator | None = None,
) -> Tensor:
    """The image with every pixel hidden: what a mask lets through, (1, C, H, W).

    As Zeiler & Fergus (2014) hide a part of the picture with a gray square, here a mask m shows
    x (1 - m) + fill m. All is in the network's space: colours go through its normalisation,
    (colour - mean) / std. Where a custom preprocessing does not tell its normalisation, the
    smallest value of the image counts as black and the largest as white, as in pictures of it.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        fill: "mean" (0 after normalisation: the mean colour of the data), "black", "gray" (half
            of white), "blur" (the image through a Gaussian of a standard deviation of 1/20 of
            its longer side), "noise" (every value uniform between black and white), or a colour
            with one value per channel: whole numbers are in 0..255, floats in 0..1. Three
            values make their luminance for a network with one channel, one value fits any.
        generator: where "noise" comes from; None: a generator of its own, always the same noise.

    Raises:
        TypeError, ValueError: no such fill, or a colour out of range.

    Example:
        >>> import nbcnnviz as nv
        >>> filled(nv.Network.digits(), nv.sample_image("digit"), "mean").unique()
        tensor([0.])
    """
    net = wrap(net)
    if generator is not None and not isinstance(generator, torch.Generator):
        raise TypeError(f"generator: a {kind(generator)}; give a torch.Generator")
    colour = colour_levels(fill, net.preprocess.channels)
    with torch.inference_mode(False), torch.no_grad():
        x = net.prepare(image)
        name = fill if isinstance(fill, str) else "colour"
        if name == "mean":
            return torch.zeros_like(x)
        if name == "blur":
            return _blurred(x)
        if name == "noise":
            return _normalised(net, x, _noise(x, generator))
        return _normalised(net, x, colour[:, None, None]).expand_as(x).clone()


def colour_levels(fill: Any, channels: int) -> Tensor:
    """(C,) in 0..1; of no meaning for what is not one colour."""
    if isinstance(fill, str):
        if fill not in FILLS:
            raise ValueError(f"fill={fill!r}: choose one of {list(FILLS)} or a colour; {_COLOUR}")
        return torch.full((channels,), _LEVELS.get(fill, 0.0), device="cpu")
    values = fill.tolist() if hasattr(fill, "tolist") else fill
    if not isinstance(values, tuple | list) or not all(map(_is_number, values)):
        raise TypeError(f"fill={fill!r}: choose one of {list(FILLS)} or a colour; {_COLOUR}")
    whole = all(isinstance(value, numbers.Integral) for value in values)
    white = 255 if whole else 1
    if not all(0 <= value <= white for value in values):
        what = "whole numbers must be in 0..255" if whole else "floats must be in 0..1"
        raise ValueError(f"fill={fill!r}: {what}; {_COLOUR}")
    levels = torch.tensor([float(value) / white for value in values], device="cpu")
    if len(levels) == 3 and channels == 1:
        return (levels @ torch.tensor(_LUMINANCE, device="cpu"))[None]
    if len(levels) not in (1, channels):
        raise ValueError(
            f"fill={fill!r}: {len(levels)} values, but the network takes {channels} channels; "
            f"give {channels} values"
        )
    return levels.expand(channels)


def _is_number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _normalised(net: Network, x: Tensor, levels: Tensor) -> Tensor:
    """Levels (C, 1, 1) or (1, C, H, W) in 0..1 as the network sees them, like `x`."""
    levels = levels.to(x.device, torch.float32)
    mean_std = _mean_std(net)
    if mean_std is None:
        low, high = x.float().aminmax()
        return (low + levels * (high - low)).to(x.dtype)
    mean, std = (torch.tensor(v, device=x.device)[:, None, None] for v in mean_std)
    return ((levels - mean) / std).to(x.dtype)


def _mean_std(net: Network) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    from .preprocess import Preprocess

    if isinstance(net.preprocess, Preprocess):
        return net.preprocess.mean, net.preprocess.std
    return net.preprocess.normalisation


def _noise(x: Tensor, generator: torch.Generator | None) -> Tensor:
    # On the CPU: a seed gives the same noise wherever the network is.
    generator = generator or torch.Generator("cpu").manual_seed(0)
    return torch.rand(x.shape, generator=generator, device=generator.device)


def _blurred(x: Tensor) -> Tensor:
    sigma = max(x.shape[2:]) / _BLUR
    reach = max(round(3 * sigma), 1)
    offsets = torch.arange(-reach, reach + 1, device=x.device, dtype=torch.float32)
    weights = torch.exp(-(offsets**2) / (2 * sigma**2))
    weights /= weights.sum()
    # (C, 1, H, W): one convolution for all channels. The border continues outwards.
    planes = F.pad(x[0, :, None].float(), (reach,) * 4, mode="replicate")
    planes = F.conv2d(planes, weights[None, None, :, None])
    planes = F.conv2d(planes, weights[None, None, None, :])
    return planes.transpose(0, 1).to(x.dtype)


__all__ = ["filled"]
