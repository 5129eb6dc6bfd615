"""Attributions against captum, torch-cam, grad-cam and zennit, and against autograd by hand."""

from __future__ import annotations

import copy
import doctest
import importlib
import math
import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest
import references
import torch
from captum import attr as captum
from hypothesis import given, settings
from hypothesis import strategies as st
from models import make
from nets import MODES, globals_now, photo, same, snapshot, tiny
from references import ARCHITECTURES, REFERENCES, TARGET, OneReLU, Seven, case
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as zoo

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _attr_pass, _attr_pixels
from nbcnnviz.backend.attribution import METHODS, Attribution, Explainer, attribute, attribute_all
from nbcnnviz.backend.layers import known_layers
from nbcnnviz.backend.network import Network

QUICK = {"smoothgrad": {"samples": 2}, "integrated_gradients": {"steps": 2}}


def net_of(model: nn.Module, side: int = 32, labels: Any = None) -> Network:
    size = backend.Preprocess(size=(side, side))
    return nv.Network(model.eval(), preprocess=size, labels=labels)


@pytest.fixture
def net() -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return net_of(OneReLU(inplace=True), labels=[f"thing {i}" for i in range(12)])


@pytest.fixture
def x(net) -> Tensor:
    return net.prepare(photo(40, 40))


def by_hand(net: Network, x: Tensor, index: int = TARGET) -> Tensor:
    leaf = x.clone().requires_grad_()
    with net.evaluating(grad=True) as body:
        return torch.autograd.grad(body(leaf.clone())[0, index], leaf)[0][0]


# -- against other libraries -----------------------------------------------------------------------

TABLE = [
    (method, reference) for method, references in REFERENCES.items() for reference in references
]


@pytest.mark.parametrize("name", list(ARCHITECTURES))
@pytest.mark.parametrize(
    ("method", "reference"), TABLE, ids=[f"{method}-{r.name}" for method, r in TABLE]
)
def test_it_is_the_references(name, method, reference):
    found = references.deviation(name, method, reference)
    # Original CAM needs global average pooling and one linear layer.
    if method == "cam" and not ARCHITECTURES[name].gap:
        assert math.isnan(found)
        return
    assert found <= 1e-5


def test_every_method_has_a_reference():
    assert set(REFERENCES) == set(METHODS)


@pytest.mark.parametrize(
    ("method", "reference"),
    [
        ("guided_backprop", captum.NeuronGuidedBackprop),
        ("deconvnet", captum.NeuronDeconvolution),
        ("gradient", captum.NeuronGradient),
    ],
)
@pytest.mark.parametrize(
    ("unit", "selector"),
    [
        ((4, (2, 3)), (4, 2, 3)),
        (4, lambda maps: maps[:, 4].sum((1, 2))),
        ((4, "max"), lambda maps: maps[:, 4].amax((1, 2))),
    ],
)
@pytest.mark.parametrize(
    ("name", "layer"), [("one ReLU in place", "conv2"), ("AlexNet", "features.6")]
)
def test_units_are_captums(name, layer, method, reference, unit, selector):
    c = case(name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = c.reference.get_submodule(layer)
        wanted = reference(c.reference, module).attribute(c.x, selector)[0].detach()
    found = attribute(c.net, c.x, method, layer=layer, unit=unit)
    assert wanted.abs().max() > 0 and found.score_name == "activation"
    torch.testing.assert_close(found.values, wanted, rtol=1e-5, atol=1e-6)
    target = (layer, *unit) if isinstance(unit, tuple) else (layer, unit)
    assert torch.equal(attribute(c.net, c.x, method, target).values, found.values)


def test_smoothgrad_is_captums_noise_tunnel(monkeypatch):
    c = case("functional LeNet", double=True)
    noisy = references.noise(c.x)
    drawn = iter([torch.cat(noisy)])
    monkeypatch.setattr(torch, "normal", lambda mean, std: next(drawn) - torch.cat([c.x] * 3))
    tunnel = captum.NoiseTunnel(captum.Saliency(c.reference))
    wanted = tunnel.attribute(
        c.x, nt_type="smoothgrad", nt_samples=3, stdevs=0.5, target=TARGET, abs=False
    )
    monkeypatch.undo()
    found = attribute(c.net, c.x, "smoothgrad", TARGET, samples=3)
    torch.testing.assert_close(found.values, wanted[0].float(), rtol=1e-5, atol=1e-8)


# -- where others go wrong -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "reference"),
    [("guided_backprop", captum.GuidedBackprop), ("deconvnet", captum.Deconvolution)],
)
def test_captum_gives_the_plain_gradient_of_functional_networks_and_we_do_not(method, reference):
    c = case("functional LeNet")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = reference(c.net.model).attribute(c.x, TARGET)[0]
    assert torch.equal(theirs, attribute(c.net, c.x, "gradient", TARGET).values)
    ours = attribute(c.net, c.x, method, TARGET).values
    assert (ours - theirs).abs().max() > 0.1 * theirs.abs().max()


