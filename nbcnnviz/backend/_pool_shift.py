"""How far maps change when the picture moves by a few pixels, before and after pooling."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import layers
from ._pool_compute import compute
from ._pool_layers import Changes, PoolingLayer, maps_at, name_of, prepared
from ._pool_settings import read_pair
from .layers import Layer

if TYPE_CHECKING:
    from .network import Network

EDGES = ("replicate", "wrap")
"""What moves in at the edge: the edge's own pixels again, or those that moved out opposite."""
Shifts = tuple[int, int] | Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Translation:
    """Relative distances ||F(shifted x) - F(x)|| / ||F(x)|| of the maps F of one layer."""

    layer: str
    shifts: tuple[tuple[int, int], ...]
    """(dy, dx) in pixels of the network's input; positive ones move the picture down, right."""
    before: tuple[float, ...]
    """Of the maps before pooling, for each shift."""
    after: tuple[float, ...]
    """Of the pooled maps."""
    far: tuple[float, float]
    """Both for a picture rolled by half its height and width, of which nothing is in place: the
    yardstick, since smooth maps are never far from each other."""
    edge: str


def shifted(x: Tensor, dy: int, dx: int, edge: str = "replicate") -> Tensor:
    """Pictures or maps (..., H, W) moved by whole cells: out[y, x] = in[y - dy, x - dx].

    Args:
        x: of any type; a copy is returned.
        dy, dx: cells down and to the right, negative ones up and to the left.
        edge: "replicate" repeats the edge where nothing moves in, "wrap" takes what moved out.

    Raises:
        ValueError: no such edge; fewer dimensions than two.

    Example:
        >>> row = torch.tensor([[1, 2, 3]])
        >>> shifted(row, 0, 1), shifted(row, 0, 1, "wrap")
        (tensor([[1, 1, 2]]), tensor([[3, 1, 2]]))
    """
    _check_edge(edge)
    if x.ndim < 2:
        raise ValueError(f"x: a tensor of {x.ndim} dimensions; give (..., H, W)")
    for dim, by in ((-2, dy), (-1, dx)):
        places = torch.arange(x.shape[dim], device=x.device) - by
        places = places.clamp(0, x.shape[dim] - 1) if edge == "replicate" else places % x.shape[dim]
        x = x.index_select(dim, places)
    return x


def _check_edge(edge: str) -> None:
    if edge not in EDGES:
        raise ValueError(f"edge={edge!r}: give 'replicate' or 'wrap'")


def distance(a: Tensor, b: Tensor) -> float:
    """||b - a|| / ||a|| over all maps, in double precision; 0 if both are zero."""
    change, size = float((b.double() - a.double()).norm()), float(a.double().norm())
    return change / size if size else float("inf") if change else 0.0


def translation(
    net: Network | nn.Module,
    image: Any,
    layer: PoolingLayer | Layer | str,
    shifts: Shifts = (0, 1),
    op: str | None = None,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] | None = None,
    dilation: int | tuple[int, int] | None = None,
    ceil_mode: bool | None = None,
    *,
    edge: str = "replicate",
) -> Translation:
    """How much the maps of a layer change when the picture moves, before and after pooling.

    The Euclidean distance of Zeiler & Fergus 2014 (fig. 5, https://arxiv.org/abs/1311.2901) between
    what an image and the moved image give, here divided by the size of the former so that maps of
    different sizes compare:

        d = ||F(S x) - F(x)||_2 / ||F(x)||_2

    Nothing is moved back: it is invariance that is measured, not whether the maps move along. That
    pooled maps have a smaller d is partly since they are smoother; held against `Translation.far`
    that share cancels.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        layer: as for `pool_at`; "before" is what goes into a layer that pools, else its output.
        shifts: (dy, dx) in pixels of the network's input, or a list of them; one pass each.
        op, window, stride, padding, dilation, ceil_mode: how to pool, see `pool_at`.
        edge: what moves in, see `shifted`.

    Raises:
        TypeError, ValueError: as `pool_at`; a shift that is no pair of whole numbers; no such edge.

    Example:
        >>> import nbcnnviz as nv
        >>> net, image = nv.Network.digits(), nv.sample_image("digit")
        >>> moved = translation(net, image, "pool1", [(0, 0), (0, 1)])
        >>> moved.before[0], moved.after[1] < moved.before[1]
        (0.0, True)
    """
    changes = Changes.read(op, window, stride, padding, dilation, ceil_mode, None, None)
    _check_edge(edge)
    pairs = tuple(_pairs(shifts))
    net, name = layers.wrap(net), name_of(layer)
    x = prepared(net, image)

    def both(x: Tensor) -> tuple[Tensor, Tensor]:
        maps, base = maps_at(net, x, name)
        chosen = changes.of(base, name)
        chosen.check((maps.shape[1], maps.shape[2]))
        return maps, compute(maps, chosen).values

    first = both(x)

    def moved(dy: int, dx: int, edge: str) -> tuple[float, float]:
        other = both(shifted(x, dy, dx, edge))
        return distance(first[0], other[0]), distance(first[1], other[1])

    found = [moved(dy, dx, edge) for dy, dx in pairs]
    far = moved(int(x.shape[2]) // 2, int(x.shape[3]) // 2, "wrap")
    return Translation(
        name, pairs, tuple(d for d, _ in found), tuple(d for _, d in found), far, edge
    )


def _pairs(shifts: Any) -> Iterator[tuple[int, int]]:
    several = isinstance(shifts, tuple | list)
    pairs = (
        shifts if several and all(isinstance(each, tuple | list) for each in shifts) else [shifts]
    )
    for each in pairs:
        if not isinstance(each, tuple | list) or len(each) != 2:
            raise TypeError(f"shifts={shifts!r}: give (dy, dx), or a list of such pairs")
        yield read_pair(each, "shifts")


__all__ = ["EDGES", "Translation", "distance", "shifted", "translation"]
