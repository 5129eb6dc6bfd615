"""Class activation maps: their arithmetic, its identities, which layer, and who is refused."""

from __future__ import annotations

import doctest

import pytest
import torch
from attribution_nets import net_of, seeded
from captum import attr as captum
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import photo
from pytorch_grad_cam import GradCAM
from references import ARCHITECTURES, TARGET, OneReLU, case
from torch import Tensor, nn
from torch.nn import functional as F
from torchcam.methods import GradCAM as TorchGradCAM
from torchcam.methods import GradCAMpp

from nbcnnviz import backend
from nbcnnviz.backend import cam as module
from nbcnnviz.backend import sanity
from nbcnnviz.backend.attribution import Explainer, attribute
from nbcnnviz.backend.cam import Terms

AVERAGING = [name for name, each in ARCHITECTURES.items() if each.gap]
CAMS = ("cam", "gradcam", "gradcam++", "layercam")


class Plain(nn.Module):
    """Convolution, ReLU, average, linear."""

    def __init__(self, after: str = "", classes: int = 5) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 7, 3, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.fc = nn.Linear(7, classes)
        self.after = after

    def forward(self, x: Tensor) -> Tensor:
        x = self.fc(self.relu(self.conv(x)).mean((2, 3)))
        return getattr(torch, self.after)(x, 1) if self.after else x


# -- identities ------------------------------------------------------------------------------------


@pytest.mark.parametrize("target", [TARGET, (TARGET, "minus", 7)])
@pytest.mark.parametrize("name", AVERAGING)
def test_mean_of_cam_plus_bias_is_the_score_and_gradcam_is_cam(name, target):
    c = case(name)
    checks = sanity.cam_identities(c.net, c.x, target)
    assert [check.name for check in checks] == [
        "mean of CAM + bias = score",
        "H W x Grad-CAM = CAM",
    ]
    logits = c.net.logits(c.x)[0]
    score = logits[TARGET] - (logits[7] if isinstance(target, tuple) else 0)
    assert checks[0].right == pytest.approx(float(score), rel=1e-4, abs=1e-5)
    assert all(check.error < 1e-4 for check in checks)
    assert all(abs(check.left - check.right) <= 1e-4 * abs(check.right) for check in checks)


@pytest.mark.parametrize("name", AVERAGING)
def test_the_maps_are_those_that_are_averaged_also_behind_an_inplace_relu(name):
    c = case(name)
    found = attribute(c.net, c.x, "cam", TARGET)
    layer = (
        captum.LayerGradCam(c.reference, c.reference.get_submodule("averaged"))
        if (hasattr(c.reference, "averaged"))
        else captum.LayerGradCam(c.reference, c.module)
    )
    theirs = layer.attribute(c.x, TARGET)[0, 0] * found.coarse.numel()
    assert found.terms.maps.min() >= 0 or name == "digits"
    scale = found.coarse.abs().max()
    torch.testing.assert_close(found.coarse, theirs.detach(), rtol=0, atol=float(1e-5 * scale))


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), side=st.integers(5, 20), index=st.integers(0, 4))
def test_identities_of_any_small_network(seed, side, index):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        net = net_of(Plain(), side)
        x = torch.randn(3, side, side)
    checks = sanity.cam_identities(net, x, index)
    assert len(checks) == 2
    for check in checks:
        assert abs(check.left - check.right) < 1e-4 * max(1.0, abs(check.right))
    assert checks[1].error < 1e-3


# -- the arithmetic --------------------------------------------------------------------------------


