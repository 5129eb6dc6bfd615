"""What a saved page of FeatureMaps can answer: whole layers, within a budget of bytes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..backend import maps
from ._codec import pack
from ._layer_record import LayerRecord, compare_blob

if TYPE_CHECKING:
    from .feature_maps import FeatureMaps

Answer = tuple[str, dict[str, Any], bytes]

_IMAGES = 4 * 2**20
"""Bytes of maps of the other images; where they are too many, all maps are smaller, none is left
out. So it is with the next two."""
_COMPARE = 3 * 2**20
_LAYERS = 16 * 2**20
_FLOATS = 4 * 2**20
"""Bytes of exact numbers, for the first channels of the grid."""
_CODES = 256
"""Channels with a line of Python of their own."""


def answers(widget: FeatureMaps, layers: object = None) -> Iterator[Answer]:
    """The current layer for every image, and `layers` for the current image.

    Raises:
        TypeError: `layers` is no name and no list of names.
        ValueError: a name is unknown, or the layer has no maps.
    """
    further = [name for name in _names(widget, layers) if name != widget.layer]
    count = len(widget._inputs)
    seen = [widget._record(widget.layer, index) for index in range(count)]
    yield from _rest(widget, seen[widget.image_index])
    others = [each for each in seen if each.image != widget.image_index]
    yield from _layers(others, _IMAGES)
    if others:
        yield from _comparisons(seen)
    yield from _layers([widget._record(name, widget.image_index) for name in further], _LAYERS)
    yield from _channels(widget)
    shown = [(widget.layer, index) for index in range(count)]
    for layer, image in [*shown, *((name, widget.image_index) for name in further)]:
        # Without a channel among its arguments it serves for all of them.
        code = widget._code_for(layer, image, None)
        yield "code", {"layer": layer, "image": image}, pack({"code": code}, {})


def _names(widget: FeatureMaps, layers: object) -> list[str]:
    """The layers that were asked for, each once."""
    if layers is None:
        return []
    if layers == "all":
        return [each.name for each in widget.layers if each.spatial]
    names = [layers] if isinstance(layers, str) else layers
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f'layers={layers!r}: give a layer\'s name, a list of names, or "all"')
    return list(dict.fromkeys(widget._usable(name).name for name in names))


def _rest(widget: FeatureMaps, record: LayerRecord) -> Iterator[Answer]:
    """The maps of the current layer that are not in the trait, which a notebook keeps small."""
    channels = np.arange(len(record.quantised.lo), dtype=np.int32)
    rest = np.setdiff1d(channels, widget._saved_channels(record))
    if rest.size:
        where = {"layer": record.layer.name, "image": record.image}
        yield "more", where, pack(where, record.maps(rest))


def _layers(records: Sequence[LayerRecord], budget: int) -> Iterator[Answer]:
    limit = _limit([each.quantised.codes.nbytes for each in records], budget)
    for record in records:
        where = {"layer": record.layer.name, "image": record.image}
        small = _within(record, limit)
        yield "layer", where, small.blob(small.order("index", False))


def _comparisons(records: Sequence[LayerRecord]) -> Iterator[Answer]:
    small = [_within(each, _COMPARE // len(records)) for each in records]
    layer = records[0].layer
    for channel in range(layer.shape[0]):
        args = {"layer": layer.name, "channel": channel}
        yield "compare", args, compare_blob(small, channel)


def _channels(widget: FeatureMaps) -> Iterator[Answer]:
    """Exact numbers and code of the first channels of the grid."""
    layer, image = widget.layer, widget.image_index
    exact = widget._float_maps(layer, image)
    record = widget._record(layer, image)
    opened = [] if widget.channel is None else [widget.channel]
    grid = record.order(widget.sort, widget.hide_dead).tolist()
    channels = list(dict.fromkeys([*opened, *grid]))
    args = [{"layer": layer, "image": image, "channel": channel} for channel in channels]
    for each in args[: _FLOATS // max(1, 4 * exact[0].numel())]:
        yield "channel", each, widget._channel_blob(layer, image, each["channel"])
    for each in args[:_CODES]:
        code = widget._code_for(layer, image, each["channel"])
        yield "code", each, pack({"code": code}, {})


def _limit(sizes: Sequence[int], budget: int) -> int:
    """The largest size to which all can be cut so that together they are within the budget."""
    left = budget
    for place, size in enumerate(sorted(sizes)):
        share = left // (len(sizes) - place)
        if size > share:
            return share
        left -= size
    return budget


def _within(record: LayerRecord, limit: int) -> LayerRecord:
    """The same with maps so small that all of them are within `limit` bytes."""
    codes = record.quantised.codes
    if codes.nbytes <= limit:
        return record
    # Twice as coarse is a quarter of the bytes.
    coarser = int(np.ceil(np.sqrt(codes.nbytes / max(limit, 1))))
    side = -(-max(codes.shape[1:]) // coarser)
    values = torch.from_numpy(record.quantised.values())
    reduced, factor = maps.reduce_maps(values, side)
    return replace(record, quantised=maps.quantise(reduced), factor=record.factor * factor)
