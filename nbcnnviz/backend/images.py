"""Anything image-like becomes a picture: 8 bits with one or three channels, or floats with any.

Every doubtful input ends in an error that says what to do, because a wrong guess about layout or
range gives a picture that looks plausible and scores that are not.
"""

from __future__ import annotations

import os
import re
import struct
import warnings
from pathlib import Path
from typing import Any, BinaryIO, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

Floats: TypeAlias = npt.NDArray[np.float32]
Bytes: TypeAlias = npt.NDArray[np.uint8]

FORMATS = ("PNG", "JPEG", "WEBP", "BMP")
"""File formats that are opened. The others' decoders have seen too many holes."""
MAX_PIXELS = 40_000_000
"""Larger pictures are refused before they are decoded."""

_KINDS = (
    "give a path, a PIL image, an array (H, W), (H, W, C) or (C, H, W), "
    "or a tensor (C, H, W) or (1, C, H, W)"
)
_ORIENTATION = 0x0112
_BROKEN_EXIF = (ValueError, SyntaxError, OSError, LookupError, TypeError, struct.error)


def load_image(image: Any, channels: int = 3, name: str = "image") -> Image.Image | Floats:
    """Turn anything image-like into a picture with as many channels as a network takes.

    Returns a PIL image of mode "L" or "RGB" where 8 bits hold all there is, else floats
    (H, W, C) in 0..1. Transparency is laid on white, gray is repeated for three channels, colour
    becomes luminance for one, the orientation that a camera noted is applied. Of an animation
    the first frame is taken.

    Args:
        image: a path (PNG, JPEG, WebP, BMP), a PIL image of any mode, an array, or an integer
            tensor (C, H, W) as `torchvision.io.decode_image` gives it. Arrays are (H, W),
            (H, W, C) or (C, H, W), also with a leading 1; where both fit, the layout whose
            number of channels is the network's is taken, (H, W, C) first. Values: uint8, bool,
            uint16 (65535 is white), other integers in 0..255, floats in 0..1.
        channels: what the network takes.
        name: what to call the argument in errors.

    Raises:
        TypeError: not an image, or an array of a type that holds no pixels.
        ValueError: no such file, another format, damaged, above 40 million pixels, empty, not
            finite, out of range, or a number of channels that cannot be matched.

    Example:
        >>> load_image(np.zeros((4, 6), np.uint8)).size
        (6, 4)
    """
    if isinstance(image, (str, os.PathLike)):
        picture = _from_file(image, name)
    elif isinstance(image, Image.Image):
        picture = _from_pil(image, name)
    elif isinstance(image, Tensor):
        if image.is_floating_point() or image.is_complex():
            raise TypeError(
                f"{name}: a tensor of {image.dtype} counts as preprocessed already; "
                "for a picture give uint8 values, a NumPy array or a PIL image"
            )
        array = image.detach().cpu().resolve_conj().numpy()
        picture = _from_array(array, channels, name, channels_first=True)
    elif isinstance(image, np.ndarray) or hasattr(image, "__array__"):
        picture = _from_array(np.asarray(image), channels, name)
    else:
        raise TypeError(f"{name}: cannot make a picture of a {type(image).__name__}; {_KINDS}")
    return _match_channels(picture, channels, name)


