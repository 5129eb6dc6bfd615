"""Features of more images than one machine should read: the same call on Ray Data.

Every worker is an actor that loads the model once and works off parts of the images, a few
thousand at a time. What travels to it are numbers of images; the images themselves are read where
the worker is (files, data sets) or lie in Ray's object store (arrays). Each part is written by its
worker as one Parquet file, which appears under its name only when it is complete. So a worker that
dies loses no more than the part it was at, which another one does again, and a run that was broken
off goes on with the parts that are missing.
"""

from __future__ import annotations

import importlib
import io
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from ._arguments import check_count
from ._embed_parts import Parts
from ._embed_read import FeatureReader, Floats
from ._embed_result import Extraction, Progress, failed, faulty, none_readable
from ._embed_source import Source
from ._embed_store import Journal, facts_of
from ._rng_guard import quiet

if TYPE_CHECKING:
    from .network import Network

_LARGEST = 4096
"""Images in a part, at most."""
_SHARES = 8
"""Parts for each worker, at least, so that all end at about the same time."""
_PROBED = 8
"""Images tried here first, until one can be read."""


def extract_on_ray(
    net: Network,
    source: Source,
    names: Sequence[str],
    batch_size: int,
    *,
    spatial: str = "gap",
    out: str | os.PathLike[str] | None = None,
    on_progress: Progress | None = None,
    concurrency: int | tuple[int, int] | None = None,
    num_gpus: float = 0,
    num_cpus: float = 1,
) -> Extraction:
    """What `extract(..., engine="ray")` does; see there for the other arguments.

    A cluster that the program is connected to is used; without one Ray is started on this
    machine and stopped at the end.

    Args:
        net, source, names, batch_size, spatial, on_progress: see `backend.extraction`.
        out: a folder for the Parquet files, one row per image with its number (`image`), why it
            could not be read (`error`), and a list of numbers for each layer. All workers must
            reach it. None: a temporary one, of this machine alone.
        concurrency: workers, or the least and the most of them; None: as many as the cluster's
            CPUs, or GPUs, allow.
        num_gpus: of each worker; a part of one, such as 0.5, lets workers share it.
        num_cpus: of each worker; also its threads.

    Raises:
        ImportError: without the extra `ray`.
        TypeError, ValueError: images that cannot be asked for by number, as of a loader.
    """
    ray = _import_ray()
    if not source.indexed or source.count is None:
        raise TypeError(
            'images: engine="ray" asks for images by number; give a list, a data set, a folder or '
            "an array; of a DataLoader its `dataset`"
        )
    _check_workers(concurrency, num_gpus, num_cpus)
    reader = FeatureReader(net, names, spatial, 1)
    _probe(reader, source)
    with tempfile.TemporaryDirectory(prefix="nbcnnviz-") as temporary:
        folder = Path(os.fsdecode(out) if out is not None else temporary).absolute()
        parts = Parts(folder, reader.layers)
        facts = facts_of(net, source, reader.layers, spatial)
        journal = Journal(folder / "features.json", facts, str(folder))
        journal.write({})
        resumed = sum(stop - start for start, stop in parts.there())
        with _running(ray) as own:
            plan = _Plan(batch_size, spatial, concurrency, num_gpus, num_cpus)
            plan.check(ray, own)
            stopped = _run(
                ray,
                net,
                source,
                parts,
                plan,
                on_progress,
            )
        layers, failures, done = parts.collect(source.count)
    if done == len(failures):
        raise none_readable(source, failures)
    notes = (*source.notes, *reader.notes, *faulty(layers, failures))
    complete = done == source.count
    if stopped and not complete:
        # Workers do not work in order: what lies beyond the first gap is kept in the folder only.
        notes = (*notes, f"The first {len(next(iter(layers.values())))} of {done} rows are given.")
    return Extraction(
        layers, failed(source, failures), source.count, complete, resumed, tuple(notes)
    )


def _import_ray() -> Any:
    try:
        ray = importlib.import_module("ray")
        importlib.import_module("ray.data")
        importlib.import_module("pyarrow.parquet")
    except ImportError as error:
        raise ImportError('engine="ray" needs Ray Data: pip install "nbcnnviz[ray]"') from error
    return ray


def _check_workers(concurrency: Any, num_gpus: Any, num_cpus: Any) -> None:
    pair = concurrency if isinstance(concurrency, tuple | list) else (concurrency,)
    if concurrency is not None:
        for number in pair:
            check_count("concurrency", number)
        if len(pair) > 2 or pair[0] > pair[-1]:
            raise ValueError(
                f"concurrency={concurrency!r}: give a number of workers, or (least, most)"
            )
    for name, value in (("num_gpus", num_gpus), ("num_cpus", num_cpus)):
        if isinstance(value, bool) or not isinstance(value, int | float) or value < 0:
            raise ValueError(f"{name}={value!r}: give a number of at least 0, for each worker")


def _probe(reader: FeatureReader, source: Source) -> None:
    """Refuse here, in plain words, what would fail on every worker."""
    images = source.taken()
    with quiet(reader.net.device), torch.inference_mode(False), torch.no_grad():
        for _ in range(_PROBED):
            items = images.take(1)
            if not len(items) or reader.rows(items).places:
                return


@contextmanager
def _running(ray: Any) -> Iterator[bool]:
    """A cluster: the program's own, or one for the moment, which is told."""
    own = not ray.is_initialized()
    if own:
        ray.init(include_dashboard=False, log_to_driver=False)
    context = ray.data.DataContext.get_current()
    bars, context.enable_progress_bars = context.enable_progress_bars, False
    try:
        yield own
    finally:
        context.enable_progress_bars = bars
        if own:
            ray.shutdown()


