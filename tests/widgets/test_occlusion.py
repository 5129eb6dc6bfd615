"""Occlusion without a browser: masks, scores, sweeps, stills, and the model left as found."""

from __future__ import annotations

import gc
import json
import random
import signal
import threading
import time
import weakref

import numpy as np
import pytest
import torch
from torch import nn

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend.target import Target
from nbcnnviz.widgets._codec import unpack
from nbcnnviz.widgets._occlusion_record import codes_of, mask_of

SIZE = (24, 32)
LABELS = ["left", "right", "up", "down", "crane", "crane"]


def small():
    torch.manual_seed(3)
    return nn.Sequential(
        nn.Conv2d(3, 6, 3, padding=1),
        nn.BatchNorm2d(6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Conv2d(6, 8, 3),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 6),
    )


@pytest.fixture
def net():
    return nv.Network(small(), preprocess=backend.Preprocess(size=SIZE), labels=LABELS)


@pytest.fixture
def image():
    return np.random.default_rng(1).integers(0, 256, (*SIZE, 3), np.uint8)


@pytest.fixture
def widget(net, image):
    return nv.Occlusion(net, image, window=8, stride=4)


@pytest.fixture
def view(widget, view_of):
    return view_of(widget)


def square(top=4, left=6, height=8, width=10, value=1.0):
    mask = np.zeros(SIZE, np.float32)
    mask[top : top + height, left : left + width] = value
    return mask


def scores_args(mask, **changes):
    """A question of lane "scores", as a browser puts it."""
    rows, columns = np.nonzero(mask)
    box = [0, 0, 1, 1]
    if len(rows):
        box = [int(rows.min()), int(columns.min())]
        box += [int(np.ptp(rows)) + 1, int(np.ptp(columns)) + 1]
    top, left, height, width = box
    crop = codes_of(mask)[top : top + height, left : left + width]
    return {"fill": "mean", "box": box, "done": True, "mask": crop.copy(), **changes}


def expected(widget, mask, fill="mean"):
    return backend.occlude(widget.net, widget._x, mask, fill).numpy()


# -- making it ------------------------------------------------------------------------------------


def test_a_bare_module_and_an_image_are_enough(image):
    widget = nv.Occlusion(small(), image)
    assert widget.window == 32
    assert widget.stride == 16
    assert widget.mask.shape == (224, 224)
    assert widget.target.index == int(widget.scores.argmax())


def test_the_window_fits_small_images(net, image):
    widget = nv.Occlusion(net, image)
    assert (widget.window, widget.stride) == (3, 1)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"colour": 1}, TypeError, "no argument 'colour'"),
        ({"window": 40}, ValueError, "window=40"),
        ({"window": 0}, ValueError, "window=0"),
        ({"window": "8"}, ValueError, "window='8'"),
        ({"window": 4, "stride": 5}, ValueError, "stride=5"),
        ({"stride": 0}, ValueError, "stride=0"),
        ({"fill": "pink"}, ValueError, "fill='pink'"),
        ({"fill": (1, 2)}, ValueError, "fill"),
        ({"target": "lefft"}, ValueError, "did you mean 'left'"),
        ({"target": "crane"}, ValueError, "4, 5"),
        ({"target": 6}, ValueError, "there are 6 classes"),
        ({"target": ("9", 0)}, ValueError, "layer='9'"),
        ({"score": "percent"}, ValueError, "score='percent'"),
        ({"show": "all"}, ValueError, "show='all'"),
        ({"mask": np.zeros((3, 3))}, ValueError, "3 x 3"),
        ({"mask": np.full(SIZE, np.nan)}, ValueError, "NaN"),
    ],
)
def test_what_cannot_be_used_is_refused_with_the_fix(net, image, arguments, error, message):
    with pytest.raises(error, match=message):
        nv.Occlusion(net, image, **arguments)


def test_images_that_cannot_be_used(net, image):
    with pytest.raises(ValueError, match="2 images"):
        nv.Occlusion(net, [image, image])
    with pytest.raises(ValueError, match="NaN"):
        nv.Occlusion(net, torch.full((3, *SIZE), torch.nan))


def test_labels_of_ones_own_leave_the_network_alone(net, image):
    widget = nv.Occlusion(net, image, labels=list("abcdef"))
    assert widget.target.name in "abcdef"
    assert widget._classes == list("abcdef")
    assert net.labels == tuple(LABELS)
    assert widget.net.model is net.model
    assert widget.net.lock is net.lock
    bare = nv.Occlusion(net.model, np.zeros((224, 224, 3), np.uint8), labels=list("abcdef"))
    assert any("224" in sentence for sentence in bare._about["assumptions"])


