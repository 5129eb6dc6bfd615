"""What the long runs hand out: frames, and settings that may change on the way."""

from __future__ import annotations

import collections
from collections.abc import Callable, Generator, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from .images import Bytes


@dataclass(frozen=True, eq=False, repr=False)
class DreamFrame:
    """One step of a dream, of a style transfer or of the search for what a unit likes best."""

    tensor: Tensor
    """(N, C, H, W): what the network is given, in its own normalised values; N is 1 as a rule."""
    step: int
    """So many steps are done, over all octaves or scales."""
    steps: int
    """Of how many."""
    octave: int = 1
    """Which size is worked on, from 1 for the smallest."""
    octaves: int = 1
    """Of how many sizes."""
    losses: Mapping[str, float] = field(default_factory=dict)
    """What the step began with: "objective" (rises) or "total" (falls), and their parts."""
    notes: tuple[str, ...] = ()
    """What was chosen or left out on the way, in sentences."""
    stopped: str = ""
    """Why this is the last frame although steps are left; empty as a rule."""
    picture: Callable[[Tensor], Bytes] | None = None
    """Makes a picture (H, W, 3) of a tensor (C, H, W)."""
    enlarge: Callable[[Tensor], Tensor] | None = None
    """Brings `tensor` to the size at which the run ends; None: it has that size."""
    state: Mapping[str, Any] = field(default_factory=dict)
    """What `resume` needs besides the tensor."""

    @cached_property
    def image(self) -> Bytes:
        """The (first) picture (H, W, 3), 8 bits: `PIL.Image.fromarray(frame.image)`."""
        return self.images[0]

    @cached_property
    def images(self) -> list[Bytes]:
        """All pictures, one for each of the N results."""
        assert self.picture is not None
        return [self.picture(each) for each in self.tensor]

    @property
    def whole(self) -> list[Bytes]:
        """`images` at the size at which the run ends, also where it is not that far yet."""
        if self.enlarge is None:
            return self.images
        assert self.picture is not None
        with torch.inference_mode(False), torch.no_grad():
            return [self.picture(each) for each in self.enlarge(self.tensor)]

    @property
    def finished(self) -> bool:
        """Whether all steps are done."""
        return self.step >= self.steps

    def __repr__(self) -> str:
        count, _, height, width = self.tensor.shape
        losses = ", ".join(f"{name} {value:.3g}" for name, value in self.losses.items())
        size = f"{height} x {width}" + (f", {count} results" if count > 1 else "")
        end = f"; stopped: {self.stopped}" if self.stopped else ""
        return f"DreamFrame(step {self.step} of {self.steps}, {size}; {losses}{end})"


class Controls:
    """Settings of a run that take effect on its next step, from whatever thread they are set.

    `controls.lr = 0.02` sets one; `controls.update(layer="conv2", channel=3)` sets several at
    once, so that no step sees one without the other. A bad value raises at once and changes
    nothing.

    Args:
        read: turns a complete set of values as given into the values that a step uses.
        values: the settings as given.
    """

    _read: Callable[[dict[str, Any]], Any]
    _given: dict[str, Any]
    _now: Any

    def __init__(self, read: Callable[[dict[str, Any]], Any], **values: Any) -> None:
        object.__setattr__(self, "_read", read)
        object.__setattr__(self, "_given", {})
        object.__setattr__(self, "_now", None)
        self._set(values)

    def update(self, **values: Any) -> None:
        """Change several settings together.

        Raises:
            AttributeError: there is no such setting.
            TypeError, ValueError: a value that makes no sense, by name.
        """
        for name in values:
            if name not in self._given:
                raise AttributeError(f"controls.{name}: there are {', '.join(self._given)}")
        self._set(values)

    def _set(self, values: dict[str, Any]) -> None:
        given = {**self._given, **values}
        now = self._read(given)
        # In one assignment each, so that another thread reads either the old or the new ones.
        object.__setattr__(self, "_given", given)
        object.__setattr__(self, "_now", now)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in self._given:
            raise AttributeError(f"controls.{name}: there are {', '.join(self._given)}")
        return self._given[name]

    def __setattr__(self, name: str, value: Any) -> None:
        self.update(**{name: value})

    def __dir__(self) -> list[str]:
        return sorted([*super().__dir__(), *self._given])

    def __repr__(self) -> str:
        return f"Controls({', '.join(f'{k}={v!r}' for k, v in self._given.items())})"

    @property
    def now(self) -> Any:
        """What the next step will use."""
        return self._now


class Frames(Iterator[DreamFrame]):
    """The frames of a run, each computed when it is asked for.

    Nothing is held between two frames, neither the network's lock nor a hook: an iterator that
    is left behind does no harm. `close()` ends the run, at once or after the step that another
    thread is computing.
    """

    def __init__(
        self,
        steps: Generator[DreamFrame, None, None],
        controls: Controls,
        notes: tuple[str, ...] = (),
        steps_in_all: int = 0,
    ) -> None:
        self._steps = steps
        self._closed = False
        self.controls = controls
        """Settings that may be changed between two frames, or from another thread."""
        self.notes = notes
        """What was chosen or left out, in sentences."""
        self.steps = steps_in_all
        """How many steps the run takes, those included that a resumed frame had done."""

    def __next__(self) -> DreamFrame:
        if self._closed:
            raise StopIteration
        # The steps are computed here, under the caller's modes: a frame must outlive them.
        with torch.inference_mode(False), torch.no_grad():
            return next(self._steps)

    def close(self) -> None:
        """End the run; no further step is begun."""
        self._closed = True
        try:
            self._steps.close()
        except ValueError:
            # Another thread is in the middle of a step, after which it will find the run ended.
            return

    def __enter__(self) -> Frames:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def result(self) -> DreamFrame:
        """Do all steps that are left and return the last frame.

        Raises:
            ValueError: no step is left.
        """
        frames = collections.deque(self, maxlen=1)
        if not frames:
            raise ValueError("frames: no step is left; keep the last frame that you were given")
        return frames[0]


__all__ = ["Controls", "DreamFrame", "Frames"]
