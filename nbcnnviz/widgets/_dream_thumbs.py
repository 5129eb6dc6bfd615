"""What each layer dreams, small: for choosing one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..backend.dream import deep_dream
from ._dream import DreamWidget
from ._dream_film import RGB, jpeg, smaller
from ._dream_record import KEPT_BYTES, THUMB_EDGE, thumbs_blob
from ._lanes import long_lane, several, text
from ._worker import Job

MOST_THUMBS = 40
_STEPS, _STRENGTH, _JITTER, _SMOOTH = 12, 0.02, 8, 0.5


class ThumbsWidget(DreamWidget):
    """A widget of a run in which one layer is chosen among many."""

    _made: tuple[int, dict[str, bytes]] = 0, {}
    """The version of the weights, and JPEGs by layer."""

    def _thumbs_begin_with(self) -> Any:
        """The image that every layer dreams on, (H, W, 3)."""
        return self._picture_before

    def _thumbs(self) -> dict[str, bytes]:
        """The small pictures that are there, as long as the weights are the same."""
        version = self.net.version()
        if self._made[0] != version:
            self._made = version, {}
        return self._made[1]

    @long_lane(layers=several(text(), MOST_THUMBS))
    def _lane_thumbs(self, job: Job, /, layers: Sequence[str]) -> bytes:
        names = list(dict.fromkeys(self._usable(name).name for name in layers))
        made = self._thumbs()
        for done, name in enumerate(names):
            if name not in made:
                made[name] = jpeg(self._thumb(name, job), THUMB_EDGE)
            job.partial(lambda: thumbs_blob({n: made[n] for n in names if n in made}))
            job.progress(done + 1, len(names))
        found = {name: made[name] for name in names}
        # Some room for the header.
        limit = KEPT_BYTES * 9 // 10 // max(1, len(found))
        kept = {name: smaller(data, THUMB_EDGE, limit) for name, data in found.items()}
        self._keep("thumbs", "", thumbs_blob(kept))
        return thumbs_blob(found)

    def _thumb(self, layer: str, job: Job) -> RGB:
        frames = deep_dream(
            self.net,
            self._thumbs_begin_with(),
            layer,
            octaves=1,
            steps=_STEPS,
            lr=_STRENGTH,
            jitter=_JITTER,
            smooth=_SMOOTH,
            size=THUMB_EDGE,
        )
        made: RGB = self._picture_before
        for frame in frames:
            job.check()
            made = frame.image
        return made

    def _release(self) -> None:
        super()._release()
        self._made = 0, {}
