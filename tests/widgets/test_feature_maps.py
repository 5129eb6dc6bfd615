"""FeatureMaps without a browser: traits, lanes, blobs, stills, and the model left as found."""

from __future__ import annotations

import gc
import json
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.widgets._cache import shared
from nbcnnviz.widgets._codec import unpack
from nbcnnviz.widgets._layer_record import SORTS


class Small(nn.Module):
    """A dead channel, a NaN, negative values, something without maps."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Conv2d(6, 4, 1)
        self.head = nn.Linear(4, 5)
        with torch.no_grad():
            self.conv.bias[2] = -1e6

    def forward(self, x):
        return self.head(self.deep(self.pool(self.act(self.conv(x)))).mean((2, 3)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def images():
    generator = np.random.default_rng(0)
    return [generator.integers(0, 256, (32, 32, 3), np.uint8) for _ in range(3)]


@pytest.fixture
def net(model):
    return nv.Network(model, preprocess=nv.backend.Preprocess(size=(32, 32)))


@pytest.fixture
def widget(net, images):
    return nv.FeatureMaps(net, images[0])


@pytest.fixture
def view(widget, view_of):
    return view_of(widget)


def layer_args(layer, **changes):
    return {"layer": layer, "image": 0, "sort": "index", "hide_dead": False, **changes}


# -- making it ------------------------------------------------------------------------------------


def test_a_bare_module_and_an_image_are_enough(model, images):
    widget = nv.FeatureMaps(model, images[0])
    assert widget.layer
    assert any("224" in sentence for sentence in widget._about["assumptions"])


def test_a_layer_will_do_for_its_name(net, images):
    layer = net.layers(images[0])[-3]
    widget = nv.FeatureMaps(net, images, layer)
    assert widget.layer == layer.name
    widget.layer = widget.layers[0]
    assert widget.layer == widget.layers[0].name
    assert widget.get_state("layer") == {"layer": widget.layers[0].name}


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": "cnv"}, ValueError, r"layer='cnv'.*conv"),
        ({"layer": "head"}, ValueError, r"layer='head' has no maps.*\(5,\)"),
        ({"layer": 3}, TypeError, r"layer=3"),
        ({"channel": 6, "layer": "conv"}, ValueError, r"channel=6: conv has channels 0 to 5"),
        ({"image_index": 1}, ValueError, r"image_index=1: there are 1 images"),
        ({"sort": "size"}, ValueError, r"sort='size': expected one of 'index', 'mean'"),
        ({"hide_dead": "yes"}, ValueError, r"hide_dead='yes': expected a boolean"),
        ({"colourmap": "jet"}, TypeError, r"no argument 'colourmap'.*colormap"),
        ({"names": "a"}, TypeError, r"names='a': give a list of texts, one for each image"),
        ({"names": [1]}, TypeError, r"names=\[1\]: give a list of texts"),
        ({"names": 7}, TypeError, r"names=7: give a list of texts"),
        ({"names": ["a", "b"]}, ValueError, r"names has 2 entries for 1 images"),
        ({"device": "cpu"}, TypeError, r"no argument 'device'"),
    ],
)
def test_a_wrong_argument_is_named_with_the_fix(net, images, arguments, error, message):
    with pytest.raises(error, match=message):
        nv.FeatureMaps(net, images[0], **arguments)


def test_no_images_and_images_of_different_sizes(net):
    with pytest.raises(ValueError, match=r"image=\[\] is empty"):
        nv.FeatureMaps(net, [])
    with pytest.raises(ValueError, match=r"different sizes"):
        nv.FeatureMaps(net, [torch.zeros(3, 32, 32), torch.zeros(3, 40, 40)])


def test_a_network_without_maps_is_refused(images):
    flat = nn.Sequential(nn.Flatten(), nn.Linear(3 * 32 * 32, 5))
    net = nv.Network(flat, preprocess=nv.backend.Preprocess(size=(32, 32)))
    with pytest.raises(ValueError, match=r"spatial|maps|height"):
        nv.FeatureMaps(net, images[0])


def test_wrong_values_from_python_change_nothing(widget):
    before = widget.layer, widget.channel, widget.image_index
    for name, value in [("layer", "nope"), ("channel", 999), ("image_index", 5)]:
        with pytest.raises(ValueError, match=name):
            setattr(widget, name, value)
    assert (widget.layer, widget.channel, widget.image_index) == before


def test_the_channel_is_let_go_when_the_new_layer_has_fewer(net, images):
    widget = nv.FeatureMaps(net, images[0], layer="conv", channel=5)
    widget.layer = "deep"
    assert widget.channel is None
    widget.channel = 3
    widget.layer = "conv"
    assert widget.channel == 3


# -- what it says ---------------------------------------------------------------------------------


def test_maps_are_those_of_the_backend(widget, net, images):
    widget.layer = "deep"
    torch.testing.assert_close(
        widget.maps, backend.feature_maps(net, images[0], "deep"), rtol=0, atol=0
    )


def test_the_layer_list_has_shapes_and_the_doctors_marks(widget):
    entries = {entry["name"]: entry for entry in widget._layers}
    assert entries["conv"]["shape"] == [6, 32, 32]
    assert entries["conv"]["parameters"] == 6 * 3 * 9 + 6
    assert entries["conv"]["field"] == [3, 3]
    assert entries["act"]["dead"] == pytest.approx(100 / 6)
    assert entries["head"]["shape"] == [5]
    json.dumps(widget._layers, allow_nan=False)


def test_lane_layer_sends_what_the_maps_are(view, net, images):
    reply = view.answer("layer", **layer_args("act"))
    exact = backend.feature_maps(net, images[0], "act").numpy()
    arrays = reply.arrays
    assert reply.meta["shape"] == [6, 32, 32]
    assert reply.meta["factor"] == 1
    assert arrays["channels"].tolist() == list(range(6))
    step = (arrays["hi"] - arrays["lo"]) / 254
    back = arrays["lo"][:, None, None] + arrays["codes"] * step[:, None, None]
    assert (np.abs(back - exact) <= step[:, None, None] * 0.51 + 1e-6).all()
    np.testing.assert_allclose(arrays["mean"], exact.mean((1, 2)), rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(arrays["dead"], (exact == 0).all((1, 2)))
    assert arrays["rows"].shape == (32, 2)
    assert arrays["picture"].shape == (32, 32, 3)


@pytest.mark.parametrize("sort", SORTS)
def test_sorted_largest_first_and_dead_ones_hidden(view, sort):
    reply = view.answer("layer", **layer_args("act", sort=sort, hide_dead=True))
    channels = reply.arrays["channels"].tolist()
    assert sorted(channels) == [0, 1, 3, 4, 5]
    key = {"max": "maximum"}.get(sort, sort)
    values = np.arange(6)[::-1] if sort == "index" else reply.arrays[key]
    assert (np.diff(values[channels]) <= 0).all()


def test_lane_more_sends_just_those_asked_for(view):
    reply = view.answer("more", layer="act", image=0, channels=[4, 1])
    assert reply.arrays["channels"].tolist() == [4, 1]
    whole = view.answer("layer", **layer_args("act")).arrays
    np.testing.assert_array_equal(reply.arrays["codes"], whole["codes"][[4, 1]])


def test_lane_channel_sends_exact_values_and_kernels(view, net, images, model):
    reply = view.answer("channel", layer="conv", image=0, channel=1)
    exact = backend.feature_maps(net, images[0], "conv")[1].numpy()
    np.testing.assert_array_equal(reply.arrays["map"], exact)
    assert reply.meta["weights"] == "rgb"
    np.testing.assert_array_equal(reply.arrays["weights"], model.conv.weight[1].detach().numpy())
    assert view.answer("channel", layer="deep", image=0, channel=1).meta["weights"] == "gray"
    assert view.answer("channel", layer="act", image=0, channel=1).meta["weights"] is None


@pytest.mark.parametrize(
    ("lane", "args", "message"),
    [
        ("layer", layer_args("nope"), "nope"),
        ("layer", layer_args("head"), "no maps"),
        ("layer", layer_args("act", image=1), "image 1"),
        ("channel", {"layer": "act", "image": 0, "channel": 6}, "channel 6"),
        ("compare", {"layer": "act", "channel": 6}, "channel 6"),
    ],
)
def test_a_wrong_question_gets_an_error_for_an_answer(view, lane, args, message):
    reply = view.answer(lane, **args)
    assert reply.status == "error"
    assert message in reply.content["message"]


def test_compare_shows_one_channel_of_all_images(net, images, view_of):
    view = view_of(nv.FeatureMaps(net, images))
    reply = view.answer("compare", layer="act", channel=4)
    assert reply.arrays["codes"].shape == (3, 32, 32)
    for index, image in enumerate(images):
        exact = backend.feature_maps(net, image, "act")[4].numpy()
        assert reply.arrays["hi"][index] == exact.max()
    progress = [c for c, _ in view.customs() if c["type"] == "progress"]
    assert (progress[-1]["done"], progress[-1]["total"]) == (3, 3)


def test_the_code_it_copies_runs_and_gives_the_same(view, widget, net, images):
    code = view.answer("code", layer="act", image=0, channel=3).meta["code"]
    assert code == widget._code_for("act", 0, 3)
    code = code.replace("image = ...", "image = given")
    scope = {"given": images[0], "model": net.model, "preprocess": net.preprocess}
    exec(code, scope)
    torch.testing.assert_close(
        scope["maps"], backend.feature_maps(net, images[0], "act")[3], rtol=0, atol=0
    )


def test_hostile_names_stay_text(net, images):
    nasty = '<img src=x onerror="alert(1)">'
    net_ = nv.Network(net.model, net.preprocess, labels=[nasty] * 5)
    widget = nv.FeatureMaps(net_, images[0])
    meta, _ = unpack(widget._images)
    assert meta["predictions"][0][0]["label"] == nasty


# -- keeping up with the network ------------------------------------------------------------------


def test_a_cached_layer_needs_no_forward_pass(view, model, monkeypatch):
    runs = []
    monkeypatch.setattr(Small, "forward", counted(Small.forward, runs))
    view.answer("layer", **layer_args("deep"))
    first = len(runs)
    view.answer("layer", **layer_args("conv"))
    second = len(runs)
    view.answer("layer", **layer_args("deep", sort="mean"))
    assert (first > 0, second > first, len(runs)) == (True, True, second)


def counted(forward, runs):
    def run(self, x):
        runs.append(1)
        return forward(self, x)

    return run


def test_maps_after_training_are_new_without_refresh(view, model):
    before = view.answer("layer", **layer_args("conv")).arrays["mean"]
    with torch.no_grad():
        model.conv.weight.mul_(2)
    after = view.answer("layer", **layer_args("conv")).arrays["mean"]
    assert not np.allclose(before, after)


def test_refresh_renews_marks_maps_and_predictions(widget, model):
    marks = {e["name"]: e["dead"] for e in widget._layers}
    images = widget._images
    with torch.no_grad():
        model.conv.bias.fill_(-1e6)
    widget.refresh()
    again = {e["name"]: e["dead"] for e in widget._layers}
    assert (marks["act"], again["act"]) == (pytest.approx(100 / 6), 100)
    assert widget._images != images


def test_nan_and_inf_are_counted_and_nothing_breaks(net, images, model, view_of):
    with torch.no_grad():
        model.conv.bias[0] = torch.nan
        model.conv.bias[1] = torch.inf
    widget = nv.FeatureMaps(net, images[0], layer="conv")
    entry = next(e for e in widget._layers if e["name"] == "conv")
    assert (entry["nan"], entry["inf"]) == (1024, 1024)
    reply = view_of(widget).answer("layer", **layer_args("conv"))
    assert reply.arrays["nan"].tolist() == [1024, 0, 0, 0, 0, 0]
    assert (reply.arrays["codes"][0] == 255).all()
    assert widget._png().startswith(b"\x89PNG")


def test_the_model_is_left_as_found(net, images, model, view_of):
    model.train()
    model.conv.eval()
    flags = {name: m.training for name, m in model.named_modules()}
    versions = [p._version for p in model.parameters()]
    state = torch.random.get_rng_state()
    widget = nv.FeatureMaps(net, images)
    view = view_of(widget)
    view.answer("layer", **layer_args("act"))
    view.answer("compare", layer="act", channel=0)
    widget.compute()
    widget.snapshot()
    widget.close()
    assert {name: m.training for name, m in model.named_modules()} == flags
    assert [p._version for p in model.parameters()] == versions
    assert torch.equal(torch.random.get_rng_state(), state)
    assert all(not m._forward_hooks and not m._forward_pre_hooks for m in model.modules())


# -- saving ---------------------------------------------------------------------------------------


def test_the_traits_hold_what_is_shown_after_display(widget, view):
    widget.layer = "deep"
    widget._repr_mimebundle_()
    meta, arrays = unpack(widget._maps)
    assert meta["layer"] == "deep"
    assert len(arrays["codes"]) == 4


def test_a_change_is_saved_by_the_worker_without_a_display(widget):
    widget.layer = "deep"
    assert widget._endpoint.worker.join(10)
    assert unpack(widget._maps)[0]["layer"] == "deep"


def test_a_large_layer_is_saved_within_the_budget(images):
    big = nn.Sequential(nn.Conv2d(3, 128, 3), nn.ReLU())
    widget = nv.FeatureMaps(big, images[0], layer="1")
    meta, arrays = unpack(widget._maps)
    assert 0 < len(arrays["channels"]) < 128
    assert len(arrays["mean"]) == 128
    assert meta["factor"] == 2
    state = sum(
        len(value) * 4 / 3 if isinstance(value, bytes) else len(json.dumps(value))
        for name, value in widget.get_state().items()
        if name not in ("_esm", "_css") and name in widget.keys
        and isinstance(value, (bytes, str, list, dict))
    )  # fmt: skip
    assert state <= 1_000_000


def test_at_most_fifteen_synced_traits(widget):
    assert len(type(widget)._synced()) <= 15


def test_closing_drops_model_and_maps(images):
    model = Small()
    held = weakref.ref(model)
    widget = nv.FeatureMaps(model, images[0])
    widget.layer = "conv"
    epoch = widget._epoch
    widget.close()
    del model, widget
    gc.collect()
    assert held() is None
    assert not [key for key in shared._items if key[0] == epoch]


def test_still_pictures(widget):
    from PIL import Image

    data, _ = widget._repr_mimebundle_()
    assert "6 maps of" in data["text/plain"]
    png = widget.snapshot().data
    assert len(png) <= 80_000
    import io

    assert Image.open(io.BytesIO(png)).width <= 640
    widget.channel = 2
    assert "channel 2" in widget._summary()
    assert len(widget.figure().axes) == 1
