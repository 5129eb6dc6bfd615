"""What DeepDream, StyleTransfer and Maximize have in common: a run to play, pause and look back."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets
from PIL import Image

from ..backend import doctor
from ..backend._dream_frames import DreamFrame, Frames
from ..backend._dream_image import load, real
from ..backend._dream_image import whole as whole_number
from ..backend.layers import Layer, default_layer, find
from ..backend.network import Network
from . import _dream_record as records
from . import _dream_still
from ._base import NetworkWidget
from ._codec import pack
from ._dream_film import RGB, Point, Shot
from ._dream_run import Run, Settings
from ._inputs import _name
from ._lanes import flag, lane, long_lane, whole
from ._layers import _entry
from ._worker import Job

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch
    from matplotlib.figure import Figure

MOST_STEPS = 100_000
SAVE_SECONDS = 4.0
"""Between two films in the notebook's state: it may be saved, or its kernel end, in mid-run."""


class DreamWidget(NetworkWidget):
    """A widget with a run: frames that are made one after the other, and can be looked at again.

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

    _layers: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)
    _start = traitlets.Bytes().tag(sync=True)
    _film = traitlets.Bytes().tag(sync=True)

    layers: list[Layer]
    """All layers of the network, in call order."""
    _stats: dict[str, doctor.LayerStats]

    _over: Job | None = None
    """The last work on the run that has come to its end."""
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
        start: bytes,
    ) -> None:
        """Open the widget with a run that has not begun.

        Args:
            net: has been looked into already: see `_look`.
            settings: the traits, as the user gave them.
            picture: what the run begins with, (H, W, 3).
            name: of it.
            seed: of all that is random; None: always the same.
            start: trait `_start`.
        """
        self._picture_before, self._name = picture, name
        self.seed = _read_seed(seed)
        self._run = Run(self._make, self._plan, self._controls, self._shown, self._measure)
        self._ready = False
        super().__init__(net, settings, _layers=self._layer_list(), _start=start)
        try:
            self._wanted = self._settings_now()
            self._run.ready(self._wanted)
        except BaseException:
            self.close()
            raise
        self._ready = True
        self._save()
        self.observe(self._changed, [*self._plan, *self._live])

    # -- layers ---------------------------------------------------------------------------------

    def _look(self, net: Network, x: torch.Tensor | None) -> None:
        """Find the layers, with the doctor's figures for an input (1, C, H, W) if there is one."""
        if x is None:
            self.layers, self._stats = net.layers(), {}
        else:
            self.layers, self._stats = doctor.examine(net, x)

    def _layer_list(self) -> list[dict[str, Any]]:
        return [_entry(layer, self._stats.get(layer.name)) for layer in self.layers]

    def _usable(self, name: Any, argument: str = "layer") -> Layer:
        """The layer of this name, if it has maps."""
        found = find(self.layers, name, argument)
        if not found.spatial:
            raise ValueError(
                f"{argument}={found.name!r} has no maps: its output is {found.shape}. Choose a "
                f"layer with height and width, for example {default_layer(self.layers).name!r}"
            )
        return found

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

        return None if self.seed is None else torch.Generator().manual_seed(self.seed)

    # -- for the user ---------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """ "fresh", "running", "paused" or "done"."""
        if self._alive:
            job = self._endpoint.worker.pending((self._epoch, "run"))
            if job is not None and job is not self._over:
                return "running"
        return self._run.state

    @property
    def frame(self) -> DreamFrame | None:
        """The present frame; None before the first step."""
        return self._run.frame

    @property
    def frames(self) -> list[Shot]:
        """Small pictures of the run, evenly spread: each has `step` and `image`."""
        return self._run.film.shots

    @property
    def losses(self) -> list[Point]:
        """(step, value) of what rises or falls."""
        return self._run.film.trace

    @property
    def result(self) -> Any:
        """The present picture, a PIL image at its full size; before the first step the beginning.

        Several of them, as a list, where there are several results.
        """
        if not self._alive:
            raise RuntimeError("this widget is closed: make a new one")
        pictures = [Image.fromarray(each) for each in self._pictures()]
        return pictures if len(pictures) > 1 else pictures[0]

    def play(self) -> None:
        """Go on in the background; at the end, begin again."""
        self._ask(0, False)

    def pause(self) -> None:
        """End the run within a step; `play()` goes on from there, to the bit."""
        job = self._endpoint.worker.pending((self._epoch, "run"))
        if job is not None:
            job.cancel()

    def step(self, n: int = 1) -> None:
        """Do some steps in the background."""
        self._ask(whole_number("n", n, 1), False)

    def restart(self) -> None:
        """Begin again, with the settings as they are now."""
        self._ask(0, True)

    def _ask(self, steps: int, again: bool) -> None:
        if not self._alive:
            raise RuntimeError("this widget is closed: make a new one")
        self._endpoint.begin("run", steps=steps, again=again)

    def _compute(self, job: Job) -> Any:
        if self._run.state != "done" or self._run.last != self._wanted:
            self._go(job, 0, False)
        return self.result

    # -- the run ----------------------------------------------------------------------------------

    def _go(self, job: Job, steps: int, again: bool) -> None:
        """So many steps, or all that are left; where none is, it begins again.

        Raises:
            Cancelled: the job was; what was done stays.
        """
        run = self._run
        if again:
            run.restart()
        run.state, left, saved = "running", steps or -1, time.monotonic()
        try:
            while left:
                frame = run.advance(self._wanted)
                if frame is None and left == (steps or -1) and run.step and self._alive:
                    run.restart()
                    run.state = "running"
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
                if time.monotonic() - saved >= SAVE_SECONDS:
                    self._save()
                    saved = time.monotonic()
                job.progress(frame.step, run.steps)
        finally:
            run.rest()
            self._over = job
            self._save()

    def _shown(self, frame: DreamFrame) -> RGB:
        return records.sheet(frame.images)[0]

    def _pictures(self) -> Sequence[RGB]:
        """The present pictures, (H, W, 3) each."""
        frame = self._run.frame
        return [self._picture_before] if frame is None else frame.images

    def _meta(self) -> dict[str, Any]:
        height, width, _ = self._picture_before.shape
        return records.run_meta(self._run, self._run.state, (height, width), self._chosen)

    def _frame_blob(self) -> bytes:
        pictures = [] if self._run.frame is None else self._pictures()
        return records.frame_blob(self._run, self._meta(), pictures)

    def _save(self) -> None:
        if self._alive and self._ready:
            pictures = [] if self._run.frame is None else self._pictures()
            self._publish(_film=records.film_blob(self._run, self._meta(), pictures))

    def _release(self) -> None:
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

    # -- stills -----------------------------------------------------------------------------------

    def _still(self) -> _dream_still.Shown:
        run = self._run
        return _dream_still.Shown(
            headline=self._headline(),
            before=self._picture_before if self._has_before else None,
            after=records.sheet(self._pictures())[0],
            shots=run.film.shots,
            trace=run.film.trace,
            step=run.step,
            measure=self._measure,
        )

    def _headline(self) -> str:
        run = self._run
        # Of the picture's own settings: those of now may be for the next step.
        title = self._title(run.last or self._wanted) + ", varied" * run.varied
        return f"{title}: step {run.step} of {run.steps}"

    def _title(self, settings: Settings) -> str:
        """What the run is of, under these settings."""
        raise NotImplementedError

    def _picture(self) -> npt.NDArray[np.uint8]:
        return self._still().sheet()

    def _figure(self) -> Figure:
        return self._still().figure()

    def _summary(self) -> str:
        return f"{type(self).__name__}: {self._headline()} in {self._about['network']}"

    def _call(self, settings: Settings) -> tuple[str, list[str]]:
        """Name of the backend's function, and its arguments as Python source."""
        raise NotImplementedError

    def _given(self) -> list[str]:
        """Lines that say which images were given."""
        return [f"image = ...  # {self._name}"]

    def _code(self) -> str:
        run = self._run
        settings = self._wanted if run.began is None or run.varied else run.began
        function, arguments = self._call(settings)
        if self.seed is not None:
            arguments = [*arguments, f"generator=torch.Generator().manual_seed({self.seed})"]
        return _dream_still.code(
            self.net.source,
            self._given(),
            function,
            arguments,
            step=0 if run.state == "done" or run.varied else run.step,
            varied=run.varied,
        )

    def _export_replies(self, **options: Any) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Answers for a saved page: the picture in full, and the code."""
        if options:
            raise TypeError(f"save_html has no option {next(iter(options))!r}")
        yield "code", {}, pack({"code": self._code()}, {})


def _read_seed(seed: Any) -> int | None:
    return None if seed is None else whole_number("seed", seed, 0)


def prepared(net: Network, image: Any, size: Any, argument: str = "image") -> tuple[RGB, str]:
    """An image as the run sees it at its full size, and its name."""
    picture = net.picture(load(net, image, size, argument))
    return picture, name_of(image, argument)


def name_of(image: Any, otherwise: str) -> str:
    """What to call an image."""
    found = _name(image, 0)
    return otherwise if found == "image 0" else found


def weighted(
    value: Any, usable: Callable[[Any], Layer], argument: str, least: float
) -> dict[str, float]:
    """A layer, several, or {layer: weight} as names with weights.

    Raises:
        TypeError, ValueError: no such layer, no weight, or all of them 0.
    """
    if isinstance(value, Mapping):
        given = dict(value)
    elif isinstance(value, str | Layer):
        given = {value: 1.0}
    elif isinstance(value, Sequence):
        given = dict.fromkeys(value, 1.0)
    else:
        raise TypeError(f"{argument}={value!r}: give a layer, several, or {{layer: weight}}")
    found = {
        usable(name).name: real(f"{argument}: weight", weight, least)
        for name, weight in given.items()
    }
    if not any(found.values()):
        raise ValueError(
            f"{argument}={value!r}: give at least one layer with a weight other than 0"
        )
    return found
