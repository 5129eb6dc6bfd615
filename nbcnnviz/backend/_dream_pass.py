"""The network cut at the deepest layer that is needed: what layers put out, and gradients."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.autograd.graph import get_gradient_edge
from torch.jit import ScriptModule

from . import _model
from . import layers as known
from ._pace import is_out_of_memory
from ._tracer import as_maps
from .layers import Layer
from .recorder import Activation, Recorder, _Enough

if TYPE_CHECKING:
    from .network import Network

SCORES = ""
"""Under this name the class scores (N, classes) are found; no layer is called so."""

_PLAIN = (Tensor, nn.Parameter)
"""What can be watched for changes; subclasses may have no storage."""

Maps = Mapping[str, Tensor]
Objective = Callable[[Maps], tuple[Tensor, dict[str, Tensor]]]
"""From what layers put out to a number that is differentiated, and others that are shown."""


def find_maps(net: Network, name: object, argument: str = "layer") -> Layer:
    """The layer of this name, which must put out maps.

    Raises:
        TypeError, ValueError: no name, no such layer, or one without maps.
    """
    layer = known.find(known.known_layers(net), name, argument)
    if not layer.spatial:
        raise ValueError(
            f"{argument}={layer.name!r}: it puts out {layer.shape[0]} numbers, not maps "
            "(C, H, W); choose a layer with `spatial` true, as net.layers() lists them"
        )
    return layer


class Lens:
    """Looks through a network again and again, and keeps its body from one step to the next.

    `Network.evaluating` makes a body for each pass, 2 ms of the demo network's 27 ms for a step.
    This one is kept as long as nothing has moved the model's weights or written to its buffers or
    the body's own. A model with forward hooks gets a new one each time: they may collect what
    they see.
    """

    def __init__(self, net: Network) -> None:
        self.net = net
        self._body: nn.Module | None = None
        self._watched: tuple[list[Tensor], list[Tensor]] = [], []
        self._facts: list[int] = []
        self._draws = True
        self._overwritten: set[str] = set()

    def features(self, x: Tensor, layers: Sequence[Layer]) -> dict[str, Tensor]:
        """What layers put out for a batch, each (N, C, H, W), without a graph."""
        with self._lent(grad=False) as body, Recorder(body, layers) as recorder:
            recorder.run(self._input(x))
        return {layer.name: _wide(recorder[layer], x) for layer in layers}

    def try_small(self, size: tuple[int, int], layers: Sequence[Layer], argument: str) -> None:
        """See whether the network takes an image that is smaller than what it usually gets.

        Raises:
            ValueError: it does not; names the argument that the size comes from.
        """
        usual = self.net.preprocess
        if min(size) >= min(usual.size):
            return
        try:
            self.features(self.net.blank().new_zeros(1, usual.channels, *size), layers)
        except (RuntimeError, ValueError) as error:
            raise ValueError(
                f"{argument}: {size[0]} x {size[1]} pixels, with which the run begins, are too few "
                f"for the network ({error}); give a larger size"
            ) from error

    def gradient(
        self, x: Tensor, layers: Sequence[Layer], objective: Objective, scores: bool = False
    ) -> tuple[Tensor, dict[str, float]]:
        """The gradient (N, C, H, W) of an objective with respect to a batch, and its numbers.

        Args:
            x: (N, C, H, W), normalised; not written to.
            layers: whose outputs the objective takes.
            objective: see `Objective`.
            scores: it takes the class scores as well, so the whole network runs.

        Raises:
            ValueError: there is no way back from the objective to the image.
            RuntimeError: memory does not suffice.
        """
        leaf = self._input(x).requires_grad_()
        try:
            with self._lent(grad=True) as body:
                value, parts = objective(self._outputs(body, leaf, layers, x, scores))
                found: Tensor | None = None
                if value.requires_grad:
                    (found,) = torch.autograd.grad(value, leaf, allow_unused=True)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise RuntimeError(
                f"size: memory does not suffice for {x.shape[2]} x {x.shape[3]}; give a smaller "
                "size, or a smaller tile to deep_dream"
            ) from error
        if found is None:
            raise ValueError(_no_way(layers))
        found = found.to(x.dtype, memory_format=torch.contiguous_format)
        return found, {name: float(part.detach()) for name, part in parts.items()}

    def _outputs(
        self, body: nn.Module, leaf: Tensor, layers: Sequence[Layer], x: Tensor, scores: bool
    ) -> dict[str, Tensor]:
        if not layers:
            # The network may begin with an in-place operation, which a leaf forbids.
            return {SCORES: _wide(_model.scores(body(leaf.clone())), x)}
        keeper = _Keeper(body, layers, not scores, self._overwritten)
        with keeper:
            output = keeper.run(leaf)
            lost = keeper.lost()
            if lost:
                # Once: from now on these are copied.
                self._overwritten |= lost
                output = keeper.run(leaf)
        made = {layer.name: _wide(keeper[layer], x) for layer in layers}
        if scores:
            made[SCORES] = _wide(_model.scores(output), x)
        return made

    @contextmanager
    def _lent(self, grad: bool) -> Iterator[nn.Module]:
        """As `Network.evaluating`, with a body that is kept if nothing has changed."""
        with self.net.lock:
            kept = self._current()
            draws = _draws(self.net) if kept is None else self._draws
            with self.net.evaluating(grad, draws, kept) as body:
                if kept is None:
                    _freeze(body)
                    self._keep(body, draws)
                yield body

    def _current(self) -> nn.Module | None:
        """The body that was kept, if it is still the model's."""
        if self._body is not None and self._facts != self._look():
            self._body = None
        return self._body

    def _look(self) -> list[int]:
        """What would differ after a write to a buffer, or after a move of the weights."""
        # Quicker than `net.version()`. Writes to weights are no concern: the body shares them.
        weights, buffers = self._watched
        return [w.data_ptr() for w in weights] + [b._version for b in buffers]

    def _keep(self, body: nn.Module, draws: bool) -> None:
        model = self.net.model
        hooked = any(m._forward_hooks or m._forward_pre_hooks for m in _model.modules(body))
        weights: list[Tensor] = list(model.parameters())
        watched = weights, [*body.buffers(), *model.buffers()]
        # Tensors made in inference mode count no writes; sparse and other ones have no address.
        plain = all(
            t.layout == torch.strided and not t.is_inference() and type(t) in _PLAIN
            for group in watched
            for t in group
        )
        if plain and not (hooked or _model.is_scripted(body)):
            self._body, self._watched, self._draws = body, watched, draws
            self._facts = self._look()

    def _input(self, x: Tensor) -> Tensor:
        """A copy of the batch in the network's dtype; channels last is quicker to convolve."""
        net = self.net
        return x.detach().to(net.device, net.dtype, memory_format=torch.channels_last, copy=True)


