"""Maximize without a browser: the run, units and classes, several results."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from dream_runs import (
    RunTests,
    film,
    join,
    network,
    parts,
    run_code,
    same,
    saved_bytes,
    size_of,
    wait,
)

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.widgets._codec import unpack

CLASS = {"layer": None, "channel": None}


@pytest.fixture
def net():
    return network()


def grow(net, layer="deep", channel=3, **options):
    return nv.Maximize(net, layer, channel, **{"steps": 6, **options})


class TestRun(RunTests):
    setting = ("lr", 0.2, {"lr": 0.2})
    plan: ClassVar = {"steps": 9}
    plans: ClassVar = [{"steps": 9}, {"steps": 3}, {"count": 2}]
    total = 6
    fixed: ClassVar = {"size": 100, "seed": 1}

    @pytest.fixture
    def make(self, net):
        return lambda **options: grow(net, **options)


def test_a_class_is_meant_by_index_or_label(net):
    widget = nv.Maximize(net, target="cat", steps=6)
    assert widget.target == 2 and widget._summary().startswith("Maximize: Favourite of cat")
    assert unpack(widget._start)[0]["classes"] == ["ant", "bee", "cat", "dog", "eel"]
    widget.compute()
    assert same(run_code(widget), widget.frame)
    expected = backend.maximize(net, target=2, steps=6).result()
    assert torch.equal(widget.frame.tensor, expected.tensor)
    widget.target = None
    widget.restart()
    join(widget)
    channel = backend.maximize(net, widget.layer, 0, steps=6).result()
    assert torch.equal(widget.frame.tensor, channel.tensor)


def test_another_layer_brings_channel_and_place_along(net, view_of):
    widget = grow(net, position=(7, 5), channel=7)
    assert widget.position == [7, 5] and "neuron (7, 5)" in widget._summary()
    widget.compute()
    assert same(run_code(widget), widget.frame)
    widget.layer = "conv"
    assert (widget.channel, widget.position) == (5, [7, 5])
    assert notes(widget) == ["'conv' has no channel 7: channel 5 was chosen."]
    widget.position = (31, 0)
    widget.layer = "deep"
    assert (widget.channel, widget.position) == (5, "center")
    assert notes(widget) == ["'deep' has no neuron (31, 0): the one in the middle was chosen."]
    widget.channel = 4
    assert notes(widget) == []
    view_of(widget).set(layer="conv", channel=2, position=[20, 20])
    assert (widget.layer, widget.channel, widget.position) == ("conv", 2, [20, 20])


def notes(widget):
    """What is said beside the picture after another step."""
    widget.step()
    join(widget)
    return film(widget)[0]["notes"]


@pytest.mark.parametrize(
    ("name", "value"), [("layer", "conv"), ("channel", 2), ("position", [1, 2])]
)
def test_who_chooses_a_unit_wants_no_class(net, view_of, name, value):
    widget = nv.Maximize(net, target=1, steps=6)
    widget.compute()
    view_of(widget).set(**{name: value})
    assert widget.target is None and getattr(widget, name) == value
    widget.compute()
    position = value if name == "position" else None
    expected = backend.maximize(net, widget.layer, widget.channel, position=position, steps=6)
    assert torch.equal(widget.frame.tensor, expected.result().tensor)
    # A class that is chosen last counts.
    widget.target = "bee"
    assert widget.target == 1 and getattr(widget, name) == value
    widget.position = None
    assert widget.target == 1


def test_arrays_are_numbers_too(net):
    widget = grow(net, channel=np.int64(3), position=np.array([1, 2]))
    assert (widget.channel, widget.position) == (3, [1, 2])
    assert type(widget.channel) is int
    widget.position = torch.tensor([3, 4])
    assert widget.position == [3, 4]
    widget.target = np.int64(2)
    assert widget.target == 2 and type(widget.target) is int


def test_several_results_are_a_list_and_a_sheet(net, view_of):
    widget = grow(net, count=3, size=(20, 28))
    view = view_of(widget)
    view.answer("run", steps=0, again=False)
    assert [image.size for image in widget.result] == [(28, 20)] * 3
    meta, arrays = parts(view)[-1]
    assert meta["grid"] == [2, 2] and size_of(arrays["jpeg"]) == (2 * 28 + 4, 2 * 20 + 4)
    assert (meta["height"], meta["width"]) == (20, 28)
    assert same(run_code(widget), widget.frame)
    pictures = [np.asarray(image) for image in widget.result]
    picture = view.answer("picture")
    assert (
        size_of(picture.arrays["png"])
        == (60, 44)
        == (
            picture.meta["width"],
            picture.meta["height"],
        )
    )
    assert not np.array_equal(pictures[0], pictures[1])
    # Two more of them begin with noise; the three go on.
    widget.count, widget.steps = 5, 8
    widget.play()
    join(widget)
    assert len(widget.result) == 5 and widget.frame.step == 8
    assert film(widget)[0]["grid"] == [2, 3]


def test_a_network_without_classes_has_channels(view_of):
    maps = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU())
    net = nv.Network(maps, preprocess=backend.Preprocess(size=(24, 24)))
    widget = nv.Maximize(net, "1", 2, steps=2)
    assert unpack(widget._start)[0]["classes"] == []
    assert widget.compute().size == (24, 24)
    with pytest.raises(ValueError, match="target=0"):
        widget.target = 0


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "depe"}, ValueError, r"layer='depe'.*deep"),
        ({"layer": "fc"}, ValueError, r"layer='fc' has no maps"),
        ({"channel": 8}, ValueError, r"channel=8: 'deep' has 8 channels, 0 to 7"),
        ({"channel": "all"}, ValueError, r"channel='all': give a whole number"),
        ({"target": 2}, ValueError, r"target=2: give a class, or layer and channel, not both"),
        ({**CLASS, "target": 5}, ValueError, r"target=5: there are 5 classes; give 0 to 4"),
        ({**CLASS, "target": -1}, ValueError, r"target=-1: there are 5 classes; give 0 to 4"),
        ({**CLASS, "target": "dgo"}, ValueError, r"did you mean 'dog' \(3\)\? For a channel give "),
        ({**CLASS, "target": ("deep", 3)}, ValueError, r"target=\('deep', 3\): give the index or"),
        ({**CLASS, "target": 2, "position": (1, 1)}, ValueError, r"leave out position"),
        ({"position": "left"}, ValueError, r'position=\'left\': give None, "center" or'),
        ({"position": (99, 0)}, ValueError, r"position=\(99, 0\): the maps of 'deep' are 16 x 16"),
        ({"count": 0}, ValueError, r"count=0: give at least 1"),
        ({"count": 99}, ValueError, r"count=99: give at most 16"),
        ({"diversity": -1}, ValueError, r"diversity=-1"),
        ({"lr": "fast"}, ValueError, r"lr='fast': give a number"),
        ({"steps": 0}, ValueError, r"steps=0: give at least 1"),
        ({"transforms": None}, ValueError, r"transforms=None: give a number"),
        ({"size": "large"}, TypeError, r"size='large'"),
        ({"strength": 1}, TypeError, r"no argument 'strength'"),
    ],
)
def test_a_wrong_argument_is_named_with_the_fix(net, options, error, message):
    with pytest.raises(error, match=message):
        grow(net, **options)


def test_what_each_layer_dreams_begins_with_noise(net, view_of):
    widget = grow(net)
    reply = view_of(widget).answer("thumbs", layers=["act", "deep"])
    ends = reply.arrays["offsets"]
    assert size_of(reply.arrays["jpegs"][: ends[1]]) == (96, 96)
    wait(lambda: "kept" in unpack(widget._start)[0])
    assert [row["lane"] for row in unpack(widget._start)[0]["kept"]] == ["thumbs"]


def test_the_still_has_no_empty_half(net):
    """The picture, the film and the curve beside it; before the first step it is in the middle."""
    widget = grow(net, size=48)
    inked = (widget._picture()[40:] != 255).any((0, 2)).nonzero()[0]
    assert abs(inked[0] + inked[-1] - 480) <= 2
    widget.compute()
    made = widget._picture()
    inked = (made[40:] != 255).any((0, 2)).nonzero()[0]
    assert inked[0] <= 10 and inked[-1] >= 465 and made.shape[1] == 480 > made.shape[0]


def test_nine_results_are_saved_in_a_megabyte(net):
    widget = grow(net, count=9, size=170, steps=24, transforms=0, lr=0.5)
    widget.compute()
    assert len(film(widget)[0]["frames"]) >= 20
    assert saved_bytes(widget) <= 1_000_000


def test_the_demo_network_grows_as_its_backend_says():
    net = nv.Network.demo()
    widget = nv.Maximize(net, "blocks.2", 10, size=64, steps=12)
    widget.compute()
    expected = backend.maximize(net, "blocks.2", 10, size=64, steps=12).result()
    assert torch.equal(widget.frame.tensor, expected.tensor)
    assert widget.losses[-1][1] > widget.losses[0][1] and saved_bytes(widget) < 500_000
    assert nv.Maximize(net, steps=1).layer in {layer.name for layer in widget.layers}
