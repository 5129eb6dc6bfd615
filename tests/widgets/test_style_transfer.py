"""StyleTransfer without a browser: the run, its weights, Gram matrices, its two halves."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from dream_runs import (
    IMAGE,
    NOISE,
    STYLE,
    RunTests,
    film,
    join,
    network,
    run_code,
    same,
    saved_bytes,
    size_of,
)

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._dream_image import load, resized
from nbcnnviz.backend.style import gram_matrix
from nbcnnviz.widgets._codec import unpack

OTHER = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)


@pytest.fixture
def net():
    return network()


def paint(net, content=IMAGE, style=STYLE, **options):
    return nv.StyleTransfer(net, content, style, **{"scales": 2, "steps": 3, **options})


class TestRun(RunTests):
    names: ClassVar = {"content": IMAGE, "style": STYLE}
    setting = ("style_weight", 100.0, {"style_weight": 100.0})
    plan: ClassVar = {"steps": 5}
    total = 6

    @pytest.fixture
    def make(self, net):
        return lambda **options: paint(net, **options)


def test_lbfgs_is_paused_and_resumed_as_well(net):
    whole, widget = (paint(net, optimizer="lbfgs", init="noise", seed=3) for _ in range(2))
    whole.compute()
    widget.step(2)
    join(widget)
    widget.play()
    join(widget)
    assert same(widget.frame, whole.frame)
    assert same(run_code(widget, content=IMAGE, style=STYLE), whole.frame)


def test_layers_are_chosen_by_their_place_and_named(net):
    widget = paint(net)
    chosen = backend.style_layers_for(net)
    assert widget.content_layer == chosen.content
    assert widget.style_layers == dict.fromkeys(chosen.style, 1.0)
    assert film(widget)[0]["notes"] == [str(chosen)]
    widget.compute()
    expected = backend.style_transfer(net, IMAGE, STYLE, scales=2, steps=3).result()
    assert torch.equal(widget.frame.tensor, expected.tensor)


def test_several_styles_have_weights(net):
    widget = paint(net, style=[STYLE, OTHER], name="house")
    start, arrays = unpack(widget._start)
    assert start["styles"] == ["style 1", "style 2"] and start["name"] == "house"
    assert size_of(arrays["style_0"]) == (36, 48) and size_of(arrays["style_1"]) == (40, 40)
    widget.style_weights = [1, 0]
    widget.compute()
    assert same(run_code(widget, content=IMAGE, styles=[STYLE, OTHER]), widget.frame)
    one = paint(net)
    one.compute()
    torch.testing.assert_close(one.frame.tensor, widget.frame.tensor, rtol=1e-3, atol=1e-3)
    widget.style_weights = None
    assert widget.style_weights == [1.0, 1.0]


def test_the_contents_colours_are_kept_from_the_next_step_on(net):
    soft = IMAGE // 4 + 96  # so that nothing is clipped
    widget = paint(net, soft, steps=6)
    widget.step(3)
    join(widget)
    widget.keep_colours = True
    widget.play()
    join(widget)
    made = np.asarray(widget.result, int)
    content = net.picture(load(net, soft, None)).astype(int)
    change = (made - content)[((made > 1) & (made < 254)).all(2)]
    assert np.ptp(change, axis=1).max() <= 2 < np.abs(change).max()
    assert widget.state == "done" and widget.frame.step == 12


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"style": []}, ValueError, r"style: there is none"),
        ({"content_layer": "depe"}, ValueError, r"content_layer='depe'.*deep"),
        ({"content_layer": "fc"}, ValueError, r"content_layer='fc' has no maps"),
        ({"style_layers": {"act": -1}}, ValueError, r"style_layers: weight=-1"),
        ({"style_layers": {"act": 0}}, ValueError, r"give at least one layer with a weight"),
        ({"style_layers": 3}, ValueError, r"style_layers=3: give a layer, several"),
        ({"content_weight": -1}, ValueError, r"content_weight=-1"),
        ({"content_weight": 0, "style_weight": 0}, ValueError, r"_weight=0: the other weight is 0"),
        ({"tv_weight": "much"}, ValueError, r"tv_weight='much': give a number"),
        ({"style_weights": [1, 2]}, ValueError, r"style_weights=\[1, 2\]: give 1, one for each"),
        ({"style_weights": [0]}, ValueError, r"style_weights=\[0\]: give at least one above 0"),
        ({"keep_colours": 1}, ValueError, r"keep_colours=1: give True or False"),
        ({"scales": 0}, ValueError, r"scales=0: give at least 1"),
        ({"steps": 2.5}, ValueError, r"steps=2.5: give a whole number"),
        ({"optimizer": "sgd"}, ValueError, r"optimizer='sgd': choose one of"),
        ({"init": "dark"}, ValueError, r"init='dark': choose one of"),
        ({"lr": 0}, ValueError, r"lr=0: give a finite number above 0"),
        ({"strength": 1}, TypeError, r"no argument 'strength'"),
    ],
)
def test_a_wrong_argument_is_named_with_the_fix(net, options, error, message):
    with pytest.raises(error, match=message):
        paint(net, **options)


def test_both_weights_may_change_together_but_not_vanish(net, view_of):
    widget = paint(net, content_weight=0)
    view = view_of(widget)
    view.set(style_weight=0)
    assert widget.style_weight == 10 and view.updates()[-1] == {"style_weight": 10.0}
    view.set(style_weight=0, content_weight=2)
    assert (widget.style_weight, widget.content_weight) == (0, 2)


@pytest.mark.parametrize("steps", [0, 2, 4])
def test_gram_matrices_are_those_of_the_picture_and_of_the_style(net, view_of, steps):
    """Against features of the picture and of the style, which is as large as the content."""
    widget = paint(net, style=NOISE, steps=2)
    if steps:
        widget.step(steps)
        join(widget)
    reply = view_of(widget).answer("gram", layer="deep")
    assert reply.meta == {"layer": "deep", "channels": 8, "shown": 8}
    run = widget._run.ready(widget._wanted)._run
    x = widget.frame.tensor if steps else run.content
    # As many pixels as the content, and with its own proportions.
    style = resized(load(net, NOISE, None), (round((x.shape[2] * x.shape[3]) ** 0.5),) * 2)
    with torch.no_grad():
        maps = [net.model.deep(torch.relu(net.model.conv(each))) for each in (x, style)]
    expected = [gram_matrix(each)[0] for each in maps]
    order = expected[1].diagonal().argsort(descending=True)
    for row, (name, gram) in enumerate(zip(("now", "target"), expected, strict=True)):
        lo, hi = reply.arrays["lo"][row], reply.arrays["hi"][row]
        found = lo + reply.arrays[name].astype(float) * (hi - lo) / 254
        wanted = gram[order][:, order].numpy()
        np.testing.assert_allclose(found, wanted, atol=1.01 * (hi - lo) / 508)


def test_a_wide_layer_shows_its_strongest_channels(view_of):
    wide = torch.nn.Sequential(torch.nn.Conv2d(3, 100, 3), torch.nn.ReLU())
    net = nv.Network(wide, preprocess=backend.Preprocess(size=(24, 24)))
    widget = paint(net, content_layer="0", style_layers=["1"])
    reply = view_of(widget).answer("gram", layer="0")
    assert (reply.meta["channels"], reply.meta["shown"]) == (100, 64)
    diagonal = np.diagonal(reply.arrays["target"]).astype(int)
    assert (np.diff(diagonal) <= 0).all()


def test_the_two_halves_are_painted_side_by_side(net, view_of):
    widget = paint(net)
    view = view_of(widget)
    reply = view.answer("apart", steps=6)
    assert reply.meta == {"step": 6, "steps": 6}
    common = {"init": "noise", "scales": 1, "steps": 6, "size": 224}
    for name, weights in (("content", {"style_weight": 0}), ("style", {"content_weight": 0})):
        expected = backend.style_transfer(net, IMAGE, STYLE, **weights, **common).result().image
        height, width, _ = expected.shape
        assert size_of(reply.arrays[name]) == (width, height)
    assert not np.array_equal(reply.arrays["content"], reply.arrays["style"])
    page = {lane: blob for lane, _, blob in widget._export_replies()}
    assert unpack(page["apart"])[0] == reply.meta and "gram" in page
    assert widget.state == "fresh"


def test_noise_of_512_pixels_is_saved_in_a_megabyte(net):
    widget = paint(net, NOISE, [NOISE] * 6, size=512, scales=1, steps=24)
    widget.compute()
    assert len(film(widget)[0]["frames"]) >= 20
    assert 100_000 < saved_bytes(widget) <= 1_000_000


def test_the_demo_network_paints_as_its_backend_says():
    net = nv.Network.demo()
    cat, brick = nv.sample_image("cat"), nv.sample_image("brick")
    widget = nv.StyleTransfer(net, cat, brick, size=96, scales=1, steps=8)
    widget.compute()
    assert widget._summary().startswith("StyleTransfer: cat in the style of brick: step 8 of 8")
    assert saved_bytes(widget) < 500_000
    expected = backend.style_transfer(net, cat, brick, size=96, scales=1, steps=8).result()
    assert torch.equal(widget.frame.tensor, expected.tensor)
    assert widget.losses[-1][1] < 0.8 * widget.losses[0][1]
