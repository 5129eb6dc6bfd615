"""Maps in the plane: PCA against scikit-learn, t-SNE against bare openTSNE by its figures."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import scipy.spatial
from hypothesis import given, settings
from hypothesis import strategies as st
from openTSNE import TSNE
from openTSNE.tsne import kl_divergence_bh
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from sklearn.neighbors import NearestNeighbors

from nbcnnviz.backend import _embed_project, _embed_quality, _embed_store, _embed_tsne
from nbcnnviz.backend._embed_lapse import aligned
from nbcnnviz.backend.embedding import preload, project, projection, quality, time_lapse

DIGITS = load_digits()
X = DIGITS.data[:400].astype(np.float32)
LABELS = DIGITS.target[:400]


def drawn(rows: int, width: int, seed: int = 0) -> np.ndarray:
    """With a variance that falls from column to column, and a mean far from zero."""
    random = np.random.default_rng(seed)
    return random.normal(size=(rows, width)) * np.geomspace(5, 0.5, width) + 20


def up_to_sign(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`a` with each column's sign as in `b`."""
    return a * np.sign((a * b).sum(0))


# -- PCA ------------------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(rows=st.integers(3, 60), width=st.integers(2, 40), seed=st.integers(0, 999))
def test_pca_is_scikit_learns_up_to_sign(rows, width, seed):
    table = drawn(rows, width, seed)
    found = projection(table)
    model = PCA(min(10, rows, width), svd_solver="full")
    expected = model.fit_transform(table)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(
        up_to_sign(found.xy, expected[:, :2]), expected[:, :2], atol=1e-8 * scale
    )
    np.testing.assert_allclose(found.explained, model.explained_variance_ratio_, atol=1e-10)
    more = drawn(5, width, seed + 1)
    np.testing.assert_allclose(
        up_to_sign(found.transform(more), model.transform(more)[:, :2]),
        model.transform(more)[:, :2],
        atol=1e-8 * scale,
    )


def test_pca_of_digits_in_single_precision_with_a_large_mean():
    table = X + np.float32(5000)
    expected = PCA(2, svd_solver="full").fit_transform(table.astype(np.float64))
    found = project(table)
    np.testing.assert_allclose(up_to_sign(found, expected), expected, atol=1e-6)


def test_pca_of_large_tables_by_random_projections_is_near(monkeypatch):
    monkeypatch.setattr(_embed_project, "_EXACT", 20)
    found = projection(X, seed=3)
    expected = PCA(2, svd_solver="full").fit_transform(X)
    np.testing.assert_allclose(up_to_sign(found.xy, expected), expected, atol=1e-2)
    assert "random projections" in found.notes[0]
    np.testing.assert_array_equal(found.xy, project(X, seed=3))


def test_pca_of_what_does_not_fit_in_memory(monkeypatch, tmp_path):
    np.save(tmp_path / "x.npy", X)
    table = np.load(tmp_path / "x.npy", mmap_mode="r")
    monkeypatch.setattr(_embed_store, "available", lambda: 100_000)
    monkeypatch.setattr(_embed_project, "_CHUNK", 10_000)
    found = projection(table)
    monkeypatch.undo()
    model = PCA(2, svd_solver="full")
    expected = model.fit_transform(X)
    assert "in 2 pieces" not in found.notes[0] and "pieces" in found.notes[0]
    turned = up_to_sign(found.xy, expected)
    assert np.abs(turned - expected).max() < 0.05 * np.abs(expected).max()
    np.testing.assert_allclose(found.explained[:2], model.explained_variance_ratio_, rtol=0.01)
    np.testing.assert_allclose(found.transform(X[:7]), found.xy[:7], atol=1e-9)


def test_pca_of_very_little():
    assert projection(np.ones((4, 3))).notes == ("All rows are equal.",)
    np.testing.assert_array_equal(project(np.ones((4, 3))), np.zeros((4, 2)))
    np.testing.assert_array_equal(project(np.ones((1, 3))), np.zeros((1, 2)))
    line = project(np.array([[0.0], [1.0], [3.0]]))
    assert line.shape == (3, 2) and not line[:, 1].any() and np.ptp(line[:, 0]) == pytest.approx(3)
    found = projection(np.ones((4, 3), int))
    np.testing.assert_array_equal(found.transform(np.zeros((2, 3))), np.zeros((2, 2)))


