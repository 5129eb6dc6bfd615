"""What a channel, a neuron or a class likes best: activation maximization from noise."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from functools import cache, partial
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ._arguments import real, whole
from ._dream_frames import Controls, DreamFrame, Frames
from ._dream_image import Pixels, generator_at, seed_of, working_dtype
from ._dream_pass import SCORES, Lens, Maps, find_maps
from ._dream_unit import channel_index, class_index, place_of, rectified
from ._fourier import Fourier
from ._optim import Adam
from ._style_losses import gram_matrix
from .layers import Layer, known_layers, wrap

if TYPE_CHECKING:
    from .network import Network

_NOISE = 0.01
"""Standard deviation of the first coefficients, lucid's."""
_MARGIN = 16
"""Pixels around the picture that a channel sees as well and that are cut off in the end:
convolutions that pad with zeros leave bright spots along the edges of what they see."""
_TURN, _ZOOM, _SHIFT = 10.0, 0.1, 12.0
"""Degrees, share of the size and pixels that a random transform reaches, either way: lucid's."""


def maximize(
    net: Network | nn.Module,
    layer: Any = None,
    channel: Any = None,
    target: Any = None,
    position: Any = None,
    count: int = 1,
    diversity: float = 1.0,
    size: Any = None,
    steps: int = 256,
    lr: float = 0.05,
    transforms: float = 1.0,
    generator: torch.Generator | None = None,
    resume: DreamFrame | None = None,
) -> Frames:
    """Make the image that a channel, a neuron or a class likes best, from noise.

    Activation maximization (Erhan et al. 2009) with the coordinates and the small transforms of
    Olah, Mordvintsev & Schubert (2017): Adam on Fourier coefficients with decorrelated colours,
    which a sigmoid brings into 0..1, under a random shift, turn and zoom at each step. What
    rises is mean(a_c) over the positions of a channel, or one of them, or a logit. While a
    rectified channel is silent everywhere, what goes into the rectifier is raised in its place.

    Args:
        net: a `Network` or a bare module.
        layer: with maps; as in `net.layers()`.
        channel: of that layer.
        target: a class index or label, in place of layer and channel.
        position: None: the whole channel; "center": the neuron in the middle of its map; or its
            place (y, x).
        count: how many results at once.
        diversity: how strongly several results are kept apart: weight of the mean cosine between
            their Gram matrices, relative to what rises.
        size: side or (height, width) in pixels; None: the network's usual size.
        steps: at least 1.
        lr: Adam's.
        transforms: strength of the random transforms; 0: none.
        generator: for noise and transforms; None: always the same ones.
        resume: a frame of a run with the same arguments, after which to go on, bit for bit. Its
            `count` and `steps` may be others: further results begin with noise.

    Returns:
        An iterator of frames, `images` of which hold all results. Its `controls` hold layer,
        channel, target, position, diversity, lr and transforms.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import nbcnnviz as nv
        >>> frames = maximize(nv.Network.digits(), "conv2", 3, steps=4)
        >>> frames.result().image.shape[2]
        3
    """
    net = wrap(net)
    with torch.inference_mode(False), torch.no_grad():
        given = {"layer": layer, "channel": channel, "target": target, "position": position}
        more = {"diversity": diversity, "lr": lr, "transforms": transforms}
        controls = Controls(partial(_read, net, cache(partial(_classes, net))), **given, **more)
        edges = picture_size(net, size)
        like = torch.zeros((), dtype=working_dtype(net), device=net.device)
        run = _Run(
            lens=Lens(net),
            controls=controls,
            basis=Fourier.of(
                (edges[0] + 2 * _MARGIN, edges[1] + 2 * _MARGIN), net.preprocess.channels, like
            ),
            pixels=Pixels.of(net),
            count=whole("count", count, 1),
            steps=whole("steps", steps, 1),
            seed=seed_of(generator),
        )
        z, adam, done, seed = run.start(resume)
        return Frames(run.frames(z, adam, done, seed), controls, (), max(done, run.steps))


@dataclass(frozen=True)
class _Settings:
    layer: Layer | None
    """None: a class's logit."""
    channel: int
    position: Any
    before: Layer | None
    """Whose output the layer, an activation, rectifies."""
    beside: Layer
    """Where results are told apart."""
    diversity: float
    lr: float
    transforms: float

    @property
    def wide(self) -> bool:
        """Whether the margin is seen as well.

        A head may take one size only, and a place (y, x) is that in the picture itself.
        """
        return self.layer is not None and self.position is None

    @property
    def layers(self) -> list[Layer]:
        """All that have to be recorded."""
        return [one for one in (self.layer, self.before) if one is not None]


