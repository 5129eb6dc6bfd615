"""The network under the brush: scores and pictures of an image of which a part is hidden."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..backend._masks import blend
from ..backend.fill import filled
from ..backend.network import Network
from ..backend.occlusion import Brush
from ._occlusion_record import Codes, Floats


class Painter:
    """Answers for masks over one image, from any thread; most quickly when they change little."""

    def __init__(self, net: Network, x: Tensor) -> None:
        self._net = net
        self._x = x
        self._lock = threading.RLock()
        self._brush: Brush | None = None
        self._fill: Any = None

    def scores(self, mask: Floats, fill: Any) -> Floats:
        """The logits (classes,) under a mask (H, W)."""
        with self._lock:
            if self._brush is None:
                self._brush = Brush(self._net, self._x, fill)
            elif fill != self._fill:
                self._brush.refill(fill)
            self._fill = fill
            found: Floats = self._brush.apply(mask).float().numpy()
            return found

    def masked(self, mask: Floats, fill: Any) -> Tensor:
        """The input (1, C, H, W) under a mask."""
        with torch.no_grad():
            return blend(self._x, filled(self._net, self._x, fill), torch.tensor(mask))

    def hidden(self, fill: Any) -> Codes:
        """What stands in where all is hidden, (H, W, 3), or (1, 1, 3) of one colour."""
        picture = self._net.picture(filled(self._net, self._x, fill))
        same = (picture == picture[:1, :1]).all()
        return np.ascontiguousarray(picture[:1, :1] if same else picture)
