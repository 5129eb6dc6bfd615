"""Work in the kernel for one layer, against one bare forward pass of the same model.

Both run on a thread of their own, as a widget's work does.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from unittest import mock

import numpy as np
import torch
from _paired import paired, report, seconds
from torchvision import models

import nbcnnviz as nv
from nbcnnviz.widgets import feature_maps
from nbcnnviz.widgets._cache import shared

LAYERS = {
    "resnet18": ["conv1", "layer1.1.relu", "layer3.0.conv1", "layer4.1.conv2"],
    "vgg16": ["features.0", "features.8", "features.20", "features.29"],
}


def main() -> None:
    image = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    for name, layers in LAYERS.items():
        torch.manual_seed(0)
        model = getattr(models, name)(weights=None).eval()
        net = nv.Network(model)
        widget = nv.FeatureMaps(net, image)
        x = net.prepare(image)

        def bare(model=model, x=x) -> None:
            with torch.no_grad():
                model(x)

        for layer in layers:

            def ours(widget=widget, layer=layer) -> None:
                shared.drop(widget._epoch)
                widget._held = None
                found = widget._record(layer, 0)
                found.blob(found.order("index", False))

            mine, reference, ratio = paired(ours, bare)
            figure = f"{mine * 1e3:.1f} / {reference * 1e3:.1f} ms = {ratio:.2f} x"
            report(
                f"{name} {layer}: a layer / a bare pass",
                figure,
                "<= 1.15 x",
                ratio <= 1.15,
            )
        with mock.patch.object(
            feature_maps, "record_prepared", wraps=feature_maps.record_prepared
        ) as passes:
            widget._held = None
            again = seconds(lambda widget=widget, layer=layer: widget._record(layer, 0))
        report(
            f"{name} {layer}: back to a cached layer",
            f"{again * 1e3:.2f} ms, {passes.call_count} forward passes",
            "0 forward passes",
            not passes.call_count,
        )
        widget.close()


if __name__ == "__main__":
    with ThreadPoolExecutor(1) as worker:
        worker.submit(main).result()
