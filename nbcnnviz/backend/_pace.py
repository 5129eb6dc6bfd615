"""How many images to run at a time: as many as pay off, and no more than fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_SMALLEST = 4
"""Images in the first batch; larger ones are tried from there."""


class Answer(NamedTuple):
    """What a network said to a batch, on the CPU."""

    logits: Tensor
    """(B, classes); no classes if the network has none."""
    units: Tensor | None
    """(B,) activations of the unit, if one is measured."""


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


def in_halves(
    run: Callable[[Sequence[int]], Answer],
    numbers: Sequence[int],
    device: torch.device,
    pace: Pace | None = None,
) -> Answer:
    """What `run` answers; in two halves if memory does not suffice for the whole."""
    try:
        return run(numbers)
    except RuntimeError as error:
        if len(numbers) == 1 or not is_out_of_memory(error):
            raise
    # Out here the error, and with it the tensors of the failed run, is gone.
    middle = (len(numbers) + 1) // 2
    if pace is not None:
        pace.limit(middle)
    free(device)
    parts = [in_halves(run, half, device, pace) for half in (numbers[:middle], numbers[middle:])]
    units = [part.units for part in parts if part.units is not None]
    logits = torch.cat([part.logits for part in parts])
    return Answer(logits, torch.cat(units) if units else None)