def test_pca_frames():
    frames = []
    xy = project(X, on_frame=frames.append)
    assert len(frames) == 1 and frames[0].progress == 1
    np.testing.assert_array_equal(frames[0].xy, xy)


# -- t-SNE ----------------------------------------------------------------------------------------


def neighbours(table: np.ndarray, k: int = 10) -> np.ndarray:
    near = NearestNeighbors(n_neighbors=k).fit(table)
    return near.kneighbors(return_distance=False)


def preserved(table: np.ndarray, xy: np.ndarray) -> float:
    """Share of each point's 10 neighbours that it keeps."""
    pairs = zip(neighbours(table), neighbours(xy), strict=True)
    return float(np.mean([len(set(a) & set(b)) / 10 for a, b in pairs]))


def kl_of(xy: np.ndarray, joint) -> float:
    """By openTSNE's own objective."""
    xy = np.ascontiguousarray(xy, np.float64)
    return kl_divergence_bh(xy, joint, 1, {"theta": 0.1}, should_eval_error=True)[0]


@pytest.fixture(scope="module")
def found():
    frames = []
    result = projection(X, "tsne", frames.append)
    return SimpleNamespace(result=result, frames=frames)


@pytest.fixture(scope="module")
def bare():
    start = PCA(2, svd_solver="full").fit_transform(X.astype(np.float64))
    start *= 1e-4 / start.std(0).max()
    return TSNE(initialization=start, neighbors="exact", random_state=0).fit(X.astype(np.float64))


def test_tsne_is_as_good_as_bare_opentsne(found, bare):
    joint = bare.affinities.P
    ours, theirs = kl_of(found.result.xy, joint), kl_of(np.array(bare), joint)
    assert ours == pytest.approx(theirs, abs=0.02)
    kept, expected = preserved(X, found.result.xy), preserved(X, np.array(bare))
    assert kept == pytest.approx(expected, abs=0.02) and kept > 0.5
    random = np.random.default_rng(0).normal(size=(400, 2))
    assert preserved(X, random) < 0.1 and kl_of(random, joint) > 2 * ours