# -- painting from Python -------------------------------------------------------------------------


def test_a_mask_from_python_gives_the_scores_of_the_masked_image(widget, view):
    seen = []
    widget.observe(lambda change: seen.append(change.new), "scores")
    for mask in (square(), square(value=0.4), square() > 0, np.zeros(SIZE, bool)):
        widget.mask = mask
        wanted = expected(widget, np.asarray(mask, np.float32))
        assert np.allclose(widget.scores, wanted, atol=1e-4)
        assert seen[-1] is widget.scores
        meta, arrays = unpack(widget._mask)
        assert meta["origin"] == ""
        assert np.array_equal(arrays["mask"], codes_of(np.asarray(mask, np.float32)))
    assert [each.hidden for each in widget.history] == pytest.approx(
        [80 / 768, 32 / 768, 80 / 768, 0]
    )


def test_apply_mask_returns_the_scores(widget):
    assert np.allclose(widget.apply_mask(square()), expected(widget, square()), atol=1e-4)
    with pytest.raises(ValueError, match="NaN"):
        widget.apply_mask(np.full(SIZE, np.nan))
    assert np.array_equal(widget.mask, square()), "what was painted is still there"


def test_the_masked_input_is_what_the_network_sees(widget):
    widget.mask = square()
    assert np.allclose(widget.net.logits(widget.masked)[0].numpy(), widget.scores, atol=1e-4)


@pytest.mark.parametrize("fill", ["mean", "black", "gray", "blur", "noise", (255, 0, 128)])
def test_another_fill_gives_other_scores_at_once(widget, fill):
    widget.mask = square()
    widget.fill = fill
    assert np.allclose(widget.scores, expected(widget, square(), fill), atol=1e-4)
    assert unpack(widget._scores)[0]["fill"] in (fill, list(fill))
    hidden = unpack(widget._image)[1]["hidden"]
    assert hidden.shape in ((1, 1, 3), (*SIZE, 3))


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ((1.0, 0.5, 0.0), (255, 128, 0)),
        ((128,), (128, 128, 128)),
        (np.array([255, 0, 1]), (255, 0, 1)),
        ([1, 0, 0], (1, 0, 0)),
    ],
)
def test_colours_have_one_form_on_both_sides(widget, view, given, taken):
    widget.fill = given
    assert widget.fill == taken
    assert all(type(value) is int for value in widget.fill)
    reply = view.answer("scores", **scores_args(square(), fill=list(widget.fill)))
    assert reply.status == "ok"
    assert widget.fill == taken
    assert f"fill={taken!r}" in widget.code()


def test_a_mask_from_python_is_not_overtaken_by_an_older_one(widget, view, monkeypatch):
    """The worker is scoring a stroke when a cell sets a mask."""
    assert widget._endpoint.worker.join(20)
    scores, entered, go = widget._painter.scores, threading.Event(), threading.Event()

    def slow(mask, fill):
        found = scores(mask, fill)
        if threading.current_thread().name == "nbcnnviz":
            entered.set()
            go.wait(10)
        return found

    monkeypatch.setattr(widget._painter, "scores", slow)
    seq = view.ask("scores", **scores_args(square(0, 0, 2, 2), done=False))
    assert entered.wait(10)
    widget.mask = square()
    go.set()
    assert widget._endpoint.worker.join(10)
    assert np.array_equal(widget.mask, square())
    assert np.allclose(widget.scores, expected(widget, square()), atol=1e-4)
    assert [each.hidden for each in widget.history] == [pytest.approx(80 / 768)]
    assert next(r for r in view.replies() if r.content["seq"] == seq).status == "cancelled"


def test_observers_hear_of_a_mask_once_and_with_its_scores(widget):
    seen = []
    widget.observe(lambda change: seen.append(widget.scores.copy()), "mask")
    widget.mask = square()
    assert len(seen) == 1
    assert np.allclose(seen[0], expected(widget, square()), atol=1e-4)


def test_a_mask_cannot_be_changed_behind_the_widgets_back(widget):
    mask = square()
    widget.mask = mask
    mask[:] = 0
    assert widget.mask.sum() == 80
    with pytest.raises(ValueError, match="read-only"):
        widget.mask[0, 0] = 1
    with pytest.raises(Exception, match="read-only"):
        widget.scores = np.zeros(6)


