"""From a picture to what a network eats, and back to a picture."""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

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
        if not _is_whole(self.channels):
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
        if self.resize is None or _is_whole(self.resize):
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
        values = planes.sub_(_column(self.mean)).div_(_column(self.std))
        return values[None]

    def undo(self, tensor: Tensor) -> Bytes:
        """The picture (H, W, 3), 8 bits, that a tensor (C, H, W) or (1, C, H, W) shows."""
        values = _one_image(tensor).detach().to("cpu", torch.float32)
        if len(values) != self.channels:
            raise ValueError(f"tensor: {len(values)} channels, but the network has {self.channels}")
        return to_picture(values * _column(self.std) + _column(self.mean))

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
        return torch.cat([_planes(_resized(band, size, sampler, box)) for band in bands])

    def _cut_then_scale(self, picture: Image.Image | Floats, scaled: tuple[int, int]) -> Tensor:
        height, width = _height_width(picture)
        kept = min(self.size[0], scaled[0]), min(self.size[1], scaled[1])
        y, x = height / scaled[0], width / scaled[1]
        top, left = (scaled[0] - kept[0]) / 2 * y, (scaled[1] - kept[1]) / 2 * x
        box = left, top, min(left + kept[1] * x, width), min(top + kept[0] * y, height)
        return _centre(self._scale(picture, kept, box), self.size)


class CustomPreprocess:
    """A user's own function from a PIL image to a tensor, and what undoes it as well as known.

    Args:
        function: takes a PIL image, returns a tensor (C, H, W) or (1, C, H, W).
        channels: how many channels the network takes. With 1 or 3 the function is given a gray or
            colour picture, with any other number an array (H, W, C) of floats in 0..1.

    Raises:
        TypeError: it cannot be called, or returns something else.
        ValueError: it fails on a plain gray picture of 256 x 256.
    """

    def __init__(self, function: Callable[[Any], Any], channels: int) -> None:
        if not callable(function):
            raise TypeError(
                f"preprocess: a {type(function).__name__} cannot be called; give a "
                "nv.backend.Preprocess, a torchvision transform or a function PIL image -> tensor"
            )
        self.function = function
        self._takes = channels
        self.normalisation = _normalisation(function)
        sample = self._picture(np.full((256, 256, channels), 0.5, np.float32))
        try:
            result = function(sample)
        except Exception as error:
            raise ValueError(
                f"preprocess: {self._name()} fails on a gray picture of 256 x 256 with "
                f"{channels} channels: {error}"
            ) from error
        tensor = self._checked(result)
        self.channels = int(tensor.shape[1])
        """How many channels the network is given."""
        self.size: tuple[int, int] = (int(tensor.shape[2]), int(tensor.shape[3]))
        """Height and width of what the network sees, for a picture of 256 x 256."""
        if self.normalisation and len(self.normalisation[0]) not in (1, self.channels):
            self.normalisation = None

    def __repr__(self) -> str:
        return f"CustomPreprocess({self._name()}, size={self.size}, channels={self.channels})"

    def __call__(self, image: Any) -> Tensor:
        """Turn anything image-like (see `load_image`) into a tensor (1, C, H, W) of float32."""
        return self._checked(self.function(self._picture(load_image(image, self._takes))))

    def _name(self) -> str:
        return getattr(self.function, "__name__", None) or type(self.function).__name__

    def _picture(self, picture: Image.Image | Floats) -> Image.Image | Floats:
        if isinstance(picture, Image.Image) or self._takes not in (1, 3):
            return picture
        levels = (picture * 255).round().astype(np.uint8)
        return Image.fromarray(levels[..., 0] if self._takes == 1 else levels)

    def _checked(self, result: Any) -> Tensor:
        if not isinstance(result, Tensor) or not result.is_floating_point():
            what = result.dtype if isinstance(result, Tensor) else f"a {type(result).__name__}"
            raise TypeError(
                f"preprocess: {self._name()} returns {what}; it must return a tensor (C, H, W) "
                "of floats"
            )
        # A plain tensor, and a copy: the function may hand out one that it keeps.
        values = result.detach().as_subclass(Tensor).to("cpu", torch.float32, copy=True)
        return _one_image(values, f"preprocess: the result of {self._name()}")[None]

    def undo(self, tensor: Tensor) -> Bytes:
        """The picture (H, W, 3), 8 bits, that a tensor (C, H, W) or (1, C, H, W) shows."""
        values = _one_image(tensor).detach().to("cpu", torch.float32)
        if self.normalisation is not None:
            mean, std = self.normalisation
            return to_picture(values * _column(std) + _column(mean))
        low, high = values.aminmax()
        return to_picture((values - low) / (high - low).clamp(min=1e-12))