def test_the_reported_divergences_are_those_of_the_frames(found):
    assert found.result.kl == found.result.history[-1][1] == found.frames[-1].kl
    embedding = TSNE(neighbors="exact", random_state=0).prepare_initial(
        PCA(50, svd_solver="full").fit_transform(X.astype(np.float64))
    )
    joint = embedding.affinities.P
    for frame in found.frames[1 :: len(found.frames) // 6]:
        # With and without early exaggeration.
        assert frame.kl == pytest.approx(kl_of(frame.xy, joint), rel=0.02)
    assert kl_of(found.result.xy, joint) == pytest.approx(found.result.kl, rel=0.02)


def test_frames_come_every_few_iterations(found):
    numbers = [frame.iteration for frame in found.frames]
    assert numbers == list(range(0, 751, 10)) == [0, *(i for i, _ in found.result.history)]
    assert found.frames[0].kl is None
    assert {frame.total for frame in found.frames} == {750}
    np.testing.assert_array_equal(found.frames[-1].xy, found.result.xy)
    assert found.frames[0].xy.std() < 1e-3 < found.frames[-1].xy.std()
    assert found.result.complete and found.result.iterations == 750
    fine = []
    projection(X[:50], "tsne", fine.append, iterations=7, every=3)
    assert [frame.iteration for frame in fine] == [0, 3, 6, 7]


def test_frames_do_not_change_the_map(found):
    np.testing.assert_array_equal(project(X, "tsne"), found.result.xy)
    np.testing.assert_array_equal(project(X, "tsne", every=50), found.result.xy)


def test_slow_iterations_give_a_frame_each_second(monkeypatch):
    clock = iter(np.arange(0, 1e4, 0.6))
    monkeypatch.setattr(_embed_tsne, "time", SimpleNamespace(perf_counter=lambda: next(clock)))
    frames = []
    projection(X[:50], "tsne", frames.append, iterations=20, every=1000)
    numbers = [frame.iteration for frame in frames]
    assert numbers[0] == 0 and numbers[-1] == 20 and len(numbers) > 6
    assert max(np.diff(numbers)) == 2


@pytest.mark.parametrize("at", [0, 10, 240, 250, 260, 740])
def test_stop_returns_the_map_on_the_screen(at):
    frames = []

    def stop(frame):
        frames.append(frame)
        return frame.iteration == at

    result = projection(X[:120], "tsne", stop)
    assert not result.complete and result.iterations == at == frames[-1].iteration
    np.testing.assert_array_equal(result.xy, frames[-1].xy)
    assert result.kl == frames[-1].kl
    if at:  # like any other map it takes further points
        assert np.isfinite(result.transform(X[120:125])).all()
    else:
        with pytest.raises(ValueError, match="takes no further points"):
            result.transform(X[120:125])


def test_true_at_the_last_frame_is_no_stop():
    result = projection(X[:60], "tsne", lambda f: f.iteration == 30, iterations=30)
    assert result.complete and result.iterations == 30


def test_an_error_in_on_frame_passes():
    def fails(frame):
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        project(X, "tsne", fails)


def test_the_seed_decides():
    few = X[:150]
    one = project(few, "tsne", seed=1, iterations=200)
    np.testing.assert_array_equal(one, project(few, "tsne", seed=1, iterations=200))
    assert not np.array_equal(one, project(few, "tsne", seed=2, iterations=200))
    approximate = [
        project(few, "tsne", seed=1, iterations=20, neighbors="approx", n_jobs=2) for _ in range(2)
    ]
    np.testing.assert_array_equal(*approximate)


def test_threads_do_not_change_the_map():
    one, two = (project(X[:150], "tsne", iterations=300, n_jobs=n) for n in (1, 2))
    np.testing.assert_array_equal(one, two)


def test_global_random_states_are_left_alone():
    before = np.random.get_state()[1].copy()
    project(X[:60], "tsne", iterations=20)
    project(X[:60])
    quality(X[:60], X[:60, :2] + np.arange(60)[:, None])
    assert np.array_equal(np.random.get_state()[1], before)


def test_interpolation_and_trees_agree():
    few = X[:300]
    trees = projection(few, "tsne", iterations=300, gradient="bh")
    grid = projection(few, "tsne", iterations=300, gradient="fft")
    assert grid.kl == pytest.approx(trees.kl, abs=0.05)


def test_many_features_are_reduced_and_that_is_said():
    found = projection(X, "tsne", iterations=50)
    assert found.notes[0].startswith("64 features are reduced to 50 principal components")
    assert projection(X, "tsne", iterations=50, pca=None).notes == ()
    narrow = projection(X[:, 20:40], "tsne", iterations=50)
    assert narrow.notes == () and narrow.options["pca"] == 50


def test_angles_are_not_changed_by_a_reduction():
    turned = X[:120] * np.random.default_rng(0).uniform(0.1, 10, (120, 1))
    found = projection(turned, "tsne", metric="cosine", iterations=300)
    assert found.notes == () and found.options["pca"] is None
    assert trustworthiness(X[:120], found.xy, metric="cosine") > 0.95
    turned[4] = 0
    with pytest.raises(ValueError, match="a row of zeros has no direction"):
        project(turned, "tsne", metric="cosine")


@pytest.mark.parametrize("count", [4, 5, 10, 30, 91])
def test_few_points_lower_the_default_perplexity_and_say_so(count):
    found = projection(X[:count], "tsne", iterations=60)
    assert np.isfinite(found.xy).all()
    assert found.options["perplexity"] == pytest.approx(min(30, (count - 1) / 3))
    assert any("Perplexity is" in note for note in found.notes) == (count < 91)
    assert np.isfinite(found.transform(X[200:202])).all()


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        (
            {"perplexity": 30},
            ValueError,
            r"perplexity=30: with 50 points give 1 to 16\.3, or at least 91",
        ),
        ({"perplexity": 0}, ValueError, "perplexity=0: with 50 points give 1 to"),
        ({"perplexity": "auto"}, TypeError, "perplexity='auto'"),
        ({"iterations": 0}, ValueError, "iterations=0"),
        ({"every": 1.5}, ValueError, r"every=1\.5"),
        ({"early_iterations": 2000}, ValueError, "early_iterations=2000: more than the 750"),
        ({"early_iterations": -1}, ValueError, "early_iterations=-1"),
        ({"neighbors": "some"}, ValueError, "neighbors='some'"),
        ({"gradient": "some"}, ValueError, "gradient='some'"),
        ({"initial": np.zeros((3, 2))}, ValueError, "initial: 3 x 2; give a map 50 x 2"),
        ({"initial": np.full((50, 2), np.inf)}, ValueError, "initial: it holds"),
        ({"pca": 0}, ValueError, "pca=0"),
        ({"pca": "all"}, ValueError, "pca='all'"),
        ({"n_jobs": 0}, ValueError, "n_jobs=0"),
        ({"learning_rate": "fast"}, ValueError, "learning_rate='fast': give a positive number"),
        ({"early_exaggeration": 0}, ValueError, "early_exaggeration=0"),
        ({"exaggeration": -2}, ValueError, "exaggeration=-2"),
        ({"perplex": 3}, TypeError, "perplex: method='tsne' has no such option; it takes"),
        ({"seed": -1}, ValueError, "seed=-1"),
        ({"seed": 0.5}, ValueError, r"seed=0\.5"),
        ({"on_frame": 3}, TypeError, "on_frame: a int"),
        ({"method": "mds"}, ValueError, r"method='mds': choose one of \['pca', 'tsne', 'umap'\]"),
    ],
)
def test_wrong_options_are_refused(options, error, said):
    with pytest.raises(error, match=said):
        project(X[:50], **{"method": "tsne", **options})


