"""UMAP by umap-learn, which is asked once and answers with the finished map."""

from __future__ import annotations

import importlib
import warnings
from typing import Any

import numpy as np

from ._arguments import check_count
from ._embed_project import Frame, OnFrame, Projection, Table, initial_map


def umap(
    table: Table,
    on_frame: OnFrame | None,
    seed: int,
    *,
    neighbors: int = 15,
    min_dist: float = 0.1,
    metric: str = "euclidean",
    initial: Any = None,
    **more: Any,
) -> Projection:
    """McInnes, Healy & Melville (2018, https://arxiv.org/abs/1802.03426).

    Args:
        table: the features.
        on_frame: called once, with the result: umap-learn cannot be stopped on the way.
        seed: of all that it draws.
        neighbors: how many count.
        min_dist: between two points of the map, about.
        metric: between features.
        initial: a map (N, 2) to start from, which is umap-learn's `init` otherwise.
        more: options of umap-learn.
    """
    library = _import()
    check_count("neighbors", neighbors)
    if not 2 <= neighbors < table.count:
        raise ValueError(
            f"neighbors={neighbors}: with {table.count} points give 2 to {table.count - 1}, or "
            "more points"
        )
    asked = more
    if initial is not None:
        asked = {**more, "init": initial_map(initial, table).astype(np.float32)}
    model = library.UMAP(
        n_neighbors=neighbors,
        min_dist=min_dist,
        metric=metric,
        random_state=seed,
        n_jobs=1,  # with a seed UMAP works on one thread, and warns if it is asked for more
        **asked,
    )
    xy = table.spread(model.fit_transform(np.asarray(table.good(), np.float32)))
    notes = table.notes()
    if on_frame is not None:
        notes.append("UMAP shows its end only: it cannot be stopped on the way.")
        on_frame(Frame(xy.copy(), 1, 1, None, "umap"))
    start = {} if initial is None else {"initial": "given"}
    return Projection(
        xy,
        "umap",
        {"neighbors": neighbors, "min_dist": min_dist, "metric": metric, **start, **more},
        tuple(notes),
        width=table.width,
        _transform=lambda some: np.asarray(model.transform(np.asarray(some, np.float32))),
    )


def _import() -> Any:
    try:
        with warnings.catch_warnings():
            # It says at import what of it will be missing without TensorFlow.
            warnings.simplefilter("ignore", ImportWarning)
            return importlib.import_module("umap")
    except ImportError as error:
        raise ImportError('method="umap" needs umap-learn: pip install "nbcnnviz[umap]"') from error