def test_the_terms_add_up_to_the_map():
    c = case("ResNet-18")
    for method in CAMS:
        found = attribute(c.net, c.x, method, TARGET)
        terms = found.terms
        assert terms.maps.shape == (512, *found.coarse.shape)
        by_hand = sum(w * a for w, a in zip(terms.weights, terms.maps, strict=True))
        signed = by_hand if method == "cam" else by_hand.clamp(min=0)
        torch.testing.assert_close(signed, found.coarse, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(terms.running(512), terms.map, rtol=1e-4, atol=1e-6)
        sizes = terms.shares[terms.order].abs()
        assert (sizes[:-1] >= sizes[1:]).all()
        first = terms.order[0]
        torch.testing.assert_close(terms.running(1), terms.each[first])
        assert torch.equal(terms.running(0), torch.zeros_like(terms.map))
    weights = c.net.model.fc.weight[TARGET].detach()
    cam = attribute(c.net, c.x, "cam", TARGET)
    torch.testing.assert_close(cam.terms.weights, weights, rtol=1e-6, atol=0)
    assert cam.terms.bias == pytest.approx(c.net.model.fc.bias[TARGET].item())
    torch.testing.assert_close(
        cam.terms.shares.sum() + cam.terms.bias, torch.tensor(cam.score), rtol=1e-4, atol=1e-5
    )


def test_the_difference_of_two_classes_is_the_difference_of_their_maps():
    c = case("ResNet-18")
    one, two, both = (
        attribute(c.net, c.x, "cam", target).coarse for target in (3, 5, (3, "minus", 5))
    )
    torch.testing.assert_close(both, one - two, rtol=1e-4, atol=1e-5)


def test_a_function_of_the_scores_weights_the_maps_by_its_gradient():
    c = case("ResNet-18")
    found = attribute(c.net, c.x, "cam", lambda s: 2 * s[3] - s[5])
    wanted = 2 * attribute(c.net, c.x, "cam", 3).coarse - attribute(c.net, c.x, "cam", 5).coarse
    torch.testing.assert_close(found.coarse, wanted, rtol=1e-4, atol=1e-5)
    probability = attribute(c.net, c.x, "cam", 3, score="probability")
    assert probability.terms.bias is None and not probability.terms.checks
    assert probability.score == pytest.approx(float(c.net.logits(c.x).softmax(1)[0, 3]), rel=1e-5)


def slow_bilinear(coarse: Tensor, size: tuple[int, int]) -> Tensor:
    """align_corners=False: pixel i lies at (i + 0.5) h / H - 0.5, clamped to the map."""
    h, w = coarse.shape
    out = torch.zeros(size)
    for i in range(size[0]):
        for j in range(size[1]):
            y = min(max((i + 0.5) * h / size[0] - 0.5, 0), h - 1)
            x = min(max((j + 0.5) * w / size[1] - 0.5, 0), w - 1)
            y0, x0 = int(y), int(x)
            y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
            top = coarse[y0, x0] * (1 - (x - x0)) + coarse[y0, x1] * (x - x0)
            bottom = coarse[y1, x0] * (1 - (x - x0)) + coarse[y1, x1] * (x - x0)
            out[i, j] = top * (1 - (y - y0)) + bottom * (y - y0)
    return out


@pytest.mark.parametrize("method", CAMS)
def test_values_are_the_coarse_map_bilinear(method):
    net = net_of(seeded(Plain), 23)
    found = attribute(net, net.prepare(photo(23, 23)), method, 1)
    assert found.coarse.shape == (11, 11) and found.values.shape == (23, 23)
    wanted = slow_bilinear(found.coarse, (23, 23))
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-6)


def slow_plus_plus(maps: Tensor, g: Tensor) -> Tensor:
    """Equation 19 and equation 5, cell by cell; 0 / 0 counts as 0."""
    weights = []
    for a, d in zip(maps.tolist(), g.tolist(), strict=True):
        total = sum(map(sum, a))
        weight = 0.0
        for row in d:
            for value in row:
                below = 2 * value**2 + total * value**3
                alpha = value**2 / below if below else 0.0
                weight += alpha * max(value, 0.0)
        weights.append(weight)
    return torch.tensor(weights, dtype=torch.float64)


def test_plus_plus_is_equation_19_where_gradients_are_tiny():
    net = net_of(seeded(Plain), 16)
    x = net.prepare(photo(16, 16))
    for factor in (1.0, 1e-6, 1e3):
        found = attribute(net, x, "gradcam++", lambda s, f=factor: s[2] * f, layer="conv")
        leaf = x.clone().requires_grad_()
        maps = net.model.conv(leaf)
        score = net.model.fc(F.relu(maps).mean((2, 3)))[0, 2] * factor
        (g,) = torch.autograd.grad(score, maps)
        wanted = slow_plus_plus(maps[0].detach().double(), g[0].double())
        torch.testing.assert_close(found.terms.weights.double(), wanted, rtol=1e-4, atol=1e-12)


# -- where others go wrong -------------------------------------------------------------------------


def test_layers_followed_by_an_inplace_relu_are_captured_before_it():
    """torch-cam keeps `detach()` of what the ReLU then overwrites; so does pytorch-grad-cam."""
    net = net_of(seeded(Plain), 16)
    x = net.prepare(photo(16, 16))
    found = attribute(net, x, "gradcam", 2, layer="conv", relu=False)
    assert found.terms.maps.min() < 0
    (wanted,) = captum.LayerGradCam(net.model, net.model.conv).attribute(x, 2)[0]
    torch.testing.assert_close(found.coarse, wanted.detach(), rtol=1e-5, atol=1e-7)
    with TorchGradCAM(net.model, "conv", tuple(x.shape[1:])) as theirs:
        scores = net.model(x.clone().requires_grad_())
        theirs(2, scores, normalized=False)
        assert theirs.hook_a[0].min() == 0
    with GradCAM(net.model, [net.model.conv]) as theirs:
        theirs(x, [lambda s: s[2]])
        # On a GPU `cpu()` copies, and it would be the map before the ReLU.
        assert theirs.activations_and_grads.activations[0].min() == 0