@pytest.mark.parametrize(
    ("features", "error", "said"),
    [
        (np.zeros((3, 0)), ValueError, "features: 3 x 0; give"),
        (np.zeros(3), ValueError, "features: 3; give"),
        (np.zeros((2, 3, 4)), ValueError, "features: 2 x 3 x 4"),
        ([["a", "b"]], TypeError, "features: an array of"),
        ([[1.0, np.inf], [0, 0]], ValueError, "row 0, column 1 is inf; replace"),
        ([[1.0, np.nan], [0, 0]], ValueError, "row 0, column 1 is nan"),
        (np.full((2, 2), np.nan), ValueError, "all rows are NaN"),
        (np.zeros((2, 2), complex), TypeError, "features: an array of complex128"),
    ],
)
def test_wrong_features_are_refused(features, error, said):
    with pytest.raises(error, match=said):
        project(features)


def test_too_few_points_for_tsne():
    with pytest.raises(ValueError, match="3 points are too few for t-SNE"):
        project(X[:3], "tsne")


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_missing_rows_have_no_place(method):
    table = X[:60].copy()
    table[[3, 59]] = np.nan
    options = {} if method == "pca" else {"iterations": 60}
    found = projection(table, method, **options)
    missing = np.isnan(found.xy).all(1)
    assert np.flatnonzero(missing).tolist() == [3, 59]
    assert found.notes[0] == "2 of 60 rows are NaN and have no place."
    rest = np.delete(table, [3, 59], 0)
    np.testing.assert_array_equal(found.xy[~missing], project(rest, method, **options))


def test_equal_rows_are_no_obstacle():
    table = np.repeat(X[:20], 5, 0)
    assert np.isfinite(project(table, "tsne", iterations=60)).all()
    found = projection(np.ones((30, 4)), "tsne", iterations=60)
    assert np.isfinite(found.xy).all() and "All rows are equal." in found.notes
    wide = projection(np.ones((30, 60)), "tsne", iterations=60)
    assert wide.notes.count("All rows are equal.") == 1
    assert projection(table, "tsne", iterations=60).notes[-1] != "All rows are equal."


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_rows_are_equal_up_to_their_last_digits(dtype, monkeypatch):
    # As the same image has other last digits in another batch.
    table = np.ones((40, 6), dtype) * np.array([3, 1e-3, 0, 1, 2, -1], dtype)
    assert _embed_project.equal_rows(table)
    nearly = table.copy()
    nearly[7, 1] += 2 * min(np.finfo(dtype).eps, np.finfo(np.float32).eps)
    assert projection(nearly).notes == ("All rows are equal.",)
    np.testing.assert_array_equal(project(nearly), np.zeros((40, 2)))
    nearly[7, 0] *= dtype(1.002)
    monkeypatch.setattr(_embed_project, "_CHUNK", 60)
    assert not _embed_project.equal_rows(nearly)
    nearly[7] = np.nan
    assert projection(nearly).notes[1:] == ("All rows are equal.",)