def to_picture(values: Tensor) -> Bytes:
    """Values (C, H, W) in 0..1 as a picture (H, W, 3) to look at.

    One channel is shown gray, three are colours, of four the first three; any other number is
    shown as the gray mean of all. Values outside 0..1 are clipped, NaN is black.
    """
    values = values.detach().to("cpu", torch.float32).nan_to_num(0.0, 1.0, 0.0).clamp(0, 1)
    if len(values) not in (1, 3, 4):
        values = values.mean(0, keepdim=True)
    values = values[:3].expand(3, -1, -1)
    picture: Bytes = (values * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return picture


def check_size(height: int, width: int, name: str) -> None:
    """Refuse empty pictures and those that would fill the memory.

    Raises:
        ValueError: no pixel, or more than 40 million.
    """
    if height < 1 or width < 1:
        raise ValueError(f"{name}: {height} x {width} has no pixels; give at least 1 x 1")
    if height * width > MAX_PIXELS:
        raise ValueError(
            f"{name}: {height} x {width} is more than {MAX_PIXELS // 10**6} million pixels; "
            "make it smaller first"
        )


# -- files and PIL images -------------------------------------------------------------------------


def _from_file(path: str | os.PathLike[str], name: str) -> Image.Image | Floats:
    text = os.fsdecode(path)
    if re.match(r"(?i)([a-z][a-z0-9+.-]+://|data:)", text):
        raise ValueError(
            f"{name}={text[:80]!r} is a URL, and nothing is fetched from the network; "
            "download the file and give its path"
        )
    if text and Path(text).is_dir():
        raise ValueError(f"{name}={text!r} is a folder; give the path of one picture")
    if not Path(text).is_file():
        raise ValueError(f"{name}={text!r}: there is no such file; check the path")
    with Path(text).open("rb") as stream:
        return _from_pil(_opened(stream, f"{name}={text!r}"), name)


def _opened(stream: BinaryIO, what: str) -> Image.Image:
    """The header is read; the pixels are not yet."""
    try:
        # As an error, since what Pillow only warns of would be decoded a moment later.
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(stream, formats=FORMATS)
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise ValueError(
            f"{what} is more than {MAX_PIXELS // 10**6} million pixels or more than "
            "Pillow allows; make it smaller first"
        ) from error
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(
            f"{what} is not a picture that can be read ({', '.join(FORMATS)}); "
            "open other formats yourself and give the PIL image"
        ) from error


def _from_pil(image: Image.Image, name: str) -> Image.Image | Floats:
    """To mode L, LA, RGB or RGBA, or to floats where the mode has more than 8 bits."""
    check_size(image.height, image.width, name)
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, AssertionError) as error:
        # Pillow asserts that a file is still open.
        raise ValueError(
            f"{name}: the picture is damaged, incomplete or closed ({error or 'no file'}); "
            "give an intact one"
        ) from error
    image = _upright(image)
    if image.mode.startswith("I;16"):
        return _scaled(np.asarray(image)[..., None], 65535)
    if image.mode in ("I", "F"):
        return _from_array(np.asarray(image), 1, f"{name} (mode {image.mode!r})")
    if image.mode in ("L", "RGB", "LA", "RGBA") and "transparency" not in image.info:
        return image
    if image.mode == "La":
        return image.convert("LA")
    return image.convert(_plain_mode(image))


def _plain_mode(image: Image.Image) -> str:
    if image.mode == "1":
        return "L"
    return "RGBA" if image.has_transparency_data else "RGB"


def _upright(image: Image.Image) -> Image.Image:
    try:
        if image.getexif().get(_ORIENTATION, 1) != 1:
            return ImageOps.exif_transpose(image)
    except _BROKEN_EXIF:
        # Notes about the picture that make no sense do not spoil the picture.
        return image
    return image


# -- arrays ---------------------------------------------------------------------------------------


def _from_array(
    array: npt.NDArray[Any], channels: int, name: str, channels_first: bool = False
) -> Image.Image | Floats:
    array = _height_width_channels(array, channels, name, channels_first)
    check_size(array.shape[0], array.shape[1], name)
    array = _pixels(array, name)
    if array.dtype != np.uint8:
        return array
    if array.shape[2] not in (1, 3, 4) or array.shape[2] == channels == 4:
        return _scaled(array, 255)
    return Image.fromarray(array[..., 0] if array.shape[2] == 1 else array)


def _scaled(array: npt.NDArray[Any], white: int) -> Floats:
    values: Floats = array.astype(np.float32) / np.float32(white)
    return values


