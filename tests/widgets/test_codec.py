"""The blob format: what goes in comes out, and nonsense is refused in plain words."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nbcnnviz.widgets._codec import finite, pack, unpack

DTYPES = ["uint8", "int16", "uint16", "int32", "float32"]


@given(
    st.dictionaries(
        st.text(max_size=8),
        st.sampled_from(DTYPES).flatmap(
            lambda name: hnp.arrays(name, hnp.array_shapes(min_dims=0, max_dims=4, min_side=0))
        ),
        max_size=4,
    ),
    st.dictionaries(st.text(max_size=8), st.integers(-9, 9) | st.text(max_size=8), max_size=3),
)
def test_round_trip(arrays, meta):
    again, back = unpack(pack(meta, arrays))
    assert again == meta
    assert back.keys() == arrays.keys()
    for name, array in arrays.items():
        assert back[name].dtype == array.dtype
        assert back[name].shape == array.shape
        assert back[name].tobytes() == array.tobytes()


def test_arrays_begin_at_multiples_of_eight():
    blob = pack({"a": 1}, {"x": np.zeros(3, np.uint8), "y": np.zeros(1, np.float32)})
    start = 4 + int.from_bytes(blob[:4], "little")
    header = json.loads(blob[4:start])
    assert start % 8 == 0
    assert [entry["offset"] for entry in header["arrays"].values()] == [0, 8]


def test_transposed_and_big_endian_arrays_arrive_in_c_order_and_little_endian():
    array = np.arange(6, dtype=">i4").reshape(2, 3).T
    _, back = unpack(pack({}, {"x": array}))
    np.testing.assert_array_equal(back["x"], array)
    assert back["x"].dtype == np.dtype("<i4")


def test_a_view_with_an_offset_is_honoured():
    blob = pack({}, {"x": np.arange(4, dtype=np.float32)})
    _, back = unpack(memoryview(b"\xff" * 3 + blob)[3:])
    np.testing.assert_array_equal(back["x"], np.arange(4))


def test_what_json_cannot_say_becomes_null():
    value = {"a": math.nan, "b": [math.inf, 1.5], "c": (-math.inf,), "d": True}
    assert finite(value) == {"a": None, "b": [None, 1.5], "c": [None], "d": True}


def test_a_dtype_the_browser_does_not_read_is_refused():
    with pytest.raises(TypeError, match=r"'x' is float64: use one of"):
        pack({}, {"x": np.zeros(1)})


@pytest.mark.parametrize(
    ("cut", "message"),
    [(2, "too short for a header"), (10, "within its header"), (-4, "within array 'x'")],
)
def test_a_blob_cut_short_is_refused(cut, message):
    blob = pack({}, {"x": np.zeros(4, np.float32)})
    with pytest.raises(ValueError, match=message):
        unpack(blob[:cut])
