"""What the screen needs of one layer's maps to pool them: settings, maps as bytes, statistics."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..backend import maps
from ..backend._pool_settings import OPS, Pooling
from ..backend.layers import Layer
from ..backend.pooling import Pooled, PoolingLayer, pool
from ._codec import Array, pack

SIDE = 112
"""Maps in the grids are at most so large."""
_BYTES_AT_ONCE = 4 * 2**20

Floats = npt.NDArray[np.float32]
Pair = tuple[int, int]


@dataclass(frozen=True)
class How:
    """The widget's settings, as the backend takes them."""

    op: str = "max"
    window: Pair = (2, 2)
    stride: Pair = (2, 2)
    padding: Pair = (0, 0)
    dilation: Pair = (1, 1)
    ceil_mode: bool = False

    @classmethod
    def of(cls, own: Pooling | None, size: Pair) -> How:
        """Where to begin: as the network pools maps of this size, or by maxima of 2 x 2.

        What the settings cannot say, other norms and windows of several sizes, becomes the nearest
        that they can, with as many values.
        """
        if own is None:
            window = min(2, size[0]), min(2, size[1])
            return cls(window=window, stride=window)
        op = own.op
        if op not in OPS:
            op = "max" if op.endswith("max") else "avg" if op.endswith("avg") else "l2"
        if own.output is not None:
            # The largest stride with which windows of one size reach over the whole map.
            (height, width), (rows, columns) = size, own.output
            stride = max(1, height // rows), max(1, width // columns)
            rest = height - (rows - 1) * stride[0], width - (columns - 1) * stride[1]
            return cls(op, (max(1, rest[0]), max(1, rest[1])), stride)
        window, stride = own.windows()
        return cls(op, window, stride, own.padding, own.dilation, own.ceil_mode)

    def args(self) -> dict[str, Any]:
        """As keywords of `pool`, `pool_at` and `replace_pooling`, and as JSON."""
        return {
            "op": self.op,
            "window": list(self.window),
            "stride": list(self.stride),
            "padding": list(self.padding),
            "dilation": list(self.dilation),
            "ceil_mode": self.ceil_mode,
        }

    def given(self) -> dict[str, Any]:
        """What has to be said in Python, numbers instead of pairs where they are equal."""
        if self.op.startswith("global"):
            return {"op": self.op}
        made: dict[str, Any] = {"op": self.op}
        for name in ("window", "stride", "padding", "dilation"):
            made[name] = simple(getattr(self, name))
        return {**made, "ceil_mode": self.ceil_mode}


def simple(pair: Pair) -> int | Pair:
    """3 rather than (3, 3)."""
    return pair[0] if pair[0] == pair[1] else pair


@dataclass(frozen=True, eq=False)
class PoolRecord:
    """The maps of one layer before pooling, exact, and as small as the grids can do with."""

    layer: Layer
    own: PoolingLayer | None
    """How the network pools them; None for a layer that does not pool."""
    version: int
    """Of the network's weights."""
    exact: Tensor
    """(C, H, W) on the CPU, in the network's own precision."""
    quantised: maps.Quantised
    factor: int
    statistics: maps.ChannelStatistics

    @classmethod
    def of(cls, layer: Layer, own: PoolingLayer | None, version: int, before: Tensor) -> PoolRecord:
        """From the maps (C, H, W) that go into the pooling."""
        exact = before.detach().to("cpu")
        reduced, factor = maps.reduce_maps(exact, SIDE)
        statistics = maps.channel_statistics(exact)
        return cls(layer, own, version, exact, maps.quantise(reduced), factor, statistics)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.exact.nbytes + self.quantised.codes.nbytes + 64 * len(self.quantised.lo)

    @property
    def size(self) -> Pair:
        """Height and width of the maps."""
        return self.exact.shape[1], self.exact.shape[2]

    @property
    def start(self) -> How:
        """The settings to begin with."""
        return How.of(self.own, self.size)

    def first(self, limit: int = _BYTES_AT_ONCE) -> npt.NDArray[np.int32]:
        """So many of the channels as their maps go into `limit` bytes."""
        cells = max(1, int(np.prod(self.quantised.codes.shape[1:])))
        return np.arange(max(1, min(len(self.exact), limit // cells)), dtype=np.int32)

    def meta(self) -> dict[str, Any]:
        """What there is to say of the layer, as JSON."""
        own = self.own
        return {
            "layer": self.layer.name,
            "pools": own is not None,
            "own": None if own is None else own_parameters(own),
            "shape": list(self.exact.shape),
            "after": None if own is None else list(self.layer.shape),
            "factor": self.factor,
        }

    def arrays(self, channels: npt.NDArray[np.int32]) -> dict[str, Array]:
        """The maps of some channels, and figures of all."""
        return {
            **self.some(channels),
            "means": self.statistics.mean,
            "maxima": self.statistics.maximum,
            "minima": self.statistics.minimum,
        }

    def some(self, channels: npt.NDArray[np.int32]) -> dict[str, Array]:
        """The maps of some channels."""
        return {
            "codes": self.quantised.codes[channels],
            "channels": channels,
            "lo": self.quantised.lo[channels],
            "hi": self.quantised.hi[channels],
        }

    def pooled(self, how: How, channels: Any = slice(None)) -> Pooled:
        """The exact maps pooled, or those of some channels.

        Raises:
            ValueError: they cannot be pooled so.
        """
        args = {**how.args(), **_uncounted(self.own)}
        return pool(self.exact[channels], **args)

    def stack(self, how: How, channels: npt.NDArray[np.int32]) -> tuple[dict[str, Any], Any]:
        """Some channels pooled, as bytes: meta and arrays.

        Raises:
            ValueError: they cannot be pooled so.
        """
        values = self.pooled(how, channels.tolist()).values
        reduced, factor = maps.reduce_maps(values, SIDE)
        made = maps.quantise(reduced)
        meta = {
            "layer": self.layer.name,
            "how": how.args(),
            "factor": factor,
            "size": list(values.shape[1:]),
        }
        return meta, {"codes": made.codes, "channels": channels, "lo": made.lo, "hi": made.hi}

    def blob(self) -> bytes:
        """The answer of lane "layer"."""
        return pack(self.meta(), self.arrays(self.first()))


def own_parameters(own: PoolingLayer) -> dict[str, Any]:
    """A pooling call's parameters as JSON."""
    window = None if own.window is None else list(own.window)
    stride = window if own.stride is None else list(own.stride)
    return {
        "op": own.op,
        "window": window,
        "stride": stride,
        "padding": list(own.padding),
        "dilation": list(own.dilation),
        "ceil_mode": own.ceil_mode,
        **({"count_include_pad": True, "divisor_override": None} | _uncounted(own)),
        "output": None if own.output is None else list(own.output),
    }


def _uncounted(own: PoolingLayer | None) -> dict[str, Any]:
    """How the layer's averages count: the widget has no settings for that."""
    if own is None or own.whole:
        return {}
    return {"count_include_pad": own.count_include_pad, "divisor_override": own.divisor_override}
