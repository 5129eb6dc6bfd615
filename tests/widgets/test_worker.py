"""The worker: newest wins, Stop acts within a step, nothing blocks the one who asks."""

from __future__ import annotations

import gc
import logging
import subprocess
import sys
import threading
import time
import weakref

import pytest

from nbcnnviz.widgets._worker import Cancelled, Job, Worker, worker_for


class Thing:
    """Something that can be a key of a weak dictionary."""


def make(key, run, **options):
    return Job(key=key, owner="me", run=run, **options)


@pytest.fixture
def worker():
    return Worker()


@pytest.fixture
def gate(worker):
    """The worker is busy until `gate.set()`."""
    opened, entered = threading.Event(), threading.Event()

    def wait(job):
        entered.set()
        opened.wait(10)

    worker.submit(make("gate", wait))
    assert entered.wait(10)
    return opened


def test_the_newest_of_a_key_replaces_those_that_wait(worker, gate):
    ran = []
    for number in range(5):
        worker.submit(make("key", lambda job, n=number: ran.append(n)))
    gate.set()
    assert worker.join()
    assert ran == [4]


def test_different_keys_run_in_the_order_asked(worker, gate):
    ran = []
    for key in "abc":
        worker.submit(make(key, lambda job, k=key: ran.append(k)))
    gate.set()
    assert worker.join()
    assert ran == ["a", "b", "c"]


def test_a_newer_job_cancels_the_running_one(worker):
    running, seen = threading.Event(), []

    def long(job):
        running.set()
        try:
            for step in range(10_000):
                job.progress(step, 10_000)
                time.sleep(0.001)
        except Cancelled:
            seen.append("cancelled")

    worker.submit(make("key", long))
    assert running.wait(10)
    worker.submit(make("key", lambda job: seen.append("new")))
    assert worker.join()
    assert seen == ["cancelled", "new"]


def test_stop_reaches_only_the_owner_and_only_long_work_if_told(worker, gate):
    ran, dropped = [], []

    def job(name, owner, **options):
        run = lambda job: ran.append(name)  # noqa: E731
        drop = lambda: dropped.append(name)  # noqa: E731
        return Job(key=name, owner=owner, run=run, on_dropped=drop, **options)

    for each in (job("a long", "a", long=True), job("a short", "a"), job("b long", "b", long=True)):
        worker.submit(each)
    worker.cancel("a", long=True)
    gate.set()
    assert worker.join()
    assert (sorted(ran), dropped) == (["a short", "b long"], ["a long"])
    worker.submit(job("last", "a", delay=30))
    worker.cancel("a")
    assert worker.join(5)
    assert dropped == ["a long", "last"]


def test_what_is_replaced_before_its_turn_is_told(worker, gate):
    dropped = []
    for number in range(3):
        drop = lambda n=number: dropped.append(n)  # noqa: E731
        worker.submit(make("key", lambda job: None, on_dropped=drop))
    assert dropped == [0, 1]
    gate.set()
    assert worker.join()
    assert dropped == [0, 1]


def test_short_work_passes_long_work(worker):
    ran, running = [], threading.Event()

    def long(job):
        for step in range(200):
            job.progress(step, 200)
            running.set()
            time.sleep(0.005)
        ran.append("long")

    worker.submit(make("long", long, long=True))
    assert running.wait(10)
    for name in "ab":
        worker.submit(make(name, lambda job, n=name: ran.append(n)))
    worker.submit(make("other", lambda job: ran.append("other"), long=True))
    assert worker.join()
    assert ran == ["a", "b", "long", "other"]


def test_short_work_that_waits_goes_first(worker, gate):
    ran = []
    worker.submit(make("long", lambda job: ran.append("long"), long=True))
    worker.submit(make("short", lambda job: ran.append("short")))
    gate.set()
    assert worker.join()
    assert ran == ["short", "long"]


