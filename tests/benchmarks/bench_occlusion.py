"""Sweeps against captum's `Occlusion`, and dabs of a brush against one forward pass.

    python bench_occlusion.py [networks ...] [--positions N] [--rounds N] [--cpu] [--no-preview]

Window 16, stride 8, 224 x 224, two threads; with --cpu one thread and its processor time, which
says more than the clock on the wall where others use the machine at the same time. Each network
has a process of its own, for its memory. captum takes the best of its `perturbations_per_eval`
1, 8, 32; its time per position is the same everywhere, so it does the first N positions and is
scaled to all 729 (0: it does all). captum's part and our whole sweep take turns, and the ratio is
the median of the rounds'.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil
import torch
from _paired import report
from captum.attr import Occlusion
from torch import Tensor
from torchvision import models

import nbcnnviz as nv
from nbcnnviz import backend

TARGETS = {
    "resnet18": 2.8,
    "vgg16": 7.0,
    "demo": 3.0,
    "mobilenet_v2": 3.0,
    "resnet50": 2.0,
    "densenet121": 1.3,
    "googlenet": 1.3,
    "convnext_tiny": 1.3,
    "efficientnet_b0": 1.3,
}
"""How many times as fast as captum."""
WINDOW, STRIDE, DAB = 16, 8, 32
BATCHES = (1, 8, 32)


CLOCK = [time.perf_counter]


def seconds(work: Callable[[], object]) -> float:
    begin = CLOCK[0]()
    work()
    return CLOCK[0]() - begin


class Peak(threading.Thread):
    """The largest memory of this process while entered, in bytes above that at the beginning."""

    def __enter__(self) -> Peak:
        self.process = psutil.Process()
        self.begin = self.most = self.process.memory_info().rss
        self.done = threading.Event()
        self.start()
        return self

    def run(self) -> None:
        while not self.done.wait(0.003):
            self.most = max(self.most, self.process.memory_info().rss)

    def __exit__(self, *error: object) -> None:
        self.done.set()
        self.join()

    @property
    def above(self) -> int:
        return self.most - self.begin


class Enough(Exception):
    """captum has done as many positions as it was asked for."""


def captum(model: torch.nn.Module, x: Tensor, target: int, batch: int, most: int) -> Any:
    """Seconds per position, and the logits (n, classes) of captum's first positions."""
    seen: list[Tensor] = []

    def forward(inputs: Tensor) -> Tensor:
        if sum(map(len, seen)) > most:
            raise Enough
        output = model(inputs)
        seen.append(output)
        return output

    shape, strides = (3, WINDOW, WINDOW), (3, STRIDE, STRIDE)
    begin = CLOCK[0]()
    try:
        with torch.no_grad():
            Occlusion(forward).attribute(
                x, shape, strides, baselines=0, target=target, perturbations_per_eval=batch
            )
    except Enough:
        pass
    spent = CLOCK[0]() - begin
    logits = torch.cat(seen)
    # The clean image comes first.
    return spent / len(logits), logits[1:]


def network(name: str) -> nv.Network:
    if name == "demo":
        return nv.Network.demo()
    torch.manual_seed(0)
    options = {"init_weights": False} if name == "googlenet" else {}
    return nv.Network(models.get_model(name, weights=None, **options).eval())


