"""Pooling and quantising against PyTorch's own call; one call changed against a bare pass."""

from __future__ import annotations

from collections.abc import Callable

import torch
from _paired import paired, report
from torch import Tensor
from torch.nn import functional as F
from torchvision import models

import nbcnnviz as nv
from nbcnnviz.backend import quantise
from nbcnnviz.backend.pooling import pool, replace_pooling

STACKS: list[tuple[tuple[int, int, int], str, tuple[int, int, int]]] = [
    ((64, 112, 112), "max", (3, 2, 1)),
    ((64, 112, 112), "avg", (2, 2, 0)),
    ((64, 112, 112), "l2", (2, 2, 0)),
    ((256, 56, 56), "max", (2, 2, 0)),
    ((512, 14, 14), "max", (3, 1, 1)),
    ((2048, 7, 7), "global_avg", (2, 2, 0)),
    ((2048, 7, 7), "global_max", (2, 2, 0)),
]
TORCH: dict[str, Callable[..., Tensor]] = {
    "max": lambda x, k, s, p: F.max_pool2d(x, k, s, p, return_indices=True)[0],
    "avg": lambda x, k, s, p: F.avg_pool2d(x, k, s, p),
    "l2": lambda x, k, s, p: F.lp_pool2d(x, 2.0, k, s),
    "global_avg": lambda x, k, s, p: F.adaptive_avg_pool2d(x, 1),
    "global_max": lambda x, k, s, p: F.adaptive_max_pool2d(x, 1, return_indices=True)[0],
}


def stacks() -> None:
    for shape, op, options in STACKS:
        maps = torch.randn(shape, generator=torch.Generator().manual_seed(0)).relu()

        def ours(maps=maps, op=op, options=options) -> None:
            quantise(pool(maps, op, *options).values)

        def torchs(maps=maps, op=op, options=options) -> None:
            quantise(TORCH[op](maps, *options))

        mine, reference, ratio = paired(ours, torchs, pairs=31)
        what = f"{op} of {' x '.join(map(str, shape))}, window {options[0]}, stride {options[1]}"
        figure = f"{mine * 1e3:.2f} / {reference * 1e3:.2f} ms = {ratio:.2f} x"
        report(what, figure, "<= 1.1 x", ratio <= 1.1)


def dilated() -> None:
    """PyTorch has no dilated averages: held against its dilated maximum."""
    maps = torch.randn(64, 112, 112, generator=torch.Generator().manual_seed(0))
    mine, reference, ratio = paired(
        lambda: pool(maps, "avg", 3, 2, 1, 2), lambda: pool(maps, "max", 3, 2, 1, 2)
    )
    figure = f"{mine * 1e3:.2f} / {reference * 1e3:.2f} ms = {ratio:.2f} x"
    report("dilated avg / dilated max, 64 x 112 x 112", figure, "<= 2 x", ratio <= 2)


def passes() -> None:
    torch.manual_seed(0)
    model = models.resnet18(weights=None).eval()
    net, x = nv.Network(model), torch.randn(1, 3, 224, 224)
    for layer, op in (("maxpool", "avg"), ("avgpool", "global_max")):

        def ours(layer=layer, op=op) -> None:
            replace_pooling(net, x, layer, op)

        def bare() -> None:
            with torch.no_grad():
                model(x)

        mine, reference, ratio = paired(ours, bare)
        figure = f"{mine * 1e3:.1f} / {reference * 1e3:.1f} ms = {ratio:.2f} x"
        report(f"resnet18, {layer} changed / a bare pass", figure, "<= 1.3 x", ratio <= 1.3)


if __name__ == "__main__":
    stacks()
    dilated()
    passes()