def read_preprocess(
    given: Any, channels: int
) -> tuple[Preprocess | CustomPreprocess, tuple[str, ...]]:
    """What a user gave as `preprocess`, in our terms, and what had to be guessed about it.

    torchvision's presets (`weights.transforms()`) and the usual chain of `Resize`, `CenterCrop`,
    `ToTensor`, `Normalize` (timm makes such) are read and done here; anything else is called.
    """
    if isinstance(given, (Preprocess, CustomPreprocess)):
        return given, ()
    presets = sys.modules.get("torchvision.transforms._presets")
    if presets is not None:
        preset = presets.ImageClassification
        if isinstance(given, functools.partial) and given.func is preset:
            given = given()
        if type(given) is preset:
            return _from_preset(given), ()
    chain = _from_chain(given)
    if chain is not None:
        return chain, ()
    custom = CustomPreprocess(given, channels)
    if custom.normalisation is not None:
        return custom, ()
    note = (
        "How to undo the given preprocessing is not known: "
        "pictures show the smallest value black and the largest white."
    )
    return custom, (note,)


def _from_preset(preset: Any) -> Preprocess:
    """torchvision's `ImageClassification`, which always antialiases pictures, whatever it says."""
    return Preprocess(
        size=(preset.crop_size[0], preset.crop_size[-1]),
        mean=tuple(preset.mean),
        std=tuple(preset.std),
        channels=len(preset.mean),
        resize=preset.resize_size[0],
        interpolation=_filter_name(preset.interpolation),
    )


def _from_chain(given: Any) -> Preprocess | None:
    """A torchvision `Compose` of exactly Resize, (CenterCrop), ToTensor, Normalize."""
    steps = getattr(given, "transforms", None)
    if not isinstance(steps, Sequence) or not steps:
        return None
    names = [type(step).__name__ for step in steps]
    cropped = len(steps) > 1 and names[1] == "CenterCrop"
    if names[0] != "Resize" or names[1 + cropped :] not in (
        ["ToTensor", "Normalize"],
        ["MaybeToTensor", "Normalize"],
    ):
        return None
    resize = steps[0].size
    resize = [resize] if isinstance(resize, int) else list(resize)
    if getattr(steps[0], "max_size", None) is not None or (len(resize) == 1 and not cropped):
        return None
    size = steps[1].size if cropped else resize
    mean, std = _numbers(steps[-1].mean), _numbers(steps[-1].std)
    return Preprocess(
        size=(int(size[0]), int(size[-1])),
        mean=mean,
        std=std,
        channels=len(mean),
        resize=resize[0] if len(resize) == 1 else (resize[0], resize[1]),
        crop="center" if len(resize) == 1 else "squash",
        interpolation=_filter_name(steps[0].interpolation),
    )


def _normalisation(function: Any) -> tuple[tuple[float, ...], tuple[float, ...]] | None:
    """Mean and std of the last `Normalize` in a chain, or the function's own attributes."""
    steps = getattr(function, "transforms", None)
    for step in reversed(steps) if isinstance(steps, Sequence) else [function]:
        mean, std = getattr(step, "mean", None), getattr(step, "std", None)
        if isinstance(mean, (Sequence, Tensor)) and isinstance(std, (Sequence, Tensor)):
            return _numbers(mean), _numbers(std)
    return None


def _numbers(values: Any) -> tuple[float, ...]:
    values = values.flatten().tolist() if isinstance(values, Tensor) else values
    return tuple(map(float, values))


def _filter_name(mode: Any) -> str:
    name = str(getattr(mode, "value", mode))
    # For PIL images torchvision makes no difference between the two.
    return "nearest" if name == "nearest-exact" else name


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


def _column(values: Sequence[float]) -> Tensor:
    """(C, 1, 1)"""
    return torch.tensor(values, dtype=torch.float32, device="cpu")[:, None, None]


def _one_image(tensor: Tensor, name: str = "tensor") -> Tensor:
    """(C, H, W) of a tensor (C, H, W) or (1, C, H, W)."""
    shape = tuple(tensor.shape)
    if len(shape) == 4 and shape[0] == 1:
        tensor = tensor[0]
    if tensor.ndim != 3 or 0 in shape:
        raise ValueError(f"{name}: shape {shape}; it must be (C, H, W) or (1, C, H, W)")
    return tensor


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 1


def _pair(name: str, value: Any) -> None:
    pair = isinstance(value, (tuple, list)) and len(value) == 2
    if not pair or not all(map(_is_whole, value)):
        raise ValueError(f"{name}={value!r}: give a height and a width in pixels, as in (224, 224)")
    check_size(value[0], value[1], name)


def _per_channel(
    name: str, values: Any, channels: int, default: float | tuple[float, ...]
) -> tuple[float, ...]:
    if isinstance(values, (int, float)):
        raise TypeError(f"{name}={values}: give one value per channel, as in ({values},)")
    made = _numbers(values)
    if not made:
        return default if isinstance(default, tuple) else (default,) * channels
    if len(made) != channels:
        raise ValueError(f"{name}={made}: {len(made)} values for {channels} channels")
    if not all(map(math.isfinite, made)):
        raise ValueError(f"{name}={made}: every value must be finite")
    return made
