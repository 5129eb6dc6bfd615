"""What crosses the wire of a run: how far it is, its picture, its film, what it began with."""

from __future__ import annotations

import io
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from ..backend._dream_frames import DreamFrame
from ._codec import Array, pack
from ._dream_film import LAST_BYTES, LAST_EDGE, RGB, jpeg
from ._dream_run import Run

START_BYTES, MORE_BYTES = 90_000, 80_000
"""Of the picture that a run begins with, and of all styles together or of the guide."""
KEPT_BYTES = 90_000
"""Of answers that a saved notebook shows."""
MORE_EDGE = 320
THUMB_EDGE = 96
_GAP, _GROUND = 4, 128


def sheet(pictures: Sequence[RGB]) -> tuple[RGB, tuple[int, int]]:
    """Several pictures of one size as one, and in how many rows and columns."""
    columns = math.ceil(math.sqrt(len(pictures)))
    rows = -(-len(pictures) // columns)
    if len(pictures) == 1:
        return pictures[0], (1, 1)
    height, width, _ = pictures[0].shape
    size = (rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3)
    made = np.full(size, _GROUND, np.uint8)
    for place, picture in enumerate(pictures):
        top, left = place // columns * (height + _GAP), place % columns * (width + _GAP)
        made[top : top + height, left : left + width] = picture
    return made, (rows, columns)


def flat(data: bytes) -> Array:
    """Bytes as an array."""
    return np.frombuffer(data, np.uint8)


def png(picture: RGB) -> bytes:
    """A picture without any loss."""
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    return file.getvalue()


def run_meta(
    run: Run, frame: DreamFrame | None, title: str, size: tuple[int, int], notes: Sequence[str]
) -> dict[str, Any]:
    """How far a run is.

    Args:
        run: of the widget.
        frame: its present one, read once: another thread may be making the next.
        title: what the picture is of; empty before the first step.
        size: height and width of what it begins with.
        notes: the widget's own.
    """
    height, width = size if frame is None else frame.tensor.shape[2:]
    return {
        "state": run.state,
        "run": run.number,
        "step": 0 if frame is None else frame.step,
        "steps": run.steps,
        "title": title,
        "octave": 1 if frame is None else frame.octave,
        "octaves": 1 if frame is None else frame.octaves,
        "losses": {} if frame is None else dict(frame.losses),
        "stopped": "" if frame is None else frame.stopped,
        "notes": list(dict.fromkeys([*notes, *(() if frame is None else frame.notes)])),
        "height": int(height),
        "width": int(width),
    }


def frame_blob(run: Run, meta: Mapping[str, Any], frame: DreamFrame | None) -> bytes:
    """A partial or the last answer of lane "run"."""
    trace = [list(point) for point in run.film.untold()]
    if frame is None:
        return pack({**meta, "trace": trace}, {})
    picture, more = _shown(frame)
    return pack({**meta, "trace": trace, **more}, {"jpeg": flat(jpeg(picture, LAST_EDGE))})


def film_blob(run: Run, meta: Mapping[str, Any], frame: DreamFrame | None) -> bytes:
    """Trait `_film`."""
    shots = [shot for shot in run.film.shots if shot.step <= meta["step"]]
    rows = [{"step": s.step, "octave": s.octave, "bytes": len(s.jpeg)} for s in shots]
    arrays = {"jpegs": flat(b"".join(shot.jpeg for shot in shots))}
    more: dict[str, Any] = {}
    if frame is not None:
        picture, more = _shown(frame)
        arrays["last"] = flat(jpeg(picture, LAST_EDGE, LAST_BYTES))
    trace = [list(point) for point in run.film.saved_trace()]
    return pack({**meta, "trace": trace, "frames": rows, **more}, arrays)


def _shown(frame: DreamFrame) -> tuple[RGB, dict[str, Any]]:
    """The picture of a frame as it is, and what is said of it."""
    picture, grid = sheet(frame.images)
    return picture, {"grid": list(grid)} if len(frame.images) > 1 else {}


@dataclass(frozen=True, eq=False)
class Start:
    """What a run begins with."""

    meta: Mapping[str, Any]
    arrays: Mapping[str, Array]

    def blob(self, answers: Iterable[tuple[str, bytes]] = ()) -> bytes:
        """Trait `_start`, with answers that a page without a kernel shows as well.

        Args:
            answers: lane and answer, the most important ones first; what is too much is left out.
        """
        kept: list[tuple[str, bytes]] = []
        left = KEPT_BYTES
        for lane, answer in answers:
            if len(answer) <= left:
                kept.append((lane, answer))
                left -= len(answer)
        if not kept:
            return pack(self.meta, self.arrays)
        rows = [{"lane": lane, "bytes": len(answer)} for lane, answer in kept]
        joined = flat(b"".join(answer for _, answer in kept))
        return pack({**self.meta, "kept": rows}, {**self.arrays, "kept": joined})


def start(
    name: str,
    size: tuple[int, int],
    picture: RGB | None,
    *,
    styles: Sequence[tuple[str, RGB]] = (),
    guide: tuple[str, RGB] | None = None,
    classes: Sequence[str] = (),
) -> Start:
    """The picture that a run begins with, and what else was given."""
    meta = {
        "name": name,
        "height": size[0],
        "width": size[1],
        "styles": [each for each, _ in styles],
        "guide": None if guide is None else guide[0],
        "classes": list(classes),
    }
    arrays: dict[str, Array] = {}
    if picture is not None:
        arrays["jpeg"] = flat(jpeg(picture, LAST_EDGE, START_BYTES))
    for i, (_, style) in enumerate(styles):
        arrays[f"style_{i}"] = flat(jpeg(style, MORE_EDGE, MORE_BYTES // len(styles)))
    if guide is not None:
        arrays["guide"] = flat(jpeg(guide[1], MORE_EDGE, MORE_BYTES))
    return Start(meta, arrays)


def thumbs_blob(found: Mapping[str, bytes]) -> bytes:
    """The answer of lane "thumbs": a JPEG for each layer."""
    ends = np.cumsum([0, *(len(data) for data in found.values())]).astype(np.int32)
    return pack({"layers": list(found)}, {"jpegs": flat(b"".join(found.values())), "offsets": ends})
