"""Features of many images from any layer, and their maps in the plane."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ._arguments import check_count
from ._embed_lapse import TimeLapse, time_lapse
from ._embed_project import Frame, Projection, preload, project, projection
from ._embed_quality import Quality, quality
from ._embed_read import SPATIAL, FeatureReader, Prepared, Rows
from ._embed_result import Extraction, Failure, Progress, failed, faulty, none_readable
from ._embed_source import Source, Taking, image_files
from ._embed_store import Journal, RowFile, RowMemory, facts_of
from ._model import kind
from ._rng_guard import quiet
from .layers import Layer, name_of, wrap

if TYPE_CHECKING:
    from .network import Network

Floats = npt.NDArray[np.float32]

ENGINES = ("local", "ray")
_STEP = 0.1
"""Seconds of quick batches between two reports of progress."""
_QUICK = 0.02
"""Images that load within so many seconds are loaded while the network is held."""
_UNSTEADY = (
    "the loader shuffles or has a sampler of its own, so that a run could not be resumed; give "
    "one in the data set's order"
)
_NAMED = 3
"""Unreadable images that a warning names."""


def extract(
    net: Network | nn.Module,
    images: Any,
    layer: Layer | str | Sequence[Layer | str],
    batch_size: int = 32,
    engine: str = "local",
    **options: Any,
) -> Any:
    """Features of images from a layer, one row each: (N, D), float32.

    Maps (C, H, W) become C numbers by global average pooling (Lin, Chen & Yan, 2013,
    https://arxiv.org/abs/1312.4400), f_c = mean over h, w of x_chw, or C H W numbers with
    spatial="flatten".

    Row i belongs to image i. Where an image cannot be read the row is NaN and a warning names
    it; `extraction` tells more.

    Args:
        net: a `Network` or a bare module.
        images: a list of anything image-like (see `Network.prepare`), a `Dataset` of images or of
            (image, label), a `DataLoader`, a folder (all pictures in it, sorted by path), an array
            (N, H, W, C), (N, C, H, W) or (N, H, W), or a tensor (N, C, H, W), which counts as
            preprocessed if it holds floats. A generator will do.
        layer: as `net.layers()` gives it, or its name. Of several, all are computed in one pass.
        batch_size: images at a time; halved by itself when memory does not suffice.
        engine: "local", or "ray" for a cluster (see `backend.distributed`).
        options: those of `extraction`: spatial, out, on_progress, and those of Ray.

    Returns:
        An array (N, D), memory-mapped if it was written to `out` or does not fit in memory; of
        several layers a dictionary of them by name.

    Raises:
        TypeError, ValueError: an argument that makes no sense, by name; no readable image.
        ImportError: engine="ray" without the extra `ray`.

    Example:
        >>> import nbcnnviz as nv
        >>> extract(nv.Network.digits(), [nv.sample_image("digit")] * 3, "conv2").shape
        (3, 24)
    """
    found = extraction(net, images, layer, batch_size, engine, **options)
    if found.failures:
        named = "; ".join(f"{f.name}: {f.reason}" for f in found.failures[:_NAMED])
        more = len(found.failures) - _NAMED
        warnings.warn(
            f"images: {len(found.failures)} of {len(found.features)} could not be read, and their "
            f"rows are NaN: {named}{f'; and {more} more' if more > 0 else ''}",
            stacklevel=2,
        )
    return found.features if isinstance(layer, Layer | str) else dict(found.layers)


def extraction(
    net: Network | nn.Module,
    images: Any,
    layer: Layer | str | Sequence[Layer | str],
    batch_size: int = 32,
    engine: str = "local",
    *,
    spatial: str = "gap",
    out: str | os.PathLike[str] | None = None,
    on_progress: Progress | None = None,
    resume: Extraction | None = None,
    **ray_options: Any,
) -> Extraction:
    """Like `extract`, with the images that failed, notes, and whether it ran to the end.

    Args:
        net, images, layer, batch_size, engine: see `extract`.
        spatial: "gap" for the mean of each map, "flatten" for all of its cells.
        out: where to keep the features: a .npy file, for several layers a folder. A run that was
            broken off goes on where it stopped when it is called again in the same way. Other
            images are refused, as far as some of an array's rows, files' sizes and times, and the
            first, a middle and the last image of a data set tell; of a generator nothing does.
        on_progress: called with the images done and of all (0 if that is not known); returning
            True stops, and the rows so far are returned.
        resume: what an earlier call with the same images and layers returned that was stopped; its
            rows are not computed again.
        ray_options: concurrency, num_gpus, num_cpus, see `backend.distributed.extract_on_ray`.

    Example:
        >>> import nbcnnviz as nv
        >>> extraction(nv.Network.digits(), [nv.sample_image("digit"), "missing.png"], "conv1")
        Extraction(conv1 2 x 16, 1 unreadable)
    """
    net, names = wrap(net), _names(layer)
    check_count("batch_size", batch_size)
    if spatial not in SPATIAL:
        raise ValueError(f"spatial={spatial!r}: choose one of {list(SPATIAL)}")
    if on_progress is not None and not callable(on_progress):
        raise TypeError(f"on_progress: a {kind(on_progress)} cannot be called; give a function")
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r}: choose one of {list(ENGINES)}")
    source = Source(images)
    if resume is not None and (engine == "ray" or out is not None):
        raise ValueError("resume: of no use with `out` or Ray, whose runs go on by themselves")
    if engine == "ray":
        from .distributed import extract_on_ray

        return extract_on_ray(
            net,
            source,
            names,
            batch_size,
            spatial=spatial,
            out=out,
            on_progress=on_progress,
            **ray_options,
        )
    if ray_options:
        raise TypeError(f'{next(iter(ray_options))}: an option of engine="ray" or of none')
    return _Run(net, source, names, batch_size, spatial, out, resume).run(on_progress)


def _names(layer: Any) -> list[str]:
    chosen = [layer] if isinstance(layer, Layer | str) else layer
    if not isinstance(chosen, Sequence) or not chosen:
        raise TypeError(f"layer={layer!r}: give a layer of net.layers(), its name, or several")
    return list(dict.fromkeys(name_of(each) for each in chosen))


@dataclass
class _Run:
    """One extraction on this machine."""

    net: Network
    source: Source
    names: list[str]
    batch_size: int
    spatial: str
    out: str | os.PathLike[str] | None
    before: Extraction | None = None
    failures: dict[int, str] = field(default_factory=dict)
    done: int = 0
    pending: int = 0
    """Rows at the beginning whose width is not known yet."""

    def __post_init__(self) -> None:
        self.reader = FeatureReader(self.net, self.names, self.spatial, self.batch_size)
        self.journal: Journal | None = None
        self.stores: dict[str, RowFile | RowMemory] = {}
        if self.out is None:
            self.stores = {name: RowMemory(self.source.count) for name in self.names}
            if self.before is not None:
                self._go_on(self.before)
        else:
            self._open_files(os.fsdecode(self.out))

    def _go_on(self, before: Extraction) -> None:
        if set(before.layers) != set(self.names):
            raise ValueError(f"resume: {before!r} is of other layers than {self.names}")
        if not self.source.repeatable:
            raise ValueError(f"resume: {_UNSTEADY}")
        for name, rows in before.layers.items():
            self.stores[name].append(rows)
        self.done = len(before.features)
        self.failures = {failure.index: failure.reason for failure in before.failures}

    def _open_files(self, out: str) -> None:
        if not self.source.repeatable:
            raise ValueError(f"images: {_UNSTEADY}, or no `out`")
        paths = paths_of(out, self.names)
        facts = facts_of(self.net, self.source, self.names, self.spatial)
        single = len(self.names) == 1
        beside = Path(f"{out}.json") if single else Path(out) / "features.json"
        if any(path.exists() for path in paths.values()) and not beside.exists():
            raise ValueError(
                f"out={out!r}: there is a file that was not begun here (no {beside.name}); "
                "give another path"
            )
        self.journal = Journal(beside, facts, out)
        files = {name: RowFile(path) for name, path in paths.items()}
        self.done = min(file.rows for file in files.values())
        for file in files.values():
            file.cut(self.done)
        self.failures = {i: why for i, why in self.journal.failures.items() if i < self.done}
        self.stores = dict(files)

    def run(self, on_progress: Progress | None) -> Extraction:
        """Go through all images."""
        resumed = self.done
        images = self.source.taken(self.done)
        if self.journal is not None:
            self.journal.write(self.failures)
        try:
            with torch.inference_mode(False), torch.no_grad():
                complete = self._steps(images, on_progress)
        finally:
            for store in self.stores.values():
                store.close()
        if not self.done or self.pending:
            raise none_readable(self.source, self.failures)
        if self.journal is not None:
            self.journal.write(self.failures)
        total = self.done if complete else self.source.count or 0
        layers = {name: self.stores[name].array() for name in self.names}
        return Extraction(
            layers,
            failed(self.source, self.failures),
            total,
            complete,
            resumed,
            (*self.source.notes, *self.reader.notes, *faulty(layers, self.failures)),
        )

    def _steps(self, images: Taking, on_progress: Progress | None) -> bool:
        """Whether all were looked at."""
        limit = 0.0
        batch = self._load(images)
        while batch is not None:
            with self.reader.opened() as run:
                begin = time.perf_counter()
                while batch is not None:
                    self._keep(run(batch))
                    loading = time.perf_counter()
                    if loading - begin >= limit:
                        batch = None
                        break
                    batch = self._load(images)
                    if time.perf_counter() - loading > _QUICK:
                        break
            # The first batch is reported at once, quick ones after it together.
            limit = _STEP
            if on_progress is not None:
                stop = on_progress(self.done, self.source.count or 0) is True
                if stop:
                    return batch is None and self.done == self.source.count
            if batch is None:
                batch = self._load(images)
        return True

    def _load(self, images: Taking) -> Prepared | None:
        # What data sets and loaders draw must not shift the user's own random numbers.
        with nullcontext() if images.plain else quiet(self.net.device):
            items = images.take(self.reader.batch_size)
        return self.reader.prepare(items) if len(items) else None

    def _keep(self, rows: Rows) -> None:
        self.failures |= {self.done + place: why for place, why in rows.failures.items()}
        self.done += rows.count
        if not rows.places and not any(store.width for store in self.stores.values()):
            self.pending += rows.count
            return
        if rows.failures and self.journal is not None:
            self.journal.write(self.failures)
        for name, store in self.stores.items():
            width = store.width or rows.values[name].shape[1]
            if self.pending:
                store.append(np.full((self.pending, width), np.nan, np.float32))
            store.append(rows.filled(name, width))
        self.pending = 0


def paths_of(out: str, names: Sequence[str]) -> dict[str, Path]:
    """The file of each layer: `out` itself, or one in the folder `out`."""
    if len(names) == 1:
        if not out.endswith(".npy"):
            raise ValueError(f'out={out!r}: give a path that ends in ".npy"')
        Path(out).parent.mkdir(parents=True, exist_ok=True)
        return {names[0]: Path(out)}
    if Path(out).is_file() or out.endswith(".npy"):
        raise ValueError(f"out={out!r}: give a folder, since there are {len(names)} layers")
    Path(out).mkdir(parents=True, exist_ok=True)
    safe = {name: name.strip("/").replace("/", "_").replace("#", "-") for name in names}
    if len(set(safe.values())) < len(names):
        safe = {name: f"{index}_{safe[name]}" for index, name in enumerate(names)}
    return {name: Path(out) / f"{safe[name]}.npy" for name in names}


__all__ = [
    "Extraction",
    "Failure",
    "Frame",
    "Projection",
    "Quality",
    "TimeLapse",
    "extract",
    "extraction",
    "image_files",
    "preload",
    "project",
    "projection",
    "quality",
    "time_lapse",
]
