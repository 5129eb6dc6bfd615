"""One run after another: frames made step by step, under settings that change on the way."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..backend._dream_frames import DreamFrame, Frames
from ._dream_film import RGB, Film

Settings = Mapping[str, Any]
Make = Callable[[Settings, DreamFrame | None], Frames]
"""Frames under these settings, from the beginning or after a frame."""


class Run:
    """What a widget does with its frames, but for when.

    One thread at a time may make steps, the worker's; others may read `frame` and `film`.

    Args:
        make: the backend's call.
        plan: names of the settings that make a run longer or shorter. Under another plan it is
            resumed from its last frame.
        controls: of all settings, what `Controls.update` takes.
        picture: of a frame, (H, W, 3).
        value: the name of what rises or falls in `DreamFrame.losses`.
    """

    def __init__(
        self,
        make: Make,
        plan: tuple[str, ...],
        controls: Callable[[Settings], Settings],
        picture: Callable[[DreamFrame], RGB],
        value: str,
    ) -> None:
        self._make: Make | None = make
        self._plan = plan
        self._controls = controls
        self._picture = picture
        self._value = value
        self._frames: Frames | None = None
        self._used: Settings = {}
        self._ended = 0, 0
        """Steps done, and of how many, when it was closed."""
        self.number = 0
        """Counts the beginnings."""
        self.restart()

    def restart(self) -> None:
        """Begin again; what was done is forgotten."""
        self.number += 1
        self.state = "fresh"
        self.frame: DreamFrame | None = None
        self.film = Film()
        self.last: Settings | None = None
        """The settings of the last step: what the present picture was made with."""
        self.varied = False
        """Steps before it had other ones."""
        self._frames = None

    @property
    def step(self) -> int:
        """So many steps are done."""
        return self._ended[0] if self.frame is None else self.frame.step

    @property
    def steps(self) -> int:
        """Of how many."""
        if self._frames is None:
            return self._ended[1] if self.frame is None else self.frame.steps
        return self._frames.steps

    def same_plan(self, wanted: Settings) -> bool:
        """Whether the settings make the run neither longer nor shorter."""
        return all(self._used.get(name) == wanted[name] for name in self._plan)

    def ready(self, wanted: Settings) -> Frames:
        """The frames to go on with, under these settings.

        Raises:
            TypeError, ValueError: they make no sense, or not any more.
        """
        if self._frames is None or not self.same_plan(wanted):
            if self._make is None:
                raise RuntimeError("this widget is closed: make a new one")
            frames = self._make(wanted, self.frame)
            if self._frames is not None:
                self._frames.close()
            self._frames = frames
        elif wanted != self._used:
            self._frames.controls.update(**self._controls(wanted))
        self._used = wanted
        return self._frames

    def spent(self, wanted: Settings) -> bool:
        """Whether under these settings no step is left to do.

        Raises:
            TypeError, ValueError: as `ready`.
        """
        return self.frame is not None and self.ready(wanted).steps <= self.step

    def advance(self, wanted: Settings) -> DreamFrame | None:
        """One step; None where none is left.

        Raises:
            Exception: the step failed; the frames before it stay.
        """
        try:
            frames = self.ready(wanted)
            frame = next(frames, None)
        except BaseException:
            # A generator that has raised is at its end: the next step makes another one.
            self._frames = None
            raise
        if frame is None or self._make is None:
            return None  # or it was closed meanwhile
        if not frame.stopped:
            self.varied |= self.last is not None and self.last != wanted
            self.last = wanted
            self._keep(frame)
        else:
            # Its step did not count; the next attempt begins anew from here.
            self._frames = None
        self.frame = frame
        if self._make is None:
            self.frame = None  # it was closed just now
        return frame

    def _keep(self, frame: DreamFrame) -> None:
        if self._value in frame.losses:
            self.film.note(frame.step, frame.losses[self._value])
        self.film.add(frame.step, frame.steps, frame.octave, lambda: self._picture(frame))

    def rest(self) -> None:
        """No further step is computed for now."""
        frame = self.frame
        over = frame is not None and frame.step >= self.steps and not frame.stopped
        self.state = "done" if over else "paused" if self.step else "fresh"

    def close(self) -> None:
        """Let go of the network; the film stays."""
        self._make, self._ended = None, (self.step, self.steps)
        self._frames, self.frame = None, None