def _classes(net: Network) -> int:
    return int(net.logits(net.blank()).shape[1])


def _read(net: Network, classes: Callable[[], int], given: dict[str, Any]) -> _Settings:
    found = known_layers(net)
    maps = [one for one in found if one.spatial and max(one.shape[1:]) > 1]
    position = given["position"]
    if given["target"] is not None:
        if given["layer"] is not None or given["channel"] is not None:
            raise ValueError("target: give a class, or layer and channel, not both")
        layer, before, beside = None, None, maps[-1]
        channel = class_index(given["target"], net.labels, classes())
        if position is not None:
            raise ValueError(f"position={position!r}: a class has none; leave it out")
    else:
        if given["layer"] is None:
            raise ValueError("layer: give a layer and a channel of it, or target, a class")
        layer = find_maps(net, given["layer"])
        channel = channel_index(layer, given["channel"])
        before, beside = rectified(layer, found), layer
        position = place_of(position)
    return _Settings(
        layer,
        channel,
        position,
        before,
        beside,
        real("diversity", given["diversity"], 0.0),
        real("lr", given["lr"], 0.0),
        real("transforms", given["transforms"], 0.0),
    )


def picture_size(net: Network, size: Any) -> tuple[int, int]:
    """Height and width that `size` means, see `maximize`."""
    if size is None:
        return net.preprocess.size
    pair = list(size) if isinstance(size, tuple | list) else [size, size]
    if len(pair) != 2:
        raise TypeError(f"size={size!r}: give a side in pixels, or (height, width)")
    return whole("size", pair[0], 2), whole("size", pair[1], 2)


@dataclass(frozen=True, eq=False)
class _Run:
    lens: Lens
    controls: Controls
    basis: Fourier
    pixels: Pixels
    count: int
    steps: int
    seed: int

    def start(self, resume: DreamFrame | None) -> tuple[Tensor, Adam, int, int]:
        """Coefficients, Adam's state, steps done and the seed.

        Raises:
            TypeError, ValueError: not a frame of such a run.
        """
        if resume is None:
            return self._noise(self.seed), Adam(), 0, self.seed
        if not isinstance(resume, DreamFrame) or "coefficients" not in resume.state:
            raise TypeError(f"resume={resume!r}: give a frame of maximize")
        z, adam, seed = (resume.state[name] for name in ("coefficients", "adam", "seed"))
        if tuple(z.shape[1:]) != self.basis.shape(1)[1:]:
            raise ValueError("resume: the frame is of another size; give the same one")
        if len(z) != self.count:
            # What Adam remembers is of the old ones only.
            z, adam = torch.cat([z, self._noise(seed)[len(z) :]])[: self.count], Adam()
        return z, adam, resume.step, seed

    def _noise(self, seed: int) -> Tensor:
        # A seed of its own: step 0 draws its transform from the next one.
        shape, generator = self.basis.shape(self.count), generator_at(seed, -1)
        noise = torch.randn(shape, generator=generator, device="cpu")
        return (noise * _NOISE).to(self.basis.scale)

    def frames(
        self, z: Tensor, adam: Adam, done: int, seed: int
    ) -> Generator[DreamFrame, None, None]:
        """All steps from the given one on."""
        losses: dict[str, float] = {}
        for step in range(done, self.steps):
            before = z, adam
            now: _Settings = self.controls.now
            # (N, C, H, W) in 0..1, with the margin
            p = torch.sigmoid(self.basis.image(z))
            around = 0 if now.wide else -_MARGIN
            moves = _transforms(p.shape, now.transforms, generator_at(seed, step), around).to(p)
            look = partial(_sampled, grid=moves) if now.transforms else partial(_grown, by=around)
            found, losses = self._gradient(self.pixels.inputs(look(p)), now)
            slope = _unsampled(look, p, found * self.pixels.span) * p * (1 - p)
            change, adam = adam.step(self.basis.adjoint(slope), -now.lr)
            z = z + change
            if not bool(torch.isfinite(z.sum())):
                why = f"step {step + 1} gave values that are not finite: {losses}"
                yield self._frame(*before, step, seed, losses, why)
                return
            yield self._frame(z, adam, step + 1, seed, losses)

    def _frame(
        self, z: Tensor, adam: Adam, step: int, seed: int, losses: dict[str, float], stop: str = ""
    ) -> DreamFrame:
        x = self.pixels.inputs(torch.sigmoid(_grown(self.basis.image(z), -_MARGIN)))
        state = {"coefficients": z, "adam": adam, "seed": seed}
        return DreamFrame(
            x,
            step,
            self.steps,
            losses=losses,
            stopped=stop,
            picture=self.lens.net.picture,
            state=state,
        )

    def _gradient(self, seen: Tensor, now: _Settings) -> tuple[Tensor, dict[str, float]]:
        layers = now.layers
        apart = self.count > 1 and now.diversity > 0
        if apart and now.beside not in layers:
            layers = [*layers, now.beside]
        return self.lens.gradient(
            seen,
            layers,
            lambda maps: _objective(maps, now, apart),
            scores=now.layer is None,
        )