# -- painting in the browser ----------------------------------------------------------------------


def test_a_stroke_of_the_browser(widget, view):
    reply = view.answer("scores", **scores_args(square()))
    assert reply.status == "ok"
    wanted = expected(widget, square())
    assert np.allclose(widget.scores, wanted, atol=1e-4)
    assert np.array_equal(widget.mask, square())
    classes = {entry["index"]: entry for entry in reply.meta["classes"]}
    shares = torch.from_numpy(wanted).softmax(0)
    clean = widget.net.logits(widget._x)[0]
    for index, entry in classes.items():
        assert entry["label"] == LABELS[index]
        assert entry["logit"] == pytest.approx(float(wanted[index]), abs=1e-4)
        assert entry["probability"] == pytest.approx(float(shares[index]), abs=1e-4)
        assert entry["before"]["logit"] == pytest.approx(float(clean[index]), abs=1e-4)
    assert list(classes)[:5] == clean.argsort(descending=True)[:5].tolist()
    assert reply.meta["predicted"]["index"] == int(wanted.argmax())
    assert reply.meta["clean"]["index"] == int(clean.argmax())
    assert reply.meta["hidden"] == pytest.approx(80 / 768)
    assert len(widget.history) == 1
    # Saved under the view's name, so that it does not paint its own mask again.
    assert unpack(widget._mask)[0]["origin"] == view.name


def test_a_stroke_under_way_is_not_yet_history(widget, view):
    view.answer("scores", **scores_args(square(), done=False))
    assert len(widget.history) == 0
    view.answer("scores", **scores_args(square(), done=True))
    assert len(widget.history) == 1


def test_the_fill_comes_with_the_question(widget, view):
    reply = view.answer("scores", **scores_args(square(), fill=[255, 0, 0]))
    assert widget.fill == (255, 0, 0)
    assert np.allclose(widget.scores, expected(widget, square(), (255, 0, 0)), atol=1e-4)
    assert reply.meta["fill"] == [255, 0, 0]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fill": "pink"}, "fill: expected one of"),
        ({"fill": [1, 2]}, "fill: expected red, green and blue"),
        ({"fill": [1, 2, 300]}, "fill: expected a number from 0 to 255"),
        ({"box": [0, 0, 1]}, "box"),
        ({"box": [20, 0, 8, 10]}, "does not fit"),
        ({"box": [0, 0, 1, 1]}, "does not fit"),
        ({"mask": np.zeros(80, np.uint8)}, "mask: expected an array of uint8 in 2 dimensions"),
        ({"mask": np.zeros((8, 10), np.float32)}, "mask: expected an array of uint8"),
    ],
)
def test_a_wrong_question_changes_nothing(widget, view, changes, message):
    widget.mask = square(0, 0, 2, 2)
    reply = view.answer("scores", **(scores_args(square()) | changes))
    assert reply.status == "error"
    assert message in reply.content["message"]
    assert np.array_equal(widget.mask, square(0, 0, 2, 2))


@pytest.mark.parametrize("seed", range(3))
def test_after_a_thousand_events_mask_and_scores_are_those_of_the_last(widget, view, seed):
    chance = random.Random(seed)
    mask = np.zeros(SIZE, np.float32)
    runs = []
    widget.observe(lambda change: runs.append(1), "scores")
    for _ in range(1000):
        top, left = chance.randrange(SIZE[0]), chance.randrange(SIZE[1])
        part = (
            slice(top, top + chance.randrange(1, 9)),
            slice(left, left + chance.randrange(1, 9)),
        )
        mask[part] = chance.choice([0, 0.5, 1])
        mask = np.rint(mask * 255).astype(np.float32) / 255
        view.ask("scores", **scores_args(mask, done=chance.random() < 0.2))
    assert widget._endpoint.worker.join(60)
    assert np.allclose(widget.mask, mask, atol=1e-6)
    assert np.allclose(widget.scores, expected(widget, mask), atol=1e-4)
    assert 1 <= len(runs) <= 1000


def test_boxes_cut_and_paste():
    mask = np.random.default_rng(0).integers(0, 256, SIZE).astype(np.float32) / 255
    args = scores_args(mask)
    assert np.allclose(mask_of(args["mask"], args["box"], SIZE), mask)


# -- sweeping -------------------------------------------------------------------------------------


