"""Whatever people hand over as an image ends as the right picture, or in an error with a fix."""

from __future__ import annotations

import io
import resource
import struct
import time
import warnings
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFile

from nbcnnviz.backend import images
from nbcnnviz.backend.images import load_image, to_picture
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.preprocess import Preprocess

H, W = 5, 7


def values(image: Any, channels: int = 3) -> np.ndarray[Any, Any]:
    """(H, W, C) in 0..1 of what `load_image` makes."""
    picture = load_image(image, channels)
    if isinstance(picture, Image.Image):
        assert picture.mode == {1: "L", 3: "RGB"}[channels]
        array = np.asarray(picture, np.float64) / 255
        return array.reshape(picture.height, picture.width, channels)
    assert picture.dtype == np.float32 and picture.ndim == 3 and picture.shape[2] == channels
    return picture.astype(np.float64)


def sample(channels: int, seed: int = 0) -> np.ndarray[Any, Any]:
    """8-bit pixels (H, W, C)."""
    return np.random.default_rng(seed).integers(0, 256, (H, W, channels), np.uint8)


def expected(pixels: np.ndarray[Any, Any], channels: int) -> np.ndarray[Any, Any]:
    """The rule for channels in plain NumPy; pixels (H, W, C) in 0..1."""
    if pixels.shape[2] == 4 != channels:
        pixels = pixels[..., :3] * pixels[..., 3:] + 1 - pixels[..., 3:]
    if pixels.shape[2] == 1:
        return np.repeat(pixels, channels, axis=2)
    if channels == 1 and pixels.shape[2] == 3:
        return pixels @ np.array([[0.299], [0.587], [0.114]])
    return pixels


DTYPES = {
    "uint8": lambda p: p,
    "uint16": lambda p: p.astype(np.uint16) * 257,
    "big-endian uint16": lambda p: (p.astype(np.uint16) * 257).astype(">u2"),
    "int64": lambda p: p.astype(np.int64),
    "int32": lambda p: p.astype(np.int32),
    "float16": lambda p: (p / 255).astype(np.float16),
    "float32": lambda p: (p / 255).astype(np.float32),
    "float64": lambda p: p / 255,
    "bool": lambda p: p > 127,
}
LAYOUTS = {
    "HWC": lambda p: p,
    "CHW": lambda p: np.ascontiguousarray(p.transpose(2, 0, 1)),
    "NHWC": lambda p: p[None],
    "NCHW": lambda p: p.transpose(2, 0, 1)[None],
    "not contiguous": lambda p: np.repeat(p, 2, axis=1)[:, ::2],
    "negative strides": lambda p: p[::-1].copy()[::-1],
}


