"""What networks do, computed with PyTorch and free of any widget.

Everything here takes a `Network` or a bare `torch.nn.Module`, and leaves the model as found.
Names are loaded at first use.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ._dream_frames import Controls as Controls
    from ._dream_frames import DreamFrame as DreamFrame
    from ._dream_frames import Frames as Frames
    from ._saliency_mask import SaliencyMask as SaliencyMask
    from ._saliency_mask import saliency_mask as saliency_mask
    from .attribution import Attribution as Attribution
    from .attribution import Completeness as Completeness
    from .attribution import Explainer as Explainer
    from .attribution import attribute as attribute
    from .attribution import attribute_all as attribute_all
    from .cam import Check as Check
    from .cam import Terms as Terms
    from .doctor import LayerStats as LayerStats
    from .doctor import layer_stats as layer_stats
    from .dream import deep_dream as deep_dream
    from .embedding import Extraction as Extraction
    from .embedding import Frame as Frame
    from .embedding import Projection as Projection
    from .embedding import Quality as Quality
    from .embedding import TimeLapse as TimeLapse
    from .embedding import extract as extract
    from .embedding import extraction as extraction
    from .embedding import image_files as image_files
    from .embedding import project as project
    from .embedding import projection as projection
    from .embedding import quality as quality
    from .embedding import time_lapse as time_lapse
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
    from .maximization import maximize as maximize
    from .network import Network as Network
    from .network import Prediction as Prediction
    from .occlusion import Brush as Brush
    from .occlusion import Sweep as Sweep
    from .occlusion import occlude as occlude
    from .occlusion import occlusion_sweep as occlusion_sweep
    from .patches import Patch as Patch
    from .patches import TopPatches as TopPatches
    from .patches import top_patches as top_patches
    from .pooling import Arithmetic as Arithmetic
    from .pooling import GapContributions as GapContributions
    from .pooling import Pooled as Pooled
    from .pooling import PoolingLayer as PoolingLayer
    from .pooling import Translation as Translation
    from .pooling import gap_contributions as gap_contributions
    from .pooling import pool as pool
    from .pooling import pool_arithmetic as pool_arithmetic
    from .pooling import pool_at as pool_at
    from .pooling import pool_input as pool_input
    from .pooling import pool_problem as pool_problem
    from .pooling import pooling_layers as pooling_layers
    from .pooling import replace_pooling as replace_pooling
    from .pooling import shifted as shifted
    from .pooling import translation as translation
    from .preprocess import Preprocess as Preprocess
    from .randomisation import Randomisation as Randomisation
    from .randomisation import weight_randomisation as weight_randomisation
    from .receptive_field import ReceptiveField as ReceptiveField
    from .recorder import Recorder as Recorder
    from .recorder import Recording as Recording
    from .recorder import record as record
    from .rules import BackwardRule as BackwardRule
    from .sanity import Curve as Curve
    from .sanity import Sanity as Sanity
    from .sanity import cam_identities as cam_identities
    from .sanity import deletion_curve as deletion_curve
    from .sanity import insertion_curve as insertion_curve
    from .sanity import sanity_checks as sanity_checks
    from .style import StyleLayers as StyleLayers
    from .style import content_loss as content_loss
    from .style import gram_matrix as gram_matrix
    from .style import style_layers_for as style_layers_for
    from .style import style_loss as style_loss
    from .style import style_transfer as style_transfer
    from .style import total_variation as total_variation
    from .switches import Switches as Switches
    from .switches import pool_switches as pool_switches
    from .target import Target as Target

_HOMES = {
    "attribution": ("Attribution", "Completeness", "Explainer", "attribute", "attribute_all"),
    "cam": ("Check", "Terms"),
    "doctor": ("LayerStats", "layer_stats"),
    "dream": ("deep_dream",),
    "_dream_frames": ("Controls", "DreamFrame", "Frames"),
    "embedding": (
        "Extraction",
        "Frame",
        "Projection",
        "Quality",
        "TimeLapse",
        "extract",
        "extraction",
        "image_files",
        "project",
        "projection",
        "quality",
        "time_lapse",
    ),
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
    "maximization": ("maximize",),
    "network": ("Network", "Prediction"),
    "occlusion": ("Brush", "Sweep", "occlude", "occlusion_sweep"),
    "patches": ("Patch", "TopPatches", "top_patches"),
    "pooling": (
        "Arithmetic",
        "GapContributions",
        "Pooled",
        "PoolingLayer",
        "Translation",
        "gap_contributions",
        "pool",
        "pool_arithmetic",
        "pool_at",
        "pool_input",
        "pool_problem",
        "pooling_layers",
        "replace_pooling",
        "shifted",
        "translation",
    ),
    "preprocess": ("Preprocess",),
    "randomisation": ("Randomisation", "weight_randomisation"),
    "receptive_field": ("ReceptiveField",),
    "recorder": ("Recorder", "Recording", "record"),
    "rules": ("BackwardRule",),
    "_saliency_mask": ("SaliencyMask", "saliency_mask"),
    "sanity": (
        "Curve",
        "Sanity",
        "cam_identities",
        "deletion_curve",
        "insertion_curve",
        "sanity_checks",
    ),
    "style": (
        "StyleLayers",
        "content_loss",
        "gram_matrix",
        "style_layers_for",
        "style_loss",
        "style_transfer",
        "total_variation",
    ),
    "switches": ("Switches", "pool_switches"),
    "target": ("Target",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "Arithmetic",
    "Attribution",
    "BackwardRule",
    "Brush",
    "ChannelStatistics",
    "Check",
    "Completeness",
    "Controls",
    "Curve",
    "DreamFrame",
    "Explainer",
    "Extraction",
    "Frame",
    "Frames",
    "GapContributions",
    "Kernels",
    "Layer",
    "LayerStats",
    "Network",
    "Patch",
    "Pooled",
    "PoolingLayer",
    "Prediction",
    "Preprocess",
    "Projection",
    "Quality",
    "Quantised",
    "Randomisation",
    "ReceptiveField",
    "Recorder",
    "Recording",
    "SaliencyMask",
    "Sanity",
    "StyleLayers",
    "Sweep",
    "Switches",
    "Target",
    "Terms",
    "TimeLapse",
    "TopPatches",
    "Translation",
    "attribute",
    "attribute_all",
    "cam_identities",
    "channel_statistics",
    "content_loss",
    "deep_dream",
    "deletion_curve",
    "extract",
    "extraction",
    "feature_maps",
    "filled",
    "gap_contributions",
    "gram_matrix",
    "image_files",
    "insertion_curve",
    "kernels",
    "layer_stats",
    "load_image",
    "maximize",
    "occlude",
    "occlusion_sweep",
    "pool",
    "pool_arithmetic",
    "pool_at",
    "pool_input",
    "pool_problem",
    "pool_switches",
    "pooling_layers",
    "project",
    "projection",
    "quality",
    "quantise",
    "record",
    "reduce_maps",
    "replace_pooling",
    "saliency_mask",
    "sanity_checks",
    "shifted",
    "style_layers_for",
    "style_loss",
    "style_transfer",
    "time_lapse",
    "top_patches",
    "total_variation",
    "trace",
    "translation",
    "weight_randomisation",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
