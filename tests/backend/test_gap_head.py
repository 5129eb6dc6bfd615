"""Networks that end with a mean and a linear function, told from others; scores by channel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import make
from nets import same, snapshot
from torch import Tensor, nn
from torch.nn import functional as F
from zoo import random_model, seeded

import nbcnnviz as nv
from nbcnnviz.backend import _gap_head
from nbcnnviz.backend._gap_head import NoGapHeadError, gap_head
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.pooling import gap_contributions

X = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    """A convolution, a ReLU in place, and a head of one's own."""

    def __init__(self, head: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 6, 3), nn.ReLU(inplace=True)
        self.head = head

    def forward(self, x: Tensor) -> Any:
        return self.head(self.relu(self.conv(x)))


def gap() -> nn.Module:
    return nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())


def settled(norm: nn.BatchNorm1d) -> nn.BatchNorm1d:
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    return norm


class Formula(nn.Module):
    """A head written as a formula with weights of its own."""

    def __init__(self, formula: Callable[[Formula, Tensor], Any]) -> None:
        super().__init__()
        self.formula = formula
        self.w, self.b = nn.Parameter(torch.randn(6, 5)), nn.Parameter(torch.randn(5))
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Any:
        return self.formula(self, x)


def by(formula: Callable[[Any, Tensor], Any]) -> Callable[[], nn.Module]:
    return lambda: Formula(formula)


LINEAR: dict[str, Callable[[], nn.Module]] = {
    "linear": lambda: nn.Sequential(gap(), nn.Linear(6, 5)),
    "no bias": lambda: nn.Sequential(gap(), nn.Linear(6, 5, bias=False)),
    "dropout": lambda: nn.Sequential(gap(), nn.Dropout(0.5), nn.Identity(), nn.Linear(6, 5)),
    "functional dropout": by(
        lambda m, x: m.fc(F.dropout(x.mean((2, 3)), 0.4, training=m.training))
    ),
    "1 x 1 convolution": lambda: nn.Sequential(
        nn.AdaptiveAvgPool2d(1), nn.Conv2d(6, 5, 1), nn.Flatten()
    ),
    "1 x 1 convolution, squeezed": by(
        lambda m, x: F.conv2d(x.mean((2, 3), True), m.fc.weight[:, :, None, None], m.b)[:, :, 0, 0]
    ),
    "two linear layers": lambda: nn.Sequential(gap(), nn.Linear(6, 4), nn.Linear(4, 5)),
    "batch norm": lambda: nn.Sequential(gap(), settled(nn.BatchNorm1d(6)), nn.Linear(6, 5)),
    "plain batch norm": lambda: nn.Sequential(
        gap(), nn.Linear(6, 5), nn.BatchNorm1d(5, affine=False)
    ),
    "product": by(lambda m, x: x.mean((2, 3)) @ m.w),
    "product and sum": by(lambda m, x: m.b + torch.mm(x.mean((2, 3)), m.w)),
    "addmm": by(lambda m, x: torch.addmm(m.b, x.mean((2, 3)), m.w)),
    "scaled": by(lambda m, x: m.fc(x.mean((2, 3)) * 0.5) / 3 - m.b),
    "scaled in place": by(lambda m, x: m.fc(x.mean((2, 3)).mul_(2)).sub_(m.b).div_(m.b.exp())),
    "average pool": by(lambda m, x: m.fc(F.avg_pool2d(x, x.shape[2:]).view(-1, 6))),
    "flattened": by(lambda m, x: m.fc(x.flatten(2).mean(2))),
    "channels last": by(lambda m, x: m.fc(x.permute(0, 2, 3, 1).mean((1, 2)))),
    "mean twice": by(lambda m, x: m.fc(F.adaptive_avg_pool2d(x.mean((2, 3), True), 1).flatten(1))),
    "one map per class": lambda: nn.Sequential(nn.Conv2d(6, 5, 1), nn.ReLU(), gap()),
    "in a dict": by(lambda m, x: {"out": m.fc(x.mean((2, 3))), "maps": x}),
    "half and back": by(lambda m, x: m.fc(x.mean((2, 3)).double().float())),
}


def linear_function(head: nn.Module, maps: Tensor) -> tuple[Tensor, Tensor]:
    """By automatic differentiation: what each map's mean counts, and the scores of nothing."""

    def scores(m: Tensor) -> Tensor:
        out = head(m.clone())
        return (out["out"] if isinstance(out, dict) else out)[0]

    jacobian = torch.autograd.functional.jacobian(scores, maps)  # (classes, 1, C, H, W)
    return jacobian[:, 0].sum((2, 3)), scores(torch.zeros_like(maps))


