"""Colours: the tables are matplotlib's, the arithmetic is that of a slow second reading."""

from __future__ import annotations

import math

import matplotlib
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nbcnnviz import colormaps


@pytest.mark.parametrize("name", colormaps.SEQUENTIAL + colormaps.DIVERGING)
def test_tables_are_matplotlibs(name):
    expected = matplotlib.colormaps[name](np.linspace(0, 1, 256), bytes=True)[:, :3]
    np.testing.assert_array_equal(colormaps.table(name), expected)


def test_an_unknown_colormap_is_refused_with_the_choice():
    with pytest.raises(ValueError, match=r"colormap='jet' is unknown: choose one of auto, viridis"):
        colormaps.table("jet")


REAL = st.floats(-1e6, 1e6, width=32)


@given(REAL, REAL, REAL, REAL)
def test_indices_follow_the_written_formula(lo, hi, a, b):
    lo, hi = sorted((lo, hi))
    entries = colormaps.indices(lo, hi, a, b)
    for code in (0, 1, 100, 253, 254):
        value = lo + code * (hi - lo) / 254
        expected = min(max(math.floor((value - a) / (b - a) * 256), 0), 255) if b > a else 0
        assert entries[code] == expected


@pytest.mark.parametrize(
    ("scale", "diverging", "expected"),
    [
        ("map", False, (-1.0, 2.0)),
        ("map", True, (-2.0, 2.0)),
        ("layer", False, (-8.0, 4.0)),
        ("layer", True, (-8.0, 8.0)),
        ("symmetric", False, (-8.0, 8.0)),
    ],
)
def test_display_range(scale, diverging, expected):
    assert colormaps.display_range(-1.0, 2.0, scale, diverging, (-8.0, 4.0)) == expected


def test_auto_is_diverging_only_for_signed_layers():
    assert colormaps.resolve("auto", signed=False) == "viridis"
    assert colormaps.resolve("auto", signed=True) in colormaps.DIVERGING
    assert colormaps.resolve("magma", signed=True) == "magma"


def test_nan_is_hatched_in_a_colour_of_no_table():
    codes = np.array([[0, 255], [255, 254]], np.uint8)
    image = colormaps.colour(codes, 0.0, 1.0, "viridis", 0.0, 1.0)
    assert image[0, 0].tolist() == colormaps.table("viridis")[0].tolist()
    assert image[1, 1].tolist() == colormaps.table("viridis")[255].tolist()
    odd = colormaps.colour(np.full((2, 2), 255, np.uint8), 0.0, 0.0, "viridis", 0.0, 0.0)
    assert odd[0, 0].tolist() == odd[1, 1].tolist() != odd[0, 1].tolist()
    for name in colormaps.SEQUENTIAL + colormaps.DIVERGING:
        assert odd[0, 0].tolist() not in colormaps.table(name).tolist()


def test_a_constant_map_is_the_first_colour():
    image = colormaps.colour(np.zeros((2, 2), np.uint8), 5.0, 5.0, "gray", 5.0, 5.0)
    assert (image == colormaps.table("gray")[0]).all()
