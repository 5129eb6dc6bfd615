"""Receptive fields against an oracle that disturbs the image and looks which outputs move."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import timm
import torch
import torchvision
from models import CHAINS, MODELS, RESAMPLED, Steps, make
from torch import Tensor, nn

from nbcnnviz.backend._random import Quiet
from nbcnnviz.backend._shadow import shadow
from nbcnnviz.backend._tracer import Found, Tracer
from nbcnnviz.backend._walk import named_modules
from nbcnnviz.backend.layers import Layer, make_layers
from nbcnnviz.backend.receptive_field import Axis

Watch = Callable[[Found, Tensor], Any]


def traced(model: nn.Module, image: Tensor, watch: Watch) -> tuple[list[Layer], dict[str, Any]]:
    """The layers, and for each what `watch` makes of its output."""
    seen: dict[str, Any] = {}

    def keep(found: Found, output: Tensor) -> None:
        seen[found.name] = watch(found, output)

    with torch.no_grad(), Tracer(shadow(model), image, keep) as tracer:
        tracer.root(image)
    return [layer for layer, noop in make_layers(tracer.found) if not noop], seen


def layers_of(model: nn.Module, image: Tensor) -> list[Layer]:
    """The layers alone."""
    return traced(model, image, lambda found, output: None)[0]


def disturbed(size: tuple[int, int], channels: int, change: Callable[[Tensor], None]) -> Tensor:
    """One image for each row and then each column, changed there; float64."""
    height, width = size
    generator = torch.Generator().manual_seed(3)
    one = torch.randn(1, channels, height, width, generator=generator, dtype=torch.float64)
    batch = one.repeat(height + width, 1, 1, 1)
    for i in range(height):
        change(batch[i, :, i])
    for i in range(width):
        change(batch[height + i, :, :, i])
    return batch


def seen(moved: Tensor, size: tuple[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """From which outputs moved, (rows + columns, H, W), the intervals (H, 2) and (W, 2)."""
    # (image rows, H) and (image columns, W): does anything in that row of the output move
    rows = moved[: size[0]].any(2).numpy()
    columns = moved[size[0] :].any(1).numpy()
    return hull(rows), hull(columns)


def hull(depends: np.ndarray) -> np.ndarray:
    """First and last + 1 image row that each output row depends on; (0, 0) for none."""
    pairs = []
    for column in depends.T:
        places = np.flatnonzero(column)
        pairs.append((places[0], places[-1] + 1) if len(places) else (0, 0))
    return np.array(pairs)


def check(model: nn.Module, size: tuple[int, int], nan: bool = True, channels: int = 3) -> int:
    """Compare every layer with maps; the number of layers compared."""
    model = copy.deepcopy(model)
    for _, module in named_modules(model):  # also those that `model.double()` does not find
        module.double()
    if nan:
        batch = disturbed(size, channels, lambda line: line.fill_(torch.nan))
    else:
        batch = disturbed(size, channels, lambda line: line.mul_(-3).add_(1))
    plain = disturbed(size, channels, lambda line: None)[:1]
    layers, before = traced(model, plain, lambda found, output: output.clone())

    def moved(found: Found, output: Tensor) -> Tensor:
        # Reduced at once to (N, H, W): activations are large.
        other = output.isnan() if nan else (output - before[found.name]).abs() > 1e-9
        if output.dim() != 4:
            return other
        return other.any(3 if layout[found.name] else 1)

    layout = {layer.name: layer.channels_last for layer in layers}
    layout.update({name: False for name in before if name not in layout})
    parts = [traced(model, part, moved)[1] for part in batch.split(32)]
    compared = 0
    for layer in layers:
        if not layer.spatial:
            continue
        field = layer.field
        assert field is not None and field.exact, layer.name
        rows, columns = seen(torch.cat([part[layer.name] for part in parts]), size)
        np.testing.assert_array_equal(field.rows, rows, f"rows of {layer.name}")
        np.testing.assert_array_equal(field.columns, columns, f"columns of {layer.name}")
        check_affine(layer, size)
        compared += 1
    return compared


def check_affine(layer: Layer, size: tuple[int, int]) -> None:
    """Where there is a textbook form, clipping it gives the exact one at least as an outer hull."""
    field = layer.field
    if field.stride is None:
        return
    for axis, pairs in ((0, field.rows), (1, field.columns)):
        start = field.offset[axis] + field.stride[axis] * np.arange(len(pairs))
        stop = start + field.size[axis]
        some = pairs[:, 1] > pairs[:, 0]
        assert (np.clip(start, 0, size[axis])[some] <= pairs[some, 0]).all(), layer.name
        assert (np.clip(stop, 0, size[axis])[some] >= pairs[some, 1]).all(), layer.name


EXACT = sorted(set(MODELS) - {"attention"})


@pytest.mark.parametrize("name", EXACT)
def test_small_models_equal_the_oracle(name: str) -> None:
    assert check(make(name), (24, 20)) >= 2


@pytest.mark.parametrize("name", list(CHAINS))
def test_functions_equal_the_oracle(name: str) -> None:
    assert check(Steps(*CHAINS[name]), (20, 23)) >= 1


@pytest.mark.parametrize("name", list(RESAMPLED))
def test_resampling_equals_a_finite_disturbance(name: str) -> None:
    # NaN would also pass through taps whose weight is zero.
    assert check(Steps(*RESAMPLED[name]), (13, 16), nan=False) >= 1


def test_attention_sees_everything_and_says_that_this_is_a_bound() -> None:
    layers = layers_of(make("attention"), torch.randn(1, 3, 16, 16))
    added = next(layer for layer in layers if layer.name == "/add#1")
    assert added.field.exact is False
    assert added.field.rows.tolist() == [[0, 15]] * 4
    assert added.field.columns.tolist() == [[0, 15]] * 4


def test_an_unknown_function_gives_an_upper_bound() -> None:
    model = Steps(*CHAINS["slices"][:1], lambda x: torch.cummax(x, 2)[0], *CHAINS["slices"][2:3])
    layers = layers_of(model, torch.randn(1, 3, 8, 8))
    assert [layer.field.exact for layer in layers] == [True, False, False]
    assert layers[-1].field.rows.tolist() == [[0, 8]] * 6


def dense() -> nn.Module:
    """DenseNet with its four blocks, but narrow: float64 is slow."""
    return torchvision.models.DenseNet(8, (3, 4, 3, 2), 16)


def inception() -> nn.Module:
    return torchvision.models.googlenet(weights=None, aux_logits=False, init_weights=False)


ARCHITECTURES: dict[str, Callable[[], nn.Module]] = {
    "resnet18": torchvision.models.resnet18,
    "googlenet": inception,
    "densenet": dense,
    "mobilenet_v2": lambda: torchvision.models.mobilenet_v2(width_mult=0.25),
    "mobilenet_v3_small": torchvision.models.mobilenet_v3_small,
    "shufflenet_v2_x0_5": torchvision.models.shufflenet_v2_x0_5,
    "squeezenet1_1": torchvision.models.squeezenet1_1,
}


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_architectures_equal_the_oracle(name: str) -> None:
    assert check(ARCHITECTURES[name](), (48, 35)) > 50


def test_convnext_equals_the_oracle() -> None:
    model = torchvision.models.convnext.ConvNeXt(
        [
            torchvision.models.convnext.CNBlockConfig(8, 16, 2),
            torchvision.models.convnext.CNBlockConfig(16, None, 1),
        ],
        stochastic_depth_prob=0.1,
        layer_scale=0.5,
    )
    assert check(model, (64, 48)) > 15


SIDES = {"tf_efficientnet_lite0": (24, 17), "convnext_atto": (35, 32), "regnety_002": (24, 17)}


@pytest.mark.parametrize("name", list(SIDES))
def test_timm_models_equal_the_oracle(name: str) -> None:
    # Small, since float64 is slow; the last layers see all of so small an image anyway.
    model = timm.create_model(name, pretrained=False)
    assert check(model, SIDES[name]) > 50


def test_resnet_has_the_textbook_sizes() -> None:
    layers = layers_of(torchvision.models.resnet18(weights=None), torch.zeros(1, 3, 224, 224))
    fields = {layer.name: layer.field for layer in layers}
    sizes = {name: fields[name].size[0] for name in ("conv1", "maxpool", "layer1", "layer4")}
    assert sizes == {"conv1": 7, "maxpool": 11, "layer1": 43, "layer4": 435}
    assert fields["layer4"].stride == (32, 32)
    assert fields["layer4"].offset == (-217, -217)
    assert fields["layer4"].box(3, 0) == (0, 0, 224, 218)


def test_a_box_outside_the_maps_is_refused() -> None:
    layers = layers_of(make("skip"), torch.zeros(1, 3, 16, 16))
    with pytest.raises(ValueError, match=r"there is no cell \(8, 0\); y goes from 0 to 7"):
        layers[0].field.box(8, 0)


def test_it_is_shown_in_a_line() -> None:
    layers = layers_of(torchvision.models.resnet18(weights=None), torch.zeros(1, 3, 64, 64))
    shown = {layer.name: repr(layer.field) for layer in layers}
    assert shown["maxpool"] == "ReceptiveField(sees 11 x 11, stride (4, 4), offset (-5, -5))"
    assert shown["fc"] == "None" and len(repr(layers[0])) < 250
    added = next(
        one
        for one in layers_of(make("attention"), torch.zeros(1, 3, 16, 16))
        if one.kind == "merge"
    )
    assert repr(added.field).startswith("ReceptiveField(sees at most ")


def test_what_reads_nothing_but_padding_sees_nothing() -> None:
    axis = Axis.identity(4).window(10, 1, 1, 3)
    assert axis.intervals.tolist()[:4] == [[0, 0]] * 3 + [[0, 1]]
    assert Axis.whole(4).merge(axis.pick(np.array([0]))).intervals.tolist() == [[0, 4]]


def test_random_functions_do_not_stop_the_oracle() -> None:
    model = Steps(lambda x: torch.nn.functional.dropout(x, 0.5), *CHAINS["slices"][:1])
    with Quiet():
        layers = layers_of(model, torch.randn(1, 3, 8, 8))
    assert all(layer.field.exact for layer in layers)