@pytest.mark.parametrize("name", list(LINEAR))
def test_linear_heads_are_read(name):
    with torch.no_grad():
        model = seeded(lambda: Model(LINEAR[name]()))
    head = gap_head(model, X)
    scores = Network(model).logits(X)[0]
    maps = model.relu(model.conv(X)).detach()
    if name == "one map per class":
        assert (head.linear, head.layer) == ("", "head.1")
        assert torch.equal(head.weight, torch.eye(5)) and not head.bias.any()
        maps = model.head[:2](maps).detach()
    else:
        weight, bias = linear_function(model.head, maps)
        torch.testing.assert_close(head.weight, weight, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(head.bias, bias, rtol=1e-4, atol=1e-6)
        assert head.layer == "relu" and head.linear
    known = {layer.name for layer in Network(model).layers(X)}
    assert head.pool in known and head.linear in known | {""}
    assert torch.equal(head.maps, maps[0])
    torch.testing.assert_close(head.gap, maps.mean((2, 3))[0])
    torch.testing.assert_close(head.weight @ head.gap + head.bias, head.scores)
    assert torch.equal(head.scores, scores) and head.after == ""


@pytest.mark.parametrize("after", ["softmax", "log_softmax", "sigmoid", "logsigmoid"])
def test_scores_are_read_before_a_softmax(after):
    finish = {"softmax": {"dim": 1}, "log_softmax": {"dim": -1}}.get(after, {})
    function = getattr(F, after)
    model = seeded(lambda: Model(Formula(lambda m, x: function(m.fc(x.mean((2, 3))), **finish))))
    head = gap_head(model, X)
    assert head.after.replace("_", "") == after.replace("_", "")
    assert torch.equal(function(head.scores[None], **finish), Network(model).logits(X))
    assert torch.equal(head.weight, model.head.fc.weight)


def complex_pool(x: Tensor) -> Tensor:
    return torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)[:, ::2]


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "activation": (
        lambda: nn.Sequential(gap(), nn.ReLU(), nn.Linear(6, 5)),
        r"head.1 \(ReLU\) comes after the mean, head.0.0 \(AdaptiveAvgPool2d\), and is no linear",
    ),
    "activation in place": (
        by(lambda m, x: m.fc(x.mean((2, 3)).relu_())),
        "head/relu#1 comes after the mean, head/mean#1, and is no linear step",
    ),
    "hidden layer": (
        lambda: nn.Sequential(gap(), nn.Linear(6, 8), nn.Hardswish(), nn.Linear(8, 5)),
        r"head.2 \(Hardswish\) comes after the mean",
    ),
    "layer norm": (lambda: nn.Sequential(gap(), nn.LayerNorm(6), nn.Linear(6, 5)), "LayerNorm"),
    "no pool": (
        lambda: nn.Sequential(nn.Flatten(), nn.Linear(600, 5)),
        r"head.1 \(Linear\) takes 600 numbers, and no call makes them as means of whole maps",
    ),
    "four by four": (
        lambda: nn.Sequential(nn.AdaptiveAvgPool2d(4), nn.Flatten(), nn.Linear(96, 5)),
        "takes 96 numbers, and no call makes them",
    ),
    "maximum": (
        lambda: nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten(), nn.Linear(6, 5)),
        r"head.0 \(AdaptiveMaxPool2d\) makes one number of each map by maximum",
    ),
    "part of the map": (
        lambda: nn.Sequential(nn.AvgPool2d(8), nn.Flatten(), nn.Linear(6, 5)),
        r"AvgPool2d\) makes one number of each map by pooling \(avg\), not by the mean of all",
    ),
    "a sum": (by(lambda m, x: m.fc(x.sum((2, 3)))), r"head.fc \(Linear\) takes 6 numbers"),
    "both": (by(lambda m, x: m.fc(complex_pool(x))), "cat#1 comes after|makes one number"),
    "dropout that is on": (
        by(lambda m, x: m.fc(F.dropout(x.mean((2, 3)), 0.5))),
        "head/dropout#1 comes after the mean",
    ),
    "multiplied by the image": (
        by(lambda m, x: m.fc(x.mean((2, 3)) * x.amax((2, 3)))),
        "makes one number of each map by maximum",
    ),
    "multiplied by itself": (by(lambda m, x: m.fc(x.mean((2, 3)).square())), "square#1 comes"),
    "shuffled": (by(lambda m, x: m.fc(x.mean((2, 3)).flip(1))), "flip#1 comes after the mean"),
    "chosen": (by(lambda m, x: m.fc(x.mean((2, 3)))[:, 1:]), "getitem#1 comes after the mean"),
    "a sigmoid in between": (
        by(lambda m, x: m.fc(x.mean((2, 3))).sigmoid() * 2),
        "mul#1 comes after the mean",
    ),
    "softmax over one": (
        by(lambda m, x: m.fc(x.mean((2, 3))).softmax(0)),
        "softmax#1 comes after the mean",
    ),
    "overwritten": (by(lambda m, x: overwritten(m.fc(x.mean((2, 3))))), "changed in place"),
    "convolved to one": (
        lambda: nn.Sequential(nn.Conv2d(6, 5, 10), nn.Flatten()),
        "they do not come from a mean over whole maps",
    ),
}


