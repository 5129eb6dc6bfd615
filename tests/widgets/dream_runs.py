"""What DeepDream, StyleTransfer and Maximize must all do: run, pause, go on, be looked back at.

class TestRun(RunTests):
    @pytest.fixture
    def make(self, net): return lambda **options: nv.DeepDream(net, IMAGE, "deep", **options)
    setting, plan = ("lr", 0.05, "lr", 0.05), {"steps": 6}
"""

from __future__ import annotations

import gc
import inspect
import io
import itertools
import json
import math
import threading
import time
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.widgets import _base, _dream_work
from nbcnnviz.widgets._codec import unpack

SEED = np.random.default_rng(0)
IMAGE = SEED.integers(0, 256, (44, 56, 3), np.uint8)
STYLE = SEED.integers(0, 256, (48, 36, 3), np.uint8)
NOISE = SEED.integers(0, 256, (512, 512, 3), np.uint8)


class Hook:
    """What happens before each pass."""

    call: Callable[[], object] = staticmethod(lambda: None)


class Small(nn.Module):
    """Two stages and five classes; it can be told to fail, or to wait for a test."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.deep = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.last = nn.ReLU()
        self.fc = nn.Linear(8, 5)
        self.before = Hook()

    def forward(self, x: Tensor) -> Tensor:
        self.before.call()
        x = self.last(self.deep(self.act(self.conv(x))))
        return self.fc(x.mean((2, 3)))


def network() -> nv.Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Small()
    size = backend.Preprocess(size=(32, 32))
    return nv.Network(model, preprocess=size, labels=["ant", "bee", "cat", "dog", "eel"])


def join(widget: Any) -> None:
    assert widget._endpoint.worker.join(60)


def film(widget: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    return unpack(widget._film)


def wait(condition: Any) -> None:
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, "it took too long"
        time.sleep(0.002)


def size_of(data: Any) -> tuple[int, int]:
    return Image.open(io.BytesIO(bytes(data))).size


def images(widget: Any) -> list[tuple[int, int]]:
    """Sizes of the frames in trait `_film`, each decoded."""
    meta, arrays = film(widget)
    ends = list(itertools.accumulate(row["bytes"] for row in meta["frames"]))
    assert not ends or ends[-1] == len(arrays["jpegs"])
    starts = [0, *ends[:-1]] if ends else []
    return [size_of(arrays["jpegs"][a:b]) for a, b in zip(starts, ends, strict=True)]


def saved_bytes(widget: Any) -> int:
    """What the widget takes of a saved notebook, its code aside."""
    total = 0
    for name in type(widget)._synced():
        value = getattr(widget, name)
        total += -(-len(value) * 4 // 3) if isinstance(value, bytes) else len(json.dumps(value))
    return total


def same(one: Any, other: Any) -> bool:
    return torch.equal(one.tensor, other.tensor) and one.step == other.step


def run_code(widget: Any, **names: Any) -> Any:
    """The frame that the widget's code gives."""
    lines = widget.code().splitlines()
    kept = [
        line for line in lines if not line.startswith(("net =", "init =")) and "..." not in line
    ]
    space = {"net": widget.net, **names}
    exec("\n".join(kept), space)
    return space["frame"]


def parts(view: Any) -> list[Any]:
    """Partial and final answers of lane "run" that brought a blob, in order."""
    return [
        unpack(buffers[0])
        for content, buffers in view.customs()
        if content["type"] == "reply" and content["lane"] == "run" and buffers
    ]


