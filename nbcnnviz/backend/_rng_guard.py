"""Random numbers drawn by a network must not shift those of the user's own program."""

from __future__ import annotations

import random
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np
import torch

from ._random import Quiet


@contextmanager
def quiet(device: torch.device, scripted: bool = False, draws: bool = True) -> Iterator[None]:
    """Run a model's or a user's code without moving the global random states.

    PyTorch's functions get a generator of their own (`Quiet`), on any thread. What draws from
    NumPy's or Python's global state, or within TorchScript (`scripted`), where no function is
    seen, has the state put back afterwards, if it changed and if this is the main thread: on
    another one, the main thread may have drawn meanwhile and would draw the same numbers again.

    Code of which it is known that it `draws` nothing is not listened to, which is quicker by some
    microseconds for each function it calls.
    """
    with ExitStack() as stack:
        if threading.current_thread() is threading.main_thread():
            stack.enter_context(_restored())
            if scripted:
                stack.enter_context(_torch_restored(device))
        if draws:
            stack.enter_context(Quiet())
        yield


@contextmanager
def _restored() -> Iterator[None]:
    legacy: Any = np.random.get_state(legacy=True)
    plain = random.getstate()
    try:
        yield
    finally:
        if not _same(np.random.get_state(legacy=True), legacy):
            np.random.set_state(legacy)
        if random.getstate() != plain:
            random.setstate(plain)


@contextmanager
def _torch_restored(device: torch.device) -> Iterator[None]:
    before = torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state(device) if device.type == "cuda" else None
    try:
        yield
    finally:
        if not torch.equal(torch.get_rng_state(), before):
            torch.set_rng_state(before)
        if on_gpu is not None and not torch.equal(torch.cuda.get_rng_state(device), on_gpu):
            torch.cuda.set_rng_state(on_gpu, device)


def _same(a: Any, b: Any) -> bool:
    return a[2:] == b[2:] and bool(np.array_equal(a[1], b[1]))
