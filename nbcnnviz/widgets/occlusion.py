"""Occlusion: hide parts of an image with the mouse, or sweep a window over it."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import traitlets

from ..backend import occlusion
from ..backend._masks import read_mask
from ..backend.network import Network
from ..backend.occlusion import Sweep
from ..backend.target import SCORES, Target
from . import _occlusion_still
from ._base import NetworkWidget
from ._codec import pack
from ._inputs import Inputs, class_names
from ._lanes import array, flag, lane, long_lane, one_of, optional, pair, several, whole
from ._occlusion_painter import Painter
from ._occlusion_record import (
    MOST_PIXELS,
    Floats,
    Painted,
    a_fill,
    canonical,
    codes_of,
    half,
    mask_of,
    relabelled,
    scores_meta,
    sweep_blob,
    target_meta,
)
from ._traits import Choice, Setting, check
from ._worker import Cancelled, Job

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from torch import nn

SHOWS = ("drop", "score", "class")
_REMEMBERED = 100
_PIXELS = pair(1, MOST_PIXELS)


class Occlusion(NetworkWidget):
    """Hide parts of an image and watch the class scores, by hand or with a sweeping window.

    What is hidden is replaced by `fill`, and the network looks again: the experiment of Zeiler &
    Fergus (2014, fig. 7), with the mouse. Paint with brush, rectangle, stamp and eraser; or let
    a window sweep over the picture and see where the score falls or the answer changes.

    Args:
        net: a `Network` or a bare `torch.nn.Module`.
        image: anything image-like (see `Network.prepare`).
        target: whose score a sweep maps: a class index or label, `(layer, channel)`, ... (see
            `backend.Target.of`); None: the class predicted for the whole image.
        labels: names of the classes, where the network has none or other ones.
        mask: where to begin: (H, W) of the network's input, bool or 0..1; 1 hides.
        name: what to call the image; by default its file name.
        settings: `fill`, `window`, `stride`, `score`, `show`, `theme`.

    Raises:
        ValueError, TypeError: an argument that cannot be used, by name, with the fix.

    Example:
        >>> import nbcnnviz as nv
        >>> w = nv.Occlusion(nv.Network.digits(), nv.sample_image("digit"), window=8, stride=4)
        >>> w.compute().complete
        True
    """

    stem: ClassVar[str] = "occlusion"
    compute_lane = "sweep"

    fill = Setting("mean")
    """What hidden pixels become: "mean", "black", "gray", "blur", "noise", or (r, g, b)."""
    window = Setting(32)
    """Side, or (height, width), of what a sweep hides, in pixels of the network's input."""
    stride = Setting(16)
    """Pixels, or (down, right), from one position of a sweep to the next."""
    score = Choice(SCORES, "logit")
    """What a sweep maps of a class: "logit" or "probability"."""
    show = Choice(SHOWS, "drop")
    """Of a sweep: the score's drop by pixel, the score by position, or the predicted class."""

    _target: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    _classes: traitlets.List[str] = traitlets.List().tag(sync=True)
    _image = traitlets.Bytes().tag(sync=True)
    _mask = traitlets.Bytes().tag(sync=True)
    _scores = traitlets.Bytes().tag(sync=True)
    _sweep = traitlets.Bytes().tag(sync=True)

    # Not shared with the browser: what Python reads, sets and observes.
    target: traitlets.Any = traitlets.Any()
    """The `Target` of sweeps; set it to anything that `backend.Target.of` takes."""
    mask: traitlets.Any = traitlets.Any()
    """(H, W) float32 of what is hidden, 0..1; set it to paint."""
    scores: traitlets.Any = traitlets.Any(read_only=True)
    """(classes,) float32: the logits under the mask."""
    sweep: traitlets.Any = traitlets.Any(None, read_only=True, allow_none=True)
    """The last `Sweep`, complete or not; None before the first."""

    def __init__(
        self,
        net: Network | nn.Module,
        image: Any,
        target: Any = None,
        labels: Sequence[str] | None = None,
        *,
        mask: Any = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        net = Network.wrap(net)
        net = net if labels is None else relabelled(net, labels)
        self._inputs = Inputs.prepare(net, image, None if name is None else [name])
        if len(self._inputs) > 1:
            raise ValueError(f"image: {len(self._inputs)} images; Occlusion takes one")
        self._x = self._inputs.tensors[0]
        self._size: tuple[int, int] = (self._x.shape[2], self._x.shape[3])
        # Before there is a widget that would have to be closed again.
        first = None if mask is None else read_mask(mask, self._size).numpy()
        self._painter: Painter | None = Painter(net, self._x)
        self._seconds = 0.0
        self._turns = itertools.count(1)
        self._turn, self._origin = 0, ""
        self.history: deque[Painted] = deque(maxlen=_REMEMBERED)
        """What was painted, finished strokes only, the newest last."""
        clean = net.logits(self._x)[0].float().cpu()
        self._clean: Floats = clean.numpy()
        self._painted = Painted(np.zeros(self._size, np.float32), self._clean)
        window = settings.get("window", max(1, round(min(self._size) / 7)))
        super().__init__(
            net,
            {"window": window, "stride": half(window), **settings},
            target=Target.of(net, target, clean),
            mask=self._painted.mask,
            _classes=class_names(net, len(self._clean)),
        )
        self.set_trait("scores", self._clean)
        if first is not None:
            self.mask = first
        key = (self._endpoint.epoch, "", "warm")
        self._endpoint.worker.submit(Job(key=key, owner=self, run=self._warm_up))

    # -- settings -----------------------------------------------------------------------------

    @check("fill")
    def _valid_fill(self, value: Any) -> Any:
        return canonical(self.net, value)

    @check("window")
    def _valid_window(self, value: Any) -> Any:
        grid = occlusion.make_grid(self._size, value, 1)
        return grid.window if isinstance(value, list | tuple) else grid.window[0]

    @check("stride")
    def _valid_stride(self, value: Any) -> Any:
        grid = occlusion.make_grid(self._size, self.window, value)
        return grid.stride if isinstance(value, list | tuple) else grid.stride[0]

    @check("target")
    def _valid_target(self, value: Any) -> Target:
        return self._as_target(value)

    def _as_target(self, value: Any) -> Target:
        chosen = Target.of(self.net, value, torch.from_numpy(self._clean))
        if chosen.needs_layer:
            chosen.find_layer(self.net.layers(self._x))
        return chosen

    @check("mask")
    def _valid_mask(self, value: Any) -> Floats:
        mine = self._painted.mask
        return mine if value is mine else read_mask(value, self._size).numpy()

    @traitlets.observe("window")
    def _fit_stride(self, change: Any) -> None:
        """A stride above the window would leave pixels that are never hidden."""
        window, stride = (
            value if isinstance(value, tuple) else (value, value)
            for value in (self.window, self.stride)
        )
        if stride[0] > window[0] or stride[1] > window[1]:
            self.stride = min(*window, *stride)

    @traitlets.observe("target", "score")
    def _aim(self, change: Any) -> None:
        self._target = target_meta(self.target)
        if self.sweep is not None:
            self._publish(sweep=self._aimed(self.sweep))
            self._save_soon()

    def _aimed(self, sweep: Sweep) -> Sweep:
        """A sweep seen from the present target."""
        target = self.target
        # A unit's activations are in the sweep only if they were measured.
        if target.needs_layer:
            return sweep.for_target(target) if target == sweep.unit else sweep
        return sweep.for_target(target, self.score)

    @traitlets.observe("mask")
    def _paint_from_python(self, change: Any) -> None:
        if change.new is not self._painted.mask:
            self._paint(change.new, "", done=True)
            self._save()

    @traitlets.observe("fill")
    def _refill(self, change: Any) -> None:
        if self._from_browser() or self._endpoint.worker.inside():
            # The browser asks for the scores with its next message, and brings the mask along.
            self._save_soon()
        elif self.comm is not None:
            self._paint(self._painted.mask.copy(), "", done=False)
            self._save()

    # -- for the user -------------------------------------------------------------------------

    def apply_mask(self, mask: Any) -> Floats:
        """Hide what `mask` (H, W) says, and return the logits (classes,).

        Raises:
            ValueError: a mask of another shape, with NaN or out of 0..1.
        """
        self.mask = mask
        return self._painted.scores

    def refresh(self) -> None:
        """Look again, after more training; a sweep stays what it was until the next one."""
        with self._trait_lock:
            self._paint(self._painted.mask.copy(), "", done=False)
        self._save()

    @property
    def masked(self) -> torch.Tensor:
        """The input (1, C, H, W) as the network sees it under the mask."""
        return self._paints().masked(self._painted.mask, self.fill)

    def _compute(self, job: Job) -> Sweep:
        """A sweep with the present settings; what an interrupted one has found is kept."""
        return self._run_sweep(job, self.window, self.stride, self.fill, self.score)

    # -- what is worked out ---------------------------------------------------------------------

    def _warm_up(self, job: Job) -> None:
        """Take the network apart before the first stroke, which then need not wait for it."""
        self._paints().scores(self._painted.mask, self.fill)

    def _paints(self) -> Painter:
        if self._painter is None:
            raise RuntimeError("this widget is closed: make a new one")
        return self._painter

    def _paint(self, mask: Floats, origin: str, done: bool) -> None:
        """Let the network look under a mask, and tell Python.

        Raises:
            Cancelled: another mask, asked for later, was there first.
        """
        turn = next(self._turns)
        scores, clean = self._paints().scores(mask, self.fill)
        mask.flags.writeable = False
        with self._trait_lock:
            if turn < self._turn:
                raise Cancelled
            self._painted, self._clean = Painted(mask, scores), clean
            self._origin, self._turn = origin, turn
            if done and not (self.history and np.array_equal(self.history[-1].mask, mask)):
                self.history.append(self._painted)
            self._publish(scores=scores)
            if self.mask is not mask:
                self._publish(mask=mask)

    def _run_sweep(self, job: Job, window: Any, stride: Any, fill: Any, score: str) -> Sweep:
        sweep, self._seconds = self._paints().sweep(
            job,
            lambda part, seconds: sweep_blob(self.net, self._aimed(part), seconds),
            window=window,
            stride=stride,
            fill=fill,
            target=self.target,
            score="logit" if self.target.needs_layer else score,
        )
        sweep = self._aimed(sweep)
        self._publish(sweep=sweep)
        self._save()
        if not sweep.complete:
            raise Cancelled
        return sweep

    def _scores_meta(self) -> dict[str, Any]:
        return scores_meta(self.net, self._clean, self._painted, self.target, self.fill)

    def _scores_blob(self) -> bytes:
        return pack(self._scores_meta(), {})

    def _sweep_blob(self) -> bytes:
        return b"" if self.sweep is None else sweep_blob(self.net, self.sweep, self._seconds)

    def _save(self) -> None:
        painted = self._painted
        mask = pack({"origin": self._origin}, {"mask": codes_of(painted.mask)})
        image = pack(
            {"name": self._inputs.names[0], "size": list(self._size)},
            {"picture": self._inputs.pictures[0], "hidden": self._paints().hidden(self.fill)},
        )
        scores, sweep = self._scores_blob(), self._sweep_blob()
        self._publish(_image=image, _mask=mask, _scores=scores, _sweep=sweep)

    def _release(self) -> None:
        self._painter = None
        self._publish(sweep=None)
        self.history.clear()

    # -- what the browser asks ------------------------------------------------------------------

    @lane(fill=a_fill, box=several(whole(0, MOST_PIXELS), 4), done=flag, mask=array("uint8", 2))
    def _lane_scores(self, job: Job, fill: Any, box: list[int], done: bool, mask: Any) -> bytes:
        if len(box) != 4:
            raise ValueError("box: expected top, left, height and width")
        if fill != self.fill:
            self._publish(fill=fill)
        self._paint(mask_of(mask, box, self._size), job.view, done)
        self._save_soon()
        return self._scores_blob()

    @lane(fill=a_fill)
    def _lane_fill(self, job: Job, fill: Any) -> bytes:
        return pack({"fill": fill}, {"hidden": self._paints().hidden(fill)})

    @lane(index=optional(whole()))
    def _lane_target(self, job: Job, index: int | None) -> bytes:
        self._publish(target=self._as_target(index))
        return self._sweep_blob() or pack({"sweep": False}, {})

    @long_lane(window=_PIXELS, stride=_PIXELS, fill=a_fill, score=one_of(*SCORES))
    def _lane_sweep(self, job: Job, window: Any, stride: Any, fill: Any, score: str) -> bytes:
        self._run_sweep(job, window, stride, fill, score)
        return self._sweep_blob()

    # -- what a saved notebook, a still picture and a page of its own show -----------------------

    def _show(self) -> _occlusion_still.Shown:
        return _occlusion_still.Shown(
            net=self.net,
            picture=self._inputs.pictures[0],
            masked=self.net.picture(self.masked),
            clean=self._clean,
            painted=self._painted,
            sweep=self.sweep,
            fill=self.fill,
        )

    def _picture(self) -> npt.NDArray[np.uint8]:
        return self._show().sheet()

    def _figure(self) -> Figure:
        return self._show().figure()

    def _summary(self) -> str:
        seen = f"{self._inputs.names[0]}, {self._show().headline}"
        return f"Occlusion: {seen} ({self.net.name})"

    def _code(self) -> str:
        return _occlusion_still.code(
            self.net.source,
            self._inputs.names[0],
            self._painted.mask,
            fill=self.fill,
            window=self.window,
            stride=self.stride,
            target=self.target,
            score=self.score,
        )

    def _export_replies(self, **options: Any) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Answers for a saved page: the sweep seen from each class that is listed, and the code."""
        if options:
            raise TypeError(f"save_html has no option {next(iter(options))!r}")
        hidden = {"hidden": self._paints().hidden(self.fill)}
        yield "code", {}, pack({"code": self._code()}, {})
        yield "fill", {"fill": self.fill}, pack({"fill": self.fill}, hidden)
        if self.sweep is None or not len(self._clean):
            return
        listed = [entry["index"] for entry in self._scores_meta()["classes"]]
        for index in [None, *listed]:
            seen = self.sweep.for_target(index, self.score)
            yield "target", {"index": index}, sweep_blob(self.net, seen, self._seconds)
