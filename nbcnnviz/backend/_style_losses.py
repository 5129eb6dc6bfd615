"""What style transfer minimises: content, Gram matrices, total variation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable


def gram_matrix(maps: Tensor) -> Tensor:
    """The Gram matrix (N, C, C) of maps (N, C, H, W): G = F F^T / (H W), F of C x H W.

    Gatys, Ecker & Bethge (2016, eq. 3) do not divide; dividing makes images of different size
    comparable.

    Example:
        >>> gram_matrix(torch.ones(1, 2, 3, 3))
        tensor([[[1., 1.],
                 [1., 1.]]])
    """
    return torch.stack([_self_product(each) for each in maps.flatten(2)]) / maps[0, 0].numel()


def _self_product(flat: Tensor) -> Tensor:
    """F F^T of a matrix (C, n), in strips from the diagonal on: the rest is the mirror image."""
    if flat.requires_grad and torch.is_grad_enabled():
        return flat @ flat.T
    channels = len(flat)
    product = flat.new_empty(channels, channels)
    for top in range(0, channels, width := max(32, channels // 8)):
        strip = flat[top : top + width] @ flat[top:].T
        product[top : top + width, top:] = strip
        product[top:, top : top + width] = strip.T
    return product


def content_loss(maps: Tensor, target: Tensor) -> Tensor:
    """mean((F - P)^2): Gatys et al.'s eq. 1, but for the factor (a mean in place of half a sum)."""
    return (maps - target).square().mean()


def style_loss(maps: Tensor, target: Tensor) -> Tensor:
    """mean((G - A)^2) for the Gram matrix G of maps (N, C, H, W) and a target A (N, C, C).

    Gatys et al.'s eq. 4, 1 / (4 C^2 (H W)^2) times the sum for undivided matrices, is a quarter
    of it.
    """
    loss: Tensor = _GramError.apply(maps, target)
    return loss


class _GramError(torch.autograd.Function):
    """The mean square error of a Gram matrix, with one product of matrices on the way back.

    Autograd takes one for each of the two factors F of F F^T, which are the same matrix, and
    loses the order of the maps in memory, so that adding up gradients becomes slow.
    """

    @staticmethod
    def forward(ctx: Any, maps: Tensor, target: Tensor) -> Tensor:
        error = gram_matrix(maps) - target
        ctx.save_for_backward(maps, error)
        return error.square().mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        maps, error = ctx.saved_tensors
        count, channels, height, width = maps.shape
        symmetric = error + error.transpose(1, 2)
        symmetric *= 2 * slope / (count * channels**2 * height * width)
        # (H W, C): in memory this is channels last.
        rows = [each.flatten(1).T @ error for each, error in zip(maps, symmetric, strict=True)]
        gradient = torch.stack(rows) if count > 1 else rows[0][None]
        return gradient.unflatten(1, (height, width)).permute(0, 3, 1, 2), None


def total_variation(p: Tensor) -> Tensor:
    """Mean squared difference of neighbouring colours of (N, C, H, W), down plus across."""
    down = p[..., 1:, :] - p[..., :-1, :]
    right = p[..., :, 1:] - p[..., :, :-1]
    zero = p.new_zeros(())
    return sum((d.square().mean() for d in (down, right) if d.numel()), zero)


def mixed(grams: Sequence[Tensor], weights: Sequence[float]) -> Tensor:
    """The weighted mean of Gram matrices: where the weighted sum of their losses is least."""
    total = sum(weights)
    shares = [weight / total for weight in weights]
    return torch.stack([g * share for g, share in zip(grams, shares, strict=True)]).sum(0)
