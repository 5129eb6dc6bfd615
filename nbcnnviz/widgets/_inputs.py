"""The images a widget looks at: names, tensors, predictions, and pictures for the page."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import PurePath
from typing import Any

import numpy as np
import numpy.typing as npt
from torch import Tensor

from ..backend.network import Network, Prediction
from ._codec import pack

_PICTURES_LIMIT = 60_000
_THUMBNAIL = 64
_MOST_CLASSES = 2000


@dataclass
class Inputs:
    """One image or several, as the network gets them, and what it answers."""

    names: list[str]
    tensors: list[Tensor]
    """(1, C, H, W) each, all of one size."""
    pictures: list[npt.NDArray[np.uint8]]
    """(H, W, 3) each: the tensors as one would look at them."""
    predictions: list[list[Prediction]] = field(default_factory=list)
    """The five best classes of each; none where a network has no score per class."""

    @classmethod
    def prepare(cls, net: Network, image: Any, names: Sequence[str] | None = None) -> Inputs:
        """Bring one image, or each of a list, into the network's form, and ask for its answer.

        Raises:
            TypeError: names that are no list of texts.
            ValueError: an empty list, names that do not match, tensors of different sizes.
        """
        images = list(image) if isinstance(image, (list, tuple)) else [image]
        if not images:
            raise ValueError("image=[] is empty: give one image or a list of images")
        _check_names(names, len(images))
        tensors = [net.prepare(each) for each in images]
        sizes = sorted({tuple(each.shape[-2:]) for each in tensors})
        if len(sizes) > 1:
            raise ValueError(
                f"image: the tensors have different sizes {sizes}: give tensors of one size, "
                "or pictures, which the network's preprocessing brings to one size"
            )
        called = [image_name(each, index) for index, each in enumerate(images)]
        result = cls(
            names=called if names is None else list(names),
            tensors=tensors,
            pictures=[net.picture(each) for each in tensors],
        )
        result.predict(net)
        return result

    def __len__(self) -> int:
        return len(self.tensors)

    def predict(self, net: Network) -> None:
        """Ask the network again, after more training."""
        self.predictions = [_predictions(net, each) for each in self.tensors]

    def blob(self, full: bool = False) -> bytes:
        """Names, predictions and pictures; small ones where the full ones would be too much.

        With `full` the first one comes in its own size as well.
        """
        pictures = np.stack(self.pictures)
        factor = 1
        if pictures.nbytes > _PICTURES_LIMIT:
            factor = -(-max(pictures.shape[1:3]) // _THUMBNAIL)
            pictures = np.stack([_reduce(picture, factor) for picture in pictures])
        meta = {
            "names": self.names,
            "size": list(self.tensors[0].shape[-2:]),
            "factor": factor,
            "predictions": [[vars(p) for p in each] for each in self.predictions],
        }
        first = {"picture": self.pictures[0]} if full else {}
        return pack(meta, {"pictures": pictures, **first})


def class_names(net: Network, count: int) -> list[str]:
    """The labels of all classes, for a list to choose from; none where that would be endless."""
    return [net.label(index) for index in range(count)] if count <= _MOST_CLASSES else []


def _check_names(names: Any, count: int) -> None:
    if names is None:
        return
    # A text is a sequence of texts too: of its letters.
    if not isinstance(names, (list, tuple)) or not all(isinstance(name, str) for name in names):
        raise TypeError(f"names={names!r}: give a list of texts, one for each image")
    if len(names) != count:
        raise ValueError(f"names has {len(names)} entries for {count} images")


def image_name(image: Any, index: int) -> str:
    """What to call an image: its file's name without the folder, else its number."""
    if isinstance(image, (str, os.PathLike)):
        return PurePath(image).name
    # A Pillow image knows its file, or what a sample is called; arrays and tensors know neither.
    info = getattr(image, "info", None)
    called = info.get("name") if isinstance(info, dict) else None
    path = str(called or getattr(image, "filename", ""))
    return PurePath(path).name or f"image {index}"


def _predictions(net: Network, tensor: Tensor) -> list[Prediction]:
    try:
        return net.predict(tensor, k=5)
    except ValueError:
        return []


def _reduce(picture: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.uint8]:
    from PIL import Image

    return np.asarray(Image.fromarray(picture).reduce(factor))
