"""Attributions against one bare forward and backward pass, and against captum and torch-cam.

    python bench_attribution.py [networks ...] [--pairs N] [--cpu]

One thread, 224 x 224; with --cpu its processor time, which says more than the clock on the wall
where others use the machine at the same time. The references get the network as it is, and what
they return is the same up to rounding (`tests/backend/references.py`).
"""

from __future__ import annotations

import argparse
import copy
import statistics
import time
import warnings
from collections.abc import Callable
from typing import Any

import _paired
import torch
from _paired import paired, report
from captum import attr as captum
from torch import nn
from torchcam.methods import CAM, GradCAM, LayerCAM
from torchvision import models

import nbcnnviz as nv
from nbcnnviz.backend.attribution import METHODS, Explainer, attribute

LAYERS = {
    "resnet18": ("layer4", "fc"),
    "mobilenet_v2": ("features.18", "classifier.1"),
    "densenet121": ("features.denseblock4", ""),
    "vgg16": ("features.28", ""),
}
"""For the CAMs; the linear layer where original CAM is defined for them."""
SAMPLES = 16
TARGET = 5
OPTIONS: dict[str, dict[str, Any]] = {
    "smoothgrad": {"samples": SAMPLES},
    "integrated_gradients": {"steps": SAMPLES},
}


def references(model: nn.Module, x: torch.Tensor, name: str) -> dict[str, Callable[[], object]]:
    """What gives the same as our methods."""
    layer_name, linear = LAYERS[name]
    layer = model.get_submodule(layer_name)
    shape = tuple(x.shape[1:])

    def smooth() -> None:
        for _ in range(SAMPLES):
            captum.Saliency(model).attribute(x + torch.randn_like(x), TARGET, abs=False)

    def integrated() -> None:
        captum.IntegratedGradients(model).attribute(
            *(x, 0, TARGET, None, SAMPLES, "gausslegendre"),
            internal_batch_size=8,
            return_convergence_delta=True,
        )

    def grad_cam() -> None:
        found = captum.LayerGradCam(model, layer).attribute(x, TARGET, relu_attributions=True)
        captum.LayerAttribution.interpolate(found, x.shape[2:], "bilinear")

    def torch_cam(kind: Any, **options: Any) -> Callable[[], None]:
        def run() -> None:
            with kind(model, layer_name, input_shape=shape, **options) as method:
                # Gradients of weights are not what it computes, but it needs a graph.
                scores = model(x.clone().requires_grad_())
                (found,) = method(TARGET, scores, normalized=False)
                method.fuse_cams([found], x.shape[2:])

        return run

    made: dict[str, Callable[[], object]] = {
        "gradient": lambda: captum.Saliency(model).attribute(x, TARGET, abs=False),
        "smoothgrad": smooth,
        "input_x_gradient": lambda: captum.InputXGradient(model).attribute(x, TARGET),
        "integrated_gradients": integrated,
        "guided_backprop": lambda: captum.GuidedBackprop(model).attribute(x, TARGET),
        "deconvnet": lambda: captum.Deconvolution(model).attribute(x, TARGET),
        "gradcam": grad_cam,
        "layercam": torch_cam(LayerCAM),
        "guided_gradcam": lambda: captum.GuidedGradCam(model, layer).attribute(
            x, TARGET, interpolate_mode="bilinear"
        ),
    }
    made["gradcam (torch-cam)"] = torch_cam(GradCAM)
    if linear:
        made["cam"] = torch_cam(CAM, fc_layer=linear)
    return made


def measure(name: str, pairs: int) -> None:
    torch.manual_seed(0)
    model = models.get_model(name, weights=None).eval()
    net = nv.Network(model)
    x = torch.randn(1, 3, 224, 224)
    theirs = references(copy.deepcopy(model), x, name)

    def bare() -> None:
        leaf = x.clone().requires_grad_()
        torch.autograd.grad(model(leaf)[0, TARGET], leaf)

    for method in METHODS:
        layer = LAYERS[name][0] if METHODS[method].is_cam and method != "cam" else None
        options = OPTIONS.get(method, {})
        if method == "cam" and "cam" not in theirs:
            continue

        def ours(method: str = method, layer: Any = layer, options: Any = options) -> None:
            attribute(net, x, method, TARGET, layer, **options)

        count = SAMPLES if options else 1
        mine, plain, ratio = paired(ours, bare, pairs)
        report(
            f"{name} {method}: / {count} x forward and backward",
            f"{mine * 1e3:.0f} / {count * plain * 1e3:.0f} ms = {ratio / count:.2f} x",
            "<= 1.15 x",
            ratio / count <= 1.15,
        )
        for reference in [key for key in theirs if key.partition(" ")[0] == method]:
            mine, other, ratio = paired(ours, theirs[reference], pairs)
            report(
                f"{name} {reference}: / the reference",
                f"{mine * 1e3:.0f} / {other * 1e3:.0f} ms = {ratio:.2f} x",
                "<= 1.00 x",
                ratio <= 1.005,
            )
    explainer = Explainer(net, x)
    explainer.attribute("gradcam", 0)
    again = [_paired.seconds(lambda i=i: explainer.attribute("gradcam", i)) for i in range(1, 8)]
    share = statistics.median(again) / plain
    report(
        f"{name} gradcam: another target, pass kept",
        f"{statistics.median(again) * 1e3:.1f} ms = {share:.2f} x",
        "<= 0.50 x",
        share <= 0.5,
    )


def processor_seconds(work: Callable[[], object]) -> float:
    begin = time.process_time()
    work()
    return time.process_time() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("networks", nargs="*", default=list(LAYERS))
    parser.add_argument("--pairs", type=int, default=9)
    parser.add_argument("--cpu", action="store_true")
    given = parser.parse_args()
    if given.cpu:
        _paired.seconds = processor_seconds
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # captum announces its hooks
    for name in given.networks:
        measure(name, given.pairs)


if __name__ == "__main__":
    main()
