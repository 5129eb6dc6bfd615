"""Hiding parts of an image, and what that does to the scores."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from . import _occluders
from ._brush import Brush
from ._masks import blend, read_mask
from ._model import kind
from ._occluders import Occluder, Windows
from ._sweep import Frame, Grid, Sweep
from .fill import filled
from .layers import wrap
from .target import Target, check_score, read

if TYPE_CHECKING:
    from .network import Network

_PAUSE = 0.2
"""Seconds between two frames, at least."""
_SHARE = 0.1
"""Of the time, for making frames and for what the caller does with them."""


def occlude(
    net: Network | nn.Module,
    image: Any,
    mask: Any,
    fill: Any = "mean",
    generator: torch.Generator | None = None,
) -> Tensor:
    """The scores of an image of which a part is hidden.

    As Zeiler & Fergus (2014) cover a part of the picture, but of any shape: the network is given
    x (1 - m) + fill m.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        mask: (H, W) of the network's input, array or tensor of bool, or of floats in 0..1:
            1 hides, 0 shows.
        fill: what hidden pixels are replaced by, see `filled`.
        generator: for fill="noise".

    Returns:
        The logits (classes,), on the network's device.

    Raises:
        TypeError, ValueError: a mask of another shape or type, with NaN or out of range; no such
            fill; a network without class scores.

    Example:
        >>> import nbcnnviz as nv
        >>> net = nv.Network.digits()
        >>> mask = torch.zeros(net.preprocess.size)
        >>> mask[:8] = 1
        >>> nv.backend.occlude(net, nv.sample_image("digit"), mask).shape
        torch.Size([10])
    """
    net = wrap(net)
    with torch.inference_mode(False), torch.no_grad():
        x = net.prepare(image)
        hidden = read_mask(mask, (x.shape[2], x.shape[3]))
        return net.logits(blend(x, filled(net, x, fill, generator), hidden))[0]


def occlusion_sweep(
    net: Network | nn.Module,
    image: Any,
    window: int | tuple[int, int] = 32,
    stride: int | tuple[int, int] = 16,
    fill: Any = "mean",
    target: Any = None,
    score: str = "logit",
    engine: str = "auto",
    precision: str = "float32",
    on_frame: Callable[[Frame], Any] | None = None,
    on_batch: Callable[[int, int], Any] | None = None,
    generator: torch.Generator | None = None,
) -> Sweep:
    """Hide one part of an image after another and record the scores.

    The experiment of Zeiler & Fergus (2014, fig. 7). `Sweep.scores` is their map, the score at
    each position of the window; `Sweep.drop` is captum's `Occlusion`: for each pixel the mean of
    score(x) - score(x hidden) over the windows that cover it. Windows begin at multiples of the
    stride; the last one of a row is clipped at the edge.

    Positions are done coarse to fine: the first few are a whole map already, within a tenth of
    the time. The lock of the network is free between any two batches.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        window: side or (height, width) of what is hidden, in pixels of the network's input.
        stride: pixels from one position to the next, or (down, right); at most the window.
        fill: what hidden pixels are replaced by, see `filled`.
        target: what the score is of, see `Target.of`; None: the class predicted for the whole
            image. `(layer, channel)` is a feature map's total activation, as in fig. 7b.
        score: "logit" or "probability". The two give different maps.
        engine: "incremental" computes anew only what a window can change, "plain" runs the whole
            network on batches, "auto" is the first where it can be used. `Sweep.engine` says
            which it was and `Sweep.note` why.
        precision: "float32" leaves the network as it is; "bfloat16" is a quicker preview, off by
            less than 1.5 % of the score. For the whole image it has the network's own scores.
        on_frame: called a few times a second with a `Frame`. Returning True stops: the sweep so
            far is returned, its `complete` False.
        on_batch: called after every batch with the number of positions done and of all.
            Returning True stops as well.
        generator: for fill="noise".

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name; "incremental" with a
            network that cannot be taken apart.

    Example:
        >>> import nbcnnviz as nv
        >>> sweep = nv.backend.occlusion_sweep(
        ...     nv.Network.digits(), nv.sample_image("digit"), window=8, stride=4
        ... )
        >>> sweep.scores.shape == sweep.predicted.shape, sweep.complete
        (True, True)
    """
    net = wrap(net)
    _occluders.check_engine(engine)
    _occluders.check_precision(precision)
    aim = read(target, net.labels)
    check_score(score, aim)
    for name, hook in (("on_frame", on_frame), ("on_batch", on_batch)):
        if hook is not None and not callable(hook):
            raise TypeError(f"{name}: a {kind(hook)} cannot be called; give a function")
    with torch.inference_mode(False), torch.no_grad():
        x = net.prepare(image)
        grid = make_grid((x.shape[2], x.shape[3]), window, stride)
        windows = Windows(grid, x, filled(net, x, fill, generator))
    begin = time.perf_counter()
    unit = aim if aim.needs_layer else None
    first, others = _occluders.make(net, windows, unit, engine, precision)
    run = _Run(net, windows, first, aim, score, fill, begin)
    return run.run(others, on_frame, on_batch)


def make_grid(size: tuple[int, int], window: Any, stride: Any) -> Grid:
    """Where the windows stand in an image of this size.

    Raises:
        TypeError, ValueError: a window or stride that is no number or pair of them, below 1,
            larger than the image, or a stride above the window.
    """
    height, width = _pair("window", window)
    down, right = _pair("stride", stride)
    if height > size[0] or width > size[1]:
        raise ValueError(
            f"window={window!r}: larger than what the network sees, {size[0]} x {size[1]}; give "
            f"at most {size if isinstance(window, tuple) else min(size)}"
        )
    if down > height or right > width:
        raise ValueError(
            f"stride={stride!r}: larger than window={window!r}, so that some pixels would never "
            "be hidden; give at most the window"
        )
    return Grid(size, (height, width), (down, right))


def _pair(name: str, value: Any) -> tuple[int, int]:
    pair = list(value) if isinstance(value, tuple | list) else [value, value]
    whole = [isinstance(v, int | np.integer) and not isinstance(v, bool) for v in pair]
    if len(pair) != 2 or not all(whole):
        raise TypeError(f"{name}={value!r}: give a whole number of pixels or (height, width)")
    if min(pair) < 1:
        raise ValueError(f"{name}={value!r}: give at least 1 pixel")
    return int(pair[0]), int(pair[1])


class _Run:
    """One sweep on its way."""

    def __init__(
        self,
        net: Network,
        windows: Windows,
        occluder: Occluder,
        target: Target,
        score: str,
        fill: Any,
        begin: float,
    ) -> None:
        self._windows = windows
        self._occluder = occluder
        self._fill = fill
        self._score = score
        self._labels = net.labels
        self._begin = begin
        self._pause_until = 0.0
        count = len(windows.grid.positions)
        clean = occluder.clean
        self._target = target if target.needs_layer else target.resolve(clean.logits, net.labels)
        self._logits = clean.logits.new_full((count, len(clean.logits)), torch.nan)
        self._units = None if clean.units is None else self._logits.new_full((count,), torch.nan)
        self._known = torch.zeros(count, dtype=torch.bool, device="cpu")
        # A target that cannot be computed fails here, not after minutes.
        self.sweep().baseline  # noqa: B018

    def run(
        self,
        others: Callable[[], Occluder],
        on_frame: Callable[[Frame], Any] | None,
        on_batch: Callable[[int, int], Any] | None,
    ) -> Sweep:
        """Do one level after another; `others` makes the occluder for all but the first."""
        for number, level in enumerate(self._windows.grid.levels()):
            if number == 1:
                self._occluder = others()
            for batch in self._occluder.batches(level):
                answer = self._occluder.answer(batch)
                self._logits[batch] = answer.logits
                if self._units is not None and answer.units is not None:
                    self._units[batch] = answer.units
                self._known[batch] = True
                done, total = int(self._known.sum()), len(self._known)
                if on_batch is not None and on_batch(done, total) is True:
                    return self.sweep()
                whole = bool(self._known[level].all())
                if on_frame is not None and self._report(on_frame, whole):
                    return self.sweep()
        return self.sweep()

    def _report(self, on_frame: Callable[[Frame], Any], urgent: bool) -> bool:
        """Whether the caller wants to stop."""
        now = time.perf_counter()
        done, total = int(self._known.sum()), len(self._known)
        if now < self._pause_until and not urgent and done < total:
            return False
        stop = on_frame(Frame(done, total, now - self._begin, self.sweep())) is True
        spent = time.perf_counter() - now
        self._pause_until = now + max(_PAUSE, spent / _SHARE)
        return stop

    def sweep(self) -> Sweep:
        """All that is known now; a copy, for the arrays are being filled."""
        grid, clean = self._windows.grid, self._occluder.clean
        shape = grid.shape
        return Sweep(
            target=self._target,
            score=self._score,
            window=grid.window,
            stride=grid.stride,
            size=grid.size,
            fill=self._fill,
            logits=self._logits.reshape(*shape, self._logits.shape[1]).clone(),
            clean=clean.logits,
            known=self._known.reshape(shape).clone(),
            complete=bool(self._known.all()),
            engine=self._occluder.name,
            note=self._occluder.note,
            precision=self._occluder.precision,
            labels=self._labels,
            unit=self._target if self._target.needs_layer else None,
            activations=None if self._units is None else self._units.reshape(shape).clone(),
            clean_activation=torch.nan if clean.units is None else float(clean.units),
        )


__all__ = ["Brush", "Frame", "Sweep", "occlude", "occlusion_sweep"]
