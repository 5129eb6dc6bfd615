"""Pooling without a browser: traits, lanes, blobs, stills, and the model left as found."""

from __future__ import annotations

import gc
import json
import weakref

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.widgets._codec import unpack

HOW = {
    "op": "max",
    "window": [2, 2],
    "stride": [2, 2],
    "padding": [0, 0],
    "dilation": [1, 1],
    "ceil_mode": False,
}


class Small(nn.Module):
    """A module that pools, a function that pools, an average over all, a linear layer."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, 1, ceil_mode=True)
        self.deep = nn.Conv2d(6, 4, 1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x):
        x = self.pool(torch.relu(self.conv(x)))
        x = F.avg_pool2d(torch.relu(self.deep(x)), (2, 3))
        return self.fc(x.mean((2, 3)))


class Flat(nn.Module):
    """The classifier takes just the numbers that come out of the pooling."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.fc = nn.Linear(2 * 8 * 8, 5)

    def forward(self, x):
        return self.fc(self.pool(self.conv(x)).flatten(1))


def network(model, side=24):
    return nv.Network(model, preprocess=nv.backend.Preprocess(size=(side, side)))


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)


@pytest.fixture
def net(model):
    return network(model)


@pytest.fixture
def widget(net, image):
    return nv.Pooling(net, image)


@pytest.fixture
def view(widget, view_of):
    return view_of(widget)


def settings(widget):
    names = ("op", "window", "stride", "padding", "dilation", "ceil_mode")
    return tuple(getattr(widget, name) for name in names)


# -- making it ------------------------------------------------------------------------------------


def test_it_begins_with_the_first_pooling_call_as_the_network_makes_it(widget):
    assert widget.layer == "pool"
    assert settings(widget) == ("max", 3, 2, 1, 1, True)
    assert widget.result.values.shape == (6, 13, 13)


def test_settings_that_are_given_stay(net, image):
    widget = nv.Pooling(net, image, "pool", window=5, op="avg", channel=2)
    assert settings(widget) == ("avg", 5, 2, 1, 1, True)
    assert widget.channel == 2


def test_without_pooling_calls_it_asks_what_if(image):
    widget = nv.Pooling(network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())), image)
    assert widget.layer == "1" and settings(widget) == ("max", 2, 2, 0, 1, False)
    assert not unpack(widget._pool)[0]["pools"]


def test_a_pooling_call_will_do_for_a_layer(net, image):
    first, second, last = backend.pooling_layers(net, image)
    widget = nv.Pooling(net, image, second)
    assert widget.layer == "/avg_pool2d#1" and widget.op == "avg"
    widget.layer = last
    assert widget.layer == "/mean#1" and widget.op == "global_avg"
    widget.layer = first.layer
    assert widget.layer == "pool" and widget.op == "max"


class Other(nn.Module):
    """A pooling call of any kind."""

    def __init__(self, step):
        super().__init__()
        self.conv, self.step = nn.Conv2d(3, 4, 1), step

    def forward(self, x):
        return self.step(self.conv(x)).mean((2, 3))


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        (lambda x: F.adaptive_avg_pool2d(x, (4, 24)), ("avg", (6, 1), (6, 1))),
        (lambda x: F.adaptive_max_pool2d(x, 5), ("max", 8, 4)),
        (lambda x: F.lp_pool2d(x, 3.0, 4, 2), ("l2", 4, 2)),
        (lambda x: F.fractional_max_pool2d(x, 3, 8), ("max", 3, 3)),
        (lambda x: F.adaptive_avg_pool2d(x, 30), ("avg", 1, 1)),
    ],
)
def test_what_settings_cannot_say_begins_with_the_nearest(step, expected, image):
    """With as many values, so that what follows still fits."""
    net = network(Other(step))
    widget = nv.Pooling(net, image)
    assert settings(widget)[:3] == expected
    size = step(torch.zeros(1, 4, 24, 24)).shape[2:]
    if max(size) <= 24:
        assert widget.result.values.shape[1:] == size
    if widget._pools[widget.layer].window == (6, 1):  # windows of one size are the same pooling
        exact = backend.feature_maps(net, image, widget.layer)
        torch.testing.assert_close(widget.result.values, exact)


