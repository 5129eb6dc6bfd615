"""A run as the work of a widget: its settings, its steps, what is published and answered."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

import traitlets
from PIL import Image

from ..backend._dream_frames import DreamFrame, Frames
from ..backend.network import Network
from . import _dream_record as records
from ._codec import pack
from ._dream_film import RGB
from ._dream_given import Fixed, read_seed
from ._dream_run import Run, Settings
from ._lanes import flag, lane, long_lane, whole
from ._layers import LayersWidget
from ._worker import Job

if TYPE_CHECKING:
    import torch

MOST_STEPS = 100_000
_MOST_ANSWERS = 16
"""That are kept; the newest ones."""
_FILM_SECONDS = 2.0
"""At least so long between two films that are published while a run goes on."""
_FILM_SHARE = 50
"""And so many times as long as it took to publish the last one."""


class RunWidget(LayersWidget):
    """A widget that does a run: what `DreamWidget` stands on.

    A subclass says which of its traits are settings (`_plan`, `_live`), and makes the backend's
    frames of them (`_make`).
    """

    compute_lane = "run"

    _plan: ClassVar[tuple[str, ...]]
    """Traits that make a run longer or shorter: it goes on under the new plan."""
    _live: ClassVar[tuple[str, ...]]
    """Traits that the next step takes."""
    _measure: ClassVar[str]
    """What rises or falls, as in `DreamFrame.losses`."""
    _has_before: ClassVar[bool] = True
    """A run begins with a picture worth looking at."""

    _start = traitlets.Bytes().tag(sync=True)
    _film = traitlets.Bytes().tag(sync=True)

    seed = Fixed()
    """Of all that is random."""

    _over: Job | None = None
    """The last work on the run that has come to its end."""
    _version: int | None = None
    """The network's when the last work on the run began."""
    _next_film = 0.0
    """When the film may be published again; seconds of the monotonic clock."""
    _last_pictures: Sequence[RGB] = ()
    """What is left of the run after closing."""
    _answers: Mapping[tuple[str, str], bytes] = MappingProxyType({})
    """Answers that a saved notebook shows, by lane and what they are of; replaced as a whole."""
    _chosen: tuple[str, ...] = ()
    """What was chosen for the user, in sentences."""

    def __init__(
        self,
        net: Network,
        settings: Mapping[str, Any],
        picture: RGB,
        name: str,
        *,
        seed: int | None,
        start: records.Start,
        **state: Any,
    ) -> None:
        """Open the widget with a run that has not begun.

        Args:
            net: has been looked into already: see `_look`.
            settings: the traits, as the user gave them.
            picture: what the run begins with, (H, W, 3).
            name: of it.
            seed: of all that is random; None: always the same.
            start: makes trait `_start`.
            state: traits that the browser does not see.
        """
        self._picture_before, self._name, self._begin = picture, name, start
        self._seed = read_seed(seed)
        self._run = Run(self._make, self._plan, self._controls, self._shown, self._measure)
        self._ready = False
        super().__init__(net, settings, _layers=self._layer_list(), _start=start.blob(), **state)
        try:
            self._wanted = self._settings_now()
            self._run.ready(self._wanted)
        except BaseException:
            self.close()
            raise
        self._ready = True
        self._save()
        self.observe(self._changed, [*self._plan, *self._live])

    # -- settings -------------------------------------------------------------------------------

    def _settings_now(self) -> Settings:
        return {name: getattr(self, name) for name in (*self._plan, *self._live)}

    def _changed(self, change: Any) -> None:
        """Settings have changed: the next step takes them, all of them together."""
        self._settle(change)
        # In one assignment: the worker sees either the old or the new ones.
        self._wanted = self._settings_now()

    def _settle(self, change: Any) -> None:
        """Change what does not fit with a change."""

    def _make(self, wanted: Settings, resume: DreamFrame | None) -> Frames:
        """The backend's frames under these settings."""
        raise NotImplementedError

    def _controls(self, wanted: Settings) -> Settings:
        """The settings as `Controls.update` takes them."""
        return {name: wanted[name] for name in self._live}

    def _generator(self) -> torch.Generator | None:
        import torch

        return None if self._seed is None else torch.Generator().manual_seed(self._seed)

    @property
    def state(self) -> str:
        """ "fresh", "running", "paused" or "done"."""
        if self._alive:
            job = self._endpoint.worker.pending((self._epoch, "run"))
            if job is not None and job is not self._over:
                return "running"
        return self._run.state

    @property
    def result(self) -> Any:
        """The present picture, a PIL image at the full size; before the first step the beginning.

        What was dreamt at a small size so far is laid onto the whole picture (`frame.image` has
        the small size). Several results come as a list.
        """
        pictures = [Image.fromarray(each) for each in self._pictures()]
        return pictures if len(pictures) > 1 else pictures[0]

    def _compute(self, job: Job) -> Any:
        run = self._run
        same = run.last == self._wanted and self._version == self.net.version()
        if same and run.spent(self._wanted):
            self._over = job
        else:
            self._go(job, 0, False)
        return self.result

    # -- the run ----------------------------------------------------------------------------------

    def _go(self, job: Job, steps: int, again: bool) -> None:
        """So many steps, or all that are left; where none is left, from the beginning.

        Raises:
            Cancelled: the job was; what was done stays.
        """
        run = self._run
        left = steps or -1
        self._version = self.net.version()
        self._next_film = time.monotonic() + _FILM_SECONDS
        try:
            if again or run.spent(self._wanted):
                run.restart()
                self._forget()
            run.state = "running"
            while left:
                frame = run.advance(self._wanted)
                left -= 1
                if frame is None or frame.stopped:
                    break
                if frame.step >= run.steps:
                    # Done, whatever was asked for meanwhile.
                    job.on_progress(frame.step, run.steps, 0.0)
                    break
                if left:
                    job.partial(self._frame_blob)
                    self._save_at_times()
                job.progress(frame.step, run.steps)
        finally:
            run.rest()
            self._over = job
            self._save()

    def _forget(self) -> None:
        """Let go of what is known of a run that is over."""

    def _shown(self, frame: DreamFrame) -> RGB:
        return records.sheet(frame.images)[0]

    def _pictures(self) -> Sequence[RGB]:
        """The present pictures at the full size, (H, W, 3) each."""
        frame = self._run.frame
        return self._last_pictures or [self._picture_before] if frame is None else frame.whole

    def _subject(self) -> str:
        """What the present picture is of: that is settled by its last step, not by what is set."""
        run = self._run
        title = self._title(self._wanted if run.last is None else run.last)
        return f"{title} (settings changed on the way)" if run.varied else title

    def _title(self, settings: Settings) -> str:
        """What a run is of under these settings."""
        raise NotImplementedError

    def _meta(self, frame: DreamFrame | None) -> dict[str, Any]:
        height, width, _ = self._picture_before.shape
        title = "" if frame is None else self._subject()
        return records.run_meta(self._run, frame, title, (height, width), self._chosen)

    def _frame_blob(self) -> bytes:
        frame = self._run.frame
        return records.frame_blob(self._run, self._meta(frame), frame)

    def _save(self) -> None:
        if not (self._alive and self._ready):
            return
        # Under one lock, so that no thread publishes an older film after a newer one.
        with self._trait_lock:
            frame = self._run.frame
            film = records.film_blob(self._run, self._meta(frame), frame)
            self._publish(_film=film, _start=self._begin.blob(self._kept_answers()))

    def _save_at_times(self) -> None:
        """Publish the film of a run that goes on: kernel or page may be gone before its end."""
        began = time.monotonic()
        if began >= self._next_film:
            self._save()
            took = time.monotonic() - began
            self._next_film = began + max(_FILM_SECONDS, _FILM_SHARE * took)

    def _keep(self, lane: str, of: str, answer: bytes) -> None:
        """Keep an answer for a notebook that is opened again."""
        before = [each for each in self._answers.items() if each[0] != (lane, of)]
        self._answers = dict([((lane, of), answer), *before[: _MOST_ANSWERS - 1]])
        if self.state != "running":
            self._save_soon()

    def _kept_answers(self) -> list[tuple[str, bytes]]:
        """Lane and answer, the newest first."""
        return [(lane, answer) for (lane, _), answer in self._answers.items()]

    def _release(self) -> None:
        try:
            self._last_pictures = self._pictures()
        finally:
            self._run.close()
            self._over = None
            self._stats = {}

    # -- what the browser asks ------------------------------------------------------------------

    @long_lane(steps=whole(0, MOST_STEPS), again=flag)
    def _lane_run(self, job: Job, /, steps: int, again: bool) -> bytes:
        self._go(job, steps, again)
        return self._frame_blob()

    @lane()
    def _lane_picture(self, job: Job, /) -> bytes:
        picture, _ = records.sheet(self._pictures())
        height, width, _ = picture.shape
        meta = {"height": height, "width": width, "name": f"{self._name}-{self.stem}"}
        return pack(meta, {"png": records.flat(records.png(picture))})
