"""One forward pass whose graph is kept, and gradients of any number of targets from it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import _model
from ._attr_start import LateRecorder, NoStartError
from ._pace import free, is_out_of_memory
from ._tracer import as_maps
from ._walk import Walk
from .layers import Layer, draws
from .recorder import Activation, Recorder
from .rules import BackwardRule
from .target import Target

if TYPE_CHECKING:
    from .network import Network

_PIXELS = {"cpu": 4 * 224 * 224, "cuda": 16 * 224 * 224}
"""In a batch: the graph keeps the maps of every layer, and processors are no faster with more.

Fixed rather than found by the clock. Batches of other sizes are rounded otherwise, and a ReLU that
turns over for that changes the picture in its third digit.
"""


@dataclass(frozen=True, eq=False)
class Pass:
    """What a network made of a batch, with the way back."""

    x: Tensor
    """(N, C, H, W), the leaf of the graph."""
    logits: Tensor | None
    """(N, classes); None when the pass was broken off, or the network has no class scores."""
    kept: Mapping[str, Activation | Tensor]
    """What chosen layers put out; a bare tensor where no gradient arrives."""
    rules: BackwardRule | None
    """Decides the way back through rectifiers; None: their own gradient."""
    notes: tuple[str, ...] = ()
    """What another rule than the gradient did not reach."""
    refusal: ValueError | None = None
    """Why there are no logits, if the pass was not broken off."""

    @property
    def has_graph(self) -> bool:
        """Whether any gradient can be had."""
        outputs = [self.maps(name) for name in self.kept] if self.logits is None else [self.logits]
        return any(output.requires_grad for output in outputs)

    def maps(self, layer: str) -> Tensor:
        """(N, K, h, w) or (N, D)"""
        found = self.kept[layer]
        return found.values if isinstance(found, Activation) else found

    def score(self, target: Target, kind: str) -> Tensor:
        """The target's score (N,), with its graph."""
        if target.layer is not None:
            return target.activations(self.maps(target.layer))
        assert self.logits is not None
        return target.scores(self.logits, kind)


def forward(
    net: Network,
    x: Tensor,
    layers: Sequence[Layer] = (),
    rules: BackwardRule | None = None,
    whole: bool = True,
    start: Layer | None = None,
    listen: Callable[[nn.Module], Walk] | None = None,
    graph: bool = True,
) -> Pass:
    """Run a network on a batch (N, C, H, W) and keep its graph.

    Args:
        net: the network.
        x: stays as it is.
        layers: whose outputs to keep.
        rules: for rectifiers; None takes none but the gradient, a little faster.
        whole: False breaks off after the last of the layers.
        start: the one of the layers where the graph may begin, if nobody asks for gradients
            further down.
        listen: makes what else shall follow the pass.
        graph: False keeps none: only the outputs are wanted.
    """
    if start is not None:
        try:
            run = _forward(net, x, layers, rules, whole, start, listen, graph)
        except (NoStartError, RuntimeError, ValueError):
            pass  # a network that writes to views of what ran before; other errors come again
        else:
            if isinstance(run.kept[start.name], Activation) and run.has_graph:
                return run
    return _forward(net, x, layers, rules, whole, None, listen, graph)


def _forward(
    net: Network,
    x: Tensor,
    layers: Sequence[Layer],
    rules: BackwardRule | None,
    whole: bool,
    start: Layer | None,
    listen: Callable[[nn.Module], Walk] | None,
    graph: bool,
) -> Pass:
    leaf = x.detach().requires_grad_(graph)
    kept: dict[str, Any] = {}
    with net.evaluating(grad=graph, draws=draws(net, x.shape)) as body, ExitStack() as stack:
        if rules is not None:
            # Before the recorder, whose listener then sees what the rule has made.
            stack.enter_context(rules)
        if listen is not None:
            stack.enter_context(listen(body))
        if layers:
            recorder = (
                Recorder(body, layers, keep_graph=graph, stop_early=not whole)
                if start is None
                else LateRecorder(body, layers, start, stop_early=not whole)
            )
            output = stack.enter_context(recorder).run(leaf if graph else leaf.clone())
            kept = {layer.name: recorder[layer] for layer in layers}
        else:
            # The network may begin with an in-place operation, which a leaf forbids.
            output = body(leaf.clone())
        stack.close()
        logits, refusal = (None, None) if output is None else _scores(output, len(x))
        notes = () if rules is None else rules.notes(body)
        return Pass(leaf, logits, kept, rules, notes, refusal)


