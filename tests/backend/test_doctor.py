"""The doctor's figures against plain NumPy over all activations."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from models import CONV, MODELS, Perceptron, Steps, conv, make
from torch import Tensor, nn
from torch.nn import functional as F

from nbcnnviz.backend import layer_stats
from nbcnnviz.backend.doctor import dead_layers, examine
from nbcnnviz.backend.layers import trace
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.recorder import Recorder

X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def outputs(net: Network, image: Tensor) -> dict[str, np.ndarray]:
    """Every layer's output as (C, rest), float64."""
    layers = trace(net, image)
    with net.evaluating() as body, Recorder(body, layers, stop_early=False) as recorder:
        recorder.run(image)
    return {one.name: by_channel(recorder[one.name]) for one in layers}


def by_channel(output: Tensor) -> np.ndarray:
    return output[0].double().reshape(output.shape[1], -1).numpy()


def check(net: Network, images: list[Tensor]) -> None:
    stats = layer_stats(net, images)
    all_outputs = [outputs(net, image) for image in images]
    assert list(stats) == list(all_outputs[0])
    for name, one in stats.items():
        values = np.concatenate([each[name] for each in all_outputs], axis=1)
        np.testing.assert_allclose(one.mean, values.mean(), rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(one.std, values.std(), rtol=1e-3, atol=1e-7)
        assert (one.minimum, one.maximum) == (values.min(), values.max())
        assert one.dead == pytest.approx(100 * (values == 0).all(1).mean())
        assert one.nan == one.inf == 0


@pytest.mark.parametrize("name", list(MODELS))
def test_figures_equal_numpy(name: str) -> None:
    check(Network(make(name)), [X, X * 2 - 1])


def test_figures_of_resnet_equal_numpy() -> None:
    check(Network(torchvision.models.resnet18(weights=None)), [torch.randn(1, 3, 64, 64)])


def test_a_large_mean_does_not_cancel_the_spread() -> None:
    stats = layer_stats(Network(Steps(conv(), lambda x: x * 1e-3 + 1000)), X)
    values = F.conv2d(X, CONV)[0] * 1e-3 + 1000
    assert stats["/add#1"].std == pytest.approx(float(values.double().std(correction=0)), rel=0.05)


def test_dead_means_dead_on_every_image() -> None:
    class Picky(nn.Module):
        """Channel 0 never answers, 1 only to bright images, 2 only to dark ones."""

        def forward(self, x: Tensor) -> Tensor:
            mean = x.mean()
            return F.relu(
                torch.cat([x[:, :1] * 0 - 1, x[:, :1] * 0 + mean, x[:, :1] * 0 - mean], 1)
            )

    net, bright = Network(Picky()), torch.ones(1, 3, 8, 8)
    third = pytest.approx(100 / 3)
    assert layer_stats(net, bright)["/relu#1"].dead == pytest.approx(200 / 3)
    assert layer_stats(net, [bright, -bright])["/relu#1"].dead == third
    assert dead_layers(layer_stats(net, [bright, -bright]), 30)[-1] == "/relu#1"


FLAT: dict[str, tuple[Any, Any]] = {
    "relu6": (nn.ReLU6(), lambda y: y == 6),
    "relu6 function": (F.relu6, lambda y: y == 6),
    "clamp": (lambda x: x.clamp(0, 6), lambda y: y == 6),
    "hardtanh": (nn.Hardtanh(-2, 2), lambda y: abs(y) == 2),
    "hardsigmoid": (nn.Hardsigmoid(), lambda y: (y == 0) | (y == 1)),
    "sigmoid": (torch.sigmoid, lambda y: (y <= 0.01) | (y >= 0.99)),
    "tanh": (nn.Tanh(), lambda y: abs(y) >= 0.99),
}


@pytest.mark.parametrize("name", list(FLAT))
def test_saturation_is_counted_where_an_activation_is_flat(name: str) -> None:
    act, flat = FLAT[name]
    model = Steps(conv(), act, conv())
    image = 4 * X
    stats = layer_stats(Network(model), image)
    expected = 100 * flat(act(conv()(image))).float().mean()
    (bounded,) = [n for n, one in stats.items() if one.saturated is not None]
    assert 5 < float(expected) < 95
    assert stats[bounded].saturated == pytest.approx(float(expected), abs=1e-3)


def test_nan_and_infinity_are_counted_and_left_out_of_the_figures() -> None:
    def spoil(x: Tensor) -> Tensor:
        return torch.cat([x[:, :1] / 0, x[:, 1:2] * torch.nan, x[:, 2:]], 1)

    image = torch.arange(1.0, 49).view(1, 3, 4, 4)
    one = layer_stats(Network(Steps(spoil, lambda x: x + 0)), image)["/add#1"]
    assert (one.inf, one.nan) == (16, 16)
    rest = np.arange(33.0, 49)
    assert (one.minimum, one.maximum, one.mean) == (33, 48, rest.mean())
    assert one.std == pytest.approx(rest.std())
    nothing = layer_stats(Network(Steps(conv(), lambda x: x * torch.nan)), image)["/mul#1"]
    assert nothing.nan == 3 * 2 * 2 and nothing.dead == 0
    figures = nothing.mean, nothing.std, nothing.minimum, nothing.maximum
    assert all(map(math.isnan, figures))
    huge = layer_stats(Network(Steps(lambda x: x * 1e36, lambda x: x + 0)), image)["/add#1"]
    assert huge.inf == 0 and math.isfinite(huge.std)
    assert huge.std == pytest.approx(1e36 * np.arange(1.0, 49).std(), rel=1e-4)


def test_an_image_that_gives_nothing_but_nan_does_not_spoil_the_figures_of_the_others() -> None:
    model = Steps(lambda x: x + torch.where(x.mean() > 1, torch.nan, 0))
    net, tame, wild = Network(model), X - X.mean(), X - X.mean() + 2
    alone, both = (layer_stats(net, images)["/add#1"] for images in (tame, [tame, wild]))
    assert both.nan == X.numel() and alone.nan == 0
    assert (both.mean, both.std) == (alone.mean, alone.std)
    assert (both.minimum, both.maximum) == (alone.minimum, alone.maximum)


def test_layers_and_figures_come_from_one_pass() -> None:
    model = make("in place")
    passes: list[int] = []

    class Note:
        def __call__(self, module: nn.Module, args: Any) -> None:
            passes.append(1)

    model.register_forward_pre_hook(Note())
    net = Network(model)
    layers, stats = examine(net, X)
    assert len(passes) == 1 and [one.name for one in layers] == list(stats)
    assert trace(net, X) == layers and len(passes) == 1


def test_wrong_images_are_refused() -> None:
    net = Network(make("in place"))
    with pytest.raises(ValueError, match="image: the list is empty"):
        layer_stats(net, [])
    with pytest.raises(ValueError, match="none of its layers puts out maps"):
        layer_stats(Network(Perceptron()), X)