class _Keeper(Recorder):
    """A recorder that copies only what is overwritten in place later: copies cost a style step 2 %.

    Args:
        module, names, stop_early: as of `Recorder`.
        overwritten: names of layers to copy; may grow between two runs.
    """

    def __init__(
        self, module: nn.Module, names: Sequence[Layer], stop_early: bool, overwritten: set[str]
    ) -> None:
        super().__init__(module, names, keep_graph=True, stop_early=stop_early)
        self._overwritten = overwritten
        self._bare: dict[str, tuple[Tensor, int]] = {}

    def _keep(self, name: str, output: Tensor | None) -> None:
        if output is None or name in self._overwritten or not output.requires_grad:
            super()._keep(name, output)
            return
        last = self._last.get(name, False)
        self._bare[name] = output, output._version
        self._kept[name] = Activation(as_maps(output, last), get_gradient_edge(output), last)
        if self._stop_early and len(self._kept) == len(set(self.names)):
            raise _Enough

    def lost(self) -> set[str]:
        """Names of layers whose output has changed since it was kept."""
        return {name for name, (output, before) in self._bare.items() if output._version != before}


def _freeze(body: nn.Module) -> None:
    """Weights without gradients: convolutions need not keep their inputs for them then.

    The body is ours; the tensors are the model's own, and so is their `requires_grad`, so it gets
    others that share their values.
    """
    for module in body.modules():
        if not isinstance(module, ScriptModule):
            for name, weight in module._parameters.items():
                if weight is not None and weight.requires_grad:
                    module._parameters[name] = weight.detach()  # type: ignore[assignment]


def _wide(kept: Activation | Tensor, like: Tensor) -> Tensor:
    """In the dtype of the image: sums of squares overflow half precision."""
    values = kept.values if isinstance(kept, Activation) else kept
    return values.to(like.dtype)


def _draws(net: Network) -> bool:
    return known.draws(net, (1, net.preprocess.channels, *net.preprocess.size))


def _no_way(layers: Sequence[Layer]) -> str:
    names = ", ".join(repr(layer.name) for layer in layers) or "the class scores"
    return (
        f"layer: no gradient arrives at the image from {names}; a network that calls no_grad, "
        "detach or argmax on the way cannot be dreamt through"
    )
