"""The steps of a style transfer."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._arguments import plain, real
from ._dream_frames import Controls, DreamFrame
from ._dream_image import Pixels, resized
from ._dream_pass import Lens, Maps, find_maps
from ._dream_plan import Plan, Size
from ._fourier import Fourier
from ._optim import LBFGS, Adam
from ._style_colours import lightness_only
from ._style_layers import style_layers_for
from ._style_losses import content_loss, gram_matrix, style_loss, total_variation
from ._style_targets import Target, Targets, fitted
from .layers import Layer

if TYPE_CHECKING:
    from .network import Network

OPTIMIZERS = ("adam", "lbfgs")
_LR = {"adam": 0.02, "lbfgs": 1.0}
_BETAS = (0.9, 0.99)
"""The gradient shrinks a hundredfold on the way. With the usual 0.999 for its square, Adam would
remember the first ones to the end, and crawl."""


@dataclass(frozen=True)
class Settings:
    """What one step uses."""

    content_layer: Layer
    style_layers: tuple[Layer, ...]
    layer_weights: tuple[float, ...]
    """They add up to 1."""
    content_weight: float
    style_weight: float
    tv_weight: float
    style_weights: tuple[float, ...]
    lr: float
    notes: tuple[str, ...]

    @property
    def key(self) -> Any:
        """Equal for settings that make the same loss."""
        names = (self.content_layer.name, *(layer.name for layer in self.style_layers))
        weights = (self.content_weight, self.style_weight, self.tv_weight)
        return names, weights, self.layer_weights, self.style_weights

    @property
    def layers(self) -> list[Layer]:
        """All that have to be recorded; what has no weight is not."""
        content = [self.content_layer] if self.content_weight else []
        style = list(self.style_layers) if self.style_weight else []
        return list({layer.name: layer for layer in content + style}.values())


def read(net: Network, styles: int, optimizer: str, given: dict[str, Any]) -> Settings:
    """The settings as a user gives them, see `style_transfer`.

    Raises:
        TypeError, ValueError: one that makes no sense, by name.
    """
    content, style = given["content_layer"], given["style_layers"]
    notes: tuple[str, ...] = ()
    if content is None or style is None:
        chosen = style_layers_for(net)
        content = chosen.content if content is None else content
        style = chosen.style if style is None else style
        notes = (str(chosen),)
    named = _named(style)
    weights = [real("style_layers: weight", weight, 0.0) for weight in named.values()]
    weight = {
        name: real(name, given[name], 0.0)
        for name in ("content_weight", "style_weight", "tv_weight")
    }
    if not weight["content_weight"] and not weight["style_weight"]:
        raise ValueError("style_weight=0 and content_weight=0: nothing is left to paint")
    return Settings(
        find_maps(net, content, "content_layer"),
        tuple(find_maps(net, name, "style_layers") for name in named),
        _shares("style_layers", weights),
        **weight,
        style_weights=_shares("style_weights", _style_weights(given["style_weights"], styles)),
        lr=_LR[optimizer] if given["lr"] is None else real("lr", given["lr"], 0.0, above=True),
        notes=notes,
    )


def _named(layers: Any) -> dict[Any, float]:
    if isinstance(layers, Mapping):
        named = dict(layers)
    elif isinstance(layers, str | Layer):
        named = {layers: 1.0}
    elif isinstance(layers, Sequence):
        named = dict.fromkeys(layers, 1.0)
    else:
        raise TypeError(f"style_layers={layers!r}: give several layers, or {{layer: weight}}")
    if not named:
        raise ValueError("style_layers: there is none; give at least one, or style_weight=0")
    return named


def _style_weights(weights: Any, count: int) -> list[float]:
    weights = plain(weights)
    if weights is None:
        return [1.0] * count
    if not isinstance(weights, Sequence) or len(weights) != count:
        raise ValueError(f"style_weights={weights!r}: give {count}, one for each style")
    return [real("style_weights", weight, 0.0) for weight in weights]


def _shares(name: str, weights: Sequence[float]) -> tuple[float, ...]:
    total = sum(weights)
    if not total:
        raise ValueError(f"{name}: every weight is 0; give one above 0")
    return tuple(weight / total for weight in weights)


@dataclass(frozen=True, eq=False)
class State:
    """Between two steps: the image, and what the optimiser remembers."""

    x: Tensor
    """(1, C, H, W), normalised and valid."""
    adam: Adam = field(default_factory=lambda: Adam(betas=_BETAS))
    lbfgs: LBFGS | None = None
    origin: Tensor | None = None
    """The image from which L-BFGS measures its coefficients."""
    key: Any = None
    """The settings for which L-BFGS has measured curvature."""


@dataclass(frozen=True, eq=False)
class Start:
    """Where a run begins or goes on."""

    state: State
    place: int
    """Steps done of its plan."""
    done: int
    """Steps done in all, also by other plans."""
    steps: int
    """Of how many."""


@dataclass(frozen=True, eq=False)
class Run:
    """A style transfer on its way."""

    lens: Lens
    controls: Controls
    content: Tensor
    styles: list[Tensor]
    plan: Plan
    optimizer: str
    keep_colours: bool
    pixels: Pixels
    notes: tuple[str, ...]
    """On the sizes."""
    _targets: dict[Size, Targets] = field(default_factory=dict)

    def start(self, first: Tensor, resume: DreamFrame | None) -> Start:
        """Where to begin, with the image `first` if there is nothing to go on with.

        Raises:
            TypeError, ValueError: not a frame of such a run.
        """
        if resume is None:
            return Start(self._state(first, self.plan.sizes[0]), 0, 0, self.plan.total)
        kept = getattr(resume, "state", {}).get("style")
        if not isinstance(resume, DreamFrame) or kept is None:
            raise TypeError(f"resume={resume!r}: give a frame of style_transfer")
        plan, place, way = kept
        place = self.plan.continued(plan, place)
        steps = resume.step + self.plan.total - place
        state = resume.state["state"]
        if way != self._way():
            # What an optimiser remembers is of another path.
            state = self._state(state.x, (int(state.x.shape[2]), int(state.x.shape[3])))
        return Start(state, place, resume.step, steps)

    def _way(self) -> tuple[Any, ...]:
        return self.optimizer, self.keep_colours

    def _state(self, x: Tensor, size: Size) -> State:
        """An image brought to a size, for an optimiser that remembers nothing."""
        x = resized(x, size)
        return State(self.pixels.clip(self._with_content_colours(x) if self.keep_colours else x))

    def _whole(self, x: Tensor) -> Tensor:
        return self._state(x, self.plan.sizes[-1]).x

    def _with_content_colours(self, x: Tensor) -> Tensor:
        """The content with the lightness of another image, at that one's size."""
        content = resized(self.content, (int(x.shape[2]), int(x.shape[3])))
        own, wanted = self.pixels.colours(content), self.pixels.colours(x)
        return self.pixels.inputs(own + lightness_only(wanted - own))

    def grams(self, x: Tensor | None, layer: str) -> tuple[Tensor, Tensor]:
        """(C, C): the Gram matrix of an image at a layer, and that of the styles at its size.

        Args:
            x: (1, C, H, W), normalised; None: the content.
            layer: any with maps.
        """
        x = self.content if x is None else x
        found = find_maps(self.lens.net, layer)
        now: Settings = self.controls.now
        targets = self.targets((int(x.shape[2]), int(x.shape[3])))
        wanted = targets.style([found], now.style_weights)[found.name].values
        return gram_matrix(self.lens.features(x, [found])[found.name])[0], wanted[0]

    def targets(self, size: Size) -> Targets:
        """What content and styles look like at a size; the last one is kept."""
        found = self._targets.get(size)
        # Another thread may ask for another size in between: what is returned is held here.
        if found is None:
            content = self.pixels.clip(resized(self.content, size))
            styles = [fitted(style, content) for style in self.styles]
            found = Targets(self.lens, content, styles)
            self._targets.clear()
            self._targets[size] = found
        return found

    def frames(self, start: Start) -> Generator[DreamFrame, None, None]:
        """All steps from the given one on."""
        state = start.state
        scale, work = -1, None
        for place in range(start.place, self.plan.total):
            step = start.done + place - start.place
            if self.plan.octave(place) != scale:
                scale = self.plan.octave(place)
                size = self.plan.sizes[scale]
                work = _Scale(self, size)
                if place % self.plan.steps == 0 or tuple(state.x.shape[2:]) != size:
                    # The optimiser's memory is of another size.
                    state = self._state(state.x, size)
            assert work is not None
            now: Settings = self.controls.now
            made, losses = work.step(state, now)
            finite = bool(torch.isfinite(made.x.sum())) and all(map(_finite, losses.values()))
            why = "" if finite else f"step {step + 1} gave values that are not finite: {losses}"
            state = made if finite else state
            yield DreamFrame(
                state.x,
                step + finite,
                start.steps,
                scale + 1,
                len(self.plan.sizes),
                losses,
                now.notes + self.notes,
                why,
                picture=self.lens.net.picture,
                enlarge=None if scale == len(self.plan.sizes) - 1 else self._whole,
                state={"style": (self.plan, place + finite, self._way()), "state": state},
            )
            if why:
                return


