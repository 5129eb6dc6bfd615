"""Attributions against captum, torch-cam, grad-cam and zennit, and against autograd by hand."""

from __future__ import annotations

import doctest
import importlib
import math
import warnings
from typing import Any

import pytest
import references
import torch
from attribution_nets import by_hand, net_of
from captum import attr as captum
from nets import photo
from references import ARCHITECTURES, REFERENCES, TARGET, OneReLU, Seven, case
from torch import Tensor, nn
from torch.nn import functional as F

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _attr_pass
from nbcnnviz.backend.attribution import METHODS, Explainer, attribute, attribute_all
from nbcnnviz.backend.layers import known_layers
from nbcnnviz.backend.network import Network


@pytest.fixture
def net() -> Network:
    return net_of(labels=[f"thing {i}" for i in range(12)])


@pytest.fixture
def x(net) -> Tensor:
    return net.prepare(photo(40, 40))


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"methods": "gradient"}, r"methods: a str; give a list, such as \['gradient'\]"),
        ({"targets": "thing 3"}, r"targets: a str; give a list"),
        ({"targets": 3}, r"targets: a int; give a list, such as \[3\]"),
        ({"on_progress": 3}, "on_progress: a int cannot be called"),
    ],
)
def test_several_are_given_as_lists(net, x, arguments, message):
    with pytest.raises(TypeError, match=message):
        attribute_all(net, x, **{"methods": ["gradient"], **arguments})


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
        "VGG-16": "features.29",
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


@pytest.mark.parametrize(
    ("name", "unit", "layer"),
    [
        ("one ReLU in place", "conv2", "relu"),
        ("one ReLU in place", "relu#3", "conv3"),
        ("ResNet-18", "layer4", "layer3"),
        ("ResNet-18", "bn1", "conv1"),
        ("GoogLeNet", "inception5b", "inception5a"),
        ("MobileNetV2", "features.10", "features.9"),
        ("functional LeNet", "conv3", "/relu#2"),
    ],
)
def test_of_a_unit_the_layer_is_the_last_one_before_it(name, unit, layer):
    c = case(name)
    channel = int(backend.feature_maps(c.net, c.x, unit).amax((1, 2)).argmax())
    found = attribute(c.net, c.x, "gradcam", (unit, channel, "max"), relu=False)
    assert found.layer == layer
    assert found.notes == (f"The layer is {layer!r}, the last one with maps before {unit!r}.",)
    named = attribute(c.net, c.x, "gradcam", (unit, channel, "max"), layer, relu=False)
    assert torch.equal(found.values, named.values) and found.coarse.abs().max() > 0


def test_before_the_first_layer_there_is_none(net, x):
    with pytest.raises(ValueError, match="'conv1' is the first layer with maps, and layercam"):
        attribute(net, x, "layercam", ("conv1", 1))


# -- what they are -------------------------------------------------------------------------------


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