def _objective(maps: Maps, now: _Settings, apart: bool) -> tuple[Tensor, dict[str, Tensor]]:
    """What rises, less the likeness of several results."""
    rising = _rising(maps, now).mean()
    if not apart:
        return rising, {"objective": rising}
    like = _likeness(maps[now.beside.name])
    # In units of what rises, whose size differs from layer to layer.
    total = rising - now.diversity * rising.detach().abs() * like
    return total, {"objective": rising, "likeness": like}


def _rising(maps: Maps, now: _Settings) -> Tensor:
    """(N,): the logit, the neuron's activation or the mean of the channel."""
    if now.layer is None:
        return maps[SCORES][:, now.channel]
    unit = _unit(maps[now.layer.name], now)
    if now.before is None:
        return unit.mean(1)
    silent = (unit <= 0).all(1)
    return torch.where(silent, _unit(maps[now.before.name], now).mean(1), unit.mean(1))


def _unit(maps: Tensor, now: _Settings) -> Tensor:
    """(N, positions) of maps (N, C, h, w)."""
    chosen = maps[:, now.channel]
    if now.position is None:
        return chosen.flatten(1)
    height, width = chosen.shape[1:]
    y, x = (height // 2, width // 2) if now.position == "center" else now.position
    if y >= height or x >= width:
        raise ValueError(f"position={now.position!r}: the maps are {height} x {width}")
    return chosen[:, y, x, None]


def _likeness(maps: Tensor) -> Tensor:
    """Mean cosine between the Gram matrices of different results."""
    grams = F.normalize(gram_matrix(maps).flatten(1), dim=1)
    cosines = grams @ grams.T
    count = len(grams)
    return (cosines.sum() - cosines.diagonal().sum()) / (count * (count - 1))


def _transforms(
    shape: torch.Size, strength: float, generator: torch.Generator, margin: int = 0
) -> Tensor:
    """(N, H + 2 m, W + 2 m, 2): where each result is sampled, turned, zoomed and shifted.

    The margin m may be negative: then a smaller part is seen.
    """
    count, _, height, width = shape
    draw = 2 * torch.rand(count, 4, generator=generator, dtype=torch.float64, device="cpu") - 1
    angle = torch.deg2rad(draw[:, 0] * _TURN * strength)
    zoom = 1 + draw[:, 1] * _ZOOM * strength
    shift = draw[:, 2:] * _SHIFT * strength * 2 / torch.tensor([width, height])
    cosine, sine = angle.cos() * zoom, angle.sin() * zoom
    # In units of half the image: a rectangle is turned, not sheared.
    rows = [
        torch.stack([cosine, -sine * height / width, shift[:, 0]], 1),
        torch.stack([sine * width / height, cosine, shift[:, 1]], 1),
    ]
    size = [count, 1, height + 2 * margin, width + 2 * margin]
    # Its coordinates run from -1 to 1 over the picture, and beyond in the margin.
    wider = torch.tensor([size[3] / width, size[2] / height, 1.0], dtype=draw.dtype)
    return F.affine_grid(torch.stack(rows, 1) * wider, size, align_corners=False)


def _sampled(p: Tensor, grid: Tensor) -> Tensor:
    return F.grid_sample(p, grid, padding_mode="reflection", align_corners=False)


def _grown(p: Tensor, by: int) -> Tensor:
    """With so many pixels more on each side, or fewer."""
    return F.pad(p, (by, by, by, by))


def _unsampled(look: Callable[[Tensor], Tensor], p: Tensor, slope: Tensor) -> Tensor:
    """From the gradient of what was sampled to that of the image."""
    with torch.enable_grad():
        leaf = p.detach().requires_grad_()
        (found,) = torch.autograd.grad(look(leaf), leaf, slope)
    return found


__all__ = ["maximize"]
