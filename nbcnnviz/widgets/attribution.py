"""Attribution: what in the picture a score is due to, by several methods side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import traitlets

from ..backend._masks import read_mask
from ..backend._saliency_mask import SaliencyMask
from ..backend.attribution import METHODS
from ..backend.attribution import Attribution as Found
from ..backend.cam import last_maps
from ..backend.maps import feature_maps
from ..backend.network import Network
from ..backend.patches import check_images, top_patches
from ..backend.switches import find_switches
from ..backend.target import SCORES, Target
from . import _attribution_export, _attribution_still
from . import _attribution_record as records
from ._attribution_record import REDUCES, Made
from ._attribution_work import (
    MOST,
    Question,
    Work,
    a_share,
    a_unit,
    read_methods,
    segment,
    stopped,
    unit_target,
)
from ._codec import pack
from ._inputs import Inputs, class_names
from ._lanes import Check, lane, long_lane, number, one_of, optional, several, text, whole
from ._layers import LayerWidget
from ._occlusion_record import relabelled
from ._traits import Choice, Setting, check
from ._worker import Job

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from torch import nn

    from ..backend.layers import Layer
    from .occlusion import Occlusion


_AIM: dict[str, Check] = {
    "index": optional(whole()),
    "other": optional(whole()),
    "layer": text(),
    "unit": a_unit,
    "score": one_of(*SCORES),
}


class Attribution(LayerWidget):
    """See which parts of an image a score is due to, by several methods side by side.

    Saliency, guided backpropagation, CAM and their kin, each with its raw range, for one target: a
    class, the difference of two, or a unit of a layer.

    Args:
        net: a `Network` or a bare `torch.nn.Module`.
        image: anything image-like (see `Network.prepare`).
        methods: up to six of `backend.attribution.METHODS`.
        target: a class index or label, `(class, "minus", class)`, ... (see `backend.Target.of`);
            None: the predicted class.
        layer: whose maps the CAM methods weight, and where a unit is; None: the last with maps.
        unit: a unit of `layer` to explain instead: a channel, (channel, "max"), (channel, (y, x)).
        labels: names of the classes, where the network has none or other ones.
        images: a data set, to find in it what a channel answers to most.
        name: what to call the image; by default its file name.
        settings: `score`, `reduce`, `share`, `theme`.

    Raises:
        ValueError, TypeError: an argument that cannot be used, by name, with the fix.

    Example:
        >>> import nbcnnviz as nv
        >>> w = nv.Attribution(nv.Network.digits(), nv.sample_image("digit"), ["gradcam"])
        >>> w.results["gradcam"].target.name
        '3'
    """

    stem: ClassVar[str] = "attribution"
    compute_lane = "attribute"

    methods = Setting(("gradient", "guided_backprop", "gradcam"))
    """Names of the methods shown, in their order."""
    unit = Setting(None, allow_none=True)
    """The unit of `layer` that is explained; None: the `target`."""
    score = Choice(SCORES, "logit")
    """What is explained of a class: "logit" or "probability"."""
    reduce = Choice(REDUCES, "abs")
    """How the colours of a pixel make one number: "abs", "signed" or "positive"."""
    share = Setting(1.0)
    """Which share of the picture a threshold keeps, 0..1; 1: no threshold."""

    _target: traitlets.Dict[str, Any] = traitlets.Dict().tag(sync=True)
    _classes: traitlets.List[str] = traitlets.List().tag(sync=True)
    _methods: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    _images = traitlets.Bytes().tag(sync=True)
    _results = traitlets.Bytes().tag(sync=True)

    # Not shared with the browser: what Python reads, sets and observes.
    target: traitlets.Any = traitlets.Any()
    """The `Target`; set it to anything that `backend.Target.of` takes."""
    mask: traitlets.Any = traitlets.Any(None, allow_none=True)
    """(H, W) bool: the last segmentation made of a map; set it to hand over another one."""

    def __init__(
        self,
        net: Network | nn.Module,
        image: Any,
        methods: Sequence[str] = ("gradient", "guided_backprop", "gradcam"),
        target: Any = None,
        layer: Layer | str | None = None,
        unit: Any = None,
        *,
        labels: Sequence[str] | None = None,
        images: Any = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        net = Network.wrap(net)
        net = net if labels is None else relabelled(net, labels)
        self._inputs = Inputs.prepare(net, image, None if name is None else [name])
        if len(self._inputs) > 1:
            raise ValueError(f"image: {len(self._inputs)} images; Attribution takes one")
        if images is not None:
            check_images(images)
        self._work = Work(net, self._x)
        self._logits = net.logits(self._x)[0].float().cpu()
        self._data = images
        self._ready = False
        super().__init__(
            net,
            self._x,
            layer,
            {"methods": methods, "unit": unit, **settings},
            target=Target.of(net, target, self._logits),
            _classes=class_names(net, len(self._logits)),
            _methods=records.methods_meta(),
            _images=self._inputs.blob(full=True),
        )
        self._ready = True
        try:
            self._find_unit(self.unit)
        except ValueError:
            self.close()
            raise
        self._save()
        self.observe(self._save_soon, ["layer", "methods", "unit", "score", "target"])

    @property
    def _x(self) -> torch.Tensor:
        return self._inputs.tensors[0]

    def _first_layer(self) -> Layer:
        return last_maps(self.layers)

    def _describe_network(self) -> dict[str, Any]:
        about = super()._describe_network()
        count = len(self._data) if hasattr(self._data, "__len__") else 0
        return about if self._data is None else {**about, "dataset": count}

    # -- settings -----------------------------------------------------------------------------

    @check("methods")
    def _valid_methods(self, value: Any) -> Any:
        return read_methods(value)

    @check("unit")
    def _valid_unit(self, value: Any) -> Any:
        found = a_unit(value)
        if self._ready:
            self._find_unit(found)
        return found

    def _find_unit(self, unit: tuple[Any, ...] | None) -> None:
        if unit is not None:
            try:
                self._as_target(unit_target(self.layer, unit))
            except ValueError as error:
                raise ValueError(str(error).replace("target", "unit", 1)) from None

    @check("share")
    def _valid_share(self, value: Any) -> float:
        return a_share(value)

    @check("target")
    def _valid_target(self, value: Any) -> Target:
        return self._as_target(value)

    def _as_target(self, value: Any) -> Target:
        chosen = Target.of(self.net, value, self._logits)
        if chosen.needs_layer:
            chosen.find_layer(self.layers)
        return chosen

    @check("mask")
    def _valid_mask(self, value: Any) -> Any:
        size = (self._x.shape[2], self._x.shape[3])
        return None if value is None else read_mask(value, size).numpy() > 0.5

    @traitlets.observe("target")
    def _aim(self, change: Any) -> None:
        self._target = records.target_meta(self.target)

    def _take(self, sync_data: Mapping[str, Any]) -> None:
        # The class that a view chooses comes as the trait that shows it.
        aim = sync_data.get("_target")
        super()._take({key: value for key, value in sync_data.items() if key != "_target"})
        try:
            if isinstance(aim, Mapping):
                places = (optional(whole())(aim.get(name)) for name in ("index", "other"))
                self.target = self._aim_at(*places)
        except (ValueError, TypeError):
            self.send_state("_target")

    @traitlets.observe("layer")
    def _let_unit_go(self, change: Any) -> None:
        if self._ready and self.unit is not None:
            self.unit = None

    # -- for the user -------------------------------------------------------------------------

    @property
    def results(self) -> dict[str, Found]:
        """The `backend.Attribution` of each method shown that could be computed."""
        made = self._work.made(self._question())
        return {one.method: one.found for one in made if one.found is not None}

    def segment(self, method: str | None = None, share: float | None = None) -> npt.NDArray[Any]:
        """Make `mask` of a method's map: the most salient share of the picture, in large pieces.

        `method` is one of those shown (None: the first), `share` 0..1 (None: the widget's own).
        """
        self._segment(method or self.methods[0], self.share if share is None else share)
        found: npt.NDArray[Any] = self.mask
        return found

    def to_occlusion(self, **settings: Any) -> Occlusion:
        """An `Occlusion` of the same image with `mask` painted: does the score really fall?"""
        from .occlusion import Occlusion

        name = self._inputs.names[0]
        return Occlusion(self.net, self._x, self.target, mask=self.mask, name=name, **settings)

    def refresh(self) -> None:
        """Look again, after more training."""
        self._inputs.predict(self.net)
        self._publish(_images=self._inputs.blob(full=True))
        self._examine_again(self._x)
        self._work.forget()
        self._save()

    def _compute(self, job: Job) -> dict[str, Found]:
        self._work.explain(self._question(), job, self._blob)
        self._save()
        return self.results

    # -- what is worked out ---------------------------------------------------------------------

    def _question(self) -> Question:
        return Question(self.methods, self.layer, self.unit, self.target, self.score)

    def _blob(
        self, made: Sequence[Made], question: Question | None = None, positive: bool = True
    ) -> bytes:
        question = question or self._question()
        return pack(*records.results(self.net, made, question, positive))

    def _segment(self, method: str, share: float) -> SaliencyMask:
        made = segment(self._work.made(self._question()), method, share, self.reduce)
        self._publish(mask=made.mask.numpy())
        return made

    def _save(self) -> None:
        if not self._ready:
            return
        positive = self.reduce == "positive"
        room = records.SAVED_BYTES // (self._x.shape[2] * self._x.shape[3] * (1 + positive))
        made = self._work.made(self._question())[: max(1, room)]
        self._publish(_results=self._blob(made, positive=positive))

    def _aim_at(self, index: Any, other: Any) -> Target:
        aim = self.target if index is None else index if other is None else (index, "minus", other)
        return self._as_target(aim)

    def _asked(
        self, index: Any, other: Any, layer: str, unit: Any, score: str, methods: Any = None
    ) -> Question:
        """What a browser asks; settings come by traits, which may be newer than the question."""
        name = self._usable(layer).name
        if unit is not None:
            self._as_target(unit_target(name, unit))
        aim = self._aim_at(index, other)
        return Question(tuple(methods or self.methods), name, unit, aim, score)

    def _release(self) -> None:
        self._work.close()
        self._data = None
        self._inputs.tensors, self._inputs.pictures = [], []

    # -- what the browser asks ------------------------------------------------------------------

    @long_lane(methods=several(one_of(*METHODS), MOST), **_AIM)
    def _lane_attribute(self, job: Job, /, methods: list[str], **aim: Any) -> bytes:
        question = self._asked(methods=methods, **aim)
        made = self._work.explain(question, job, lambda made: self._blob(made, question))
        if question == self._question():
            self._save()
        return self._blob(made, question)

    @lane(index=optional(whole()), other=optional(whole()), layer=text())
    def _lane_terms(self, job: Job, /, index: Any, other: Any, layer: str) -> bytes:
        found = self._work.explainer.attribute("cam", self._aim_at(index, other))
        return records.terms_blob(found)

    @lane(layer=text(), channel=whole())
    def _lane_map(self, job: Job, /, layer: str, channel: int) -> bytes:
        maps = feature_maps(self.net, self._x, self._usable(layer).name)
        if channel >= len(maps):
            raise ValueError(f"channel {channel}: {layer} has {len(maps)}")
        return records.map_blob(layer, channel, maps[channel])

    @lane(index=optional(whole()), other=optional(whole()), layer=text(), unit=a_unit)
    def _lane_switches(self, job: Job, /, index: Any, other: Any, layer: str, unit: Any) -> bytes:
        name = self._usable(layer).name
        aim = self._aim_at(index, other) if unit is None else unit_target(name, unit)
        return records.switches_blob(*find_switches(self.net, self._x, aim))

    @long_lane(method=one_of(*METHODS), **_AIM)
    def _lane_evidence(self, job: Job, /, method: str, **aim: Any) -> bytes:
        made = self._work.evidence(self._asked(**aim), method, self.reduce, job)
        job.check()
        return records.evidence_blob(method, made)

    @lane(method=one_of(*METHODS), share=number(0, 1))
    def _lane_mask(self, job: Job, /, method: str, share: float) -> bytes:
        return records.mask_blob(self._segment(method, share))

    @long_lane(layer=text(), channel=whole())
    def _lane_patches(self, job: Job, /, layer: str, channel: int) -> bytes:
        if self._data is None:
            raise ValueError("there is no data set: give nv.Attribution(..., images=...)")
        found = top_patches(
            *(self.net, self._data, self._usable(layer), channel),
            on_progress=lambda done, total: stopped(job.progress, done, max(total, done)),
        )
        return records.patches_blob(self.net, found)

    @lane(methods=several(one_of(*METHODS), MOST), layer=text(), unit=a_unit)
    def _lane_code(self, job: Job, /, **asked: Any) -> bytes:
        return pack({"code": self._code()}, {})

    # -- what a saved notebook, a still picture and a page of its own show -----------------------

    def _still(self) -> _attribution_still.Shown:
        return _attribution_still.Shown(
            net=self.net,
            picture=self._inputs.pictures[0],
            name=self._inputs.names[0],
            made=self._work.made(self._question()),
            reduce=self.reduce,
        )

    def _picture(self) -> npt.NDArray[np.uint8]:
        return self._still().sheet(self._inputs.predictions[0])

    def _figure(self) -> Figure:
        return self._still().figure()

    def _summary(self) -> str:
        return f"Attribution: {self._still().headline} in {self.net.name}"

    def _code(self) -> str:
        done = replace(self._question(), methods=tuple(self.results) or self.methods)
        return _attribution_still.code(self.net, self._inputs.names[0], done)

    def _export_replies(self, **options: Any) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Answers for a saved page: the methods shown, and CAM as a sum where it is one."""
        if options:
            raise TypeError(f"save_html has no option {next(iter(options))!r}")
        yield from _attribution_export.answers(self)
