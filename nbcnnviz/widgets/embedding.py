"""Embedding: many images as points in the plane, by what a layer makes of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..backend._embed_lapse import TimeLapse
from ..backend._embed_project import Projection
from ..backend._embed_quality import Quality
from ..backend._embed_result import Extraction
from ..backend.network import Network
from . import _embedding_answers as answers
from . import _embedding_still as still
from ._codec import Array, pack
from ._embedding_columns import Columns
from ._embedding_given import Given
from ._embedding_record import (
    METHODS,
    Map,
    Points,
    Question,
    indices_of,
    sample_of,
)
from ._embedding_run import EmbeddingRun
from ._embedding_settings import ITERATIONS
from ._embedding_thumbs import Thumbnails
from ._embedding_work import Features, Mapper
from ._endpoint import plain
from ._lanes import (
    apart_lane,
    array,
    lane,
    long_lane,
    number,
    one_of,
    optional,
    several,
    text,
    whole,
)
from ._worker import Cancelled, Job

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from torch import nn

    from ..backend.layers import Layer

ROOM = 540_000
"""Bytes of the points, their map and what is selected in a saved notebook."""
_PATIENCE = 3.0
"""Seconds that a still picture waits for the first map."""
_MOST_LAYERS = 24


class Embedding(EmbeddingRun):
    """Many images as points in the plane: near one another where a layer finds them alike.

    The features of a layer, one row for each image (`backend.extract`), are laid out by PCA,
    t-SNE or UMAP (`backend.project`); t-SNE is seen at work. What the lasso catches is `selection`.

    Args:
        net: a `Network` or a bare `torch.nn.Module`; None where `features` or `coordinates` are
            given.
        images: see `backend.extract`. A generator is read into memory first.
        labels: (N,) whole numbers or texts. A data set of (image, label) gives them itself.
        layer: a layer to begin with, or its name; None: the last with maps.
        method: "pca", "tsne" or "umap"; None: the given `coordinates` if there are, else "pca".
        features: (N, D) instead of a network, or {layer: (N, D)}; rows of NaN have no place.
        coordinates: (N, 2), a map that is there already.
        colours: {name: (N,) numbers or texts} to colour by.
        names: (N,) texts; by default those of the files.
        settings: `perplexity`, `iterations`, `colour_by`, `theme`.

    Raises:
        ValueError, TypeError: an argument that cannot be used, by name, with the fix.

    Example:
        >>> import nbcnnviz as nv
        >>> images = [nv.sample_image("digit").rotate(angle) for angle in range(0, 360, 30)]
        >>> w = nv.Embedding(nv.Network.digits(), images, layer="conv2")
        >>> w.coordinates.shape
        (12, 2)
    """

    stem: ClassVar[str] = "embedding"
    compute_lane = "embed"

    def __init__(
        self,
        net: Network | nn.Module | None = None,
        images: Any = None,
        labels: Sequence[Any] | None = None,
        layer: Layer | str | None = None,
        method: str | None = None,
        *,
        features: Any = None,
        coordinates: Any = None,
        colours: Mapping[str, Any] | None = None,
        names: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        net = None if net is None else Network.wrap(net)
        self._given = given = Given(images, labels, features, coordinates, names, net is not None)
        self._find_layers(net)
        self._columns = Columns(given, colours, net, self._classes(net))
        self._features, self._mapper = Features(net, given), Mapper()
        self._thumbnails = Thumbnails(net, given)
        self._shown: Map | None = None
        self._error, self._first = "", threading.Event()
        self._index = sample_of(given.count, 4 + self._columns.most, ROOM - given.count // 8)
        first = self._first_name(layer)
        self._default_layer = first if layer is None and given.chooses == "network" else ""
        method = method or ("pca" if coordinates is None else "given")
        near = min(30.0, self._most_perplexity())
        start = {"perplexity": near, "method": method, **settings}
        super().__init__(net, None, first, start, selection=())
        self._begin()
        self._save()
        self.observe(self._again, ["layer", "method", "perplexity", "iterations"])

    # -- for the user -------------------------------------------------------------------------

    @property
    def coordinates(self) -> Points:
        """(N, 2): the map as it is set, as far as it has come; NaN without a place."""
        return self._settled().xy

    @property
    def projection(self) -> Projection | None:
        """The `backend.Projection` of the map; None in the midst of a run."""
        return self._settled().projection

    @property
    def quality(self) -> Quality | None:
        """How far the map can be trusted; None for coordinates alone, or on the way."""
        self._settled()
        self._at_rest()
        return self._settled().quality

    @property
    def features(self) -> npt.NDArray[Any] | None:
        """(N, D) of the layer; None where only coordinates were given."""
        self._settled()
        return self._features.layers.get(self.layer)

    @property
    def extraction(self) -> Extraction | None:
        """How the images were read, with those that could not be; None if none were."""
        self._settled()
        return self._features.extraction

    @property
    def labels(self) -> npt.NDArray[Any] | None:
        """(N,) as given, or as the data set told them."""
        if self._given.telling:
            self._settled()
        return self._given.labels()

    @property
    def predictions(self) -> npt.NDArray[np.int64] | None:
        """(N,) classes, -1 without one; None where there are none."""
        self._settled()
        return self._columns.predictions

    def to_dataframe(self) -> Any:
        """A pandas DataFrame: name, x, y, all there is to colour by, and what is selected."""
        return answers.table(self)

    def refresh(self) -> None:
        """Read the images again, after more training; the map goes on from the present one."""
        self._features.forget()
        self._lapse_made = None
        if self._given.chooses == "network":
            self._find_layers(self.net)
            self._publish(_layers=self._layer_list())
        self._wait(lambda job: self._compute(job, "present"))

    def time_lapse(self, layers: Sequence[Layer | str] | None = None) -> TimeLapse:
        """The same images through several layers, for the slider and as `backend.TimeLapse`."""
        names = [self._usable(layer).name for layer in layers or ()]
        method = "pca" if self.method == "given" else self.method
        args = (names, method, self.perplexity, self.iterations)
        # The map comes first: the time-lapse would take its place in the queue.
        self._settled()
        self._at_rest()
        return self._wait(lambda job: self._run_lapse(job, *args)[0])

    def compute(self) -> Projection:
        """Read the images and make the map here and now, with a progress line."""
        with self._held():
            found: Projection = super().compute()
        return found

    # -- what the browser asks ------------------------------------------------------------------

    @apart_lane(
        layer=optional(text()),
        method=one_of(*METHODS),
        perplexity=number(1),
        iterations=ITERATIONS,
        start=one_of("auto", "present"),
    )
    def _lane_embed(
        self, job: Job, /, layer: Any, method: str, start: str, **numbers: Any
    ) -> bytes:
        name = self._valid_layer_name(layer or "")
        try:
            question = Question.of(name, self._usable_method(method), **numbers)
            there = self._there(question, start)
            if there is not None and self._index is not None:
                # A view that has a sample asks for all, and not for the same work again.
                return there.blob()
            return self._embed(job, question, start).blob()
        except Cancelled:
            raise
        except Exception as error:
            if not job.view:
                # Perhaps there is no view yet that would hear of it.
                self._tell_points(plain(error))
                self._first.set()
            raise

    @apart_lane(
        layers=several(text(), _MOST_LAYERS),
        method=one_of(*METHODS[:3]),
        perplexity=number(1),
        iterations=ITERATIONS,
    )
    def _lane_lapse(self, job: Job, /, layers: list[str], **how: Any) -> bytes:
        names = [self._usable(name).name for name in layers]
        there = self._lapse_there({"layers": names, **how})
        return self._run_lapse(job, names, **how)[1] if there is None else there

    @lane()
    def _lane_points(self, job: Job, /) -> bytes:
        return self._whole_blob()

    @lane(indices=array("int32", 1))
    def _lane_thumbs(self, job: Job, /, indices: Array) -> bytes:
        if len(indices) > 400:
            raise ValueError("at most 400 thumbnails at a time")
        there = indices[(indices >= 0) & (indices < self._given.count)]
        pictures, names = self._thumbnails.some(there)
        why = {failure.index: failure.reason for failure in self._features.failures}
        for place, index in enumerate(there.tolist()):
            if index in why and why[index] not in names[place]:
                names[place] += f": {why[index]}"
        return pack({"names": names}, {"pictures": pictures})

    @lane(index=whole(), k=whole(1, 30))
    def _lane_near(self, job: Job, /, index: int, k: int) -> bytes:
        if index >= self._given.count:
            raise ValueError(f"there is no point {index}")
        shown = self._shown
        places = None if shown is None else shown.xy
        space, near, far = self._features.near(self._layer_shown(), index, k, places)
        meta = {"index": index, "indices": near.tolist(), "distances": far.tolist()}
        return pack({**meta, "space": space}, {})

    @lane(bits=array("uint8", 1))
    def _lane_select(self, job: Job, /, bits: Array) -> bytes:
        chosen = indices_of(bits, self._given.count)
        with self._trait_lock:
            self._origin = job.view
            try:
                self._publish(selection=chosen)
            finally:
                self._origin = ""
        return answers.selected(chosen, self._columns)

    @long_lane(bits=array("uint8", 1))
    def _lane_maps(self, job: Job, /, bits: Array) -> bytes:
        chosen = indices_of(bits, self._given.count)
        layer = self._layer_shown()
        return answers.mean_maps(job, self._net, self._given, self._features, layer, chosen)

    def _layer_shown(self) -> str:
        shown = self._shown
        return (shown.question.layer if shown is not None else "") or self.layer

    @lane(text=text())
    def _lane_find(self, job: Job, /, text: str) -> bytes:
        return answers.search(text, self._given, self._columns)

    # -- what a saved notebook, a still picture and a page of its own show -----------------------

    def _save(self) -> None:
        found = b"" if self._shown is None else self._shown.blob(self._index)
        self._publish(_points=self._points_blob(self._index), _map=found)

    def _release(self) -> None:
        self._thumbnails.close()
        self._given.release()
        self._features.close()
        self._shown = self._told = self._lapse_made = None

    def _show(self) -> still.Shown:
        column = self._columns.named(self.colour_by or self._columns.default())
        busy = self._error or "the images are being read"
        return still.Shown(self._shown, column, self._given.count, self.selection, busy)

    def _picture(self) -> npt.NDArray[np.uint8]:
        self._first.wait(_PATIENCE)
        return self._show().picture()

    def _figure(self) -> Figure:
        self._settled()
        return self._show().figure()

    def _summary(self) -> str:
        return f"Embedding: {self._show().headline} ({self._about['network']})"

    def _code(self) -> str:
        question = self._question() if self._shown is None else self._shown.question
        given = self._given.chooses != "network"
        what = f"{self._given.count} rows" + (f" of {question.layer!r}" if question.layer else "")
        source = "" if self._net is None else self.net.source
        return still.code(source, f"{self._given.count} images", what if given else "", question)

    def _export_replies(self, **options: Any) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Answers for a saved page: all points, where the state has a sample, and the code."""
        if options:
            raise TypeError(f"save_html has no option {next(iter(options))!r}")
        yield from answers.offline(self)