class _Scale:
    """The work at one size."""

    def __init__(self, run: Run, size: tuple[int, int]) -> None:
        self._run = run
        self._targets = run.targets(size)
        self._basis = Fourier.of(size, run.content.shape[1], run.content)

    def step(self, state: State, now: Settings) -> tuple[State, dict[str, float]]:
        """The next state, and the losses that this one has."""
        if self._run.optimizer == "lbfgs":
            return self._lbfgs_step(state, now)
        slope, losses = self._slope(state.x, now)
        change, adam = state.adam.step(self._basis.adjoint(slope), now.lr)
        return State(self._moved(state.x, change)[0], adam), losses

    def _moved(self, x: Tensor, change: Tensor) -> tuple[Tensor, Tensor]:
        """The image moved by coefficients, within the valid range, and where it is not clipped."""
        colours = self._basis.image(change)
        if self._run.keep_colours:
            colours = lightness_only(colours)
        moved = x + self._run.pixels.span * colours
        valid = self._run.pixels.clip(moved)
        return valid, valid == moved

    def _lbfgs_step(self, state: State, now: Settings) -> tuple[State, dict[str, float]]:
        if state.lbfgs is None or state.origin is None or state.key != now.key:
            # Curvature of another loss would mislead.
            zero = state.x.new_zeros(self._basis.shape(len(state.x)))
            state = State(state.x, lbfgs=LBFGS(zero), origin=state.x, key=now.key)
        assert state.lbfgs is not None and state.origin is not None
        origin = state.origin
        seen: list[dict[str, float]] = []

        def evaluate(z: Tensor) -> tuple[Tensor, Tensor]:
            x, free = self._moved(origin, z)
            slope, losses = self._slope(x, now)
            seen.append(losses)
            # What is clipped does not move: the gradient of the clipped image.
            return x.new_tensor(losses["total"]), self._basis.adjoint(slope * free)

        made = state.lbfgs.step(evaluate, now.lr)
        x, _ = self._moved(origin, made.value)
        return State(x, lbfgs=made, origin=origin, key=now.key), seen[0]

    def _slope(self, x: Tensor, now: Settings) -> tuple[Tensor, dict[str, float]]:
        """The gradient of the loss with respect to the colours, and the loss with its parts."""
        targets = self._targets.style(now.style_layers, now.style_weights)
        objective = partial(_features_loss, now=now, targets=self._targets, grams=targets)
        found, losses = self._run.lens.gradient(x, now.layers, objective)
        slope = found * self._run.pixels.span
        if now.tv_weight:
            with torch.enable_grad():
                p = self._run.pixels.colours(x).requires_grad_()
                variation = total_variation(p)
                # A single pixel has no neighbour.
                if variation.requires_grad:
                    (rough,) = torch.autograd.grad(variation, p)
                    slope = slope + now.tv_weight * rough
            losses["tv"] = float(variation.detach())
            losses["total"] += now.tv_weight * losses["tv"]
        if self._run.keep_colours:
            slope = lightness_only(slope)
        return slope, losses


def _features_loss(
    maps: Maps, now: Settings, targets: Targets, grams: Mapping[str, Target]
) -> tuple[Tensor, dict[str, Tensor]]:
    """The loss but for the total variation, and its parts without their weights."""
    parts: dict[str, Tensor] = {}
    weighed: list[Tensor] = []
    if now.content_weight:
        target = targets.content(now.content_layer)
        loss = content_loss(maps[now.content_layer.name], target.values)
        # Relative to its size: so any layer of any network takes the same weights.
        parts["content"] = loss / target.scale
        weighed.append(now.content_weight * parts["content"])
    if now.style_weight:
        errors = [
            share * style_loss(maps[layer.name], gram.values) / gram.scale
            for layer, share, gram in zip(
                now.style_layers, now.layer_weights, grams.values(), strict=True
            )
        ]
        parts["style"] = torch.stack(errors).sum()
        weighed.append(now.style_weight * parts["style"])
    total = torch.stack(weighed).sum()
    return total, {"total": total, **parts}


def _finite(value: float) -> bool:
    return value - value == 0
