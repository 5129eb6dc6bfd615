"""The network under the brush: scores and pictures of an image of which a part is hidden."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..backend._masks import blend
from ..backend.fill import filled
from ..backend.network import Network
from ..backend.occlusion import Brush, Frame, Sweep, occlusion_sweep
from ._occlusion_record import Codes, Floats
from ._worker import Cancelled, Job


class Painter:
    """Answers for masks over one image, from any thread; most quickly when they change little."""

    def __init__(self, net: Network, x: Tensor) -> None:
        self._net = net
        self._x = x
        # The network's own: whoever holds it may paint.
        self._lock = net.lock
        self._brush: Brush | None = None
        self._fill: Any = None

    def scores(self, mask: Floats, fill: Any) -> tuple[Floats, Floats]:
        """The logits (classes,) under a mask (H, W), and those of the whole image."""
        with self._lock:
            if self._brush is None:
                self._brush = Brush(self._net, self._x, fill)
            elif fill != self._fill:
                self._brush.refill(fill)
            self._fill = fill
            now: Floats = self._brush.apply(mask).float().numpy()
            clean: Floats = self._brush.clean.float().numpy()
            return now, clean

    def masked(self, mask: Floats, fill: Any) -> Tensor:
        """The input (1, C, H, W) under a mask."""
        with torch.no_grad():
            return blend(self._x, filled(self._net, self._x, fill), torch.tensor(mask))

    def hidden(self, fill: Any) -> Codes:
        """What stands in where all is hidden, (H, W, 3), or (1, 1, 3) of one colour."""
        picture = self._net.picture(filled(self._net, self._x, fill))
        same = (picture == picture[:1, :1]).all()
        return np.ascontiguousarray(picture[:1, :1] if same else picture)

    def sweep(
        self, job: Job, show: Callable[[Sweep, float], bytes], **settings: Any
    ) -> tuple[Sweep, float]:
        """A sweep and how many seconds it took; what is known so far when the job is cancelled.

        Args:
            job: is told of the progress, and of partial results.
            show: packs a part of a sweep after so many seconds.
            settings: of `occlusion_sweep`.
        """
        begin = time.monotonic()

        def cancelled(report: Callable[..., None], *args: Any) -> bool:
            try:
                report(*args)
            except Cancelled:
                return True
            return False

        def on_frame(frame: Frame) -> bool:
            return cancelled(job.partial, lambda: show(frame.sweep, frame.seconds))

        def on_batch(done: int, total: int) -> bool:
            return cancelled(job.progress, done, total)

        found = occlusion_sweep(
            self._net, self._x, on_frame=on_frame, on_batch=on_batch, **settings
        )
        return found, time.monotonic() - begin