def test_maps_of_one_row_and_maps_that_are_very_wide():
    net = nv.Network(Other(nn.Identity()))
    wide = torch.rand(1, 3, 2, 5000, generator=torch.Generator().manual_seed(0))
    widget = nv.Pooling(net, wide, "/mean#1")
    assert settings(widget)[:2] == ("global_avg", (2, 5000))
    torch.testing.assert_close(widget.result.values, net.logits(wide)[0][:, None, None])
    row = nv.Pooling(net, wide[:, :, :1, :40], "conv")
    assert settings(row)[:3] == ("max", (1, 2), (1, 2))
    assert row.result.values.shape == (4, 1, 20)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_the_result_is_in_the_networks_own_precision(dtype, image, view_of):
    torch.manual_seed(0)
    net = network(Small().to(dtype))
    widget = nv.Pooling(net, image, op="avg")
    same = backend.pool_at(net, image, "pool", "avg")
    assert widget.result.values.dtype == dtype
    assert torch.equal(widget.result.values, same.values)
    sent = view_of(widget).answer("channel", layer="pool", channel=1).arrays["map"]
    assert np.array_equal(sent, backend.pool_input(net, image, "pool")[1].float())
    assert widget._png() and widget.figure().axes


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"layer": "pol"}, ValueError, r"layer='pol'.*pool"),
        ({"layer": "fc"}, ValueError, r"layer='fc' has no maps"),
        ({"layer": 3}, TypeError, r"layer=3"),
        ({"channel": 6}, ValueError, r"channel=6: pool has channels 0 to 5"),
        ({"op": "median"}, ValueError, r"op='median': expected one of 'max', 'avg'"),
        ({"window": 0}, ValueError, r"window=0: give 1 to 65536 cells"),
        ({"window": (2, 2, 2)}, ValueError, r"window=\(2, 2, 2\): give a whole number, or two"),
        ({"stride": 0.5}, ValueError, r"stride=0.5: give a whole number"),
        ({"padding": -1}, ValueError, r"padding=-1: give 0 to 65536 cells"),
        ({"dilation": True}, ValueError, r"dilation=True: give a whole number"),
        ({"ceil_mode": "no"}, ValueError, r"ceil_mode='no': expected a boolean"),
        ({"kernel_size": 3}, TypeError, r"no argument 'kernel_size'.*window"),
    ],
)
def test_a_wrong_argument_is_named_with_the_fix(net, image, arguments, error, message):
    with pytest.raises(error, match=message):
        nv.Pooling(net, image, **arguments)


def test_one_image_only(net, image):
    with pytest.raises(ValueError, match="image: 2 images; Pooling takes one"):
        nv.Pooling(net, [image, image])


# -- settings -------------------------------------------------------------------------------------


def test_another_layer_brings_its_own_settings(widget):
    widget.channel = 5
    seen = []
    widget.observe(lambda change: seen.append(change["new"]), "op")
    widget.layer = "/avg_pool2d#1"
    assert settings(widget) == ("avg", (2, 3), (2, 3), 0, 1, False)
    assert widget.channel == 0 and seen == ["avg"]
    widget.layer = "/mean#1"
    assert settings(widget)[:3] == ("global_avg", (6, 4), (6, 4))
    widget.layer = widget.layers[0]
    assert settings(widget) == ("max", 2, 2, 0, 1, False)


def test_the_browser_may_choose_the_layer_too(widget, view):
    view.set(layer="/avg_pool2d#1")
    assert settings(widget)[:3] == ("avg", (2, 3), (2, 3))
    states = view.updates()
    assert any(state.get("window") == (2, 3) for state in states)


def test_settings_of_the_browser_are_checked(widget, view):
    view.set(window=[3, 2], stride=1)
    assert widget.window == (3, 2) and widget.stride == 1
    view.set(window=[0, 2])
    assert widget.window == (3, 2)
    assert view.updates()[-1]["window"] == (3, 2)


