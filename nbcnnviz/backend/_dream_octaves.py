"""The sizes that a dream goes through, and gradients in tiles."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from ._dream_plan import Size

SMALLEST = 32
"""Pixels of the shorter edge; a smaller octave shows a deep layer next to nothing."""


def octave_sizes(size: tuple[int, int], octaves: int, scale: float) -> list[tuple[int, int]]:
    """Heights and widths from the smallest octave to the image itself.

    Octave i of n measures round(size / scale^(n - 1 - i)). Those that come out below 32 pixels
    are left out, the image itself never.

    Example:
        >>> octave_sizes((200, 100), 3, 2.0)
        [(100, 50), (200, 100)]
    """
    sizes = [size]
    for smaller in range(1, octaves):
        factor = scale**smaller
        height, width = (max(1, round(edge / factor)) for edge in size)
        if min(height, width) < SMALLEST:
            break
        sizes.append((height, width))
    # An octave scale near 1 may round to the same size twice.
    return list(dict.fromkeys(reversed(sizes)))


def left_out(wanted: int, sizes: Sequence[Size], what: str) -> tuple[str, ...]:
    """A note on how many of the octaves that were wanted are not among the sizes.

    Example:
        >>> left_out(4, [(40, 40), (80, 80), (160, 160)], "octave")
        ('1 octave below 32 pixels was left out.',)
    """
    count = wanted - len(sizes)
    if not count:
        return ()
    many, were = ("", "was") if count == 1 else ("s", "were")
    return (f"{count} {what}{many} below {SMALLEST} pixels {were} left out.",)


def roll(x: Tensor, shift: tuple[int, int]) -> Tensor:
    """The image (N, C, H, W) moved down and right, what leaves it comes in on the other side."""
    return torch.roll(x, shift, (2, 3))


def draw_shift(jitter: int, size: tuple[int, int], generator: torch.Generator) -> tuple[int, int]:
    """Whole pixels in -jitter..jitter, at most half the image: (down, right)."""
    most = [min(jitter, edge // 2) for edge in size]
    down, right = (
        int(torch.randint(-limit, limit + 1, (), generator=generator, device="cpu"))
        for limit in most
    )
    return down, right


def spans(length: int, tile: int | None) -> list[tuple[int, int]]:
    """Start and end of pieces of equal length (to a pixel), none longer than a tile."""
    count = 1 if tile is None else -(-length // tile)
    ends = [round(i * length / count) for i in range(count + 1)]
    return list(itertools.pairwise(ends))


def tiled(
    x: Tensor,
    tile: int | None,
    gradient: Callable[[Tensor], tuple[Tensor, dict[str, float]]],
) -> tuple[Tensor, dict[str, float]]:
    """A gradient taken tile by tile, each weighted by its share of the image.

    Every tile is seen for itself, so the memory needed is that of one. The numbers are means
    over the image as well.
    """
    down, right = (spans(int(edge), tile) for edge in x.shape[2:])
    if len(down) == len(right) == 1:
        return gradient(x)
    made = torch.zeros_like(x)
    totals: dict[str, float] = {}
    for top, bottom in down:
        for left, end in right:
            cut = (..., slice(top, bottom), slice(left, end))
            share = (bottom - top) * (end - left) / (x.shape[2] * x.shape[3])
            found, numbers = gradient(x[cut])
            made[cut] = found * share
            for name, number in numbers.items():
                totals[name] = totals.get(name, 0.0) + number * share
    return made, totals
