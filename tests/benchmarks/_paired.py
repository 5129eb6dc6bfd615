"""Ratios that hold on a noisy machine: two pieces of work in turn, A B A B, the median of A / B."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable


def seconds(work: Callable[[], object]) -> float:
    begin = time.perf_counter()
    work()
    return time.perf_counter() - begin


def paired(
    ours: Callable[[], object],
    reference: Callable[[], object],
    pairs: int = 15,
    warmup: int = 2,
) -> tuple[float, float, float]:
    """Median seconds of ours, of the reference, and the median of their ratios pair by pair."""
    for _ in range(warmup):
        ours()
        reference()
    both = [(seconds(ours), seconds(reference)) for _ in range(pairs)]
    a, b = zip(*both, strict=True)
    return (
        statistics.median(a),
        statistics.median(b),
        statistics.median(x / y for x, y in both),
    )


def report(what: str, figure: str, target: str, reached: bool) -> None:
    """One line: what was measured, beside what it is held against."""
    print(
        f"{what:58} {figure:>34}   {target:22} {'ok' if reached else 'MISSED'}",
        flush=True,
    )
