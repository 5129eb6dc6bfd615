"""Attributions of odd networks and odd arguments; what they say, and that all is left as it was."""

from __future__ import annotations

import copy
import math
import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import torch
from attribution_nets import QUICK, by_hand, net_of
from hypothesis import given, settings
from hypothesis import strategies as st
from models import make
from nets import MODES, globals_now, photo, same, snapshot, tiny
from references import ARCHITECTURES, OneReLU, case
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as zoo

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _attr_pass
from nbcnnviz.backend.attribution import METHODS, Attribution, attribute
from nbcnnviz.backend.layers import known_layers
from nbcnnviz.backend.network import Network


@pytest.fixture
def net() -> Network:
    return net_of(labels=[f"thing {i}" for i in range(12)])


@pytest.fixture
def x(net) -> Tensor:
    return net.prepare(photo(40, 40))


# -- what else is said -----------------------------------------------------------------------------


def test_what_the_rule_does_not_reach_is_said():
    net = net_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.ReLU(), nn.Flatten()), 8)
    x = torch.randn(3, 8, 8)
    found = attribute(net, x, "guided_backprop", 3)
    assert found.notes == (
        'silu, 1 call: keeps its ordinary gradient; as_relu=("silu",) treats it as a ReLU.',
    )
    assert not attribute(net, x, "guided_backprop", 3, as_relu=("silu",)).notes
    assert not attribute(net, x, "gradient", 3).notes
    both = attribute(net, x, "guided_gradcam", 3, layer="0", as_relu="silu")
    parts = (
        attribute(net, x, "guided_backprop", 3, as_relu="silu"),
        attribute(net, x, "gradcam", 3, layer="0"),
    )
    assert torch.equal(both.values, parts[0].values * parts[1].values)


def test_scripted_parts_are_named():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        part = torch.jit.script(nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()))
    net = net_of(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), part, nn.Flatten()), 8)
    found = attribute(net, torch.randn(3, 8, 8), "deconvnet", 3)
    assert found.notes == ("2 runs as TorchScript: its ReLUs keep their ordinary gradient.",)


def attribution_of(values: Tensor, method: str = "gradient") -> Attribution:
    target = nv.backend.Target("thing", index=0)
    return Attribution(values, method, target, 1.0, "logit")


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 10**6), channels=st.integers(1, 4))
def test_one_number_per_pixel(seed, channels):
    values = torch.randn(channels, 3, 4, generator=torch.Generator().manual_seed(seed))
    found = attribution_of(values)
    array = values.numpy()
    largest = np.abs(array).max(0)
    assert np.array_equal(found.heat().numpy(), largest)
    assert np.array_equal(np.abs(found.heat("signed").numpy()), largest)
    assert np.isin(found.heat("signed").numpy(), array).all()
    assert np.array_equal(found.heat("positive").numpy(), np.maximum(array.max(0), 0))
    assert np.allclose(found.heat("sum"), array.sum(0), atol=1e-6)
    assert np.allclose(found.heat("norm"), np.sqrt((array**2).sum(0)), atol=1e-6)
    assert (found.minimum, found.maximum) == (array.min(), array.max())
    assert found.positive == (array.max() > 0)
    with pytest.raises(ValueError, match="reduce='mean': choose one of"):
        found.heat("mean")


def test_a_flat_map_is_no_evidence():
    found = attribution_of(-torch.rand(4, 5), "cam")
    assert not found.positive and torch.equal(found.heat("sum"), found.values)
    assert found.size == (4, 5) and "4 x 5" in repr(found)


class Rooted(nn.Module):
    """The gradient of a few pixels is infinite, or that of all of them is not a number."""

    def __init__(self, spoilt: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        if spoilt:
            self.conv.weight.data[0] = torch.nan

    def forward(self, x: Tensor) -> Tensor:
        corner = (x[:, :, :2, :2] * 0).sqrt().sum((1, 2, 3))
        return self.conv(x).relu().mean((2, 3)) + corner[:, None]


def test_values_that_are_no_numbers_are_counted_and_said():
    net = net_of(lambda: Rooted(False), 8)
    x = torch.randn(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = attribute(net, x, "gradient", 1)
    numbers = found.values[torch.isfinite(found.values)]
    assert found.missing == 12 == found.values.numel() - len(numbers)
    assert found.notes[0].startswith("12 of 192 values are NaN or infinite")
    assert (found.minimum, found.maximum) == (float(numbers.min()), float(numbers.max()))
    assert found.positive and not attribute(net, x, "gradcam", 1).missing


@pytest.mark.parametrize("method", [name for name in METHODS if name != "cam"])
def test_a_map_of_nothing_but_nan_says_so_and_not_that_it_found_nothing(method):
    found = attribute(net_of(lambda: Rooted(True), 8), torch.ones(3, 8, 8), method, 0)
    assert found.missing == found.values.numel() and math.isnan(found.maximum)
    assert found.notes[-1].startswith("Every value is NaN or infinite") and not found.positive
    assert not any("No positive evidence" in note for note in found.notes)


# -- arguments -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "saliency"}, ValueError, r"method='saliency': choose one of \['gradient'"),
        ({"method": None}, ValueError, "method=None: choose one of"),
        ({"method": "gradient", "samples": 3}, TypeError, "samples: gradient has no such option"),
        ({"method": "smoothgrad", "sample": 3}, TypeError, "its options: samples, noise, gen"),
        ({"method": "gradient", "layer": "conv1"}, ValueError, "layer='conv1': gradient explains"),
        ({"method": "gradient", "unit": 1}, ValueError, "unit=1: give its layer, too"),
        ({"method": "gradient", "unit": 1, "layer": "conv9"}, ValueError, "did you mean 'conv"),
        ({"method": "gradient", "unit": 9, "layer": "conv1"}, ValueError, "8 channels, 0 to 7"),
        ({"method": "gradient", "unit": 1, "target": 2}, ValueError, "there is a target, too"),
        ({"method": "gradcam", "unit": 1, "layer": "conv1"}, ValueError, "target=\\(layer, chan"),
        ({"method": "gradcam", "layer": "fc"}, ValueError, "12 numbers and no maps; the last"),
        ({"method": "gradcam", "layer": 3}, TypeError, "layer.*give a layer of net"),
        ({"method": "gradcam", "layer": "nowhere"}, ValueError, "there is no such layer"),
        ({"method": "gradient", "target": 12}, ValueError, "there are 12 classes"),
        ({"method": "gradient", "target": (1, "minus", 12)}, ValueError, "there are 12 classes"),
        ({"method": "gradient", "target": (1, "minus", 1)}, ValueError, "it is 0 always"),
        ({"method": "gradient", "target": (1, "minus", len)}, TypeError, "give two classes"),
        ({"method": "gradient", "score": "odds"}, ValueError, "score='odds': choose one of"),
        ({"method": "gradient", "target": len}, ValueError, "no gradient with respect to the im"),
        ({"method": "smoothgrad", "samples": 0}, ValueError, "samples=0: give a whole number"),
        ({"method": "smoothgrad", "samples": 1.5}, ValueError, "samples=1.5: give a whole"),
        ({"method": "smoothgrad", "noise": -1}, ValueError, "noise=-1: give a share"),
        ({"method": "smoothgrad", "noise": math.nan}, ValueError, "noise=nan: give a share"),
        ({"method": "smoothgrad", "generator": 0}, TypeError, "generator: a int; give a torch"),
        ({"method": "integrated_gradients", "steps": True}, ValueError, "steps=True: give a who"),
        ({"method": "integrated_gradients", "baseline": "no"}, ValueError, "baseline='no': choose"),
        ({"method": "integrated_gradients", "baseline": None}, TypeError, "baseline=None: choose"),
        ({"method": "gradcam", "relu": "no"}, TypeError, "relu='no': give True or False"),
        ({"method": "deconvnet", "seed": "two"}, ValueError, "seed='two': choose one of"),
        ({"method": "deconvnet", "as_relu": "tanh"}, ValueError, "as_relu='tanh': choose among"),
        ({"method": "deconvnet", "as_relu": [["silu"]]}, ValueError, "as_relu=.'silu'.: choose"),
        ({"method": "gradient", "on_progress": 3}, TypeError, "on_progress: a int cannot be call"),
    ],
)
def test_arguments_that_make_no_sense(net, x, arguments, error, message):
    with pytest.raises(error, match=message):
        attribute(net, x, **arguments)


@pytest.mark.parametrize("kind", ["no_grad", "detach"])
def test_networks_that_gradients_do_not_pass(kind):
    class Closed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.detach() if kind == "detach" else x.clone()

        if kind == "no_grad":
            forward = torch.no_grad()(forward)

    net = net_of(nn.Sequential(Closed(), nn.Conv2d(3, 4, 3), nn.Flatten()), 8)
    with pytest.raises(ValueError, match="target: its score has no gradient"):
        attribute(net, torch.ones(3, 8, 8), "gradient", 0)


# -- everything is left as it was ------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("method", list(METHODS))
def test_the_callers_modes_change_nothing_and_are_not_changed(net, x, method, mode):
    wanted = attribute(net, x, method, 3, **QUICK.get(method, {}))
    with MODES[mode]():
        around = globals_now()
        found = attribute(net, x, method, 3, **QUICK.get(method, {}))
        assert same(globals_now(), around)
    assert torch.equal(found.values, wanted.values) and not found.values.requires_grad
    assert not found.values.is_inference()


def test_a_default_device_of_the_users_changes_nothing():
    net, image = nv.Network.digits(), nv.sample_image("digit")
    for method in METHODS:
        wanted = attribute(net, image, method, 3, **QUICK.get(method, {}))
        with torch.device("meta"):
            found = attribute(net, image, method, 3, **QUICK.get(method, {}))
        assert torch.equal(found.values, wanted.values)


FAILURES = ("none", "forward", "backward", "hook", "callback", "interrupt")


class Fragile(nn.Module):
    """Fails on the way there or back."""

    def __init__(self) -> None:
        super().__init__()
        self.failure = "none"

    def forward(self, x: Tensor) -> Tensor:
        if self.failure == "forward":
            raise KeyError("on the way there")
        if self.failure == "interrupt":
            raise KeyboardInterrupt
        return _Back.apply(x) if self.failure == "backward" else x


