"""A thread that is done for now lets go of the team that OpenMP keeps for it."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from nbcnnviz.backend import _openmp

linux = pytest.mark.skipif(sys.platform != "linux", reason="GNU's OpenMP is PyTorch's on Linux")

TEAMS = """
import os, sys, threading, time, torch
from nbcnnviz.backend._openmp import release_team
torch.set_num_threads(3)
x = torch.rand(2000, 2000)

def count():
    "Threads, once those that only started something up are gone."
    seen = []
    while len(seen) < 5 or len(set(seen[-5:])) > 1:
        seen.append(len(os.listdir("/proc/self/task")))
        time.sleep(0.02)
    return seen[-1]

before = count()
total = float((x * 2).sum())
assert count() == before + 2, (before, count())  # this thread and two helpers
for _ in range(3):
    release_team()
    assert count() == before, (before, count())
    assert float((x * 2).sum()) == total  # and there is a team again
other = threading.Thread(target=release_team)
other.start()
other.join()
assert count() == before + 2, "a thread lets go of its own team alone"
"""


@linux
def test_the_helpers_are_gone_and_come_back() -> None:
    environment = {**os.environ, "OMP_NUM_THREADS": "3"}
    made = subprocess.run(
        [sys.executable, "-c", TEAMS], capture_output=True, text=True, env=environment
    )
    assert made.returncode == 0, made.stderr


@linux
def test_it_is_pytorchs_own_openmp() -> None:
    if "libgomp" not in Path("/proc/self/maps").read_text():
        pytest.skip("this PyTorch uses another OpenMP")
    assert _openmp._pause() is not None


def test_without_gnus_openmp_nothing_happens(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_openmp.sys, "platform", "darwin")
    _openmp._pause.cache_clear()
    try:
        _openmp.release_team()
        assert _openmp._pause() is None
    finally:
        _openmp._pause.cache_clear()


def test_results_stay_the_same_on_every_thread() -> None:
    x = torch.rand(64, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    weight = torch.rand(8, 3, 3, 3, generator=torch.Generator().manual_seed(1))
    expected = torch.conv2d(x, weight)

    def work() -> bool:
        same = torch.equal(torch.conv2d(x, weight), expected)
        _openmp.release_team()
        return same

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(lambda _: work(), range(20)))