def _height_width_channels(
    array: npt.NDArray[Any], channels: int, name: str, channels_first: bool
) -> npt.NDArray[Any]:
    """A view (H, W, C), by the rule in `load_image`."""
    shape = array.shape
    if array.ndim == 4 and shape[0] == 1:
        array = array[0]
    elif array.ndim == 4:
        raise ValueError(f"{name}: {_times(shape)} holds {shape[0]} images; give them one by one")
    if array.ndim == 2:
        return array[..., None]
    if array.ndim != 3:
        raise ValueError(f"{name}: an array of shape {_times(shape)} is not a picture; {_KINDS}")
    last, first = array.shape[2], array.shape[0]
    orders = [(first, (1, 2, 0)), (last, (0, 1, 2))]
    for plausible in ({channels}, {1, 3, 4}):
        for count, order in orders if channels_first else orders[::-1]:
            if count in plausible:
                turned: npt.NDArray[Any] = array.transpose(order)
                return turned
    raise ValueError(
        f"{name}: {_times(shape)} has neither first nor last a number of channels that fits the "
        f"network's {channels}; give (H, W, {channels}) or ({channels}, H, W)"
    )


def _pixels(array: npt.NDArray[Any], name: str) -> npt.NDArray[Any]:
    """uint8, or float32 in 0..1."""
    kind = array.dtype.kind
    if array.dtype == np.uint8:
        return np.array(array, order="C")
    if kind == "b":
        shades: npt.NDArray[Any] = np.where(array, np.uint8(255), np.uint8(0))
        return shades
    if kind == "u" and array.dtype.itemsize == 2:
        return _scaled(array, 65535)
    if kind not in "iuf":
        raise TypeError(
            f"{name}: an array of {array.dtype} holds no pixels; give uint8, or floats in 0..1"
        )
    if kind == "f" and not np.isfinite(array).all():
        raise ValueError(f"{name}: holds NaN or infinite values; replace them, np.nan_to_num does")
    low, high = float(array.min()), float(array.max())
    if kind in "iu":
        if low < 0 or high > 255:
            raise ValueError(
                f"{name}: integers from {low:g} to {high:g} are not 8-bit pixels; "
                "divide by the value of white and give floats in 0..1"
            )
        return array.astype(np.uint8)
    # A sharpening resize overshoots a little; a picture in 0..255 does so by far.
    if low < -0.02 or high > 1.02:
        raise ValueError(
            f"{name}: floats from {low:.3g} to {high:.3g} are outside 0..1; divide by 255 or by "
            "the value of white, and give a tensor for what is preprocessed already"
        )
    clipped: Floats = np.clip(array, 0, 1).astype(np.float32)
    return clipped


# -- channels -------------------------------------------------------------------------------------


def _match_channels(
    picture: Image.Image | Floats, channels: int, name: str
) -> Image.Image | Floats:
    if isinstance(picture, Image.Image):
        bands = len(picture.getbands())
        if channels in (1, 3):
            return _on_white(picture).convert("L" if channels == 1 else "RGB")
        if bands == channels:
            return _scaled(np.asarray(picture).reshape(picture.height, -1, bands), 255)
    else:
        bands = picture.shape[2]
        if bands == channels:
            return picture
        if bands == 4 and channels in (1, 3):
            alpha = picture[..., 3:]
            picture = picture[..., :3] * alpha + (1 - alpha)
        if picture.shape[2] == 1 and channels == 3:
            return np.repeat(picture, 3, axis=2)
        if picture.shape[2] == 3:
            if channels == 3:
                return picture
            if channels == 1:
                # Luminance of ITU-R 601, as in PIL's conversion to "L".
                return picture @ np.array([[0.299], [0.587], [0.114]], np.float32)
    raise ValueError(
        f"{name}: {bands} channel{'s' * (bands != 1)}, but the network takes {channels}; "
        f"give an array (H, W, {channels})"
    )


def _on_white(picture: Image.Image) -> Image.Image:
    if picture.mode not in ("LA", "RGBA"):
        return picture
    clear = picture.convert("RGBA")
    white = Image.new("RGBA", clear.size, "white")
    return Image.alpha_composite(white, clear).convert("L" if picture.mode == "LA" else "RGB")


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape)) or "()"
