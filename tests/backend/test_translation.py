"""How far maps change when the picture moves, against moving and subtracting by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import same, snapshot
from torch import Tensor, nn
from torch.nn import functional as F
from zoo import seeded

import nbcnnviz as nv
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.pooling import shifted, translation

X = torch.randn(1, 3, 12, 16, generator=torch.Generator().manual_seed(0))


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1, padding_mode="circular")
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(4)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(self.relu(self.conv(x))).mean((2, 3)))


@settings(max_examples=80, deadline=None)
@given(
    st.tuples(*[st.integers(1, 4)] * 3),
    st.integers(-9, 9),
    st.integers(-9, 9),
    st.sampled_from(["replicate", "wrap"]),
)
def test_shifts_cell_by_cell(shape, dy, dx, edge):
    x = torch.arange(int(np.prod(shape))).view(shape)
    made = shifted(x, dy, dx, edge)
    assert made.dtype == x.dtype and made.shape == x.shape
    for c, row, column in np.ndindex(*shape):
        y, z = row - dy, column - dx
        if edge == "wrap":
            y, z = y % shape[1], z % shape[2]
        y, z = min(max(y, 0), shape[1] - 1), min(max(z, 0), shape[2] - 1)
        assert made[c, row, column] == x[c, y, z]
    if edge == "wrap":
        assert torch.equal(made, x.roll((dy, dx), (1, 2)))


def test_a_row_of_numbers_is_no_picture():
    with pytest.raises(ValueError, match=r"x: a tensor of 1 dimensions; give \(\.\.\., H, W\)"):
        shifted(torch.arange(3), 0, 1)


@pytest.mark.parametrize("edge", ["replicate", "wrap"])
def test_distances_are_those_of_two_passes(edge):
    model = seeded(Model)
    shifts = [(0, 0), (1, 0), (0, -2), (3, 5)]
    made = translation(model, X, "pool", shifts, edge=edge)
    assert made.shifts == tuple(shifts) and (made.layer, made.edge) == ("pool", edge)

    def maps(x: Tensor) -> tuple[Tensor, Tensor]:
        before = F.relu(model.conv(x)).detach().double()
        return before, F.max_pool2d(before, 4)

    def distances(moved: Tensor) -> list[float]:
        pairs = zip(maps(X), maps(moved), strict=True)
        return [float((b - a).norm() / a.norm()) for a, b in pairs]

    for (dy, dx), before, after in zip(shifts, made.before, made.after, strict=True):
        rows = np.clip(np.arange(12) - dy, 0, 11)
        columns = np.clip(np.arange(16) - dx, 0, 15)
        clamped = X[:, :, torch.from_numpy(rows)][..., torch.from_numpy(columns)]
        moved = X.roll((dy, dx), (2, 3)) if edge == "wrap" else clamped
        assert [before, after] == pytest.approx(distances(moved), rel=1e-5)
    assert made.before[0] == made.after[0] == 0
    assert made.far == pytest.approx(distances(X.roll((6, 8), (2, 3))), rel=1e-5)


def test_what_pools_whole_maps_does_not_mind_a_circular_shift():
    model = seeded(Model)
    made = translation(model, X, "relu", [(0, 3), (5, 1)], "global_avg", edge="wrap")
    assert max(made.after) < 1e-6 < 0.1 < min(made.before)
    exact = translation(model, X, "relu", [(0, 3), (12, 16)], "global_max", edge="wrap")
    assert exact.after == (0.0, 0.0) and exact.before[1] == 0


def test_max_pooling_of_a_lone_point_forgives_shifts_within_its_window():
    """A point in the upper left cell of a 4 x 4 window, under a convolution that copies."""
    model = nn.Sequential(nn.Conv2d(1, 1, 1, bias=False), nn.MaxPool2d(4), nn.Flatten())
    nn.init.ones_(model[0].weight)
    image = torch.zeros(1, 1, 16, 16)
    image[0, 0, 4, 8] = 1
    shifts = [(0, n) for n in range(6)]
    made = translation(Network(model), image, "1", shifts)
    assert made.before == pytest.approx([0.0] + [2**0.5] * 5)
    assert made.after == pytest.approx([0.0] * 4 + [2**0.5] * 2)
    finer = translation(Network(model), image, "1", shifts, window=2, stride=2)
    assert finer.after == pytest.approx([0.0] * 2 + [2**0.5] * 4)


def test_pooled_maps_of_the_digits_network_change_less():
    net, image = Network.digits(), nv.sample_image("digit")
    made = translation(net, image, "pool2", [(0, n) for n in range(1, 4)])
    assert all(after < before for before, after in zip(made.before, made.after, strict=True))
    assert list(made.before) == sorted(made.before)
    assert made.far[0] > made.before[0] and made.far[1] > made.after[0]


def test_one_shift_is_a_pair():
    model = seeded(Model)
    assert translation(model, X, "pool", (1, 2)) == translation(model, X, "pool", [(1, 2)])
    assert translation(model, X, "pool", []).before == ()


def test_maps_of_zeros():
    model = seeded(Model)
    nn.init.zeros_(model.conv.weight)
    nn.init.constant_(model.conv.bias, -1)
    made = translation(model, X, "pool", (1, 1))
    assert made.before == made.after == (0.0,)


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        ({"edge": "zeros"}, ValueError, "edge='zeros': give 'replicate' or 'wrap'"),
        ({"shifts": 3}, TypeError, r"shifts=3: give \(dy, dx\), or a list of such pairs"),
        ({"shifts": [1, 2, 3]}, TypeError, r"shifts=\[1, 2, 3\]: give \(dy, dx\), or a list"),
        ({"shifts": (0.5, 1)}, TypeError, r"shifts=\(0.5, 1\): give a whole number"),
        ({"shifts": [(1, 2, 3)]}, TypeError, r"shifts=\[\(1, 2, 3\)\]: give \(dy"),
        ({"layer": "pol"}, ValueError, "layer='pol': there is no such layer"),
        ({"window": 40}, ValueError, "window=40: larger than the maps"),
        ({"op": "mean"}, ValueError, "op='mean': there is no such pooling"),
    ],
)
def test_senseless_arguments(options, kind, words):
    model = seeded(Model)
    before = snapshot(model)
    with pytest.raises(kind, match=words):
        translation(model, X, **({"layer": "pool"} | options))
    assert same(snapshot(model), before)
    with pytest.raises(ValueError, match="edge='zero'"):
        shifted(X, 1, 1, "zero")
