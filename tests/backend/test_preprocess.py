"""Preprocessing equals that of torchvision and timm to the bit, and can be undone."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
import timm
import timm.data
import torch
import torchvision.models as tv
from nets import photo, tiny
from PIL import Image
from torch import Tensor
from torchvision import transforms as T

from nbcnnviz.backend.custom_preprocess import CustomPreprocess, read_preprocess
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.preprocess import Preprocess

# -- preprocessing: bit for bit what torchvision and timm compute ----------------------------------

SIZES = [(300, 451), (451, 300), (256, 256), (224, 224), (40, 61), (1000, 333), (97, 224)]
PRESETS = {
    "resnet18": tv.ResNet18_Weights.IMAGENET1K_V1,
    "resnet50 V2 (232)": tv.ResNet50_Weights.IMAGENET1K_V2,
    "efficientnet_b1 (bicubic)": tv.EfficientNet_B1_Weights.IMAGENET1K_V1,
    "efficientnet_v2_l (480, mean 0.5)": tv.EfficientNet_V2_L_Weights.IMAGENET1K_V1,
    "inception_v3 (299 of 342)": tv.Inception_V3_Weights.IMAGENET1K_V1,
    "convnext_tiny (224 of 236)": tv.ConvNeXt_Tiny_Weights.IMAGENET1K_V1,
    "vit_h_14 (518)": tv.ViT_H_14_Weights.IMAGENET1K_SWAG_E2E_V1,
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("name", PRESETS)
def test_torchvision_presets_to_the_bit(name: str, size: tuple[int, int]) -> None:
    preset = PRESETS[name].transforms()
    ours, notes = read_preprocess(preset, 3)
    assert isinstance(ours, Preprocess) and notes == ()
    image = photo(*size)
    assert torch.equal(ours(image)[0], preset(image))
    assert torch.equal(ours(np.asarray(image))[0], preset(image))


def test_the_preset_may_come_uncalled() -> None:
    weights = tv.ResNet18_Weights.IMAGENET1K_V1
    assert read_preprocess(weights.transforms, 3) == read_preprocess(weights.transforms(), 3)


TIMM: dict[str, dict[str, Any]] = {
    "centre": {"input_size": (3, 224, 224), "crop_pct": 0.875, "interpolation": "bicubic"},
    "bilinear 0.95": {"input_size": (3, 288, 288), "crop_pct": 0.95, "interpolation": "bilinear"},
    "squash": {"input_size": (3, 224, 224), "crop_pct": 0.9, "crop_mode": "squash"},
    "squash all": {"input_size": (3, 192, 256), "crop_pct": 1.0, "crop_mode": "squash"},
    "border": {"input_size": (3, 224, 224), "crop_pct": 0.9, "crop_mode": "border"},
    "oblong": {"input_size": (3, 160, 224), "crop_pct": 0.9},
    "lanczos": {"input_size": (3, 64, 64), "crop_pct": 1.0, "interpolation": "lanczos"},
}


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("case", TIMM)
def test_timm_transforms_to_the_bit(case: str, size: tuple[int, int]) -> None:
    options = {"mean": (0.5, 0.4, 0.3), "std": (0.2, 0.3, 0.4)} | TIMM[case]
    chain = timm.data.create_transform(**options)
    ours, notes = read_preprocess(chain, 3)
    assert notes == () and ours.size == TIMM[case]["input_size"][1:]
    assert isinstance(ours, CustomPreprocess) == (case in ("border", "oblong"))
    assert torch.equal(ours(photo(*size))[0], chain(photo(*size)))


CHAINS = {
    "squashed": T.Compose([T.Resize((20, 30)), T.ToTensor(), T.Normalize([0.5] * 3, [0.5] * 3)]),
    "not resized": T.Compose([T.CenterCrop(32), T.ToTensor(), T.Normalize([0.1] * 3, [0.3] * 3)]),
    "only shorter edge": T.Compose([T.Resize(32), T.ToTensor(), T.Normalize([0.1] * 3, [0.3] * 3)]),
}


@pytest.mark.parametrize("case", ["squashed", "not resized", "only shorter edge"])
def test_other_chains_to_the_bit(case: str) -> None:
    ours, notes = read_preprocess(CHAINS[case], 3)
    assert notes == ()
    assert torch.equal(ours(photo(50, 70))[0], CHAINS[case](photo(50, 70)))


SETTINGS = {
    "cover": Preprocess(size=(40, 50)),
    "margin": Preprocess(size=(40, 50), resize=60),
    "padded": Preprocess(size=(60, 60), resize=40),
    "squash": Preprocess(size=(40, 50), crop="squash"),
    "squash and cut": Preprocess(size=(40, 50), crop="squash", resize=(50, 60)),
    "gray": Preprocess(size=(40, 50), channels=1),
    "gray normalised": Preprocess(size=(40, 50), channels=1, mean=(0.4,), std=(0.2,)),
    "no filter": Preprocess(size=(40, 50), antialias=False, interpolation="bicubic"),
    "nearest": Preprocess(size=(40, 50), interpolation="nearest"),
    "nearest, no filter": Preprocess(size=(40, 50), interpolation="nearest", antialias=False),
    "wide": Preprocess(size=(40, 50), mean=(0.5,) * 3, std=(5.0,) * 3),
}


@pytest.mark.parametrize("case", SETTINGS)
def test_floats_are_treated_as_bytes_are(case: str) -> None:
    prepare, image = SETTINGS[case], photo(64, 81)
    pixels = np.asarray(image.convert("L") if prepare.channels == 1 else image)
    by_bytes, by_floats = prepare(image), prepare(pixels / np.float32(255))
    assert by_floats.shape == by_bytes.shape == (1, prepare.channels, *prepare.size)
    assert by_floats.dtype == torch.float32
    rounding = 1.01 / 255 / min(prepare.std)
    torch.testing.assert_close(by_floats, by_bytes, atol=rounding, rtol=0)


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "lanczos", "box", "hamming"])
@pytest.mark.parametrize("shape", [(40, 61), (30, 30), (200, 301), (6, 9), (3, 60_000)])
def test_floats_do_not_go_beyond_black_and_white_where_bytes_do_not(
    interpolation: str, shape: tuple[int, int]
) -> None:
    prepare = Preprocess((30, 45), mean=(0,) * 3, std=(1,) * 3, interpolation=interpolation)
    random = np.random.default_rng(0)
    # Blocks of black and white, whose edges a sharpening filter exaggerates, both ways.
    blocks = random.integers(0, 2, (shape[0] // 3 + 1, shape[1] // 3 + 1, 3))
    pixels = blocks.repeat(3, 0).repeat(3, 1)[: shape[0], : shape[1]].astype(np.uint8) * 255
    by_bytes, by_floats = prepare(pixels), prepare(pixels / 255.0)
    assert by_floats.min() >= 0 and by_floats.max() <= 1
    # Bytes are rounded twice, and the second pass may make more of the first rounding.
    torch.testing.assert_close(by_floats, by_bytes, atol=1.5 / 255, rtol=0)


@pytest.mark.parametrize("case", [*SETTINGS, *PRESETS])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16])
def test_undo_gives_back_the_picture(case: str, dtype: torch.dtype) -> None:
    given = SETTINGS.get(case) or read_preprocess(PRESETS[case].transforms(), 3)[0]
    assert isinstance(given, Preprocess)
    zeros, ones = (0.0,) * given.channels, (1.0,) * given.channels
    bare = dataclasses.replace(given, mean=zeros, std=ones)
    image = photo(300, 451)
    seen = bare(image)[0].clamp(0, 1).expand(3, -1, -1).permute(1, 2, 0).numpy()
    tensor = given(image).to(dtype)
    for form in (tensor, tensor[0]):
        picture = given.undo(form)
        assert picture.shape == (*given.size, 3) and picture.dtype == np.uint8
        # Half precision has 11 bits, so that rounding may cross one more level.
        limit = (1.01 if dtype == torch.float16 else 0.51) / 255
        np.testing.assert_allclose(picture / 255, seen, atol=limit)


OWN: dict[str, tuple[Any, bool]] = {
    "chain with Normalize": (CHAINS["not resized"], True),
    "Normalize with one value": (T.Compose([T.ToTensor(), T.Normalize([0.5], [0.2])]), True),
    "function": (lambda image: T.functional.pil_to_tensor(image) / 127.5 - 1, False),
}


@pytest.mark.parametrize("case", OWN)
def test_pictures_of_a_users_own_preprocessing(case: str) -> None:
    function, known = OWN[case]
    net = Network(tiny(), function)
    assert any("undo the given preprocessing" in each for each in net.assumptions) != known
    image = Image.fromarray(np.linspace(0, 255, 32 * 32 * 3).astype(np.uint8).reshape(32, 32, 3))
    assert np.abs(net.picture(net.prepare(image)).astype(int) - np.asarray(image)).max() <= 1


def test_a_preprocessing_is_called_with_what_the_network_takes() -> None:
    seen: list[Any] = []

    def function(image: Any) -> Tensor:
        seen.append(image)
        size = getattr(image, "size", 0)
        return (
            torch.zeros(7, 4, 4)
            if isinstance(size, int)
            else torch.zeros(len(image.getbands()), 4, 4)
        )

    Network(tiny(1), function).prepare(photo(9, 9))
    Network(tiny(3), function).prepare(photo(9, 9).convert("L"))
    Network(tiny(7), function).prepare(np.zeros((9, 9, 7), np.uint8))
    assert [each.mode for each in seen[:4]] == ["L", "L", "RGB", "RGB"]
    assert [each.shape for each in seen[4:]] == [(256, 256, 7), (9, 9, 7)]


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("resnet", TypeError, "preprocess: a str cannot be called; give"),
        (lambda image: image, TypeError, "<lambda> returns a Image; it must return a tensor"),
        (lambda image: torch.zeros(3, 4, 4, dtype=torch.uint8), TypeError, "torch.uint8"),
        (lambda image: torch.zeros(4, 4), ValueError, r"<lambda>: shape \(4, 4\)"),
        (lambda image: torch.zeros(2, 3, 4, 4), ValueError, r"\(2, 3, 4, 4\)"),
        (lambda image: 1 / 0, ValueError, "fails on a gray picture.*division by zero"),
        (T.Normalize(0.5, 0.5), ValueError, "Normalize fails on a gray picture"),
    ],
)
def test_preprocessing_that_cannot_be_used(given: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        Network(tiny(), given)
    assert str(caught.value).startswith("preprocess")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 224}, r"^size=224: give a height and a width in pixels"),
        ({"size": (0, 5)}, r"^size=\(0, 5\)"),
        ({"size": (5.0, 5)}, r"^size=\(5.0, 5\)"),
        ({"size": (10_000, 10_000)}, "^size: 10000 x 10000 is more than 40 million"),
        ({"mean": (0.5,)}, r"^mean=\(0.5,\): 1 values for 3 channels"),
        ({"mean": (0.5, float("nan"), 0)}, "^mean=.*must be finite"),
        ({"std": (1, 0, 1)}, r"^std=\(1.0, 0.0, 1.0\): every value must be above 0"),
        ({"channels": 0}, "^channels=0: give a whole number"),
        ({"channels": True}, "^channels=True"),
        ({"resize": 0}, "^resize=0: give the length"),
        ({"resize": (5, 5)}, 'crop="squash" for a height and a width'),
        ({"crop": "squash", "resize": (5, 0)}, "^resize="),
        ({"crop": "middle"}, r"^crop='middle': choose one of \['center', 'squash'\]"),
        ({"interpolation": "cubic"}, "^interpolation='cubic': choose one of"),
        ({"interpolation": "lanczos", "antialias": False}, "no lanczos without it"),
    ],
)
def test_preprocess_refuses(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Preprocess(**options)
    with pytest.raises(TypeError, match=r"mean=0.5: give one value per channel, as in \(0.5,\)"):
        Preprocess(mean=0.5)  # type: ignore[arg-type]


def test_preprocess_shows_what_it_does() -> None:
    made = Preprocess((32, 32), channels=1, resize=40)
    assert repr(made) == (
        "Preprocess(size=(32, 32), mean=(0.0,), std=(1.0,), channels=1, resize=40)"
    )
    assert eval(repr(made)) == made
    assert hash(made) == hash(eval(repr(made)))
