"""A pass whose graph begins at a layer: what runs before it is not needed on the way back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd import Function

from .layers import Layer
from .recorder import Recorder


class LateRecorder(Recorder):
    """Records with gradients, but only from one of its layers on.

    The maps of the layers before are freed at once, as in a pass without gradients, and up to a
    fifth of the time is saved.

    Args:
        module: what `Network.evaluating()` lends.
        layers: see `Recorder`.
        start: the one of them where the graph begins.
        stop_early: see `Recorder`.
    """

    def __init__(
        self, module: nn.Module, layers: Sequence[Layer], start: Layer, stop_early: bool
    ) -> None:
        super().__init__(module, layers, keep_graph=True, stop_early=stop_early)
        self._start = start.name

    def run(self, x: Tensor) -> Any:
        """See `Recorder.run`.

        Raises:
            NoStartError: the graph cannot begin there.
        """
        handle = self.root.register_forward_pre_hook(_without_gradients)
        try:
            return super().run(x)
        finally:
            handle.remove()

    def _keep(self, name: str, output: Tensor | None) -> None:
        if name == self._start and output is not None and not output.requires_grad:
            if output._is_view() or not output.is_floating_point():
                raise NoStartError
            # Until the pass ends, which restores the mode.
            torch.set_grad_enabled(True)
            _Start.apply(output, torch.zeros((), device=output.device, requires_grad=True))
        super()._keep(name, output)


class NoStartError(Exception):
    """A graph cannot begin at what the layer puts out: a view of something earlier."""


def _without_gradients(module: nn.Module, args: Any) -> None:
    # The caller restores the mode.
    torch.set_grad_enabled(False)


class _Start(Function):
    """Makes a tensor depend on another one, by nothing.

    In place, since the network goes on with this very tensor; and not a leaf, since it may go on
    in place.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, source: Tensor) -> Tensor:
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        return None, gradients[0].sum()
