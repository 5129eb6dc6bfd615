"""The kernel's end of the protocol between a widget and its views (see docs/base.md, Messages)."""

from __future__ import annotations

import logging
import threading
import time
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from ..backend._openmp import release_team
from . import _lanes
from ._lanes import Ask, Hello, Refused, Seen, Stop
from ._worker import Cancelled, Job, Worker, cancel_work, worker_for

if TYPE_CHECKING:
    from ..backend.network import Network
    from ._base import NetworkWidget

_log = logging.getLogger("nbcnnviz")
T = TypeVar("T")


class Endpoint:
    """Takes a widget's questions on any thread, has them answered by the worker, and replies."""

    def __init__(self, widget: NetworkWidget) -> None:
        self.epoch = uuid.uuid4().hex
        """New for each widget object in each kernel: answers of another are not shown."""
        self._widget = widget
        self._open = True
        self._lock = threading.Lock()

    @property
    def worker(self) -> Worker:
        """The worker of the widget's network; where there is none, of the widget.

        Raises:
            RuntimeError: the widget has been closed.
        """
        return self.worker_of("")

    def worker_of(self, lane: str) -> Worker:
        """Who answers a lane's questions.

        Raises:
            RuntimeError: the widget has been closed.
        """
        widget = self._widget
        if not widget._alive:
            raise RuntimeError("this widget is closed: make a new one")
        return self._worker(lane, widget._net)

    def _worker(self, lane: str, net: Network | None) -> Worker:
        found = self._widget._lanes.get(lane)
        alone = net is None or (found is not None and found.apart)
        return worker_for(self._widget if alone else net)

    def stop(self, *, long: bool = False) -> None:
        """End the widget's work, or only the long one, at its next step."""
        net = self._widget._net
        cancel_work([self._widget] if net is None else [self._widget, net], self._widget, long=long)

    def close(self) -> None:
        """Say nothing from now on, and end the widget's work."""
        with self._lock:
            self._open = False
        self.stop()

    def receive(self, content: Any, buffers: Any) -> None:
        """Any thread; returns in milliseconds, never raises."""
        # Looked up once: another thread may close the widget at any moment.
        net = self._widget._net
        message = _lanes.parse(content, buffers, self.epoch, self._widget._lanes)
        if not self._open or message is None:
            return
        if isinstance(message, Hello):
            self.tell("hello", view=message.view)
        elif isinstance(message, Stop):
            self.stop(long=True)
        elif isinstance(message, Seen):
            job = self._worker(message.lane, net).pending((self.epoch, message.lane))
            if job is not None:
                job.seen()
        elif isinstance(message, Refused):
            self.tell("reply", status="error", message=message.why, ms=0.0, **_address(message))
        else:
            worker, job = self._worker(message.lane, net), self._job(message)
            self.tell("ack", waits=worker.ahead(job), **self._address(message))
            # The cell that may have run on this thread is over: the worker is to be quick.
            release_team()
            worker.submit(job)

    def tell(self, kind: str, blob: bytes | None = None, **content: Any) -> None:
        """Send a message from any thread; ipykernel hands it to its own sending thread."""
        with self._lock:
            if self._open:
                message = {"type": kind, "epoch": self.epoch, **content}
                self._widget.send(message, None if blob is None else [blob])

    def compute(self, work: Callable[[Job], T], show: Callable[[int, int], None]) -> T:
        """Have long work done by the worker and wait for it, here and now.

        The stop key, or any exception of `show`, ends the work at its next step.

        Args:
            work: runs on the worker, so that it and what the views ask never run together.
            show: is told of the progress, done and total, on this thread.

        Raises:
            Cancelled: a view's Stop ended it.
        """
        lane = self._widget.compute_lane
        address: dict[str, Any] = {"view": "", "seq": _now(), "lane": lane}
        outcome = _Outcome[T]()

        def on_progress(done: int, total: int, left: float | None) -> None:
            outcome.progress = done, total
            self.tell("progress", done=done, total=total, left=left, **address)

        def run(job: Job) -> None:
            status, failure = "cancelled", None
            try:
                outcome.value = work(job)
                status = "ok"
            except BaseException as error:
                failure = error
            ms = (time.monotonic() - job.started) * 1e3
            self.tell("reply", status=status, message="", ms=ms, **address)
            outcome.end(failure)

        job = Job(
            key=(self.epoch, lane),
            owner=self._widget,
            title=self._title(lane),
            run=run,
            long=True,
            on_dropped=lambda: outcome.end(Cancelled()),
            on_progress=on_progress,
            on_partial=lambda blob: self._part(blob, address),
        )
        if self.worker_of(lane).inside() or self._widget._notifying():
            # To wait for the worker would be to wait for oneself.
            run(job)
        else:
            release_team()
            self.worker_of(lane).submit(job)
        try:
            shown = None
            while not outcome.done.wait(0.05):
                if outcome.progress not in (None, shown):
                    shown = outcome.progress
                    show(*shown)
            if outcome.progress not in (None, shown):
                show(*outcome.progress)
        except BaseException:
            job.cancel()
            # What it has by then may be kept; control goes back in any case.
            outcome.done.wait(0.5)
            raise
        return outcome.result()

    def begin(self, lane: str, **args: Any) -> None:
        """Ask a question oneself: the work goes on in the background, and all views hear of it."""
        self.worker_of(lane).submit(self._job(Ask("", _now(), lane, args)))

    def _title(self, lane: str) -> str:
        name = type(self._widget).__name__
        return f"{name} ({lane})" if lane else name

    def _address(self, ask: Ask) -> dict[str, Any]:
        # What becomes of long work concerns every view, whichever asked for it.
        return {**_address(ask), **({"all": True} if self._long(ask) else {})}

    def _long(self, ask: Ask) -> bool:
        return self._widget._lanes[ask.lane].long

    def _job(self, ask: Ask) -> Job:
        address, long = self._address(ask), self._long(ask)
        return Job(
            key=(self.epoch, ask.lane) if long else (self.epoch, ask.view, ask.lane),
            owner=self._widget,
            title=self._title(ask.lane),
            long=long,
            view=ask.view,
            seq=ask.seq,
            run=lambda job: self._answer(ask, job),
            on_dropped=lambda: self._drop(address),
            on_progress=lambda done, total, left: self.tell(
                "progress", done=done, total=total, left=left, **address
            ),
            on_partial=lambda blob: self._part(blob, address),
        )

    def _part(self, blob: bytes, address: dict[str, Any]) -> None:
        self.tell("reply", blob, status="partial", message="", ms=0.0, **address)

    def _drop(self, address: dict[str, Any]) -> None:
        self.tell("reply", status="cancelled", message="", ms=0.0, **address)

    def _answer(self, ask: Ask, job: Job) -> None:
        """On the worker thread; whatever happens, the view gets an answer."""
        started = time.perf_counter()
        blob, message, status = None, "", "ok"
        try:
            blob = getattr(self._widget, f"_lane_{ask.lane}")(job, **ask.args)
        except Cancelled:
            status = "cancelled"
        except BaseException as error:
            # Also SystemExit: a forward pass that ends the thread must not leave a view waiting.
            status, message = "error", plain(error)
            _log.debug("lane %s failed", ask.lane, exc_info=True)
        ms = (time.perf_counter() - started) * 1e3
        self.tell("reply", blob, status=status, message=message, ms=ms, **self._address(ask))


def _now() -> int:
    """Microseconds: the number of a question from Python, above those of an earlier kernel."""
    return time.time_ns() // 1000


class _Outcome(Generic[T]):
    """What became of work on another thread."""

    def __init__(self) -> None:
        self.done = threading.Event()
        self.progress: tuple[int, int] | None = None
        self.value: T
        self.error: BaseException | None = None

    def end(self, error: BaseException | None) -> None:
        self.error = error
        self.done.set()

    def result(self) -> T:
        if self.error is not None:
            raise self.error
        return self.value


def _address(message: Ask | Refused) -> dict[str, Any]:
    return {"view": message.view, "seq": message.seq, "lane": message.lane}


def plain(error: BaseException) -> str:
    """An error as a sentence for the widget's error line."""
    text = str(error) or "no further word"
    if isinstance(error, (ValueError, TypeError, RuntimeError)):
        return text
    return f"{type(error).__name__}: {text}"
