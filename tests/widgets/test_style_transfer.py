"""StyleTransfer without a browser: the run, its weights, Gram matrices, its two halves."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest
import torch
from dream_runs import (
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
    wait,
)
from PIL import Image

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._dream_image import load, resized
from nbcnnviz.backend.style import gram_matrix
from nbcnnviz.widgets._codec import unpack

CONTENT = np.random.default_rng(2).integers(0, 256, (64, 70, 3), np.uint8)
"""Large enough for two scales."""
OTHER = np.random.default_rng(1).integers(0, 256, (40, 40, 3), np.uint8)


@pytest.fixture
def net():
    return network()


def paint(net, content=CONTENT, style=STYLE, **options):
    return nv.StyleTransfer(net, content, style, **{"scales": 2, "steps": 3, **options})


class TestRun(RunTests):
    names: ClassVar = {"content": CONTENT, "style": STYLE}
    setting = ("style_weight", 100.0, {"style_weight": 100.0})
    plan: ClassVar = {"steps": 5}
    plans: ClassVar = [
        {"steps": 5},
        {"steps": 2},
        {"scales": 1},
        {"scales": 3},
        {"keep_colours": True},
    ]
    total = 6
    fixed: ClassVar = {
        "size": 100,
        "seed": 1,
        "optimizer": "lbfgs",
        "init": "noise",
        "content": STYLE,
        "style": OTHER,
    }

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
    assert same(run_code(widget, content=CONTENT, style=STYLE), whole.frame)


def test_layers_are_chosen_by_their_place_and_named(net):
    widget = paint(net)
    chosen = backend.style_layers_for(net)
    assert widget.content_layer == chosen.content
    assert widget.style_layers == dict.fromkeys(chosen.style, 1.0)
    assert film(widget)[0]["notes"] == [str(chosen)]
    widget.compute()
    expected = backend.style_transfer(net, CONTENT, STYLE, scales=2, steps=3).result()
    assert torch.equal(widget.frame.tensor, expected.tensor)


def test_several_styles_have_weights(net):
    widget = paint(net, style=[STYLE, OTHER], name="house")
    start, arrays = unpack(widget._start)
    assert start["styles"] == ["style 1", "style 2"] and start["name"] == "house"
    assert size_of(arrays["style_0"]) == (36, 48) and size_of(arrays["style_1"]) == (40, 40)
    widget.style_weights = [1, 0]
    widget.compute()
    assert same(run_code(widget, content=CONTENT, styles=[STYLE, OTHER]), widget.frame)
    one = paint(net)
    one.compute()
    torch.testing.assert_close(one.frame.tensor, widget.frame.tensor, rtol=1e-3, atol=1e-3)
    widget.style_weights = None
    assert widget.style_weights == [1.0, 1.0]


def test_the_contents_colours_are_kept_from_the_next_step_on(net):
    soft = CONTENT // 4 + 96  # so that nothing is clipped
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
        (
            {"init": "dark"},
            ValueError,
            r"init='dark': choose one of.*an image; there is no",
        ),
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
    x = widget.frame.tensor if steps else load(net, CONTENT, 384)
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
        expected = backend.style_transfer(net, CONTENT, STYLE, **weights, **common).result().image
        height, width, _ = expected.shape
        assert size_of(reply.arrays[name]) == (width, height)
    assert not np.array_equal(reply.arrays["content"], reply.arrays["style"])
    meta, arrays = kept(widget)
    assert [row["lane"] for row in meta["kept"]] == ["apart"]
    assert unpack(arrays["kept"].tobytes())[0] == reply.meta
    assert widget.state == "fresh"


def kept(widget):
    """Trait `_start` once it holds answers, which takes a moment."""
    wait(lambda: "kept" in unpack(widget._start)[0])
    return unpack(widget._start)


def test_gram_matrices_leave_the_run_alone(net, view_of):
    widget, whole = paint(net), paint(net)
    whole.compute()
    view = view_of(widget)
    view.answer("run", steps=4, again=False)
    view.set(keep_colours=True, style_weight=50)
    other = view.answer("gram", layer="act")
    view.set(keep_colours=False, style_weight=10)
    usual = view.answer("gram", layer="act")
    ends = [float(each.arrays["hi"][1]) for each in (other, usual)]
    assert ends[0] != ends[1]  # the styles are recoloured
    view.answer("run", steps=0, again=False)
    assert same(widget.frame, whole.frame) and widget._run.number == 1
    # Where there is more to do, Play goes on.
    widget.steps = 4
    view.answer("gram", layer="act")
    widget.play()
    join(widget)
    assert widget.frame.step == 7 and widget._run.number == 1


def test_gram_matrices_are_kept_for_a_notebook_that_is_opened_again(net, view_of):
    widget = paint(net)
    view = view_of(widget)
    view.answer("run", steps=2, again=False)
    for layer in ("act", "last", "act"):
        view.answer("gram", layer=layer)
    wait(lambda: len(unpack(widget._start)[0].get("kept", [])) == 2)
    meta, arrays = unpack(widget._start)
    first, second = (row["bytes"] for row in meta["kept"])
    data = arrays["kept"].tobytes()
    answers = [unpack(each) for each in (data[:first], data[first : first + second])]
    assert [each["layer"] for each, _ in answers] == ["act", "last"]
    assert [row["lane"] for row in meta["kept"]] == ["gram", "gram"]
    # They are of this run.
    widget.restart()
    join(widget)
    assert "kept" not in unpack(widget._start)[0]
    page = [(lane, args) for lane, args, _ in widget._export_replies()]
    assert page == [("code", {}), *(("gram", {"layer": each}) for each in widget.style_layers)]


def test_the_rate_is_changed_from_python(net):
    widget, other = paint(net), paint(net, lr=0.1)
    assert widget.lr is None and "lr" not in type(widget)._settings()
    widget.lr = 0.1
    for each in (widget, other):
        each.compute()
    assert same(widget.frame, other.frame)
    assert same(run_code(widget, content=CONTENT, style=STYLE), widget.frame)
    with pytest.raises(ValueError, match="lr=0: give a finite number above 0"):
        widget.lr = 0
    assert widget.lr == 0.1


def test_an_image_to_begin_with_may_be_a_file(net, tmp_path):
    path = tmp_path / "begin.png"
    Image.fromarray(OTHER).save(path)
    given = [paint(net, init=each) for each in (str(path), path, OTHER)]
    for widget in given:
        widget.compute()
    assert all(same(given[0].frame, each.frame) for each in given[1:])
    assert f"init={str(path)!r}" in given[0].code() and "init=init" in given[1].code()


def test_arrays_are_numbers_too(net):
    widget = paint(net, style=[STYLE, OTHER], style_weights=np.array([1, 2], np.int64))
    assert widget.style_weights == [1.0, 2.0]
    widget.style_weights = torch.tensor([3.0, 1.0])
    assert widget.style_weights == [3.0, 1.0]


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
