"""Images of any size for the convolutional part of a network, and the range they may have."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ._arguments import is_whole
from .images import check_size, load_image
from .preprocess import Preprocess

if TYPE_CHECKING:
    from .network import Network


@dataclass(frozen=True)
class Pixels:
    """Between colours in 0..1 and what the network is given: x = low + p span."""

    low: Tensor
    """(1, C, 1, 1): black."""
    span: Tensor
    """(1, C, 1, 1): from black to white, above 0."""

    @classmethod
    def of(cls, net: Network) -> Pixels:
        """The valid range of a network's inputs, float32 or float64, on its device."""
        if isinstance(net.preprocess, Preprocess):
            mean, std = (_channels(v) for v in (net.preprocess.mean, net.preprocess.std))
            low, high = -mean / std, (1 - mean) / std
        else:
            # What becomes of black and white tells the range of any preprocessing.
            ends = [_extremes(net, shade) for shade in (0.0, 1.0)]
            both = torch.cat(ends)
            low, high = both.amin(0, keepdim=True), both.amax(0, keepdim=True)
        span = torch.where(high > low, high - low, torch.ones_like(high))
        return cls(*(each.to(net.device, working_dtype(net)) for each in (low, span)))

    def clip(self, x: Tensor) -> Tensor:
        """Into the valid range."""
        return torch.minimum(torch.maximum(x, self.low), self.low + self.span)

    def colours(self, x: Tensor) -> Tensor:
        """0..1 where the input is valid."""
        return (x - self.low) / self.span

    def inputs(self, p: Tensor) -> Tensor:
        """The other way round."""
        return self.low + p * self.span


def working_dtype(net: Network) -> torch.dtype:
    """Images are kept in single precision for half-precision networks: steps are small."""
    return torch.float64 if net.dtype == torch.float64 else torch.float32


def _channels(values: Sequence[float]) -> Tensor:
    return torch.tensor(values, dtype=torch.float64, device="cpu").reshape(1, -1, 1, 1)


def _extremes(net: Network, shade: float) -> Tensor:
    """(2, C, 1, 1): the lowest and highest input that a plain picture becomes."""
    level = Image.new("RGB", (256, 256), (int(255 * shade),) * 3)
    plain: Any = level
    if net.preprocess.channels not in (1, 3):
        plain = np.full((256, 256, net.preprocess.channels), shade, np.float32)
    x = net.prepare(plain).to("cpu", torch.float64)
    return torch.cat([x.amin((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)])


def load(net: Network, image: Any, size: Any, name: str = "image") -> Tensor:
    """An image as (1, C, H, W), normalised and whole: nothing is cropped.

    Args:
        net: whose colours and device are meant.
        image: see `Network.prepare`. A preprocessing that is a function of the user's own is
            applied as it is, crop included.
        size: the longer edge in pixels, at most; a (height, width); None: as it is. Pictures
            smaller than what the network usually takes are enlarged to that.
        name: of the argument, in errors.
    """
    ready = isinstance(image, Tensor) and (image.is_floating_point() or image.is_complex())
    if ready or not isinstance(net.preprocess, Preprocess):
        x = net.prepare(image).to(working_dtype(net))
        wanted = _fitted((x.shape[2], x.shape[3]), size)
        return x if wanted == tuple(x.shape[2:]) else resized(x, wanted)
    picture = load_image(image, net.preprocess.channels, name)
    if isinstance(picture, Image.Image):
        own = picture.height, picture.width
    else:
        own = picture.shape[0], picture.shape[1]
    wanted = _fitted(own, size, max(net.preprocess.size))
    whole = replace(net.preprocess, size=wanted, resize=None, crop="squash")
    return whole(picture).to(net.device, working_dtype(net))


def resized(x: Tensor, size: tuple[int, int]) -> Tensor:
    """(N, C, H, W) at another size, smoothed where it shrinks."""
    if tuple(x.shape[2:]) == tuple(size):
        return x
    return F.interpolate(x, size, mode="bicubic", align_corners=False, antialias=True)


def _fitted(own: tuple[int, int], size: Any, least: int = 0) -> tuple[int, int]:
    """The size to work at; a longer edge below the least is enlarged, if `size` allows it."""
    if size is None:
        wanted = own
    elif isinstance(size, tuple | list):
        if len(size) != 2 or not all(is_whole(each) for each in size):
            raise TypeError(f"size={size!r}: give the longer edge in pixels, or (height, width)")
        wanted = (int(size[0]), int(size[1]))
    elif not is_whole(size):
        raise TypeError(f"size={size!r}: give the longer edge in pixels, or (height, width)")
    else:
        if size < 1:
            raise ValueError(f"size={size!r}: give at least 1 pixel")
        factor = min(size, max(*own, least)) / max(own)
        wanted = max(1, round(own[0] * factor)), max(1, round(own[1] * factor))
    check_size(*wanted, f"size={size!r}")
    return wanted


def seed_of(generator: Any) -> int:
    """A seed drawn from a generator, 0 without one; step k draws from a generator of its own.

    So nothing but the number of the step is needed to go on as if nothing had happened.

    Raises:
        TypeError: not a `torch.Generator`.
    """
    if generator is None:
        return 0
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"generator={generator!r}: give a torch.Generator, as torch.Generator().manual_seed(1)"
        )
    drawn = torch.randint(2**62, (), generator=generator, device=generator.device)
    return int(drawn)


def generator_at(seed: int, step: int) -> torch.Generator:
    """The generator of one step, on the CPU: the same numbers whatever the device."""
    return torch.Generator("cpu").manual_seed((seed + step) % 2**63)
