"""The scores under a brush: each dab costs only what it changes."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from . import _occluders
from ._masks import blend, read_mask
from .fill import filled
from .layers import wrap

if TYPE_CHECKING:
    from .incremental import Engine
    from .network import Network

_ANSWERS = 256
"""Masks whose logits are remembered."""
_BASES = 3
"""States of the engine that are kept, the clean image's included; some 100 MB each for VGG-16."""
_FAR = 0.25
"""Share of the image that may change before another state is kept."""
_WORTH = 0.1
"""Share of the image that must be saved by going back to a kept state."""
_ROLLS = 256
"""Steps from one state to the next before it starts from the clean image, against rounding."""


_SAMPLES = 5
"""Dabs to try each way before the faster one is settled on."""
_SMALL = 0.1
"""Share of the image that a dab changes, at most; larger changes tell nothing about dabs."""


class _Base(NamedTuple):
    """A state of the engine to return to."""

    mask: Tensor
    kept: Any
    logits: Tensor
    rolls: int


class Brush:
    """Scores of an image under a mask that changes little by little.

    `apply` equals `occlude` for every mask. The last mask is the base of the next one: only the
    window in which they differ goes through the network again, however much is painted already.
    Going back to an earlier mask, as undo does, costs nothing if it is remembered.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        fill: what hidden pixels are replaced by, see `filled`.
        engine: "auto", "incremental" or "plain", see `occlusion_sweep`.
        generator: for fill="noise".

    Raises:
        TypeError, ValueError: as `occlude`; "incremental" with a network that cannot be taken
            apart.

    Example:
        >>> import nbcnnviz as nv
        >>> brush = nv.backend.Brush(nv.Network.digits(), nv.sample_image("digit"))
        >>> mask = torch.zeros(brush.size)
        >>> mask[4:12, 4:12] = 1
        >>> brush.apply(mask).shape
        torch.Size([10])
    """

    def __init__(
        self,
        net: Network | nn.Module,
        image: Any,
        fill: Any = "mean",
        engine: str = "auto",
        generator: torch.Generator | None = None,
    ) -> None:
        _occluders.check_engine(engine)
        self._net = wrap(net)
        self._wanted = engine
        self._answers: OrderedDict[bytes, Tensor] = OrderedDict()
        self._bases: list[_Base] = []
        self._now: _Base | None = None
        with torch.inference_mode(False), torch.no_grad():
            self._x = self._net.prepare(image)
        self.refill(fill, generator)
        self.size: tuple[int, int] = (self._x.shape[2], self._x.shape[3])
        """Height and width of the mask."""
        self._start()

    def _start(self) -> None:
        """From the clean image, with the weights as they are now."""
        self._version = self._net.version()
        self._answers.clear()
        self._bases.clear()
        self._now = None
        self._engine: Engine | None = None
        self._windows: list[float] = []
        self._wholes: list[float] = []
        self.note: str = ""
        """Why that engine."""
        if self._wanted != "plain":
            # It takes torch.export along, which those who never occlude need not wait for.
            from . import incremental

            try:
                self._engine = incremental.build(self._net, self._x)
                self.note = _occluders.whole_note(self._engine)
            except incremental.NotExportable as error:
                self.note = _occluders.refused(self._wanted, error)
        self.engine: str = "plain" if self._engine is None else "incremental"
        """What computes."""
        if self._engine is None:
            clean = self._net.logits(self._x.clone())[0]
        else:
            clean = self._engine.clean[0]
        self.clean: Tensor = _occluders.on_cpu(clean)
        """(classes,), the logits of the whole image."""
        if self._engine is not None:
            nothing = torch.zeros(self.size, device="cpu")
            self._now = _Base(nothing, self._engine.keep(), self.clean, 0)
            self._bases = [self._now]

    def refill(self, fill: Any, generator: torch.Generator | None = None) -> None:
        """Let something else stand in for hidden pixels, from the next mask on.

        Args:
            fill: see `filled`.
            generator: for fill="noise".
        """
        with torch.inference_mode(False), torch.no_grad():
            self._fill = filled(self._net, self._x, fill, generator)
        self._answers.clear()
        # The clean image alone looks the same with every fill.
        del self._bases[1:]
        self._now = None

    def apply(self, mask: Any) -> Tensor:
        """The logits (classes,) with this mask (H, W) over the image, on the CPU.

        Args:
            mask: as in `occlude`.
        """
        hidden = read_mask(mask, self.size)
        with self._net.lock:
            if self._net.version() != self._version:
                self._start()
            key = hashlib.blake2b(hidden.numpy().tobytes(), digest_size=16).digest()
            if key not in self._answers:
                self._answers[key] = self._compute(hidden)
                while len(self._answers) > _ANSWERS:
                    self._answers.popitem(last=False)
            self._answers.move_to_end(key)
            return self._answers[key].clone()

    def _compute(self, hidden: Tensor) -> Tensor:
        if self._engine is None:
            with torch.inference_mode(False), torch.no_grad():
                x = blend(self._x, self._fill, hidden)
            return _occluders.on_cpu(self._net.logits(x)[0])
        if self._whole_is_due():
            return self._whole(hidden)
        begin = time.perf_counter()
        base = self._nearest(hidden)
        # Not `hidden` before it is done: an interrupt in between leaves the engine half way.
        now, self._now = self._now, None
        if base is not now:
            self._engine.restore(base.kept)
        box = difference(hidden, base.mask)
        if box is None:
            self._now = base
            return base.logits
        top, left, height, width = box
        cut = (..., slice(top, top + height), slice(left, left + width))
        with torch.inference_mode(False), torch.no_grad():
            patch = blend(self._x[cut], self._fill[cut], hidden[cut])
            logits = _occluders.on_cpu(self._engine.rebase(patch[0], top, left)[0])
        self._now = _Base(hidden, None, logits, base.rolls + 1)
        if height * width <= _SMALL * hidden.numel() and len(self._windows) < _SAMPLES:
            self._windows.append(time.perf_counter() - begin)
        self._keep(self._now)
        return logits

    def _whole_is_due(self) -> bool:
        """Whether to run the whole image: to learn how long that takes, or since it is faster.

        So it is for networks of many small layers. The first few dabs tell.
        """
        if len(self._windows) < _SAMPLES:
            return False
        if len(self._wholes) < _SAMPLES:
            return True
        # The shortest of each: whatever else runs on the machine only adds.
        return min(self._wholes) < min(self._windows)

    def _whole(self, hidden: Tensor) -> Tensor:
        """By a pass over the whole image that leaves the base where it is."""
        assert self._engine is not None
        begin = time.perf_counter()
        corner = torch.zeros(1, dtype=torch.int64, device="cpu")
        with torch.inference_mode(False), torch.no_grad():
            x = blend(self._x, self._fill, hidden)
            logits = _occluders.on_cpu(self._engine.scores(x, corner, corner)[0])
        if len(self._wholes) < _SAMPLES:
            self._wholes.append(time.perf_counter() - begin)
        return logits

    def _nearest(self, hidden: Tensor) -> _Base:
        """The state from which the least has to be computed anew."""
        if self._now is None or self._now.rolls >= _ROLLS:
            return self._bases[0]
        nearest = min(self._bases, key=lambda base: _area(hidden, base.mask))
        # After a return the next step copies what was kept, so it has to be worth it.
        away = _area(hidden, nearest.mask) + _WORTH * hidden.numel()
        return nearest if away < _area(hidden, self._now.mask) else self._now

    def _keep(self, now: _Base) -> None:
        """Keep a state that is far from all that are kept; the oldest but the clean one goes."""
        assert self._engine is not None
        far = _FAR * now.mask.numel()
        if all(_area(now.mask, base.mask) > far for base in self._bases):
            if len(self._bases) == _BASES:
                del self._bases[1]
            self._bases.append(now._replace(kept=self._engine.keep()))


def difference(a: Tensor, b: Tensor) -> tuple[int, int, int, int] | None:
    """Top, left, height and width of where two masks differ; None if they are the same."""
    different = a != b
    rows = different.any(1).nonzero()
    if not len(rows):
        return None
    columns = different.any(0).nonzero()
    top, left = int(rows[0]), int(columns[0])
    return top, left, int(rows[-1]) + 1 - top, int(columns[-1]) + 1 - left


def _area(a: Tensor, b: Tensor) -> int:
    box = difference(a, b)
    return 0 if box is None else box[2] * box[3]