@pytest.mark.parametrize("takes", [1, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("dtype", DTYPES)
def test_array_dtypes(dtype: str, channels: int, takes: int) -> None:
    pixels = sample(channels)
    exact = (pixels > 127) * 1.0 if dtype == "bool" else pixels / 255
    got = values(DTYPES[dtype](pixels), takes)
    np.testing.assert_allclose(got, expected(exact, takes), atol=1.6 / 255)


@pytest.mark.parametrize("takes", [1, 3])
@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_array_layouts(layout: str, channels: int, takes: int) -> None:
    pixels = sample(channels)
    got = values(LAYOUTS[layout](pixels), takes)
    np.testing.assert_allclose(got, expected(pixels / 255, takes), atol=1.6 / 255)


@pytest.mark.parametrize("layout", ["HWC", "CHW", "NCHW"])
@pytest.mark.parametrize("channels", [2, 4, 5, 7, 12])
def test_many_channels_stay_as_they_are(channels: int, layout: str) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (20, 9, channels), np.uint8)
    np.testing.assert_allclose(values(LAYOUTS[layout](pixels), channels), pixels / 255, atol=1e-6)


@pytest.mark.parametrize("takes", [1, 3])
def test_two_dimensions_are_gray(takes: int) -> None:
    pixels = sample(1)[..., 0]
    np.testing.assert_allclose(values(pixels, takes), expected(pixels[..., None] / 255, takes))


@pytest.mark.parametrize(
    ("shape", "takes", "height_width"),
    [
        ((3, 3, 3), 3, (3, 3)),
        ((3, 8, 3), 3, (3, 8)),
        ((3, 50, 4), 3, (50, 4)),
        ((4, 50, 3), 3, (4, 50)),
        ((1, 8, 3), 3, (1, 8)),
        ((1, 8, 9), 1, (8, 9)),
        ((8, 1, 1), 1, (8, 1)),
        ((1, 1, 1), 3, (1, 1)),
        ((1, 1), 1, (1, 1)),
        ((1, 10000, 3), 3, (1, 10000)),
        ((5, 6, 5), 5, (5, 6)),
        ((5, 6, 7), 5, (6, 7)),
    ],
)
def test_doubtful_shapes(shape: tuple[int, ...], takes: int, height_width: tuple[int, int]) -> None:
    assert values(np.zeros(shape, np.uint8), takes).shape[:2] == height_width


def test_three_by_three_by_three_has_channels_last() -> None:
    pixels = np.arange(27, dtype=np.uint8).reshape(3, 3, 3)
    assert np.array_equal(np.asarray(load_image(pixels)), pixels)
    turned = np.asarray(load_image(torch.from_numpy(pixels)))
    assert np.array_equal(turned, pixels.transpose(1, 2, 0))


# -- PIL ------------------------------------------------------------------------------------------

COLOUR = Image.fromarray(sample(3))
PIL_MODES = ["1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV", "LAB"]


def _in_mode(mode: str) -> Image.Image:
    if mode == "LAB":
        from PIL import ImageCms

        ends = ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB")
        made = ImageCms.profileToProfile(COLOUR, *ends, outputMode="LAB")
        assert made is not None
        return made
    return COLOUR.convert(mode)


@pytest.mark.parametrize("takes", [1, 3])
@pytest.mark.parametrize("mode", PIL_MODES)
def test_pil_modes(mode: str, takes: int) -> None:
    image = _in_mode(mode)
    want = np.asarray(image.convert("L" if mode in ("1", "L") else "RGB"), np.float64) / 255
    got = values(image, takes)
    np.testing.assert_allclose(got, expected(want.reshape(H, W, -1), takes), atol=1.1 / 255)


@pytest.mark.parametrize("takes", [1, 3])
@pytest.mark.parametrize("mode", ["LA", "La", "RGBA", "RGBa", "PA", "P+transparency", "L+tRNS"])
def test_transparency_is_laid_on_white(mode: str, takes: int) -> None:
    pixels = np.full((H, W, 4), 80, np.uint8)
    pixels[..., 3] = 255
    pixels[0, :, 3] = 0
    image = Image.fromarray(pixels)
    if mode == "P+transparency":
        image = Image.new("P", (W, H), 1)
        image.putpalette([0, 0, 0, 80, 80, 80])
        image.paste(0, (0, 0, W, 1))
        image.info["transparency"] = 0
    elif mode == "L+tRNS":
        image = Image.new("L", (W, H), 80)
        image.paste(7, (0, 0, W, 1))
        image.info["transparency"] = 7
    elif mode == "PA":
        image = Image.new("PA", (W, H), (1, 255))
        image.putpalette([0, 0, 0, 80, 80, 80])
        image.paste((1, 0), (0, 0, W, 1))
    elif mode == "La":
        image = image.convert("LA").convert("La")
    else:
        image = image.convert(mode)
    got = values(image, takes)
    np.testing.assert_allclose(got[0], 1.0)
    np.testing.assert_allclose(got[1:], 80 / 255, atol=1.01 / 255)


@pytest.mark.parametrize("takes", [1, 3])
@pytest.mark.parametrize("mode", ["I;16", "I;16B", "F", "I"])
def test_pil_modes_above_8_bits(mode: str, takes: int) -> None:
    deep = np.linspace(0, 65535, H * W).astype(np.uint16).reshape(H, W)
    array: np.ndarray[Any, Any] = deep
    want = deep / 65535
    if mode == "I;16B":
        image = Image.frombytes("I;16B", (W, H), deep.astype(">u2").tobytes())
    else:
        if mode == "F":
            array = want.astype(np.float32)
        if mode == "I":
            array = (deep // 257).astype(np.int32)
            want = array / 255
        image = Image.fromarray(array)
    assert image.mode == mode
    np.testing.assert_allclose(values(image, takes), expected(want[..., None], takes), atol=1e-6)


def test_network_with_four_channels_gets_rgba_as_it_is() -> None:
    pixels = sample(4)
    np.testing.assert_allclose(values(Image.fromarray(pixels), 4), pixels / 255, atol=1e-6)


# -- files ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [str, Path])
@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
def test_files(tmp_path: Path, suffix: str, kind: Any) -> None:
    file = tmp_path / f"picture.{suffix}"
    Image.new("RGB", (W, H), (200, 100, 50)).save(file)
    want = np.broadcast_to(np.array([200, 100, 50]) / 255, (H, W, 3))
    np.testing.assert_allclose(values(kind(file)), want, atol=4 / 255)


def test_16_bit_png(tmp_path: Path) -> None:
    deep = np.linspace(0, 65535, H * W).astype(np.uint16).reshape(H, W)
    Image.fromarray(deep).save(tmp_path / "deep.png")
    np.testing.assert_allclose(values(tmp_path / "deep.png", 1)[..., 0], deep / 65535, atol=1e-6)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("given", ["path", "PIL"])
def test_orientation_noted_by_the_camera_is_applied(
    tmp_path: Path, orientation: int, given: str
) -> None:
    upright = sample(3)
    turned = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].transpose(1, 0, 2),
        8: np.rot90(upright, -1),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = tmp_path / "turned.png"
    Image.fromarray(np.ascontiguousarray(turned)).save(file, exif=exif)
    got = load_image(file if given == "path" else Image.open(file))
    assert np.array_equal(np.asarray(got), upright)


def test_orientation_of_the_users_object_is_left_alone(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(sample(3)).save(tmp_path / "a.png", exif=exif)
    image = Image.open(tmp_path / "a.png")
    load_image(image)
    assert image.size == (W, H) and image.getexif()[0x0112] == 6


def test_nonsense_in_exif_does_not_spoil_the_picture(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    Image.fromarray(sample(3)).save(file, exif=b"Exif\0\0what is this")
    assert np.array_equal(np.asarray(load_image(file)), sample(3))


def _png(width: int, height: int) -> bytes:
    """A black PNG, in next to no bytes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    packer = zlib.compressobj(1)
    packed = b"".join(packer.compress(bytes(width + 1)) for _ in range(height)) + packer.flush()
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", packed) + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize("side", [6_400, 10_000, 20_000])
def test_huge_files_are_refused_before_decoding(tmp_path: Path, side: int) -> None:
    file = tmp_path / "huge.png"
    file.write_bytes(_png(side, side))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    start = time.perf_counter()
    with warnings.catch_warnings(record=True) as heard, pytest.raises(ValueError, match="40 mill"):
        load_image(file)
    assert time.perf_counter() - start < 1
    assert not heard
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 30_000


def test_huge_arrays_and_tensors_are_refused() -> None:
    for huge in (
        np.broadcast_to(np.uint8(0), (20_000, 20_000)),
        torch.zeros(1, dtype=torch.uint8).expand(3, 20_000, 20_000),
    ):
        with pytest.raises(ValueError, match="20000 x 20000 is more than 40 million pixels"):
            load_image(huge)
    with pytest.raises(ValueError, match="40 million"):
        Network(torch.nn.Conv2d(3, 1, 1)).prepare(torch.zeros(1).expand(3, 20_000, 20_000))


def test_pillows_own_limit_is_obeyed_and_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    Image.new("L", (6, 5)).save(tmp_path / "a.png")
    # Outside this test run nobody turns warnings into errors.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        filters = list(warnings.filters)
        with pytest.raises(ValueError, match="more than Pillow allows"):
            load_image(tmp_path / "a.png")
        assert Image.MAX_IMAGE_PIXELS == 20 and warnings.filters == filters
    assert ImageFile.LOAD_TRUNCATED_IMAGES is False


# -- tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool])
def test_integer_tensors_are_pictures(dtype: torch.dtype) -> None:
    pixels = torch.from_numpy(sample(3)).permute(2, 0, 1)
    tensor = pixels > 127 if dtype == torch.bool else pixels.to(dtype)
    want = sample(3) > 127 if dtype == torch.bool else sample(3) / 255
    for given in (tensor, tensor[None], tensor.contiguous()):
        np.testing.assert_allclose(values(given), want, atol=1e-9)


# -- errors ---------------------------------------------------------------------------------------

ERRORS: dict[str, tuple[Any, type[Exception], str]] = {
    "missing file": ("no/such.png", ValueError, r"^image='no/such.png': there is no such file"),
    "folder": (".", ValueError, r"^image='\.' is a folder; give the path of one picture"),
    "empty path": ("", ValueError, "no such file"),
    "URL": ("https://example.org/cat.png", ValueError, "URL.*download the file"),
    "upper-case URL": ("HTTP://example.org/cat.png", ValueError, "URL"),
    "data URL": ("data:image/png;base64,AAAA", ValueError, "URL"),
    "file URL": ("file:///cat.png", ValueError, "URL"),
    "none": (None, TypeError, "^image: cannot make a picture of a NoneType; give a path"),
    "list": ([[1, 2], [3, 4]], TypeError, "list; give a path"),
    "bytes": (b"abc", TypeError, "bytes"),
    "number": (7, TypeError, "int; give"),
    "float tensor": (torch.zeros(3, 4, 4), TypeError, "preprocessed already"),
    "complex tensor": (torch.zeros(3, 4, 4, dtype=torch.complex64), TypeError, "complex64"),
    "1-D": (np.zeros(9, np.uint8), ValueError, "shape 9 is not a picture"),
    "0-D": (np.uint8(9), ValueError, r"shape \(\) is not a picture"),
    "5-D": (np.zeros((1, 1, 3, 4, 4), np.uint8), ValueError, "1 x 1 x 3 x 4 x 4"),
    "batch": (np.zeros((2, 3, 4, 4), np.uint8), ValueError, "holds 2 images; give them one by"),
    "no such layout": (np.zeros((8, 9, 7), np.uint8), ValueError, "8 x 9 x 7 has neither"),
    "empty": (np.zeros((0, 5, 3), np.uint8), ValueError, "0 x 5 has no pixels"),
    "empty gray": (np.zeros((0, 0)), ValueError, "0 x 0 has no pixels"),
    "empty PIL": (Image.new("RGB", (0, 3)), ValueError, "3 x 0 has no pixels"),
    "NaN": (np.full((4, 4), np.nan), ValueError, "NaN or infinite values; replace them"),
    "infinite": (np.full((4, 4, 3), np.inf, np.float32), ValueError, "NaN or infinite"),
    "floats to 255": (np.full((4, 4, 3), 255.0), ValueError, "from 255 to 255.*divide by 255"),
    "negative floats": (np.full((4, 4), -1.0), ValueError, "outside 0..1"),
    "long integers": (np.full((4, 4), 1000), ValueError, "from 1000 to 1000 are not 8-bit"),
    "negative integers": (np.full((4, 4), -1, np.int8), ValueError, "not 8-bit"),
    "complex": (np.zeros((4, 4), complex), TypeError, "complex128 holds no pixels"),
    "objects": (np.full((4, 4), None), TypeError, "object holds no pixels"),
    "text": (np.full((4, 4), "a"), TypeError, "holds no pixels"),
    "PIL F to 255": (Image.new("F", (4, 4), 200.0), ValueError, "'F'.*divide by 255"),
    "PIL I above 255": (Image.new("I", (4, 4), 4000), ValueError, "'I'.*divide by the value"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_name_the_argument_and_the_fix(case: str) -> None:
    given, kind, message = ERRORS[case]
    with pytest.raises(kind, match=message) as caught:
        load_image(given)
    assert str(caught.value).startswith("image")
    with pytest.raises(kind, match=r"^photo"):
        load_image(given, name="photo")


@pytest.mark.parametrize(
    ("image", "takes", "message"),
    [
        (COLOUR, 4, "3 channels, but the network takes 4"),
        (COLOUR.convert("L"), 2, r"1 channel, but the network takes 2; give an array \(H, W, 2\)"),
        (COLOUR, 12, "3 channels, but the network takes 12"),
        (sample(1)[..., 0], 5, "1 channel, but the network takes 5"),
        (sample(3) / 255, 8, "3 channels, but the network takes 8"),
    ],
)
def test_channels_that_do_not_match(image: Any, takes: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_image(image, takes)


@pytest.mark.parametrize("suffix", ["gif", "tiff", "ico", "ppm"])
def test_other_formats_are_not_opened(tmp_path: Path, suffix: str) -> None:
    file = tmp_path / f"a.{suffix}"
    Image.new("RGB", (32, 32)).save(file)
    with pytest.raises(ValueError, match=r"PNG, JPEG, WEBP, BMP.*give the PIL image"):
        load_image(file)
    file.rename(tmp_path / "a.png")
    with pytest.raises(ValueError, match="is not a picture that can be read"):
        load_image(tmp_path / "a.png")


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp"])
@pytest.mark.parametrize("share", [0.0, 0.02, 0.6])
def test_damaged_files(tmp_path: Path, suffix: str, share: float) -> None:
    buffer = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8)
    Image.fromarray(noise).save(buffer, {"jpg": "jpeg"}.get(suffix, suffix))
    whole = buffer.getvalue()
    file = tmp_path / f"damaged.{suffix}"
    file.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(ValueError, match=r"^image.*(damaged|not a picture)"):
        load_image(file)


def test_a_closed_pil_file_is_named(tmp_path: Path) -> None:
    Image.new("RGB", (64, 64)).save(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        pass
    with pytest.raises(ValueError, match=r"^image: "):
        load_image(image)


# -- back to a picture ----------------------------------------------------------------------------


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 7])
def test_pictures_to_look_at(channels: int) -> None:
    maps = torch.rand(channels, H, W, generator=torch.Generator().manual_seed(0))
    got = to_picture(maps)
    want = maps[:3] if channels in (3, 4) else maps.mean(0, keepdim=True).expand(3, -1, -1)
    assert got.shape == (H, W, 3) and got.dtype == np.uint8
    np.testing.assert_allclose(got / 255, want.permute(1, 2, 0).numpy(), atol=0.51 / 255)


def test_pictures_of_anything_are_finite() -> None:
    wild = torch.tensor([float("nan"), float("inf"), -float("inf"), 2, -1, 0.5])
    assert to_picture(wild.view(1, 1, 6))[0, :, 0].tolist() == [0, 255, 0, 255, 0, 128]


@pytest.mark.parametrize("shape", [(1, 1), (1, 10_000), (10_000, 1), (2, 39_000)])
@pytest.mark.parametrize("crop", ["center", "squash"])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_extreme_proportions(shape: tuple[int, int], crop: str, dtype: Any) -> None:
    tensor = Preprocess(size=(32, 48), crop=crop, mean=(0,) * 3, std=(1,) * 3)(
        np.full((*shape, 3), 1, dtype)
    )
    assert tensor.shape == (1, 3, 32, 48)
    torch.testing.assert_close(
        tensor, torch.full_like(tensor, 1.0 if dtype != np.uint8 else 1 / 255)
    )


def test_only_the_kept_part_of_a_long_picture_is_scaled(monkeypatch: pytest.MonkeyPatch) -> None:
    from nbcnnviz.backend import preprocess

    rows = np.random.default_rng(0).random((8, 300, 3)).astype(np.float32)
    prepare = Preprocess(size=(32, 32), resize=40)
    whole = prepare(rows)
    monkeypatch.setattr(preprocess, "_WHOLE_PIXELS", 0)
    part = prepare(rows)
    torch.testing.assert_close(part, whole, atol=2e-3, rtol=0)


def test_the_users_array_is_not_written_to() -> None:
    array = sample(3) / np.float32(255)
    before = array.copy()
    Preprocess(size=(H, W), mean=(0.5,) * 3, std=(0.5,) * 3)(array)
    assert np.array_equal(array, before)
    frozen = sample(3)
    frozen.setflags(write=False)
    assert Preprocess(size=(H, W))(frozen).shape == (1, 3, H, W)


def test_limits_are_what_the_documentation_says() -> None:
    assert images.MAX_PIXELS == 40_000_000
    assert images.FORMATS == ("PNG", "JPEG", "WEBP", "BMP")
