"""What an Embedding answers to the smaller questions: selections, mean maps, search, tables."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from ..backend.maps import feature_maps, quantise
from ..backend.network import Network
from ._codec import Array, pack
from ._embedding_columns import Columns
from ._embedding_given import Given
from ._embedding_record import Indices, evenly
from ._embedding_work import Features
from ._worker import Job

if TYPE_CHECKING:
    from .embedding import Embedding

_MONTAGE = 48
_AVERAGED = 64
_CHANNELS = 12
_FOUND = 1000
_CLASSES = 100

Answer = tuple[str, dict[str, Any], bytes]


def selected(indices: Indices, columns: Columns) -> bytes:
    """The answer of lane "select"."""
    column = columns.classes
    counts = [] if column is None else column.counts(indices)[:_CLASSES]
    meta = {
        "count": len(indices),
        "classes": [list(pair) for pair in counts],
        "montage": evenly(indices, _MONTAGE).tolist(),
    }
    return pack(meta, {})


def mean_maps(
    job: Job, net: Network | None, given: Given, features: Features, layer: str, chosen: Indices
) -> bytes:
    """The answer of lane "maps": what some images have in common at a layer.

    Raises:
        ValueError: there are no maps, in words.
    """
    if net is None or given.source is None:
        raise ValueError("there are no feature maps without a network and images")
    if not len(chosen):
        raise ValueError("no point is selected")
    if layer not in features.layers:
        raise ValueError(f"there are no features of {layer!r} yet")
    channels = features.telling(layer, chosen, _CHANNELS)
    some = evenly(chosen, _AVERAGED)
    total, count, bad = None, 0, {failure.index for failure in features.failures}
    for step, index in enumerate(some.tolist()):
        job.progress(step, len(some))
        if index in bad:
            continue
        maps = feature_maps(net, given.source.get(index), layer)
        if max(channels) >= len(maps):
            raise ValueError(f"{layer} has {len(maps)} maps, but the features are not their means")
        maps = maps[channels].double()
        # Of images of another size the maps do not lie upon one another.
        if total is None or total.shape == maps.shape:
            total, count = maps if total is None else total + maps, count + 1
    if total is None:
        raise ValueError("none of these images could be read")
    codes = quantise((total / count).to(torch.float32))
    meta = {"count": count, "layer": layer, "channels": channels}
    return pack(meta, {"codes": codes.codes, "lo": codes.lo, "hi": codes.hi})


def search(text: str, given: Given, columns: Columns) -> bytes:
    """The answer of lane "find": whose name, label or other word contains the text."""
    wanted = text.strip().casefold()
    hits = np.zeros(given.count, bool)
    if wanted:
        if given.named:
            names = map(given.name, range(given.count))
            hits |= np.fromiter((wanted in n.casefold() for n in names), bool, given.count)
        elif wanted.isdecimal() and int(wanted) < given.count:
            hits[int(wanted)] = True
        for column in columns.all():
            words = () if column.key == "correct" else column.values or ()
            codes = [code for code, word in enumerate(words) if wanted in word.casefold()]
            if codes:
                hits |= np.isin(column.data, codes)
    found = np.flatnonzero(hits)
    return pack({"indices": found[:_FOUND].tolist(), "total": len(found)}, {})


def table(widget: Embedding) -> Any:
    """All that is known of the points as a pandas DataFrame.

    Raises:
        ImportError: pandas is not installed.
    """
    try:
        pandas: Any = importlib.import_module("pandas")
    except ImportError as error:
        raise ImportError("to_dataframe needs pandas: pip install pandas") from error
    given = widget._given
    xy = widget.coordinates
    names = [given.name(index) for index in range(given.count)]
    data: dict[str, Any] = {"name": names, "x": xy[:, 0], "y": xy[:, 1]}
    taken = {*data, "selected"}
    for column in widget._columns.all():
        title = column.key if not column.key.startswith("colours:") else column.title
        title = f"{title}_" if title in taken else title
        taken.add(title)
        data[title] = column.data if column.values is None else column.texts()
    chosen = np.zeros(given.count, bool)
    chosen[widget.selection] = True
    return pandas.DataFrame({**data, "selected": chosen})


def offline(widget: Embedding) -> Iterator[Answer]:
    """What a saved page can answer: all points, where the state has a sample, and the code."""
    yield "code", {}, pack({"code": widget.code()}, {})
    if widget._index is not None:
        yield "points", {}, widget._whole_blob()
        found = widget._shown
        if found is not None:
            question = found.question
            asked = {"layer": question.layer, "method": question.method}
            yield "embed", asked, found.blob()
    if widget._lapse_made is not None:
        yield "lapse", {}, widget._lapse_made[1]


def spread_layers(layers: list[Any], most: int = 6) -> list[str]:
    """Layers for a time-lapse: the last of each size of maps, then the vectors."""
    last: dict[Any, str] = {}
    for layer in layers:
        if layer.leaf:
            size = layer.shape[1:] if layer.spatial else layer.name
            last.pop(size, None)
            last[size] = layer.name
    names: Array = np.array(list(last.values()) or [layer.name for layer in layers])
    return [str(name) for name in evenly(names, most)]
