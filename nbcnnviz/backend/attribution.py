"""Which parts of an image a score is due to: saliency maps, guided backpropagation, CAMs."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import _attr_pixels as pixels
from . import cam as cams
from ._attr_question import Passes, Progress, Question, check_progress
from ._attr_result import Attribution, Completeness
from ._model import kind
from .layers import Layer, known_layers, wrap
from .target import Target, check_score, read

if TYPE_CHECKING:
    from .network import Network


@dataclass(frozen=True)
class Method:
    """One way to attribute a score to an image."""

    name: str
    """As `attribute` takes it."""
    title: str
    """For people."""
    paper: str
    formula: str
    """S the score, x the image, A_k the k-th map of a layer, [..] 1 where it holds, else 0."""
    compute: Callable[..., Attribution]
    is_cam: bool = False
    """It weights the maps of a layer; the others know no layer but that of a unit."""

    @property
    def options(self) -> tuple[str, ...]:
        """Keywords of its own that `attribute` takes."""
        found = inspect.signature(self.compute).parameters.values()
        return tuple(each.name for each in found if each.kind is each.KEYWORD_ONLY)


_ALL = (
    Method(
        "gradient",
        "Saliency (gradient)",
        "Simonyan, Vedaldi, Zisserman 2013, https://arxiv.org/abs/1312.6034",
        "dS / dx",
        pixels.gradient,
    ),
    Method(
        "smoothgrad",
        "SmoothGrad",
        "Smilkov et al. 2017, https://arxiv.org/abs/1706.03825",
        "mean of dS / dx at x + N(0, sigma^2), sigma = noise (max x - min x)",
        pixels.smoothgrad,
    ),
    Method(
        "input_x_gradient",
        "Input x gradient",
        "Shrikumar et al. 2016, https://arxiv.org/abs/1605.01713",
        "x dS / dx",
        pixels.input_x_gradient,
    ),
    Method(
        "integrated_gradients",
        "Integrated gradients",
        "Sundararajan, Taly, Yan 2017, https://arxiv.org/abs/1703.01365",
        "(x - b) integral over a in 0..1 of dS / dx at b + a (x - b)",
        pixels.integrated_gradients,
    ),
    Method(
        "guided_backprop",
        "Guided backpropagation",
        "Springenberg et al. 2014, https://arxiv.org/abs/1412.6806",
        "dS / dx, with g [x > 0] [g > 0] at every ReLU",
        pixels.guided_backprop,
    ),
    Method(
        "deconvnet",
        "Deconvnet",
        "Zeiler, Fergus 2014, https://arxiv.org/abs/1311.2901",
        "dS / dx, with g [g > 0] at every ReLU",
        pixels.deconvnet,
    ),
    Method(
        "cam",
        "CAM",
        "Zhou et al. 2016, https://arxiv.org/abs/1512.04150",
        "sum over k of w_k A_k, w the weights of the class after global average pooling",
        cams.cam,
        is_cam=True,
    ),
    Method(
        "gradcam",
        "Grad-CAM",
        "Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391",
        "max(0, sum over k of w_k A_k), w_k = mean over the map of dS / dA_k",
        cams.gradcam,
        is_cam=True,
    ),
    Method(
        "gradcam++",
        "Grad-CAM++",
        "Chattopadhay et al. 2018, https://arxiv.org/abs/1710.11063",
        "max(0, sum over k of w_k A_k), w_k = sum of a max(0, g), g = dS / dA_k, "
        "a = g^2 / (2 g^2 + g^3 sum of A_k)",
        cams.gradcam_plus_plus,
        is_cam=True,
    ),
    Method(
        "layercam",
        "Layer-CAM",
        "Jiang et al. 2021, https://doi.org/10.1109/TIP.2021.3089943",
        "max(0, sum over k of max(0, dS / dA_k) A_k)",
        cams.layercam,
        is_cam=True,
    ),
    Method(
        "guided_gradcam",
        "Guided Grad-CAM",
        "Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391",
        "guided backpropagation x Grad-CAM, bilinear",
        cams.guided_gradcam,
        is_cam=True,
    ),
)

METHODS = {each.name: each for each in _ALL}
"""Every method by its name."""


def attribute(
    net: Network | nn.Module,
    image: Any,
    method: str,
    target: Any = None,
    layer: Layer | str | None = None,
    unit: Any = None,
    score: str = "logit",
    on_progress: Progress | None = None,
    **options: Any,
) -> Attribution:
    """Attribute a score to the parts of an image.

    Papers and formulas are in `METHODS[method]`. "gradient", "smoothgrad", "input_x_gradient",
    "integrated_gradients", "guided_backprop", "deconvnet" and "guided_gradcam" give signed values
    (C, H, W), one for every pixel and colour as the network is fed them; "cam", "gradcam",
    "gradcam++" and "layercam" give (H, W), bilinear (`align_corners=False`) from the layer's size,
    which `Attribution.coarse` keeps. Nothing is normalised.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        method: one of `METHODS`.
        target: what is explained, see `Target.of`: a class, the difference of two classes, a unit
            of a layer, a function of the scores; None: the predicted class. Of a channel's
            maximum the one position where it lies.
        layer: of CAM methods: whose maps are weighted; None: the last layer with maps, of a unit
            the last one before it. With `unit`: where that is.
        unit: a unit of `layer` instead of a target: a channel (the total of its map), (channel,
            "max") or (channel, (y, x)). Pixel methods only.
        score: "logit", or "probability": which of a class's scores is explained.
        on_progress: called with the samples done and of all; returning True stops: the mean of
            those done is returned, its `complete` False.
        options: of the method, by keyword. smoothgrad: `samples=25`, `noise=0.15` (the deviation
            as a share of the input's range), `generator`. integrated_gradients: `steps=50`,
            `baseline="mean"` (see `filled`). guided_backprop, deconvnet, guided_gradcam:
            `as_relu=()` (see `rules.BackwardRule`). guided_backprop, deconvnet: `seed="one"`, or
            "activation" to begin with the target's own score, as Zeiler & Fergus do, which matters
            where sizes are compared. gradcam, gradcam++, layercam: `relu=True`; without it the
            CAM keeps what speaks against the target.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name; "cam" with a network that
            does not end in global average pooling and one linear layer.

    Example:
        >>> import nbcnnviz as nv
        >>> net, image = nv.Network.digits(), nv.sample_image("digit")
        >>> attribute(net, image, "guided_backprop").values.shape[0] == net.preprocess.channels
        True
        >>> attribute(net, image, "gradcam", target="3").values.ndim
        2
    """
    explainer = Explainer(net, image, keep=False)
    return explainer.attribute(method, target, layer, unit, score, on_progress, **options)


class Explainer:
    """One image in one network, explained again and again from forward passes that are kept.

    Another target or another method then costs a backward pass alone: one graph serves the
    gradient, guided backpropagation, the deconvnet and every CAM. It takes as much memory as
    training on one image. The pass is made anew when the weights have changed.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        keep: the passes.

    Example:
        >>> import nbcnnviz as nv
        >>> explainer = Explainer(nv.Network.digits(), nv.sample_image("digit"))
        >>> [explainer.attribute("gradient", target).target.name for target in (3, 8)]
        ['3', '8']
    """

    def __init__(self, net: Network | nn.Module, image: Any, keep: bool = True) -> None:
        self.net = wrap(net)
        with torch.inference_mode(False), torch.no_grad():
            self.x: Tensor = self.net.prepare(image)
            """(1, C, H, W), what the network is fed."""
        self._passes = Passes(self.net, self.x, keep)

    def attribute(
        self,
        method: str,
        target: Any = None,
        layer: Layer | str | None = None,
        unit: Any = None,
        score: str = "logit",
        on_progress: Progress | None = None,
        **options: Any,
    ) -> Attribution:
        """See the function `attribute`."""
        way = find_method(method)
        _check_options(way, options)
        check_progress(on_progress)
        aim = read(_read_unit(unit, target, layer, way), self.net.labels)
        check_score(score, aim)
        with (
            torch.inference_mode(False),
            torch.enable_grad(),
            torch.autocast(self.net.device.type, enabled=False),
        ):
            place, watched, notes = self._places(way, aim, None if unit is not None else layer)
            ask = Question(
                *(self._passes, method, aim, score, place, watched, notes, options),
                on_progress=on_progress,
            )
            found = way.compute(ask, **options)
            if found.total == 1 and on_progress is not None:
                on_progress(1, 1)
            return found

    def close(self) -> None:
        """Let go of the passes."""
        self._passes.clear()

    def _places(
        self, way: Method, aim: Target, layer: Layer | str | None
    ) -> tuple[Layer | None, list[Layer], list[str]]:
        """The layer whose maps are weighted, all whose outputs are needed, and what to say."""
        if not way.is_cam and not aim.needs_layer:
            if layer is not None:
                raise ValueError(
                    f"layer={layer!r}: {way.name} explains pixels; give unit=... as well to "
                    "explain one of that layer's units, or choose a CAM method"
                )
            return None, [], []
        known = known_layers(self.net, self.x)
        unit = aim.find_layer(known) if aim.needs_layer else None
        place: Layer | None = None
        notes: list[str] = []
        if way.is_cam:
            place, notes = cams.place_of(way.name, known, layer, unit)
        watched = [one for one in (place, unit) if one is not None]
        return place, list({one.name: one for one in watched}.values()), notes


def attribute_all(
    net: Network | nn.Module,
    image: Any,
    methods: Sequence[str],
    targets: Sequence[Any] = (None,),
    layer: Layer | str | None = None,
    score: str = "logit",
    on_progress: Progress | None = None,
) -> list[list[Attribution]]:
    """Several methods side by side, for several targets: `result[i][j]` of method i, target j.

    All that can share a forward pass do.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        methods: of `METHODS`.
        targets: see `attribute`.
        layer: of the CAM methods among them.
        score: see `attribute`.
        on_progress: called with the attributions done and of all; returning True stops: what is
            not done is missing.

    Raises:
        TypeError, ValueError: see `attribute`.

    Example:
        >>> import nbcnnviz as nv
        >>> both = attribute_all(
        ...     nv.Network.digits(), nv.sample_image("digit"), ["gradient", "gradcam"], ["3", "8"]
        ... )
        >>> [[each.target.name for each in row] for row in both]
        [['3', '8'], ['3', '8']]
    """
    for name, value in (("methods", methods), ("targets", targets)):
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise TypeError(f"{name}: a {kind(value)}; give a list, such as [{value!r}]")
    check_progress(on_progress)
    ways = [find_method(method) for method in methods]
    explainer = Explainer(net, image)
    made: list[list[Attribution]] = []
    total = len(methods) * len(targets)
    for way in ways:
        made.append([])
        for target in targets:
            where = layer if way.is_cam else None
            made[-1].append(explainer.attribute(way.name, target, where, score=score))
            done = sum(map(len, made))
            if on_progress is not None and on_progress(done, total) is True:
                return made
    return made


def find_method(name: Any) -> Method:
    """The method of this name.

    Raises:
        ValueError: there is none.
    """
    if not isinstance(name, str) or name not in METHODS:
        raise ValueError(f"method={name!r}: choose one of {list(METHODS)}")
    return METHODS[name]


def _check_options(way: Method, options: dict[str, Any]) -> None:
    for name in options:
        if name not in way.options:
            known = ", ".join(way.options) or "none"
            raise TypeError(f"{name}: {way.name} has no such option; its options: {known}")


def _read_unit(unit: Any, target: Any, layer: Layer | str | None, way: Method) -> Any:
    """The target that `unit` and `layer` make, or `target` where there is no unit."""
    if unit is None:
        return target
    if target is not None:
        raise ValueError(f"unit={unit!r}: there is a target, too; give one of them")
    if way.is_cam:
        raise ValueError(
            f"unit={unit!r}: {way.name} weights the maps of `layer`; give the unit as "
            "target=(layer, channel), and an earlier layer"
        )
    if layer is None:
        raise ValueError(f"unit={unit!r}: give its layer, too")
    name = layer.name if isinstance(layer, Layer) else layer
    return (name, *unit) if isinstance(unit, tuple | list) else (name, unit)


__all__ = [
    "METHODS",
    "Attribution",
    "Completeness",
    "Explainer",
    "Method",
    "attribute",
    "attribute_all",
]