# -- further points -------------------------------------------------------------------------------


def test_further_points_find_their_neighbours(found):
    more, labels = DIGITS.data[400:460], DIGITS.target[400:460]
    before = found.result.xy.copy()
    placed = found.result.transform(more)
    np.testing.assert_array_equal(placed, found.result.transform(more))
    np.testing.assert_array_equal(found.result.xy, before)
    near = NearestNeighbors(n_neighbors=5).fit(before).kneighbors(placed, return_distance=False)
    assert (LABELS[near] == labels[:, None]).mean() > 0.8
    # The points of the map itself come to lie where they are.
    again = found.result.transform(X[:50])
    assert np.median(np.linalg.norm(again - before[:50], axis=1)) < 0.1 * before.std()


def test_further_points_must_have_as_many_features(found):
    with pytest.raises(ValueError, match="features: 5 per row, but this map was made of 64"):
        found.result.transform(np.zeros((2, 5)))
    gaps = np.array(X[:3])
    gaps[1] = np.nan
    assert np.isnan(found.result.transform(gaps)).all(1).tolist() == [False, True, False]


# -- UMAP -----------------------------------------------------------------------------------------


def test_umap_without_its_extra_says_which_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", None)
    with pytest.raises(ImportError, match=r'pip install "nbcnnviz\[umap\]"'):
        project(X, "umap")


class Standin:
    """Takes the place of umap.UMAP: what it is asked, and a map that shows its input."""

    def __init__(self, **options):
        self.options = options
        Standin.last = self

    def fit_transform(self, table):
        return table[:, :2]

    transform = fit_transform


def test_umap_is_asked_with_the_seed(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Standin))
    found = projection(X, "umap", seed=7, neighbors=5, spread=2.0)
    asked = {"n_neighbors": 5, "min_dist": 0.1, "metric": "euclidean", "random_state": 7}
    assert asked | {"n_jobs": 1, "spread": 2.0} == Standin.last.options
    np.testing.assert_array_equal(found.transform(X[:2]), X[:2, :2])
    with pytest.raises(ValueError, match="neighbors=400: with 400 points give 2 to 399"):
        project(X, "umap", neighbors=400)


def test_umap_itself():
    frames = []
    found = projection(X[:150], "umap", frames.append, seed=1, neighbors=10)
    np.testing.assert_array_equal(found.xy, project(X[:150], "umap", seed=1, neighbors=10))
    assert trustworthiness(X[:150], found.xy) > 0.95
    np.testing.assert_array_equal(frames[-1].xy, found.xy)
    near = NearestNeighbors(n_neighbors=5).fit(found.xy)
    placed = near.kneighbors(found.transform(DIGITS.data[400:430]), return_distance=False)
    assert (LABELS[placed] == DIGITS.target[400:430, None]).mean() > 0.7


def test_umap_starts_from_a_given_map():
    apart = np.arange(300.0).reshape(150, 2) % 17
    one, two = (projection(X[:150], "umap", seed=s, initial=apart, n_epochs=1) for s in (1, 2))
    # After a single step a map is still the one that it began with, whatever the seed.
    assert trustworthiness(aligned(apart, None), aligned(one.xy, None)) > 0.99
    assert np.abs(aligned(one.xy, None) - aligned(two.xy, aligned(one.xy, None))).max() < 0.3
    assert one.options["initial"] == "given" and "init" not in one.options
    with pytest.raises(ValueError, match="initial: 3 x 2; give a map 150 x 2"):
        project(X[:150], "umap", initial=np.zeros((3, 2)))
    with pytest.raises(ValueError, match="initial: it holds NaN"):
        project(X[:150], "umap", initial=np.full((150, 2), np.nan))


def test_umap_says_that_it_cannot_be_stopped(monkeypatch):
    monkeypatch.setitem(sys.modules, "umap", SimpleNamespace(UMAP=Standin))
    found = projection(X, "umap", lambda frame: True)
    assert found.notes == ("UMAP shows its end only: it cannot be stopped on the way.",)
    assert found.complete and projection(X, "umap").notes == ()


# -- quality --------------------------------------------------------------------------------------


