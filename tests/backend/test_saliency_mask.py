"""Masks out of saliency maps: the threshold, the pieces, the cut along the edges of a picture."""

from __future__ import annotations

import doctest
import time

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _graph_cut
from nbcnnviz.backend import _saliency_mask as module
from nbcnnviz.backend._graph_cut import graph_cut
from nbcnnviz.backend._saliency_mask import saliency_mask
from nbcnnviz.backend.attribution import attribute


def heat(seed: int, height: int = 9, width: int = 11) -> Tensor:
    return torch.rand(height, width, generator=torch.Generator().manual_seed(seed))


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), quantile=st.floats(0, 1))
def test_the_share_that_is_kept(seed, quantile):
    values = heat(seed)
    found = saliency_mask(values, quantile, smallest=0)
    threshold = np.quantile(values.double().numpy(), quantile)
    assert found.threshold == threshold
    assert np.array_equal(found.mask.numpy(), values.double().numpy() > threshold)
    assert abs(found.coverage - (1 - quantile)) <= 1.01 / values.numel()
    assert found.dropped == 0


def slow_pieces(mask: np.ndarray) -> list[set[tuple[int, int]]]:
    """Flood fill, corners connect."""
    left = {(y, x) for y, x in zip(*np.nonzero(mask), strict=True)}
    pieces = []
    while left:
        piece, front = set(), [left.pop()]
        while front:
            y, x = front.pop()
            piece.add((int(y), int(x)))
            near = {(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)} & left
            left -= near
            front.extend(near)
        pieces.append(piece)
    return pieces


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 10**6), quantile=st.floats(0.3, 0.95), smallest=st.floats(0, 0.2))
def test_small_pieces_are_dropped(seed, quantile, smallest):
    values = heat(seed)
    found = saliency_mask(values, quantile, smallest=smallest)
    pieces = slow_pieces(values.double().numpy() > found.threshold)
    large = [piece for piece in pieces if len(piece) >= smallest * values.numel()]
    assert (found.pieces, found.dropped) == (len(large), len(pieces) - len(large))
    wanted = np.zeros(values.shape, bool)
    for piece in large:
        for y, x in piece:
            wanted[y, x] = True
    assert np.array_equal(found.mask.numpy(), wanted)
    if found.box is None:
        assert not wanted.any()
    else:
        top, left, bottom, right = found.box
        assert wanted[top:bottom, left:right].sum() == wanted.sum()
        assert wanted[top].any() and wanted[bottom - 1].any()
        assert wanted[:, left].any() and wanted[:, right - 1].any()


def test_where_most_values_are_equal_only_those_above_are_kept():
    values = torch.zeros(10, 10)
    values[3, 4] = 1
    found = saliency_mask(values, 0.5)
    assert found.mask.sum() == 1 and found.box == (3, 4, 4, 5)
    flat = saliency_mask(torch.ones(10, 10))
    assert flat.coverage == 0 and flat.box is None and "0.0%" in repr(flat)


def test_an_attribution_is_reduced_and_its_mask_hides():
    net, image = nv.Network.digits(), nv.sample_image("digit")
    found = attribute(net, image, "gradient")
    mask = saliency_mask(found, 0.8, reduce="signed")
    values = found.heat("signed").double().numpy()
    assert mask.threshold == np.quantile(values, 0.8)
    logits = backend.occlude(net, image, mask.mask)
    assert logits[found.target.index] < found.score


# -- the cut --------------------------------------------------------------------------------------


def scene(noise: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A bright disc on a dark ground, and a heat map that covers a part of it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, :60]
    disc = (y - 22) ** 2 + (x - 33) ** 2 < 14**2
    picture = np.where(disc[..., None], (200, 160, 60), (40, 80, 120)).astype(float)
    picture += rng.normal(0, noise, picture.shape)
    heat = np.exp(-((y - 20) ** 2 + (x - 30) ** 2) / 120) + rng.random(disc.shape) * 0.01
    return np.clip(picture, 0, 255).astype(np.uint8), heat, disc


@pytest.mark.parametrize("noise", [0, 10, 25])
def test_the_cut_finds_the_edges_of_the_object(noise):
    picture, heat, disc = scene(noise)
    by_threshold = saliency_mask(heat, 0.95)
    found = saliency_mask(heat, 0.95, method="graph_cut", image=picture)
    overlap = (found.mask.numpy() & disc).sum() / (found.mask.numpy() | disc).sum()
    assert overlap > 0.97 and found.pieces == 1
    assert by_threshold.coverage < 0.6 * disc.mean()


def energy(picture: np.ndarray, side: np.ndarray, seeds: tuple[np.ndarray, np.ndarray]) -> float:
    """What a division costs, term by term."""
    inside, outside = (_graph_cut._surprise(picture, each) for each in seeds)
    cost = float(np.where(side, inside, outside)[~(seeds[0] | seeds[1])].sum())
    first, second, pairs = _graph_cut._pairs(picture)
    flat = side.ravel()
    return cost + float(pairs[flat[first] != flat[second]].sum())


