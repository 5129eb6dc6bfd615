"""DeepDream: an image is changed so that a layer sees more of what it sees already."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ._arguments import real, whole
from ._dream_frames import Controls, DreamFrame, Frames
from ._dream_image import Pixels, generator_at, load, resized, seed_of
from ._dream_objective import Aim, Guide, dream_layer
from ._dream_octaves import SMALLEST, draw_shift, left_out, octave_sizes, roll, tiled
from ._dream_pass import Lens
from ._dream_plan import Plan, Size
from ._fourier import softened
from .layers import known_layers, wrap

if TYPE_CHECKING:
    from .network import Network


def deep_dream(
    net: Network | nn.Module,
    image: Any,
    layer: Any = None,
    channel: Any = None,
    octaves: int = 4,
    octave_scale: float = 1.4,
    steps: int = 10,
    lr: float = 0.01,
    jitter: int = 32,
    smooth: float = 0.75,
    guide: Any = None,
    size: Any = 512,
    tile: int | None = 512,
    generator: torch.Generator | None = None,
    resume: DreamFrame | None = None,
) -> Frames:
    """Dream of what a layer sees in an image: DeepDream (Mordvintsev, Olah & Tyka 2015).

    The gradient of the layer is set equal to its activations a, that is, 1/2 ||a||^2 rises. With
    g the gradient with respect to the colours p in 0..1, each step is

        p <- clip(p + lr g / mean|g|)

    on the image rolled by a random shift. Where `smooth` is above 0, g at frequency f is divided by
    f^smooth before: fine patterns give way to larger ones. It begins at a small size; what was
    dreamt there (the detail) is enlarged and laid on the image at the next size.

    Args:
        net: a `Network` or a bare module. It runs up to the deepest of the layers, so any size
            will do that its convolutions accept.
        image: anything image-like, see `Network.prepare`, but whole: nothing is cropped.
        layer: one with maps, several, or {layer: weight}; a negative weight weakens. None: one
            that is found by its place in the network and named in `notes`.
        channel: one or several channels of the layers, in place of all.
        octaves: how many sizes, at least 1. Those below 32 pixels are left out.
        octave_scale: from one size to the next, above 1.
        steps: at each size.
        lr: mean change of a colour (0..1) by a step, at least 0.
        jitter: largest shift in pixels.
        smooth: 0 takes the gradient as it is, 1 evens out frequencies as in natural images.
        guide: an image of whose features the dream is made instead: each position is drawn to
            that of the guide which fits it best (max_j <a_i, g_j> rises).
        size: longer edge in pixels, at most (a picture smaller than the network's usual input is
            enlarged to that); (height, width); None: the image's own.
        tile: sizes above it are seen in pieces, so that memory suffices; None: never.
        generator: for the shifts; None: always the same ones.
        resume: a frame of a run with the same arguments, after which to go on. It ends bit for
            bit as if it had not been interrupted. Octaves and steps may be others: then it goes
            on at the size next to the frame's own.

    Returns:
        An iterator of frames, the last of which is the result. Its `controls` hold layer, channel,
        lr, jitter, smooth and guide, which may be changed on the way.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import nbcnnviz as nv
        >>> frames = deep_dream(
        ...     nv.Network.digits(), nv.sample_image("digit"), "conv2", octaves=1, steps=3, jitter=2
        ... )
        >>> [frame.step for frame in frames]
        [1, 2, 3]
    """
    net = wrap(net)
    notes: tuple[str, ...] = ()
    with torch.inference_mode(False), torch.no_grad():
        if layer is None:
            layer = dream_layer(known_layers(net), net.preprocess.size).name
            notes = (f"Layer {layer!r} was chosen.",)
        aim = {"layer": layer, "channel": channel, "guide": guide}
        lens = Lens(net)
        controls = Controls(_Reader(lens), **aim, lr=lr, jitter=jitter, smooth=smooth)
        x = load(net, image, size)
        wanted = whole("octaves", octaves, 1)
        scale = real("octave_scale", octave_scale, 1.0, above=True)
        sizes = octave_sizes((x.shape[2], x.shape[3]), wanted, scale)
        notes += left_out(wanted, sizes, "octave")
        lens.try_small(sizes[0], controls.now.aim.layers, "image")
        run = _Run(
            lens=lens,
            controls=controls,
            base=x,
            plan=Plan(tuple(sizes), whole("steps", steps, 1)),
            tile=None if tile is None else whole("tile", tile, SMALLEST),
            seed=seed_of(generator),
            pixels=Pixels.of(net),
            notes=notes,
        )
        start = run.start(resume)
        return Frames(run.frames(start), controls, notes, start.steps)


@dataclass(frozen=True)
class _Settings:
    aim: Aim
    lr: float
    jitter: int
    smooth: float
    guide: Guide | None


class _Reader:
    """Makes settings of what was given; a guide's features are found once."""

    def __init__(self, lens: Lens) -> None:
        self._lens = lens
        self._image: Any = None
        self._guide: Guide | None = None

    def __call__(self, given: dict[str, Any]) -> _Settings:
        return _Settings(
            Aim.of(self._lens.net, given["layer"], given["channel"]),
            real("lr", given["lr"], 0.0),
            whole("jitter", given["jitter"], 0),
            real("smooth", given["smooth"], 0.0),
            self._guided(given["guide"]),
        )

    def _guided(self, image: Any) -> Guide | None:
        if image is not self._image:
            net = self._lens.net
            size = max(net.preprocess.size)
            x = None if image is None else load(net, image, size, "guide")
            self._guide = None if x is None else Guide(self._lens, x)
            self._image = image
        return self._guide