def test_quality_is_scikit_learns(found):
    xy = found.result.xy
    figures = quality(X, xy, LABELS, neighbors=7)
    assert figures.trustworthiness == pytest.approx(trustworthiness(X, xy, n_neighbors=7))
    slow = [
        np.mean(
            [LABELS[j] == LABELS[i] for j in np.argsort(np.linalg.norm(xy - xy[i], axis=1))[1:8]]
        )
        for i in range(400)
    ]
    assert figures.purity == pytest.approx(np.mean(slow))
    assert figures.purity > 0.85 and figures.chance == pytest.approx(0.1, abs=0.01)
    random = quality(X, np.random.default_rng(0).normal(size=(400, 2)), LABELS)
    assert random.purity == pytest.approx(random.chance, abs=0.03)
    assert random.trustworthiness == pytest.approx(0.5, abs=0.05)
    assert quality(X, X, LABELS).features_purity == quality(X, X, LABELS).purity
    words = quality(X, xy, np.array(["abcdefghij"[i] for i in LABELS]), neighbors=7)
    assert words.purity == figures.purity
    assert quality(X, xy).purity is None


def test_quality_of_many_points_is_that_of_a_sample(monkeypatch, found):
    whole = quality(X, found.result.xy)
    monkeypatch.setattr(_embed_quality, "_MOST", 300)
    part = quality(X, found.result.xy)
    assert part.notes == ("Of 400 points 300 were drawn.",)
    assert part.trustworthiness == pytest.approx(whole.trustworthiness, abs=0.02)
    assert part == quality(X, found.result.xy)


NOTHING: dict[str, Callable[[np.ndarray, np.ndarray], object]] = {
    "None": lambda labels, off: [None if o else int(v) for v, o in zip(labels, off, strict=True)],
    "None among words": lambda labels, off: [
        None if o else f"class {v}" for v, o in zip(labels, off, strict=True)
    ],
    "NaN": lambda labels, off: np.where(off, np.nan, labels),
    "NaN among words": lambda labels, off: np.where(off, np.nan, labels.astype(str).astype(object)),
    "NA": lambda labels, off: pd.Series(labels, dtype="Int64").mask(off),
    "NaT": lambda labels, off: np.where(off, np.datetime64("NaT"), labels.astype("datetime64[D]")),
    "masked": lambda labels, off: np.ma.masked_array(labels, off),
    "codes": lambda labels, off: np.ma.masked_equal(
        np.where(off, 65535, labels).astype(np.uint16), 65535
    ),
}


@pytest.mark.parametrize("form", NOTHING)
def test_points_without_a_label_are_left_out_of_purity(form, found):
    off = np.random.default_rng(0).random(400) < 0.4
    xy = found.result.xy
    figures = quality(X, xy, NOTHING[form](LABELS, off))
    expected = quality(X[~off], xy[~off], LABELS[~off])
    for name in ("purity", "features_purity", "chance"):
        assert getattr(figures, name) == pytest.approx(getattr(expected, name), abs=1e-12)
    assert figures.trustworthiness == quality(X, xy).trustworthiness
    assert figures.notes == (f"{off.sum()} of 400 points have no label.",)


def test_few_or_no_labels(found):
    xy = found.result.xy
    none = quality(X, xy, [None] * 400)
    assert (none.purity, none.features_purity, none.chance) == (None, None, None)
    assert none.trustworthiness == quality(X, xy).trustworthiness
    assert none.notes[-1] == "No purity: fewer than 4 points have a label."
    few = quality(X, xy, ["a", "a", "b", "b", "b", *[None] * 395])
    assert few.purity is not None and few.chance == pytest.approx((2 + 6) / 20)
    assert few.notes[-1] == "Purity is that of 2 neighbours: only 5 have a label."


@settings(max_examples=50, deadline=None)
@given(labels=st.lists(st.integers(0, 5), min_size=4, max_size=30))
def test_chance_is_that_of_two_different_points(labels):
    count = len(labels)
    pairs = [labels[i] == labels[j] for i in range(count) for j in range(count) if i != j]
    figures = quality(X[:count], X[:count, 10:12] + np.arange(count)[:, None], labels)
    assert figures.chance == pytest.approx(np.mean(pairs))
    if len(set(labels)) == count:
        assert figures.chance == 0


