"""Every attribution method beside what others make of it: captum, torch-cam, grad-cam, zennit.

The references know `nn.ReLU` alone: neither functions, nor ReLU6, nor one module called twice, nor
in-place operations without harm. They are given a copy of each network that has a module of its
own for every call, none of them in place (`with_modules`); we are given the network as it is.

    python tests/backend/references.py        prints the largest deviations, method by architecture
"""

from __future__ import annotations

import copy
import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
from captum import attr as captum
from pytorch_grad_cam import GradCAMPlusPlus, LayerCAM
from torch import Tensor, fx, nn
from torch.nn import functional as F
from torchcam.methods import CAM
from torchvision import models as zoo
from zennit.attribution import Gradient
from zennit.composites import DeconvNet, GuidedBackprop

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._attr_pixels import _normal, _seeds
from nbcnnviz.backend.attribution import METHODS, attribute
from nbcnnviz.backend.network import Network

CLASSES = 12
TARGET = 3
STEPS = 6
SAMPLES = 3
AVERAGED = "averaged"
"""A module that passes on what global average pooling reads."""


class Seven(nn.Module):
    """LeNet without a single ReLU or pooling module; its poolings do not overlap."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 5)
        self.conv2 = nn.Conv2d(8, 12, 5)
        self.conv3 = nn.Conv2d(12, 16, 3, padding=1)
        self.fc1 = nn.Linear(16 * 5 * 5, 20)
        self.fc2 = nn.Linear(20, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = self.conv3(x).relu()
        x = self.fc1(x.flatten(1)).clamp(min=0)
        return self.fc2(x)


class OneReLU(nn.Module):
    """One ReLU module for everything, overlapping poolings, a residual sum, and GAP + linear."""

    def __init__(self, inplace: bool) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.conv3 = nn.Conv2d(8, 8, 3, padding=1)
        self.relu = nn.ReLU(inplace=inplace)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.fc = nn.Linear(8, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.relu(self.conv2(x)) + x
        x = self.relu(self.conv3(x))
        return self.fc(x.mean((2, 3)))


class ReLU6(nn.ReLU):
    """A ReLU6 that the references take for a ReLU, which is what it is on the way back."""

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(x)


@dataclass(frozen=True)
class Architecture:
    """A network, and where its parts lie."""

    make: Callable[[], Network]
    layer: str
    """Whose maps the CAMs weight."""
    traced: bool = True
    """torch.fx can take it apart, so that calls of functions become modules."""
    gap: str = ""
    """The last linear layer, where that follows global average pooling."""
    at: str = ""
    """The module of the reference that puts out the layer's maps, if it has another name."""


def torchvision(name: str, side: int, **options: Any) -> Callable[[], Network]:
    def make() -> Network:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = zoo.get_model(name, weights=None, num_classes=CLASSES, **options)
        return settled(model, side)

    return make


def narrow(features: Callable[[], nn.Module], cells: int, side: int) -> Callable[[], Network]:
    """The convolutions, with 64 instead of 4096 units in the classifier: those take seconds."""

    def make() -> nn.Module:
        model = features()
        model.classifier = nn.Sequential(
            *(nn.Linear(256 * cells, 64), nn.ReLU(inplace=True), nn.Dropout()),
            *(nn.Linear(64, 64), nn.ReLU(inplace=True), nn.Linear(64, CLASSES)),
        )
        return model

    return small(make, side)


def small(model: Callable[[], nn.Module], side: int) -> Callable[[], Network]:
    def make() -> Network:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return settled(model(), side)

    return make


def settled(model: nn.Module, side: int) -> Network:
    """With activations of about the size that trained networks have."""
    model.train()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(1)
        norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
        for norm in norms:
            norm.momentum = None
        if norms:
            model(torch.randn(8, 3, side, side))
    return nv.Network(model.eval(), preprocess=backend.Preprocess(size=(side, side)))


def alexnet() -> nn.Module:
    with torch.device("meta"):
        model = zoo.AlexNet()
    model.features.to_empty(device="cpu")
    return initialised(model)


def vgg16() -> nn.Module:
    with torch.device("meta"):
        model = zoo.vgg16(init_weights=False)
    model.features.to_empty(device="cpu")
    return initialised(model)


def initialised(model: nn.Module) -> nn.Module:
    for module in model.features.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
            nn.init.normal_(module.bias, std=0.1)
    return model


