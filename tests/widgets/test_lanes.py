"""Messages from the browser: what is right gets through, anything else is dropped."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nbcnnviz.widgets import _lanes
from nbcnnviz.widgets._codec import pack
from nbcnnviz.widgets._lanes import Ask, Hello, Refused, Seen, Stop, lanes_of, parse


class Client:
    """A widget with two lanes."""

    @_lanes.lane(layer=_lanes.text(10), image=_lanes.whole(0, 9))
    def _lane_layer(self, job, layer, image):
        return b""

    @_lanes.lane(channels=_lanes.several(_lanes.whole(), 3), on=_lanes.flag)
    def _lane_more(self, job, channels, on):
        return b""

    @_lanes.long_lane(size=_lanes.number(0, 1), mask=_lanes.array("uint8", 2))
    def _lane_paint(self, job, size, mask):
        return b""

    def _lane_secret(self, job):
        return b""


LANES = lanes_of(Client)


def ask(**changes):
    message = {
        "type": "ask",
        "view": "v",
        "epoch": "e",
        "seq": 1,
        "lane": "layer",
        "args": {"layer": "conv", "image": 2},
    }
    return {**message, **changes}


def test_a_right_question_gets_through():
    assert parse(ask(), [], "e", LANES) == Ask("v", 1, "layer", {"layer": "conv", "image": 2})
    more = ask(lane="more", args={"channels": [1, 2.0], "on": True})
    assert parse(more, [], "e", LANES).args == {"channels": [1, 2], "on": True}


def test_hello_and_stop():
    hello, stop = {"type": "hello", "view": "v"}, {"type": "stop", "view": "v", "epoch": "e"}
    assert parse(hello, [], "e", LANES) == Hello("v")
    assert parse(stop, [], "e", LANES) == Stop("v")
    seen = {"type": "seen", "view": "v", "epoch": "e", "lane": "layer"}
    assert parse(seen, [], "e", LANES) == Seen("v", "layer")


@pytest.mark.parametrize(
    "message",
    [
        ask(epoch="another"),
        ask(view=""),
        ask(view="v" * 65),
        ask(view=3),
        ask(seq=-1),
        ask(seq=1.5),
        ask(seq=True),
        ask(seq=math.nan),
        ask(seq=math.inf),
        ask(seq=10**400),
        ask(lane=["layer"]),
        ask(type="reply"),
        ask(type=None),
        {"type": "stop", "view": "v"},
        {"type": "stop", "view": "v", "epoch": "x"},
        {},
        [],
        None,
        "ask",
        7,
    ],
)
def test_what_is_no_question_is_dropped(message):
    assert parse(message, [], "e", LANES) is None


@pytest.mark.parametrize(
    ("message", "why"),
    [
        (ask(lane="secret"), "does not answer such a question"),
        (ask(lane="__class__"), "does not answer such a question"),
        (ask(args={}), "needs layer, image"),
        (ask(args={"layer": "conv", "image": 2, "more": 1}), "needs layer, image"),
        (ask(args=[]), "needs layer, image"),
        (ask(args={"layer": "conv" * 9, "image": 2}), "layer: expected a short text"),
        (ask(args={"layer": "conv", "image": 10}), "image: expected a number from 0 to 9"),
        (ask(args={"layer": "conv", "image": math.inf}), "image: expected a whole number"),
        (ask(args={"layer": None, "image": 2}), "layer: expected"),
        (ask(lane="more", args={"channels": [1, 2, 3, 4], "on": True}), "a list of at most 3"),
        (ask(lane="more", args={"channels": "123", "on": True}), "a list of at most 3"),
        (ask(lane="more", args={"channels": [], "on": 1}), "on: expected true or false"),
    ],
)
def test_a_wrong_question_is_refused_with_the_reason(message, why):
    refused = parse(message, [], "e", LANES)
    assert isinstance(refused, Refused)
    assert (refused.view, refused.seq) == ("v", 1)
    assert why in refused.why


MASK = np.arange(6, dtype=np.uint8).reshape(2, 3)


def paint(blob, **args):
    return parse(ask(lane="paint", args={"size": 0.5, **args}), blob, "e", LANES)


def test_arrays_come_along_in_a_blob():
    found = paint([memoryview(pack({}, {"mask": MASK}))])
    assert found.args["size"] == 0.5
    assert np.array_equal(found.args["mask"], MASK)
    assert LANES["paint"].long
    assert not LANES["layer"].long


@pytest.mark.parametrize(
    ("blobs", "args", "why"),
    [
        ([], {}, "needs size, mask"),
        ([], {"mask": [[1]]}, "mask: expected an array of uint8 in 2 dimensions"),
        ([pack({}, {"mask": MASK[0]})], {}, "mask: expected an array of uint8 in 2 dimensions"),
        ([pack({}, {"mask": MASK.astype(np.int32)})], {}, "mask: expected an array of uint8"),
        ([pack({}, {"mask": MASK, "more": MASK})], {}, "needs size, mask"),
        ([pack({}, {"mask": MASK})], {"size": 1.5}, "size: expected a number from 0 to 1"),
        ([pack({}, {"mask": MASK})], {"size": math.nan}, "size: expected a number"),
        ([pack({}, {"mask": MASK})], {"size": "0.5"}, "size: expected a number"),
        ([pack({}, {"mask": MASK})[:-3]], {}, "cannot be read"),
        ([b"\xff" * 40], {}, "cannot be read"),
        ([b"abcd", b"efgh"], {}, "more than"),
        ([bytes(9 * 2**20)], {}, "more than"),
    ],
)
def test_a_wrong_array_is_refused_with_the_reason(blobs, args, why):
    assert why in paint(blobs, **args).why


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=60))
def test_no_blob_raises(blob):
    assert isinstance(paint([blob]), Refused)


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
KEYS = st.sampled_from(["type", "view", "epoch", "seq", "lane", "args", "extra"])
VALUES = JSON | st.sampled_from(["ask", "stop", "hello", "v", "e", "layer", "more"])


@settings(max_examples=3000, deadline=None)
@given(JSON | st.dictionaries(KEYS, VALUES) | st.builds(ask, args=JSON) | st.builds(ask, seq=JSON))
def test_no_message_raises(message):
    result = parse(message, [], "e", LANES)
    assert result is None or isinstance(result, (Ask, Stop, Seen, Hello, Refused))


def test_checks_say_what_they_expect():
    with pytest.raises(ValueError, match="one of a, b"):
        _lanes.one_of("a", "b")("c")
    assert _lanes.one_of("a")("a") == "a"
    assert _lanes.optional(_lanes.whole())(None) is None
    with pytest.raises(ValueError, match="whole number"):
        _lanes.optional(_lanes.whole())("1")