def test_of_equal_points_no_figures_are_told():
    same, xy = np.full((20, 8), 0.3, np.float32), np.random.default_rng(0).normal(size=(20, 2))
    labels = np.arange(20) % 2
    figures = quality(same, xy, labels)
    assert figures.trustworthiness is None and figures.features_purity is None
    assert figures.purity is not None and "all rows are equal" in figures.notes[-1]
    # Other last digits, as of another batch, make no neighbours.
    nearly = same + np.float32(3e-8) * (np.arange(20) % 3)[:, None].astype(np.float32)
    assert np.ptp(nearly) > 0
    assert quality(nearly, xy, labels) == figures
    figures = quality(X[:20], np.zeros((20, 2)), labels)
    assert figures.trustworthiness is None and figures.purity is None
    assert figures.features_purity == quality(X[:20], xy, labels).features_purity
    assert "all points of the map lie in one place" in figures.notes[-1]


@pytest.mark.parametrize(("groups", "alone", "told"), [(2, 0, False), (1, 20, True), (0, 40, True)])
def test_crowds_of_equal_points_are_told_of(groups, alone, told):
    table = np.concatenate([np.repeat(X[:groups], 20, 0), X[50 : 50 + alone]])
    table[0, 0] = -table[0, 0]  # a minus zero equals zero
    xy = np.random.default_rng(0).normal(size=(len(table), 2))
    figures = quality(table, xy)
    assert (figures.trustworthiness is not None) == told
    crowd = f"{20 * groups} of 40 points have more than 10 others with equal features"
    assert any(note.startswith(crowd) for note in figures.notes) == bool(groups)


def test_quality_leaves_missing_rows_out(found):
    table = X.copy()
    table[[0, 5]] = np.nan
    kept = [i for i in range(400) if i not in (0, 5)]
    expected = quality(X[kept], found.result.xy[kept], LABELS[kept])
    assert quality(table, found.result.xy, LABELS) == expected


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((X, X[:5, :2]), "xy: 5 rows for 400"),
        ((X, X[:, :2], LABELS[:3]), "labels: 3; give 400"),
        ((X[:3], X[:3, :2]), "3 points are too few"),
        ((X, X[:, :2], None, 0), "neighbors=0"),
    ],
)
def test_quality_refuses(arguments, said):
    with pytest.raises(ValueError, match=said):
        quality(*arguments)
    assert quality(X[:9], X[:9, 10:12] + np.arange(9)[:, None]).neighbors == 4


# -- time-lapse -----------------------------------------------------------------------------------


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999), angle=st.floats(0, 6.28), mirror=st.booleans())
def test_a_turned_map_is_turned_back(seed, angle, mirror):
    xy = aligned(np.random.default_rng(seed).normal(size=(20, 2)), None)
    np.testing.assert_allclose(xy.mean(0), 0, atol=1e-12)
    assert (xy**2).sum(1).mean() == pytest.approx(1)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    other = 7 * (xy * [1, -1 if mirror else 1]) @ turn + [3, -5]
    np.testing.assert_allclose(aligned(other, xy), xy, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 999))
def test_what_is_left_is_scipys_disparity(seed):
    first, second = np.random.default_rng(seed).normal(size=(2, 15, 2))
    to = aligned(first, None)
    moved = aligned(second, to)
    # SciPy scales, too: with the correlation c it leaves 1 - c^2, and the rotation alone 2 - 2 c.
    disparity = scipy.spatial.procrustes(first, second)[2]
    left = ((moved - to) ** 2).sum() / 15
    assert left == pytest.approx(2 - 2 * np.sqrt(max(0.0, 1 - disparity)), abs=1e-9)


