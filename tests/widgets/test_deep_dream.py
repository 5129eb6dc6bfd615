"""DeepDream without a browser: the run, what may change on the way, layers and guides."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
import torch
from dream_runs import (
    IMAGE,
    NOISE,
    STYLE,
    RunTests,
    join,
    network,
    run_code,
    same,
    saved_bytes,
    size_of,
    wait,
)
from hypothesis import given, settings
from hypothesis import strategies as st

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._dream_image import Pixels, load, resized
from nbcnnviz.widgets._codec import unpack
from nbcnnviz.widgets._dream_film import Film, jpeg

PLAN = {"octaves": 2, "octave_scale": 1.2, "jitter": 4}


@pytest.fixture
def net():
    return network()


def dream(net, image=IMAGE, layer="deep", **options):
    return nv.DeepDream(net, image, layer, **{**PLAN, "steps": 3, "size": None, **options})


class TestRun(RunTests):
    names: ClassVar = {"image": IMAGE, "guide": STYLE}
    setting = ("lr", 0.05, {"lr": 0.05})
    plan: ClassVar = {"steps": 5, "octave_scale": 1.1}
    plans: ClassVar = [
        {"steps": 5},
        {"steps": 2},
        {"octaves": 1},
        {"octaves": 3, "octave_scale": 1.1},
        {"octave_scale": 1.3},
    ]
    total = 6
    fixed: ClassVar = {"size": 100, "seed": 1, "tile": 64, "image": STYLE, "guide": STYLE}

    @pytest.fixture
    def make(self, net):
        return lambda **options: dream(net, **options)


def test_a_layer_is_chosen_by_its_place_and_named(net):
    widget = nv.DeepDream(net, IMAGE, steps=1, octaves=1)
    assert widget.layer in {layer.name for layer in widget.layers}
    widget.compute()
    assert unpack(widget._film)[0]["notes"] == [f"Layer {widget.layer!r} was chosen."]
    before = widget.layer
    widget.layer = "conv"
    widget._save()
    assert unpack(widget._film)[0]["notes"] == [] and before != "conv"
    widget.layer = before
    frame = nv.backend.deep_dream(net, IMAGE, octaves=1, steps=1).result()
    assert torch.equal(frame.tensor, widget.frame.tensor)


def test_layers_with_weights_are_one_trait(net):
    widget = dream(net)
    assert (widget.layer, widget.mix) == ("deep", {"deep": 1.0})
    widget.layer = ["act", "deep"]
    assert widget.mix == {"act": 1.0, "deep": 1.0} and widget.layer == "act"
    widget.layer = {widget.layers[0]: 1, "deep": -0.5}
    assert widget.mix == {"conv": 1.0, "deep": -0.5}
    widget.compute()
    assert same(run_code(widget, image=IMAGE), widget.frame)
    assert "'conv': 1.0, 'deep': -0.5" in widget.code()


def test_a_channel_that_another_layer_has_not_is_let_go(net, view_of):
    widget = dream(net, channel=7)
    widget.compute()
    assert same(run_code(widget, image=IMAGE), widget.frame)
    widget.layer = "act"
    assert widget.channel is None
    widget.channel = [1, 5]
    widget.layer = "conv"
    assert widget.channel == [1, 5]
    view_of(widget).set(mix={"deep": 1}, channel=7)
    assert (widget.mix, widget.channel) == ({"deep": 1.0}, 7)


def test_the_layer_may_change_in_the_middle_of_a_step(net, view_of):
    """A pair of settings is never seen half changed."""
    widget = dream(net, channel=7, steps=5000)
    view = view_of(widget)
    view.ask("run", steps=0, again=False)
    wait(lambda: widget.frame is not None)
    while widget.frame.step < 60:
        widget.layer = "act"
        widget.layer = "deep"
        widget.channel = 7
    widget.pause()
    join(widget)
    assert widget.state == "paused" and [r.status for r in view.replies()] == ["cancelled"]


def test_titles_name_channel_weights_and_guide(net):
    widget = dream(net, channel=3, guide=STYLE, name="cat")
    assert widget._headline() == "Dream of deep, channel 3 on cat, guided by guide: step 0 of 6"
    widget.layer, widget.guided = {"deep": 0.5, "act": -1}, False
    widget.channel = [1, 2]
    assert widget._headline().startswith("Dream of 0.5 deep - act, channels 1, 2 on cat: ")
    widget.compute()
    widget.layer, widget.channel = "conv", None
    widget.compute()
    assert widget._headline() == "Dream of conv on cat: step 6 of 6"


def test_arrays_are_numbers_too(net):
    widget = dream(net, channel=np.array([1, 5]))
    assert widget.channel == [1, 5]
    widget.channel = np.int64(3)
    assert widget.channel == 3 and type(widget.channel) is int


def test_a_paused_dream_is_laid_onto_the_whole_image(net):
    widget = dream(net)
    widget.step(3)
    join(widget)
    small, base = widget.frame.tensor, load(net, IMAGE, None)
    own, full = tuple(small.shape[2:]), tuple(base.shape[2:])
    laid = base + resized(small - resized(base, own), full)
    expected = net.picture(Pixels.of(net).clip(laid))
    assert own != full and np.array_equal(np.asarray(widget.result), expected)
    assert widget.frame.image.shape[:2] == own


def test_a_guide_is_followed_while_it_is_wanted(net):
    widget = dream(net, guide=STYLE)
    assert widget.guided and unpack(widget._start)[0]["guide"] == "guide"
    widget.compute()
    assert same(run_code(widget, image=IMAGE, guide=STYLE), widget.frame)
    other = dream(net, guide=STYLE, guided=False)
    other.compute()
    assert not torch.equal(other.frame.tensor, widget.frame.tensor)
    plain = dream(net)
    plain.compute()
    assert same(plain.frame, other.frame)
    with pytest.raises(ValueError, match="guided=True: there is no guide"):
        plain.guided = True


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"layer": "depe"}, ValueError, r"layer='depe'.*deep"),
        ({"layer": "fc"}, ValueError, r"layer='fc' has no maps"),
        ({"layer": []}, ValueError, r"layer=\[\]: give at least one"),
        ({"layer": {"deep": 0}}, ValueError, r"give at least one layer with a weight"),
        ({"layer": 3}, ValueError, r"layer=3: give a layer"),
        ({"layer": {"deep": "much"}}, ValueError, r"layer: weight='much'"),
        ({"layer": {"deep": np.nan}}, ValueError, r"layer: weight=nan: give a finite number$"),
        ({"channel": 8}, ValueError, r"channel=8: 'deep' has 8 channels, 0 to 7"),
        ({"channel": "all"}, ValueError, r"channel='all'"),
        ({"channel": []}, ValueError, r"channel=\[\]: give a whole number"),
        ({"lr": -1}, ValueError, r"lr=-1: give a finite number of at least 0"),
        ({"octaves": 0}, ValueError, r"octaves=0: give at least 1"),
        ({"octave_scale": 1}, ValueError, r"octave_scale=1: give a finite number above 1"),
        ({"steps": 1.5}, ValueError, r"steps=1.5: give a whole number"),
        ({"jitter": None}, ValueError, r"jitter=None"),
        ({"smooth": "yes"}, ValueError, r"smooth='yes': give a number"),
        ({"guided": 1}, ValueError, r"guided=1: give True or False"),
        ({"size": "large"}, TypeError, r"size='large'"),
        ({"tile": 2}, ValueError, r"tile=2: give at least 32"),
        ({"seed": -1}, ValueError, r"seed=-1: give at least 0"),
        ({"strength": 1}, TypeError, r"no argument 'strength'"),
    ],
)
def test_a_wrong_argument_is_named_with_the_fix(net, options, error, message):
    with pytest.raises(error, match=message):
        dream(net, **options)


@pytest.mark.parametrize(
    ("name", "value"),
    [("mix", {"depe": 1}), ("mix", {}), ("channel", 99), ("octaves", 2.5), ("guided", True)],
)
def test_a_wrong_setting_is_refused_at_once_and_put_back(net, view_of, name, value):
    widget = dream(net)
    before = getattr(widget, name)
    view = view_of(widget)
    view.set(**{name: value})
    assert getattr(widget, name) == before and view.updates()[-1] == {name: before}
    with pytest.raises(ValueError, match="layer" if name == "mix" else name):
        setattr(widget, name, value)
    assert getattr(widget, name) == before


def test_what_each_layer_dreams_is_small_and_kept(net, view_of):
    widget = dream(net)
    view = view_of(widget)
    names = ["act", "deep", "act"]
    reply = view.answer("thumbs", layers=names)
    assert reply.meta["layers"] == ["act", "deep"]
    ends = reply.arrays["offsets"]
    jpegs = [reply.arrays["jpegs"][a:b] for a, b in itertools.pairwise(ends)]
    assert [max(size_of(each)) for each in jpegs] == [56, 56]
    assert not np.array_equal(jpegs[0], jpegs[1])
    passes = []
    net.model.before.call = lambda: passes.append(1)
    assert view.answer("thumbs", layers=["deep"]).meta["layers"] == ["deep"] and not passes
    # After training they are others.
    with torch.no_grad():
        net.model.conv.weight += 0.1
    again = view.answer("thumbs", layers=["deep"])
    assert passes and bytes(again.arrays["jpegs"]) != bytes(jpegs[1])
    wait(lambda: "kept" in unpack(widget._start)[0])
    meta, arrays = unpack(widget._start)
    assert [row["lane"] for row in meta["kept"]] == ["thumbs"]
    kept, pictures = unpack(arrays["kept"].tobytes())
    assert kept["layers"] == ["deep"] and bytes(pictures["jpegs"]) == bytes(again.arrays["jpegs"])
    assert view.answer("thumbs", layers=["depe"]).status == "error"
    assert widget.state == "fresh"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 900), st.integers(0, 900))
def test_a_film_of_any_length_is_evenly_spread(steps, more):
    film, picture = Film(), np.zeros((4, 4, 3), np.uint8)
    for step in range(1, steps + 1):
        film.note(step, float(step))
        film.add(step, steps, 1, lambda: picture)
    kept = [shot.step for shot in film.shots]
    assert len(kept) == min(steps, 24) and kept[0] == 1 and kept[-1] == steps
    gaps = np.diff(kept)
    assert not len(gaps) or gaps.max() - gaps.min() <= 1
    # The run is given more steps.
    for step in range(steps + 1, steps + more + 1):
        film.note(step, float(step))
        film.add(step, steps + more, 1, lambda: picture)
    kept = [shot.step for shot in film.shots]
    assert len(kept) <= 24 and kept == sorted(set(kept)) and kept[-1] == steps + more
    assert len(film.saved_trace()) <= 300 and film.trace[-1] == (steps + more, steps + more)


def test_noise_of_512_pixels_is_saved_in_a_megabyte(net, view_of):
    widget = dream(net, NOISE, guide=NOISE, guided=False, octaves=3, steps=23, size=512)
    # As many thumbnails of noise as there can be.
    noisy = {f"{i}{'x' * 60}": jpeg(NOISE[:, i:], 96) for i in range(40)}
    widget._made = net.version(), noisy
    widget._usable = lambda name: SimpleNamespace(name=name)
    view_of(widget).answer("thumbs", layers=list(noisy))
    widget.compute()
    assert len(unpack(widget._start)[1]["kept"]) > 50_000
    meta, arrays = unpack(widget._film)
    assert len(meta["frames"]) >= 20 and max(size_of(arrays["last"])) > 250
    assert 100_000 < saved_bytes(widget) <= 1_000_000


def test_the_demo_network_dreams_as_its_backend_says():
    net = nv.Network.demo()
    cat = nv.sample_image("cat")
    widget = nv.DeepDream(net, cat, size=96, octaves=2, steps=4)
    widget.compute()
    assert widget.layer == "blocks.4" and "Dream of blocks.4 on cat" in widget._summary()
    assert saved_bytes(widget) < 500_000
    expected = backend.deep_dream(net, cat, "blocks.4", size=96, octaves=2, steps=4).result()
    assert torch.equal(widget.frame.tensor, expected.tensor)
    assert widget.losses[-1][1] > 1.2 * widget.losses[0][1]