ARCHITECTURES = {
    "AlexNet": Architecture(narrow(alexnet, 36, 96), "features.10"),
    "VGG-16": Architecture(narrow(vgg16, 2 * 49, 64), "features.28"),
    "ResNet-18": Architecture(torchvision("resnet18", 64), "layer4", gap="fc", at=AVERAGED),
    "DenseNet-121": Architecture(
        torchvision("densenet121", 64), "features.norm5", gap="classifier"
    ),
    "GoogLeNet": Architecture(
        torchvision("googlenet", 64, init_weights=False, aux_logits=False),
        "inception5b",
        gap="fc",
        at=AVERAGED,
    ),
    "SqueezeNet": Architecture(torchvision("squeezenet1_1", 64), "features.12.expand3x3"),
    "MobileNetV2": Architecture(
        torchvision("mobilenet_v2", 64), "features.18", gap="classifier.1", at=AVERAGED
    ),
    "EfficientNet-Lite0 (demo)": Architecture(nv.Network.demo, "bn2", False, "classifier"),
    "digits": Architecture(nv.Network.digits, "pool2", gap="fc"),
    "functional LeNet": Architecture(small(Seven, 32), "conv3"),
    "one ReLU": Architecture(small(lambda: OneReLU(False), 32), "conv3", gap="fc"),
    "one ReLU in place": Architecture(small(lambda: OneReLU(True), 32), "conv3", gap="fc"),
}


@dataclass(frozen=True, eq=False)
class Case:
    """What a method and its reference are given."""

    net: Network
    reference: nn.Module
    """Computes the same with modules alone."""
    x: Tensor
    layer: str
    gap: str
    at: str

    @property
    def module(self) -> nn.Module:
        return self.reference.get_submodule(self.at)


@cache
def case(name: str, double: bool = False) -> Case:
    architecture = ARCHITECTURES[name]
    net = network(name)
    if double:
        net = nv.Network(copy.deepcopy(net.model).double(), net.preprocess, net.labels)
    picture = nv.sample_image("digit" if net.preprocess.channels == 1 else "cat")
    x = net.prepare(picture)
    if x.shape[2] > 112:
        x = F.interpolate(x, size=(112, 112), mode="area")
    reference = with_modules(net.model, architecture.traced)
    torch.testing.assert_close(reference(x), net.logits(x))
    at = architecture.at or architecture.layer
    return Case(net, reference, x, architecture.layer, architecture.gap, at)


@cache
def network(name: str) -> Network:
    return ARCHITECTURES[name].make()


def with_modules(model: nn.Module, traced: bool = True) -> nn.Module:
    """A copy with a module of its own for each call of a ReLU, none in place."""
    model = copy.deepcopy(model).eval()
    if traced:
        graph = fx.symbolic_trace(model)
        for i, node in enumerate(list(graph.graph.nodes)):
            if is_relu(graph, node):
                graph.add_submodule(f"own_relu_{i}", nn.ReLU())
                with graph.graph.inserting_before(node):
                    fresh = graph.graph.call_module(f"own_relu_{i}", (node.args[0],))
                node.replace_all_uses_with(fresh)
                graph.graph.erase_node(node)
        pools = [node for node in graph.graph.nodes if is_average(graph, node)]
        if pools:
            graph.add_submodule(AVERAGED, nn.Identity())
            with graph.graph.inserting_before(pools[-1]):
                source = pools[-1].args[0]
                pools[-1].args = (graph.graph.call_module(AVERAGED, (source,)), *pools[-1].args[1:])
        graph.recompile()
        model = graph
    for parent in list(model.modules()):
        for name, child in parent.named_children():
            if isinstance(child, nn.ReLU6):
                setattr(parent, name, ReLU6())
            elif hasattr(child, "inplace"):
                child.inplace = False
    return model