def test_what_cannot_be_pooled_is_said_and_nothing_breaks(widget, view):
    widget.padding = 7
    with pytest.raises(ValueError, match="padding=7: more than half of window=3"):
        _ = widget.result
    assert "padding=7: more than half" in widget._summary()
    assert widget._png() and widget.figure().axes
    assert widget._endpoint.worker.join(60)
    meta, arrays = unpack(widget._pool)
    assert "stack" not in meta and "map" in arrays
    reply = view.answer("stack", layer="pool", channels=[0], **{**HOW, "padding": [7, 7]})
    assert reply.status == "error" and "more than half" in reply.content["message"]


# -- what is computed -----------------------------------------------------------------------------


def test_the_result_is_pytorchs(widget, net, image):
    before = backend.pool_input(net, image, "pool")
    values, indices = F.max_pool2d(before, 3, 2, 1, ceil_mode=True, return_indices=True)
    assert torch.equal(widget.result.values, values)
    assert torch.equal(widget.result.indices, indices)
    assert torch.equal(widget.result.values, backend.feature_maps(net, image, "pool"))
    widget.op, widget.window, widget.stride, widget.ceil_mode = "avg", (3, 2), 1, False
    assert torch.equal(widget.result.values, F.avg_pool2d(before, (3, 2), 1, 1))


def test_lane_layer_has_the_maps_before_pooling(view, net, image):
    reply = view.answer("layer", layer="pool")
    before = backend.pool_input(net, image, "pool")
    meta, arrays = reply.meta, reply.arrays
    assert meta["pools"] and meta["shape"] == [6, 24, 24] and meta["after"] == [6, 13, 13]
    assert meta["own"]["window"] == [3, 3] and meta["own"]["ceil_mode"] is True
    codes = backend.quantise(before)
    assert np.array_equal(arrays["codes"], codes.codes)
    np.testing.assert_array_equal(arrays["means"], before.double().mean((1, 2)).float())
    np.testing.assert_array_equal(arrays["maxima"], before.amax((1, 2)))


def test_lane_channel_is_exact(view, net, image):
    reply = view.answer("channel", layer="/avg_pool2d#1", channel=3)
    assert np.array_equal(reply.arrays["map"], backend.pool_input(net, image, "/avg_pool2d#1")[3])
    assert view.answer("channel", layer="pool", channel=6).status == "error"


def test_lane_stack_pools_the_channels_asked_for(view, net, image):
    how = {**HOW, "op": "l2", "window": [3, 3], "stride": [1, 2]}
    reply = view.answer("stack", layer="pool", channels=[4, 1, 77], **how)
    exact = backend.pool_at(net, image, "pool", "l2", 3, (1, 2), 0, ceil_mode=False).values
    assert reply.arrays["channels"].tolist() == [4, 1]
    made = backend.quantise(exact[[4, 1]])
    assert np.array_equal(reply.arrays["codes"], made.codes)
    assert reply.meta["size"] == list(exact.shape[1:]) and reply.meta["how"] == how


def test_averages_count_the_padding_as_the_layer_does(image, view_of):
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AvgPool2d(3, 2, 1, count_include_pad=False))
    net = network(model)
    widget = nv.Pooling(net, image)
    assert torch.equal(widget.result.values, backend.feature_maps(net, image, "1"))
    assert unpack(widget._pool)[0]["own"]["count_include_pad"] is False


def test_lane_push_changes_just_that_call(view, net, image):
    how = {**HOW, "op": "avg", "window": [3, 3], "stride": [1, 1], "padding": [1, 1]}
    reply = view.answer("push", layer="pool", **how)
    own = net.predict(image)
    logits = backend.replace_pooling(net, image, "pool", "avg", 3, 1, 1, ceil_mode=False)
    assert [p["logit"] for p in reply.meta["before"]] == [p.logit for p in own]
    assert [p["logit"] for p in reply.meta["after"]] == logits.topk(5).values.tolist()
    for entry in reply.meta["classes"]:
        assert entry["logit"][1] == float(logits[entry["index"]])
    assert reply.meta["flipped"] == (own[0].index != int(logits.argmax()))


def test_scores_that_no_longer_fit_are_explained(image, view_of):
    view = view_of(nv.Pooling(network(Flat(), 16), image))
    assert view.answer("push", layer="pool", **HOW).status == "ok"
    reply = view.answer("push", layer="pool", **{**HOW, "stride": [4, 4]})
    assert reply.status == "error"
    assert "'fc' takes 128 numbers and would get 32" in reply.content["message"]
    reply = view.answer("push", layer="conv", **HOW)
    assert reply.status == "error" and "pool" in reply.content["message"]


