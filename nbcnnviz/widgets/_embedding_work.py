"""The work behind an Embedding: features on the network's worker, maps on the widget's own."""

from __future__ import annotations

import itertools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import replace
from typing import Any, TypeVar

import numpy as np

from ..backend._embed_lapse import TimeLapse, aligned, time_lapse
from ..backend._embed_project import Frame, Projection, Table, preload, projection
from ..backend._embed_quality import quality
from ..backend._embed_read import ANSWER
from ..backend._embed_result import Extraction, Failure
from ..backend.embedding import extraction
from ..backend.network import Network
from ._codec import Array
from ._embedding_given import Given
from ._embedding_record import COMPONENTS, Indices, Map, Points, Question
from ._worker import Cancelled, Job, Worker

T = TypeVar("T")
Show = Callable[[Map], bool]
"""Shows a map; whether the work is to end."""
_PAUSE = 0.02
_STEP_SECONDS = 30.0
"""At most so long a stopped reading is waited for."""
_CHUNK = 32 << 20
"""Bytes of features compared at a time."""


class Features:
    """Features by layer, computed when they are asked for, and what the network answers."""

    def __init__(self, net: Network | None, given: Given) -> None:
        self._net, self._given = net, given
        self.layers: dict[str, Array] = dict(given.features)
        self.answers: Array | None = None
        """(N, 2): class and probability."""
        self.extraction: Extraction | None = None
        """The last one."""
        self._stopped: Extraction | None = None
        self._version = -1 if net is None else net.version()
        self._turn = 0
        """Grows whenever all is forgotten."""

    def missing(self, layers: Sequence[str]) -> list[str]:
        """What has to be read for these layers."""
        found = [name for name in dict.fromkeys(layers) if name not in self.layers]
        return [*found, ANSWER] if found and self.answers is None else found

    @property
    def stale(self) -> bool:
        """Whether the network has changed since."""
        return self._net is not None and bool(self.extraction) and self._changed()

    def _changed(self) -> bool:
        return self._net is not None and self._net.version() != self._version

    @property
    def failures(self) -> tuple[Failure, ...]:
        """Images that cannot be read."""
        return () if self.extraction is None else self.extraction.failures

    def read(self, job: Job, layers: Sequence[str]) -> None:
        """Read the images for these layers, on the worker of the network.

        Raises:
            Cancelled: stopped; the rows so far are kept for the next time.
        """
        net, source = self._net, self._given.source
        if net is None or source is None:
            raise ValueError(f"layer={layers[0]!r}: there are no features of it, and no images")
        if self._changed():
            # Of other weights, as it were of another network.
            self.forget()
        turn, names = self._turn, self.missing(layers)
        if not names:
            return
        before = self._stopped
        if before is not None and set(before.layers) != set(names):
            before = None

        def told(done: int, total: int) -> bool:
            try:
                job.progress(done, total)
            except Cancelled:
                return True
            return False

        found = extraction(net, source.items, names, on_progress=told, resume=before)
        if turn != self._turn:
            raise Cancelled  # of weights that are no longer wanted
        if not found.complete:
            self._stopped = found
            raise Cancelled
        if len(found.features) != self._given.count:
            raise ValueError(
                f"images: {len(found.features)} came, {self._given.count} were promised; give a "
                "data set whose len() is right"
            )
        self._stopped, self.extraction = None, found
        self.answers = found.layers.get(ANSWER, self.answers)
        self.layers |= {name: found.layers[name] for name in names if name != ANSWER}

    def forget(self) -> None:
        """After more training: all that was read."""
        self.layers = dict(self._given.features)
        self.answers = self._stopped = self.extraction = None
        self._version = -1 if self._net is None else self._net.version()
        self._turn += 1

    def close(self) -> None:
        """Let go of all."""
        self.forget()
        self.layers, self._net = {}, None

    def near(self, layer: str, index: int, k: int, places: Points | None) -> tuple[Any, ...]:
        """The k nearest of a point: "features" or "coordinates", their indices, distances."""
        table = self.layers.get(layer)
        space, values = ("features", table) if table is not None else ("coordinates", places)
        if values is None:
            raise ValueError("there is no map yet")
        mine = np.asarray(values[index], np.float64)
        if not np.isfinite(mine).all():
            return space, np.zeros(0, np.int64), np.zeros(0)
        size = max(1, _CHUNK // (8 * values.shape[1]))
        parts = [
            ((np.asarray(values[i : i + size], np.float64) - mine) ** 2).sum(1)
            for i in range(0, len(values), size)
        ]
        square = np.concatenate(parts)
        square[index] = np.nan
        square = np.where(np.isnan(square), np.inf, square)
        k = min(k, int(np.isfinite(square).sum()))
        nearest = np.argpartition(square, k)[:k] if k < len(square) else np.arange(len(square))
        nearest = nearest[np.argsort(square[nearest], kind="stable")]
        return space, nearest, np.sqrt(square[nearest])

    def telling(self, layer: str, chosen: Indices, most: int) -> list[int]:
        """The features in which some points differ most from all, in standard deviations."""
        table = Table(self.layers[layer])
        rows = np.asarray(table.good(), np.float64)
        some = np.asarray(table.array[chosen], np.float64)
        some = some[np.isfinite(some).all(1)]
        if not len(some):
            raise ValueError("none of these images could be read")
        spread = rows.std(0)
        apart = np.abs(some.mean(0) - rows.mean(0)) / np.where(spread > 0, spread, np.inf)
        return [int(i) for i in np.argsort(-apart, kind="stable")[:most]]


def elsewhere(worker: Worker, job: Job, work: Callable[[Job], T], key: Any, title: str) -> T:
    """Have work done by another worker, and wait: it ends with `job`, and its progress is told."""
    outcome: Future[T] = Future()
    steps: deque[tuple[int, int]] = deque(maxlen=1)

    def run(inner: Job) -> None:
        outcome.set_running_or_notify_cancel()
        try:
            outcome.set_result(work(inner))
        except BaseException as error:
            outcome.set_exception(error)

    there = Job(
        key=key,
        owner=job.owner,
        title=title,
        run=run,
        long=True,
        on_dropped=lambda: outcome.set_exception(Cancelled()),
        on_progress=lambda done, total, left: steps.append((done, total)),
    )
    worker.submit(there)
    try:
        preload()  # what is imported meanwhile need not be waited for later
        while True:
            try:
                found = outcome.result(_PAUSE)
                if steps:
                    job.progress(*steps[-1])
                return found
            except NotYetError:
                if outcome.done():
                    raise
            job.progress(*steps[-1]) if steps else job.check()
    except BaseException:
        there.cancel()
        if outcome.running():
            # The rows of the step that it is at are kept.
            outcome.exception(_STEP_SECONDS)
        raise


class Mapper:
    """Makes maps of features, one after another."""

    def __init__(self) -> None:
        self._runs = itertools.count(1)

    def given(self, xy: Points) -> Map:
        """Coordinates that the user gave."""
        made = Projection(xy, "given", {})
        missing = int((~np.isfinite(xy).all(1)).sum())
        notes = (f"{missing} of {len(xy)} points have no place (NaN).",) if missing else ()
        question = Question.of("", "given", 0, 0)
        return Map(question, next(self._runs), xy, complete=True, projection=made, notes=notes)

    def make(
        self, question: Question, features: Array, present: Points | None, start: str, show: Show
    ) -> Map:
        """A map; one that was stopped is not complete.

        Args:
            question: which.
            features: (N, D).
            present: what is shown now.
            start: "present" to start from it and turn to it.
            show: is told of all on the way.
        """
        begun = time.monotonic()
        shown = Map(question, next(self._runs), np.full((len(features), 2), np.nan))
        stopped = False

        def on_frame(frame: Frame) -> bool:
            nonlocal shown, stopped
            if question.method != "tsne":
                return False
            shown = shown.with_frame(frame, time.monotonic() - begun)
            stopped = show(shown) or stopped
            return stopped

        follow = start == "present" and _fits(present, features)
        options = _options(question, features, present if follow else None)
        notes = _within(options, features)
        made = projection(features, question.method, on_frame, **options)
        notes = (*notes, *made.notes)
        if question.method == "pca" and present is not None:
            made, notes = _facing(made, present, follow, notes)
        return Map(
            *(question, shown.run, made.xy, made.iterations, question.iterations, made.kl),
            complete=made.complete and not stopped,
            projection=made,
            notes=notes,
            seconds=time.monotonic() - begun,
        )


def judged(found: Map, features: Array, classes: Array | None) -> Map:
    """With the figures of its quality, where there are points enough."""
    try:
        return replace(found, quality=quality(features, found.xy, classes))
    except ValueError as error:
        return replace(found, notes=(*found.notes, f"No quality figures: {error}."))


def lapse(
    features: Mapping[str, Array],
    method: str,
    perplexity: float,
    iterations: int,
    show: Callable[[list[str], list[Points]], bool],
) -> TimeLapse:
    """Maps of several layers, each turned to the one before; `show` is told of those so far."""
    first = next(iter(features.values()))
    options = _options(Question.of("", method, perplexity, iterations), first, None)
    maps: dict[str, Points] = {}

    def on_frame(frame: Frame) -> bool:
        maps[frame.layer or ""] = frame.xy
        return show(list(maps), list(maps.values()))

    return time_lapse(features, method, on_frame, **options)


def _options(question: Question, features: Array, present: Points | None) -> dict[str, Any]:
    if question.method == "pca":
        return {"components": COMPONENTS}
    if question.method == "umap":
        return {"neighbors": max(2, min(round(question.perplexity), len(features) - 1))}
    options: dict[str, Any] = {
        "perplexity": question.perplexity,
        "iterations": question.iterations,
    }
    if present is not None:
        # Early exaggeration would untangle the map anew.
        options |= {"initial": present, "early_iterations": 0}
    return options


def _within(options: dict[str, Any], features: Array) -> tuple[str, ...]:
    """Less perplexity where the images that can be read are too few for it."""
    wanted, count = options.get("perplexity", 0.0), Table(features).count
    most = int((count - 1) / 3 * 10) / 10
    if not most < wanted <= (len(features) - 1) / 3 or most < 1:
        return ()
    options["perplexity"] = most
    return (f"Perplexity is {most:g}: {count} points allow no more.",)


def _fits(present: Points | None, features: Array) -> bool:
    """Whether every point that has features has a place to start from."""
    if present is None:
        return False
    return bool(np.isfinite(present[Table(features).present]).all())


def _facing(
    made: Projection, present: Points, follow: bool, notes: tuple[str, ...]
) -> tuple[Projection, tuple[str, ...]]:
    """Components so that points move least: turned if they are to follow, else only mirrored."""
    xy = made.xy
    both = np.isfinite(xy).all(1) & np.isfinite(present).all(1)
    if both.sum() < 2:
        return made, notes
    middle = xy[both].mean(0)
    if follow:
        size = float(np.sqrt(((xy[both] - middle) ** 2).sum(1).mean()))
        moved = aligned(xy, aligned(present, None)) * size
        notes = (*notes, "The map is turned to the one before it: its axes are no components.")
    else:
        # The sign of a component is nobody's choice.
        way = ((xy[both] - middle) * (present[both] - present[both].mean(0))).sum(0)
        moved = xy * np.where(way < 0, -1.0, 1.0)
        middle = np.zeros(2)
    turn = np.linalg.lstsq(xy[both] - middle, moved[both], rcond=None)[0]
    place = made._transform
    then = None if place is None else lambda some: (place(some) - middle) @ turn
    return replace(made, xy=moved, _transform=then), notes