class RunTests:
    """Inherit, and give `make`, `names`, `setting` and `plan`."""

    names: ClassVar[dict[str, Any]] = {}
    """What the code of the widget calls its images."""
    setting: ClassVar[tuple[str, Any, dict[str, Any]]]
    """A trait, another value, and the same as `Controls.update` takes it."""
    plan: ClassVar[dict[str, Any]]
    """Another plan, longer."""
    plans: ClassVar[list[dict[str, Any]]]
    """Changes of every setting of the plan, those included that leave nothing to do."""
    total: ClassVar[int]
    """Steps of the usual plan."""
    fixed: ClassVar[dict[str, Any]]
    """Arguments that are given once, and other values."""

    @pytest.fixture
    def net(self):
        return network()

    @pytest.fixture
    def make(self, net):
        raise NotImplementedError

    @pytest.fixture
    def whole(self, make):
        """A run without any interruption."""
        widget = make()
        widget.compute()
        return widget

    # -- a run ------------------------------------------------------------------------------------

    def test_it_begins_with_what_was_given(self, make):
        widget = make()
        meta, arrays = film(widget)
        assert widget.state == meta["state"] == "fresh" and widget.frame is None
        assert (meta["step"], meta["steps"], meta["frames"], meta["run"]) == (0, self.total, [], 1)
        assert "last" not in arrays and widget.frames == widget.losses == []
        assert widget.result.size == (meta["width"], meta["height"])
        start, _ = unpack(widget._start)
        assert (start["width"], start["height"]) == widget.result.size
        assert type(widget)._synced() >= {"_start", "_film", "_layers"}

    def test_compute_does_all_steps_and_they_are_the_backends(self, whole):
        assert whole.state == "done" and whole.frame.step == self.total
        assert same(run_code(whole, **self.names), whole.frame)
        assert np.array_equal(np.asarray(whole.result), whole.frame.image)
        meta, arrays = film(whole)
        assert meta["state"] == "done" and meta["losses"] == pytest.approx(dict(whole.frame.losses))
        assert max(size_of(arrays["last"])) == max(whole.result.size)

    @pytest.mark.parametrize("at", [1, 3])
    def test_paused_and_resumed_is_as_if_uninterrupted(self, make, whole, at):
        widget = make()
        widget.step(at)
        join(widget)
        assert widget.state == "paused" and widget.frame.step == at
        assert film(widget)[0]["state"] == "paused"
        widget.play()
        assert widget.state == "running"
        join(widget)
        assert widget.state == "done" and same(widget.frame, whole.frame)
        assert widget.losses == whole.losses

    def test_a_run_that_is_over_begins_again_and_one_that_is_not_goes_on(self, make, whole):
        widget = make()
        widget.step(2)
        join(widget)
        widget.restart()
        join(widget)
        meta, _ = film(widget)
        assert meta["run"] == 2 and [step for step, _ in meta["trace"]] == list(
            range(1, self.total + 1)
        )
        assert same(widget.frame, whole.frame)
        widget.play()
        join(widget)
        assert film(widget)[0]["run"] == 3 and same(widget.frame, whole.frame)
        assert same(widget.frame, widget.frame) and widget.compute() is not None

    def test_pause_ends_it_within_a_step(self, make, net, view_of):
        widget = make(steps=5000)
        view = view_of(widget)
        widget.play()
        wait(lambda: widget.frame is not None and widget.frame.step >= 3)
        # The step that is computed now is the last one.
        passes = []
        net.model.before.call = lambda: passes.append(1)
        widget.pause()
        join(widget)
        done = widget.frame.step
        meta, _ = film(widget)
        assert widget.state == meta["state"] == "paused" and meta["step"] == done
        assert len(passes) <= 8  # a step may look several times
        ends = [c for c, _ in view.customs() if c["type"] == "reply" and c["status"] != "partial"]
        assert [c["status"] for c in ends] == ["cancelled"]
        time.sleep(0.02)
        assert widget.frame.step == done

    def test_a_views_stop_ends_it_too(self, make, view_of):
        widget = make(steps=5000)
        view = view_of(widget)
        view.ask("run", steps=0, again=False)
        wait(lambda: widget.frame is not None)
        view.stop()
        join(widget)
        assert widget.state == "paused"
        assert [r.status for r in view.replies()] == ["cancelled"]
        assert view.answer("run", steps=1, again=False).meta["state"] == "paused"

    def test_short_questions_pass_between_two_steps(self, make, view_of):
        widget = make(steps=5000)
        widget.play()
        view = view_of(widget)
        view.ask("picture")
        wait(lambda: view.replies())
        assert widget.state == "running"
        widget.pause()
        join(widget)
        meta, arrays = view.replies()[0].meta, view.replies()[0].arrays
        assert size_of(arrays["png"]) == (meta["width"], meta["height"])

    def test_the_network_is_free_between_two_steps(self, make, net):
        widget = make(steps=5000)
        widget.play()
        wait(lambda: widget.frame is not None)
        assert len(net.predict(IMAGE)) == 5 and widget.state == "running"
        widget.pause()
        join(widget)

    # -- settings on the way ----------------------------------------------------------------------

    def test_a_setting_takes_effect_on_the_next_step(self, make):
        widget, other = make(), make()
        name, value, controls = self.setting
        widget.step(2)
        join(widget)
        setattr(widget, name, value)
        widget.step(1)
        join(widget)
        frames = other._run.ready(other._wanted)
        next(frames), next(frames)
        frames.controls.update(**controls)
        assert same(widget.frame, next(frames))
        assert not same(widget.frame, run_code(widget, **self.names))
        assert "# Settings were changed on the way" in widget.code()

    def test_an_observer_and_the_browser_change_settings_while_it_runs(self, make, view_of):
        widget = make(steps=5000)
        name, value, _ = self.setting
        usual = getattr(widget, name)
        widget.play()
        wait(lambda: widget.frame is not None)
        began = time.monotonic()
        view_of(widget).set(**{name: value})
        assert time.monotonic() - began < 1
        assert getattr(widget, name) == value and widget._wanted[name] == value
        first = type(widget).steps.default_value
        widget.observe(lambda change: setattr(widget, "steps", widget.frame.step + 1), name)
        setattr(widget, name, usual)
        join(widget)
        assert widget.state == "done" and widget.steps != first

    def test_another_plan_goes_on_from_the_present_picture(self, make):
        widget, other = make(), make()
        widget.compute()
        for name, value in self.plan.items():
            setattr(widget, name, value)
        widget.play()
        join(widget)
        other.compute()
        frames = other._make({**other._wanted, **self.plan}, other.frame)
        expected = frames.result()
        assert same(widget.frame, expected) and widget.frame.step > self.total
        assert widget.state == "done" and film(widget)[0]["run"] == 1
        steps = [step for step, _ in widget.losses]
        assert steps == list(range(1, widget.frame.step + 1))

    def test_the_code_is_exact_also_where_it_is_paused(self, make):
        widget = make(seed=7)
        for steps in (1, 2):
            widget.step(steps)
            join(widget)
            assert same(run_code(widget, **self.names), widget.frame)
        # A setting that no step has used yet does not count.
        name, value, _ = self.setting
        setattr(widget, name, value)
        assert same(run_code(widget, **self.names), widget.frame)

    def test_every_change_of_the_plan_leaves_something_to_play(self, make, net):
        assert {name for plan in self.plans for name in plan} == set(type(make())._plan)
        passes = []
        for plan in self.plans:
            widget = make()
            widget.compute()
            for name, value in plan.items():
                setattr(widget, name, value)
            for ask in (widget.play, widget.step):
                run = widget._run.number
                passes.clear()
                net.model.before.call = lambda: passes.append(1)
                ask()
                join(widget)
                net.model.before.call = lambda: None
                assert passes and widget.losses, plan
            assert widget._run.number > run and (widget.state, widget.frame.step) == ("paused", 1)

    def test_compute_at_the_end_begins_again_where_something_was_changed(self, make, net, whole):
        name, value, _ = self.setting
        other = make(**{name: value})
        other.compute()
        frame = whole.frame
        whole.compute()
        assert whole.frame is frame and whole.state == "done"  # it is there already
        setattr(whole, name, value)
        whole.compute()
        assert same(whole.frame, other.frame) and not same(whole.frame, frame)
        assert not whole._run.varied and whole._headline() == other._headline()
        # After training as well.
        frame = whole.frame
        with torch.no_grad():
            net.model.conv.weight += 0.1
        whole.compute()
        assert not same(whole.frame, frame)

    def test_titles_are_those_of_the_picture(self, make, view_of):
        widget = make()
        view = view_of(widget)
        assert film(widget)[0]["title"] == ""
        view.answer("run", steps=1, again=False)
        title = parts(view)[-1][0]["title"]
        assert title and widget._headline() == f"{title}: step 1 of {self.total}"
        assert film(widget)[0]["title"] == title
        name, value, _ = self.setting
        setattr(widget, name, value)
        assert widget._headline().startswith(f"{title}: ")
        view.answer("run", steps=1, again=False)
        assert "(settings changed on the way)" in parts(view)[-1][0]["title"]
        assert "(settings changed on the way): step 2" in widget._summary()

    def test_what_is_given_once_cannot_be_set(self, make):
        widget = make()
        assert set(self.fixed) >= {"size", "seed"}
        for name, value in self.fixed.items():
            before = getattr(widget, name)
            with pytest.raises(AttributeError, match=rf"{name} is chosen once.*{name}=\.\.\."):
                setattr(widget, name, value)
            assert getattr(widget, name) is before

    def test_steps_are_part_of_a_run_that_goes_on(self, make):
        widget = make(steps=100)
        widget.play()
        with pytest.warns(UserWarning, match=r"step\(3\): the run goes on already; pause\(\)"):
            widget.step(3)
        join(widget)
        assert widget.state == "done" and widget.frame.step >= 100

    def test_defaults_are_the_backends(self, make):
        widget = make()
        function = inspect.signature(getattr(backend, widget._call(widget._wanted)[0]))
        own = inspect.signature(type(widget).__init__).parameters
        traits = type(widget)._settings() - {"layer", "style_weights", "channel", "guided"}
        compared = 0
        for name, parameter in function.parameters.items():
            if name in own and parameter.default is not inspect.Parameter.empty:
                assert own[name].default == parameter.default, name
            elif name in traits:
                default = type(widget).class_traits()[name].default_value
                assert default == parameter.default, name
            else:
                continue
            compared += 1
        assert compared >= 8

    # -- what goes wrong --------------------------------------------------------------------------

    def test_values_that_are_not_finite_stop_it_with_the_last_good_frame(self, make, net):
        widget = make()
        widget.step(2)
        join(widget)
        good = widget.frame.tensor.clone()
        weight = float(net.model.conv.weight[0, 0, 0, 0].detach())
        with torch.no_grad():
            net.model.conv.weight[0, 0, 0, 0] = math.nan
        widget.play()
        join(widget)
        meta, arrays = film(widget)
        assert widget.state == meta["state"] == "paused" and meta["step"] == 2
        assert "not finite" in meta["stopped"] and torch.equal(widget.frame.tensor, good)
        assert len(meta["frames"]) == 2 and arrays["last"].size
        with torch.no_grad():
            net.model.conv.weight[0, 0, 0, 0] = weight
        widget.play()
        join(widget)
        assert widget.state == "done" and film(widget)[0]["stopped"] == ""

    def test_an_error_ends_in_the_error_line_and_the_film_stays(self, make, net, view_of, whole):
        widget = make()
        view = view_of(widget)
        view.answer("run", steps=2, again=False)

        def fail() -> None:
            raise RuntimeError("the plug was pulled")

        net.model.before.call = fail
        reply = view.answer("run", steps=0, again=False)
        assert reply.status == "error" and "the plug was pulled" in reply.content["message"]
        assert widget.state == "paused" and len(film(widget)[0]["frames"]) == 2
        with pytest.raises(RuntimeError, match="the plug was pulled"):
            widget.compute()
        net.model.before.call = lambda: None
        widget.compute()
        assert same(widget.frame, whole.frame)

    def test_an_interrupt_leaves_what_was_done(self, make, monkeypatch):
        widget = make(steps=5000)

        def boom(*args: Any, **kwargs: Any) -> None:
            if args:
                raise KeyboardInterrupt

        monkeypatch.setattr(_base, "print", boom, raising=False)
        with pytest.raises(KeyboardInterrupt):
            widget.compute()
        join(widget)
        assert widget.state == film(widget)[0]["state"] == "paused" and widget.frame.step >= 1
        done = widget.frame.step
        widget.step(1)
        join(widget)
        assert widget.frame.step == done + 1

    def test_a_bad_setting_from_the_browser_is_put_back(self, make, view_of):
        widget = make()
        view = view_of(widget)
        name, _, _ = self.setting
        before, wanted = getattr(widget, name), widget._wanted
        view.set(**{name: {"no": "sense"}})
        assert getattr(widget, name) == before and widget._wanted == wanted
        assert view.updates()[-1][name] == before
        for bad in ({"steps": "many", "again": False}, {"steps": -1, "again": False}):
            assert view.answer("run", **bad).status == "error"
        with pytest.raises(TypeError, match="n='all': give a whole number"):
            widget.step("all")

    # -- what is seen and kept --------------------------------------------------------------------

    def test_messages_bring_the_picture_and_every_number_once(self, make, view_of):
        widget = make(steps=400)
        view = view_of(widget)
        view.ask("run", steps=0, again=False)
        while not widget._endpoint.worker.join(0.01):
            view.send({"type": "seen", "view": "view", "epoch": widget._epoch, "lane": "run"})
        answers = parts(view)
        metas = [meta for meta, _ in answers]
        assert len(answers) >= 2 and metas[0]["state"] == "running"
        assert metas[-1]["state"] == "done" == widget.state
        told = [step for meta in metas for step, _ in meta["trace"]]
        assert told == list(range(1, widget.frame.step + 1))
        for meta, arrays in answers:
            assert max(size_of(arrays["jpeg"])) <= 640
            assert meta["octave"] <= meta["octaves"] and meta["height"] and meta["run"] == 1
        seconds = widget._over.started
        assert len(answers) <= 2 + 10 * (time.monotonic() - seconds)

    def test_the_film_is_spread_evenly_and_bounded(self, make):
        widget = make(steps=700)
        widget.compute()
        meta, _ = film(widget)
        total = widget.frame.step
        assert total >= 700 and len(meta["trace"]) <= 300 and len(meta["frames"]) <= 24
        steps = [row["step"] for row in meta["frames"]]
        gaps = np.diff(steps)
        assert steps[0] == 1 and steps[-1] == total and len(steps) >= 16
        assert gaps.max() <= 1.5 * total / 23
        sizes = images(widget)
        assert len(sizes) == len(steps) and max(map(max, sizes)) <= 256
        assert [shot.step for shot in widget.frames] == steps
        assert widget.frames[3].image.size == sizes[3]
        assert saved_bytes(widget) < 1_000_000
        assert widget._run.film.trace[-1][0] == total

    def test_the_film_is_published_while_the_run_goes_on(self, make, monkeypatch):
        """A notebook that is saved in the middle, or a kernel that dies there, keeps it."""
        monkeypatch.setattr(_dream_work, "_FILM_SECONDS", 0.02)
        monkeypatch.setattr(_dream_work, "_FILM_SHARE", 1)
        widget = make(steps=5000)
        saved = []
        widget.observe(lambda change: saved.append(change["new"]), "_film")
        widget.play()
        wait(lambda: len(saved) >= 3)
        metas = [unpack(each)[0] for each in saved]
        assert [meta["state"] for meta in metas[:3]] == ["running"] * 3
        assert [meta["frames"] != [] for meta in metas[:3]] == [True] * 3
        assert metas[0]["step"] < metas[1]["step"] < metas[2]["step"]
        widget.close()
        meta, arrays = film(widget)
        assert meta["step"] > 0 and meta["frames"] and arrays["last"].size

    def test_a_film_is_not_published_all_the_time(self, make):
        widget = make(steps=5000)
        saved = []
        widget.observe(lambda change: saved.append(change["new"]), "_film")
        began = time.monotonic()
        widget.play()
        wait(lambda: widget.frame is not None and widget.frame.step >= 20)
        widget.pause()
        join(widget)
        assert len(saved) <= 1 + (time.monotonic() - began) / 2

    def test_pages_are_saved_while_it_runs(self, make, net, tmp_path):
        """In the middle of a step, where another hand on the run would break it."""
        widget = make(steps=40)
        for i in range(4):
            widget.restart()
            pages = 0
            while widget.state == "running":
                widget.save_html(tmp_path / "run.html", overwrite=True)
                pages += 1
            join(widget)
            meta, _ = film(widget)
            assert pages and (meta["state"], meta["run"]) == ("done", i + 2) and not meta["stopped"]
            assert meta["step"] == meta["steps"] == widget.frame.step

    def test_the_result_is_there_after_closing(self, make):
        widget = make()
        widget.step(1)
        join(widget)
        result, trace, frames = widget.result, widget.losses, widget.frames
        headline = widget._headline()
        widget.close()
        assert np.array_equal(np.asarray(widget.result), np.asarray(result))
        assert widget.losses == trace and widget.frames == frames
        assert widget._headline() == headline and widget.figure()
        fresh = make()
        before = fresh.result
        fresh.close()
        assert np.array_equal(np.asarray(fresh.result), np.asarray(before))

    def test_the_result_has_its_full_size_at_any_step(self, make, view_of):
        widget = make()
        size = widget.result.size
        for step in range(1, self.total + 1):
            widget.step(1)
            join(widget)
            assert widget.result.size == size and widget.frame.step == step
            picture = view_of(widget).answer("picture")
            assert size_of(picture.arrays["png"]) == size
            assert (picture.meta["width"], picture.meta["height"]) == size
        assert np.array_equal(np.asarray(widget.result), widget.frame.image)

    def test_a_picture_a_sentence_and_a_page(self, make, whole, tmp_path):
        bundle, _ = whole._repr_mimebundle_()
        assert "image/png" in bundle and str(self.total) in bundle["text/plain"]
        assert len(whole._png()) <= 80_000
        assert len(whole.figure().axes) >= 3
        fresh = make()
        assert fresh._png() and fresh.figure()
        page = whole.save_html(tmp_path / "run.html").read_text("utf-8")
        state = page.split('data-nbcnnviz-state="0">')[1].split("</script>")[0]
        saved = json.loads(state)
        assert saved["traits"]["steps"] == whole.steps and len(saved["blobs"]["_film"]) > 1000
        assert {reply["lane"] for reply in saved["replies"]} >= {"code"}
        with pytest.raises(TypeError, match="no option 'colour'"):
            whole.save_html(tmp_path / "other.html", colour=1)

    def test_the_model_stays_as_it_is(self, make, net):
        model = net.model.train()
        before = {name: value.clone() for name, value in model.state_dict().items()}
        state = torch.get_rng_state()
        widget = make()
        widget.compute()
        assert all(module.training for module in model.modules())
        assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())
        assert all(p.requires_grad and p.grad is None for p in model.parameters())
        assert not any(m._forward_hooks or m._backward_hooks for m in model.modules())
        assert torch.equal(torch.get_rng_state(), state)

    def test_closing_frees_all_also_while_it_runs(self, make, net):
        widget = make(steps=5000)
        model = weakref.ref(net.model)
        worker = widget._endpoint.worker
        widget.play()
        wait(lambda: widget.frame is not None)
        widget.close()
        assert worker.join(60)
        with pytest.raises(RuntimeError, match="closed"):
            widget.play()
        with pytest.raises(RuntimeError, match="frame: this widget is closed"):
            widget.frame  # noqa: B018
        assert model() is not None
        self.forget_fixtures(net)
        wait(lambda: gc.collect() is not None and model() is None)

    @staticmethod
    def forget_fixtures(net: Any) -> None:
        """Let go of the model, which pytest's own fixtures hold."""
        net.model = nn.Identity()
        net.__dict__.pop("_trace_cache", None)

    def test_ten_threads_may_change_settings_while_it_runs(self, make):
        widget = make(steps=5000)
        name, value, _ = self.setting
        usual = getattr(widget, name)
        widget.play()
        wait(lambda: widget.frame is not None)

        def toggle() -> None:
            for each in (value, usual) * 5:
                setattr(widget, name, each)

        threads = [threading.Thread(target=toggle) for _ in range(10)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert widget.state == "running"
        widget.pause()
        join(widget)
        assert widget.state == "paused" and not film(widget)[0]["stopped"]
