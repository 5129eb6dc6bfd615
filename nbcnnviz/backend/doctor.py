"""A check-up of every layer: dead channels, saturated activations, NaN, spread."""

from __future__ import annotations

import math
import weakref
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from . import _tracer, layers
from ._tracer import Found, version
from .layers import Layer

if TYPE_CHECKING:
    from .network import Network


@dataclass(frozen=True)
class LayerStats:
    """Figures of one layer's output, over all images given.

    The first four are taken over the finite values, and NaN where there is not one.
    """

    mean: float
    std: float
    """Population standard deviation."""
    minimum: float
    maximum: float
    dead: float
    """Percent of channels whose every activation is exactly 0, 0..100."""
    saturated: float | None
    """Percent of values where a bounded activation is flat; None for all other layers.

    That is: 6 for ReLU6, the bounds of Hardtanh, hard sigmoid and clamp (a lower bound of 0 does
    not count), within 0.01 of 0 or 1 for the sigmoid and of -1 or 1 for tanh.
    """
    nan: int
    """How many values are not a number."""
    inf: int
    """How many are infinite."""


def layer_stats(net: Network | nn.Module, image: Any) -> dict[str, LayerStats]:
    """Mean, spread, extremes, dead channels, saturation and NaN of every layer.

    One forward pass per image; the figures are taken on the way and no activation is kept.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`, or a list of such.

    Returns:
        By layer name, in call order.

    Raises:
        ValueError: an empty list, or a network without maps.

    Example:
        >>> import nbcnnviz as nv
        >>> stats = layer_stats(nv.Network.digits(), nv.sample_image("digit"))
        >>> stats["conv1"].nan
        0
    """
    return examine(net, image)[1]


def examine(net: Network | nn.Module, image: Any) -> tuple[list[Layer], dict[str, LayerStats]]:
    """The layers and their figures from the same pass: `trace` and `layer_stats` in one."""
    net = layers.wrap(net)
    images = list(image) if isinstance(image, list | tuple) else [image]
    if not images:
        raise ValueError("image: the list is empty; give at least one image")
    sums: dict[str, _Sums] = {}
    found: dict[str, Layer] = {}
    for each in images:
        prepared = net.prepare(each)
        with net.evaluating() as body:
            observer = _Observer(sums)
            tracer = _tracer.run(body, prepared, observer)
            for layer in layers.remember(net, prepared.shape, tracer):
                found.setdefault(layer.name, layer)
    stats = {name: sums[name].result() for name in found}
    return list(found.values()), stats


class _Observer:
    """Adds what each layer puts out to its sums; a block's output is its last layer's."""

    def __init__(self, sums: dict[str, _Sums]) -> None:
        self._sums = sums
        self._last: tuple[weakref.ref[Tensor], int, _Facts] | None = None

    def __call__(self, found: Found, output: Tensor) -> None:
        if found.noop:
            return
        last = self._last
        if last is not None and last[0]() is output and last[1] == version(output):
            facts = last[2]
        else:
            facts = _measure(output.detach(), found)
            self._last = weakref.ref(output), version(output), facts
        if found.name not in self._sums:
            self._sums[found.name] = _Sums()
        self._sums[found.name].add(facts)


@dataclass(frozen=True)
class _Facts:
    count: int
    """Of finite values."""
    mean: float
    variance: float
    low: float
    high: float
    dead: npt.NDArray[np.bool_]
    """(C,) every activation is 0."""
    flat: int | None
    nan: int
    inf: int


def _measure(output: Tensor, found: Found) -> _Facts:
    values = output if output.dtype in (torch.float32, torch.float64) else output.float()
    # (C, H * W), or (H * W, C) when the channels come last in memory
    state = found.state
    if state.channels_last:
        values, along = values.reshape(-1, values.shape[-1]), 0
    elif values.dim() > 2:
        values, along = values.reshape(values.shape[1], -1), 1
    else:
        values, along = values.reshape(-1, 1), 1
    # Two calls: aminmax along a dimension takes fifty times as long on a CPU.
    lows, highs = values.amin(along), values.amax(along)
    # (C,) each; single small numbers are quicker in NumPy
    ends = torch.stack([lows, highs]).cpu().double().numpy()
    dead = np.logical_not(ends.any(axis=0))
    flat = None
    if state.bounds is not None:
        under, over = state.bounds
        above = (values >= over).sum() if over is not None else 0
        below = (values <= under).sum() if under is not None else 0
        flat = int(above + below)
    line = values.reshape(-1)
    total, squares = float(line.sum()), float(torch.dot(line, line))
    low, high = float(ends[0].min()), float(ends[1].max())
    if not all(map(math.isfinite, (low, high, total, squares))):
        return _measure_slowly(line, dead, flat)
    mean = total / line.numel()
    variance = squares / line.numel() - mean * mean
    if variance < 0.01 * mean * mean:  # too much cancels
        variance = float((line - mean).square_().mean())
    return _Facts(line.numel(), mean, max(variance, 0), low, high, dead, flat, 0, 0)


def _measure_slowly(line: Tensor, dead: npt.NDArray[np.bool_], flat: int | None) -> _Facts:
    """With NaN or infinite values, or some whose squares overflow."""
    nan, inf = int(line.isnan().sum()), int(line.isinf().sum())
    finite = line[torch.isfinite(line)].cpu().double()  # Apple GPUs have no float64
    if not len(finite):
        return _Facts(0, 0.0, 0.0, math.inf, -math.inf, dead, flat, nan, inf)
    return _Facts(
        len(finite),
        float(finite.mean()),
        float(finite.var(correction=0)),
        float(finite.min()),
        float(finite.max()),
        dead,
        flat,
        nan,
        inf,
    )


class _Sums:
    """The facts of several images put together."""

    def __init__(self) -> None:
        self._facts: list[_Facts] = []

    def add(self, facts: _Facts) -> None:
        self._facts.append(facts)

    def result(self) -> LayerStats:
        facts = self._facts
        count = sum(f.count for f in facts)
        mean = sum(f.mean * f.count for f in facts) / count if count else math.nan
        variance = sum((f.variance + (f.mean - mean) ** 2) * f.count for f in facts)
        dead = facts[0].dead
        for other in facts[1:]:
            # Sizes differ between images only where nothing is a channel.
            dead = dead & other.dead if dead.shape == other.dead.shape else dead & False
        every = count + sum(f.nan + f.inf for f in facts)
        flat = [f.flat for f in facts if f.flat is not None]
        return LayerStats(
            mean=mean,
            std=math.sqrt(variance / count) if count else math.nan,
            minimum=min(f.low for f in facts) if count else math.nan,
            maximum=max(f.high for f in facts) if count else math.nan,
            dead=100 * float(dead.mean()) if dead.size else 0.0,
            saturated=100 * sum(flat) / max(every, 1) if flat else None,
            nan=sum(f.nan for f in facts),
            inf=sum(f.inf for f in facts),
        )


def dead_layers(stats: dict[str, LayerStats], percent: float = 100.0) -> Sequence[str]:
    """Names of layers of whose channels at least this many percent are dead."""
    return [name for name, one in stats.items() if one.dead >= percent]
