"""The sizes that a run goes through, and where in them the picture of another run belongs."""

from __future__ import annotations

from dataclasses import dataclass
from math import log
from typing import Any

Size = tuple[int, int]


@dataclass(frozen=True)
class Plan:
    """So many steps at each of some sizes."""

    sizes: tuple[Size, ...]
    """(height, width), the smallest first."""
    steps: int
    """At each."""

    @property
    def total(self) -> int:
        """Steps at all sizes."""
        return self.steps * len(self.sizes)

    def octave(self, place: int) -> int:
        """Which size is worked on by the step after so many."""
        return place // self.steps

    def continued(self, other: Plan, place: int) -> int:
        """How many steps of this plan a picture counts for that has done `place` of another.

        It goes on at the size next to its own. If that is its own, what was done at it counts.

        Raises:
            ValueError: the plans end at different sizes.

        Example:
            >>> coarse = Plan(((50, 50), (100, 100)), 10)
            >>> fine = Plan(((25, 25), (50, 50), (100, 100)), 20)
            >>> fine.continued(coarse, 4), fine.continued(coarse, 13)
            (24, 43)
        """
        if other == self:
            return place
        if other.sizes[-1] != self.sizes[-1]:
            raise ValueError(
                f"resume: the frame is of a run that ends at {_times(other.sizes[-1])}, this one "
                f"ends at {_times(self.sizes[-1])}; give the same image and size"
            )
        # A picture is enlarged by the step that follows.
        before = other.octave(max(0, place - 1))
        own = other.sizes[before]
        nearest = min(range(len(self.sizes)), key=lambda i: _apart(self.sizes[i], own))
        done = place - before * other.steps if self.sizes[nearest] == own else 0
        return nearest * self.steps + min(done, self.steps)


def _apart(one: Size, other: Size) -> float:
    return abs(log(one[0] * one[1]) - log(other[0] * other[1]))


def _times(size: Any) -> str:
    return " x ".join(map(str, size))