def test_the_target_may_be_another_class_than_the_predicted_one(net, x):
    order = net.logits(x)[0].argsort()
    for index in (int(order[0]), int(order[5])):
        found = attribute(net, x, "gradient", index)
        assert torch.equal(found.values, by_hand(net, x, index))
        guided = attribute(net, x, "guided_gradcam", index)
        both = [attribute(net, x, m, index).values for m in ("guided_backprop", "gradcam")]
        torch.testing.assert_close(guided.values, both[0] * both[1], rtol=0, atol=0)


def test_guided_backpropagation_barely_depends_on_the_class():
    net, x = nv.Network.demo(), nv.sample_image("cat")
    target = net.predict(x)[0].index
    cosines = {}
    for method in ("gradient", "guided_backprop"):
        a, b = (attribute(net, x, method, t).values.flatten() for t in (target, (target + 500)))
        cosines[method] = abs(float(F.cosine_similarity(a, b, dim=0)))
    assert cosines["guided_backprop"] > 3 * cosines["gradient"]


class Checkpointed(nn.Module):
    """Its middle is run again on the way back, as memory-efficient networks do."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 3)
        self.second = nn.Conv2d(4, 4, 3)

    def middle(self, x: Tensor) -> Tensor:
        return F.relu6(self.second(F.relu(self.first(x)))).clamp(min=0)

    def forward(self, x: Tensor) -> Tensor:
        if self.save:
            x = torch.utils.checkpoint.checkpoint(self.middle, x, use_reentrant=False)
        else:
            x = self.middle(x)
        return x.mean((2, 3))


@pytest.mark.parametrize("method", ["gradient", "guided_backprop", "deconvnet", "guided_gradcam"])
def test_checkpointing_changes_nothing(method):
    net = net_of(Checkpointed())
    x = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    net.model.save = False
    layer = "first" if method == "guided_gradcam" else None
    plain = attribute(net, x, method, 1, layer=layer)
    net.model.save = True
    layer = None
    if method != "guided_gradcam":
        assert torch.equal(attribute(net, x, method, 1, layer=layer).values, plain.values)


# -- targets ---------------------------------------------------------------------------------------


def test_every_kind_of_target(net, x):
    leaf = x.clone().requires_grad_()
    scores = net.model(leaf.clone())[0]

    def wanted(value: Tensor) -> Tensor:
        return torch.autograd.grad(value, leaf, retain_graph=True)[0][0]

    kinds = {
        3: scores[3],
        "Thing 3": scores[3],
        None: scores.max(),
        ("thing 3", "minus", 5): scores[3] - scores[5],
        (lambda s: s[3] * s[4]): scores[3] * scores[4],
    }
    for target, value in kinds.items():
        found = attribute(net, x, "gradient", target)
        torch.testing.assert_close(found.values, wanted(value), rtol=1e-5, atol=1e-7)
        assert found.score == pytest.approx(float(value.detach()), rel=1e-5)
        assert found.score_name == "logit" and torch.equal(found.logits, net.logits(x)[0])
    probability = attribute(net, x, "gradient", 3, score="probability")
    torch.testing.assert_close(
        probability.values, wanted(scores.softmax(0)[3]), rtol=1e-4, atol=1e-8
    )
    assert probability.score == pytest.approx(probability.probability, rel=1e-5)
    assert attribute(net, x, "gradient", (3, "minus", 4)).probability is None


def test_a_target_says_what_makes_it_again(net, x):
    kinds = [3, (3, "minus", 5), ("conv2", 1, "total"), ("conv2", 1, "max"), ("conv2", 1, (2, 3))]
    for value in [*kinds, len, None]:
        target = backend.Target.of(net, value)
        assert target.value == value and backend.Target.of(net, target.value) == target
    sweep = backend.occlusion_sweep(net, x, 16, 16, target=(3, "minus", 5))
    assert sweep.baseline == pytest.approx(attribute(net, x, "gradient", (3, "minus", 5)).score)


def test_a_maximum_is_explained_where_it_lies(net, x):
    found = attribute(net, x, "guided_backprop", ("conv2", 1, "max"))
    maps = backend.feature_maps(net, x, "conv2")[1]
    y, place = found.target.position
    assert maps[y, place] == maps.max() == found.score
    assert found.target.name == f"conv2, channel 1 at ({y}, {place}) (max)"


def test_of_a_dead_map_one_unit_is_explained_and_not_all():
    class Dead(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x.sum(1, keepdim=True) * 0)

    net = net_of(nn.Sequential(nn.Conv2d(3, 3, 3), Dead(), nn.Flatten()), 8)
    found = attribute(net, torch.ones(3, 8, 8), "deconvnet", ("1", 0, "max"))
    assert found.target.position == (0, 0) and found.score == 0


def test_the_activation_as_seed(net, x):
    for method in ("guided_backprop", "deconvnet"):
        one = attribute(net, x, method, ("conv2", 1, "max"))
        scaled = attribute(net, x, method, ("conv2", 1, "max"), seed="activation")
        assert one.score > 0
        torch.testing.assert_close(scaled.values, one.values * one.score, rtol=1e-4, atol=1e-7)


def test_units_need_no_class_scores_and_end_the_pass_early():
    class Headless(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.fails = False

        def forward(self, x: Tensor) -> Tensor:
            x = self.conv(x).relu()
            if self.fails:
                raise KeyError("it went on")
            return x

    net = net_of(Headless(), 12)
    x = torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(0))
    known_layers(net, x)
    net.model.fails = True
    found = attribute(net, x, "guided_backprop", layer="conv", unit=(1, (2, 3)))
    assert found.logits is None and found.values.abs().max() > 0
    outside = found.values.clone()
    outside[:, 2:5, 3:6] = 0
    assert not outside.any()
    net.model.fails = False
    with pytest.raises(ValueError, match=r"not one score per class.*target=\(layer, channel\)"):
        attribute(net, x, "gradient")


# -- several at once, one forward pass -------------------------------------------------------------


class Counting(OneReLU):
    def __init__(self) -> None:
        super().__init__(True)
        self.calls: list[int] = []

    def forward(self, x: Tensor) -> Tensor:
        CALLS.append(len(x))
        return super().forward(x)


CALLS: list[int] = []


def counting() -> tuple[Network, Tensor]:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        net = net_of(Counting())
    x = net.prepare(photo(40, 40))
    known_layers(net, x)
    CALLS.clear()
    return net, x


SHARED = [name for name in METHODS if name not in ("smoothgrad", "integrated_gradients", "cam")]


def test_all_methods_and_targets_share_one_forward_pass():
    net, x = counting()
    rows = attribute_all(net, x, SHARED, [1, 4, ("conv2", 3)], layer="conv2")
    # One pass for the classes, one more once a unit of that layer is asked for.
    assert len(CALLS) <= 2
    for method, row in zip(SHARED, rows, strict=True):
        for target, found in zip([1, 4, ("conv2", 3)], row, strict=True):
            layer = "conv2" if METHODS[method].is_cam else None
            alone = attribute(net, x, method, target, layer)
            assert torch.equal(found.values, alone.values) and found.method == method
            assert found.score == alone.score


def test_an_explainer_runs_the_network_once():
    net, x = counting()
    explainer = Explainer(net, x)
    for target in (0, 1, 2):
        for method in SHARED:
            explainer.attribute(method, target)
    assert len(CALLS) <= 2
    before = len(CALLS)
    explainer.attribute("guided_backprop", layer="conv1", unit=2)
    explainer.attribute("gradcam", 3)
    explainer.attribute("guided_backprop", layer="conv1", unit=(3, "max"))
    assert len(CALLS) == before + 1
    explainer.close()
    explainer.attribute("gradient", 3)
    assert len(CALLS) == before + 2


def test_a_training_step_makes_a_new_pass():
    net, x = counting()
    explainer = Explainer(net, x)
    first = explainer.attribute("guided_backprop", 3)
    with torch.no_grad():
        net.model.conv1.weight.mul_(-1)
    again = explainer.attribute("guided_backprop", 3)
    assert len(CALLS) == 2 and not torch.equal(first.values, again.values)
    assert torch.equal(again.values, attribute(net, x, "guided_backprop", 3).values)


def test_weights_that_change_between_forth_and_back_are_noticed(net, x, monkeypatch):
    forward = _attr_pass.forward

    def spoilt(*args: Any, **kwargs: Any) -> Any:
        run = forward(*args, **kwargs)
        with torch.no_grad():
            net.model.conv3.weight.mul_(1)
        return run

    monkeypatch.setattr("nbcnnviz.backend._attr_question.forward", spoilt)
    with pytest.raises(RuntimeError, match="overwritten in place"):
        attribute(net, x, "gradient", 3)


def test_attribute_all_stops_and_says_how_far_it_is(net, x):
    told = []

    def progress(done: int, total: int) -> bool:
        told.append((done, total))
        return done == 3

    rows = attribute_all(net, x, ["gradient", "gradcam"], [1, 2], on_progress=progress)
    assert [len(row) for row in rows] == [2, 1]
    assert told == [(1, 4), (2, 4), (3, 4)]


# -- layers ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "layer"),
    {
        "AlexNet": "features.11",
        "VGG-11": "features.19",
        "ResNet-18": "layer4",
        "DenseNet-121": "/relu#1",
        "GoogLeNet": "inception5b",
        "SqueezeNet": "classifier.2",
        "MobileNetV2": "features",
        "EfficientNet-Lite0 (demo)": "bn2",
        "digits": "relu2",
        "functional LeNet": "/relu#3",
        "one ReLU": "relu#3",
        "one ReLU in place": "relu#3",
    }.items(),
)
def test_without_a_layer_it_is_the_last_one_with_maps(name, layer):
    c = case(name)
    found = attribute(c.net, c.x, "gradcam", TARGET)
    assert found.layer == layer
    assert found.notes[0] == f"The layer is {layer!r}, the last one with maps."
    named = attribute(c.net, c.x, "gradcam", TARGET, layer=layer)
    assert torch.equal(found.values, named.values) and named.notes == found.notes[1:]


def test_a_layer_beside_or_behind_the_target(net, x):
    with pytest.raises(ValueError, match=r"layer='conv3': .*choose an earlier layer"):
        attribute(net, x, "gradcam", ("conv2", 1), layer="conv3")
    found = attribute(net, x, "gradcam", ("conv2", 1), layer="conv1", relu=False)
    assert found.coarse.shape == (32, 32) and found.score_name == "activation"


# -- samples and steps -----------------------------------------------------------------------------


def test_smoothgrad_without_noise_is_the_gradient(net, x):
    found = attribute(net, x, "smoothgrad", 3, noise=0, samples=3)
    torch.testing.assert_close(found.values, by_hand(net, x), rtol=1e-4, atol=1e-6)


def test_smoothgrad_draws_from_a_generator_of_its_own(net, x):
    before = globals_now()
    one, two = (attribute(net, x, "smoothgrad", 3, samples=3) for _ in range(2))
    assert torch.equal(one.values, two.values) and same(globals_now(), before)
    seeds = [torch.Generator().manual_seed(s) for s in (5, 5, 6)]
    three = [attribute(net, x, "smoothgrad", 3, samples=3, generator=g).values for g in seeds]
    assert torch.equal(three[0], three[1]) and not torch.equal(three[0], three[2])


def batches_of(size: int, side: int = 32) -> dict[str, int]:
    return {"cpu": size * side * side, "cuda": 1}


SAMPLED = pytest.mark.parametrize(
    ("method", "option"), [("smoothgrad", "samples"), ("integrated_gradients", "steps")]
)


@SAMPLED
def test_batches_of_any_size_give_the_same(net, x, method, option, monkeypatch):
    doubled = nv.Network(copy.deepcopy(net.model).double(), net.preprocess)
    whole = attribute(doubled, x, method, 3, **{option: 7})
    for size in (1, 3, 7):
        monkeypatch.setattr(_attr_pass, "_PIXELS", batches_of(size))
        found = attribute(doubled, x, method, 3, **{option: 7})
        torch.testing.assert_close(whole.values, found.values, rtol=1e-6, atol=1e-9)


@SAMPLED
def test_memory_that_does_not_suffice_halves_the_batch(net, x, method, option, monkeypatch):
    whole = attribute(net, x, method, 3, **{option: 9})
    monkeypatch.setattr(_attr_pass, "_PIXELS", batches_of(4))
    forward, sizes = _attr_pass.forward, []

    def small(net: Network, batch: Tensor, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("graph", True):
            sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. (faked)")
        return forward(net, batch, *args, **kwargs)

    monkeypatch.setattr("nbcnnviz.backend._attr_question.forward", small)
    found = attribute(net, x, method, 3, **{option: 9})
    assert sizes == [4, 2, 2, 2, 2, 1]
    torch.testing.assert_close(found.values, whole.values, rtol=1e-3, atol=1e-5)


@SAMPLED
def test_a_stop_keeps_the_best_so_far(net, x, method, option, monkeypatch):
    told = []

    monkeypatch.setattr(_attr_pass, "_PIXELS", batches_of(3))

    def progress(done: int, total: int) -> bool:
        told.append((done, total))
        return done >= 8

    found = attribute(net, x, method, 3, on_progress=progress, **{option: 40})
    assert told == [(3, 40), (6, 40), (9, 40)] and found.done == 9 and not found.complete
    assert f"{found.done} of 40 done" in repr(found)
    whole = attribute(net, x, method, 3, **{option: 40})
    assert whole.complete
    cosine = F.cosine_similarity(found.values.flatten(), whole.values.flatten(), dim=0)
    assert cosine > 0.7


@given(steps=st.integers(1, 70))
def test_any_first_part_of_the_steps_covers_the_whole(steps):
    places, weights = _attr_pixels._gauss_legendre(steps)
    nodes, halves = np.polynomial.legendre.leggauss(steps)
    order = np.argsort(places)
    assert np.allclose(places[order], (nodes + 1) / 2) and np.allclose(weights[order], halves / 2)
    assert weights.sum() == pytest.approx(1)
    assert abs(places[0] - 0.5) < 0.8 / steps
    for count in range(3, steps):
        assert places[:count].min() < 0.5 < places[:count].max()
        assert abs(places[:count].mean() - 0.5) < 0.2


def test_methods_of_one_pass_report_it(net, x):
    told = []
    attribute(net, x, "gradcam", 3, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]


class Squeezing(nn.Module):
    """Takes one image at a time."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x).relu()
        if self.how == "view":
            return maps.view(5, -1).mean(1)[None]
        return maps.mean((2, 3)) - maps.mean()