def test_points_flow_from_layer_to_layer(monkeypatch):
    # Frames by number only, however slow the machine is.
    monkeypatch.setattr(_embed_tsne, "_SLOW", np.inf)
    layers = {"pixels": X[:200], "conv": np.sqrt(X[:200]), "deep": np.tanh(X[:200] / 8)}
    frames = []
    lapse = time_lapse(layers, "tsne", frames.append, iterations=250, every=50)
    assert lapse.layers == ("pixels", "conv", "deep") and lapse.complete
    assert [f.layer for f in frames] == [name for name in layers for _ in range(6)]
    for before, after, name in zip(lapse.maps, lapse.maps[1:], list(layers)[1:], strict=False):
        moved = np.sqrt(((after - before) ** 2).sum(1).mean())
        alone = aligned(project(layers[name], "tsne", iterations=250), before)
        apart = np.sqrt(((alone - before) ** 2).sum(1).mean())
        # sqrt(2) is the distance between unrelated maps.
        assert moved < 0.5 and moved < apart
    for i, (xy, raw) in enumerate(zip(lapse.maps, lapse.projections, strict=True)):
        last = [f for f in frames if f.layer == lapse.layers[i]][-1]
        np.testing.assert_allclose(last.xy, xy, atol=1e-9)
        assert trustworthiness(layers[lapse.layers[i]], xy) > 0.9
        assert raw.options["initial"] == ("given" if i else "pca")
    np.testing.assert_array_equal(lapse.at(1), lapse.maps[1])
    np.testing.assert_allclose(lapse.at(1.25), 0.75 * lapse.maps[1] + 0.25 * lapse.maps[2])
    np.testing.assert_array_equal(lapse.at(9), lapse.maps[2])
    np.testing.assert_array_equal(lapse.at(-1), lapse.maps[0])


def test_points_flow_with_umap_too():
    layers = {"pixels": X[:120].copy(), "conv": np.sqrt(X[:120])}
    layers["pixels"][5] = np.nan
    options = {"neighbors": 10, "init": "random"}
    lapse = time_lapse(layers, "umap", **options)
    before, after = (xy[np.arange(120) != 5] for xy in lapse.maps)
    moved = np.sqrt(((after - before) ** 2).sum(1).mean())
    rest = np.delete(layers["conv"], 5, 0)
    alone = aligned(project(rest, "umap", **options), before)
    # sqrt(2) is the distance between unrelated maps.
    assert moved < 0.7 * np.sqrt(((alone - before) ** 2).sum(1).mean()) and moved < 0.5
    assert trustworthiness(rest, after) > 0.9
    assert ["initial" in found.options for found in lapse.projections] == [False, True]
    stopped = time_lapse(layers, "umap", lambda frame: True, **options)
    assert stopped.layers == ("pixels",) and not stopped.complete


def test_a_time_lapse_stops():
    layers = {"a": X[:60], "b": X[:60] ** 2, "c": X[:60]}
    lapse = time_lapse(
        layers, "tsne", lambda f: f.layer == "b" and f.iteration == 20, iterations=40
    )
    assert lapse.layers == ("a", "b") and not lapse.complete
    assert [p.complete for p in lapse.projections] == [True, False]
    first = time_lapse(layers, "pca", lambda f: True)
    assert first.layers == ("a",) and not first.complete
    np.testing.assert_array_equal(first.at(0.5), first.maps[0])


def test_a_time_lapse_with_missing_rows():
    first, second = X[:60].copy(), X[:60].copy()
    first[3], second[7] = np.nan, np.nan
    lapse = time_lapse({"a": first, "b": second}, "tsne", iterations=30)
    for xy in lapse.maps:
        assert np.flatnonzero(np.isnan(xy).any(1)).tolist() == [3, 7]
    with pytest.raises(ValueError, match=r"rows by layer are \{'a': 60, 'b': 5\}"):
        time_lapse({"a": first, "b": second[:5]})
    with pytest.raises(TypeError, match="give a dictionary"):
        time_lapse({})


# -- what is imported -----------------------------------------------------------------------------

HEAVY = ("sklearn", "scipy", "openTSNE", "ray", "pyarrow", "umap", "pandas", "torchvision")


def test_what_is_heavy_is_imported_at_first_use():
    code = (
        "import json, sys, numpy\n"
        "import nbcnnviz.backend.embedding as e, nbcnnviz.backend.distributed\n"
        "import torch; from torch import nn\n"
        "e.extract(nn.Sequential(nn.Conv2d(1, 2, 3)), torch.zeros(2, 1, 8, 8), '0')\n"
        "print(json.dumps(sorted({m.partition('.')[0] for m in sys.modules})))"
    )
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=Path(_embed_store.__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert not set(json.loads(done.stdout)) & set(HEAVY)
    preload()
    assert "openTSNE" in sys.modules
