"""What is asked of an attribution method, and the passes through the network that answer it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._attr_pass import Pass, backward, forward, single_unit
from ._attr_result import Attribution, on_cpu
from ._model import kind
from ._walk import first_tensor
from .layers import Layer
from .rules import BackwardRule, read_smooth
from .target import Target

if TYPE_CHECKING:
    from .network import Network

Progress = Callable[[int, int], Any]
"""Called with what is done and of how many; returning True stops."""


class Passes:
    """Forward passes of one image, kept for further questions or not."""

    def __init__(self, net: Network, x: Tensor, keep: bool) -> None:
        self.net = net
        self.x = x
        """(1, C, H, W)"""
        self.keep = keep
        self._kept: dict[frozenset[str], tuple[int, list[Layer], Pass]] = {}

    def get(
        self,
        layers: Sequence[Layer],
        whole: bool,
        rules: bool = False,
        as_relu: frozenset[str] = frozenset(),
        start: Layer | None = None,
        graph: bool = True,
    ) -> Pass:
        """A pass that recorded these layers.

        Args:
            layers: whose outputs are needed.
            whole: whether those of the network are, too.
            rules: whether rectifiers need another way back than the gradient.
            as_relu: see `BackwardRule`.
            start, graph: see `forward`; not of passes that are kept.
        """
        if not self.keep:
            mode = BackwardRule("gradient", as_relu) if rules else None
            return forward(self.net, self.x, layers, mode, whole, start, graph=graph)
        version = self.net.version()
        if as_relu in self._kept:
            then, recorded, run = self._kept[as_relu]
            if then == version and all(layer.name in run.kept for layer in layers):
                return run
            if then == version:
                # Back to an earlier layer then costs nothing.
                layers = [*layers, *(one for one in recorded if one not in layers)]
        # The graph of the old one goes before the new one comes.
        self._kept.pop(as_relu, None)
        # One that is kept serves all rules.
        run = forward(self.net, self.x, layers, BackwardRule("gradient", as_relu))
        self._kept[as_relu] = version, list(layers), run
        return run

    def clear(self) -> None:
        """Let go of the graphs."""
        self._kept.clear()


class Question:
    """One question, with the means to answer it."""

    def __init__(
        self,
        passes: Passes,
        method: str,
        target: Target,
        score: str,
        layer: Layer | None,
        watched: Sequence[Layer],
        notes: Sequence[str],
        options: dict[str, Any],
        on_progress: Progress | None = None,
    ) -> None:
        self.net = passes.net
        self.x = passes.x
        self.method = method
        self.target = target
        """Resolved by the first pass."""
        self.kind = score
        self.layer = layer
        """Whose maps are weighted."""
        self.watched = watched
        """All layers whose outputs are needed."""
        self.on_progress = on_progress
        self.keep = passes.keep
        self._passes = passes
        self.notes = list(notes)
        """What to say with the answer."""
        self.options = options

    @property
    def whole(self) -> bool:
        """Whether the scores of the classes are needed."""
        return not self.target.needs_layer

    def run(
        self,
        rules: bool = False,
        as_relu: Any = (),
        start: Layer | None = None,
        graph: bool = True,
    ) -> Pass:
        """The pass of the image itself.

        Args:
            rules: whether rectifiers need another way back than the gradient.
            as_relu: see `BackwardRule`.
            start, graph: see `forward`.
        """
        run = self._passes.get(
            *(self.watched, self.whole, rules, read_smooth(as_relu), start, graph)
        )
        if rules:
            self.notes += run.notes
        if self.target.needs_layer:
            self.target = single_unit(self.target, run)
        else:
            self.target = self.target.resolve(scores_of(run)[0], self.net.labels)
        return run

    def run_on(self, batch: Tensor, graph: bool = True) -> Pass:
        """A pass of other images (N, C, H, W)."""
        run = forward(self.net, batch, self.watched, whole=self.whole, graph=graph)
        if self.whole:
            scores_of(run)
        return run

    def score(self, run: Pass) -> Tensor:
        """(N,) with the graph."""
        return run.score(self.target, self.kind)

    def gradients(
        self,
        run: Pass,
        to: Sequence[str | None] = (None,),
        rule: str = "gradient",
        seed: Tensor | None = None,
        keep: bool = False,
    ) -> list[Tensor]:
        """Of the target, see `backward`; a graph that nobody will ask again is given up."""
        return backward(self.net, run, self.score(run), to, rule, seed, keep or self.keep)

    def note(self, sentence: str) -> None:
        """Say something with the answer."""
        self.notes.append(sentence)

    def answer(self, run: Pass, values: Tensor, **more: Any) -> Attribution:
        """The attribution, of a pass of the image itself."""
        logits = None if run.logits is None else on_cpu(run.logits[0])
        found = Attribution(
            values=on_cpu(values),
            method=self.method,
            target=self.target,
            score=float(self.score(run)[0].detach()),
            score_name="activation" if self.target.needs_layer else self.kind,
            layer=None if self.layer is None else self.layer.name,
            logits=logits,
            notes=tuple(self.notes),
            options=self.options,
            **more,
        )
        return replace(found, notes=(*found.notes, _no_numbers(found))) if found.missing else found

    def alone(self) -> bool:
        """Whether images must be run one at a time; if so, a note says why."""
        why = takes_no_batches(self.net, self.x)
        if why:
            self.note(f"One sample at a time, since {why}.")
        return bool(why)


def _no_numbers(found: Attribution) -> str:
    if found.missing == found.values.numel():
        return (
            "Every value is NaN or infinite, and so is the score or its gradient; "
            "nv.backend.layer_stats tells in which layer that begins."
        )
    return (
        f"{found.missing} of {found.values.numel()} values are NaN or infinite, as the gradient "
        "is there; the range is that of the others."
    )


def check_progress(on_progress: Any) -> None:
    """Refuse what cannot be called.

    Raises:
        TypeError: it is neither None nor a function.
    """
    if on_progress is not None and not callable(on_progress):
        raise TypeError(f"on_progress: a {kind(on_progress)} cannot be called; give a function")


def scores_of(run: Pass) -> Tensor:
    """The logits (N, classes) of a whole pass.

    Raises:
        ValueError: the network has none.
    """
    if run.logits is None:
        assert run.refusal is not None
        raise ValueError(
            f"{run.refusal}; give target=(layer, channel) to explain a unit"
        ) from run.refusal
    return run.logits


def takes_no_batches(net: Network, x: Tensor) -> str:
    """Why images cannot be run together; empty if they can. Found out once for an input size."""
    known: dict[Any, str] = net.__dict__.setdefault("_batch_cache", {})
    key = tuple(x.shape), tuple(map(id, net.model.modules()))
    if key not in known:
        if len(known) >= _REMEMBERED:
            known.clear()
        known[key] = _try_batch(net, x)
    return known[key]


_REMEMBERED = 8
_AGREE = 1e-3
"""How far an image's outputs may be off within a batch, relative to the largest."""


def _try_batch(net: Network, x: Tensor) -> str:
    try:
        with net.evaluating() as body:
            one = first_tensor(body(x.clone()))
            both = first_tensor(body(torch.cat([x, torch.zeros_like(x)])))
    except (RuntimeError, ValueError):
        return "the network takes no batches"
    if one is None or both is None or len(both) != 2 * len(one):
        return "the network does not put out one row per image"
    finite = one.detach()[torch.isfinite(one)].abs()
    bound = _AGREE * float(finite.max()) if finite.numel() else 0.0
    if not torch.allclose(one, both[: len(one)], 0, bound, equal_nan=True):
        return "its scores depend on what else is in the batch"
    return ""
