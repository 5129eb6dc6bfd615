"""What the screen needs of attributions: maps as bytes, and all that is said with them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ..backend import maps
from ..backend._saliency_mask import SaliencyMask
from ..backend.attribution import METHODS, Attribution
from ..backend.network import Network
from ..backend.patches import TopPatches
from ..backend.sanity import Curve, Sanity
from ..backend.switches import Switches, sentence_of
from ..backend.target import Target
from ._codec import Array, pack

if TYPE_CHECKING:
    from ._attribution_work import Question

REDUCES = ("abs", "signed", "positive")
SAVED_BYTES = 450_000
"""Of maps: with pictures, code and base64 a saved notebook stays below 1 MB."""
TERMS = 64
"""So many terms of a CAM go to the browser one by one."""


@dataclass(frozen=True, eq=False)
class Made:
    """One method's result, or why there is none."""

    method: str
    found: Attribution | None
    error: str
    seconds: float

    @classmethod
    def of(cls, method: str, make: Callable[[], Attribution]) -> Made:
        """Run it; its error becomes part of the answer, for the other methods go on."""
        begin = time.perf_counter()
        found: Attribution | None = None
        error = ""
        try:
            found = make()
        except (ValueError, TypeError) as wrong:
            error = str(wrong)
        if found is not None and found.missing == found.values.numel():
            # Nothing to see, which is to be said in its place.
            error, found = found.notes[-1], None
        return cls(method, found, error, time.perf_counter() - begin)

    def meta(self) -> dict[str, Any]:
        """What there is to say."""
        found = self.found
        if found is None:
            return {"name": self.method, "error": self.error}
        complete = found.completeness
        return {
            "name": self.method,
            "min": found.minimum,
            "max": found.maximum,
            "positive": found.positive,
            "layer": found.layer,
            "notes": list(found.notes),
            "ms": self.seconds * 1e3,
            "done": found.done,
            "total": found.total,
            "completeness": None
            if complete is None
            else {**complete._asdict(), "error": complete.error},
            "place": None
            if found.target.position is None
            else [found.target.channel, *found.target.position],
        }

    def heats(self, positive: bool) -> list[Tensor]:
        """The maps that the screen needs, (H, W) each: signed, and of pixels positive too."""
        if self.found is None:
            return []
        signed = self.found.heat("signed")
        alone = self.found.values.dim() == 2 or not positive
        return [signed] if alone else [signed, self.found.heat("positive")]


def results(
    net: Network, made: Sequence[Made], question: Question, positive: bool
) -> tuple[dict[str, Any], dict[str, Array]]:
    """The answer of lane "attribute" to a `Question`: meta and arrays."""
    found = next((one.found for one in made if one.found is not None), None)
    meta: dict[str, Any] = {
        "layer": question.layer,
        "unit": None if question.unit is None else list(question.unit),
        "score_name": question.score,
        "methods": [one.meta() for one in made],
    }
    if found is not None:
        best = [] if found.logits is None else net.read(found.logits)
        meta |= {
            "target": target_meta(found.target),
            "score": found.score,
            "score_name": found.score_name,
            "probability": found.probability,
            "best": [vars(p) for p in best],
        }
    arrays: dict[str, Array] = {}
    for number, one in enumerate(made):
        heats = one.heats(positive)
        if heats:
            codes = maps.quantise(torch.stack(heats))
            arrays |= {
                f"codes{number}": codes.codes,
                f"lo{number}": codes.lo,
                f"hi{number}": codes.hi,
            }
    return meta, arrays


def target_meta(target: Target) -> dict[str, Any]:
    """A target as the browser knows it."""
    index, other = target.difference or (target.index, None)
    return {"name": target.name, "index": index, "other": other}


def methods_meta() -> list[dict[str, Any]]:
    """All methods, for the list to choose from."""
    return [
        {
            "name": each.name,
            "title": each.title,
            "paper": each.paper,
            "formula": each.formula,
            "is_cam": each.is_cam,
        }
        for each in METHODS.values()
    ]