def overwritten(x: Tensor) -> Tensor:
    x[:, 0] = 0
    return x


@pytest.mark.parametrize("name", list(REFUSED))
def test_other_heads_are_refused_with_the_reason(name):
    build, words = REFUSED[name]
    model = seeded(lambda: Model(build()))
    before = snapshot(model)
    with pytest.raises(NoGapHeadError, match=words) as error:
        gap_contributions(model, X)
    assert "Choose a network that ends with global average pooling" in str(error.value)
    assert same(snapshot(model), before)


ZOO = {
    "resnet18": ("layer4.1.relu#2", "avgpool", "fc"),
    "squeezenet1_1": ("classifier.2", "classifier.3", ""),
    "densenet121": ("/relu#1", "/adaptive_avg_pool2d#1", "classifier"),
    "mobilenet_v2": ("features.18.2", "/adaptive_avg_pool2d#1", "classifier.1"),
    "shufflenet_v2_x0_5": ("conv5.2", "/mean#1", "fc"),
    "googlenet": ("inception5b/cat#1", "avgpool", "fc"),
    "efficientnet_b0": ("features.8.2", "avgpool", "classifier.1"),
}
OTHERS = {
    "alexnet": r"classifier.1 \(Linear\) takes 9216 numbers",
    "mobilenet_v3_small": r"classifier.1 \(Hardswish\) comes after the mean",
    "convnext_tiny": r"classifier.0 \(LayerNorm2d\) comes after the mean",
}


@pytest.mark.parametrize("name", list(ZOO))
def test_heads_of_real_architectures(name):
    model = random_model(name)
    x = torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    head = gap_head(model, x)
    assert (head.layer, head.pool, head.linear) == ZOO[name]
    scores = Network(model).logits(x)[0]
    assert torch.equal(head.scores, scores)
    if head.linear:
        linear = model.get_submodule(head.linear)
        assert torch.equal(head.weight, linear.weight) and torch.equal(head.bias, linear.bias)
        # the user's weights are not handed out
        assert head.weight.data_ptr() != linear.weight.data_ptr()
    else:
        assert torch.equal(head.maps.mean((1, 2)), head.gap)
    for index in (0, 7):
        parts = gap_contributions(model, x, index)
        assert parts.agrees and parts.index == index and parts.logit == float(scores[index])
        torch.testing.assert_close(parts.products, head.weight[index] * head.gap)


@pytest.mark.parametrize("name", list(OTHERS))
def test_real_architectures_that_end_otherwise(name):
    with pytest.raises(NoGapHeadError, match=OTHERS[name]):
        gap_head(random_model(name), torch.randn(1, 3, 64, 64))


def test_a_layer_of_ones_own_is_named_and_not_its_functions():
    model = make("custom leaf").eval()
    head = gap_head(model, X)
    known = {layer.name for layer in Network(model).layers(X)}
    assert (head.layer, head.pool, head.linear) == ("act", "/mean#1", "fc") and "act" in known
    # A slice is nobody's output.
    model = seeded(lambda: Model(Formula(lambda m, x: m.fc(x[:, :, 1:].mean((2, 3))))))
    head = gap_head(model, X)
    assert head.layer is None and head.maps.shape == (6, 9, 10)


def test_contributions_of_the_digits_network():
    net, image = Network.digits(), nv.sample_image("digit")
    parts = gap_contributions(net, image)
    best = net.predict(image)[0]
    assert (parts.index, parts.label, parts.logit) == (best.index, best.label, best.logit)
    assert parts.total == pytest.approx(best.logit, rel=1e-5)
    by_label = gap_contributions(net, image, "7")
    assert by_label.index == 7
    assert torch.equal(by_label.weights, net.model.fc.weight[7])
    assert by_label.bias == net.model.fc.bias[7].item()
    # The mean of the class activation map is the sum over channels.
    cam = torch.einsum("k,khw->hw", by_label.weights, gap_head(net, image).maps)
    assert float(cam.mean()) + by_label.bias == pytest.approx(by_label.logit, rel=1e-5)


def test_an_average_that_does_not_agree_is_seen():
    parts = gap_contributions(Network.digits(), nv.sample_image("digit"))
    wrong = type(parts)(**(vars(parts) | {"logit": parts.logit * 1.001}))
    assert parts.agrees and not wrong.agrees