def test_a_failure_of_passing_work_leaves_the_long_work_alone(worker, caplog):
    ran, running, go = [], threading.Event(), threading.Event()

    def long(job):
        running.set()
        go.wait(10)
        job.check()
        ran.append("long")

    def fail(job):
        raise SystemExit(1)

    with caplog.at_level(logging.CRITICAL + 1, logger="nbcnnviz"):
        worker.submit(make("long", long, long=True))
        assert running.wait(10)
        worker.submit(make("short", fail))
        go.set()
        assert worker.join()
    assert ran == ["long"]


def test_partial_results_wait_until_the_last_one_was_seen():
    sent = []
    job = make("key", lambda job: None, on_partial=sent.append)
    for step in range(50):
        job.partial(lambda s=step: bytes([s]), every=0.01)
        time.sleep(0.001)
    assert sent == [b"\x00"]
    job.seen()
    time.sleep(0.02)
    job.partial(lambda: b"second", every=0.01)
    assert sent == [b"\x00", b"second"]


def test_a_delayed_job_waits_and_lets_others_pass(worker):
    ran = []
    worker.submit(make("late", lambda job: ran.append("late"), delay=0.1))
    worker.submit(make("soon", lambda job: ran.append("soon")))
    assert worker.join()
    assert ran == ["soon", "late"]


def test_a_job_that_fails_does_not_end_the_worker(worker, caplog):
    def fail(job):
        raise KeyError("broken")

    with caplog.at_level(logging.CRITICAL + 1, logger="nbcnnviz"):
        worker.submit(make(1, fail))
        assert worker.join()
    ran = []
    worker.submit(make(2, lambda job: ran.append(True)))
    assert worker.join()
    assert ran == [True]


def test_progress_is_reported_at_most_ten_times_a_second_and_at_the_end():
    seen = []
    job = make("key", lambda job: None, on_progress=lambda *entry: seen.append(entry))
    for step in range(1001):
        job.progress(step, 1000)
    assert seen[-1][:2] == (1000, 1000)
    assert len(seen) <= 2 + 10 * (time.monotonic() - job.started + 0.1)


def test_time_left_is_extrapolated():
    seen = []
    job = make("key", lambda job: None, on_progress=lambda *entry: seen.append(entry))
    job.started -= 3.0
    job.progress(3, 4)
    assert seen[0][2] == pytest.approx(1.0, abs=0.05)


def test_submitting_is_quick_while_the_worker_is_busy(worker, gate):
    spent = []
    for number in range(500):
        begin = time.perf_counter()
        worker.submit(make(number % 7, lambda job: None))
        spent.append(time.perf_counter() - begin)
    gate.set()
    assert sorted(spent)[-6] < 0.010  # 99 % of them


def test_pending_knows_what_waits_and_what_runs(worker, gate):
    job = make("key", lambda job: None)
    worker.submit(job)
    assert worker.pending("key") is job
    assert worker.pending("gate") is not None
    job.cancel()
    assert worker.pending("key") is None
    gate.set()


def test_one_worker_per_network_and_it_does_not_keep_the_network():
    net = Thing()
    assert worker_for(net) is worker_for(net)
    assert worker_for(Thing()) is not worker_for(net)
    held = weakref.ref(net)
    ran = threading.Event()
    worker_for(net).submit(make("key", lambda job, net=net: ran.set()))
    assert worker_for(net).join()
    assert ran.is_set()
    del net
    gc.collect()
    assert held() is None


def test_a_process_that_ends_in_the_middle_of_work_ends_well():
    code = (
        "import threading, torch\n"
        "from nbcnnviz.widgets._worker import Job, worker_for\n"
        "class Thing: pass\n"
        "thing, begun = Thing(), threading.Event()\n"
        "def work(job):\n"
        "    begun.set()\n"
        "    for _ in range(40):\n"
        "        torch.nn.functional.conv2d(torch.zeros(1, 8, 200, 200), torch.zeros(8, 8, 5, 5))\n"
        "    print('done')\n"
        "worker_for(thing).submit(Job(key=1, owner=1, run=work))\n"
        "begun.wait()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr
