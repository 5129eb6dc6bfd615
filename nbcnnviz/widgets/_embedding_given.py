"""What the user gives an Embedding: images, labels, features, places; checked, all equally many."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    TensorDataset,
    default_collate,
)

from ..backend._embed_source import Source, by_position, image_of

Array = npt.NDArray[Any]
_LABELS = ("label", "labels", "target", "targets", "y", "class")
"""Under which data sets of dictionaries keep them."""


class Labelled:
    """A data set of (image, label) as one of images, whose labels are noted as they come by."""

    def __init__(self, items: Any) -> None:
        self._items = items
        self.seen: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._items)

    def __getitem__(self, index: int) -> Any:
        item = self._items[index]
        label = _label_of(item)
        if label is not None:
            self.seen[index] = label
        return image_of(item)


class Given:
    """Images, features and places of N points, with what is known of them.

    Args:
        images, labels, features, coordinates, names: see `Embedding`.
        has_network: whether there is one.

    Raises:
        TypeError, ValueError: an argument that cannot be used, or is not N long, by name.
    """

    def __init__(
        self,
        images: Any,
        labels: Any,
        features: Any,
        coordinates: Any,
        names: Any,
        has_network: bool,
    ) -> None:
        self.notes: list[str] = []
        self.source: Source | None = None
        """The images, which can be asked for by number."""
        self.classes: tuple[str, ...] | None = None
        """What a data set calls the labels 0, 1, ..."""
        own = None
        if images is not None:
            own = self._read_images(images)
        self.features = _read_features(features)
        """(N, D) by layer; empty if the network is to compute them."""
        self.coordinates = _read_coordinates(coordinates)
        self.count, self._what = self._agree(has_network)
        """N"""
        if self.features and own is None and labels is None and _tells(self.source):
            self.notes.append("Images are not read, nor labels that come with them: give labels=.")
        self.raw_labels = self.sized("labels", labels if labels is not None else own)
        self.names = None if names is None else _texts("names", self.sized("names", names))

    @property
    def chooses(self) -> str:
        """Where layers come from: "network", "given" (of features), or "none"."""
        if self.features:
            return "given" if "" not in self.features else "none"
        return "none" if self.source is None else "network"

    @property
    def telling(self) -> bool:
        """Whether labels come with the images, and not all have come."""
        images = None if self.source is None or self.features else self.source.items
        missing = isinstance(images, Labelled) and len(images.seen) < self.count
        return missing and self.raw_labels is None

    @property
    def labelled(self) -> bool:
        """Whether there are labels, or may be."""
        return self.raw_labels is not None or self.telling or self.labels() is not None

    def labels(self) -> Array | None:
        """(N,) labels as given, or as far as the data set has told them by now (None: not yet)."""
        if self.raw_labels is not None:
            return self.raw_labels
        images = None if self.source is None else self.source.items
        if not isinstance(images, Labelled) or not images.seen:
            return None
        return _column([_plain(images.seen.get(i)) for i in range(self.count)])

    def name(self, index: int) -> str:
        """What to call a point."""
        if self.names is not None:
            return self.names[index]
        if self.source is None:
            return f"point {index}"
        called = self.source.name(index)
        # Where somebody keeps his pictures is not to be seen in a notebook.
        return called if called == f"image {index}" else PurePath(called).name

    @property
    def named(self) -> bool:
        """Whether points have names beyond their numbers."""
        files = self.source is not None and isinstance(self.source.items, list)
        some = self.source.items[0] if files and self.source is not None else None
        return self.names is not None or isinstance(some, str | os.PathLike)

    def sized(self, what: str, values: Any) -> Array | None:
        """One value per point.

        Raises:
            ValueError: there are more, or fewer.
        """
        if values is None:
            return None
        if isinstance(values, Tensor):
            values = values.detach().cpu().numpy()
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise TypeError(f"{what}={values!r}: give a list or an array, one for each point")
        array = np.asarray(values)
        array = array.astype(object) if array.dtype.kind == "T" else array
        if array.ndim != 1 or len(array) != self.count:
            shape = " x ".join(map(str, array.shape)) or "a single one"
            raise ValueError(f"{what}: {shape} for {self.count} {self._what}; give {self.count}")
        return array

    def release(self) -> None:
        """Let go of images and features; names and labels stay."""
        self.source, self.features, self.coordinates = None, {}, None

    def _agree(self, has_network: bool) -> tuple[int, str]:
        counts: dict[str, int] = {}
        if self.coordinates is not None:
            counts["coordinates"] = len(self.coordinates)
        for layer, table in self.features.items():
            counts[f"features[{layer!r}]" if layer else "features"] = len(table)
        if self.source is not None:
            counts["images"] = self.source.count or 0
        if not counts:
            missing = "images" if has_network else "net=None"
            raise TypeError(
                f"{missing}: there is nothing to show; give a network and images, or features=, or "
                "coordinates="
            )
        if not has_network and set(counts) == {"images"}:
            raise TypeError("net=None: images alone have no place; give a network, or features=")
        what, count = next(iter(counts.items()))
        for other, number in counts.items():
            if number != count:
                raise ValueError(f"{other}: {number} for {count} of {what}; give as many of both")
        return count, what.partition("[")[0]

    def _read_images(self, images: Any) -> Any:
        """Bring them into a form that can be asked by number; the labels that come along."""
        if isinstance(images, DataLoader):
            if _is_plain(images):
                images = images.dataset
                self.notes.append("Of the loader its data set is taken, in the data set's order.")
            else:
                images = list(_unbatched(images))
                self.notes.append("The loader was read once; its images are kept in memory.")
        elif isinstance(images, Iterator | IterableDataset):
            images = list(images)
        elif hasattr(images, "iloc"):
            images = by_position(images)
        if _has_pairs(images):
            own, self.classes = _known_labels(images)
            images = images if isinstance(images, Labelled) else Labelled(images)
        else:
            own = None
        self.source = Source(images)
        self.notes += self.source.notes
        return own


def _has_pairs(images: Any) -> bool:
    """Whether an item may be more than an image."""
    if isinstance(images, str | os.PathLike | np.ndarray | Tensor | Mapping):
        return False
    if isinstance(images, list | tuple):
        return bool(images) and isinstance(images[0], tuple | list | Mapping)
    return hasattr(images, "__getitem__") and hasattr(images, "__len__")


def _tells(source: Source | None) -> bool:
    """Whether labels may come with the images."""
    return source is not None and isinstance(source.items, Labelled)


def _is_plain(loader: DataLoader[Any]) -> bool:
    """Whether a loader gives all of a data set, each item as it is."""
    ways = SequentialSampler | RandomSampler
    indexed = not isinstance(loader.dataset, IterableDataset)
    return indexed and isinstance(loader.sampler, ways) and loader.collate_fn is default_collate


def _unbatched(loader: DataLoader[Any]) -> Iterator[Any]:
    """What a loader gives, as images or pairs of an image and its label."""
    alone = loader.batch_sampler is None
    for batch in loader:
        image, label = image_of(batch), _beside(batch)
        if alone:
            yield image if label is None else (image, label)
        elif label is None:
            yield from image
        else:
            yield from zip(image, label, strict=True)


def _known_labels(images: Any) -> tuple[Any, tuple[str, ...] | None]:
    """Labels and the names of classes that a data set can tell without reading its images."""
    if isinstance(images, list | tuple):
        told = [_plain(_label_of(item)) for item in images]
        return (None if all(label is None for label in told) else _column(told)), None
    if isinstance(images, Subset):
        labels, classes = _known_labels(images.dataset)
        chosen = list(images.indices)
        return (None if labels is None else np.asarray(labels)[chosen]), classes
    if isinstance(images, TensorDataset):
        last = images.tensors[-1]
        return (last if len(images.tensors) > 1 and last.ndim == 1 else None), None
    classes = getattr(images, "classes", None)
    if not isinstance(classes, list | tuple) or not all(isinstance(c, str) for c in classes):
        classes = None
    for name in ("targets", "labels"):
        labels = getattr(images, name, None)
        if isinstance(labels, Tensor | np.ndarray | list | tuple) and len(labels) == len(images):
            array = np.asarray(labels)
            if array.ndim == 1 and array.dtype.kind in "iubU":
                return array, None if classes is None else tuple(classes)
    return None, None if classes is None else tuple(classes)


def _label_of(item: Any) -> Any:
    """The label beside an image, if there is one."""
    label = _beside(item)
    single = isinstance(label, Tensor | np.ndarray) and label.ndim == 0
    return label if single or isinstance(label, str | int | np.generic) else None


def _beside(item: Any) -> Any:
    """What comes with an image, or with a batch of them."""
    if isinstance(item, Mapping):
        return next((item[key] for key in _LABELS if key in item), None)
    return item[1] if isinstance(item, tuple | list) and len(item) > 1 else None


def _column(labels: Sequence[Any]) -> Array:
    """(N,) labels; objects where some are missing."""
    if all(label is not None for label in labels):
        return np.asarray(labels)
    found = np.full(len(labels), None, object)
    found[:] = labels
    return found


def _plain(label: Any) -> Any:
    return label.item() if hasattr(label, "item") else label


def _read_features(features: Any) -> dict[str, Array]:
    """By layer; a single table has the name ""."""
    if features is None:
        return {}
    if not isinstance(features, Mapping):
        return {"": _table("features", features)}
    if not features:
        raise ValueError("features={}: give at least one layer, {name: (N, D)}")
    for layer in features:
        if not isinstance(layer, str) or not layer:
            raise TypeError(f"features: the key {layer!r}; give the name of a layer")
    return {layer: _table(f"features[{layer!r}]", table) for layer, table in features.items()}


def _table(what: str, values: Any) -> Array:
    if isinstance(values, Tensor):
        values = values.detach().to("cpu", torch.promote_types(values.dtype, torch.float32)).numpy()
    array = values if isinstance(values, np.memmap) else np.asarray(values)
    if array.dtype.kind not in "fiub":
        raise TypeError(f"{what}: {array.dtype}; give real numbers")
    if array.ndim != 2 or 0 in array.shape:
        shape = " x ".join(map(str, array.shape)) or "a number"
        raise ValueError(f"{what}: {shape}; give (N, D), one row for each point")
    return array


def _read_coordinates(values: Any) -> npt.NDArray[np.float64] | None:
    if values is None:
        return None
    xy = np.array(_table("coordinates", values), np.float64)
    if xy.shape[1] != 2:
        raise ValueError(f"coordinates: {len(xy)} x {xy.shape[1]}; give (N, 2), x and y")
    if np.isinf(xy).any():
        row = int(np.argwhere(np.isinf(xy))[0, 0])
        raise ValueError(f"coordinates: row {row} is infinite; NaN means that it has no place")
    xy[np.isnan(xy).any(1)] = np.nan
    if not np.isfinite(xy).any():
        raise ValueError("coordinates: all are NaN; there is nothing to show")
    return xy


def _texts(what: str, values: Sequence[Any] | Array | None) -> list[str]:
    found = [] if values is None else np.asarray(values).tolist()
    for index, value in enumerate(found):
        if not isinstance(value, str):
            raise TypeError(f"{what}[{index}]={value!r}: give texts")
    return [str(value) for value in found]
