"""How an Embedding comes about: images read on the network's worker, maps made on its own."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import traitlets

from ..backend._embed_lapse import TimeLapse
from ..backend._embed_project import Projection, preload
from ..backend._embed_result import Extraction
from . import _embedding_answers as answers
from ._codec import Array, pack, unpack
from ._embedding_record import Map, Points, Question, lapse_blob
from ._embedding_settings import EmbeddingSettings
from ._embedding_thumbs import Thumbnails
from ._embedding_work import Features, Mapper, elsewhere, judged, lapse
from ._worker import Cancelled, Job, worker_for

T = TypeVar("T")
_SMALL_ROOM = 60_000
"""Bytes of thumbnails, and of a time-lapse, in a saved notebook."""
_PAUSE = 0.02
_NAMED = 3
"""Unreadable images that a note names."""


class EmbeddingRun(EmbeddingSettings):
    """Makes the maps that are shown, and tells of them."""

    _points = traitlets.Bytes().tag(sync=True)
    _map = traitlets.Bytes().tag(sync=True)
    _thumbs = traitlets.Bytes().tag(sync=True)
    _lapse = traitlets.Bytes().tag(sync=True)

    _features: Features
    _mapper: Mapper
    _thumbnails: Thumbnails
    _shown: Map | None
    """The newest map, perhaps on the way."""
    _index: Array | None
    """The points that a saved notebook keeps; None for all."""
    _first: threading.Event
    """There is a map, or an error."""
    _error: str
    """Why there is none."""
    _alone = False
    """Whether images are to be read on the widget's own worker."""
    _lapse_made: tuple[dict[str, Any], bytes] | None = None
    """The question and the answer of the last time-lapse."""
    _told: Extraction | None = None
    """What the columns were made of."""
    _default_layer: str
    """The layer, if nobody chose one."""

    def _question(self) -> Question:
        return Question.of(self.layer, self.method, self.perplexity, self.iterations)

    def _again(self, change: Any) -> None:
        """Python has set something; a browser asks for a map itself."""
        shown = None if self._shown is None else self._shown.question
        if not self._from_browser() and shown != self._question():
            self._begin()

    def _begin(self) -> None:
        if self.method == "given":
            self._endpoint.stop(long=True)
            self._embed_given()
            if self._features.layers or self.layers:
                key = (self._endpoint.epoch, "", "preload")
                worker_for(self).submit(Job(key=key, owner=self, run=lambda job: preload()))
        else:
            names = ("layer", "method", "perplexity", "iterations")
            args = {name: getattr(self, name) for name in names}
            self._endpoint.begin("embed", **args, start="auto")

    def _settled(self) -> Map:
        """What is shown, once it is what was asked for."""
        self._check_open()
        if self._shown is None or self._shown.question != self._question():
            self._wait(self._compute)
        assert self._shown is not None
        return self._shown

    def _check_open(self) -> None:
        if not self._alive:
            raise RuntimeError("this widget is closed: make a new one")

    def _at_rest(self) -> None:
        """Wait for the figures of a map that is there already."""
        worker, key = self._endpoint.worker_of("embed"), (self._endpoint.epoch, "embed")
        while not (worker.inside() or self._notifying()) and worker.pending(key):
            if self._shown is None or not self._shown.complete:
                return
            time.sleep(_PAUSE)

    def _wait(self, work: Callable[[Job], T]) -> T:
        """Have work done here and now, without a progress line."""
        try:
            with self._held():
                return self._endpoint.compute(work, lambda done, total: None)
        except Cancelled:
            raise RuntimeError("stopped in the widget") from None

    @contextmanager
    def _held(self) -> Iterator[None]:
        """While other work of the network's worker waits for ours, ours must not wait for it."""
        self._check_open()
        before, self._alone = self._alone, self._alone or self._endpoint.worker.inside()
        try:
            yield
        finally:
            self._alone = before

    def _compute(self, job: Job, start: str = "auto") -> Projection:
        found = self._embed(job, self._question(), start)
        if self._index is not None:
            # The trait has a sample; the views that are there get all.
            job.on_partial(found.blob())
        assert found.projection is not None
        return found.projection

    def _embed(self, job: Job, question: Question, start: str) -> Map:
        """Read the images if need be, and make a map; of a stopped one the last frame is kept."""
        if question.method == "given":
            return self._embed_given()
        features = self._read(job, [question.layer])[question.layer]
        present = None if self._shown is None else self._shown.xy
        notes = self._notes(question.layer)

        def show(found: Map) -> bool:
            self._shown = found
            return _stopped(job, found)

        found = self._mapper.make(question, features, present, start, show)
        found = self._finish(replace(found, notes=(*notes, *found.notes)))
        if not found.complete or _stopped(job, found):
            raise Cancelled
        column = self._columns.classes
        found = self._finish(judged(found, features, None if column is None else column.known()))
        if not self._thumbs:
            self._publish(_thumbs=self._thumbnails.sheet(_SMALL_ROOM, self._codes()))
        return found

    def _embed_given(self) -> Map:
        assert self._given.coordinates is not None
        return self._finish(self._mapper.given(self._given.coordinates))

    def _finish(self, found: Map) -> Map:
        self._shown = found
        self._publish(_map=found.blob(self._index))
        self._first.set()
        return found

    def _codes(self) -> Array | None:
        return None if self._columns.classes is None else self._columns.classes.data

    def _read(self, job: Job, layers: Sequence[str]) -> dict[str, Array]:
        """The features of some layers, in the order of these."""
        if self._features.missing(layers):
            if self._alone or self._notifying() or self._endpoint.worker.inside():
                # To wait for the network's worker could be to wait for oneself.
                self._features.read(job, layers)
            else:
                key, title = (self._endpoint.epoch, "read"), "Embedding (reading images)"
                read = self._features.read
                elsewhere(self._endpoint.worker, job, lambda it: read(it, layers), key, title)
        # Also when an earlier run read them, and was broken off before it could tell.
        if self._error or self._features.extraction is not self._told:
            self._told = self._features.extraction
            if self._features.answers is not None:
                self._columns.answer(self._features.answers, self.net)
            self._tell_points()
        return {name: self._features.layers[name] for name in layers}

    def _tell_points(self, error: str = "") -> None:
        self._error = error
        self._publish(_points=self._points_blob(self._index))

    def _points_blob(self, index: Array | None) -> bytes:
        more = {"unread": len(self._features.failures), "error": self._error or None}
        return self._columns.blob(more, index)

    def _whole_blob(self) -> bytes:
        """All points, and where they are: what a view wants that has a sample."""
        blob, found = self._points_blob(None), self._shown
        if found is None:
            return blob
        (meta, arrays), (about, places) = unpack(blob), unpack(found.blob())
        return pack({**meta, "map": about}, {**arrays, **places})

    def _there(self, question: Question, start: str) -> Map | None:
        """The map that is shown, if it would come out the same again."""
        found = self._shown
        if found is None or not found.complete or found.question != question:
            return None
        return found if start == "auto" and not self._features.stale else None

    def _notes(self, layer: str) -> list[str]:
        """What was assumed and left out, in sentences."""
        notes = [*self._given.notes, *filter(None, [self._columns.note])]
        failures = self._features.failures
        if layer and layer == self._default_layer:
            notes.append(f"{layer} was chosen, the last layer with maps.")
        if self._features.extraction is not None:
            notes += self._features.extraction.notes
        if failures:
            named = "; ".join(f"{self._given.name(f.index)}: {f.reason}" for f in failures[:_NAMED])
            more = f"; and {len(failures) - _NAMED} more" if len(failures) > _NAMED else ""
            notes.append(f"Unreadable: {named}{more}.")
        if self._features.stale:
            notes.append("The network has changed since the images were read: refresh() helps.")
        return notes

    def _run_lapse(
        self, job: Job, layers: list[str], method: str, perplexity: float, iterations: int
    ) -> tuple[TimeLapse, bytes]:
        layers = layers or answers.spread_layers(self.layers)
        if not layers:
            raise ValueError("layers: there are none to go through")
        features = self._read(job, layers)

        def show(names: list[str], maps: list[Points]) -> bool:
            # What compute() shows are maps; from Python the time-lapse is shown at the end.
            if not job.view:
                return _stopped(job)
            return _stopped(job, lambda: lapse_blob(names, method, maps, complete=False))

        found = lapse(features, method, perplexity, iterations, show)
        if not found.complete:
            raise Cancelled
        of = (found.layers, method, found.maps, True)
        whole, saved = lapse_blob(*of), lapse_blob(*of, self._index)
        self._lapse_made = _asked(layers, method, perplexity, iterations), whole
        if len(saved) > _SMALL_ROOM:
            # A view that reads this asks for it.
            saved = pack({"question": self._lapse_made[0]}, {})
        self._publish(_lapse=saved)
        return found, whole

    def _lapse_there(self, question: dict[str, Any]) -> bytes | None:
        """The time-lapse that was made last, if it is this one and still true."""
        made = self._lapse_made
        there = made is not None and made[0] == question and not self._features.stale
        return made[1] if made is not None and there else None


def _asked(layers: Sequence[str], method: str, *numbers: float) -> dict[str, Any]:
    """The question of lane "lapse"."""
    tuning = dict(zip(("perplexity", "iterations"), numbers, strict=True))
    return {"layers": list(layers), "method": method, **tuning}


def _stopped(job: Job, found: Map | Callable[[], bytes] | None = None) -> bool:
    """Show a map, if it is time to, and whether the work is to end."""
    try:
        if isinstance(found, Map):
            job.partial(found.blob)
            if found.total:
                job.progress(found.iteration, found.total)
        elif found is not None:
            job.partial(found)
        job.check()
    except Cancelled:
        return True
    return False
