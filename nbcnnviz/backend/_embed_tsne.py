"""t-SNE by openTSNE, seen frame by frame and stopped at any iteration."""

from __future__ import annotations

import math
import numbers
import time
from typing import Any

import numpy as np
import torch

from ._arguments import check_count, is_whole
from ._embed_project import Array, Frame, OnFrame, Points, Projection, Table, initial_map, principal

PERPLEXITY = 30.0
_EXACT = 30_000**2 * 50
"""Points squared times features up to which exact neighbours are found sooner than approximate."""
_SLOW = 1.0
"""Seconds without a frame after which one comes in any case."""
_START = 1e-4
"""Standard deviation of the first map: a larger one converges badly."""


def tsne(
    table: Table,
    on_frame: OnFrame | None,
    seed: int,
    *,
    perplexity: float | None = None,
    iterations: int = 750,
    every: int = 10,
    initial: Any = None,
    pca: int | str | None = "auto",
    early_exaggeration: float = 12.0,
    early_iterations: int | None = None,
    exaggeration: float | None = None,
    learning_rate: float | str = "auto",
    metric: str = "euclidean",
    neighbors: str = "auto",
    gradient: str = "auto",
    n_jobs: int | None = None,
) -> Projection:
    """A t-SNE map of the table.

    Args:
        table: the features.
        on_frame: see `project`.
        seed: of approximate neighbours.
        perplexity: how many neighbours count, about; None: 30, or (N - 1) / 3 if that is less.
        iterations: of which the first third, at most 250, with early exaggeration.
        every: iterations between two frames; where these take long, a frame comes every second.
        initial: a map (N, 2) to start from; None: the first two principal components.
        pca: reduce the features to so many principal components first; None: take them all;
            "auto": 50, and all for another metric than the Euclidean, which it would change.
        early_exaggeration: by which attraction is multiplied at first.
        early_iterations: how long.
        exaggeration: by which it is multiplied afterwards; None: not at all.
        learning_rate: "auto": N / exaggeration (Belkina et al., 2019).
        metric: between features, for example "cosine".
        neighbors: "auto": exact up to 30,000 points of 50 features; "exact" or "approx".
        gradient: "auto": Barnes and Hut's below 10,000 points, else interpolation; "bh", "fft".
        n_jobs: threads; None: as many as PyTorch takes.
    """
    check_count("iterations", iterations)
    early = min(250, iterations // 3) if early_iterations is None else early_iterations
    if pca == "auto":
        pca = 50 if metric == "euclidean" else None
    threads = torch.get_num_threads() if n_jobs is None else n_jobs
    _check(table, iterations, every, early, pca, neighbors, gradient, threads)
    _check_strengths(early_exaggeration, exaggeration, learning_rate)
    if metric == "cosine" and not np.asarray(table.good()).any(1).all():
        raise ValueError('metric="cosine": a row of zeros has no direction; leave it out (NaN)')
    notes = table.notes()
    chosen = _perplexity(perplexity, table.count, notes)
    reduced, reduce = _reduced(table.good(), pca, seed, notes)
    start = _start(initial, table, reduced, seed)
    work = _Work(table, on_frame, iterations, every)
    embedding: Any = start
    # The start is shown, and may be the end, before the neighbours are looked for.
    if work.begin(start):
        embedding = _prepare(
            reduced, start, chosen, metric, neighbors, threads, seed, gradient, learning_rate
        )
        late = exaggeration or 1.0
        work.run(embedding, [(early, early_exaggeration), (iterations - early, late)])

    def transform(some: Array) -> Points:
        return _transformed(embedding, reduce(some))

    options = {
        "perplexity": chosen,
        "iterations": iterations,
        "every": every,
        "initial": "pca" if initial is None else "given",
        "pca": pca,
        "early_exaggeration": early_exaggeration,
        "early_iterations": early,
        "exaggeration": exaggeration,
        "learning_rate": learning_rate,
        "metric": metric,
        "neighbors": neighbors,
        "gradient": gradient,
    }
    return Projection(
        table.spread(np.array(embedding)),
        "tsne",
        options,
        tuple(notes),
        kl=work.kl,
        history=tuple(work.history),
        iterations=work.done,
        complete=not work.stopped,
        width=table.width,
        _transform=transform if embedding is not start else None,
    )


def _check(
    table: Table,
    iterations: Any,
    every: Any,
    early: Any,
    pca: Any,
    neighbors: str,
    gradient: str,
    threads: Any,
) -> None:
    check_count("every", every)
    check_count("n_jobs", threads)
    if not is_whole(early) or early < 0:
        raise ValueError(f"early_iterations={early!r}: give a whole number of at least 0")
    if early > iterations:
        raise ValueError(f"early_iterations={early}: more than the {iterations} iterations in all")
    if pca is not None:
        check_count("pca", pca)
    if neighbors not in ("auto", "exact", "approx"):
        raise ValueError(f"neighbors={neighbors!r}: choose one of ['auto', 'exact', 'approx']")
    if gradient not in ("auto", "bh", "fft"):
        raise ValueError(f"gradient={gradient!r}: choose one of ['auto', 'bh', 'fft']")
    if table.count < 4:
        raise ValueError(
            f"features: {table.count} points are too few for t-SNE; give at least 4, or choose "
            'method="pca"'
        )


def _check_strengths(early: Any, late: Any, rate: Any) -> None:
    strengths = (
        ("early_exaggeration", early, False),
        ("exaggeration", late, late is None),
        ("learning_rate", rate, rate == "auto"),
    )
    for name, value, fine in strengths:
        number = isinstance(value, numbers.Real) and not isinstance(value, bool)
        if not fine and not (number and 0 < value < np.inf):
            raise ValueError(f"{name}={value!r}: give a positive number")


def _perplexity(perplexity: Any, count: int, notes: list[str]) -> float:
    """Three times as many neighbours are looked at, and there must be so many."""
    most = (count - 1) / 3
    if perplexity is None:
        if most < PERPLEXITY:
            notes.append(f"Perplexity is {most:.3g}: {count} points allow no more.")
        return min(PERPLEXITY, most)
    if isinstance(perplexity, bool) or not isinstance(perplexity, numbers.Real):
        raise TypeError(f"perplexity={perplexity!r}: give a number, such as 30")
    wanted = float(perplexity)
    if not 1 <= wanted <= most:
        fix = f"give 1 to {int(most * 10) / 10:g}"
        more = f", or at least {math.ceil(3 * wanted) + 1} points" if wanted > 1 else ""
        raise ValueError(f"perplexity={perplexity}: with {count} points {fix}{more}")
    return wanted


def _reduced(features: Array, pca: Any, seed: int, notes: list[str]) -> tuple[Array, Any]:
    """Features of fewer dimensions, and how to make others so."""
    if pca is None or features.shape[1] <= pca:
        return np.asarray(features, np.float64), lambda some: np.asarray(some, np.float64)
    found = principal(features, pca, seed)
    kept = 100 * float(found.explained.sum())
    notes += [
        f"{features.shape[1]} features are reduced to {found.xy.shape[1]} principal components "
        f"first, with {kept:.3g} % of the variance.",
        *found.notes,
    ]
    return found.xy, found.transform


def _start(initial: Any, table: Table, reduced: Array, seed: int) -> Points:
    """The first map (count, 2)."""
    if initial is None:
        xy = principal(reduced, 2, seed).xy
        if xy.shape[1] < 2:
            xy = np.pad(xy, ((0, 0), (0, 1)))
    else:
        xy = initial_map(initial, table)
    spread = float(xy.std(0).max())
    if spread > 0:
        xy = (xy - xy.mean(0)) * (_START / spread)
    # Points that coincide would never part.
    return xy + np.random.default_rng(seed).normal(0, _START / 100, xy.shape)


def _prepare(
    features: Array,
    start: Points,
    perplexity: float,
    metric: str,
    neighbors: str,
    threads: int,
    seed: int,
    gradient: str,
    learning_rate: float | str,
) -> Any:
    """openTSNE's embedding, before the first step."""
    from openTSNE import TSNE
    from openTSNE.affinity import MultiscaleMixture

    table = np.ascontiguousarray(features)
    exact = neighbors == "exact" or (
        neighbors == "auto" and len(features) ** 2 * features.shape[1] <= _EXACT
    )
    # Several threads would not build the same approximate index every time.
    fixed = {"metric": metric, "n_jobs": 1, "random_state": seed}
    if exact:
        index = _exact_index(table, min(len(table) - 1, int(3 * perplexity)), fixed)
        affinities = MultiscaleMixture(perplexities=perplexity, knn_index=index, n_jobs=1)
    else:
        affinities = MultiscaleMixture(table, perplexity, method="approx", **fixed)
    model = TSNE(
        perplexity=perplexity,
        learning_rate=learning_rate,
        negative_gradient_method=gradient,
        n_jobs=threads,
        random_state=seed,
    )
    return model.prepare_initial(affinities=affinities, initialization=start)


def _exact_index(table: Array, k: int, options: dict[str, Any]) -> Any:
    """Named outright: to choose one itself, openTSNE tries to import what takes seconds."""
    from openTSNE.nearest_neighbors import Sklearn

    return Sklearn(table, k, knn_kwargs={"algorithm": "brute"}, **options)


class _StopError(Exception):
    """A frame was answered with True."""


class _Work:
    """The descent. It stands in for openTSNE's gradient, so that it is asked at each iteration."""

    def __init__(self, table: Table, on_frame: OnFrame | None, iterations: int, every: int) -> None:
        self.done = 0
        self.kl: float | None = None
        self.history: list[tuple[int, float]] = []
        self.stopped = False
        self._table = table
        self._on_frame = on_frame
        self._iterations = iterations
        self._every = every
        self._gradient: Any = None
        self._factor = 1.0
        self._ends = 0
        self._shown = (0, 0.0)

    def begin(self, start: Points) -> bool:
        """Show the first map; whether to go on."""
        if self._on_frame is not None:
            frame = Frame(self._table.spread(start), 0, self._iterations)
            self.stopped = self._on_frame(frame) is True
        self._shown = 0, time.perf_counter()
        return not self.stopped

    def run(self, embedding: Any, phases: list[tuple[int, float]]) -> None:
        """Run the phases, of so many iterations and so much exaggeration."""
        from openTSNE import tsne as library

        chosen = embedding.gradient_descent_params["negative_gradient_method"]
        fft = chosen == "fft" or (chosen == "auto" and len(embedding) >= 10_000)
        self._gradient = library.kl_divergence_fft if fft else library.kl_divergence_bh
        joint = embedding.affinities.P
        for count, factor in phases:
            if not count:
                continue
            self._factor, self._ends = factor, self.done + count
            try:
                embedding.optimize(
                    count,
                    exaggeration=factor,
                    negative_gradient_method=self,
                    inplace=True,
                    propagate_exception=True,
                )
            except _StopError:
                self.stopped = True
                joint /= factor if factor != 1 else 1.0
                return

    def __call__(
        self, embedding: Any, joint: Any, should_eval_error: bool = False, **kw: Any
    ) -> Any:
        """The KL divergence and its gradient, as openTSNE asks for them."""
        # After the last step it asks once more, with the exaggeration taken back.
        last = self.done == self._ends
        due = self._due() or (last and self.done == self._iterations)
        kl, gradient = self._gradient(embedding, joint, should_eval_error=due, **kw)
        if due:
            factor = 1.0 if last else self._factor
            self._show(embedding, float(kl) / factor - float(np.log(factor)))
        if not last:
            self.done += 1
        return kl, gradient

    def _due(self) -> bool:
        iteration, when = self._shown
        if iteration == self.done:
            return False
        return self.done % self._every == 0 or time.perf_counter() - when > _SLOW

    def _show(self, embedding: Any, kl: float) -> None:
        again = self._shown[0] == self.done
        self.kl = kl
        if again:
            return
        self.history.append((self.done, kl))
        if self._on_frame is not None:
            xy = self._table.spread(np.array(embedding))
            frame = Frame(xy, self.done, self._iterations, kl)
            if self._on_frame(frame) is True and self.done < self._iterations:
                raise _StopError
        self._shown = self.done, time.perf_counter()


def _transformed(embedding: Any, features: Array) -> Points:
    """Further points among those of a map, each by its own neighbours (Policar et al., 2019)."""
    count = len(embedding)
    # openTSNE moves the centre of the map it is given; ours shall stay.
    whole = np.array(embedding)
    middle = (whole.max(0) + whole.min(0)) / 2
    perplexity = min(5.0, max(1.0, (count - 1) / 3))
    placed = embedding.transform(
        np.ascontiguousarray(features), perplexity=perplexity, k=min(25, count)
    )
    embedding[:] = whole
    points: Points = np.array(placed) + middle
    return points