@dataclass(frozen=True, eq=False)
class _Start:
    """Where a run begins or goes on."""

    x: Tensor
    place: int
    """Steps done of its plan."""
    done: int
    """Steps done in all, also by other plans."""
    steps: int
    """Of how many."""
    seed: int


@dataclass(frozen=True, eq=False)
class _Run:
    lens: Lens
    controls: Controls
    base: Tensor
    """The image in full."""
    plan: Plan
    tile: int | None
    seed: int
    pixels: Pixels
    notes: tuple[str, ...]

    def start(self, resume: DreamFrame | None) -> _Start:
        """Where to begin.

        Raises:
            TypeError, ValueError: not a frame of such a run.
        """
        if resume is None:
            return _Start(resized(self.base, self.plan.sizes[0]), 0, 0, self.plan.total, self.seed)
        state = getattr(resume, "state", {})
        if not isinstance(resume, DreamFrame) or "dream" not in state:
            raise TypeError(f"resume={resume!r}: give a frame of deep_dream")
        place = self.plan.continued(*state["dream"])
        steps = resume.step + self.plan.total - place
        return _Start(resume.tensor.to(self.base), place, resume.step, steps, state["seed"])

    def frames(self, start: _Start) -> Generator[DreamFrame, None, None]:
        """All steps from the given one on."""
        x, last = start.x, len(self.plan.sizes) - 1
        for place in range(start.place, self.plan.total):
            octave = self.plan.octave(place)
            step = start.done + place - start.place
            frame = partial(
                DreamFrame,
                steps=start.steps,
                octave=octave + 1,
                octaves=len(self.plan.sizes),
                picture=self.lens.net.picture,
                enlarge=None if octave == last else self._whole,
            )
            x = self._brought_to(x, self.plan.sizes[octave])
            now: _Settings = self.controls.now
            made, losses = self._step(x, now, generator_at(start.seed, step))
            if made is None or not bool(torch.isfinite(made.sum())):
                why = f"step {step + 1} gave values that are not finite: {losses}"
                state = {"dream": (self.plan, place), "seed": start.seed}
                yield frame(x, step, losses=losses, stopped=why, state=state)
                return
            notes = self.notes
            if made is x:
                notes += ("The gradient is 0 everywhere: nothing there can be raised.",)
            x = made
            state = {"dream": (self.plan, place + 1), "seed": start.seed}
            yield frame(x, step + 1, losses=losses, notes=notes, state=state)

    def _whole(self, x: Tensor) -> Tensor:
        return self._brought_to(x, self.plan.sizes[-1])

    def _brought_to(self, x: Tensor, size: Size) -> Tensor:
        """The image at another size, with the detail that was dreamt so far."""
        own = int(x.shape[2]), int(x.shape[3])
        if own == size:
            return x
        detail = x - resized(self.base, own)
        return self.pixels.clip(resized(self.base, size) + resized(detail, size))

    def _step(
        self, x: Tensor, now: _Settings, generator: torch.Generator
    ) -> tuple[Tensor | None, dict[str, float]]:
        """The next image, the same one if there is no gradient, None if it is not finite."""
        objective = now.aim.strength
        if now.guide is not None:
            objective = partial(now.aim.likeness, guide=now.guide.maps(now.aim.layers))
        shift = draw_shift(now.jitter, (x.shape[2], x.shape[3]), generator)
        found, losses = tiled(
            roll(x, shift),
            self.tile,
            lambda part: self.lens.gradient(part, now.aim.layers, objective),
        )
        direction = softened(found * self.pixels.span, now.smooth)
        direction = roll(direction, (-shift[0], -shift[1]))
        mean = direction.abs().mean()
        if not bool(torch.isfinite(mean)):
            return None, losses
        if not bool(mean > 0):
            return x, losses
        return self.pixels.clip(x + self.pixels.span * (now.lr / mean) * direction), losses


__all__ = ["deep_dream"]
