"""Teams of threads that OpenMP keeps, and how a thread lets its own go.

GNU's OpenMP, which PyTorch brings along on Linux, keeps a team of helpers for every thread that
has computed in parallel. Once there are more of them than processors, every team goes to sleep
after each operation instead of waiting a moment for the next. With a team for the notebook's cells
and one for the widgets' worker, a forward pass of either takes about 1.45 times as long. So whoever
is done for now lets the team go; the next operation makes a new one within 0.1 ms.
"""

from __future__ import annotations

import ctypes
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path

import torch

_SOFT = 1
"""omp_pause_soft: threads go, settings stay."""


def release_team() -> None:
    """Let the calling thread's team go, if it has one; never raises.

    Call it between computations, on the thread that computed.
    """
    pause = _pause()
    if pause is not None:
        pause(_SOFT)


@functools.cache
def _pause() -> Callable[[int], int] | None:
    """`omp_pause_resource_all` of PyTorch's own libgomp; None for any other OpenMP.

    GNU's acts on the calling thread alone. Others pause the whole process or keep no such teams.
    """
    if sys.platform != "linux":
        return None
    home = Path(torch.__file__).parent
    found = (*home.glob("lib/libgomp*.so*"), *home.parent.glob("torch.libs/libgomp*.so*"))
    for path in found:
        try:
            # Only if it is loaded already: another copy would know nothing of the teams.
            library = ctypes.CDLL(str(path), mode=os.RTLD_NOLOAD)
            pause: Callable[[int], int] = library.omp_pause_resource_all
        except (OSError, AttributeError):
            continue
        return pause
    return None
