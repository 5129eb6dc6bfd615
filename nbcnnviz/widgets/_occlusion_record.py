"""What the screen needs of a painted mask and of a sweep."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backend._model import probabilities
from ..backend.fill import FILLS, colour_levels
from ..backend.maps import quantise
from ..backend.network import Network, read_labels
from ..backend.occlusion import Sweep
from ..backend.target import Target
from ._codec import pack
from ._lanes import one_of, several, whole

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.uint8]

_MOST_CHANNELS = 64
MOST_PIXELS = 4096
"""The longest side that a browser may name."""
HIDDEN = 255
"""The code of a pixel that is wholly hidden."""


@dataclass(frozen=True, eq=False)
class Painted:
    """A mask over the image, and what the network makes of it.

    Arrays are not to be changed: paint by giving the widget a new mask.
    """

    mask: Floats
    """(H, W) of the network's input: 1 hides, 0 shows."""
    scores: Floats
    """(classes,), the logits."""

    @property
    def hidden(self) -> float:
        """Share of the picture that is hidden, 0..1."""
        return float(self.mask.mean())


def a_fill(value: Any) -> Any:
    """A fill as a browser names it: a word, or red, green and blue."""
    if isinstance(value, str):
        return one_of(*FILLS)(value)
    colour = several(whole(0, 255), _MOST_CHANNELS)(value)
    if len(colour) < 3:
        raise ValueError("expected red, green and blue")
    return tuple(colour)


def canonical(net: Network, value: Any) -> Any:
    """A fill in the one form that both sides know: a word, or whole numbers in 0..255.

    One for each channel of the network, but three for a gray one, as the colour that one sees.

    Raises:
        TypeError, ValueError: no such fill.
    """
    if isinstance(value, str) and value in FILLS:
        return value
    levels = colour_levels(value, net.preprocess.channels)
    colour = [round(255 * level) for level in levels.tolist()]
    return tuple(colour * 3 if len(colour) == 1 else colour)


def half(window: Any) -> int:
    """The stride that goes with a window when none is given."""
    sides = window if isinstance(window, list | tuple) else [window]
    numbers = [side for side in sides if isinstance(side, int)]
    return max(1, min(numbers, default=2) // 2)


def relabelled(net: Network, labels: Sequence[str]) -> Network:
    """The same model, its classes called differently; the user's `Network` stays as it is."""
    made = copy.copy(net)
    made.labels = read_labels(labels)
    return made


def codes_of(mask: Floats) -> Codes:
    """A mask as the browser paints it: 0 shown to 255 hidden."""
    return np.rint(mask * HIDDEN).astype(np.uint8)


def mask_of(crop: Codes, box: Sequence[int], size: tuple[int, int]) -> Floats:
    """The mask of which the browser sent the part in `box`: top, left, height, width.

    Raises:
        ValueError: the part does not fit the box, or the box the image.
    """
    top, left, height, width = box
    inside = top + height <= size[0] and left + width <= size[1]
    if not inside or crop.shape != (height, width):
        raise ValueError(f"mask: {crop.shape} at {top, left} does not fit {size[0]} x {size[1]}")
    mask = np.zeros(size, np.float32)
    mask[top : top + height, left : left + width] = crop / np.float32(HIDDEN)
    return mask


def scores_meta(
    net: Network, clean: Floats, now: Painted, target: Target, fill: Any
) -> dict[str, Any]:
    """The answer of lane "scores": the classes worth showing, in an order that stays.

    First the five best of the clean image, then those that are among the five best now, then the
    target.
    """
    before, after = _probabilities(clean), _probabilities(now.scores)
    best = [np.argsort(-each, kind="stable")[:5].tolist() for each in (clean, now.scores)]
    aim = [] if target.index is None else [target.index]
    classes = [
        {
            "index": index,
            "label": net.label(index),
            "logit": float(now.scores[index]),
            "probability": float(after[index]),
            "before": {"logit": float(clean[index]), "probability": float(before[index])},
        }
        for index in dict.fromkeys([*best[0], *best[1], *aim])
    ]
    return {
        "classes": classes,
        "predicted": _named(net, int(now.scores.argmax())),
        "clean": _named(net, int(clean.argmax())),
        "hidden": now.hidden,
        "fill": fill,
    }


def sweep_blob(net: Network, sweep: Sweep, seconds: float) -> bytes:
    """The answer of lane "sweep": the map so far, its gaps filled for the eye."""
    seen = sweep.preview()
    drop = quantise(seen.drop[None])
    predicted = seen.predicted.numpy().astype(np.int32)
    found = sorted({*predicted[predicted >= 0].tolist(), sweep.prediction} - {-1})
    meta = {
        "window": list(sweep.window),
        "stride": list(sweep.stride),
        "size": list(sweep.size),
        "fill": sweep.fill,
        "score": sweep.score,
        "target": target_meta(sweep.target),
        "baseline": sweep.baseline,
        "prediction": None if sweep.prediction < 0 else _named(net, sweep.prediction),
        "labels": {str(index): net.label(index) for index in found},
        "done": int(sweep.known.sum()),
        "total": sweep.known.numel(),
        "complete": sweep.complete,
        "engine": sweep.engine,
        "note": sweep.note,
        "seconds": seconds,
    }
    return pack(
        meta,
        {
            "scores": seen.scores.numpy().astype(np.float32),
            "known": sweep.known.numpy().astype(np.uint8),
            "predicted": predicted,
            "codes": drop.codes,
            "lo": drop.lo,
            "hi": drop.hi,
        },
    )


def target_meta(target: Target) -> dict[str, Any]:
    """A target as the browser knows it."""
    return {"name": target.name, "index": target.index}


def ranked(logits: Floats) -> list[tuple[int, float]]:
    """All classes with their probabilities, the best first."""
    shares = _probabilities(logits)
    return [(int(index), float(shares[index])) for index in np.argsort(-shares, kind="stable")]


def _named(net: Network, index: int) -> dict[str, Any]:
    return {"index": index, "label": net.label(index)}


def _probabilities(logits: Floats) -> Floats:
    import torch

    found: Floats = probabilities(torch.from_numpy(logits)[None])[0].numpy()
    return found
