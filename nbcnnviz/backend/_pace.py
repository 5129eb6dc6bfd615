"""How many images to run at a time: as many as pay off, and no more than fit."""

from __future__ import annotations

import torch

_SMALLEST = 4
"""Images in the first batch; larger ones are tried from there."""


class Pace:
    """Finds the size of batch that takes the least time per image, by doubling it.

    Example:
        >>> pace = Pace(64)
        >>> pace.told(4, 1.0)
        >>> pace.size
        8
    """

    def __init__(self, most: int) -> None:
        self.size = min(_SMALLEST, most)
        self._most = most
        self._best = (float("inf"), self.size)
        self._tries = 0
        self._settled = False

    def told(self, count: int, seconds: float) -> None:
        """A batch of so many took so long."""
        if self._settled or count != self.size:
            return
        each = seconds / count
        # By less than this a larger batch is not worth its memory.
        if each > 0.97 * self._best[0]:
            # Twice, for the machine may have been busy with something else.
            self._tries += 1
            if self._tries == 2:
                self.size, self._settled = self._best[1], True
            return
        self._best, self._tries = (each, self.size), 0
        self.size = min(2 * self.size, self._most)
        self._settled = self.size == count

    def limit(self, most: int) -> None:
        """Larger batches do not fit."""
        self.size = self._most = most
        self._settled = True


def is_out_of_memory(error: RuntimeError) -> bool:
    """CPUs raise a plain `RuntimeError`, and Apple's GPUs do, too."""
    text = str(error)
    return (
        isinstance(error, torch.OutOfMemoryError)
        or "can't allocate memory" in text
        or "out of memory" in text
    )


def free(device: torch.device) -> None:
    """Give cached memory back: what is left of it may be in pieces too small."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    elif device.type == "mps":
        torch.mps.empty_cache()
