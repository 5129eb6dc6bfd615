"""Whether an attribution says anything about the network: tests of its faithfulness."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from ._arguments import check_count
from ._attr_pass import in_batches
from ._attr_pixels import read_generator
from ._attr_question import Progress, check_progress, takes_no_batches
from ._attr_result import Attribution, on_cpu
from ._model import kind
from .attribution import Explainer
from .cam import Check, head_of, relative
from .fill import filled
from .layers import wrap
from .randomisation import NoWeightsError, Randomisation, weight_randomisation
from .target import Target, check_score, read

if TYPE_CHECKING:
    from .network import Network


@dataclass(frozen=True, eq=False)
class Curve:
    """How a score changes while pixels are taken away or put in, the most salient first."""

    kind: str
    """"deletion" or "insertion"."""
    target: Target
    score_name: str
    """"logit" or "probability"."""
    fractions: Tensor
    """(n + 1,) the share of pixels that are gone, or there: 0 to 1."""
    scores: Tensor
    """(n + 1,)"""
    complete: bool = True
    """Whether all were computed; not so after a stop: the end of the curve is missing."""

    @property
    def auc(self) -> float:
        """The area under the curve, by trapezia, per unit of the fraction: the mean score.

        Of probabilities in 0..1. Low is good for deletion, high for insertion.
        """
        width = float(self.fractions[-1] - self.fractions[0])
        if not width:
            return float(self.scores[0])
        return float(torch.trapezoid(self.scores.double(), self.fractions.double())) / width

    def __repr__(self) -> str:
        return f"Curve({self.kind} of {self.target.name}: {self.score_name} AUC {self.auc:.3g})"


def deletion_curve(
    net: Network | nn.Module,
    image: Any,
    attribution: Attribution | Any,
    target: Any = None,
    steps: int = 32,
    fill: Any = "mean",
    score: str = "probability",
    reduce: str = "abs",
    on_progress: Progress | None = None,
) -> Curve:
    """The score while the most salient pixels are taken away, step by step.

    Petsiuk, Das, Saenko (2018, https://arxiv.org/abs/1806.07421, section 3.4): a sharp fall, thus
    a small area, says that the map found what the network goes by. A random order of pixels is
    what to compare with.

    Args:
        net: a `Network` or a bare module.
        image: what was explained.
        attribution: an `Attribution`, or a map (H, W).
        target: what the score is of, a class or a function of the scores; None: the target of the
            attribution, or the predicted class.
        steps: how many.
        fill: what pixels are replaced by, see `filled`; "mean" is 0 for the network, as in the
            paper.
        score: "probability" or "logit".
        reduce: how the colours of a pixel make one number, see `Attribution.heat`.
        on_progress: called with the images done and of all; returning True stops.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import nbcnnviz as nv
        >>> net, image = nv.Network.digits(), nv.sample_image("digit")
        >>> found = nv.backend.attribution.attribute(net, image, "gradient")
        >>> curve = deletion_curve(net, image, found, steps=8)
        >>> curve.scores.shape, 0 <= curve.auc <= 1
        (torch.Size([9]), True)
    """
    return _curve(
        *("deletion", net, image, attribution, target, steps, fill, score, reduce, on_progress)
    )


def insertion_curve(
    net: Network | nn.Module,
    image: Any,
    attribution: Attribution | Any,
    target: Any = None,
    steps: int = 32,
    fill: Any = "blur",
    score: str = "probability",
    reduce: str = "abs",
    on_progress: Progress | None = None,
) -> Curve:
    """The score while the most salient pixels are put into a blurred image, step by step.

    Petsiuk, Das, Saenko (2018, https://arxiv.org/abs/1806.07421, section 3.4): a sharp rise, thus
    a large area, says that the map found what the network goes by.

    Args:
        net, image, attribution, target, steps, score, reduce, on_progress: see `deletion_curve`.
        fill: what is there before, see `filled`.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import nbcnnviz as nv
        >>> net, image = nv.Network.digits(), nv.sample_image("digit")
        >>> found = nv.backend.attribution.attribute(net, image, "gradient")
        >>> insertion_curve(net, image, found, steps=4).kind
        'insertion'
    """
    return _curve(
        *("insertion", net, image, attribution, target, steps, fill, score, reduce, on_progress)
    )


def _curve(
    kind: str,
    net: Network | nn.Module,
    image: Any,
    attribution: Any,
    target: Any,
    steps: int,
    fill: Any,
    score: str,
    reduce: str,
    on_progress: Progress | None,
) -> Curve:
    """Both curves: they differ in what comes first, the image or what hides it."""
    net = wrap(net)
    check_count("steps", steps)
    check_progress(on_progress)
    with torch.inference_mode(False), torch.no_grad():
        x = net.prepare(image)
        hidden = filled(net, x, fill)
    aim = _aim(net, x, attribution, target, score)
    rank = _rank(attribution, reduce, (int(x.shape[2]), int(x.shape[3]))).to(x.device)
    before, after = (x, hidden) if kind == "deletion" else (hidden, x)
    count = rank.numel()
    ends = torch.linspace(0, count, min(int(steps), count) + 1, device="cpu").round().long()
    scores = torch.full((len(ends),), torch.nan, device="cpu")

    def some(chosen: range) -> None:
        limits = ends[chosen.start : chosen.stop].to(x.device)
        changed = rank < limits[:, None, None, None]
        with torch.inference_mode(False), torch.no_grad():
            logits = net.logits(torch.where(changed, after, before))
            part = aim.scores(logits.float(), score)
        scores[chosen.start : chosen.stop] = on_cpu(part)

    alone = bool(takes_no_batches(net, x))
    done = in_batches(len(ends), count, x.device, some, on_progress, alone)
    return Curve(kind, aim, score, ends[:done] / count, scores[:done], done == len(ends))


def _aim(net: Network, x: Tensor, attribution: Any, target: Any, score: str) -> Target:
    """What the scores of a curve are of."""
    if target is None and isinstance(attribution, Attribution):
        target = attribution.target
    aim = read(target, net.labels)
    if aim.needs_layer:
        raise ValueError(
            f"target={aim.name!r}: the curves are of class scores; give a class as target"
        )
    check_score(score, aim)
    return aim.resolve(net.logits(x)[0], net.labels)


def _rank(attribution: Any, reduce: str, size: tuple[int, int]) -> Tensor:
    """(H, W), the place of each pixel: 0 for the most salient; of equals the upper left first."""
    if isinstance(attribution, Attribution):
        heat = attribution.heat(reduce)
    elif isinstance(attribution, Tensor | np.ndarray):
        heat = torch.as_tensor(attribution, device="cpu").detach().float()
    else:
        raise TypeError(f"attribution: a {kind(attribution)}; give an Attribution or a map (H, W)")
    if tuple(heat.shape) != size:
        shape = " x ".join(map(str, heat.shape))
        raise ValueError(
            f"attribution: {shape}, but the network sees {size[0]} x {size[1]} pixels; give a map "
            "of that size"
        )
    if not bool(torch.isfinite(heat).all()):
        raise ValueError("attribution: it holds NaN or infinite values, which have no rank")
    order = heat.flatten().argsort(descending=True, stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(len(order), device="cpu")
    return rank.reshape(size)


@dataclass(frozen=True, eq=False)
class Sanity:
    """The evidence that goes with a picture. What could not be had is None, and `notes` say why."""

    deletion: Curve | None
    insertion: Curve | None
    deletion_by_chance: Curve | None
    """The same with the pixels in a random order: what the area has to be compared with."""
    insertion_by_chance: Curve | None
    randomisation: Randomisation | None
    notes: tuple[str, ...] = ()


def sanity_checks(
    net: Network | nn.Module,
    image: Any,
    attribution: Attribution,
    steps: int = 32,
    most: int | None = 8,
    reduce: str = "abs",
    generator: torch.Generator | None = None,
    on_progress: Progress | None = None,
) -> Sanity:
    """Deletion and insertion curves, beside those of a random order, and randomised weights.

    Args:
        net: a `Network` or a bare module.
        image: what was explained.
        attribution: what `attribute` returned.
        steps: of the curves.
        most: at most so many layers get random weights; None: all.
        reduce: see `Attribution.heat`.
        generator: of the random order and the random weights; None: always the same.
        on_progress: called with the passes done and of all; returning True stops: what is not
            begun is None.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name.

    Example:
        >>> import nbcnnviz as nv
        >>> net, image = nv.Network.digits(), nv.sample_image("digit")
        >>> picture = nv.backend.attribution.attribute(net, image, "gradcam")
        >>> found = sanity_checks(net, image, picture, steps=4)
        >>> found.deletion.kind, len(found.randomisation.layers) > 1
        ('deletion', True)
    """
    if not isinstance(attribution, Attribution):
        raise TypeError(f"attribution: a {kind(attribution)}; give what `attribute` returned")
    check_count("steps", steps)
    check_progress(on_progress)
    net, own = wrap(net), read_generator(generator)
    chance = torch.rand(attribution.size, generator=own, device=own.device)
    progress = _Progress(4 * (int(steps) + 1), on_progress)
    notes: list[str] = []
    curves: list[Curve | None] = [None] * 4
    if attribution.target.needs_layer:
        notes.append(f"No curves: {attribution.target.name} is no class score.")
        progress.total = 0
    else:
        pairs = [
            (make, heat)
            for heat in (attribution, chance)
            for make in (deletion_curve, insertion_curve)
        ]
        for i, (make, heat) in enumerate(pairs):
            if not progress.stopped:
                curves[i] = make(
                    *(net, image, heat, attribution.target, steps),
                    reduce=reduce,
                    on_progress=progress,
                )
                progress.next()
    randomisation = None
    if not progress.stopped:
        try:
            randomisation = _randomised(net, image, attribution, most, own, progress)
        except NoWeightsError as error:
            notes.append(f"No randomised weights: {error}.")
    deletion, insertion, deletion_chance, insertion_chance = curves
    return Sanity(
        *(deletion, insertion, deletion_chance, insertion_chance), randomisation, tuple(notes)
    )


def _randomised(
    net: Network,
    image: Any,
    attribution: Attribution,
    most: int | None,
    generator: torch.Generator,
    on_progress: Progress,
) -> Randomisation:
    # Both maps that are compared get the same noise, so the generator of noise is left out.
    options = {name: v for name, v in attribution.options.items() if name != "generator"}
    return weight_randomisation(
        *(net, image, attribution.method, attribution.target),
        layer=None if attribution.method == "cam" else attribution.layer,
        score="logit" if attribution.score_name == "activation" else attribution.score_name,
        most=most,
        generator=generator,
        on_progress=on_progress,
        **options,
    )


class _Progress:
    """One count over several pieces of work."""

    def __init__(self, total: int, told: Progress | None) -> None:
        self.total = total
        self.stopped = False
        self._before = 0
        self._last = 0
        self._told = told

    def __call__(self, done: int, total: int) -> bool:
        self._last = done
        self.total = max(self.total, self._before + total)
        if self._told is not None:
            self.stopped = self._told(self._before + done, self.total) is True
        return self.stopped

    def next(self) -> None:
        """The next piece begins."""
        self._before += self._last
        self._last = 0


def cam_identities(net: Network | nn.Module, image: Any, target: Any = None) -> tuple[Check, ...]:
    """What must hold in a network with global average pooling and one linear layer.

    Zhou et al. (2016, https://arxiv.org/abs/1512.04150, section 2), Selvaraju et al. (2017,
    https://arxiv.org/abs/1610.02391, appendix A):

        mean of CAM + bias = score          H W x signed Grad-CAM = CAM

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        target: a class, or the difference of two; None: the predicted class.

    Returns:
        The checks, with both sides and their relative error. The second one is missing where the
        maps are no layer's output as they stand, or a softmax follows the scores.

    Raises:
        ValueError: a network that ends otherwise.

    Example:
        >>> import nbcnnviz as nv
        >>> found = cam_identities(nv.Network.demo(), nv.sample_image("cat"))
        >>> [check.error < 1e-4 for check in found]
        [True, True]
    """
    explainer = Explainer(net, image, keep=False)
    by_weights = explainer.attribute("cam", target)
    assert by_weights.terms is not None and by_weights.coarse is not None
    checks = by_weights.terms.checks
    head = head_of(explainer.net, explainer.x)
    if by_weights.layer is None or head.after:
        return checks
    by_gradient = explainer.attribute("gradcam", by_weights.target, by_weights.layer, relu=False)
    assert by_gradient.coarse is not None
    cam = by_weights.coarse
    scaled = by_gradient.coarse * cam.numel()
    place = int(cam.abs().argmax())
    left, right = float(scaled.flatten()[place]), float(cam.flatten()[place])
    error = relative(float((scaled - cam).abs().max()), right)
    return (*checks, Check("H W x Grad-CAM = CAM", left, right, error))


__all__ = [
    "Curve",
    "Sanity",
    "cam_identities",
    "deletion_curve",
    "insertion_curve",
    "sanity_checks",
]