def _scores(output: Any, count: int) -> tuple[Tensor | None, ValueError | None]:
    """The logits (N, classes), or why there are none: units can be explained all the same."""
    try:
        logits = _model.scores(output)
        if len(logits) != count:
            raise ValueError(
                f"net: {len(logits)} rows of scores for {count} images; one row per image is needed"
            )
    except ValueError as error:
        return None, error
    return logits, None


def backward(
    net: Network,
    run: Pass,
    score: Tensor,
    to: Sequence[str | None] = (None,),
    rule: str = "gradient",
    seed: Tensor | None = None,
    keep: bool = False,
) -> list[Tensor]:
    """Gradients of scores (N,), each of its own image.

    Args:
        net: the network that ran.
        run: its forward pass.
        score: of that pass.
        to: None: with respect to the image; the name of a layer: to what it put out.
        rule: what rectifiers do on the way back, of a pass that can take several.
        seed: (N,) what each score's gradient begins with; None: 1.
        keep: the graph, for further targets.

    Raises:
        ValueError: there is no way from the score to one of these.
        RuntimeError: what the graph needs has been overwritten.
    """
    places = [run.x if name is None else getattr(run.kept[name], "edge", None) for name in to]
    found: Sequence[Tensor | None] = [None] * len(to)
    if score.requires_grad and None not in places:
        seed = torch.ones_like(score) if seed is None else seed
        found = gradients(net, run, score, places, rule, seed, keep)
    made: list[Tensor] = []
    for name, gradient in zip(to, found, strict=True):
        if gradient is None:
            raise ValueError(_no_way(name))
        last = name is not None and run.kept[name].channels_last  # type: ignore[union-attr]
        made.append(as_maps(gradient, last))
    return made


def gradients(
    net: Network,
    run: Pass,
    score: Tensor,
    places: Sequence[Any],
    rule: str,
    seed: Tensor,
    keep: bool = False,
) -> Sequence[Tensor | None]:
    """Gradients with respect to tensors or edges; None where there is no way."""
    assert run.rules is not None or rule == "gradient"
    with net.lock:
        if run.rules is not None:
            run.rules.rule = rule
        try:
            return torch.autograd.grad(score, places, seed, retain_graph=keep, allow_unused=True)
        except RuntimeError as error:
            if "modified by an inplace operation" not in str(error):
                raise
            raise RuntimeError(
                "net: what its gradient needs was overwritten in place: by the network itself, or "
                "by a training step in another thread, after which it works again"
            ) from error


def _no_way(layer: str | None) -> str:
    if layer is None:
        return (
            "target: its score has no gradient with respect to the image; a network or a function "
            "that calls no_grad, detach or argmax on the way cannot be explained by gradients"
        )
    return (
        f"layer={layer!r}: the target's score has no gradient there: the layer runs after what "
        "the target is made of, or beside it; choose an earlier layer"
    )


def single_unit(target: Target, run: Pass) -> Target:
    """A channel's maximum as the one unit where it lies in the first image; others as they are.

    That keeps a single activation and zeroes the rest, as Zeiler & Fergus do; of several equal
    maxima, as in a dead map, the first.
    """
    if target.layer is None or target.position is not None or target.reduction != "max":
        return target
    maps = run.maps(target.layer)
    if maps.dim() != 4:
        return target
    assert target.channel is not None
    place = int(maps[0, target.channel].detach().flatten().argmax())
    y, x = divmod(place, int(maps.shape[3]))
    name = f"{target.layer}, channel {target.channel} at {(y, x)} (max)"
    return replace(target, position=(y, x), name=name)


def in_batches(
    total: int,
    pixels: int,
    device: torch.device,
    run: Callable[[range], object],
    on_progress: Callable[[int, int], Any] | None,
    alone: bool = False,
) -> int:
    """Do numbers 0 to `total` - 1 in batches that pay off; smaller ones where memory is short.

    Args:
        total: how many there are.
        pixels: of one image.
        device: whose memory it is.
        run: does some.
        on_progress: called with the number done and of all; True stops.
        alone: one at a time.

    Returns:
        How many were done.
    """
    size = 1 if alone else max(1, _PIXELS.get(device.type, _PIXELS["cuda"]) // pixels)
    done = 0
    while done < total:
        numbers = range(done, min(done + size, total))
        if not _fits(run, numbers):
            size = (len(numbers) + 1) // 2
            free(device)
            continue
        done = numbers.stop
        if on_progress is not None and on_progress(done, total) is True:
            break
    return done


def _fits(run: Callable[[range], object], numbers: range) -> bool:
    """Run a batch; False if memory did not suffice for more than one image."""
    try:
        run(numbers)
    except RuntimeError as error:
        if len(numbers) == 1 or not is_out_of_memory(error):
            raise
        return False
    return True
