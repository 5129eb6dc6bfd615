"""From images to features: batches through the network, what layers put out pooled at once."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from ._attr_question import takes_no_batches
from ._embed_source import Unreadable, reason_of
from ._model import probabilities, scores
from ._pace import free, is_out_of_memory
from ._tracer import as_maps
from .layers import Layer, cached, find, known_layers
from .recorder import Recorder

if TYPE_CHECKING:
    from .network import Network

Floats = npt.NDArray[np.float32]
SPATIAL = ("gap", "flatten")
"""What becomes of maps: the mean of each (global average pooling), or all their cells."""
ANSWER = "/answer"
"""In place of a layer: of each image the class of the highest score, and its probability."""


@dataclass
class Prepared:
    """A batch of images, ready to run."""

    count: int
    """Of all images, the unreadable ones included."""
    groups: list[tuple[list[int], Tensor]] = field(default_factory=list)
    """Places within the batch, and images of equal size (n, C, H, W)."""
    failures: dict[int, str] = field(default_factory=dict)
    """Places, and why there is no image."""


@dataclass
class Rows:
    """The features of a batch."""

    count: int
    places: list[int]
    """Of the images that there are features of."""
    values: dict[str, Floats]
    """(len(places), D) by layer."""
    failures: dict[int, str]

    def filled(self, layer: str, width: int) -> Floats:
        """(count, width), NaN where an image could not be read.

        Raises:
            ValueError: the layer has put out another number of features.
        """
        found = self.values.get(layer)
        if found is not None and found.shape[1] != width:
            raise ValueError(
                f"layer={layer!r}: {found.shape[1]} features for this image, {width} for "
                'those before; choose spatial="gap", or give images of one size'
            )
        if found is not None and len(found) == self.count:
            return found
        rows = np.full((self.count, width), np.nan, np.float32)
        if found is not None:
            rows[self.places] = found
        return rows


class _Pooling(Recorder):
    """Keeps of every layer one row per image, so that no copy of its maps is needed."""

    def __init__(
        self, module: nn.Module, layers: Sequence[Layer], spatial: str, to_the_end: bool
    ) -> None:
        super().__init__(module, layers, stop_early=not to_the_end)
        # Rows have no channels that could come last.
        self._orders, self._last = self._last, {}
        self._spatial = spatial

    def _keep(self, name: str, output: Tensor | None) -> None:
        if output is not None:
            maps = as_maps(output.detach(), self._orders.get(name, False))
            super()._keep(name, pooled(maps, self._spatial))


def pooled(values: Tensor, spatial: str) -> Tensor:
    """(N, D): the means of maps (N, C, H, W) and of tokens (N, T, D), or all numbers."""
    if spatial == "gap" and values.ndim in (3, 4):
        over = (2, 3) if values.ndim == 4 else (1,)
        return values.mean(over, dtype=torch.promote_types(values.dtype, torch.float32))
    return values.flatten(1) if values.ndim > 1 else values.reshape(-1, 1)


class FeatureReader:
    """Runs images through a network and keeps the features of some layers.

    Args:
        net: the network.
        layers: names; `ANSWER` for what the network answers.
        spatial: one of `SPATIAL`.
        batch_size: at most; halved when memory does not suffice.
    """

    def __init__(self, net: Network, layers: Sequence[str], spatial: str, batch_size: int) -> None:
        self.net = net
        self.layers = list(dict.fromkeys(layers))
        self.batch_size = batch_size
        self._alone: dict[str, None] = {}
        self._fit = 0
        self._spatial = spatial
        self._place = net.device, net.dtype
        self._known: dict[tuple[int, ...], list[Layer]] = {}
        self._draws = False
        self._body: nn.Module | None = None

    @property
    def notes(self) -> list[str]:
        """What is to be said of batches."""
        if not self._fit:
            return list(self._alone)
        short = f"Memory did not suffice for more than {self._fit} images at a time."
        return [*self._alone, short.replace("1 images", "1 image")]

    def prepare(self, items: Sequence[Any] | Tensor) -> Prepared:
        """Turn images into tensors; those that cannot be are noted."""
        ready = self._stacked(items)
        if ready is not None:
            self._meet(ready)
            return Prepared(len(items), [(list(range(len(items))), ready)])
        made = Prepared(len(items))
        runs: list[tuple[list[int], list[Tensor]]] = []
        for place, item in enumerate(items):
            if isinstance(item, Unreadable):
                made.failures[place] = item.reason
                continue
            try:
                x = self.net.prepare(item)
            except Exception as error:  # the preprocessing may be the user's own
                made.failures[place] = reason_of(error)
                continue
            if not runs or runs[-1][1][0].shape != x.shape:
                runs.append(([], []))
            runs[-1][0].append(place)
            runs[-1][1].append(x)
        for places, tensors in runs:
            self._meet(tensors[0])
            made.groups.append((places, torch.cat(tensors)))
        return made

    def _stacked(self, items: Sequence[Any] | Tensor) -> Tensor | None:
        """Preprocessed images of one size in one go; None if they are anything else."""
        if not isinstance(items, Tensor):
            for item in items:
                plain = isinstance(item, Tensor) and item.is_floating_point() and item.ndim == 3
                if not plain or item.shape != items[0].shape or item.device != items[0].device:
                    return None
            if not items or items[0].layout != torch.strided:
                return None
            items = torch.stack(list(items))
        if items.device.type == "meta" or items.layout != torch.strided or 0 in items.shape:
            return None
        if items.shape[1] != self.net.preprocess.channels:
            return None
        # A finite sum has only finite terms. If it is not, one of the images is to blame.
        batch = items.detach()
        return batch.to(*self._place) if math.isfinite(batch.sum()) else None

    def _meet(self, x: Tensor) -> None:
        """Find the layers for images of this size, before anything runs."""
        shape = tuple(x.shape[1:])
        if shape in self._known:
            return
        one = x[:1]
        known = known_layers(self.net, one)
        self._known[shape] = [find(known, name) for name in self.layers if name != ANSWER]
        entry = cached(self.net, one.shape)
        self._draws = self._draws or entry is None or entry[1]
        if self.batch_size > 1 and (why := takes_no_batches(self.net, one)):
            self.batch_size = 1
            self._alone[f"One image at a time, since {why}."] = None

    @contextmanager
    def opened(self) -> Iterator[Callable[[Prepared], Rows]]:
        """Hold the network for a while: what it takes to make a copy is shared by some batches."""
        draws = self._draws
        with self.net.evaluating(draws=draws) as body:

            def run(batch: Prepared) -> Rows:
                if draws or not self._draws:
                    return self._rows(body, batch)
                with self.net.evaluating() as careful:
                    return self._rows(careful, batch)

            yield run

    def rows(self, items: Sequence[Any] | Tensor) -> Rows:
        """The features of some images."""
        batch = self.prepare(items)
        with self.opened() as run:
            return run(batch)

    def _rows(self, body: nn.Module, batch: Prepared) -> Rows:
        places: list[int] = []
        parts: dict[str, list[Tensor]] = {name: [] for name in self.layers}
        for some, x in batch.groups:
            places += some
            for made in self._chunks(body, x):
                for name, part in made.items():
                    parts[name].append(part)
        values = {name: _joined(name, some) for name, some in parts.items()} if places else {}
        return Rows(batch.count, places, values, batch.failures)

    def _chunks(self, body: nn.Module, x: Tensor) -> Iterator[dict[str, Tensor]]:
        """Run as many images at a time as memory allows."""
        first = 0
        while first < len(x):
            some = x[first : first + self.batch_size]
            try:
                made = self._run(body, some)
            except RuntimeError as error:
                if len(some) == 1 or not is_out_of_memory(error):
                    raise
                made = None
            # Out here the error, and with it the tensors of the failed run, is gone.
            if made is None:
                self.batch_size = self._fit = (len(some) + 1) // 2
                free(x.device)
            else:
                first += len(some)
                yield made

    def _run(self, body: nn.Module, x: Tensor) -> dict[str, Tensor]:
        layers, asked = self._known[tuple(x.shape[1:])], ANSWER in self.layers
        output = None
        with _Pooling(body, layers, self._spatial, asked) as recorder:
            # Some networks begin with an in-place operation, and a half may run again.
            output = recorder.run(x.clone())
        made = {layer.name: recorder[layer].to("cpu", torch.float32) for layer in layers}
        if asked:
            made[ANSWER] = answers(output, len(x))
        for name, rows in made.items():
            if len(rows) != len(x):
                raise ValueError(
                    f"layer={name!r}: it puts out {len(rows)} rows for {len(x)} images, so that "
                    "none can be told to belong to one image; choose another layer"
                )
        return made


def answers(output: Any, count: int) -> Tensor:
    """(count, 2): class and probability, as `Network.predict` gives them; NaN where there is none.

    A class below 2^24 is exact in float32.
    """
    try:
        logits = scores(output).detach().to("cpu", torch.float32)
    except ValueError:
        logits = torch.empty(0, 1)
    if len(logits) != count:
        return torch.full((count, 2), math.nan)
    best = probabilities(logits).max(1)
    return torch.stack([best.indices.float(), best.values], 1)


def _joined(name: str, parts: Sequence[Tensor]) -> Floats:
    """(n, D)"""
    if len({part.shape[1] for part in parts}) > 1:
        raise ValueError(
            f"layer={name!r}: the number of features depends on the image's size; choose "
            'spatial="gap", or give images of one size'
        )
    joined: Floats = torch.cat(list(parts)).numpy()
    return joined
