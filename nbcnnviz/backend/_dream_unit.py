"""Whose favourite is looked for: a class, or a channel and a place in its map."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ._arguments import is_whole, plain
from .layers import Layer
from .target import Target, find_label


def class_index(target: Any, labels: Sequence[str] | None, count: int) -> int:
    """The index of a class by its index or label, of so many classes.

    Raises:
        TypeError, ValueError: it is neither, or there is no such class.
    """
    target = plain(target)
    if not count:
        raise ValueError(f"target={target!r}: the network gives no class scores; give a channel")
    if isinstance(target, str):
        if labels is None:
            raise ValueError(f"target={target!r}: the network has no labels; give a class index")
        try:
            return find_label(target, labels)
        except ValueError as error:
            # A unit, which `Target` would take as well, is given by layer and channel here.
            said = str(error).partition(" For a unit of a layer")[0]
            raise ValueError(f"{said} For a channel give layer and channel") from None
    if isinstance(target, Target) and target.index is not None:
        target = target.index
    if not is_whole(target):
        raise TypeError(
            f"target={target!r}: give the index or label of a class; for a unit of a layer give "
            "layer and channel"
        )
    if not 0 <= target < count:
        raise ValueError(f"target={target!r}: there are {count} classes; give 0 to {count - 1}")
    return int(target)


def channel_index(layer: Layer, channel: Any) -> int:
    """The number of a channel that the layer has.

    Raises:
        TypeError, ValueError: it is none, or the layer has not so many.
    """
    channel = plain(channel)
    if not is_whole(channel):
        raise TypeError(f"channel={channel!r}: give the number of a channel of {layer.name!r}")
    if not 0 <= channel < layer.shape[0]:
        raise ValueError(
            f"channel={channel!r}: {layer.name!r} has {layer.shape[0]} channels, "
            f"0 to {layer.shape[0] - 1}"
        )
    return int(channel)


def place_of(position: Any) -> Any:
    """None, "center" or (y, x).

    Raises:
        TypeError: something else.
    """
    position = plain(position)
    if position is None or position == "center":
        return position
    pair = isinstance(position, tuple | list) and len(position) == 2
    if not pair or not all(is_whole(each) and each >= 0 for each in position):
        raise TypeError(f'position={position!r}: give None, "center" or (y, x) in the map')
    return int(position[0]), int(position[1])


def rectified(layer: Layer, layers: list[Layer]) -> Layer | None:
    """What an activation rectifies: the leaf that ran just before it, if its maps fit."""
    if layer.kind != "act":
        return None
    earlier = [one for one in layers[: layers.index(layer)] if one.leaf]
    fits = bool(earlier) and earlier[-1].shape == layer.shape and earlier[-1].spatial
    return earlier[-1] if fits else None