def test_lane_gap_adds_up_to_the_logit(view, net, image):
    for index in (None, 4):
        reply = view.answer("gap", index=index)
        meta, arrays = reply.meta, reply.arrays
        chosen = net.predict(image)[0].index if index is None else index
        assert meta["index"] == chosen and meta["agrees"]
        logit = float(net.logits(net.prepare(image))[0, chosen])
        assert arrays["products"].sum() + meta["bias"] == pytest.approx(logit, abs=1e-5)
        assert np.allclose(arrays["gap"] * arrays["weights"], arrays["products"], atol=1e-7)
        names = [net.label(i) for i in range(len(net.logits(net.prepare(image))[0]))]
        assert meta.get("names") == (names if index is None else None)


def test_networks_without_gap_say_so(image, view_of):
    view = view_of(nv.Pooling(network(Flat(), 16), image))
    reply = view.answer("gap", index=None)
    assert reply.status == "error" and reply.content["message"]


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), -float("inf"), 0.0, 2.5, 1e38, -3e38]
)
def test_odd_maps_are_shown_and_pooled_as_pytorch_does(value, image, view_of):
    model = Small()
    with torch.no_grad():
        # One channel of nothing but this value, and its pictures; the others as they are.
        model.conv.weight[0] = 0
        model.conv.bias[0] = value
    net = network(model)
    widget = nv.Pooling(net, image)
    view = view_of(widget)
    before = backend.pool_input(net, image, "pool")
    for op in ("max", "avg", "l2", "global_avg", "global_max"):
        widget.op = op
        expected = backend.pool_at(net, image, "pool", op).values
        assert torch.equal(widget.result.values.nan_to_num(7), expected.nan_to_num(7))
        reply = view.answer("stack", layer="pool", channels=[0, 1], **{**HOW, "op": op})
        assert reply.status == "ok" and reply.arrays["codes"].shape[0] == 2
        assert 1000 < len(widget._png()) <= 80_000
    sent = view.answer("channel", layer="pool", channel=0).arrays["map"]
    np.testing.assert_array_equal(sent, before[0])
    for lane, args in (("push", HOW), ("shift", {**HOW, "dy": 0, "dx": 1})):
        reply = view.answer(lane, layer="pool", **args)
        assert reply.status == "ok"
        json.dumps(reply.meta, allow_nan=False)
    reply = view.answer("gap", index=None)
    assert reply.status == "ok" or "NaN or infinite" in reply.content["message"]


def test_lane_shift_is_the_backends(view, net, image):
    reply = view.answer("shift", layer="pool", dy=0, dx=3, **HOW)
    found = backend.translation(net, image, "pool", (0, 3), "max", 2, 2, 0, 1, ceil_mode=False)
    assert reply.meta["before"] == found.before[0] and reply.meta["after"] == found.after[0]
    assert (reply.meta["far_before"], reply.meta["far_after"]) == found.far
    still = view.answer("shift", layer="pool", dy=0, dx=0, **HOW)
    assert still.meta["before"] == still.meta["after"] == 0


@pytest.mark.parametrize(
    ("lane", "args", "message"),
    [
        ("layer", {"layer": "nope"}, "there is no such layer"),
        ("layer", {"layer": 3}, "layer: expected a short text"),
        ("stack", {"layer": "pool", "channels": [0], **HOW, "op": "no"}, "op: expected one of"),
        ("stack", {"layer": "pool", "channels": [0], **HOW, "window": [2]}, "two numbers"),
        ("stack", {"layer": "pool", "channels": [0], **HOW, "stride": [0, 1]}, "from 1 to"),
        ("stack", {"layer": "pool", "channels": [0]}, "the question needs"),
        ("shift", {"layer": "pool", "dy": 0, "dx": 999, **HOW}, "dx: expected a number from"),
    ],
)
def test_a_wrong_question_gets_an_error_for_an_answer(view, lane, args, message):
    reply = view.answer(lane, **args)
    assert reply.status == "error" and message in reply.content["message"]