def test_compute_is_the_backends_sweep(widget, capsys):
    sweep = widget.compute()
    wanted = backend.occlusion_sweep(widget.net, widget._x, 8, 4, engine="plain")
    assert sweep is widget.sweep
    assert sweep.complete
    assert torch.allclose(sweep.scores, wanted.scores, atol=1e-4)
    assert torch.allclose(sweep.drop, wanted.drop, atol=1e-4)
    assert torch.equal(sweep.predicted, wanted.predicted)
    assert "35 of 35" in capsys.readouterr().out


def sweep_args(**changes):
    return {"window": [8, 8], "stride": [4, 4], "fill": "mean", "score": "logit", **changes}


def test_a_sweep_of_the_browser(widget, view):
    reply = view.answer("sweep", **sweep_args(window=[6, 8], stride=[3, 5], fill="gray"))
    wanted = backend.occlusion_sweep(widget.net, widget._x, (6, 8), (3, 5), "gray", engine="plain")
    assert reply.status == "ok"
    assert np.allclose(reply.arrays["scores"], wanted.scores, atol=1e-4)
    assert np.array_equal(reply.arrays["predicted"], wanted.predicted)
    lo, hi = reply.arrays["lo"][0], reply.arrays["hi"][0]
    drop = lo + reply.arrays["codes"][0] * (hi - lo) / 254
    assert np.allclose(drop, wanted.drop, atol=(hi - lo) / 254 + 1e-4)
    meta = reply.meta
    assert meta["complete"]
    assert (meta["done"], meta["total"]) == (wanted.known.numel(),) * 2
    assert meta["baseline"] == pytest.approx(wanted.baseline, abs=1e-4)
    assert meta["target"] == {"name": widget.target.name, "index": widget.target.index}
    assert set(meta["labels"]) >= set(map(str, np.unique(wanted.predicted)))
    assert unpack(widget._sweep)[0]["window"] == [6, 8]


def test_another_target_costs_no_pass(widget, view, monkeypatch):
    view.answer("sweep", **sweep_args())
    monkeypatch.setattr(widget.net.model[0], "forward", None)
    for index in (0, 5, None):
        reply = view.answer("target", index=index)
        wanted = widget.sweep.for_target(index)
        assert np.allclose(reply.arrays["scores"], wanted.scores)
        assert widget._target == {"name": wanted.target.name, "index": wanted.target.index}
    widget.score = "probability"
    assert widget.sweep.score == "probability"
    assert float(widget.sweep.scores.max()) <= 1
    widget.target = "up"
    assert widget.sweep.target.index == 2


def test_a_target_before_the_first_sweep(widget, view):
    assert view.answer("target", index=1).meta == {"sweep": False}
    assert widget.target == Target.of(widget.net, 1)
    assert "there are 6 classes" in view.answer("target", index=6).content["message"]
    assert widget.target.index == 1


def test_a_feature_map_as_target(net, image, capsys):
    widget = nv.Occlusion(net, image, target=("4", 3), window=8, stride=8)
    sweep = widget.compute()
    wanted = backend.occlusion_sweep(net, image, 8, 8, target=("4", 3), engine="plain")
    assert torch.allclose(sweep.scores, wanted.scores, rtol=1e-4, atol=1e-3)
    assert widget._target["index"] is None


class Slow(nn.Module):
    """Takes its time on batches, so that a sweep can be met in the middle."""

    def __init__(self):
        super().__init__()
        self.body = small()

    def forward(self, x):
        if x.shape[0] > 1 and not torch.compiler.is_compiling():
            time.sleep(0.02)
        return self.body(x)


@pytest.fixture
def slow(image, monkeypatch):
    # Images one by one, plainly: many steps, each of which takes a while.
    from nbcnnviz.backend import _occluders, incremental

    def refuse(*_, **__):
        raise incremental.NotExportable("it is slow on purpose")

    monkeypatch.setattr(incremental, "build", refuse)
    monkeypatch.setattr(_occluders, "_MOST", 2)
    net = nv.Network(Slow(), preprocess=backend.Preprocess(size=SIZE), labels=LABELS)
    return nv.Occlusion(net, image, window=4, stride=1)


