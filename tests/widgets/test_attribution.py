"""Attribution without a browser: traits, lanes, blobs, stills, and the model left as found."""

from __future__ import annotations

import gc
import json
import threading
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend.attribution import METHODS
from nbcnnviz.widgets._codec import unpack


class Small(nn.Module):
    """Ends with global average pooling and a linear layer, so that CAM has its say."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(2)
        self.deep = nn.Conv2d(6, 8, 3, padding=1)
        self.last = nn.ReLU()
        self.fc = nn.Linear(8, 5)

    def forward(self, x):
        x = self.pool(self.act(self.conv(x)))
        return self.fc(self.last(self.deep(x)).mean((2, 3)))


def network(model, labels=None):
    size = nv.backend.Preprocess(size=(24, 24))
    return nv.Network(model, preprocess=size, labels=labels)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return Small()


@pytest.fixture
def net(model):
    return network(model, ["ant", "bee", "cat", "dog", "eel"])


@pytest.fixture
def image():
    return np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)


@pytest.fixture
def widget(net, image):
    return nv.Attribution(net, image)


@pytest.fixture
def view(widget, view_of):
    return view_of(widget)


def aim(**changes):
    return {"index": None, "other": None, "layer": "last", "unit": None, "score": "logit"} | changes


def ask(**changes):
    return {"methods": ["gradient", "gradcam"], **aim(), **changes}


# -- making it ------------------------------------------------------------------------------------


def test_it_explains_the_predicted_class_with_the_last_maps(widget, net, image):
    assert widget.layer == "last" and widget.target.index == net.predict(image)[0].index
    assert list(widget.results) == ["gradient", "guided_backprop", "gradcam"]
    assert "gradient" in widget._summary()


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"methods": ["lime"]}, ValueError, r"methods: 'lime' is none; choose from gradient"),
        ({"methods": []}, ValueError, r"methods=\[\]: give 1 to 6"),
        ({"methods": 3}, ValueError, r"methods=3: give 1 to 6"),
        ({"methods": [["cam"]]}, ValueError, r"methods: \['cam'\] is none; choose from"),
        ({"target": "dgo"}, ValueError, r"target='dgo'.*did you mean 'dog'"),
        ({"target": 9}, ValueError, r"target=9: there are 5 classes"),
        ({"target": ("lats", 1)}, ValueError, r"target: layer='lats'.*last"),
        ({"target": ("last", 8)}, ValueError, r"target: channel 8 of 'last'; it has 8 channels"),
        ({"target": ("last", 1, (0, 99))}, ValueError, r"target: position \(0, 99\) in 'last'"),
        ({"images": 3}, TypeError, r"images: a int; give several images"),
        ({"layer": "lats"}, ValueError, r"layer='lats'.*last"),
        ({"layer": "fc"}, ValueError, r"layer='fc' has no maps"),
        ({"unit": 99}, ValueError, r"unit: channel 99 of 'last'; it has 8 channels"),
        ({"unit": "strong"}, ValueError, r"unit='strong': give a channel"),
        ({"unit": (1, (2, 99))}, ValueError, r"unit: .*99"),
        ({"score": "odds"}, ValueError, r"score='odds': expected one of 'logit'"),
        ({"reduce": "mean"}, ValueError, r"reduce='mean': expected one of 'abs'"),
        ({"share": 2}, ValueError, r"share=2: give a share of the picture"),
        ({"colour": "red"}, TypeError, r"no argument 'colour'"),
    ],
)
def test_a_wrong_argument_is_named_with_the_fix(net, image, arguments, error, message):
    with pytest.raises(error, match=message):
        nv.Attribution(net, image, **arguments)


# -- what is computed -----------------------------------------------------------------------------


@pytest.mark.parametrize("method", list(METHODS))
def test_results_are_the_backends(net, image, method):
    widget = nv.Attribution(net, image, [method], target="cat")
    found = widget.results[method]
    layer = "last" if method in ("gradcam", "gradcam++", "layercam", "guided_gradcam") else None
    expected = backend.attribute(net, image, method, "cat", layer=layer)
    torch.testing.assert_close(found.values, expected.values, rtol=1e-4, atol=1e-6)
    assert found.score == pytest.approx(expected.score)


def test_settings_from_python_make_new_results(widget, net, image):
    widget.target = "dog"
    expected = backend.attribute(net, image, "gradient", "dog").values
    torch.testing.assert_close(widget.results["gradient"].values, expected)
    assert widget._target == {"name": "dog", "index": 3, "other": None}
    widget.target = ("dog", "minus", "ant")
    difference = widget.results["gradient"].values
    other = backend.attribute(net, image, "gradient", "ant").values
    torch.testing.assert_close(difference, expected - other, rtol=1e-3, atol=1e-6)
    widget.score = "probability"
    assert widget.results["gradient"].score_name == "probability"
    widget.layer, widget.methods = "act", "layercam"
    assert widget.results["layercam"].layer == "act"


def test_a_unit_is_explained_and_goes_with_its_layer(widget, net, image):
    widget.layer = "conv"
    widget.unit = (2, "max")
    expected = backend.attribute(net, image, "guided_backprop", ("conv", 2, "max"))
    found = widget.results["guided_backprop"]
    torch.testing.assert_close(found.values, expected.values)
    assert found.target.position == expected.target.position
    widget.unit = (2, (3, 4))
    assert widget.unit == (2, 3, 4)
    with pytest.raises(ValueError, match="unit: channel 6"):
        widget.unit = 6
    assert widget.unit == (2, 3, 4)
    widget.layer = "last"
    assert widget.unit is None
    widget.unit = np.int64(2), np.array([3, 4])
    assert widget.unit == (2, 3, 4)
    assert widget.results["gradcam"].layer == "deep"  # the last one before


def test_a_target_that_is_not_there_is_refused_and_the_old_one_stays(widget):
    before = widget.target
    for target in (("lats", 1), ("last", 8), ("last", 1, (0, 99))):
        with pytest.raises(ValueError, match="target: "):
            widget.target = target
    assert widget.target == before and len(widget.results) == 3


def test_a_map_of_nan_is_an_error_in_its_place(net, image):
    with torch.no_grad():
        net.model.conv.weight[0] = torch.nan
    widget = nv.Attribution(net, image, ["gradient", "gradcam"])
    methods = unpack(widget._results)[0]["methods"]
    assert all("Every value is NaN or infinite" in one["error"] for one in methods)
    assert not widget.results and "Every value is NaN" in widget._summary()
    assert widget._picture().ndim == 3
    with pytest.raises(ValueError, match="method='gradient': there is no map; Every value"):
        widget.segment()


def test_lane_attribute_sends_what_was_found(view, widget, net, image):
    reply = view.answer("attribute", **ask(index=2))
    meta, arrays = reply.meta, reply.arrays
    assert meta["target"] == {"name": "cat", "index": 2, "other": None}
    assert [one["name"] for one in meta["methods"]] == ["gradient", "gradcam"]
    for number, method in enumerate(("gradient", "gradcam")):
        layer = "last" if method == "gradcam" else None
        found = backend.attribute(net, image, method, 2, layer=layer)
        one = meta["methods"][number]
        assert one["min"] == pytest.approx(found.minimum, abs=1e-6)
        assert one["max"] == pytest.approx(found.maximum, abs=1e-6)
        heats = [found.heat("signed")] + [found.heat("positive")] * (method == "gradient")
        codes = backend.quantise(torch.stack(heats))
        assert np.abs(arrays[f"codes{number}"].astype(int) - codes.codes).max() <= 1
    # Settings come by traits, which may be newer than the question.
    assert widget.target.index != 2 and len(widget.methods) == 3
    assert len(meta["best"]) == 5


def test_one_method_that_cannot_leaves_the_others_alone(image, view_of):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten(), nn.Linear(2 * 22 * 22, 3))
    widget = nv.Attribution(network(model), image, ["cam", "gradcam"])
    assert list(widget.results) == ["gradcam"]
    methods = unpack(widget._results)[0]["methods"]
    assert "gradcam" in methods[0]["error"] and "codes0" not in unpack(widget._results)[1]
    reply = view_of(widget).answer("terms", index=None, other=None, layer="1")
    assert reply.status == "error" and "gradcam" in reply.content["message"]


def test_two_classes_against_each_other(view, widget):
    reply = view.answer("attribute", **ask(index=2, other=0))
    assert reply.meta["target"] == {"name": "cat minus ant", "index": 2, "other": 0}
    assert widget.target.difference is None


def test_what_browsers_may_not_ask(view, widget):
    before = widget.unit
    for args, message in (
        (ask(unit=[99, "max"]), "channel 99"),
        (ask(unit="x"), "unit"),
        (ask(layer="nope"), "no such layer"),
        (ask(index=77), "there are 5 classes"),
        (ask(methods=["lime"]), "expected one of"),
    ):
        reply = view.answer("attribute", **args)
        assert reply.status == "error" and message in reply.content["message"]
    assert widget.unit == before


def test_the_terms_add_up_to_the_cam_and_to_the_score(view, net, image):
    reply = view.answer("terms", index=1, other=None, layer="last")
    meta, arrays = reply.meta, reply.arrays
    found = backend.attribute(net, image, "cam", 1)
    weights = arrays["weights"][arrays["order"]]
    total = (weights[:, None, None] * arrays["maps"]).sum(0) + arrays["rest"]
    np.testing.assert_allclose(total, found.coarse.numpy(), atol=1e-5)
    assert total.mean() + meta["bias"] == pytest.approx(meta["score"], abs=1e-5)
    assert meta["checks"][0]["error"] < 1e-5
    assert meta["count"] == 8


def test_a_map_to_choose_a_unit_on(view, net, image):
    reply = view.answer("map", layer="conv", channel=3)
    maps = backend.feature_maps(net, image, "conv")[3]
    y, x = reply.meta["best"]
    assert float(maps[y, x]) == float(maps.max())
    assert view.answer("map", layer="conv", channel=6).status == "error"


def test_switches_lie_where_the_maxima_are(view, net, image):
    reply = view.answer("switches", index=None, other=None, layer="deep", unit=[1, 4, 5])
    assert reply.meta["layers"] == ["pool"]
    found = backend.pool_switches(net, image, ("deep", 1, (4, 5)))[0]
    np.testing.assert_allclose(reply.arrays["y"], found.points[:, 0].float())
    assert len(reply.arrays["layer"]) == len(found.values)


def test_other_maxima_on_the_way_are_named(view_of):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.AdaptiveMaxPool2d(6), nn.Conv2d(4, 3, 3), nn.Flatten()
    net = nv.Network(nn.Sequential(*layers, nn.Linear(48, 3)))
    widget = nv.Attribution(net, torch.rand(3, 16, 16))
    reply = view_of(widget).answer("switches", index=None, other=None, layer="2", unit=[1, 2, 2])
    assert reply.meta["layers"] == []
    assert reply.meta["note"].startswith("no switches are given of")
    assert "adaptive_max_pool2d" in reply.meta["note"]


def test_evidence_comes_with_chance_beside_it(view):
    reply = view.answer("evidence", method="gradcam", **aim(index=2))
    meta, arrays = reply.meta, reply.arrays
    assert 0 <= meta["deletion"] <= 1 and 0 <= meta["insertion_by_chance"] <= 1
    assert len(arrays["deletion"]) == len(arrays["fractions"]) == len(arrays["insertion"])
    assert [one["layer"] for one in meta["randomised"]]


def test_a_mask_is_handed_over(view, widget, net, image):
    reply = view.answer("mask", method="gradcam", share=0.2)
    mask = reply.arrays["mask"].astype(bool)
    assert np.array_equal(mask, widget.mask)
    assert reply.meta["coverage"] == pytest.approx(mask.mean(), abs=1e-6) and mask.mean() <= 0.2
    top, left, height, width = reply.meta["box"]
    assert mask[top : top + height, left : left + width].sum() == mask.sum()
    other = widget.to_occlusion()
    assert np.array_equal(other.mask > 0.5, mask) and other.target == widget.target
    assert view.answer("mask", method="cam", share=0.2).status == "error"
    with pytest.raises(ValueError, match="method='cam': not shown; choose from gradient, guided"):
        widget.segment("cam")
    with pytest.raises(ValueError, match=r"share=1\.5: give a share"):
        widget.segment(share=1.5)
    assert np.array_equal(widget.mask, mask)
    widget.mask = np.ones((24, 24))
    assert widget.mask.all()
    with pytest.raises(ValueError, match="mask"):
        widget.mask = np.ones((3, 3))


def test_the_patches_of_a_data_set(net, image, view_of):
    images = [np.roll(image, step, 0) for step in range(4)]
    widget = nv.Attribution(net, image, layer="deep", images=images)
    assert widget._about["dataset"] == 4
    reply = view_of(widget).answer("patches", layer="deep", channel=1)
    found = backend.top_patches(net, images, "deep", 1)
    assert [one["image"] for one in reply.meta["patches"]] == [p.index for p in found]
    assert np.array_equal(reply.arrays["picture0"], found[0].picture)
    assert reply.arrays["rebuilt0"].shape == reply.arrays["picture0"].shape
    assert view_of(nv.Attribution(net, image)).answer(
        "patches", layer="deep", channel=1
    ).status == ("error")


def test_stop_keeps_what_was_done(net, image, view_of):
    widget = nv.Attribution(net, image, ["gradient"])
    view = view_of(widget)
    began = threading.Event()
    original = widget._work.attribute

    def slow(question, method, on_progress=None):
        began.set()
        if method == "smoothgrad":
            for step in range(200):
                threading.Event().wait(0.02)
                if on_progress(step, 200):
                    break
        return original(question, method)

    widget._work.attribute = slow
    view.ask("attribute", **ask(methods=["gradient", "smoothgrad", "gradcam"]))
    assert began.wait(10)
    threading.Event().wait(0.2)
    view.stop()
    assert widget._endpoint.worker.join(10)
    assert view.replies()[-1].status == "cancelled"
    assert "gradient" in widget.results and "gradcam" not in widget.results


def test_the_code_it_copies_runs_and_gives_the_same(widget, net, image):
    for change in ({}, {"target": ("cat", "minus", "ant")}, {"layer": "conv", "unit": (1, "max")}):
        for name, value in change.items():
            setattr(widget, name, value)
        code = widget.code().replace("image = ...", "image = given").replace(net.source, "network")
        names = {"given": image, "network": net}
        exec(code, names)
        torch.testing.assert_close(names["gradient"].values, widget.results["gradient"].values)


# -- saving, stills, closing ----------------------------------------------------------------------


def test_the_saved_state_is_small():
    torch.manual_seed(0)
    model = Small()
    net = nv.Network(model)
    widget = nv.Attribution(net, np.zeros((224, 224, 3), np.uint8), list(METHODS)[:6])
    state = widget.get_state()
    code = len(state["_esm"]) + len(state["_css"])
    saved = sum(len(v) * 4 / 3 if isinstance(v, bytes) else len(str(v)) for v in state.values())
    assert saved + code < 1_000_000
    assert len(unpack(widget._results)[0]["methods"]) == 6


def test_at_most_fifteen_synced_traits(widget):
    assert len(type(widget)._synced()) <= 15
    for name in ("_target", "_classes", "_methods", "_layers"):
        json.dumps(getattr(widget, name), allow_nan=False)


def test_still_pictures(net, image):
    for methods in (["gradcam"], ["gradient", "cam", "deconvnet", "guided_backprop", "layercam"]):
        widget = nv.Attribution(net, image, methods)
        assert 1000 < len(widget._png()) <= 80_000
        assert widget.figure().axes


def test_a_saved_page_has_the_results_and_the_terms(widget):
    assert [lane for lane, _, _ in widget._export_replies()] == ["attribute", "terms", "code"]
    with pytest.raises(TypeError, match="no option 'layers'"):
        list(widget._export_replies(layers="all"))


def test_refresh_after_training(widget, model):
    before = widget.results["gradient"].values.clone()
    with torch.no_grad():
        model.conv.weight.mul_(-1)
    # Seen without being told, and told to the page.
    assert not torch.equal(widget.results["gradient"].values, before)
    blob = widget._results
    widget.refresh()
    assert widget._results != blob


def test_the_model_is_left_as_found(image, view_of):
    torch.manual_seed(0)
    model = Small()
    model.train()
    flags = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.get_rng_state()
    view = view_of(nv.Attribution(network(model), image))
    view.answer("attribute", **ask(methods=["smoothgrad", "deconvnet"]))
    view.answer("evidence", method="smoothgrad", **aim())
    assert [m.training for m in model.modules()] == flags
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_closing_drops_model_and_graph(image):
    model = Small()
    widget = nv.Attribution(network(model), image)
    widget._endpoint.worker.join(60)
    gone = weakref.ref(model)
    widget.close()
    del model
    gc.collect()
    assert gone() is None
    with pytest.raises(RuntimeError, match="closed"):
        _ = widget.results


def test_a_view_chooses_the_class(view, widget):
    view.set(_target={"name": "whatever", "index": 3, "other": 0})
    assert widget.target.difference == (3, 0)
    assert widget._target == {"name": "dog minus ant", "index": 3, "other": 0}
    for nonsense in ({"index": 77}, {"index": "x"}, [], 3, {"index": 1, "other": 1.5}):
        view.set(_target=nonsense)
        assert widget.target.difference == (3, 0)
