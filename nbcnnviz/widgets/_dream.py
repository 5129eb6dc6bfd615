"""What DeepDream, StyleTransfer and Maximize have in common: a run to play, pause and look back."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backend._arguments import whole as whole_number
from ..backend._dream_frames import DreamFrame
from . import _dream_record as records
from . import _dream_still
from ._codec import pack
from ._dream_film import Point, Shot
from ._dream_run import Settings
from ._dream_work import RunWidget

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure


class DreamWidget(RunWidget):
    """A widget with a run: frames that are made one after the other, and can be looked at again."""

    # -- for the user ---------------------------------------------------------------------------

    @property
    def frame(self) -> DreamFrame | None:
        """The present frame; None before the first step.

        Raises:
            RuntimeError: the widget is closed.
        """
        if not self._alive:
            raise RuntimeError(
                "frame: this widget is closed; result, frames and losses are still there"
            )
        return self._run.frame

    @property
    def frames(self) -> list[Shot]:
        """Small pictures of the run, evenly spread: each has `step` and `image`."""
        return self._run.film.shots

    @property
    def losses(self) -> list[Point]:
        """(step, value) of what rises or falls."""
        return self._run.film.trace

    def play(self) -> None:
        """Go on in the background; where no step is left, begin again."""
        self._ask(0, False)

    def pause(self) -> None:
        """End the run within a step; `play()` goes on from there, to the bit."""
        job = self._endpoint.worker.pending((self._epoch, "run"))
        if job is not None:
            job.cancel()

    def step(self, n: int = 1) -> None:
        """Do some steps in the background; where none is left, begin again.

        A run that goes on does them in any case: then this only says so.
        """
        count = whole_number("n", n, 1)
        if self.state == "running":
            message = f"step({count}): the run goes on already; pause() it to go step by step"
            warnings.warn(message, stacklevel=2)
            return
        self._ask(count, False)

    def restart(self) -> None:
        """Begin again, with the settings as they are now."""
        self._ask(0, True)

    def _ask(self, steps: int, again: bool) -> None:
        if not self._alive:
            raise RuntimeError("this widget is closed: make a new one")
        self._endpoint.begin("run", steps=steps, again=again)

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
        return f"{self._subject()}: step {run.step} of {run.steps}"

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
        settings = self._wanted if run.last is None else run.last
        function, arguments = self._call(settings)
        if self._seed is not None:
            arguments = [*arguments, f"generator=torch.Generator().manual_seed({self._seed})"]
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
