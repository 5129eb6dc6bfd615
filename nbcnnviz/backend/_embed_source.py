"""Where images come from one after another: lists, data sets, loaders, folders, arrays."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import BatchSampler, DataLoader, RandomSampler, SequentialSampler

from . import _embed_digest as digests
from ._model import kind

SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
"""Of the files that are taken from a folder."""
_KEYS = ("image", "img", "pixel_values", "x", "input")
"""Under which data sets of dictionaries keep their pictures."""
_WANTED = (
    "give a list of images, a data set, a DataLoader, a folder, or an array (N, H, W, C) or "
    "(N, C, H, W)"
)


@dataclass(frozen=True)
class Unreadable:
    """Stands where an image could not be had."""

    reason: str


class Source:
    """Images in a fixed order.

    Args:
        images: see `backend.extract`.

    Raises:
        TypeError, ValueError: it holds no images, or a single one.
    """

    def __init__(self, images: Any) -> None:
        self.notes: list[str] = []
        self.count: int | None
        """How many there are, if that is known beforehand."""
        self.repeatable = True
        """Reading it again gives the same order."""
        self.items: Any = images
        """Those that can be asked for by number, or something to go through."""
        self.indexed = True
        if isinstance(images, str | os.PathLike):
            self.items = image_files(images)
        elif isinstance(images, DataLoader):
            self._read_loader(images)
            return
        elif isinstance(images, np.ndarray | Tensor):
            _check_array(images)
        elif isinstance(images, bytes | bytearray):
            raise TypeError(f"images: {kind(images)}; {_WANTED}")
        elif hasattr(images, "iloc"):
            self.items = by_position(images)
        elif not (hasattr(images, "__getitem__") and isinstance(images, Sized)):
            self._read_stream(images)
            return
        elif isinstance(images, Mapping):
            raise TypeError(f"images: a {kind(images)}; give list({'...'}.values())")
        self.count = len(self.items)
        if not self.count:
            raise ValueError(f"images: there are none; {_WANTED}")

    def _read_loader(self, loader: Any) -> None:
        self.indexed = False
        batches = loader.batch_sampler
        # With batches of the user's own the loader has another sampler that it does not ask.
        own = batches is not None and type(batches) is not BatchSampler
        order = loader.sampler if batches is None or own else batches.sampler
        self.count = None if own else _loader_count(loader, order)
        stream = isinstance(loader.dataset, torch.utils.data.IterableDataset)
        if own or not (stream or type(order) is SequentialSampler):
            self.repeatable = False
            shuffles = not own and isinstance(order, RandomSampler)
            how = "shuffles" if shuffles else f"has a {kind(batches if own else order)}"
            self.notes.append(
                f"The loader {how}: rows are in the order in which it gave the images, not in "
                "that of its data set."
            )
        if not own and batches is not None and batches.drop_last and isinstance(order, Sized):
            lost = len(order) % batches.batch_size
            if lost:
                self.notes.append(f"The loader drops its last {lost} images (drop_last).")

    def _read_stream(self, images: Any) -> None:
        if hasattr(images, "save") and hasattr(images, "mode"):
            raise TypeError("images: a single picture; give [picture]")
        if not isinstance(images, Iterable):
            raise TypeError(f"images: a {kind(images)}; {_WANTED}")
        self.indexed, self.count = False, len(images) if isinstance(images, Sized) else None

    def name(self, index: int) -> str:
        """What to call an image in messages: its file, if it has one."""
        item = self.items[index] if self.indexed and isinstance(self.items, list) else None
        return os.fspath(item) if isinstance(item, str | os.PathLike) else f"image {index}"

    def signature(self) -> str:
        """What must be the same when a broken-off run is resumed.

        Of arrays some rows are compared, of files sizes and times, of lists and data sets the
        first, a middle and the last image, of a loader the first. A stream only comes by once, so
        that nothing can be told of it but its type.
        """
        if isinstance(self.items, np.ndarray | Tensor):
            return f"{kind(self.items)} {digests.of_array(self.items)}"
        what = f"{'?' if self.count is None else self.count} images of a {kind(self.items)}"
        content = self._content()
        return f"{what}, content {content}" if content else what

    def _content(self) -> str:
        items = self.items
        if self.indexed:
            listed = items if isinstance(items, list | tuple) else ()
            files = [file for file in listed if isinstance(file, str | os.PathLike)]
            places = digests.spread(self.count or 0, 3)
            some = digests.of_images(lambda: [self.get(place) for place in places])
            return digests.digest([digests.of_files(files), some])
        # Not from the data set, whose files workers would then find open.
        streams = torch.utils.data.IterableDataset
        if isinstance(items, DataLoader) and not isinstance(items.dataset, streams):
            return digests.of_images(lambda: list(islice(self.read(), 1)))
        return ""

    def read(self, start: int = 0) -> Iterator[Any]:
        """One image after another from `start` on; an `Unreadable` where there is none."""
        if self.indexed:
            for index in range(start, self.count or 0):
                yield self.get(index)
            return
        for number, item in enumerate(self._stream()):
            if number >= start:
                yield item

    def taken(self, start: int = 0) -> Taking:
        """The same in handfuls."""
        return Taking(self, start)

    def get(self, index: int) -> Any:
        """The image of this number."""
        try:
            return image_of(self.items[index])
        except Exception as error:  # whatever a data set of the user's may raise
            return Unreadable(reason_of(error))

    def _stream(self) -> Iterator[Any]:
        if not isinstance(self.items, DataLoader):
            yield from map(image_of, self.items)
            return
        for batch in self.items:
            yield from [image_of(batch)] if self.items.batch_sampler is None else rows_of(batch)


class Taking:
    """Hands out images, so many at a time."""

    def __init__(self, source: Source, start: int) -> None:
        items = source.items
        # One slice instead of many images, which count as preprocessed.
        self._whole = items if isinstance(items, Tensor) and items.is_floating_point() else None
        self.plain = self._whole is not None
        """No code of the user's runs."""
        self._at = start
        self._images = source.read(start)

    def take(self, size: int) -> Sequence[Any] | Tensor:
        """The next ones, in the end fewer; none when there are no more."""
        if self._whole is None:
            return list(islice(self._images, size))
        self._at += size
        return self._whole[self._at - size : self._at]