def measure(name: str, positions: int, rounds: int, bfloat16: bool) -> None:
    net = network(name)
    x = net.prepare(nv.sample_image("cat"))
    model = net.model.eval()
    made: list[backend.Sweep] = []
    shares: list[float] = []

    def ours() -> None:
        begin, first = CLOCK[0](), []

        def on_frame(frame: Any) -> None:
            if frame.done >= len(frame.sweep.grid.levels()[0]):
                first.append(CLOCK[0]() - begin)

        made.append(backend.occlusion_sweep(net, x, WINDOW, STRIDE, on_frame=on_frame))
        shares.append(first[0] / (CLOCK[0]() - begin))

    with torch.no_grad():
        model(x)  # PyTorch's own first steps are neither's
    with Peak(daemon=True) as peak:
        cold = seconds(ours)
    sweep = made[0]
    total = len(sweep.positions)
    target = sweep.target.index
    every = total if not positions else min(positions, total)
    best = min(BATCHES, key=lambda batch: captum(model, x, target, batch, min(every, 32))[0])
    ratios, theirs, mine = [], [], []
    for _ in range(rounds):
        each, logits = captum(model, x, target, best, every)
        theirs.append(each * total)
        mine.append(seconds(ours))
        ratios.append(theirs[-1] / mine[-1])
    ratio = statistics.median(ratios)
    scaled = "" if every == total else f" (from {every} of {total} positions)"
    figure = f"{statistics.median(mine):.1f} / {statistics.median(theirs):.1f} s = {ratio:.2f} x"
    what = f"{name}: our sweep / captum's by {best}{scaled}"
    report(what, figure, f">= {TARGETS[name]} x captum", ratio >= TARGETS[name])
    print(f"    engine {sweep.engine}; first sweep {cold:.1f} s. {sweep.note}", flush=True)
    # captum goes down the columns, row after row.
    ny, nx = sweep.grid.shape
    n = min(len(logits), total)
    order = [(k % ny) * nx + k // ny for k in range(n)]
    away = (sweep.logits.flatten(0, 1)[order, target] - logits[:n, target]).abs().max()
    relative = float(away) / abs(sweep.baseline)
    report(
        f"{name}: deviation from captum's scores / baseline",
        f"{relative:.1e} of {sweep.baseline:.3g}",
        "<= 1e-4",
        relative <= 1e-4,
    )
    share = max(shares)
    count = len(sweep.grid.levels()[0])
    figure = f"{count} positions, {100 * share:.1f} % of the time"
    report(f"{name}: first whole map", figure, "<= 10 %", share <= 0.1)
    memory = peak.above / 1e9
    report(f"{name}: peak memory above the model", f"{memory:.2f} GB", "<= 1.5 GB", memory <= 1.5)
    if bfloat16:
        preview(name, net, x, sweep)
    brush(name, net, x)


def preview(name: str, net: nv.Network, x: Tensor, exact: backend.Sweep) -> None:
    if not torch.cpu._is_avx512_bf16_supported():
        print(f"{name}: no bfloat16 on this CPU", flush=True)
        return
    options = {"window": WINDOW, "stride": STRIDE}
    made: list[backend.Sweep] = []

    def quick() -> None:
        made.append(backend.occlusion_sweep(net, x, precision="bfloat16", **options))

    quick()  # as for float32, the first of all is not counted
    both = [
        (seconds(quick), seconds(lambda: backend.occlusion_sweep(net, x, **options)))
        for _ in range(3)
    ]
    mine, reference = (statistics.median(column) for column in zip(*both, strict=True))
    ratio = statistics.median(a / b for a, b in both)
    away = float((made[-1].scores - exact.scores).abs().max()) / abs(exact.baseline)
    figure = f"{mine:.1f} / {reference:.1f} s = {1 / ratio:.2f} x, {100 * away:.1f} %"
    reached = ratio <= 1 / 1.6 and away <= 0.02
    report(f"{name}: preview in bfloat16 / float32", figure, ">= 1.6 x within 2 %", reached)


def brush(name: str, net: nv.Network, x: Tensor) -> None:
    """A dab of 32 pixels beside the last one, as a mouse makes them."""
    made = backend.Brush(net, x)
    mask = torch.zeros(made.size)
    step = [0]

    def dab() -> None:
        step[0] += 1
        # Along a line over the picture and back.
        place = abs((step[0] * 12) % 384 - 192)
        mask[place : place + DAB, (place * 5) % 192 : (place * 5) % 192 + DAB] += 0.01
        made.apply(mask.clamp_(0, 1))

    def bare() -> None:
        with torch.no_grad():
            net.model(x)

    for _ in range(4):
        dab()
        bare()
    both = [(seconds(dab), seconds(bare)) for _ in range(25)]
    mine, reference = (statistics.median(column) for column in zip(*both, strict=True))
    ratio = statistics.median(a / b for a, b in both)
    limit = 0.5 if name == "vgg16" else 1.15
    report(
        f"{name}: a dab of {DAB} pixels / a bare pass ({made.engine})",
        f"{mine * 1e3:.1f} / {reference * 1e3:.1f} ms = {ratio:.2f} x",
        f"<= {limit} x",
        ratio <= limit,
    )


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("networks", nargs="*", default=list(TARGETS))
    parser.add_argument("--positions", type=int, default=96)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--cpu", action="store_true", help="processor time of one thread")
    parser.add_argument("--no-preview", action="store_true", help="without bfloat16")
    parser.add_argument("--here", action="store_true", help="not in a process of its own")
    options = parser.parse_args()
    torch.set_num_threads(1 if options.cpu else 2)
    if options.cpu:
        CLOCK[0] = time.thread_time
    for name in options.networks:
        if options.here:
            measure(name, options.positions, options.rounds, not options.no_preview)
            continue
        same = [each for each in sys.argv[1:] if each not in options.networks]
        subprocess.run([sys.executable, __file__, name, "--here", *same], check=True)


if __name__ == "__main__":
    main()