def test_the_code_it_copies_runs_and_gives_the_same(view, widget, net, image):
    how = {**HOW, "op": "avg", "window": [3, 2]}
    code = view.answer("code", layer="pool", channel=1, **how).meta["code"]
    code = code.replace("image = ...", "image = given").replace(net.source, "network")
    names = {"given": image, "network": net}
    exec(code, names)
    widget.op, widget.window, widget.stride, widget.padding = "avg", (3, 2), 2, 0
    widget.ceil_mode = False
    assert torch.equal(names["pooled"].values, widget.result.values)
    assert names["scores"].shape == (5,)
    widget.layer = "/mean#1"
    exec(
        widget.code().replace("image = ...", "image = given").replace(net.source, "network"), names
    )


# -- saving, stills, closing ----------------------------------------------------------------------


def test_the_traits_hold_what_is_shown(widget, view):
    widget.channel, widget.op = 3, "avg"
    assert widget._endpoint.worker.join(60)
    meta, arrays = unpack(widget._pool)
    assert meta["channel"] == 3 and meta["stack"]["how"]["op"] == "avg"
    assert np.array_equal(arrays["map"], widget._record("pool").exact[3])
    made = backend.quantise(widget.result.values)
    assert np.array_equal(arrays["after_codes"], made.codes)


def test_the_largest_layers_are_saved_within_the_budget():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 96, 3, padding=1), nn.MaxPool2d(3, 1, 1))
    net = nv.Network(model, preprocess=nv.backend.Preprocess(size=(256, 256)))
    widget = nv.Pooling(net, np.zeros((256, 256, 3), np.uint8))
    state = widget.get_state()
    code = len(state["_esm"]) + len(state["_css"])
    saved = sum(len(v) * 4 / 3 if isinstance(v, bytes) else len(str(v)) for v in state.values())
    assert saved + code < 1_000_000


def test_at_most_fifteen_synced_traits(widget):
    assert len(type(widget)._synced()) <= 15
    json.dumps(widget._layers, allow_nan=False)


def test_still_pictures(widget):
    for layer in ("pool", "/mean#1", "conv"):
        widget.layer = layer
        assert 1000 < len(widget._png()) <= 80_000
        assert widget.figure().axes
        assert layer in widget._summary()


def test_a_saved_page_knows_its_channels_and_scores(widget):
    replies = list(widget._export_replies(channels=2))
    lanes = [lane for lane, _, _ in replies]
    assert lanes.count("channel") == 2 and {"layer", "stack", "push", "gap", "code"} <= set(lanes)
    for wrong, error in (({"channels": -1}, ValueError), ({"channels": "all"}, TypeError)):
        with pytest.raises(error, match="channels="):
            list(widget._export_replies(**wrong))
    with pytest.raises(TypeError, match="no option 'layers'"):
        list(widget._export_replies(layers="all"))


def test_refresh_after_training(widget, model):
    before = widget.result.values.clone()
    with torch.no_grad():
        model.conv.weight.mul_(-1)
        model.pool.stride = 3
    widget.refresh()
    assert not torch.equal(widget.result.values, before)
    assert unpack(widget._pool)[0]["own"]["stride"] == [3, 3]


def test_compute_is_the_result(widget, capsys):
    assert torch.equal(widget.compute().values, widget.result.values)


def test_the_model_is_left_as_found(image, view_of):
    torch.manual_seed(0)
    model = Small()
    model.train()
    model.pool.eval()
    flags = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.get_rng_state()
    view = view_of(nv.Pooling(network(model), image))
    view.answer("push", layer="pool", **{**HOW, "op": "avg"})
    view.answer("gap", index=0)
    view.answer("shift", layer="pool", dy=1, dx=1, **HOW)
    assert [m.training for m in model.modules()] == flags
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_closing_drops_model_and_maps(image):
    model = Small()
    widget = nv.Pooling(network(model), image)
    widget._endpoint.worker.join(60)
    gone = weakref.ref(model)
    widget.close()
    del model
    gc.collect()
    assert gone() is None
    with pytest.raises(RuntimeError, match="closed"):
        _ = widget.result