def test_torch_cams_plus_plus_leaves_alpha_unnormalised():
    net = net_of(seeded(Plain), 16)
    x = net.prepare(photo(16, 16))
    with GradCAMpp(net.model, "relu", tuple(x.shape[1:])) as theirs:
        scores = net.model(x.clone().requires_grad_())
        (weights,) = theirs._get_weights(2, scores)
    leaf = x.clone()
    maps = F.relu(net.model.conv(leaf))
    (g,) = torch.autograd.grad(net.model.fc(maps.mean((2, 3)))[0, 2], maps)
    unnormalised = (g**2 * g.clamp(min=0)).sum((2, 3))
    torch.testing.assert_close(weights, unnormalised, rtol=1e-4, atol=0)
    ours = attribute(net, x, "gradcam++", 2, layer="relu").terms.weights
    wanted = slow_plus_plus(maps[0].detach().double(), g[0].double())
    torch.testing.assert_close(ours.double(), wanted, rtol=1e-4, atol=0)
    assert not torch.allclose(weights[0] / weights.sum(), ours / ours.sum(), rtol=0.01)


# -- which network, which layer --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["AlexNet", "VGG-16", "functional LeNet"])
def test_other_networks_are_refused_and_told_what_to_use(name):
    c = case(name)
    with pytest.raises(ValueError, match=r'method="cam": .*"gradcam" needs no such end'):
        attribute(c.net, c.x, "cam")


def test_squeezenet_averages_one_map_per_class():
    c = case("SqueezeNet")
    found = attribute(c.net, c.x, "cam", TARGET)
    maps = backend.feature_maps(c.net, c.x, found.layer)
    torch.testing.assert_close(found.coarse, maps[TARGET])
    assert found.coarse.mean() == pytest.approx(found.score, rel=1e-5)
    assert all(check.error < 1e-5 for check in found.terms.checks)


def test_scores_before_a_softmax_are_explained():
    model = seeded(lambda: Plain("softmax"))
    net = net_of(model, 16)
    x = net.prepare(photo(16, 16))
    found = attribute(net, x, "cam", 2)
    plain = seeded(Plain)
    wanted = attribute(net_of(plain, 16), x, "cam", 2)
    assert torch.equal(found.coarse, wanted.coarse) and found.score == wanted.score
    assert found.notes[0] == "The network ends with softmax; the CAM explains the score before it."
    assert len(sanity.cam_identities(net, x, 2)) == 1
    assert torch.equal(attribute(net, x, "cam", 2).coarse, found.coarse)


def test_the_layer_is_that_which_is_averaged():
    c = case("ResNet-18")
    found = attribute(c.net, c.x, "cam", TARGET)
    same = attribute(c.net, c.x, "cam", TARGET, layer="layer4")
    assert torch.equal(found.values, same.values) and same.layer == "layer4"
    with pytest.raises(ValueError, match="layer='layer3': cam is about the maps that 'avgpool'"):
        attribute(c.net, c.x, "cam", TARGET, layer="layer3")
    with pytest.raises(ValueError, match="cam explains the scores of classes"):
        attribute(c.net, c.x, "cam", ("layer3", 1))


def test_what_is_known_of_the_end_is_kept_until_the_weights_change(monkeypatch):
    net = net_of(seeded(lambda: OneReLU(True)), 32)
    images = [net.prepare(photo(32, 32)), net.prepare(photo(33, 32))]
    surveys = []
    monkeypatch.setattr(
        module._gap_head,
        "gap_head",
        lambda *a, real=module._gap_head.gap_head: surveys.append(1) or real(*a),
    )
    first = [attribute(net, x, "cam", 3) for x in images]
    assert len(surveys) == 1
    again = attribute(net_of(net.model), images[1], "cam", 3)
    assert len(surveys) == 2
    torch.testing.assert_close(first[1].coarse, again.coarse, rtol=1e-5, atol=1e-7)
    assert first[1].terms.checks[0].error < 1e-4
    with torch.no_grad():
        net.model.fc.weight.mul_(2)
    changed = attribute(net, images[1], "cam", 3)
    assert len(surveys) == 3
    torch.testing.assert_close(changed.coarse, 2 * first[1].coarse, rtol=1e-5, atol=1e-6)


def test_no_positive_evidence_is_said():
    net = net_of(seeded(Plain), 16)
    with torch.no_grad():
        net.model.fc.weight.abs_().mul_(-1)
    found = attribute(net, net.prepare(photo(16, 16)), "gradcam", 1)
    assert not found.positive and found.maximum == 0
    assert found.notes[-1] == "No positive evidence: nothing in these maps speaks for class 1."
    signed = attribute(net, net.prepare(photo(16, 16)), "gradcam", 1, relu=False)
    assert signed.minimum < 0 and not signed.positive and len(signed.notes) == 1
    negative = attribute(net, net.prepare(photo(16, 16)), "cam", 1)
    assert not negative.positive and negative.minimum < 0


def test_an_explainer_gives_the_same_cams():
    c = case("one ReLU in place")
    explainer = Explainer(c.net, c.x)
    for method in CAMS:
        alone = attribute(c.net, c.x, method, TARGET)
        assert torch.equal(explainer.attribute(method, TARGET).values, alone.values)


def test_weights_of_any_kind_make_terms():
    maps = torch.rand(3, 2, 2)
    assert torch.equal(Terms(maps, torch.ones(3)).map, maps.sum(0))
    assert torch.equal(Terms(maps, torch.ones(3, 2, 2)).map, maps.sum(0))


def test_the_examples_in_the_documentation():
    assert not doctest.testmod(module).failed
