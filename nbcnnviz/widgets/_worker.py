"""One background thread per network; of the questions of one kind it does only the newest.

A comm handler may run on any thread, also in the middle of the user's training cell, and the
kernel's interrupt reaches only the main thread. So handlers only drop their question into a
mailbox and return; the work is done here, and stopped through a flag.
"""

from __future__ import annotations

import logging
import threading
import time
import weakref
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any

_IDLE_SECONDS = 10.0
_log = logging.getLogger("nbcnnviz")


class Cancelled(Exception):
    """The work in progress is no longer wanted: Stop was pressed or a newer question came."""


@dataclass(eq=False)
class Job:
    """One piece of work: how it reports, and whether it is still wanted.

    `progress`, `partial` and `check` may be called at every step; they cost next to nothing.
    """

    key: Hashable
    """A newer job with the same key replaces this one."""
    owner: Hashable
    """Whose work it is, so that closing a widget ends only its own."""
    run: Callable[[Job], None]
    """The work. Told that it was cancelled by `check` and its kin; answers errors itself."""
    view: str = ""
    """The browser view that asked; empty for work started from Python."""
    seq: int = -1
    """The view's number of the question."""
    delay: float = 0.0
    """Seconds to wait, in case a newer job with the same key makes this one needless."""
    on_progress: Callable[[int, int, float | None], None] = lambda done, total, left: None
    on_partial: Callable[[bytes], None] = lambda blob: None
    submitted: float = 0.0
    started: float = field(default_factory=time.monotonic)
    _cancelled: threading.Event = field(default_factory=threading.Event)
    _last_progress: float = 0.0

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

    def partial(self, blob: bytes) -> None:
        """Show an unfinished result, and `check()`."""
        self.check()
        self.on_partial(blob)


class Worker:
    """A daemon thread with a mailbox of one slot per key; started when needed, gone when idle."""

    def __init__(self) -> None:
        self._waiting: dict[Hashable, Job] = {}
        self._running: Job | None = None
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def submit(self, job: Job) -> bool:
        """Queue a job in place of any waiting or running one with the same key.

        Returns False, and leaves all as it is, when a job is on its way that answers the same
        question or a newer one.
        """
        with self._changed:
            pending = self.pending(job.key)
            if pending is not None and 0 <= job.seq <= pending.seq:
                return False
            old = self._waiting.pop(job.key, None)
            if old is not None:
                old.cancel()
            if self._running is not None and self._running.key == job.key:
                self._running.cancel()
            self._waiting[job.key] = job
            job.submitted = time.monotonic()
            if self._thread is None:
                self._thread = threading.Thread(target=self._loop, name="nbcnnviz", daemon=True)
                self._thread.start()
            self._changed.notify_all()
            return True

    def pending(self, key: Hashable) -> Job | None:
        """The job with this key that waits or runs and was not cancelled."""
        with self._changed:
            job = self._waiting.get(key)
            if job is None and self._running is not None and self._running.key == key:
                job = self._running
            return None if job is None or job.cancelled else job

    def cancel(self, owner: Hashable, view: str | None = None) -> None:
        """Stop the owner's work, waiting or running; `view` limits it to one view's."""
        with self._changed:
            jobs = [
                *self._waiting.values(),
                *([self._running] if self._running else []),
            ]
            for job in jobs:
                if job.owner == owner and view in (None, job.view):
                    job.cancel()

    def join(self, timeout: float = 10.0) -> bool:
        """Wait until nothing waits or runs; False when that took longer than `timeout`."""
        with self._changed:
            return self._changed.wait_for(
                lambda: not self._waiting and self._running is None, timeout
            )

    def _next(self) -> Job | None:
        """The oldest job that is due; None when there was nothing to do for a while."""
        give_up = time.monotonic() + _IDLE_SECONDS
        while True:
            now = time.monotonic()
            for key, job in self._waiting.items():
                if job.cancelled or now >= job.submitted + job.delay:
                    return self._waiting.pop(key)
            due = [job.submitted + job.delay for job in self._waiting.values()]
            if not due and now >= give_up:
                return None
            self._changed.wait(max(0.0, min([*due, give_up]) - now))

    def _loop(self) -> None:
        while True:
            with self._changed:
                job = self._running = self._next()
                if job is None:
                    self._thread = None
                    return
            job.started = time.monotonic()
            try:
                job.run(job)
            except BaseException:
                # A job answers its own errors; one that does not, or that ends the thread with
                # SystemExit, must not end all later work.
                _log.exception("a background job failed")
            # Nothing of the job may live on in this frame: it holds the user's model.
            del job
            with self._changed:
                self._running = None
                self._changed.notify_all()


_workers: weakref.WeakKeyDictionary[Any, Worker] = weakref.WeakKeyDictionary()
# Garbage collection may close a widget, and so come here again, at any moment.
_workers_lock = threading.RLock()


def worker_for(net: Any) -> Worker:
    """The one worker of a network."""
    with _workers_lock:
        return _workers.setdefault(net, Worker())


def cancel_work(net: Any, owner: Hashable, view: str | None = None) -> None:
    """Stop an owner's work, or one view's of it, if there is a worker at all."""
    with _workers_lock:
        worker = _workers.get(net)
    if worker is not None:
        worker.cancel(owner, view)
