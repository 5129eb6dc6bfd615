"""One background thread per network; of the questions of one kind it does only the newest.

A comm handler may run on any thread, also in the middle of the user's training cell, and the
kernel's interrupt reaches only the main thread. So handlers only drop their question into a
mailbox and return; the work is done here, and stopped through a flag. Short work passes long
work: a sweep of a minute does it between two of its steps.
"""

from __future__ import annotations

import atexit
import logging
import math
import threading
import time
import weakref
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from typing import Any

from ..backend._openmp import release_team

_IDLE_SECONDS = 10.0
_REST_SECONDS = 0.2
_EXIT_SECONDS = 3.0
_UNSEEN_SECONDS = 2.0
"""After this long the next partial result goes out although nobody has seen the last."""
_log = logging.getLogger("nbcnnviz")


class Cancelled(Exception):
    """The work in progress is no longer wanted: Stop was pressed or a newer question came."""


@dataclass(eq=False)
class Job:
    """One piece of work: how it reports, and whether it is still wanted.

    `progress`, `partial` and `check` may be called at every step; they cost next to nothing.
    Between the steps of long work, in these three, short work is done: call them where the
    network is not in use and nothing is half changed.
    """

    key: Hashable
    """A newer job with the same key replaces this one."""
    owner: Hashable
    """Whose work it is, so that closing a widget ends only its own."""
    run: Callable[[Job], None]
    """The work. Told that it was cancelled by `check` and its kin; answers errors itself."""
    title: str = ""
    """What a view is told that has to wait for it."""
    long: bool = False
    """It has steps, tells of its progress, lets short work pass and can be stopped."""
    view: str = ""
    """The browser view that asked; empty for work started from Python."""
    seq: int = -1
    """The view's number of the question."""
    delay: float = 0.0
    """Seconds to wait, in case a newer job with the same key makes this one needless."""
    on_dropped: Callable[[], None] = lambda: None
    """Called instead of `run` when it was cancelled or replaced before its turn came."""
    on_progress: Callable[[int, int, float | None], None] = lambda done, total, left: None
    on_partial: Callable[[bytes], None] = lambda blob: None
    submitted: float = 0.0
    started: float = field(default_factory=time.monotonic)
    give_way: Callable[[], None] = lambda: None
    """Set by the worker: does the short work that waits."""
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _last_progress: float = 0.0
    _last_partial: float = 0.0
    _seen: bool = True

    def cancel(self) -> None:
        """Ask the work to stop at its next step."""
        self._cancelled.set()

    @property
    def cancelled(self) -> bool:
        """Whether somebody asked the work to stop."""
        return self._cancelled.is_set()

    def check(self) -> None:
        """Call between steps.

        Raises:
            Cancelled: the work is no longer wanted.
        """
        if not self.cancelled:
            self.give_way()
        if self.cancelled:
            raise Cancelled

    def progress(self, done: int, total: int) -> None:
        """Report `done` of `total` steps, at most ten times a second, and `check()`."""
        self.check()
        now = time.monotonic()
        if now - self._last_progress >= 0.1 or done >= total:
            self._last_progress = now
            left = (now - self.started) / done * (total - done) if done else None
            self.on_progress(done, total, left)

    def partial(self, make: Callable[[], bytes], every: float = 0.1) -> None:
        """Show an unfinished result, and `check()`.

        Args:
            make: packs it; called only when it is time to show one.
            every: seconds between two; longer when no browser has seen the last one yet, so that
                they never queue.
        """
        self.check()
        since = time.monotonic() - self._last_partial
        if since >= (every if self._seen else _UNSEEN_SECONDS):
            self._last_partial, self._seen = time.monotonic(), False
            self.on_partial(make())

    def seen(self) -> None:
        """A browser has shown the last partial result."""
        self._seen = True


