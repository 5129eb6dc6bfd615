"""Which patches of many images activate one channel most, and what of them it responds to."""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence, Sized
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ._arguments import check_count, is_whole
from ._attr_question import Progress, check_progress, takes_no_batches
from ._attr_result import on_cpu
from ._embed_source import by_position
from ._model import kind
from ._pace import free, is_out_of_memory
from .attribution import attribute
from .images import Bytes
from .layers import Layer, find, known_layers, name_of, wrap
from .recorder import Recorder

if TYPE_CHECKING:
    from .network import Network

RECONSTRUCTIONS = ("deconvnet", "guided_backprop")
"""The ways back to the pixels of a patch."""
_MOST = 64
"""Images in a batch, at most."""
_PIXELS = 16 * 224 * 224
"""In a batch, at most."""

Box = tuple[int, int, int, int]


@dataclass(frozen=True, eq=False)
class Patch:
    """The part of one image that the channel's strongest cell sees."""

    index: int
    """Of the image among those given, from 0 on."""
    activation: float
    position: tuple[int, int]
    """(y, x) of the cell in the channel's map."""
    box: Box
    """Top, left, bottom, right in pixels of the network's input, the latter two exclusive."""
    values: Tensor
    """(C, h, w), what the network is fed there."""
    picture: Bytes
    """(h, w, 3), bytes, the same for the eye."""
    reconstruction: Tensor | None = None
    """(C, h, w), signed: the activation taken back to the pixels of the box."""


@dataclass(frozen=True, eq=False)
class TopPatches(Sequence[Patch]):
    """The patches of one channel, the strongest first."""

    layer: str
    channel: int
    patches: tuple[Patch, ...]
    seen: int
    """How many images were looked at."""
    complete: bool
    """Whether all were; not so after a stop."""
    reconstruct: str | None
    notes: tuple[str, ...] = ()

    def __getitem__(self, index: Any) -> Any:
        return self.patches[index]

    def __len__(self) -> int:
        return len(self.patches)

    def __repr__(self) -> str:
        part = "" if self.complete else ", stopped"
        return (
            f"TopPatches({self.layer}, channel {self.channel}: {len(self)} of {self.seen} "
            f"images{part})"
        )


def top_patches(
    net: Network | nn.Module,
    images: Iterable[Any],
    layer: Layer | str,
    channel: int,
    k: int = 9,
    reconstruct: str | None = "deconvnet",
    on_progress: Progress | None = None,
) -> TopPatches:
    """The `k` images that activate a channel most, cut to what its strongest cell sees.

    Zeiler & Fergus (2014, https://arxiv.org/abs/1311.2901, fig. 2): of each image the one largest
    activation of the channel, and the k largest of those; each patch with its reconstruction by
    the deconvnet, or by guided backpropagation as in Springenberg et al. (2014,
    https://arxiv.org/abs/1412.6806). A reconstruction begins with the activation itself, all
    others being zero.

    Images are streamed: no more than a batch and the k best are in memory.

    Args:
        net: a `Network` or a bare module.
        images: anything image-like, see `Network.prepare`; of pairs, as data sets with labels
            have them, the first. May be a generator.
        layer: as `net.layers()` gives it, or its name.
        channel: of that layer.
        k: how many patches.
        reconstruct: "deconvnet", "guided_backprop", or None.
        on_progress: called with the images seen and of all (0 if `images` has no length);
            returning True stops: the best of those seen are returned.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name; no images; a channel
            that is NaN throughout for all of them.

    Example:
        >>> import nbcnnviz as nv
        >>> net = nv.Network.digits()
        >>> found = top_patches(net, [nv.sample_image("digit")] * 3, "conv2", 0, k=2)
        >>> len(found), found.seen, found[0].reconstruction.shape == found[0].values.shape
        (2, 3, True)
    """
    net, name = wrap(net), name_of(layer)
    check_count("k", k)
    if not is_whole(channel):
        raise TypeError(f"channel={channel!r}: give a whole number")
    if reconstruct is not None and reconstruct not in RECONSTRUCTIONS:
        raise ValueError(f"reconstruct={reconstruct!r}: choose one of {list(RECONSTRUCTIONS)}")
    check_progress(on_progress)
    check_images(images)
    search = _Search(net, name, int(channel), int(k), _count(images))
    with torch.inference_mode(False), torch.no_grad():
        complete = search.run(_each(images), on_progress)
    if not search.seen:
        raise ValueError("images: there are none")
    if search.empty == search.seen:
        raise ValueError(
            f"channel={channel}: of {name!r} it is NaN throughout for all {search.seen} images, so "
            "that none activates it; choose another channel, or look where the network makes NaN"
        )
    patches, notes = search.patches(reconstruct)
    return TopPatches(name, int(channel), patches, search.seen, complete, reconstruct, notes)