def terms_blob(found: Attribution) -> bytes:
    """The answer of lane "terms": a CAM as a sum over channels."""
    terms = found.terms
    assert terms is not None and found.layer is not None
    order = terms.order[:TERMS]
    rest = terms.each[terms.order[TERMS:]].sum(0)
    meta = {
        "layer": found.layer,
        "bias": terms.bias,
        "score": found.score,
        "count": len(terms.shares),
        "checks": [check._asdict() for check in terms.checks],
    }
    arrays = {"shares": terms.shares, "weights": terms.weights}
    return pack(
        meta,
        {
            **{name: values.float().numpy() for name, values in arrays.items()},
            "order": terms.order.int().numpy(),
            "maps": terms.maps[order].float().numpy(),
            "rest": rest.float().numpy(),
        },
    )


def map_blob(layer: str, channel: int, values: Tensor) -> bytes:
    """The answer of lane "map": a feature map (h, w), and where it is largest."""
    codes = maps.quantise(values[None])
    y, x = divmod(int(values.argmax()), values.shape[1])
    meta = {"layer": layer, "channel": channel, "best": [y, x]}
    return pack(meta, {"codes": codes.codes, "lo": codes.lo, "hi": codes.hi})


def switches_blob(found: Sequence[Switches], others: Sequence[str]) -> bytes:
    """The answer of lane "switches": where the maxima are that the target goes through."""
    layers = [each.layer for each in found]
    number = [torch.full((len(each.values),), i) for i, each in enumerate(found)]
    points = [each.points.float() for each in found]
    values = [each.values.float() for each in found]
    empty = torch.zeros(0, 2)
    y, x = torch.cat([empty, *points]).T
    return pack(
        {"layers": layers, "note": sentence_of(others) if others else ""},
        {
            "layer": torch.cat([torch.zeros(0, dtype=torch.long), *number]).int().numpy(),
            "y": y.contiguous().numpy(),
            "x": x.contiguous().numpy(),
            "weight": torch.cat([torch.zeros(0), *values]).numpy(),
        },
    )


def mask_blob(made: SaliencyMask) -> bytes:
    """The answer of lane "mask": what a threshold keeps, and a box (top, left, height, width)."""
    top, left, bottom, right = made.box or (0, 0, 0, 0)
    box = None if made.box is None else [top, left, bottom - top, right - left]
    meta = {"coverage": made.coverage, "box": box, "pieces": made.pieces}
    return pack(meta, {"mask": made.mask.to(torch.uint8).numpy()})


def evidence_blob(method: str, found: Sanity) -> bytes:
    """The answer of lane "evidence": curves and what random weights leave of the map."""
    curves: dict[str, Curve | None] = {
        "deletion": found.deletion,
        "insertion": found.insertion,
        "deletion_by_chance": found.deletion_by_chance,
        "insertion_by_chance": found.insertion_by_chance,
    }
    random = found.randomisation
    meta = {
        "method": method,
        **{name: None if curve is None else curve.auc for name, curve in curves.items()},
        "randomised": []
        if random is None
        else [
            {"layer": layer, "similarity": float(value)}
            for layer, value in zip(random.layers, random.similarity, strict=True)
        ],
        "remaining": None if random is None else random.remaining,
        "notes": list(found.notes),
    }
    arrays: dict[str, Array] = {}
    for name, curve in curves.items():
        if curve is not None:
            arrays[name] = curve.scores.float().numpy()
            arrays["fractions"] = curve.fractions.float().numpy()
    return pack(meta, arrays)


def patches_blob(net: Network, found: TopPatches) -> bytes:
    """The answer of lane "patches": pieces of pictures, each with what the channel saw in it."""
    meta: dict[str, Any] = {"patches": [], "seen": found.seen, "notes": list(found.notes)}
    arrays: dict[str, Array] = {}
    for number, patch in enumerate(found.patches):
        top, left, bottom, right = patch.box
        meta["patches"].append(
            {
                "image": patch.index,
                "activation": patch.activation,
                "box": [top, left, bottom - top, right - left],
            }
        )
        arrays[f"picture{number}"] = patch.picture
        if patch.reconstruction is not None:
            arrays[f"rebuilt{number}"] = _gray_around_zero(patch.reconstruction)
    return pack(meta, arrays)


def _gray_around_zero(values: Tensor) -> Array:
    """A signed reconstruction (C, h, w) as a picture (h, w, 3): 0 is gray."""
    most = float(values.abs().max()) or 1.0
    shown = (values / most / 2 + 0.5).clamp(0, 1)
    shown = shown if len(shown) == 3 else shown.mean(0, keepdim=True).expand(3, -1, -1)
    picture: Array = (shown * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().numpy()
    return picture