def test_contributions_are_of_a_class():
    net, image = Network.digits(), nv.sample_image("digit")
    with pytest.raises(TypeError, match="no class; give a class index, a label or None"):
        gap_contributions(net, image, ("conv1", 3))
    with pytest.raises(TypeError, match="no class"):
        gap_contributions(net, image, lambda scores: scores[0])
    with pytest.raises(ValueError, match="target=10: there are 10 classes"):
        gap_contributions(net, image, 10)
    with pytest.raises(ValueError, match="not one score per class"):
        gap_contributions(nn.Conv2d(3, 4, 3), X)


def test_hidden_operations_do_not_go_unnoticed(monkeypatch):
    """What runs out of sight would make the sums wrong: they are compared with the scores."""
    model = seeded(lambda: Model(nn.Sequential(gap(), nn.Linear(6, 5))))
    real = _gap_head.after

    def careless(function: Any, call: Any, tag: Any) -> Any:
        made = real(function, call, tag)
        return made.shifted(torch.ones(5)) if function.name == "linear" else made

    monkeypatch.setattr(_gap_head, "after", careless)
    with pytest.raises(NoGapHeadError, match="an operation out of sight takes part"):
        gap_head(model, X)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("deep", [False, True])
def test_networks_in_other_precisions(dtype, deep):
    """Their rounding is no hidden operation; a hidden one is still seen."""
    fc = [nn.Linear(64, 32), nn.Linear(32, 5)] if deep else [nn.Linear(64, 5)]
    for seed in range(8):
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Conv2d(3, 64, 3), nn.ReLU(), gap(), *fc)
        for layer in fc:
            layer.reset_parameters()
        model = model.to(dtype).eval()
        head = gap_head(model, X)
        exact = torch.eye(64, dtype=torch.float64)
        for layer in fc:
            exact = layer.weight.detach().double() @ exact
        error, size = (head.weight.double() - exact).abs().max(), exact.abs().max()
        assert error <= 4 * torch.finfo(dtype).eps * size
        with torch.no_grad():
            assert torch.equal(head.scores, model(X.to(dtype))[0])
        assert gap_contributions(model, X, seed % 5).agrees


def test_hidden_operations_are_seen_in_half_precision_too(monkeypatch):
    model = seeded(lambda: Model(nn.Sequential(gap(), nn.Linear(6, 5)))).bfloat16()
    real = _gap_head.after

    def careless(function: Any, call: Any, tag: Any) -> Any:
        made = real(function, call, tag)
        return made.scaled(torch.full((5,), 1.5)) if function.name == "linear" else made

    monkeypatch.setattr(_gap_head, "after", careless)
    with pytest.raises(NoGapHeadError, match="an operation out of sight takes part"):
        gap_head(model, X)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_what_is_not_finite_is_called_so(value):
    model = seeded(lambda: Model(nn.Sequential(gap(), nn.Linear(6, 5))))
    with torch.no_grad():
        model.conv.bias[2] = value
    with pytest.raises(NoGapHeadError, match="for this image its means or scores are NaN or inf"):
        gap_head(model, X)


def test_squeeze_and_excitation_frees_its_maps():
    """Each block averages maps; copies of all of them would take the memory of a whole network."""
    alive: list[int] = []

    class Gate(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.fc = nn.Linear(6, 6)

        def forward(self, x: Tensor) -> Tensor:
            return x * self.fc(x.mean((2, 3))).sigmoid()[:, :, None, None]

    model = seeded(
        lambda: Model(nn.Sequential(*(Gate() for _ in range(5)), gap(), nn.Linear(6, 5)))
    )
    original = _gap_head._HeadTracer._tag

    def counted(self: Any, tensor: Tensor, tag: Any) -> None:
        original(self, tensor, tag)
        gaps = {id(t.gap) for _, _, t in self._tags.values() if hasattr(t, "gap")}
        alive.append(len(gaps))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_gap_head._HeadTracer, "_tag", counted)
        head = gap_head(model, X)
    assert max(alive) <= 2
    assert head.linear == "head.6" and torch.equal(head.scores, Network(model).logits(X)[0])


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
def test_the_model_is_left_as_found(mode):
    model = seeded(lambda: Model(nn.Sequential(gap(), nn.Dropout(), nn.Linear(6, 5)))).train()
    before, state = snapshot(model), torch.get_rng_state()
    with mode():
        head = gap_head(model, X)
    assert same(snapshot(model), before) and torch.equal(torch.get_rng_state(), state)
    assert not any(t.requires_grad for t in (head.weight, head.bias, head.maps, head.gap))
