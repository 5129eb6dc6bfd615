"""Small pictures of the points of an Embedding."""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image, ImageOps
from torch import Tensor

from ..backend._embed_source import Source, Unreadable, reason_of
from ..backend._rng_guard import quiet
from ..backend.images import load_image, to_picture
from ..backend.network import Network
from ._codec import Array, pack
from ._embedding_given import Given
from ._embedding_record import evenly

RGB = npt.NDArray[np.uint8]

SIDE = 48
_KEPT = 4096
_COLUMNS = 16
_QUALITY = 80
_MOST = 256


class Thumbnails:
    """Pictures 48 x 48 of images by number; those looked at lately are kept."""

    def __init__(self, net: Network | None, given: Given) -> None:
        self._net, self._given = net, given
        self._known: OrderedDict[int, tuple[RGB, str]] = OrderedDict()
        self._lock = threading.Lock()

    def some(self, indices: Array) -> tuple[RGB, list[str]]:
        """Pictures (k, 48, 48, 3), and the names; an unreadable one is black, and says why."""
        found = [self._get(int(index)) for index in indices]
        pictures = np.zeros((len(found), SIDE, SIDE, 3), np.uint8)
        for place, (picture, _) in enumerate(found):
            pictures[place] = picture
        return pictures, [name for _, name in found]

    def _get(self, index: int) -> tuple[RGB, str]:
        # Two workers may ask, and a data set of the user's may not like that.
        with self._lock:
            if index not in self._known:
                self._known[index] = self._make(index)
            self._known.move_to_end(index)
            while len(self._known) > _KEPT:
                self._known.popitem(last=False)
            return self._known[index]

    def _make(self, index: int) -> tuple[RGB, str]:
        name, source = self._given.name(index), self._given.source
        nothing = np.zeros((SIDE, SIDE, 3), np.uint8)
        if source is None:
            return nothing, name
        try:
            # What data sets draw must not shift the user's own random numbers.
            with quiet(torch.device("cpu")):
                return self._picture(source, index), name
        except Exception as error:  # whatever a data set of the user's may raise
            return nothing, f"{name}: {reason_of(error)}"

    def _picture(self, source: Source, index: int) -> RGB:
        item = source.get(index)
        if isinstance(item, Unreadable):
            raise ValueError(item.reason)
        return small(_whole(item, self._net))

    def sheet(self, room: int, classes: Array | None) -> bytes:
        """The trait `_thumbs`: as many as fit into so many bytes, of all classes alike."""
        if self._given.source is None:
            return b""
        chosen = drawn(self._given.count, classes, min(_MOST, room // 400))
        pictures, _ = self.some(chosen)
        # What cannot be read takes no room.
        seen = pictures.any((1, 2, 3))
        chosen, pictures = chosen[seen], pictures[seen]
        while len(chosen):
            data = _jpeg(pictures)
            if len(data) <= room:
                meta = {"indices": chosen.tolist(), "height": SIDE, "width": SIDE}
                columns = {"columns": min(_COLUMNS, len(chosen))}
                return pack({**meta, **columns}, {"jpeg": np.frombuffer(data, np.uint8)})
            kept = evenly(np.arange(len(chosen)), min(len(chosen) - 1, len(chosen) * 3 // 4))
            chosen, pictures = chosen[kept], pictures[kept]
        return b""

    def close(self) -> None:
        """Let go of all."""
        with self._lock:
            self._known.clear()


def drawn(count: int, classes: Array | None, most: int) -> Array:
    """Numbers of points, as many of each class as there are places for, sorted."""
    if count <= most:
        return np.arange(count)
    draw = np.random.default_rng(0)
    order = draw.permutation(count)
    if classes is None:
        return np.sort(order[:most])
    # The first of every class, then the second of every class, and so on.
    kinds = classes[order]
    by_kind = np.argsort(kinds, kind="stable")
    starts = np.searchsorted(kinds[by_kind], kinds[by_kind], side="left")
    rank = np.empty(count, np.int64)
    rank[by_kind] = np.arange(count) - starts
    return np.sort(order[np.argsort(rank, kind="stable")[:most]])


def small(picture: RGB) -> RGB:
    """The middle of a picture, 48 x 48."""
    image = Image.fromarray(picture)
    way = Image.Resampling.LANCZOS if min(image.size) >= SIDE else Image.Resampling.NEAREST
    return np.asarray(ImageOps.fit(image, (SIDE, SIDE), way))


def _whole(item: Any, net: Network | None) -> RGB:
    """An image as one would look at it, (H, W, 3)."""
    if isinstance(item, Tensor) and item.is_floating_point():
        if net is not None:
            return net.picture(item)
        values = item.detach().float()
        values = values[None] if values.ndim == 2 else values
        lo, hi = values.min(), values.max()
        return to_picture((values - lo) / (hi - lo).clamp_min(1e-12))
    found = load_image(item)
    if isinstance(found, Image.Image):
        return np.asarray(found.convert("RGB"))
    return to_picture(torch.from_numpy(np.asarray(found)).movedim(-1, 0))


def _jpeg(pictures: RGB) -> bytes:
    columns = min(_COLUMNS, len(pictures))
    rows = -(-len(pictures) // columns)
    whole = np.zeros((rows * columns, SIDE, SIDE, 3), np.uint8)
    whole[: len(pictures)] = pictures
    grid = whole.reshape(rows, columns, SIDE, SIDE, 3).swapaxes(1, 2)
    buffer = io.BytesIO()
    sheet = Image.fromarray(grid.reshape(rows * SIDE, columns * SIDE, 3))
    sheet.save(buffer, "JPEG", quality=_QUALITY)
    return buffer.getvalue()
