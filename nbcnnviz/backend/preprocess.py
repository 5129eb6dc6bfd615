"""From a picture to what a network eats, and back to a picture."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from ._arguments import is_whole
from .images import Bytes, Floats, check_size, load_image, to_picture

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

_FILTERS = {
    "nearest": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "box": Image.Resampling.BOX,
    "hamming": Image.Resampling.HAMMING,
}
_CROPS = ("center", "squash")
_WHOLE_PIXELS = 4_000_000
"""Larger pictures are not scaled as a whole when only their centre is wanted."""


@dataclass(frozen=True, repr=False)
class Preprocess:
    """Scale a picture, cut out its centre, and normalise: x = (pixel / 255 - mean) / std.

    With PIL pictures it computes bit for bit what torchvision's `Resize`, `CenterCrop`,
    `ToTensor` and `Normalize` compute, in that order.

    Args:
        size: height and width of what the network sees, in pixels.
        mean: one value per channel, in 0..1; empty: ImageNet's for three channels, else 0.
        std: one value per channel; empty: ImageNet's for three channels, else 1.
        channels: how many channels the network takes.
        resize: length of the shorter edge before the crop; None: just enough to cover `size`.
            With crop="squash" height and width (or one number for both) that the picture is
            brought to whatever its proportions; None: `size`.
        crop: "center" keeps proportions, "squash" keeps all of the picture.
        interpolation: nearest, bilinear, bicubic, lanczos, box or hamming.
        antialias: False samples without a filter, as torchvision does on tensors when told so;
            nearest, bilinear and bicubic only.

    Raises:
        ValueError: a value out of range, by name.

    Example:
        >>> Preprocess(size=(32, 32), channels=1)(np.zeros((8, 8), np.uint8)).shape
        torch.Size([1, 1, 32, 32])
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    channels: int = 3
    resize: int | tuple[int, int] | None = None
    crop: str = "center"
    interpolation: str = "bilinear"
    antialias: bool = True

    def __post_init__(self) -> None:
        if not _is_one(self.channels):
            raise ValueError(f"channels={self.channels!r}: give a whole number of at least 1")
        _pair("size", self.size)
        known = self.channels == 3
        settings = {
            "size": tuple(self.size),
            "mean": _per_channel("mean", self.mean, self.channels, IMAGENET_MEAN if known else 0.0),
            "std": _per_channel("std", self.std, self.channels, IMAGENET_STD if known else 1.0),
        }
        for key, value in settings.items():
            object.__setattr__(self, key, value)
        if min(self.std) <= 0:
            raise ValueError(f"std={self.std}: every value must be above 0")
        for key, options in (("crop", _CROPS), ("interpolation", tuple(_FILTERS))):
            if getattr(self, key) not in options:
                raise ValueError(f"{key}={getattr(self, key)!r}: choose one of {list(options)}")
        if not self.antialias and self.interpolation not in ("nearest", "bilinear", "bicubic"):
            raise ValueError(f"antialias=False: there is no {self.interpolation} without it")
        self._check_resize()

    def _check_resize(self) -> None:
        if self.resize is None or _is_one(self.resize):
            return
        if self.crop == "center":
            raise ValueError(
                f"resize={self.resize!r}: give the length of the shorter edge, "
                'or crop="squash" for a height and a width'
            )
        _pair("resize", self.resize)

    def __repr__(self) -> str:
        shown = [f for f in fields(self) if f.name == "size" or getattr(self, f.name) != f.default]
        return f"Preprocess({', '.join(f'{f.name}={getattr(self, f.name)!r}' for f in shown)})"

    def __call__(self, image: Any) -> Tensor:
        """Turn anything image-like (see `load_image`) into a tensor (1, C, H, W) of float32."""
        picture = load_image(image, self.channels)
        scaled = self._scaled_size(*_height_width(picture))
        if scaled[0] * scaled[1] > max(_WHOLE_PIXELS, 8 * self.size[0] * self.size[1]):
            # A long thin picture: only the part that is kept gets scaled.
            planes = self._cut_then_scale(picture, scaled)
        else:
            planes = _centre(self._scale(picture, scaled), self.size)
        # (C, H, W)
        values = planes.sub_(column(self.mean)).div_(column(self.std))
        return values[None]

    def undo(self, tensor: Tensor) -> Bytes:
        """The picture (H, W, 3), 8 bits, that a tensor (C, H, W) or (1, C, H, W) shows."""
        values = one_image(tensor).detach().to("cpu", torch.float32)
        if len(values) != self.channels:
            raise ValueError(f"tensor: {len(values)} channels, but the network has {self.channels}")
        return to_picture(values * column(self.std) + column(self.mean))

    def _scaled_size(self, height: int, width: int) -> tuple[int, int]:
        """Height and width after scaling, before the crop."""
        if self.crop == "squash":
            resize = self.size if self.resize is None else self.resize
            return (resize, resize) if isinstance(resize, int) else resize
        if self.resize is None:
            factor = max(self.size[0] / height, self.size[1] / width)
            return max(round(height * factor), 1), max(round(width * factor), 1)
        assert isinstance(self.resize, int)
        # Rounded down, as torchvision does.
        if height <= width:
            return self.resize, int(self.resize * width / height)
        return int(self.resize * height / width), self.resize

    def _scale(
        self,
        picture: Image.Image | Floats,
        size: tuple[int, int],
        box: tuple[float, float, float, float] | None = None,
    ) -> Tensor:
        """The picture, or its part in `box` (left, top, right, bottom), as planes (C, H, W)."""
        if not self.antialias:
            planes = _planes(picture)
            if box is not None:
                left, top, right, bottom = (round(each) for each in box)
                planes = planes[:, top : max(bottom, top + 1), left : max(right, left + 1)]
            centres = None if self.interpolation == "nearest" else False
            return F.interpolate(
                planes[None], size, mode=self.interpolation, align_corners=centres
            )[0]
        sampler = _FILTERS[self.interpolation]
        if isinstance(picture, Image.Image):
            return _planes(_resized(picture, size, sampler, box))
        bands = [Image.fromarray(np.ascontiguousarray(band)) for band in np.moveaxis(picture, 2, 0)]
        return torch.cat([_planes(_resized_floats(band, size, sampler, box)) for band in bands])

    def _cut_then_scale(self, picture: Image.Image | Floats, scaled: tuple[int, int]) -> Tensor:
        height, width = _height_width(picture)
        kept = min(self.size[0], scaled[0]), min(self.size[1], scaled[1])
        y, x = height / scaled[0], width / scaled[1]
        top, left = (scaled[0] - kept[0]) / 2 * y, (scaled[1] - kept[1]) / 2 * x
        box = left, top, min(left + kept[1] * x, width), min(top + kept[0] * y, height)
        return _centre(self._scale(picture, kept, box), self.size)