def until(condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def progress(view):
    return [content for content, _ in view.customs() if content["type"] == "progress"]


def test_another_target_during_a_sweep(slow, view_of):
    view = view_of(slow)
    assert slow._endpoint.worker.join(20)
    view.ask("sweep", window=[8, 8], stride=[2, 2], fill="mean", score="logit")
    until(lambda: progress(view))
    view.ask("target", index=5)
    assert slow._endpoint.worker.join(60)
    assert (slow.target.index, slow.sweep.target.index) == (5, 5)


def test_painting_goes_on_during_a_sweep(slow, view_of):
    view = view_of(slow)
    assert slow._endpoint.worker.join(20)
    view.ask("sweep", window=[4, 4], stride=[1, 1], fill="mean", score="logit")
    until(lambda: progress(view))
    begin = time.monotonic()
    seq = view.ask("scores", **scores_args(square()))
    until(lambda: any(reply.content["seq"] == seq for reply in view.replies()))
    assert time.monotonic() - begin < 1
    assert slow._endpoint.worker.busy, "the sweep goes on"
    view.stop()
    assert slow._endpoint.worker.join(5)
    assert np.allclose(slow.scores, expected(slow, square()), atol=1e-4)


def test_stop_keeps_what_has_come(slow, view_of):
    view = view_of(slow)
    assert slow._endpoint.worker.join(20)
    seq = view.ask("sweep", window=[4, 4], stride=[1, 1], fill="mean", score="logit")
    until(lambda: progress(view) and progress(view)[-1]["done"] > 80)
    begin = time.monotonic()
    view.stop()
    assert slow._endpoint.worker.join(5)
    assert time.monotonic() - begin < 0.5
    last = next(r for r in view.replies() if r.content["seq"] == seq)
    assert last.status == "cancelled"
    assert not slow.sweep.complete
    assert 80 < int(slow.sweep.known.sum()) < slow.sweep.known.numel()
    meta, arrays = unpack(slow._sweep)
    assert not meta["complete"]
    assert np.isfinite(arrays["scores"]).all(), "gaps are filled for the eye"


def test_partial_maps_come_coarse_to_fine(slow, view_of):
    view = view_of(slow)
    view.ask("sweep", window=[8, 8], stride=[2, 2], fill="mean", score="logit")
    seen = []

    def look():
        parts = [
            unpack(buffers[0])
            for content, buffers in view.customs()
            if content["type"] == "reply" and content["status"] == "partial"
        ]
        if len(parts) > len(seen):
            seen.append(parts[-1])
            view.send({"type": "seen", "view": "view", "epoch": slow._epoch, "lane": "sweep"})
        return not slow._endpoint.worker.busy and view.replies()

    until(look, 60)
    assert len(seen) >= 2
    done = [meta["done"] for meta, _ in seen]
    assert done == sorted(done)
    assert done[0] <= 0.35 * seen[0][0]["total"]
    # Until the first level is whole there are gaps, then none: they are filled for the eye.
    first = 0.1 * seen[0][0]["total"]
    assert all(np.isfinite(a["scores"]).all() for m, a in seen if m["done"] > first)
    assert any(first < m["done"] < m["total"] for m, _ in seen)


def test_the_interrupt_key_ends_a_sweep_and_keeps_its_part(slow, capsys):
    assert slow._endpoint.worker.join(20)
    timer = threading.Timer(0.8, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        slow.compute()
    assert time.monotonic() - begin < 1.8
    assert slow._endpoint.worker.join(5)
    assert 0 < int(slow.sweep.known.sum()) < slow.sweep.known.numel()
    slow.window, slow.stride = 12, 12
    assert slow.compute().complete


def test_a_model_that_breaks_loses_nothing(widget, view, monkeypatch):
    widget.mask = square()
    scores = widget.scores
    sweep = view.answer("sweep", **sweep_args())
    kept = widget.sweep

    def broken(x):
        raise RuntimeError("the model broke")

    with torch.no_grad():
        widget.net.model[0].weight.mul_(1.5)  # a new version: nothing kept may serve
    monkeypatch.setattr(widget.net.model[8], "forward", broken)
    assert (
        "the model broke" in view.answer("scores", **scores_args(square(0, 0))).content["message"]
    )
    assert "the model broke" in view.answer("sweep", **sweep_args()).content["message"]
    assert widget.sweep is kept
    assert widget.scores is scores
    assert np.array_equal(widget.mask, square())
    assert sweep.status == "ok"


# -- settings -------------------------------------------------------------------------------------


def test_settings_of_the_browser(widget, view):
    view.set(window=[6, 8], stride=[2, 4], show="class", score="probability", fill=[0, 128, 255])
    assert (widget.window, widget.stride) == ((6, 8), (2, 4))
    assert (widget.show, widget.score, widget.fill) == ("class", "probability", (0, 128, 255))
    for wrong in ({"window": 99}, {"stride": [9, 9]}, {"fill": "red"}, {"_mask": "x"}, {"mask": 1}):
        before = widget.get_state()
        view.set(**wrong)
        assert widget.get_state() == before


def test_a_bad_first_mask_leaves_nothing_open(net, image):
    import ipywidgets

    before = len(ipywidgets.widgets.widget._instances)
    with pytest.raises(ValueError, match="3 x 3"):
        nv.Occlusion(net, image, mask=np.zeros((3, 3)))
    assert len(ipywidgets.widgets.widget._instances) == before


def test_a_smaller_window_takes_the_stride_along(widget):
    widget.window, widget.stride = 8, 8
    widget.window = 3
    assert widget.stride == 3
    with pytest.raises(ValueError, match="stride=5"):
        widget.stride = 5


# -- what is left of it ---------------------------------------------------------------------------


def test_the_model_is_left_as_found(net, image, view_of, capsys):
    before = {name: value.clone() for name, value in net.model.state_dict().items()}
    net.model.train()
    modes = [module.training for module in net.model.modules()]
    widget = nv.Occlusion(net, image, window=8, stride=4)
    widget.mask = square()
    widget.compute()
    view_of(widget).answer("scores", **scores_args(square(1, 1)))
    assert [module.training for module in net.model.modules()] == modes
    assert all(torch.equal(value, before[name]) for name, value in net.model.state_dict().items())
    assert all(parameter.grad is None for parameter in net.model.parameters())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.model.modules())


def test_more_training_changes_the_scores(widget, view):
    view.answer("scores", **scores_args(square()))
    with torch.no_grad():
        widget.net.model[8].bias.add_(torch.arange(6.0))
    view.answer("scores", **scores_args(square()))
    assert np.allclose(widget.scores, expected(widget, square()), atol=1e-4)
    clean = widget.net.logits(widget._x)[0]
    assert unpack(widget._scores)[0]["clean"]["index"] == int(clean.argmax())
    with torch.no_grad():
        widget.net.model[8].bias.neg_()
    widget.refresh()
    assert np.allclose(widget.scores, expected(widget, square()), atol=1e-4)


def test_closing_lets_go_of_everything(image, capsys):
    model = small()
    widget = nv.Occlusion(nv.Network(model, preprocess=backend.Preprocess(size=SIZE)), image)
    widget.mask = square()
    widget.window, widget.stride = 12, 12
    widget.compute()
    held, thing = weakref.ref(model), weakref.ref(widget)
    assert widget._endpoint.worker.join(5)
    widget.close()
    del widget, model
    gc.collect()
    assert (held(), thing()) == (None, None)


def test_stills_and_words(widget, capsys):
    widget.mask = square()
    for _ in range(2):
        data, _ = widget._repr_mimebundle_()
        assert len(data["image/png"]) < 4 / 3 * 80_000 + 4
        assert "10% hidden by mean" in data["text/plain"]
        assert len(widget.figure().axes) == 2
        widget.compute()


def test_the_code_reproduces_scores_and_sweep(widget, capsys):
    widget.mask = square(value=0.6)
    widget.compute()
    names = {"image": widget._x, "model": widget.net.model}
    code = (
        widget.code()
        .replace("image = ...", "pass")
        .replace(f"net = {widget.net.source}", "net = given")
    )
    space = {"given": widget.net, **names}
    exec(code, space)
    assert np.allclose(space["logits"].numpy(), widget.scores, atol=1e-4)
    assert torch.allclose(space["sweep"].scores, widget.sweep.scores, atol=1e-4)


def test_the_saved_state_is_small(net, capsys):
    widget = nv.Occlusion(nv.Network.digits(), nv.sample_image("digit"), window=8, stride=1)
    widget.compute()
    size = sum(
        len(v) * 4 / 3 if isinstance(v, bytes) else len(json.dumps(v))
        for v in widget.get_state().values()
        if not isinstance(v, type(None))
    )
    assert size < 1_000_000


def test_a_saved_page_answers_for_every_class_listed(widget, tmp_path, capsys):
    widget.compute()
    replies = list(widget._export_replies())
    lanes = [lane for lane, _, _ in replies]
    assert lanes.count("target") == len(widget._scores_meta()["classes"]) + 1
    page = widget.save_html(tmp_path / "occlusion.html")
    assert page.stat().st_size < 2_000_000
    with pytest.raises(TypeError, match="no option 'layers'"):
        widget.save_html(tmp_path / "other.html", layers="all")
