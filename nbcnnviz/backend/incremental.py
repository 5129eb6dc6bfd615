"""Scores for many small changes of one image, recomputing only what each change can reach.

A changed rectangle of pixels changes a rectangle of every map of a convolutional network. The
engine keeps the maps of the unchanged image and works on these rectangles alone, until one covers
most of a map; from there on it works on whole maps. The results are exact.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from . import _batches, _export
from ._export import NotExportable
from ._operations import State
from ._plan import Planner
from ._windows import Base, Box, Layout, Window, bytes_of, copied
from .layers import Layer
from .network import Network

Precision: TypeAlias = Literal["float32", "bfloat16"]
_LIMIT = 0.75
"""From this share of a map on a window costs as much as the whole."""
_AGREE = {torch.bfloat16: 0.2, torch.float16: 0.05}
"""How far the graph may be off the network, relative to the largest score; else 1e-3."""


@dataclass(eq=False)
class Kept:
    """A state of an engine to go back to; only `Engine.keep` makes them."""

    image: Tensor
    clean: Tensor
    bases: dict[int, Base] | None
    """None once there was no room for it: then a pass over the whole image makes it again."""


class Engine:
    """Scores for many small changes of one image, recomputing only what each change can reach.

    The network becomes a graph by `torch.export`, its batch norms go into the convolutions.
    Convolution, pooling, padding, activations, sums, products, concatenation, channel shuffle,
    normalisation over channels and means or maxima over all positions work on windows; whatever
    else there is works on whole maps, as does what follows it. One engine belongs to one image
    and to the weights as they are now.

    Args:
        net: a `Network` or a bare module; it is left as it was.
        x: what `net.prepare` makes of an image, (1, C, H, W).
        layer: explain this layer instead of the class scores: the sum over positions of each of
            its channels (Zeiler & Fergus 2014, fig. 7b, https://arxiv.org/abs/1311.2901).
        channel: only this channel of the layer, or this class.
        precision: "bfloat16" computes in about three digits, up to the last linear layer: a
            preview, faster on processors that have it.
        memory: bytes that batches may take, and kept states as many.

    Raises:
        NotExportable: no graph with fixed operations does what the network does.
        ValueError: a channel, a layer or a precision that does not exist, or `x` of another shape.

    Example:
        >>> import nbcnnviz as nv
        >>> net = nv.Network.digits()
        >>> engine = Engine(net, net.prepare(nv.sample_image("digit")))
        >>> places = torch.tensor([0, 2])
        >>> engine.scores(torch.zeros(2, 1, 3, 3), places, places).shape
        torch.Size([2, 10])
    """

    incremental: bool
    """Whether windows are of any use; without, every pass is one over whole images."""
    why: str
    """Why they are not; empty if they are."""
    clean: Tensor
    """(1, K), what the base gives: class scores, or totals of channels. float32 or float64."""
    exact: Tensor
    """The same of the first base, as the network itself computes it."""
    step: int
    """Windows whose positions agree modulo this many pixels are fastest together."""

    def __init__(
        self,
        net: Network | nn.Module,
        x: Tensor,
        layer: Layer | str | None = None,
        channel: int | None = None,
        *,
        precision: Precision = "float32",
        memory: int = 640 << 20,
    ) -> None:
        self._net = Network.wrap(net)
        _batches.check(x, precision, memory)
        self._layer = None if layer is None else _export.find_layer(self._net, x, layer)
        self._channel: int | None = None
        self._dtype = torch.bfloat16 if precision == "bfloat16" else x.dtype
        exported = _export.export(self._net, x, self._layer)
        self._plan = Planner(exported, self._dtype).run()
        self.why = self._plan.why
        self.incremental = not self.why
        self.step = self._plan.step
        self._memory = memory
        self._layout = Layout(2, int(x.shape[2]), int(x.shape[3]))
        self._image = self._place(x)
        self._tuners: dict[tuple[int, int], _batches.Tuner] = {}
        self._kept: list[Kept] = []
        self._shared = False
        self._stale = False
        with self._working():
            self._bases, self.clean = self._pass(self._image)
            self.exact = self._verify(x, exported.fixed_batch)
        if channel is not None:
            count = self.clean.shape[1]
            if isinstance(channel, bool) or not -count <= channel < count:
                raise ValueError(f"channel={channel!r}: there are {count}, counted from 0")
            self._channel = channel % count
            self.clean, self.exact = self._chosen(self.clean), self._chosen(self.exact)

    # -- many changes of the base -------------------------------------------------------------

    def scores(
        self, patches: Tensor, tops: Tensor | Sequence[int], lefts: Tensor | Sequence[int]
    ) -> Tensor:
        """What changed images give, (B, K), each with one patch pasted into the base.

        Any number may be asked for at once: they are computed in batches, sorted so that like
        comes to like, and returned in the order given.

        Args:
            patches: (B, C, h, w), or (C, h, w) for the same patch everywhere, in the values the
                network takes; of any size up to that of the image.
            tops, lefts: (B,), the first row and column of each.

        Raises:
            ValueError: a patch reaches beyond the image, or the shapes do not match.
        """
        box = _batches.place(patches, tops, lefts, self._image)
        if patches.ndim == 3:
            patches = patches.expand(len(box.tops), -1, -1, -1)
        made: list[Tensor] = []
        sequence = _batches.order(box.tops, box.lefts, self.step)
        with self._working():
            self._refresh()
            start = 0
            while start < len(sequence):
                chosen = sequence[start:]
                size = self.batch_size(box.height, box.width)
                part = next(_batches.chunks(box.tops[chosen], box.lefts[chosen], self.step, size))
                made.append(self._timed(patches, box, chosen[part]))
                start += part.stop
        back = np.argsort(sequence)
        rows = torch.cat(made) if made else self.clean[:0]
        return rows[torch.from_numpy(back).to(rows.device)]

    def batch_size(self, h: int, w: int) -> int:
        """How many patches of this size to give at once: what was fastest so far.

        It fits the bound on memory. The first answers are guesses; `scores` measures, so it is
        worth while to ask again before each batch.
        """
        tuner = self._tuners.get((h, w))
        if tuner is None:
            with self._working():
                self._refresh()
                peak, largest = self._measure_memory(h, w)
            tuner = self._tuners[h, w] = _batches.Tuner.of(
                peak, largest, self._memory, self._image.device.type == "cpu"
            )
        return tuner.next()

    def order(self, tops: Tensor | Sequence[int], lefts: Tensor | Sequence[int]) -> Tensor:
        """In which order to compute many positions, (B,): coarse to fine, and fast.

        The first are multiples of `step`, the next of half of it, and so on. Batches cut from
        positions in this order hold like with like.
        """
        y, x = _batches.numbers(tops), _batches.numbers(lefts)
        return torch.from_numpy(_batches.order(y, x, self.step))

    # -- a base that moves on -----------------------------------------------------------------

    def rebase(self, patch: Tensor, top: int, left: int) -> Tensor:
        """Paste a patch for good: the changed image is the base from now on.

        It takes as long as one window, however much has been pasted before.

        Args:
            patch: (C, h, w) or (1, C, h, w).
            top, left: its first row and column.

        Returns:
            What the new base gives, (1, K).

        Raises:
            ValueError: as `scores` does; the base stays what it was.
        """
        patch = patch if patch.ndim == 4 else patch[None]
        box = _batches.place(patch, [top], [left], self._image)
        with self._working():
            self._refresh()
            patch = self._place(patch)
            values: dict[int, Any] = {}

            def keep(slot: int, state: State) -> None:
                if slot in self._plan.bases:
                    # A copy, since later operations may work in place.
                    values[slot] = copied(state.values[slot])

            output = self._run(self._entry(patch, box), self._bases, 1, keep)
            # An interrupt from here on leaves bases of which some are new and some old.
            self._stale = not self._shared
            bases = {
                slot: base.changed(values[slot], copy=self._shared)
                for slot, base in self._bases.items()
            }
            image = self._image.clone() if self._shared else self._image
            image[:, :, top : top + box.height, left : left + box.width] = patch
            self._bases, self._image, self.clean = bases, image, output
            self._shared = self._stale = False
        return output

    def keep(self) -> Kept:
        """Remember the base as it is now, for `restore`; costs nothing before the next change."""
        with self._working():
            self._refresh()
            kept = Kept(self._image, self.clean, self._bases)
            self._shared = True
            self._kept.append(kept)
            self._forget()
        return kept

    def restore(self, kept: Kept) -> Tensor:
        """Go back, or forward, to a base that was kept; returns what it gives, (1, K)."""
        with self._working():
            if kept.bases is None:
                kept.bases, _ = self._pass(kept.image)
                if kept not in self._kept:
                    self._kept.append(kept)
            self._image, self.clean, self._bases = kept.image, kept.clean, kept.bases
            self._shared, self._stale = True, False
            self._forget()
        return self.clean

    def _forget(self) -> None:
        """Drop the oldest kept maps when they take too much memory."""
        current = {id(base) for base in self._bases.values()}
        room, seen = self._memory, set(current)
        for kept in reversed(self._kept):
            for base in (kept.bases or {}).values():
                room -= 0 if id(base) in seen else base.bytes()
                seen.add(id(base))
            if room < 0:
                kept.bases = None
        self._kept = [kept for kept in self._kept if kept.bases is not None]

    # -- running ------------------------------------------------------------------------------

    @contextmanager
    def _working(self) -> Iterator[None]:
        device = self._net.device.type
        with (
            self._net.lock,
            torch.inference_mode(False),
            torch.no_grad(),
            torch.autocast(device, enabled=False),
        ):
            yield

    def _place(self, x: Tensor) -> Tensor:
        made = x.detach().to(self._net.device, self._dtype, copy=True)
        return made.contiguous(memory_format=torch.channels_last)

    def _entry(self, patches: Tensor, box: Box) -> Any:
        whole = box.area == self._layout.area
        return patches if whole else Window(patches, box)

    def _timed(self, patches: Tensor, box: Box, chosen: Any) -> Tensor:
        part = self._place(patches[torch.from_numpy(chosen).to(patches.device)])
        here = Box(box.tops[chosen], box.lefts[chosen], box.height, box.width)
        start = time.perf_counter()
        output = self._run(self._entry(part, here), self._bases, len(part))
        if output.device.type == "cuda":
            torch.cuda.synchronize(output.device)
        self._tuners[box.height, box.width].measured(len(part), time.perf_counter() - start)
        return output

    def _run(
        self,
        entry: Any,
        bases: dict[int, Base],
        batch: int,
        watch: Callable[[int, State], None] | None = None,
    ) -> Tensor:
        """One pass. `watch` is called with the slot of each value and all values alive."""
        plan = self._plan
        values: list[Any] = [None] * plan.slots
        values[0] = entry
        state = State(bases, values, batch, _LIMIT)
        if watch is not None:
            watch(0, state)
        for operation, dead in zip(plan.operations, plan.dead, strict=True):
            values[operation.slot] = operation.run(state)
            if watch is not None:
                watch(operation.slot, state)
            for slot in dead:
                values[slot] = None
        output: Tensor = state.whole(plan.output)
        output = output.float() if output.element_size() < 4 else output
        return self._chosen(output)

    def _chosen(self, output: Tensor) -> Tensor:
        channel = self._channel
        return output if channel is None else output[:, channel : channel + 1].clone()

    def _pass(self, image: Tensor) -> tuple[dict[int, Base], Tensor]:
        """The maps of a whole image that must be kept, and what it gives."""
        bases: dict[int, Base] = {}

        def keep(slot: int, state: State) -> None:
            if slot in self._plan.bases:
                bases[slot] = Base.of(state.values[slot], self._plan.bases[slot])

        output = self._run(image, {}, 1, keep)
        return bases, output

    def _refresh(self) -> None:
        if self._stale:
            self._bases, self.clean = self._pass(self._image)
            self._stale = False

    def _measure_memory(self, h: int, w: int) -> tuple[int, int]:
        """Bytes that one patch of this size takes at most, and those of the largest tensor."""
        peak = largest = 0

        def watch(slot: int, state: State) -> None:
            nonlocal peak, largest
            sizes = [bytes_of(value) for value in state.values]
            largest = max(largest, *sizes)
            peak = max(peak, sum(sizes) + largest)

        top = np.array([(self._layout.height - h) // 2], dtype=np.int64)
        left = np.array([(self._layout.width - w) // 2], dtype=np.int64)
        patch = self._image[:, :, :h, :w]
        entry = self._entry(patch, Box(top, left, h, w))
        self._run(entry, self._bases, 1, watch)
        return peak, largest

    def _verify(self, x: Tensor, fixed_batch: bool) -> Tensor:
        """Compare the graph with the network itself; what that gives, (1, K).

        Raises:
            NotExportable: they differ: the network is random, say, or depends on a batch's size.
        """
        with self._net.evaluating() as body:
            network = _export.reduced(body, self._layer)
            count = 3 if fixed_batch else 1
            expected = network(x.expand(count, -1, -1, -1).clone())
        graph = self.clean
        if fixed_batch:
            graph = self._run(self._image.expand(count, -1, -1, -1), self._bases, count)
        tolerance = _AGREE.get(self._dtype, 1e-3)
        bound = tolerance * float(expected.abs().max()) + 1e-12
        wide = expected.to(graph.dtype)
        if graph.shape != wide.shape or not torch.allclose(graph, wide, 0, bound, True):
            raise NotExportable(
                f"net: {self._net.name} as a graph gives other scores than the network itself, "
                'which may draw random numbers or keep a state; engine="plain" runs it as it is'
            )
        exact: Tensor = wide[:1].clone()
        return exact


def build(
    net: Network | nn.Module,
    x: Tensor,
    layer: Layer | str | None = None,
    channel: int | None = None,
    **options: Any,
) -> Engine:
    """An `Engine` for one image; the arguments are those of the class.

    Raises:
        NotExportable: `torch.export` cannot take the model; a plain loop over images can.
    """
    return Engine(net, x, layer, channel, **options)


__all__ = ["Engine", "Kept", "NotExportable", "build"]
