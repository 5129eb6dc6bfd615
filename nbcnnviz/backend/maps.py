"""Feature maps, what can be said of each channel, and their quantised form for the screen."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.nn import functional as F

from ._walk import split_call
from .layers import Layer, name_of, wrap
from .recorder import record

if TYPE_CHECKING:
    from torch import nn

    from .network import Network

Floats = npt.NDArray[np.float32]
Ends: TypeAlias = tuple[Tensor, Tensor, bool]


def feature_maps(net: Network | nn.Module, image: Any, layer: Layer | str) -> Tensor:
    """What every channel of a layer answers to an image: its output, (C, H, W).

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        layer: as `net.layers()` gives it, or its name, for example "layer1.0.conv2".

    Raises:
        ValueError: there is no such layer (the nearest names are given), or it has no maps.

    Example:
        >>> import nbcnnviz as nv
        >>> maps = nv.backend.feature_maps(nv.Network.digits(), nv.sample_image("digit"), "conv1")
        >>> maps.ndim
        3
    """
    name = name_of(layer)
    return record(net, image, name)[name]


@dataclass(frozen=True)
class ChannelStatistics:
    """One figure per channel of a layer, each an array (C,), taken over the finite values."""

    mean: Floats
    minimum: Floats
    maximum: Floats
    variance: Floats
    sparsity: Floats
    """Share of values that are exactly zero, 0..1."""
    nan: npt.NDArray[np.int32]
    """How many values are not a number; infinities do not count."""
    dead: npt.NDArray[np.bool_]
    """Every value is exactly zero."""

    @property
    def signed(self) -> bool:
        """Whether any channel has a negative value."""
        return bool((self.minimum < 0).any())

    @property
    def range(self) -> tuple[float, float]:
        """Smallest and largest finite value in the layer."""
        if not self.minimum.size:
            return 0.0, 0.0
        return float(self.minimum.min()), float(self.maximum.max())


def channel_statistics(maps: Tensor, ends: Ends | None = None) -> ChannelStatistics:
    """Mean, extremes, variance and sparsity of each of the maps (C, H, W).

    `ends` is what `ends_of(maps)` gives, where that is known already. A channel without one
    finite value has mean, extremes and variance 0.

    Example:
        >>> channel_statistics(torch.zeros(2, 3, 3)).dead
        array([ True,  True])
    """
    flat = _as_float(maps).flatten(1)
    # (C, H * W); float64 where the sums could lose what three shown digits need
    low, high, every = ends_of(flat) if ends is None else ends
    if every:
        # torch.var_mean takes ten times as long.
        mean = flat.mean(1, dtype=torch.float64)
        variance = (flat - mean.float()[:, None]).square_().mean(1)
        nan = torch.zeros(len(flat), dtype=torch.int32)
    else:
        finite = torch.isfinite(flat)
        count = finite.sum(1).clamp(min=1)
        wide = torch.where(finite, flat, 0).double()
        mean = wide.sum(1) / count
        variance = (torch.where(finite, wide - mean[:, None], 0) ** 2).sum(1) / count
        nan = flat.isnan().sum(1).to(torch.int32)
    # As floats, since adding up truth values takes several times as long.
    zeros = torch.eq(flat, 0, out=torch.empty_like(flat)).sum(1, dtype=torch.float64)
    sparsity = zeros / max(flat.shape[1], 1)
    mean_, minimum, maximum, variance_, sparsity_ = _floats(mean, low, high, variance, sparsity)
    return ChannelStatistics(
        mean=mean_,
        minimum=minimum,
        maximum=maximum,
        variance=variance_,
        sparsity=sparsity_,
        nan=nan.cpu().numpy(),
        dead=(zeros == flat.shape[1]).cpu().numpy(),
    )


@dataclass(frozen=True)
class Quantised:
    """Maps as one byte a cell: code c in 0..254 is lo + c (hi - lo) / 254, 255 is NaN."""

    codes: npt.NDArray[np.uint8]
    """(n, h, w)"""
    lo: Floats
    """(n,) the smallest finite value of each map; infinities are clamped to the ends."""
    hi: Floats

    def values(self) -> Floats:
        """The values back, (n, h, w), within (hi - lo) / 508 of what they were."""
        step = (self.hi.astype(np.float64) - self.lo) / 254
        values = self.lo[:, None, None] + self.codes * step[:, None, None]
        return np.where(self.codes == 255, np.nan, values).astype(np.float32)


def quantise(maps: Tensor, ends: Ends | None = None) -> Quantised:
    """Put each map (n, h, w) on its own scale of 255 steps, and NaN on a code of its own.

    `ends` is what `ends_of(maps)` gives, where that is known already.

    Example:
        >>> quantise(torch.tensor([[[0.0, 1.0, float("nan")]]])).codes
        array([[[  0, 254, 255]]], dtype=uint8)
    """
    maps = _as_float(maps)
    lo, hi, every = ends_of(maps) if ends is None else ends
    # Halved before the subtraction: values of 1e38 and -3e38 are further apart than float32 goes.
    half = hi / 2 - lo / 2
    gain = 254 / half
    # Infinite for a constant map and for one within the smallest normal number: both are flat.
    gain = torch.where(torch.isfinite(gain), gain, 0)[:, None, None]
    codes = (maps / 2).sub_(lo[:, None, None] / 2).mul_(gain)
    if not every:
        codes = torch.where(maps.isnan(), 255.0, codes.nan_to_num(0, 254, 0).clamp(0, 254))
    return Quantised(codes.round_().to(torch.uint8).cpu().numpy(), *_floats(lo, hi))


def ends_of(maps: Tensor) -> Ends:
    """Smallest and largest finite value of each map, 0 where there is none; are all finite?"""
    flat = _as_float(maps).flatten(1)
    if not flat.shape[1]:
        return flat.new_zeros(len(flat)), flat.new_zeros(len(flat)), True
    # Two calls: aminmax along a dimension takes many times as long on a CPU.
    low, high = flat.amin(1), flat.amax(1)
    # NaN and infinities show in the ends, and in their sum.
    if math.isfinite(float(low.sum() + high.sum())):
        return low, high, True
    finite = torch.isfinite(flat)
    low = torch.where(finite, flat, torch.inf).amin(1)
    high = torch.where(finite, flat, -torch.inf).amax(1)
    nothing = low > high
    return low.masked_fill(nothing, 0), high.masked_fill(nothing, 0), False


def reduce_maps(maps: Tensor, side: int = 112) -> tuple[Tensor, int]:
    """Area means over the smallest square that brings the longer side of the maps to `side`.

    Returns the maps (C, ceil(H / factor), ceil(W / factor)) and the factor (1: unchanged).
    Cells at the lower and right edge average what there is.
    """
    factor = -(-max(maps.shape[-2:]) // side)
    if factor <= 1:
        return maps, 1
    reduced = F.avg_pool2d(_as_float(maps)[None], factor, ceil_mode=True, count_include_pad=False)
    return reduced[0], factor


def _as_float(maps: Tensor) -> Tensor:
    """float32, since half precision sums overflow and CPUs lack some of its kernels."""
    # Apple's GPUs have no float64, in which the means below are summed.
    device = "cpu" if maps.device.type == "mps" else maps.device
    return maps.detach().to(device, torch.float32)


def _floats(*rows: Tensor) -> list[Floats]:
    """Each as float32 of NumPy, all at once: these are small, and calls cost more than sums."""
    # The variance of values around 1e38 is beyond float32: say "huge", not "infinite".
    most = torch.finfo(torch.float32).max
    joint = torch.stack([row.float() for row in rows]).nan_to_num_(0, most, -most)
    return list(joint.cpu().numpy())


@dataclass(frozen=True)
class Kernels:
    """The weights with which one channel of a convolution looks at its inputs."""

    weights: Floats
    """(k, kh, kw), strongest first by L2 norm; (3, kh, kw) in input order when `rgb`."""
    inputs: npt.NDArray[np.int32]
    """(k,) the input channel that each kernel looks at."""
    rgb: bool
    """The convolution has three inputs, so that its kernels are a small colour picture."""


def kernels(
    net: Network | nn.Module, layer: Layer | str, channel: int, limit: int = 256
) -> Kernels | None:
    """The kernels of one channel of a convolution; None for any other layer.

    First-layer filters and dead filters are read from them: Zeiler & Fergus 2014, fig. 6.

    Args:
        net: a `Network` or a bare module.
        layer: a convolution module, as `net.layers()` gives it or by name.
        channel: which of its outputs.
        limit: at most so many kernels, the strongest.
    """
    modules = dict(wrap(net).model.named_modules())
    name = name_of(layer)
    module = modules.get(name, modules.get(split_call(name)[0]))
    if not isinstance(module, torch.nn.Conv2d) or not 0 <= channel < module.out_channels:
        return None
    group = channel // (module.out_channels // module.groups)
    # (inputs of the group, kh, kw)
    mine = module.weight.detach()[channel].to("cpu", torch.float32)
    if len(mine) == 3 and module.groups == 1:
        return Kernels(mine.numpy().copy(), np.arange(3, dtype=np.int32), True)
    strongest = mine.flatten(1).norm(dim=1).argsort(descending=True, stable=True)[:limit]
    inputs = strongest.numpy().astype(np.int32) + group * len(mine)
    return Kernels(mine[strongest].numpy(), inputs, False)