class Worker:
    """A daemon thread with a mailbox of one slot per key; started when needed, gone when idle."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Job] = {}
        self._running: list[Job] = []
        """Two while short work passes long work, the short one last."""
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    @property
    def busy(self) -> bool:
        """Whether something runs now."""
        return bool(self._running)

    def inside(self) -> bool:
        """Whether the caller is itself work of this worker, and so must not wait for it."""
        return threading.current_thread() is self._thread

    def submit(self, job: Job) -> bool:
        """Queue a job in place of any waiting or running one with the same key.

        Returns False, and leaves all as it is, when a job is on its way that answers the same
        question or a newer one.
        """
        with self._changed:
            pending = self.pending(job.key)
            if pending and pending.view == job.view and 0 <= job.seq <= pending.seq:
                return False
            replaced = self._waiting.pop(job.key, None)
            for old in self._running:
                if old.key == job.key:
                    old.cancel()
            self._waiting[job.key] = job
            job.submitted = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="nbcnnviz", daemon=True)
                self._thread.start()
            self._changed.notify_all()
        if replaced is not None:
            replaced.cancel()
            replaced.on_dropped()
        return True

    def pending(self, key: Hashable) -> Job | None:
        """The job with this key that waits or runs and was not cancelled."""
        with self._changed:
            for job in (*self._running, self._waiting.get(key)):
                if job is not None and job.key == key and not job.cancelled:
                    return job
            return None

    def ahead(self, job: Job) -> str:
        """The title of the long work that this long job will have to wait for, or nothing."""
        with self._changed:
            running = [each for each in self._running if each.long and each.key != job.key]
            return running[0].title if job.long and running else ""

    def cancel(self, owner: Hashable, *, long: bool = False) -> None:
        """Stop the owner's work, waiting or running; with `long`, only the long one."""
        with self._changed:
            for job in (*self._waiting.values(), *self._running):
                if job.owner == owner and (job.long or not long):
                    job.cancel()
            self._changed.notify_all()

    def close(self) -> None:
        """Stop everything; what waits is forgotten."""
        with self._changed:
            for job in (*self._waiting.values(), *self._running):
                job.cancel()
            self._waiting.clear()

    def join(self, timeout: float = 10.0) -> bool:
        """Wait until nothing waits or runs; False when that took longer than `timeout`."""
        with self._changed:
            return self._changed.wait_for(lambda: not self._waiting and not self._running, timeout)

    def _take(self, long: bool) -> Job | None:
        """The oldest job that is due, short ones first; with `long`, also a long one."""
        now = time.monotonic()
        due = [j for j in self._waiting.values() if j.cancelled or now >= j.submitted + j.delay]
        job = next((j for j in due if not j.long), due[0] if due and long else None)
        return None if job is None else self._waiting.pop(job.key)

    def _next(self) -> Job | None:
        """The next job, once it is due; None when there was nothing to do for a while."""
        since = time.monotonic()
        give_up, rest = since + _IDLE_SECONDS, since + _REST_SECONDS
        while (job := self._take(long=True)) is None:
            due = [job.submitted + job.delay for job in self._waiting.values()]
            now = time.monotonic()
            if not due and now >= give_up:
                return None
            if now >= rest:
                # The user's cells are quicker without it, and a mouse that rests has stopped.
                release_team()
                rest = math.inf
            self._changed.wait(max(0.0, min([*due, give_up, rest]) - now))
        return job

    def _loop(self) -> None:
        while True:
            with self._changed:
                job = self._next()
                if job is None:
                    self._thread = None
                    return
                self._running.append(job)
            self._do(job)
            # Nothing of the job may live on in this frame: it holds the user's model.
            del job

    def _pass(self) -> None:
        """Do the short work that waits, in the middle of long work."""
        while True:
            with self._changed:
                job = self._take(long=False)
                if job is None:
                    return
                self._running.append(job)
            self._do(job)

    def _do(self, job: Job) -> None:
        job.started = time.monotonic()
        if job.long:
            job.give_way = self._pass
        try:
            if job.cancelled:
                job.on_dropped()
            else:
                job.run(job)
        except BaseException:
            # A job answers its own errors; one that does not, or that ends the thread with
            # SystemExit, must not end all later work.
            _log.exception("a background job failed")
        with self._changed:
            self._running.remove(job)
            self._changed.notify_all()


def _end() -> None:
    """Let what runs come to its end: C++ aborts a process whose threads it still runs."""
    with _workers_lock:
        workers = list(_workers.values())
    deadline = time.monotonic() + _EXIT_SECONDS
    for worker in workers:
        worker.close()
    for worker in workers:
        worker.join(max(0.0, deadline - time.monotonic()))


atexit.register(_end)

_workers: weakref.WeakKeyDictionary[Any, Worker] = weakref.WeakKeyDictionary()
# Garbage collection may close a widget, and so come here again, at any moment.
_workers_lock = threading.RLock()


def worker_for(thing: Any) -> Worker:
    """The one worker of a network, or of a widget for work without its network."""
    with _workers_lock:
        return _workers.setdefault(thing, Worker())


def cancel_work(things: Iterable[Any], owner: Hashable, *, long: bool = False) -> None:
    """Stop an owner's work, or only the long one, where there is a worker at all."""
    with _workers_lock:
        workers = [_workers[thing] for thing in things if thing in _workers]
    for worker in workers:
        worker.cancel(owner, long=long)