@pytest.mark.parametrize(
    ("how", "why"), [("view", "takes no batches|one row"), ("mix", "depend on what else")]
)
def test_networks_that_do_not_keep_images_apart(how, why):
    net = net_of(Squeezing(how), 12)
    x = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = attribute(net, x, "smoothgrad", 3, samples=5)
    assert len(found.notes) == 1 and "One sample at a time" in found.notes[0]
    batch = [
        x + 0.15 * (x.max() - x.min()) * references._normal(x, s)
        for s in references._seeds(None, 5)
    ]
    wanted = torch.stack([by_hand(net, each) for each in batch]).mean(0)
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_add_up(net, x):
    found = attribute(net, x, "integrated_gradients", 3, steps=200)
    difference = net.logits(x)[0, 3] - net.logits(torch.zeros_like(x))[0, 3]
    assert found.completeness.difference == pytest.approx(float(difference), rel=1e-4)
    assert found.completeness.attributed == pytest.approx(float(found.values.sum()), rel=1e-3)
    assert found.completeness.error < 0.02 and not found.notes
    few = attribute(net, x, "integrated_gradients", 3, steps=1)
    assert few.completeness.error > 0.05 and "more steps" in few.notes[0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 9))
def test_of_a_linear_network_all_gradient_methods_are_known(seed, steps):
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(27, 4)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(4, 27, generator=generator))
    net = net_of(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Flatten(), linear), 3)
    with torch.no_grad():
        net.model[0].weight.copy_(torch.eye(3)[:, :, None, None])
    x = torch.randn(3, 3, 3, generator=generator)
    weights = linear.weight[2].detach().reshape(3, 3, 3)
    for method, wanted, options in [
        ("gradient", weights, {}),
        ("smoothgrad", weights, {"samples": steps}),
        ("input_x_gradient", weights * x, {}),
        ("integrated_gradients", weights * x, {"steps": steps}),
        ("guided_backprop", weights, {}),
    ]:
        found = attribute(net, x, method, 2, **options)
        torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-5)
    assert found.notes == ("The network called no ReLU: this is its ordinary gradient.",)


def test_another_baseline(net, x):
    found = attribute(net, x, "integrated_gradients", 3, steps=100, baseline="black")
    black = backend.filled(net, x, "black")
    difference = float(net.logits(x)[0, 3] - net.logits(black)[0, 3])
    assert found.completeness.difference == pytest.approx(difference, rel=1e-4)
    assert found.completeness.error < 0.05


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
        ({"method": "integrated_gradients", "baseline": "no"}, ValueError, "choose one of"),
        ({"method": "deconvnet", "seed": "two"}, ValueError, "seed='two': choose one of"),
        ({"method": "deconvnet", "as_relu": "tanh"}, ValueError, "as_relu='tanh': choose among"),
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


@pytest.mark.parametrize("name", ["rules", "attribution"])
def test_the_examples_in_the_documentation(name):
    module = importlib.import_module(f"nbcnnviz.backend.{name}")
    found = doctest.testmod(module)
    assert found.attempted > 0 and not found.failed


def test_methods_say_what_they_are():
    for name, method in METHODS.items():
        assert method.name == name and method.title and "https://" in method.paper
        assert method.formula
    assert METHODS["smoothgrad"].options == ("samples", "noise", "generator")
    assert isinstance(Seven(), nn.Module)