class _Back(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        raise KeyError("on the way back")


@pytest.mark.parametrize("failure", FAILURES)
@pytest.mark.parametrize("method", list(METHODS))
def test_the_model_is_left_as_found(method, failure):
    parts = list(tiny())
    net = net_of(nn.Sequential(*parts[:3], Fragile(), *parts[3:]), 16)
    net.model.train()
    for i, parameter in enumerate(net.model.parameters()):
        parameter.grad = torch.ones_like(parameter) if i % 2 else None
        parameter.requires_grad_(i % 3 > 0)
    x = net.prepare(photo(16, 16))
    known_layers(net, x)
    options = dict(QUICK.get(method, {}))
    if failure == "hook":
        net.model[1].register_forward_hook(lambda *_: 1 / 0)
    if failure == "callback":
        options["on_progress"] = lambda done, total: 1 / 0
    net.model[3].failure = failure
    before, around = snapshot(net.model), globals_now()
    fails = failure != "none" and not (failure == "backward" and method == "cam")
    kinds = (KeyError, ZeroDivisionError, KeyboardInterrupt)
    with pytest.raises(kinds) if fails else nullcontext():
        attribute(net, x, method, 3, **options)
    assert same(snapshot(net.model), before) and same(globals_now(), around)
    assert torch.overrides._get_current_function_mode() is None
    assert net.lock.acquire(blocking=False)
    net.lock.release()


# -- a graph that begins late ---------------------------------------------------------------------


class Viewing(nn.Module):
    """Its maps are views, of which one is written to later."""

    def __init__(self) -> None:
        super().__init__()
        self.side = nn.Conv2d(3, 8, 5)
        self.conv = nn.Conv2d(3, 8, 3)
        self.halves = Halves()
        self.last = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        beside = self.side(x)[:, :4]
        first, second = self.halves(self.conv(x))
        beside.add_(self.last(first))
        return (beside + second[..., 1:-1, 1:-1]).mean((2, 3))


class Halves(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = x + 1
        return x[:, :4], x[:, 4:]


class Shielded(nn.Module):
    """A part runs without gradients, whatever the mode is."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.last = nn.Conv2d(4, 5, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            x = self.stem(x)
        return self.last(x).mean((2, 3))


@pytest.mark.parametrize("name", [*ARCHITECTURES, "viewing", "shielded"])
def test_a_cam_from_a_late_graph_is_that_from_the_whole_one(name, monkeypatch):
    if name in ARCHITECTURES:
        c = case(name)
        net, x, layers = c.net, c.x, [c.layer, None]
    else:
        net = net_of({"viewing": Viewing, "shielded": Shielded}[name](), 16)
        x = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
        layers = ["halves", "last", "conv"] if name == "viewing" else ["last"]
    late = [attribute(net, x, "layercam", 3, layer, relu=False) for layer in layers]
    monkeypatch.setattr(
        "nbcnnviz.backend._attr_question.forward",
        lambda *args, **more: _attr_pass.forward(*args[:5], **more),
    )
    for layer, found in zip(layers, late, strict=True):
        whole = attribute(net, x, "layercam", 3, layer, relu=False)
        assert torch.equal(found.coarse, whole.coarse) and found.coarse.abs().max() > 0


def test_nothing_before_the_layer_is_kept(net, x):
    layer = next(one for one in known_layers(net, x) if one.name == "conv3")
    run = _attr_pass.forward(net, x, [layer], start=layer)
    assert run.logits.requires_grad
    with pytest.raises(ValueError, match="no gradient with respect to the image"):
        _attr_pass.backward(net, run, run.logits[:, 0])
    assert torch.is_grad_enabled()


# -- odd networks ----------------------------------------------------------------------------------


ODD = ("reused", "in place", "functional", "dict output", "shared twice", "plain list")
ODD += ("custom leaf", "parameters", "skip", "gate", "channels last")


@pytest.mark.parametrize("name", ODD)
def test_odd_networks(name):
    class Scored(nn.Module):
        """Ends in scores, whatever the network ends in."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = make(name)

        def forward(self, x: Tensor) -> Tensor:
            out = self.inner(x)
            out = out["out"] if isinstance(out, dict) else out
            return out.mean((2, 3)) if out.dim() == 4 else out

    net = net_of(Scored(), 24)
    x = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    assert torch.equal(attribute(net, x, "gradient", 1).values, by_hand(net, x, 1))
    for method in ("guided_backprop", "deconvnet", "gradcam", "layercam", "guided_gradcam"):
        found = attribute(net, x, method, 1)
        assert torch.isfinite(found.values).all()
    layer = next(one for one in known_layers(net, x) if one.spatial and max(one.shape[1:]) > 1)
    unit = attribute(net, x, "gradient", layer=layer, unit=0)
    total = backend.feature_maps(net, x, layer)[0].sum()
    assert unit.score == pytest.approx(float(total), rel=1e-3, abs=1e-4)


def test_channels_last_layers_are_weighted_as_maps():
    model = nn.Sequential(make("channels last"), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    net = net_of(model, 24)
    x = torch.randn(1, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    layer = next(one for one in known_layers(net, x) if one.channels_last)
    found = attribute(net, x, "gradcam", 1, layer=layer, relu=False)
    kept: list[Tensor] = []
    module = net.model.get_submodule(layer.name)
    handle = module.register_forward_hook(lambda m, a, out: kept.append(out))
    score = net.model(x.clone())[0, 1]
    handle.remove()
    (g,) = torch.autograd.grad(score, kept[0])
    wanted = (g.mean((1, 2), keepdim=True) * kept[0]).sum(3)[0].detach()
    torch.testing.assert_close(found.coarse, wanted, rtol=1e-4, atol=1e-7)


@pytest.mark.parametrize("method", list(METHODS))
def test_networks_that_draw_random_numbers_give_the_same_each_time(method):
    class Dropping(OneReLU):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(F.dropout(x, 0.3) + 0.1 * torch.randn_like(x))

    net = net_of(lambda: Dropping(False))
    x = net.prepare(photo(32, 32))
    around = globals_now()
    one, two = (attribute(net, x, method, 3, **QUICK.get(method, {})) for _ in range(2))
    assert torch.equal(one.values, two.values) and one.values.abs().max() > 0
    assert same(globals_now(), around)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(net, x, dtype):
    other = nv.Network(copy.deepcopy(net.model).to(dtype), net.preprocess)
    best = net.predict(x)[0].index
    for method in ("gradient", "guided_backprop", "gradcam", "layercam", "gradcam++"):
        found, wanted = (attribute(each, x, method, best) for each in (other, net))
        assert found.values.dtype == torch.float32
        cosine = F.cosine_similarity(found.values.flatten(), wanted.values.flatten(), dim=0)
        assert cosine > (0.9 if dtype == torch.bfloat16 else 0.99999)


def test_networks_of_torchvision_that_checkpoint():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        plain = zoo.DenseNet(8, (2, 2), 16, num_classes=5)
    saving = zoo.DenseNet(8, (2, 2), 16, num_classes=5, memory_efficient=True)
    saving.load_state_dict(plain.state_dict())
    x = torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(0))
    for method in ("gradient", "guided_backprop", "deconvnet"):
        a, b = (attribute(net_of(model), x, method, 1).values for model in (plain, saving))
        torch.testing.assert_close(a, b, rtol=1e-5, atol=1e-7)
