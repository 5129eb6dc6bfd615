"""Two ways to run a network on images of which a window is hidden: plain and incremental."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from . import _export, _model
from ._batches import chunks
from ._pace import Answer, Pace, in_halves, is_out_of_memory
from ._sweep import Grid
from .layers import Layer, known_layers
from .recorder import Recorder
from .target import Target

if TYPE_CHECKING:
    from .incremental import Engine
    from .network import Network

ENGINES = ("auto", "incremental", "plain")
PRECISIONS = ("float32", "bfloat16")

_FEW = "So few positions need no engine."
"""Said of sweeps that consist of the first level alone."""
_PIXELS = 16 * 224 * 224
"""In a batch, at most: the maps of large networks take some 50 bytes per pixel and channel."""
_AGREE = {"float32": 1e-3, "bfloat16": 0.2}
"""How far an image's scores may be off within a batch, relative to the largest."""
_MOST = 256
"""Images in a batch, at most."""


class Windows:
    """The hidden windows of a sweep as patches that are all of one size.

    A window that is clipped at the edge gets its full size by reaching further inside, where the
    patch shows the image itself.
    """

    def __init__(self, grid: Grid, x: Tensor, fill: Tensor) -> None:
        self.grid = grid
        self.x = x
        self._fill = fill

    def corners(self, numbers: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Tops and lefts of the patches at some positions, (B,) each."""
        corners = [self.grid.corner(number) for number in numbers]
        tops, lefts = torch.tensor(corners, device="cpu").T
        return tops, lefts

    def patches(self, numbers: Sequence[int]) -> Tensor:
        """(B, C, h, w)"""
        height, width = self.grid.window
        made = self.x.new_empty(len(numbers), self.x.shape[1], height, width)
        places = self.grid.positions[list(numbers)].tolist()
        for patch, number, (top, left, high, wide) in zip(made, numbers, places, strict=True):
            y, x = self.grid.corner(number)
            hidden = self._fill[0, :, top : top + high, left : left + wide]
            if (high, wide) == (height, width):
                patch[:] = hidden
            else:
                patch[:] = self.x[0, :, y : y + height, x : x + width]
                patch[:, top - y : top - y + high, left - x : left - x + wide] = hidden
        return made

    def images(self, numbers: Sequence[int]) -> Tensor:
        """(B, C, H, W), the image with a window hidden in each."""
        batch = self.x.repeat(len(numbers), 1, 1, 1)
        places = self.grid.positions[list(numbers)].tolist()
        for image, (top, left, high, wide) in zip(batch, places, strict=True):
            rows, columns = slice(top, top + high), slice(left, left + wide)
            image[:, rows, columns] = self._fill[0, :, rows, columns]
        return batch


class Occluder(Protocol):
    """Answers to hidden windows."""

    name: str
    note: str
    precision: str
    clean: Answer
    """Of the whole image: (classes,), and a single number."""

    def batches(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        """Positions in the batches and in the order in which they are done fastest."""

    def answer(self, numbers: Sequence[int]) -> Answer:
        """What the network says where the windows at these positions are hidden."""


class Plain:
    """Runs the whole network on batches of masked images, or on one at a time (`single`)."""

    name = "plain"

    def __init__(
        self,
        net: Network,
        windows: Windows,
        unit: Target | None = None,
        layer: Layer | None = None,
        precision: str = "float32",
        note: str = "",
        single: bool = False,
    ) -> None:
        self.note = join(note, preview_note(precision))
        self.precision = precision
        self._net = net
        self._windows = windows
        self._unit = unit
        self._layer = layer
        # By up to a third faster on CPUs.
        self._format = torch.channels_last
        _, _, height, width = windows.x.shape
        self._pace = Pace(max(1, min(_MOST, _PIXELS // (height * width))))
        self._shift = Answer(torch.zeros(()), None)
        logits, units = self._first(windows.x)
        if precision == "bfloat16":
            self._shift = self._error(logits, units)
            logits, units = self._corrected(logits, units)
        self.clean = Answer(logits[0], None if units is None else units[0])
        if single:
            self._pace.limit(1)
            return
        alone = self._alone()
        if alone:
            self._pace.limit(1)
            self.note = join(self.note, f"One image at a time, since {alone}.")

    def _first(self, x: Tensor) -> Answer:
        """The answer for the image itself; finds out whether it may come channels last."""
        try:
            return self._run(x)
        except RuntimeError as error:
            if is_out_of_memory(error):
                raise
        # A network that views its maps as something else needs them in the usual order. Any
        # other error comes again.
        self._format = torch.contiguous_format
        return self._run(x)

    def _error(self, logits: Tensor, units: Tensor | None) -> Answer:
        """What a preview of the image itself lacks."""
        exact = self._run(self._windows.x, "float32")
        more = None if units is None or exact.units is None else exact.units - units
        return Answer(exact.logits - logits, more)

    def _corrected(self, logits: Tensor, units: Tensor | None) -> Answer:
        more = self._shift.units
        whole = units if units is None or more is None else units + more
        return Answer(logits + self._shift.logits, whole)

    def _alone(self) -> str:
        """Why images cannot be run together; empty if they can."""
        x = self._windows.x
        try:
            both = self._run(torch.cat([x, torch.zeros_like(x)]))
        except (RuntimeError, ValueError) as error:
            enough = not isinstance(error, RuntimeError) or not is_out_of_memory(error)
            return "the network takes no batches" if enough else "memory does not suffice for two"
        for one, rows in zip(self.clean, both, strict=True):
            if one is not None and rows is not None and one.numel():
                bound = _AGREE[self.precision] * float(one.abs().max())
                if not torch.allclose(one, rows[0], 0, bound, equal_nan=True):
                    return "its scores depend on what else is in the batch"
        return ""

    def batches(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        start = 0
        while start < len(numbers):
            size = self._pace.size
            yield list(numbers[start : start + size])
            start += size

    def answer(self, numbers: Sequence[int]) -> Answer:
        def run(numbers: Sequence[int]) -> Answer:
            with torch.inference_mode(False):
                return self._run(self._windows.images(numbers))

        begin = time.perf_counter()
        answer = in_halves(run, numbers, self._windows.x.device, self._pace)
        self._pace.told(len(numbers), time.perf_counter() - begin)
        return answer

    def _run(self, batch: Tensor, precision: str | None = None) -> Answer:
        device = batch.device.type
        reduced = (
            torch.autocast(device, dtype=torch.bfloat16)
            if (precision or self.precision) == "bfloat16"
            else nullcontext()
        )
        units = None
        # A copy in any case: the network may begin with an in-place operation.
        batch = batch.clone(memory_format=self._format)
        with self._net.evaluating() as body, reduced:
            if self._unit is None or self._layer is None:
                output = body(batch)
            else:
                with Recorder(body, [self._layer], stop_early=False) as recorder:
                    output = recorder.run(batch)
                    units = on_cpu(self._unit.activations(recorder[self._layer.name]))
            try:
                logits = on_cpu(_model.scores(output))
            except ValueError:
                # Feature maps can be watched in a network without classes, too.
                if units is None:
                    raise
                logits = units.new_empty(len(batch), 0)
        if len(logits) != len(batch):
            raise ValueError(
                f"net: {len(logits)} rows of scores for {len(batch)} images; occlusion needs one "
                "row per image"
            )
        return self._corrected(logits, units)


class Incremental:
    """Computes anew only what a window can change."""

    name = "incremental"

    def __init__(
        self,
        net: Network,
        windows: Windows,
        unit: Target | None,
        precision: str = "float32",
    ) -> None:
        # It takes torch.export along, for which the first map need not wait.
        from .incremental import build

        self.precision = precision
        self._windows = windows
        self._unit: Engine | None = None
        self._scores: Engine | None = None
        if unit is not None:
            self._unit = build(
                net,
                windows.x,
                layer=unit.layer,
                channel=unit.channel,
                precision=precision,
            )
        if unit is None or has_scores(net, windows.x):
            self._scores = build(net, windows.x, precision=precision)
        engines = [engine for engine in (self._scores, self._unit) if engine is not None]
        self._first = engines[0]
        self.note = join(whole_note(self._first), preview_note(precision))
        units = None if self._unit is None else on_cpu(self._exact(self._unit)[0, 0])
        self.clean = Answer(self._logits(self._exact, 1)[0], units)

    def batches(self, numbers: Sequence[int]) -> Iterator[list[int]]:
        tops, lefts = self._windows.corners(numbers)
        order = self._first.order(tops, lefts)
        rest = torch.tensor(list(numbers), device="cpu")[order].tolist()
        y, x = tops[order].numpy(), lefts[order].numpy()
        while rest:
            # Asked anew each time: the engine learns which size is fastest.
            size = self._first.batch_size(*self._windows.grid.window)
            count = next(chunks(y, x, self._first.step, size)).stop
            yield rest[:count]
            rest, y, x = rest[count:], y[count:], x[count:]

    def answer(self, numbers: Sequence[int]) -> Answer:
        return in_halves(self._run, numbers, self._windows.x.device)

    def _run(self, numbers: Sequence[int]) -> Answer:
        patches = self._windows.patches(numbers)
        tops, lefts = self._windows.corners(numbers)

        def run(engine: Engine) -> Tensor:
            scores = engine.scores(patches, tops, lefts)
            return scores + (self._exact(engine) - engine.clean)

        units = None if self._unit is None else on_cpu(run(self._unit)[:, 0])
        return Answer(self._logits(run, len(numbers)), units)

    def _exact(self, engine: Engine) -> Tensor:
        """For the whole image: a preview must not call it something else than the network does.

        Its other scores move along, which takes away most of their error.
        """
        return engine.exact if self.precision == "bfloat16" else engine.clean

    def _logits(self, run: Callable[[Engine], Tensor], count: int) -> Tensor:
        if self._scores is None:
            return torch.empty(count, 0, device="cpu")
        return on_cpu(run(self._scores))


def whole_note(engine: Engine) -> str:
    """What to say of an engine that is no faster than the network itself."""
    return "" if engine.incremental else f"Whole images all the way, since {engine.why}."


def has_scores(net: Network, x: Tensor) -> bool:
    """Whether the network puts out one score per class."""
    try:
        net.logits(x.clone())
    except ValueError as error:
        # What else may be wrong with it shows when it is run in earnest.
        return "not one score per class" not in str(error)
    return True


def preview_note(precision: str) -> str:
    """What to say of reduced precision."""
    return "A preview in bfloat16." if precision == "bfloat16" else ""


def join(*notes: str) -> str:
    """Sentences, of which some may be empty."""
    return " ".join(note for note in notes if note)


def on_cpu(values: Tensor) -> Tensor:
    """float32, or float64 from networks that compute in it."""
    wide = values.dtype == torch.float64
    return values.detach().to("cpu", torch.float64 if wide else torch.float32)


def check_engine(engine: str) -> None:
    """Refuse names of engines that do not exist."""
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r}: choose one of {list(ENGINES)}")


def check_precision(precision: str) -> None:
    """Refuse precisions that do not exist."""
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r}: choose one of {list(PRECISIONS)}")


def make(
    net: Network, windows: Windows, unit: Target | None, engine: str, precision: str
) -> tuple[Occluder, Callable[[], Occluder]]:
    """What computes a sweep: its first level, and what makes the occluder for the others.

    By default the first level runs as it is where that is done before an engine would be ready.

    Raises:
        ValueError: the engine that was asked for cannot be used; or there is no such unit.
    """
    layer = unit.find_layer(known_layers(net, windows.x)) if unit is not None else None

    def best() -> Occluder:
        if engine == "plain":
            return Plain(net, windows, unit, layer, precision)
        from .incremental import NotExportable

        try:
            if unit is not None and layer is not None and not _is_total(unit, layer):
                raise NotExportable(
                    f"only totals of maps are followed incrementally, not {unit.name}; "
                    'engine="plain" measures any unit'
                )
            return Incremental(net, windows, unit, precision)
        except NotExportable as error:
            return Plain(net, windows, unit, layer, precision, refused(engine, error))

    if engine == "auto" and not _export.known(net, windows.x):
        return Plain(net, windows, unit, layer, precision, _FEW, single=True), best
    chosen = best()
    return chosen, lambda: chosen


def refused(engine: str, error: ValueError) -> str:
    """Why the incremental engine is not used, in a sentence.

    Raises:
        ValueError: it was asked for by name.
    """
    if engine == "incremental":
        raise ValueError(f'engine="incremental": {error}') from error
    # That "plain" would do is what the note is about.
    reason = str(error).removeprefix("net: ").partition('; engine="plain"')[0]
    return f"Plain batches, since {reason}."


def _is_total(unit: Target, layer: Layer) -> bool:
    return layer.spatial and unit.position is None and unit.reduction == "total"