class _Search:
    """The strongest cells so far."""

    def __init__(self, net: Network, name: str, channel: int, k: int, total: int) -> None:
        self.seen = 0
        self.empty = 0
        """Of those seen, the ones that are NaN all over the channel's map."""
        self._net = net
        self._name = name
        self._channel = channel
        self._k = k
        self._total = total
        self._layer: Layer | None = None
        # (activation, minus the index, cell, image): the weakest comes first, of equals the last.
        self._best: list[tuple[float, int, int, Tensor]] = []

    def run(self, images: Iterator[Any], on_progress: Progress | None) -> bool:
        """Whether all were looked at."""
        waiting: list[Tensor] = []
        size = 1
        for image in images:
            x = self._net.prepare(image)
            if waiting and waiting[0].shape != x.shape:
                self._look(waiting)
                waiting = []
            if not waiting:
                size = self._start(x)
            waiting.append(x)
            if len(waiting) >= size:
                self._look(waiting)
                waiting = []
                if on_progress is not None and on_progress(self.seen, self._total) is True:
                    return self.seen == self._total
        if waiting:
            self._look(waiting)
            if on_progress is not None:
                on_progress(self.seen, self._total)
        return True

    def _start(self, x: Tensor) -> int:
        """How many images of this size to take at a time."""
        self._layer = layer = find(known_layers(self._net, x), self._name)
        if not layer.spatial:
            raise ValueError(
                f"layer={layer.name!r}: it puts out {layer.shape[0]} numbers and no maps, so that "
                "its units see the whole image; choose a layer with maps"
            )
        if not 0 <= self._channel < layer.shape[0]:
            raise ValueError(
                f"channel={self._channel}: {layer.name!r} has {layer.shape[0]} channels, "
                f"0 to {layer.shape[0] - 1}"
            )
        if self._total == 1 or takes_no_batches(self._net, x):
            return 1
        return max(1, min(_MOST, _PIXELS // (x.shape[2] * x.shape[3])))

    def _look(self, images: list[Tensor]) -> None:
        """Run a batch; in two halves if memory does not suffice."""
        try:
            maps = self._maps(torch.cat(images))
        except RuntimeError as error:
            if len(images) == 1 or not is_out_of_memory(error):
                raise
            maps = None
        if maps is None:
            free(images[0].device)
            middle = len(images) // 2
            self._look(images[:middle])
            self._look(images[middle:])
            return
        empty = maps.flatten(1).isnan().all(1).tolist()
        values, cells = maps.flatten(1).nan_to_num(nan=-torch.inf).max(1)
        for value, cell, x, none in zip(
            values.tolist(), cells.tolist(), images, empty, strict=True
        ):
            item = (value, -self.seen, cell, x)
            self.seen += 1
            if none:
                self.empty += 1
                continue
            if len(self._best) < self._k:
                heapq.heappush(self._best, item)
            elif item[:2] > self._best[0][:2]:
                heapq.heapreplace(self._best, item)

    def _maps(self, batch: Tensor) -> Tensor:
        """(N, h, w) of the channel."""
        assert self._layer is not None
        with self._net.evaluating() as body, Recorder(body, [self._layer]) as recorder:
            recorder.run(batch)
        maps: Tensor = recorder[self._layer][:, self._channel]
        return on_cpu(maps)

    def patches(self, reconstruct: str | None) -> tuple[tuple[Patch, ...], tuple[str, ...]]:
        """The strongest first, and what is to be said of them."""
        made: list[Patch] = []
        notes: dict[str, None] = {}
        if self.empty:
            what = f"The channel is NaN throughout for {self.empty} of {self.seen} images"
            notes[f"{what}, which are left out."] = None
        for value, number, cell, x in sorted(self._best, key=lambda item: item[:2], reverse=True):
            layer = find(known_layers(self._net, x), self._name)
            assert layer.field is not None
            place = divmod(cell, layer.shape[2])
            box = top, left, bottom, right = layer.field.box(*place)
            cut = (..., slice(top, bottom), slice(left, right))
            back = None
            if reconstruct is not None:
                unit = self._channel, place
                found = attribute(
                    self._net, x, reconstruct, layer=layer, unit=unit, seed="activation"
                )
                notes.update(dict.fromkeys(found.notes))
                back = found.values[cut].clone()
            picture = self._net.picture(x)[top:bottom, left:right].copy()
            made.append(Patch(-number, value, place, box, on_cpu(x[0][cut]), picture, back))
        return tuple(made), tuple(notes)


def check_images(images: Any) -> None:
    """Refuse what holds no images, or is a single one.

    Raises:
        TypeError, ValueError: it is no collection; it is one picture (H, W, 3).
    """
    many = isinstance(images, Iterable) or hasattr(images, "__getitem__")
    if isinstance(images, str | bytes | Mapping) or not many:
        raise TypeError(f"images: a {kind(images)}; give several images, or a data set")
    shape = tuple(getattr(images, "shape", ()))
    if isinstance(images, np.ndarray) and len(shape) == 3 and shape[2] in (3, 4):
        size = " x ".join(map(str, shape))
        raise ValueError(f"images: {size} is one picture; give several, such as [image]")


def _count(images: Any) -> int:
    """How many there are; 0 if that is not known."""
    # A loader's length is that in batches.
    whole = getattr(images, "dataset", images)
    return len(whole) if isinstance(whole, Sized) else 0


def _each(images: Any) -> Iterator[Any]:
    """One image after another, of data sets without their labels, of batches row by row."""
    if hasattr(images, "iloc"):
        images = by_position(images)
    # A data set ends by its length; iterating over it might not.
    indexed = hasattr(images, "__len__") and hasattr(images, "__getitem__")
    for item in (images[i] for i in range(len(images))) if indexed else images:
        image = item[0] if isinstance(item, tuple | list) else item
        if isinstance(image, Tensor | np.ndarray) and image.ndim == 4:
            yield from image
        else:
            yield image


__all__ = ["Patch", "TopPatches", "top_patches"]