def is_relu(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return type(graph.get_submodule(str(node.target))) is nn.ReLU
    if node.op == "call_function":
        return node.target in (F.relu, torch.relu)
    if node.op == "call_method" and node.target == "clamp":
        assert node.kwargs == {"min": 0}
        return True
    return node.op == "call_method" and node.target == "relu"


def is_average(graph: fx.GraphModule, node: fx.Node) -> bool:
    if node.op == "call_module":
        return isinstance(graph.get_submodule(str(node.target)), nn.AdaptiveAvgPool2d)
    return node.target in (F.adaptive_avg_pool2d, "mean")


# -- the references -------------------------------------------------------------------------------


def noise(x: Tensor, share: float = 0.15) -> list[Tensor]:
    """The samples of SmoothGrad, which are drawn from seeds of their own."""
    sigma = share * float(x.max() - x.min())
    return [x + sigma * _normal(x, seed) for seed in _seeds(None, SAMPLES)]


def captum_smoothgrad(c: Case) -> Tensor:
    saliency = captum.Saliency(c.reference)
    maps = [saliency.attribute(each, TARGET, abs=False) for each in noise(c.x)]
    return torch.stack(maps).mean(0)[0]


def captum_integrated(c: Case) -> Tensor:
    return captum.IntegratedGradients(c.reference).attribute(
        c.x, 0, TARGET, n_steps=STEPS, method="gausslegendre"
    )[0]


def captum_cam(c: Case) -> Tensor:
    coarse = captum.LayerGradCam(c.reference, c.module).attribute(
        c.x, TARGET, relu_attributions=True
    )
    return captum.LayerAttribution.interpolate(coarse, c.x.shape[2:], "bilinear")[0, 0]


def zennit(composite: Any) -> Callable[[Case], Tensor]:
    def run(c: Case) -> Tensor:
        with Gradient(copy.deepcopy(c.reference), composite) as attributor:
            scores = torch.eye(c.net.logits(c.x).shape[1])[[TARGET]]
            return attributor(c.x, scores)[1][0]

    return run


def grad_cam(kind: Any) -> Callable[[Case], Tensor]:
    """The map before it is scaled, of a score so large that 1e-6 in a denominator is nothing."""

    def run(c: Case) -> Tensor:
        model = copy.deepcopy(c.reference)
        layer = model.get_submodule(c.at)
        with kind(model, [layer]) as method:
            targets = [large]
            method(c.x, targets)
            found = method.activations_and_grads
            maps, gradients = (np.asarray(t[0]) for t in (found.activations, found.gradients))
            coarse = method.get_cam_image(c.x, layer, targets, maps, gradients, False)
        return torch.from_numpy(np.maximum(coarse, 0))[0]

    return run


def large(scores: Tensor) -> Tensor:
    return scores[TARGET] * 1e6


def torch_cam(c: Case) -> Tensor | None:
    if not c.gap:
        return None
    model = copy.deepcopy(c.reference)
    layer = AVERAGED if hasattr(model, AVERAGED) else c.at
    with CAM(model, layer, c.gap, tuple(c.x.shape[1:])) as method, torch.no_grad():
        model(c.x)
        return method(TARGET, normalized=False)[0][0]


@dataclass(frozen=True)
class Reference:
    name: str
    compute: Callable[[Case], Tensor | None]
    options: dict[str, Any]
    coarse: bool = False
    """The map in the size of the layer is compared."""
    double: bool = False
    """In float64: samples in a batch and alone differ in the last digit, and in float32 that turns
    a ReLU over now and then."""


REFERENCES: dict[str, list[Reference]] = {
    "gradient": [
        Reference(
            "captum Saliency",
            lambda c: captum.Saliency(c.reference).attribute(c.x, TARGET, abs=False)[0],
            {},
        )
    ],
    "smoothgrad": [
        Reference("captum Saliency, averaged", captum_smoothgrad, {"samples": SAMPLES}, double=True)
    ],
    "input_x_gradient": [
        Reference(
            "captum InputXGradient",
            lambda c: captum.InputXGradient(c.reference).attribute(c.x, TARGET)[0],
            {},
        )
    ],
    "integrated_gradients": [
        Reference("captum IntegratedGradients", captum_integrated, {"steps": STEPS}, double=True)
    ],
    "guided_backprop": [
        Reference(
            "captum GuidedBackprop",
            lambda c: captum.GuidedBackprop(c.reference).attribute(c.x, TARGET)[0],
            {},
        ),
        Reference("zennit GuidedBackprop", zennit(GuidedBackprop()), {}),
    ],
    "deconvnet": [
        Reference(
            "captum Deconvolution",
            lambda c: captum.Deconvolution(c.reference).attribute(c.x, TARGET)[0],
            {},
        ),
        Reference("zennit DeconvNet", zennit(DeconvNet()), {}),
    ],
    "cam": [Reference("torch-cam CAM", torch_cam, {}, coarse=True)],
    "gradcam": [Reference("captum LayerGradCam, bilinear", captum_cam, {})],
    "gradcam++": [
        Reference(
            "grad-cam GradCAMPlusPlus", grad_cam(GradCAMPlusPlus), {"target": large}, coarse=True
        )
    ],
    "layercam": [
        Reference("grad-cam LayerCAM", grad_cam(LayerCAM), {"target": large}, coarse=True)
    ],
    "guided_gradcam": [
        Reference(
            "captum GuidedGradCam, bilinear",
            lambda c: captum.GuidedGradCam(c.reference, c.module).attribute(
                c.x, TARGET, interpolate_mode="bilinear"
            )[0],
            {},
        )
    ],
}


def deviation(name: str, method: str, reference: Reference) -> float:
    """The largest difference, relative to the reference's largest value; NaN: not applicable."""
    c = case(name, reference.double)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # captum announces its hooks
        expected = reference.compute(c)
    if expected is None:
        return math.nan
    options = {"target": TARGET, **reference.options}
    # CAM finds its layer by itself.
    layer = c.layer if METHODS[method].is_cam and method != "cam" else None
    found = attribute(c.net, c.x, method, layer=layer, **options)
    got = found.coarse if reference.coarse else found.values
    assert got is not None and got.shape == expected.shape
    expected = expected.detach()
    largest = float(expected.abs().max())
    assert largest > 0, "a reference of zeros would prove nothing"
    return float((got - expected).abs().max()) / largest


def table() -> str:
    """Markdown: methods by architectures, each cell the largest relative deviation."""
    rows = ["| method | reference | " + " | ".join(ARCHITECTURES) + " |"]
    rows.append("| --- " * (len(ARCHITECTURES) + 2) + "|")
    for method, references in REFERENCES.items():
        for reference in references:
            cells = [deviation(name, method, reference) for name in ARCHITECTURES]
            shown = ["" if math.isnan(value) else f"{value:.0e}" for value in cells]
            rows.append(f"| {method} | {reference.name} | " + " | ".join(shown) + " |")
    return "\n".join(rows)


if __name__ == "__main__":
    print(table())
