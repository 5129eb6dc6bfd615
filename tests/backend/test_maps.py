"""Channel statistics, quantised maps, reduced maps and kernels against plain NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import nn

from nbcnnviz import backend
from nbcnnviz.backend.maps import channel_statistics, kernels, quantise, reduce_maps

SPECIAL = st.sampled_from([0.0, -0.0, float("nan"), float("inf"), -float("inf"), 1e38, -3e38])
MAPS = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.floats(-1e6, 1e6, width=32) | SPECIAL,
)
TAME = hnp.arrays(
    np.float32,
    hnp.array_shapes(min_dims=3, max_dims=3, max_side=6),
    elements=st.floats(-1000, 1000, width=16),
)


@given(MAPS)
def test_statistics_of_any_maps_are_finite_and_count_what_is_not(maps):
    result = channel_statistics(torch.from_numpy(maps))
    for name in ("mean", "minimum", "maximum", "variance", "sparsity"):
        assert np.isfinite(getattr(result, name)).all(), name
    np.testing.assert_array_equal(result.nan, np.isnan(maps).sum((1, 2)))
    np.testing.assert_array_equal(result.dead, (maps == 0).all((1, 2)))
    np.testing.assert_allclose(result.sparsity, (maps == 0).mean((1, 2)), rtol=1e-6)
    for channel, low, high in zip(maps, result.minimum, result.maximum, strict=True):
        finite = channel[np.isfinite(channel)]
        assert low == (finite.min() if finite.size else 0)
        assert high == (finite.max() if finite.size else 0)


@given(TAME, st.booleans())
def test_mean_and_variance_are_numpys_over_the_finite_values(maps, spoil):
    expected = maps.astype(np.float64)
    if spoil:
        maps[:, 0, 0], expected[:, 0, 0] = np.inf, np.nan
    result = channel_statistics(torch.from_numpy(maps))
    flat = expected.reshape(len(maps), -1)
    some = ~np.isnan(flat).all(1)
    np.testing.assert_allclose(result.mean[some], np.nanmean(flat[some], 1), rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(
        result.variance[some], np.nanvar(flat[some], 1), rtol=1e-4, atol=1e-2
    )
    assert (result.mean[~some] == 0).all()


@given(MAPS)
def test_quantised_values_come_back_within_half_a_step(maps):
    result = quantise(torch.from_numpy(maps))
    back = result.values().astype(np.float64)
    np.testing.assert_array_equal(np.isnan(back), np.isnan(maps))
    with np.errstate(over="ignore"):
        step = (result.hi.astype(np.float64) - result.lo) / 254
    for got, want, lo, hi, width in zip(back, maps, result.lo, result.hi, step, strict=True):
        finite = np.isfinite(want)
        # float32 arithmetic on the way may tip a value just past the middle of a step
        slack = width * 0.5001 + 4e-7 * max(abs(lo), abs(hi)) + 1e-36
        assert (np.abs(got - want.astype(np.float64))[finite] <= slack).all()
        near = 1e-6 * max(abs(lo), abs(hi)) + 1e-36
        assert (np.abs(got[want == np.inf] - hi) <= near).all()
        assert (np.abs(got[want == -np.inf] - lo) <= near).all()


def test_the_ends_of_a_map_are_exact():
    maps = torch.rand(3, 5, 5, generator=torch.Generator().manual_seed(0)) - 0.3
    result = quantise(maps)
    assert (result.codes.reshape(3, -1).min(1) == 0).all()
    assert (result.codes.reshape(3, -1).max(1) == 254).all()
    np.testing.assert_array_equal(result.lo, maps.flatten(1).amin(1).numpy())
    np.testing.assert_array_equal(result.hi, maps.flatten(1).amax(1).numpy())


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions(dtype):
    maps = torch.tensor([[[0.0, 0.5], [1.0, 0.25]]], dtype=dtype)
    assert quantise(maps).codes.tolist() == [[[0, 127], [254, 64]]]
    assert channel_statistics(maps).mean.tolist() == [0.4375]


@pytest.mark.parametrize(("side", "factor"), [(112, 1), (113, 2), (224, 2), (225, 3)])
def test_the_smallest_factor_that_fits(side, factor):
    maps, got = reduce_maps(torch.zeros(1, side, 7))
    assert got == factor
    assert max(maps.shape) <= 112


def test_reduced_maps_are_area_means():
    maps = torch.rand(2, 5, 7, generator=torch.Generator().manual_seed(0))
    reduced, factor = reduce_maps(maps, 3)
    assert (factor, tuple(reduced.shape)) == (3, (2, 2, 3))
    for y in range(2):
        for x in range(3):
            block = maps[:, 3 * y : 3 * y + 3, 3 * x : 3 * x + 3]
            torch.testing.assert_close(reduced[:, y, x], block.mean((1, 2)))


def test_a_nan_stays_visible_when_maps_are_reduced():
    maps = torch.zeros(1, 8, 8)
    maps[0, 5, 2] = torch.nan
    reduced, _ = reduce_maps(maps, 4)
    assert reduced.isnan().nonzero().tolist() == [[0, 2, 1]]


class Convolutions(nn.Module):
    """Three inputs, then grouped, then one to one."""

    def __init__(self):
        super().__init__()
        self.rgb = nn.Conv2d(3, 4, 5)
        self.grouped = nn.Conv2d(4, 6, 3, groups=2)
        self.act = nn.ReLU()

    def forward(self, x):
        return self.act(self.grouped(self.rgb(x))).mean((2, 3))


@pytest.fixture
def convolutions():
    torch.manual_seed(0)
    return Convolutions()


def test_kernels_of_three_inputs_are_a_colour_picture(convolutions):
    result = kernels(convolutions, "rgb", 2)
    assert result.rgb
    np.testing.assert_array_equal(result.weights, convolutions.rgb.weight[2].detach().numpy())


def test_kernels_of_a_group_are_sorted_by_strength_and_know_their_inputs(convolutions):
    result = kernels(convolutions, "grouped", 5)
    assert not result.rgb
    weight = convolutions.grouped.weight.detach()
    strength = [float(weight[5, i - 2].norm()) for i in result.inputs]
    assert sorted(result.inputs.tolist()) == [2, 3]
    assert strength == sorted(strength, reverse=True)
    np.testing.assert_array_equal(result.weights[0], weight[5, result.inputs[0] - 2].numpy())
    assert len(kernels(convolutions, "grouped", 5, limit=1).weights) == 1


def test_kernels_are_a_copy(convolutions):
    result = kernels(convolutions, "rgb", 0)
    result.weights[:] = 7
    assert (convolutions.rgb.weight[0] != 7).all()


@pytest.mark.parametrize(("layer", "channel"), [("act", 0), ("rgb", 4), ("rgb", -1), ("no", 0)])
def test_no_kernels(convolutions, layer, channel):
    assert kernels(convolutions, layer, channel) is None


def test_a_layer_will_do_for_its_name(convolutions):
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    layer = next(one for one in backend.trace(convolutions, image) if one.name == "grouped")
    named = backend.feature_maps(convolutions, image, "grouped")
    assert torch.equal(backend.feature_maps(convolutions, image, layer), named)
    np.testing.assert_array_equal(
        kernels(convolutions, layer, 5).weights, kernels(convolutions, "grouped", 5).weights
    )
    for call in (
        lambda: backend.feature_maps(convolutions, image, 3),
        lambda: kernels(convolutions, None, 0),
    ):
        with pytest.raises(TypeError, match=r"^layer=.*: give a layer of net\.layers"):
            call()


def test_feature_maps_are_a_plain_hooks(convolutions):
    image = torch.rand(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
    seen = []
    handle = convolutions.grouped.register_forward_hook(lambda *args: seen.append(args[-1]))
    convolutions(image)
    handle.remove()
    torch.testing.assert_close(
        backend.feature_maps(convolutions, image, "grouped"), seen[0][0], rtol=0, atol=0
    )