@dataclass(frozen=True)
class _Plan:
    """How to work."""

    batch_size: int
    spatial: str
    concurrency: int | tuple[int, int] | None
    num_gpus: float
    num_cpus: float

    def check(self, ray: Any, fixed: bool) -> None:
        """Refuse what would wait for ever; a cluster that is not `fixed` may grow."""
        have = ray.cluster_resources() if fixed else {}
        for name, key, need in (
            ("num_cpus", "CPU", self.num_cpus),
            ("num_gpus", "GPU", self.num_gpus),
        ):
            if fixed and need > have.get(key, 0):
                raise ValueError(
                    f"{name}={need}: this machine has {have.get(key, 0):g}; give less, or connect "
                    "to a cluster first (ray.init)"
                )

    def workers(self, ray: Any, parts: int) -> tuple[int, int]:
        """The least and the most."""
        if isinstance(self.concurrency, int):
            return self.concurrency, self.concurrency
        if self.concurrency is not None:
            least, most = self.concurrency
            return least, most
        have = ray.cluster_resources()
        fit = [
            have.get(name, 0) // need
            for name, need in (("CPU", self.num_cpus), ("GPU", self.num_gpus))
            if need
        ]
        most = max(1, min(int(min(fit, default=1)), parts))
        return most, most


def _run(
    ray: Any, net: Network, source: Source, parts: Parts, plan: _Plan, on_progress: Progress | None
) -> bool:
    """Work off what is missing; whether it was stopped."""
    total = source.count or 0
    done = sum(stop - start for start, stop in parts.there())
    missing = parts.missing(total)
    if not missing:
        return False
    least, most = plan.workers(ray, len(missing))
    size = _part_size(total, most, plan.batch_size)
    parts.tidy()
    todo = [
        {"start": first, "stop": min(first + size, stop)}
        for start, stop in missing
        for first in range(start, stop, size)
    ]
    shipped = {"net": ray.put(pack(net)), "source": ray.put(source)}
    results = ray.data.from_items(todo, override_num_blocks=len(todo)).map_batches(
        Worker,
        batch_size=1,
        compute=ray.data.ActorPoolStrategy(min_size=least, max_size=most),
        num_cpus=plan.num_cpus,
        num_gpus=plan.num_gpus or None,
        fn_constructor_kwargs={
            **shipped,
            "folder": str(parts.folder),
            "names": parts.names,
            "batch_size": plan.batch_size,
            "spatial": plan.spatial,
            "threads": max(1, int(plan.num_cpus)),
        },
    )
    for batch in results.iter_batches(batch_size=None, prefetch_batches=0):
        done += int((batch["stop"] - batch["start"]).sum())
        if on_progress is not None and on_progress(done, total) is True:
            return True
    return False


def _part_size(total: int, workers: int, batch_size: int) -> int:
    """Whole batches, not too many and not too few parts."""
    share = -(-total // (workers * _SHARES))
    return max(batch_size, min(_LARGEST, -(-share // batch_size) * batch_size))


# -- on the workers -------------------------------------------------------------------------------


def pack(net: Network) -> dict[str, Any]:
    """A network in a form that travels: its tensors need no GPU at the other end."""
    stream = io.BytesIO()
    # By value, so that a model whose class was written in a notebook arrives, too.
    torch.save(net.model, stream, pickle_module=importlib.import_module("ray.cloudpickle"))
    return {"model": stream.getvalue(), "preprocess": net.preprocess}


def unpack(packed: dict[str, Any], device: str) -> Network:
    """The network again."""
    from .network import Network

    stream = io.BytesIO(packed["model"])
    # What the same program has just written.
    model = torch.load(stream, map_location="cpu", weights_only=False)
    net = Network(model, device=device)
    net.preprocess = packed["preprocess"]
    return net


class Worker:
    """One copy of the network; called with parts of the images."""

    def __init__(
        self,
        net: Any,
        source: Any,
        folder: str,
        names: Sequence[str],
        batch_size: int,
        spatial: str,
        threads: int,
    ) -> None:
        ray = importlib.import_module("ray")
        torch.set_num_threads(threads)
        packed, self._source = ray.get([net, source])
        device = "cuda" if ray.get_gpu_ids() else "cpu"
        self._reader = FeatureReader(unpack(packed, device), names, spatial, batch_size)
        self._parts = Parts(Path(folder), names)

    def __call__(self, batch: dict[str, Any]) -> dict[str, Any]:
        for start, stop in zip(batch["start"].tolist(), batch["stop"].tolist(), strict=True):
            self._work(start, stop)
        return batch

    def _work(self, start: int, stop: int) -> None:
        self._parts.attempt((start, stop))
        values: dict[str, list[tuple[int, Floats]]] = {name: [] for name in self._reader.layers}
        failures: dict[int, str] = {}
        images = self._source.taken(start)
        first = start
        while first < stop:
            with quiet(self._reader.net.device):
                items = images.take(min(self._reader.batch_size, stop - first))
            with torch.inference_mode(False), torch.no_grad():
                rows = self._reader.rows(items)
            failures |= {first + place: why for place, why in rows.failures.items()}
            for name, found in rows.values.items():
                full = rows.filled(name, found.shape[1])
                values[name].append((first - start, full))
            first += len(items)
        self._parts.write((start, stop), values, failures)


__all__ = ["Parts", "Worker", "extract_on_ray", "pack", "unpack"]
