"""What the screen needs of one layer and one image: statistics of all channels, maps as bytes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backend.layers import Layer
from ..backend.maps import ChannelStatistics, Quantised
from ._codec import Array, pack

SORTS = ("index", "mean", "max", "variance", "sparsity")
_BY = {"mean": "mean", "max": "maximum", "variance": "variance", "sparsity": "sparsity"}

MAPS_AT_ONCE = 256
BYTES_AT_ONCE = 4 * 2**20


@dataclass(frozen=True)
class LayerRecord:
    """One layer's answer to one image, as small as the screen can do with."""

    layer: Layer
    image: int
    version: int
    """Of the network's weights, so that a map from before a training step is never shown after."""
    statistics: ChannelStatistics
    quantised: Quantised
    factor: int
    """The maps are area means over squares of this side; 1: as they are."""
    picture: npt.NDArray[np.uint8]
    """(H, W, 3) what the network sees."""

    @property
    def nbytes(self) -> int:
        """Bytes held; the picture is one for all layers."""
        return self.quantised.codes.nbytes + 64 * len(self.quantised.lo)

    def order(self, sort: str, hide_dead: bool) -> npt.NDArray[np.int32]:
        """The channels in the order of the grid: largest first, but "index" from 0 up."""
        channels = np.arange(len(self.quantised.lo), dtype=np.int32)
        if sort != "index":
            key = getattr(self.statistics, _BY[sort])
            channels = channels[np.argsort(-key.astype(np.float64), kind="stable")]
        return channels[~self.statistics.dead[channels]] if hide_dead else channels

    def maps(self, channels: npt.NDArray[np.int32]) -> dict[str, Array]:
        """The maps of some channels, as the lanes "layer" and "more" send them."""
        chosen = self.quantised
        return {
            "channels": channels,
            "codes": chosen.codes[channels],
            "lo": chosen.lo[channels],
            "hi": chosen.hi[channels],
        }

    def first(
        self, channels: npt.NDArray[np.int32], limit: int = BYTES_AT_ONCE
    ) -> npt.NDArray[np.int32]:
        """As many of the channels as go into one message, their maps into `limit` bytes."""
        cells = max(1, int(np.prod(self.quantised.codes.shape[1:])))
        return channels[: max(1, min(MAPS_AT_ONCE, limit // cells))]

    def blob(self, channels: npt.NDArray[np.int32]) -> bytes:
        """The answer of lane "layer": all about the layer, and the maps of `channels`."""
        arrays = self.maps(channels)
        statistics = self.statistics
        for entry in fields(statistics):
            value = getattr(statistics, entry.name)
            arrays[entry.name] = value.astype(np.uint8) if value.dtype == np.bool_ else value
        field = self.layer.field
        if field is not None:
            arrays["rows"] = field.rows.astype(np.int16)
            arrays["columns"] = field.columns.astype(np.int16)
        return pack(self._meta(), {**arrays, "picture": self.picture})

    def _meta(self) -> dict[str, Any]:
        return {
            "layer": self.layer.name,
            "image": self.image,
            "shape": list(self.layer.shape),
            "factor": self.factor,
            "signed": self.statistics.signed,
            # JavaScript's numbers are exact up to 2**53.
            "version": self.version & 0xFFFFFFFF,
        }


def compare_blob(records: Sequence[LayerRecord], channel: int) -> bytes:
    """The answer of lane "compare": one channel's map of each image, each with its own range."""
    arrays = {
        "codes": np.stack([each.quantised.codes[channel] for each in records]),
        "lo": np.stack([each.quantised.lo[channel] for each in records]),
        "hi": np.stack([each.quantised.hi[channel] for each in records]),
    }
    return pack({"layer": records[0].layer.name, "channel": channel}, arrays)
