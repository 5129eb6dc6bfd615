"""Preprocessing that a user brings along: read into our terms where possible, else called."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .images import Bytes, Floats, load_image, to_picture
from .preprocess import Preprocess, column, numbers, one_image


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
        return one_image(values, f"preprocess: the result of {self._name()}")[None]

    def undo(self, tensor: Tensor) -> Bytes:
        """The picture (H, W, 3), 8 bits, that a tensor (C, H, W) or (1, C, H, W) shows."""
        values = one_image(tensor).detach().to("cpu", torch.float32)
        if self.normalisation is not None:
            mean, std = self.normalisation
            return to_picture(values * column(std) + column(mean))
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
    mean, std = numbers(steps[-1].mean), numbers(steps[-1].std)
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
            return numbers(mean), numbers(std)
    return None


def _filter_name(mode: Any) -> str:
    name = str(getattr(mode, "value", mode))
    # For PIL images torchvision makes no difference between the two.
    return "nearest" if name == "nearest-exact" else name
