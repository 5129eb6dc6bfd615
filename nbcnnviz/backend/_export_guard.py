"""torch.export without what it does to the rest of the process."""

from __future__ import annotations

import importlib
import logging
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from torch import nn

_SWITCH = "_ignore_backend_decomps"
_LOG = "torch.fx.experimental.symbolic_shapes"
_patching = threading.RLock()


@contextmanager
def on_its_own() -> Iterator[None]:
    """One export at a time, unseen by other threads and by the reader of a notebook."""
    with _patching, _backends_left_on(), _silent():
        yield


def without_gradients(body: nn.Module) -> None:
    """Give the body parameters of its own that share the memory and know no gradient.

    torch.export describes a parameter's `.grad` too, and crashes when a training loop on another
    thread frees it meanwhile.
    """
    mine: dict[int, nn.Parameter] = {}
    for module in body.modules():
        for name, parameter in module._parameters.items():
            if parameter is not None:
                made = nn.Parameter(parameter.detach(), requires_grad=False)
                module._parameters[name] = mine.setdefault(id(parameter), made)


@contextmanager
def _backends_left_on() -> Iterator[None]:
    """Keep torch.export from switching oneDNN and cuDNN off for the whole process.

    It does so to keep their own operations out of graphs. These graphs are taken before any of
    them comes in, and a training loop on another thread would round differently meanwhile.
    """
    trace: Any = importlib.import_module("torch.export._trace")
    # Private: where it has another name, training is merely rounded differently for a moment.
    original = getattr(trace, _SWITCH, None)
    if original is not None:
        setattr(trace, _SWITCH, nullcontext)
    try:
        yield
    finally:
        if original is not None:
            setattr(trace, _SWITCH, original)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep what torch.export prints when it refuses a network, its whole graph, off the page."""
    mine = threading.get_ident()
    log = logging.getLogger(_LOG)
    before, muted = sys.stderr, _Muted(sys.stderr, mine)

    def of_others(record: logging.LogRecord) -> bool:
        return record.thread != mine

    log.addFilter(of_others)
    sys.stderr = muted
    try:
        yield
    finally:
        log.removeFilter(of_others)
        # Unless somebody else has put something in its place meanwhile.
        if sys.stderr is muted:
            sys.stderr = before


class _Muted:
    """A stream that one thread writes to in vain."""

    def __init__(self, stream: Any, thread: int) -> None:
        self._stream = stream
        self._thread = thread

    def write(self, text: str) -> int:
        if threading.get_ident() == self._thread:
            return len(text)
        return int(self._stream.write(text))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