def numbers(values: Any) -> tuple[float, ...]:
    """Floats of a sequence or a tensor; 0.485 stays 0.485, also out of single precision."""
    if isinstance(values, Tensor):
        values = [str(value) for value in values.detach().cpu().flatten().numpy()]
    return tuple(map(float, values))


def _planes(picture: Image.Image | Floats) -> Tensor:
    """(C, H, W) in 0..1"""
    if isinstance(picture, Image.Image) and picture.mode == "F":
        return torch.from_numpy(np.array(picture))[None]
    array = np.array(picture)
    planes = torch.from_numpy(array if array.ndim == 3 else array[..., None]).permute(2, 0, 1)
    if planes.dtype == torch.uint8:
        return planes.contiguous().to(torch.float32).div_(255)
    return planes.contiguous()


def _resized(
    picture: Image.Image,
    size: tuple[int, int],
    sampler: Image.Resampling,
    box: tuple[float, float, float, float] | None,
) -> Image.Image:
    return picture.resize((size[1], size[0]), sampler, box)


def _resized_floats(
    band: Image.Image,
    size: tuple[int, int],
    sampler: Image.Resampling,
    box: tuple[float, float, float, float] | None,
) -> Image.Image:
    """A channel in 0..1, which stays there.

    Sharpening filters go beyond black and white at edges. Pillow cuts that off from bytes, after
    either of its two passes, but not from floats.
    """
    if sampler not in (Image.Resampling.BICUBIC, Image.Resampling.LANCZOS):
        return _resized(band, size, sampler, box)
    left, top, right, bottom = box or (0, 0, band.width, band.height)
    wide = _clipped(_resized(band, (band.height, size[1]), sampler, (left, 0, right, band.height)))
    return _clipped(_resized(wide, size, sampler, (0, top, size[1], bottom)))


def _clipped(band: Image.Image) -> Image.Image:
    return Image.fromarray(np.asarray(band).clip(0, 1))


def _centre(planes: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut the centre out of planes (C, H, W); where they are too small, black surrounds them."""
    above, beside = (max(want - have, 0) for want, have in zip(size, planes.shape[1:], strict=True))
    if above or beside:
        edges = (beside // 2, (beside + 1) // 2, above // 2, (above + 1) // 2)
        planes = F.pad(planes, edges)
    top = round((planes.shape[1] - size[0]) / 2)
    left = round((planes.shape[2] - size[1]) / 2)
    return planes[:, top : top + size[0], left : left + size[1]].contiguous()


def _height_width(picture: Image.Image | Floats) -> tuple[int, int]:
    if isinstance(picture, Image.Image):
        return picture.height, picture.width
    return picture.shape[0], picture.shape[1]


def column(values: Sequence[float]) -> Tensor:
    """(C, 1, 1)"""
    return torch.tensor(values, dtype=torch.float32, device="cpu")[:, None, None]


def one_image(tensor: Tensor, name: str = "tensor") -> Tensor:
    """(C, H, W) of a tensor (C, H, W) or (1, C, H, W)."""
    shape = tuple(tensor.shape)
    if len(shape) == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or 0 in shape:
        raise ValueError(f"{name}: shape {shape}; it must be (C, H, W) or (1, C, H, W)")
    return tensor


def _is_one(value: Any) -> bool:
    return is_whole(value) and value >= 1


def _pair(name: str, value: Any) -> None:
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    if not pair or not all(map(_is_one, value)):
        raise ValueError(f"{name}={value!r}: give a height and a width in pixels, as in (224, 224)")
    check_size(value[0], value[1], name)


def _per_channel(
    name: str, values: Any, channels: int, default: float | tuple[float, ...]
) -> tuple[float, ...]:
    if isinstance(values, (int, float)):
        raise TypeError(f"{name}={values}: give one value per channel, as in ({values},)")
    made = numbers(values)
    if not made:
        return default if isinstance(default, tuple) else (default,) * channels
    if len(made) != channels:
        raise ValueError(f"{name}={made}: {len(made)} values for {channels} channels")
    if not all(map(math.isfinite, made)):
        raise ValueError(f"{name}={made}: every value must be finite")
    return made