@pytest.mark.parametrize("seed", range(4))
def test_no_other_division_is_cheaper(seed):
    """Of a small picture all divisions are tried."""
    rng = np.random.default_rng(seed)
    picture = rng.random((3, 4, 3))
    inside, outside = np.zeros((3, 4), bool), np.zeros((3, 4), bool)
    inside[0, :2] = True
    outside[2, 2:] = True
    found = graph_cut(picture, inside, outside)
    assert found[inside].all() and not found[outside].any()
    best = np.inf
    free = np.flatnonzero(~(inside | outside).ravel())
    for code in range(2 ** len(free)):
        side = inside.copy().ravel()
        side[free] = [(code >> i) & 1 for i in range(len(free))]
        best = min(best, energy(picture, side.reshape(3, 4), (inside, outside)))
    assert energy(picture, found, (inside, outside)) == pytest.approx(best, abs=0.15)


def test_pairs_are_all_eight_neighbours_once():
    first, second, cost = _graph_cut._pairs(np.random.default_rng(0).random((5, 7, 3)))
    got = {frozenset(pair) for pair in zip(first.tolist(), second.tolist(), strict=True)}
    wanted = {
        frozenset((y * 7 + x, (y + i) * 7 + x + j))
        for y in range(5)
        for x in range(7)
        for i in (-1, 0, 1)
        for j in (-1, 0, 1)
        if (i, j) != (0, 0) and 0 <= y + i < 5 and 0 <= x + j < 7
    }
    assert got == wanted and len(got) == len(first) and (cost > 0).all()


def test_a_whole_picture_takes_no_longer_than_a_few_seconds():
    net, image = nv.Network.demo(), nv.sample_image("cat")
    found = attribute(net, image, "gradient")
    picture = net.picture(net.prepare(image))
    begin = time.perf_counter()
    mask = saliency_mask(found, method="graph_cut", image=picture)
    assert time.perf_counter() - begin < 30
    assert 0.02 < mask.coverage < 0.95


def test_a_flat_picture_and_a_flat_map():
    picture = np.full((12, 10, 3), 77, np.uint8)
    values = heat(0, 12, 10)
    found = saliency_mask(values, 0.9, method="graph_cut", image=picture)
    assert found.mask.shape == (12, 10)
    flat = saliency_mask(torch.ones(12, 10), 0.9, method="graph_cut", image=picture)
    assert flat.coverage == 0


def test_a_side_with_a_single_known_pixel():
    picture = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    values = heat(0, 12, 10)
    values[3, 4], values[7, 8] = 2, -1
    found = saliency_mask(values, 1 - 1 / 120, "graph_cut", background=0, image=picture, smallest=0)
    assert found.mask[3, 4] and not found.mask[7, 8]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64, torch.int32])
def test_maps_of_any_precision(dtype):
    values = (heat(0) * 100).to(dtype)
    wanted = saliency_mask(values.double().numpy())
    assert torch.equal(saliency_mask(values).mask, wanted.mask) and wanted.mask.any()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"method": "grabcut"}, ValueError, r"method='grabcut': choose one of \['threshold'"),
        ({"quantile": 1.2}, ValueError, "quantile=1.2: give a share in 0..1"),
        ({"quantile": "0.9"}, ValueError, "quantile='0.9'"),
        ({"smallest": -1}, ValueError, "smallest=-1"),
        ({"background": 2}, ValueError, "background=2"),
        ({"attribution": [1, 2]}, TypeError, "attribution: a list; give an Attribution or a map"),
        ({"attribution": np.array([["a"]])}, TypeError, "attribution: a ndarray; give an Attr"),
        ({"attribution": torch.zeros(3, 4, 5)}, ValueError, "attribution: 3 x 4 x 5; give"),
        ({"attribution": torch.full((3, 3), torch.nan)}, ValueError, "NaN or infinite"),
        ({"method": "graph_cut"}, ValueError, 'image: method="graph_cut" cuts along the edges'),
        (
            {"method": "graph_cut", "image": np.zeros((9, 12, 3), np.uint8)},
            ValueError,
            r"image: uint8 of shape \(9, 12, 3\); give bytes \(9, 11, 3\)",
        ),
        (
            {"method": "graph_cut", "image": np.zeros((9, 11, 3), np.uint8), "background": 0.99},
            ValueError,
            "background=0.99: give at most quantile=0.95",
        ),
    ],
)
def test_arguments_that_make_no_sense(arguments, error, message):
    with pytest.raises(error, match=message):
        saliency_mask(**{"attribution": heat(0), **arguments})


def test_the_examples_in_the_documentation():
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
