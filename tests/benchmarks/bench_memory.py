"""Memory over 1,000 layer switches: flat after warm-up, caches within their bound."""

from __future__ import annotations

import gc

import numpy as np
import psutil
import torch
from _paired import report
from torchvision import models

import nbcnnviz as nv
from nbcnnviz.widgets._cache import shared

SWITCHES, WARM = 1000, 300


def main() -> None:
    torch.manual_seed(0)
    net = nv.Network(models.resnet18(weights=None), preprocess=nv.backend.Preprocess((96, 96)))
    image = np.random.default_rng(0).integers(0, 256, (96, 96, 3), np.uint8)
    widget = nv.FeatureMaps(net, image)
    names = [layer.name for layer in widget.layers if layer.spatial]
    process = psutil.Process()
    seen = []
    for number in range(SWITCHES):
        widget.layer = names[number * 7 % len(names)]
        widget._save()
        if number >= WARM and number % 50 == 0:
            gc.collect()
            seen.append((number, process.memory_info().rss))
    slope = np.polyfit(*zip(*seen, strict=True), 1)[0] / 1024
    report(
        f"growth of memory over {SWITCHES - WARM} layer switches after {WARM}",
        f"{slope:+.2f} kB a switch",
        "< 10 kB a switch",
        slope < 10,
    )
    held = shared.nbytes / 2**20
    report("maps kept in the cache", f"{held:.1f} MB", "<= 512 MB", held <= 512)


if __name__ == "__main__":
    main()
