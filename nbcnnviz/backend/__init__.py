"""What networks do, computed with PyTorch and free of any widget.

Everything here takes a `Network` or a bare `torch.nn.Module`, and leaves the model as found.
Names are loaded at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .doctor import LayerStats as LayerStats
    from .doctor import layer_stats as layer_stats
    from .fill import filled as filled
    from .images import load_image as load_image
    from .layers import Layer as Layer
    from .layers import trace as trace
    from .maps import ChannelStatistics as ChannelStatistics
    from .maps import Kernels as Kernels
    from .maps import Quantised as Quantised
    from .maps import channel_statistics as channel_statistics
    from .maps import feature_maps as feature_maps
    from .maps import kernels as kernels
    from .maps import quantise as quantise
    from .maps import reduce_maps as reduce_maps
    from .network import Network as Network
    from .network import Prediction as Prediction
    from .occlusion import Brush as Brush
    from .occlusion import Sweep as Sweep
    from .occlusion import occlude as occlude
    from .occlusion import occlusion_sweep as occlusion_sweep
    from .preprocess import Preprocess as Preprocess
    from .receptive_field import ReceptiveField as ReceptiveField
    from .recorder import Recorder as Recorder
    from .recorder import Recording as Recording
    from .recorder import record as record
    from .target import Target as Target

_HOMES = {
    "doctor": ("LayerStats", "layer_stats"),
    "fill": ("filled",),
    "images": ("load_image",),
    "layers": ("Layer", "trace"),
    "maps": (
        "ChannelStatistics",
        "Kernels",
        "Quantised",
        "channel_statistics",
        "feature_maps",
        "kernels",
        "quantise",
        "reduce_maps",
    ),
    "network": ("Network", "Prediction"),
    "occlusion": ("Brush", "Sweep", "occlude", "occlusion_sweep"),
    "preprocess": ("Preprocess",),
    "receptive_field": ("ReceptiveField",),
    "recorder": ("Recorder", "Recording", "record"),
    "target": ("Target",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Brush",
    "ChannelStatistics",
    "Kernels",
    "Layer",
    "LayerStats",
    "Network",
    "Prediction",
    "Preprocess",
    "Quantised",
    "ReceptiveField",
    "Recorder",
    "Recording",
    "Sweep",
    "Target",
    "channel_statistics",
    "feature_maps",
    "filled",
    "kernels",
    "layer_stats",
    "load_image",
    "occlude",
    "occlusion_sweep",
    "quantise",
    "record",
    "reduce_maps",
    "trace",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
