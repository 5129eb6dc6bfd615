"""What kind of layer a module of PyTorch's is."""

from __future__ import annotations

from torch import nn
from torch.nn.modules import activation, pooling
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.conv import _ConvNd

from ._walk import Frame, is_builtin

_NORMS = (_NormBase, nn.GroupNorm, nn.LayerNorm, nn.LocalResponseNorm, nn.CrossMapLRN2d)
_POOLS = tuple(v for n, v in vars(pooling).items() if isinstance(v, type) and "Pool" in n)
_ACTS = tuple(
    v
    for v in vars(activation).values()
    if isinstance(v, type) and issubclass(v, nn.Module) and v.__module__ == activation.__name__
    if v is not nn.MultiheadAttention
)
_RESIZES = (nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle)
_KINDS: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("conv", (_ConvNd,)),
    ("norm", _NORMS),
    ("pool", _POOLS),
    ("act", _ACTS),
    ("linear", (nn.Linear, nn.Bilinear)),
    ("resize", _RESIZES),
)


def kind_of(module: nn.Module) -> str:
    """The kind of a module without submodules."""
    return next((kind for kind, classes in _KINDS if isinstance(module, classes)), "other")


def is_builtin_kind(frame: Frame) -> bool:
    """A variant of one of PyTorch's layers, such as a convolution that pads by itself."""
    return frame.leaf and (is_builtin(frame.module) or kind_of(frame.module) != "other")
