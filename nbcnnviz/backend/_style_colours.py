"""Keeping the content's colours (Gatys, Bethge, Hertzmann & Shechtman 2016)."""

from __future__ import annotations

import torch
from torch import Tensor

_REGULAR = 1e-5
"""Added to variances, so that a plain picture has a square root to divide by."""


def matched(p: Tensor, like: Tensor) -> Tensor:
    """Colours (1, C, h, w) brought to the mean and covariance of others, by a linear map.

    p' = S_like^(1/2) S_p^(-1/2) (p - mean_p) + mean_like
    """
    mean, covariance = _moments(p)
    wanted, other = _moments(like)
    matrix = _power(other, 0.5) @ _power(covariance, -0.5)
    flat = matrix @ (p.double().flatten(2)[0] - mean) + wanted
    return flat.reshape(p.shape).to(p.dtype)


def lightness_only(change: Tensor) -> Tensor:
    """The part of a change of colours (N, C, H, W) that is the same in all channels.

    It moves the lightness and leaves differences between channels, the hue, where they are.
    """
    return change.mean(1, keepdim=True).expand_as(change)


def _moments(p: Tensor) -> tuple[Tensor, Tensor]:
    """(C, 1) and (C, C), in double precision."""
    flat = p.double().flatten(2)[0]
    mean = flat.mean(1, keepdim=True)
    centred = flat - mean
    regular = _REGULAR * torch.eye(len(flat), dtype=flat.dtype, device=flat.device)
    return mean, centred @ centred.T / flat.shape[1] + regular


def _power(matrix: Tensor, exponent: float) -> Tensor:
    values, vectors = torch.linalg.eigh(matrix)
    scaled: Tensor = vectors * values.clamp(min=_REGULAR).pow(exponent)
    made: Tensor = scaled @ vectors.T
    return made
