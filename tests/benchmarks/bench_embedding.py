"""Features of many images against a bare loop, t-SNE against scikit-learn's and bare openTSNE.

`python bench_embedding.py extraction tsne` runs the parts named (extraction, tsne, large, ray),
without names all of them.
"""

from __future__ import annotations

import sys
import time

import numpy as np
import torch
from _paired import paired, report, seconds
from torch import Tensor, nn
from torchvision import models

import nbcnnviz as nv
from nbcnnviz.backend.embedding import extract, preload, projection, quality

SIZE = 32
"""Images in a batch."""


def bare_loop(model: nn.Module, layer: str, data: Tensor) -> Tensor:
    """What anybody would write: batches through the model, a hook, the mean of each map."""
    rows: list[Tensor] = []
    handle = model.get_submodule(layer).register_forward_hook(
        lambda module, args, out: rows.append(out.mean((2, 3)))
    )
    with torch.no_grad():
        for first in range(0, len(data), SIZE):
            model(data[first : first + SIZE])
    handle.remove()
    return torch.cat(rows)


def extraction() -> None:
    torch.manual_seed(0)
    resnet = nv.Network(models.resnet18(weights=None).eval())
    cases = [
        ("ResNet-18, layer4", resnet, "layer4", torch.randn(64, 3, 224, 224), 5),
        ("digits, last convolution", *last_of_digits(), torch.randn(1797, 1, 32, 32), 7),
    ]
    for name, net, layer, data, pairs in cases:
        model = net.model.eval()
        off = float(np.abs(extract(net, data, layer) - bare_loop(model, layer, data).numpy()).max())
        mine, reference, ratio = paired(
            lambda net=net, layer=layer, data=data: extract(net, data, layer),
            lambda model=model, layer=layer, data=data: bare_loop(model, layer, data),
            pairs,
            1,
        )
        rates = f"{len(data) / mine:.0f} / {len(data) / reference:.0f}"
        report(
            f"{name}: images/s / a bare loop",
            f"{rates} = {1 / ratio:.2f} x (off {off:.0e})",
            ">= 0.95 x (1e-5)",
            1 / ratio >= 0.95 and off <= 1e-5,
        )


def last_of_digits() -> tuple[nv.Network, str]:
    net = nv.Network.digits()
    return net, [each.name for each in net.layers() if each.kind == "conv"][-1]


def tsne() -> None:
    from sklearn.datasets import load_digits
    from sklearn.manifold import TSNE

    table = load_digits().data
    preload()
    first: list[float] = []
    begin = time.perf_counter()
    found = projection(table, "tsne", lambda frame: first.append(time.perf_counter() - begin))
    mine = time.perf_counter() - begin
    moved = next(at for at in first[1:])
    report(
        "1,797 digits: first frame, first that moved",
        f"{first[0]:.2f} s, {moved:.2f} s",
        "<= 1 s",
        moved <= 1,
    )
    maps: list[np.ndarray] = []
    theirs = seconds(lambda: maps.append(TSNE(random_state=0).fit_transform(table)))
    trust = [quality(table, xy).trustworthiness for xy in (found.xy, maps[0])]
    report(
        "1,797 digits: scikit-learn's t-SNE / ours",
        f"{theirs:.1f} / {mine:.1f} s = {theirs / mine:.2f} x",
        ">= 1.3 x",
        theirs / mine >= 1.3,
    )
    report(
        "1,797 digits: trustworthiness, ours and scikit-learn's",
        f"{trust[0]:.4f}, {trust[1]:.4f}",
        "within 0.01",
        trust[0] >= trust[1] - 0.01,
    )


def large() -> None:
    from openTSNE import TSNE

    random = np.random.default_rng(0)
    centres = random.normal(size=(20, 50)) * 4
    table = centres[random.integers(0, 20, 20_000)] + random.normal(size=(20_000, 50))
    preload()
    threads = torch.get_num_threads()
    maps: list[object] = []
    frames: list[int] = []
    mine = seconds(
        lambda: maps.append(projection(table, "tsne", lambda frame: frames.append(frame.iteration)))
    )
    bare = TSNE(n_jobs=threads, random_state=0)
    theirs = seconds(lambda: maps.append(bare.fit(table)))
    report(
        f"20,000 x 50 with {len(frames)} frames / bare openTSNE",
        f"{mine:.0f} / {theirs:.0f} s = {mine / theirs:.2f} x",
        "<= 1.1 x",
        mine / theirs <= 1.1,
    )
    ours, reference = maps[0].kl, maps[1].kl_divergence
    report(
        "20,000 x 50: KL divergence, ours and bare openTSNE's",
        f"{ours:.3f}, {reference:.3f}",
        "within 2 %",
        abs(ours / reference - 1) <= 0.02,
    )


def ray() -> None:
    """The cluster is up before the clock starts; workers load the model while it runs."""
    import ray as cluster

    torch.manual_seed(0)
    net = nv.Network(models.resnet18(weights=None).eval())
    data = torch.randn(192, 3, 224, 224)
    local = seconds(lambda: extract(net, data, "layer4"))
    report("ResNet-18, 192 images: local engine", f"{192 / local:.1f} images/s", "-", True)
    cluster.init(
        num_cpus=2,
        object_store_memory=400 * 2**20,
        include_dashboard=False,
        log_to_driver=False,
    )
    for workers in (1, 2):
        taken = seconds(
            lambda workers=workers: extract(net, data, "layer4", engine="ray", concurrency=workers)
        )
        report(
            f"ResNet-18, 192 images: Ray, {workers} worker{'s' * (workers > 1)}",
            f"{192 / taken:.1f} images/s in {taken:.1f} s",
            "-",
            True,
        )
    cluster.shutdown()


PARTS = {"extraction": extraction, "tsne": tsne, "large": large, "ray": ray}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