def image_files(folder: str | os.PathLike[str]) -> list[str]:
    """The picture files of a folder and its subfolders, sorted by path.

    Hidden files and folders, and links to folders, are passed over.

    Raises:
        ValueError: no such folder, or no pictures in it.
    """
    top = os.fsdecode(folder)
    if not Path(top).is_dir():
        if Path(top).is_file():
            raise ValueError(f"images={top!r}: a single file; give [path], or a folder")
        raise ValueError(f"images={top!r}: there is no such folder; check the path")
    found: list[str] = []
    for here, inner, files in os.walk(top):
        inner[:] = [name for name in inner if not name.startswith(".")]
        names = (n for n in files if n.lower().endswith(SUFFIXES) and not n.startswith("."))
        found.extend(str(Path(here) / name) for name in names)
    if not found:
        raise ValueError(f"images={top!r}: no {', '.join(SUFFIXES)} in this folder")
    return sorted(found, key=lambda path: Path(path).parts)


def image_of(item: Any) -> Any:
    """The image of a data set's item: itself, the first of a pair, the one of a dictionary.

    Raises:
        ValueError: a dictionary without one.
    """
    if isinstance(item, Mapping):
        for key in _KEYS:
            if key in item:
                return item[key]
        raise ValueError(f"a dictionary without an image; its keys are {list(item)[:6]}")
    if isinstance(item, tuple | list) and item:
        return item[0]
    return item


def rows_of(batch: Any) -> Iterable[Any]:
    """The images of a loader's batch: with labels or without, collated or not."""
    if isinstance(batch, Mapping):
        batch = image_of(batch)
    elif isinstance(batch, tuple | list) and batch:
        head = batch[0]
        collated = isinstance(head, Tensor | np.ndarray) and head.ndim == 4
        if not collated and not isinstance(head, list):
            return map(image_of, batch)
        batch = head
    rows: Iterable[Any] = batch
    return rows


def reason_of(error: BaseException) -> str:
    """In one line."""
    return " ".join(str(error).split())[:300] or kind(error)


def by_position(series: Any) -> list[Any]:
    """The items of a pandas Series, or its like, in their order, whatever their labels.

    Raises:
        TypeError: a table.
    """
    if getattr(series, "ndim", 1) != 1:
        raise TypeError(f"images: a {kind(series)}; give its column of images, as in table['path']")
    return [series.iloc[place] for place in range(len(series))]


def _loader_count(loader: Any, order: Any) -> int | None:
    if not isinstance(order, Sized):
        return None
    try:
        count = len(order)
    except TypeError:  # a sampler without end
        return None
    if isinstance(loader.dataset, torch.utils.data.IterableDataset):
        return len(loader.dataset) if isinstance(loader.dataset, Sized) else None
    batches = loader.batch_sampler
    if batches is None or not batches.drop_last:
        return count
    return count // int(batches.batch_size) * int(batches.batch_size)


def _check_array(array: Any) -> None:
    shape = tuple(array.shape)
    text = " x ".join(map(str, shape)) or "a single number"
    if len(shape) not in (3, 4):
        raise ValueError(f"images: an array {text}; {_WANTED}")
    if len(shape) == 3 and (isinstance(array, Tensor) or shape[2] in (3, 4)):
        raise ValueError(f"images: {text} is a single picture; give array[None], or several")
    if isinstance(array, np.ndarray) and array.dtype == object:
        raise TypeError("images: an array of objects; give a list of images")
