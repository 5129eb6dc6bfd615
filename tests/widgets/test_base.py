"""The base with the smallest widget that can stand on it."""

from __future__ import annotations

import gc
import json
import signal
import threading
import time
import weakref

import numpy as np
import pytest
import torch
import traitlets
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn

import nbcnnviz as nv
from nbcnnviz.widgets import _cells
from nbcnnviz.widgets._base import NetworkWidget
from nbcnnviz.widgets._codec import pack
from nbcnnviz.widgets._lanes import apart_lane, lane, long_lane, text, whole
from nbcnnviz.widgets._traits import Whole, check
from nbcnnviz.widgets._worker import Cancelled, Job


class Counter(NetworkWidget):
    """Counts, slowly."""

    stem = "feature_maps"

    def __init__(self, net, **settings):
        super().__init__(net, settings)

    number = Whole(0)
    _secret = traitlets.Int(0).tag(sync=True)

    @check("number")
    def _valid(self, number):
        if number < 0:
            raise ValueError(f"number={number}: give a number from 0 up")
        return number

    @long_lane(to=whole(0, 10**6))
    def _lane_count(self, job, to):
        for step in range(to):
            job.progress(step, to)
            time.sleep(0.002)
        return pack({"to": to}, {"counted": np.arange(to, dtype=np.int32)})

    @lane()
    def _lane_fail(self, job):
        raise ValueError("image: there is none; give one")

    @lane()
    def _lane_exit(self, job):
        raise SystemExit(3)

    @lane()
    def _lane_crash(self, job):
        raise KeyError("inner")

    @lane(word=text())
    def _lane_say(self, job, word):
        return pack({"word": word}, {})

    @lane()
    def _lane_partial(self, job):
        job.partial(lambda: pack({"part": 1}, {}))
        return pack({"part": 2}, {})

    def _compute(self, job):
        for step in range(5):
            job.progress(step, 5)
        job.progress(5, 5)
        return "done"

    def _picture(self):
        return np.full((20, 30, 3), self.number, np.uint8)


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)
    )


@pytest.fixture
def widget(model):
    return Counter(model)


@pytest.fixture
def view(widget, view_of):
    return view_of(widget)


def test_an_unknown_keyword_is_refused_with_the_choice(model):
    with pytest.raises(TypeError, match=r"Counter has no argument 'nummer'.*number"):
        Counter(model, nummer=3)
    with pytest.raises(TypeError, match="_secret"):
        Counter(model, _secret=3)


def test_it_says_what_it_assumed_of_a_bare_module(widget):
    assert widget._about["network"]
    assert any("224" in sentence for sentence in widget._about["assumptions"])


def test_hello_is_answered_with_the_epoch(view, widget):
    view.send({"type": "hello", "view": view.name})
    assert view.customs()[-1][0] == {"type": "hello", "view": view.name, "epoch": widget._epoch}


def test_a_question_is_acknowledged_at_once_and_answered_by_the_worker(view):
    reply = view.answer("count", to=3)
    kinds = [content["type"] for content, _ in view.customs()]
    assert kinds[0] == "ack"
    assert reply.status == "ok"
    assert reply.meta == {"to": 3}
    assert reply.arrays["counted"].tolist() == [0, 1, 2]
    assert reply.content["ms"] >= 6


def test_an_error_is_an_answer_in_plain_words(view):
    assert view.answer("fail").content["message"] == "image: there is none; give one"
    crash = view.answer("crash")
    assert (crash.status, crash.content["message"]) == ("error", "KeyError: 'inner'")
    assert view.answer("count", to=1).status == "ok"


def test_a_wrong_question_is_answered_too(view):
    assert "to: expected a whole number" in view.answer("count", to=1.5).content["message"]
    assert view.answer("nothing").status == "error"


def test_a_lane_that_ends_the_thread_is_answered_and_the_worker_goes_on(view):
    assert view.answer("exit").content["message"] == "SystemExit: 3"
    assert view.answer("count", to=1).status == "ok"


def test_a_slow_observer_does_not_hold_up_messages(widget, view):
    entered, leave = threading.Event(), threading.Event()

    def observe(change):
        entered.set()
        leave.wait(10)

    widget.observe(observe, "_secret")
    thread = threading.Thread(target=lambda: widget._publish(_secret=1))
    thread.start()
    assert entered.wait(5)
    begin = time.monotonic()
    view.stop()
    view.send({"type": "hello", "view": view.name})
    assert time.monotonic() - begin < 0.5
    leave.set()
    thread.join()


def test_what_the_worker_publishes_survives_a_refused_setting(widget, view):
    """ipywidgets takes back all that changed during an update it refuses."""
    validating, go = threading.Event(), threading.Event()

    def slow(change):
        validating.set()
        go.wait(5)

    widget.observe(slow, "number")
    browser = threading.Thread(target=lambda: view.set(number=1, theme="red"))
    browser.start()
    assert validating.wait(5)
    worker = threading.Thread(target=lambda: widget._publish(_secret=7))
    worker.start()
    go.set()
    browser.join()
    worker.join()
    assert (widget.number, widget.theme, widget._secret) == (1, "auto", 7)


def test_settings_that_depend_on_each_other_arrive_together(view, widget):
    view.set(number=3, theme="dark")
    assert (widget.number, widget.theme) == (3, "dark")


def test_a_failed_compute_does_not_say_that_all_is_well(model, view_of, capsys):
    class Failing(Counter):
        def _compute(self, job):
            raise ValueError("no")

    widget = Failing(model)
    with pytest.raises(ValueError, match="no"):
        widget.compute()
    assert view_of(widget).customs()[-1][0]["status"] == "cancelled"


def test_a_widget_that_cannot_be_saved_leaves_nothing_open(model):
    import ipywidgets

    class Broken(Counter):
        def _save(self):
            raise ValueError("no picture")

    before = len(ipywidgets.widgets.widget._instances)
    with pytest.raises(ValueError, match="no picture"):
        Broken(model)
    assert len(ipywidgets.widgets.widget._instances) == before


def test_partial_results_come_before_the_last(view):
    view.answer("partial")
    statuses = [c["status"] for c, _ in view.customs() if c["type"] == "reply"]
    assert statuses == ["partial", "ok"]


def test_a_newer_question_cancels_the_older(view):
    first = view.ask("count", to=10_000)
    time.sleep(0.05)
    begin = time.monotonic()
    assert view.answer("count", to=2).status == "ok"
    assert time.monotonic() - begin < 2
    assert {r.content["seq"]: r.status for r in view.replies()}[first] == "cancelled"


def test_stop_acts_within_half_a_second(view, widget):
    view.ask("count", to=10_000)
    time.sleep(0.1)
    begin = time.monotonic()
    view.stop()
    assert widget._endpoint.worker.join(5)
    assert time.monotonic() - begin < 0.5
    assert view.replies()[-1].status == "cancelled"


def test_a_question_asked_again_while_it_is_worked_on_is_only_acknowledged(view, widget):
    seq = view.ask("count", to=50)
    view._seq = iter([seq])
    view.ask("count", to=50)
    assert widget._endpoint.worker.join(10)
    assert [r.content["seq"] for r in view.replies()] == [seq]
    assert sum(content["type"] == "ack" for content, _ in view.customs()) == 2


def test_a_question_whose_answer_was_lost_is_answered_again(view, widget):
    seq = view.ask("count", to=1)
    assert widget._endpoint.worker.join(10)
    view._seq = iter([seq])
    view.ask("count", to=1)
    assert widget._endpoint.worker.join(10)
    assert [r.content["seq"] for r in view.replies()] == [seq, seq]


def test_two_views_do_not_replace_each_others_questions(widget, view_of):
    left, right = view_of(widget, "left"), view_of(widget, "right")
    left.ask("count", to=20)
    left.ask("say", word="left")
    right.ask("say", word="right")
    assert widget._endpoint.worker.join(10)
    assert next(r.meta for r in left.replies() if "word" in r.meta) == {"word": "left"}
    assert right.replies()[-1].meta == {"word": "right"}


def test_long_work_is_one_for_all_views(widget, view_of):
    left, right = view_of(widget, "left"), view_of(widget, "right")
    left.ask("count", to=10_000)
    time.sleep(0.05)
    right.ask("count", to=3)
    assert widget._endpoint.worker.join(10)
    assert left.replies()[-1].status == "cancelled"
    assert right.replies()[-1].meta == {"to": 3}
    concerned = [c for c, _ in left.customs() if c["type"] in ("ack", "progress", "reply")]
    assert all(content["all"] for content in concerned)


def test_any_view_stops_long_work_and_no_other(widget, view_of):
    left, right = view_of(widget, "left"), view_of(widget, "right")
    left.ask("count", to=10_000)
    time.sleep(0.05)
    right.ask("say", word="on")
    right.stop()
    assert widget._endpoint.worker.join(5)
    assert left.replies()[-1].status == "cancelled"
    assert right.replies()[-1].meta == {"word": "on"}


def test_questions_are_answered_in_the_middle_of_long_work(view, widget):
    view.ask("count", to=10_000)
    time.sleep(0.05)
    begin = time.monotonic()
    seq = view.ask("say", word="meanwhile")
    while not any(r.content["seq"] == seq for r in view.replies()):
        assert time.monotonic() - begin < 2
        time.sleep(0.005)
    assert widget._endpoint.worker.busy
    view.stop()
    assert widget._endpoint.worker.join(5)


def test_the_handler_returns_at_once_while_the_worker_is_saturated(view):
    view.ask("count", to=10_000)
    spent = []
    for number in range(300):
        begin = time.perf_counter()
        view.ask("partial" if number % 2 else "fail")
        spent.append(time.perf_counter() - begin)
    view.stop()
    assert sorted(spent)[-4] < 0.010  # 99 % of them


def test_settings_arrive_from_the_browser(view, widget):
    seen = []
    widget.observe(lambda change: seen.append(change.new), "number")
    view.set(number=7)
    assert (widget.number, seen) == (7, [7])


@pytest.mark.parametrize(
    "state",
    [{"number": -1}, {"number": "x"}, {"theme": "red"}, {"_secret": 9}, {"_esm": "alert(1)"},
     {"_about": {}}, {"_epoch": "x"}, {"unheard": 1}],
)  # fmt: skip
def test_what_is_no_setting_or_not_valid_is_put_back(view, widget, state):
    before = widget.get_state()
    view.set(**state)
    assert widget.get_state() == before
    key = next(iter(state))
    assert key == "unheard" or key in view.updates()[-1]


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=8,
)


CUSTOM = st.fixed_dictionaries(
    {"method": st.sampled_from(["custom", "update"])},
    optional={"content": JSON, "state": JSON, "buffer_paths": st.just([])},
)
WRITES = st.dictionaries(st.sampled_from(["theme", "_esm", "_about", "x"]), JSON)
UPDATE = st.fixed_dictionaries(
    {"method": st.just("update"), "buffer_paths": st.just([]), "state": WRITES}
)


def test_fuzzed_messages_never_raise_or_change_state(view, widget):
    before = widget.get_state()

    @settings(
        max_examples=10_000, deadline=None, suppress_health_check=list(HealthCheck), database=None
    )
    @given(JSON | CUSTOM | UPDATE)
    def run(data):
        view.deliver(data)

    run()
    assert widget.get_state() == before


def test_every_message_is_plain_json(view):
    view.answer("count", to=2)
    view.answer("fail")
    for content, _ in view.customs():
        json.dumps(content, allow_nan=False)


def test_compute_works_in_the_cell_and_shows_progress(widget, view, capsys):
    assert widget.compute() == "done"
    assert "5 of 5" in capsys.readouterr().out
    sent = [content for content, _ in view.customs()]
    assert {content["view"] for content in sent} == {""}
    assert sent[-1]["status"] == "ok"


class Patient(Counter):
    """Works until told to stop, and keeps how far it came."""

    steps = 0

    def _compute(self, job):
        for self.steps in range(10_000):
            job.progress(self.steps, 10_000)
            time.sleep(0.002)


def in_a_moment(act):
    timer = threading.Timer(0.2, act)
    timer.start()


def test_compute_can_be_interrupted_and_used_again(model, capsys, monkeypatch):
    widget = Patient(model)
    in_a_moment(lambda: signal.raise_signal(signal.SIGINT))
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        widget.compute()
    assert time.monotonic() - begin < 1.2
    assert widget._endpoint.worker.join(1)
    assert widget.steps > 10
    monkeypatch.setattr(Patient, "_compute", lambda self, job: "second")
    assert widget.compute() == "second"


def test_stop_in_the_browser_ends_compute(model, view_of, capsys):
    widget = Patient(model)
    in_a_moment(view_of(widget).stop)
    with pytest.raises(RuntimeError, match="stopped in the widget"):
        widget.compute()


def test_compute_that_is_replaced_before_its_turn_comes_back(widget, view, capsys):
    """Another question of the same lane takes its place while other work is under way."""
    widget.compute_lane = "count"
    gate, entered = threading.Event(), threading.Event()
    job = Job(key="gate", owner=widget, run=lambda job: (entered.set(), gate.wait(10)))
    widget._endpoint.worker.submit(job)
    assert entered.wait(5)
    in_a_moment(lambda: (view.ask("count", to=1), gate.set()))
    with pytest.raises(RuntimeError, match="stopped"):
        widget.compute()


def test_closing_right_after_a_change_logs_nothing(widget, caplog):
    widget._save_soon()
    worker = widget._endpoint.worker
    widget.close()
    assert worker.join(5)
    assert not caplog.records


def test_compute_from_an_observer_does_not_wait_for_itself(widget, view, capsys):
    results = []
    widget.observe(lambda change: results.append(widget.compute()), "number")
    widget.number = 3
    assert results == ["done"]
    view.set(number=4)
    assert results == ["done", "done"]


def test_views_are_answered_while_a_cell_computes(model, view_of, capsys):
    widget = Patient(model)
    view = view_of(widget)
    in_a_moment(lambda: (view.ask("say", word="hear"), view.stop()))
    with pytest.raises(RuntimeError):
        widget.compute()
    assert [r.meta for r in view.replies()] == [{"word": "hear"}]


def test_nothing_is_sent_while_the_interpreter_ends(widget, view, monkeypatch):
    """ZeroMQ would cut such a message in the middle."""
    before = len(widget.comm.messages)
    monkeypatch.setattr(threading, "main_thread", lambda: threading.Thread())
    widget._publish(_secret=5)
    widget._endpoint.tell("hello", view="v")
    assert len(widget.comm.messages) == before


def test_closing_lets_go_of_the_model(model):
    widget = Counter(model)
    held, thing = weakref.ref(model), weakref.ref(widget)
    widget.close()
    with pytest.raises(RuntimeError, match="closed"):
        _ = widget.net
    del widget, model
    gc.collect()
    # the fixture of pytest holds the model; the widget is gone
    assert thing() is None
    assert held() is not None


def test_two_hundred_widgets_leave_nothing():
    import ipywidgets

    before = len(ipywidgets.widgets.widget._instances)
    references = []
    for _ in range(200):
        net = nn.Sequential(nn.Conv2d(3, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        widget = Counter(net)
        references.append(weakref.ref(net))
        widget.close()
        del net, widget
    gc.collect()
    assert [ref for ref in references if ref() is not None] == []
    assert len(ipywidgets.widgets.widget._instances) == before


def test_a_message_after_closing_is_ignored(widget, view):
    comm = widget.comm
    widget.close()
    comm.handle_msg(
        {"content": {"data": {"method": "custom", "content": {"type": "hello", "view": "v"}}},
         "buffers": []}
    )  # fmt: skip
    assert comm.messages[-1][0] == "comm_close"


def test_a_cell_run_again_closes_its_old_widgets(model, monkeypatch):
    run = ["cell", "run 1"]
    monkeypatch.setattr(_cells, "this_cell", lambda: tuple(run))
    monkeypatch.setattr(_cells, "_of_cell", {})
    first, second = Counter(model), Counter(model)
    run[1] = "run 2"
    third = Counter(model)
    assert [w.comm is None for w in (first, second, third)] == [True, True, False]
    run[0] = "another cell"
    Counter(model)
    assert third.comm is not None


def test_work_goes_on_while_the_main_thread_is_busy(view, widget):
    arrived = threading.Event()
    widget.observe(lambda change: arrived.set(), "number")
    thread = threading.Thread(target=lambda: view.set(number=1))
    thread.start()
    view.ask("count", to=2)
    assert arrived.wait(5)
    thread.join()
    assert widget._endpoint.worker.join(10)


def test_a_picture_for_where_no_widget_runs(widget):
    data, _ = widget._repr_mimebundle_()
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == widget.model_id
    assert data["image/png"].startswith("iVBOR")
    assert "Counter" in data["text/plain"]


def test_cancelled_is_no_error_of_the_user():
    assert not issubclass(Cancelled, (ValueError, RuntimeError))


# -- work beside the network ----------------------------------------------------------------------


class Apart(NetworkWidget):
    """Two kinds of long work, one of them without the network."""

    stem = "feature_maps"

    def __init__(self, net=None):
        self.gates = {"with": threading.Event(), "beside": threading.Event()}
        super().__init__(net, {})

    @long_lane()
    def _lane_with(self, job):
        return self._long(job, "with")

    @apart_lane()
    def _lane_beside(self, job):
        return self._long(job, "beside")

    @lane(number=whole())
    def _lane_short(self, job, number):
        return pack({"number": number}, {})

    def _long(self, job, name):
        while not self.gates[name].wait(0.01):
            job.check()
        return pack({"name": name}, {})

    def _picture(self):
        return np.zeros((4, 4, 3), np.uint8)

    def status(self, view, lane):
        return [r.status for r in view.replies() if r.content["lane"] == lane]


def test_work_beside_the_network_holds_up_nobody(view_of):
    net = nv.Network.digits()
    widget, other = Apart(net), Apart(net)
    view, second = view_of(widget), view_of(other)
    view.ask("beside")
    assert view.answer("short", number=3).meta == {"number": 3}
    other.gates["with"].set()
    assert second.answer("with").meta == {"name": "with"}
    assert widget._endpoint.worker_of("beside").busy
    # Any view's Stop ends it, and closing too.
    view_of(widget, "another").stop()
    assert widget._endpoint.worker_of("beside").join(1)
    assert widget.status(view, "beside") == ["cancelled"]
    view.ask("beside")
    worker = widget._endpoint.worker_of("beside")
    widget.close()
    assert worker.join(1)


def test_who_must_wait_is_told_for_what(view_of):
    net = nv.Network.digits()
    widget, other = Apart(net), Apart(net)
    view, second = view_of(widget), view_of(other)

    def acks(view):
        return [m["waits"] for m, _ in view.customs() if m["type"] == "ack"]

    view.ask("with")
    while not widget._endpoint.worker.busy:
        time.sleep(0.01)
    second.ask("with")
    second.ask("beside")
    second.ask("short", number=1)
    assert acks(view) == [""]
    assert acks(second) == ["Apart (with)", "", ""]
    widget.stop()
    other.stop()
    assert widget._endpoint.worker.join(2)


def test_a_question_from_python_is_heard_by_all_views(view_of):
    widget = Apart(nv.Network.digits())
    widget.gates["with"].set()
    for _ in range(2):
        widget._endpoint.begin("with")
        assert widget._endpoint.worker.join(5)
    replies = [message for message, _ in view_of(widget).customs() if message["type"] == "reply"]
    assert [(r["view"], r["all"], r["status"]) for r in replies] == [("", True, "ok")] * 2
    assert replies[0]["seq"] < replies[1]["seq"]


def test_a_widget_without_a_network(view_of):
    widget = Apart()
    view = view_of(widget)
    assert view.answer("short", number=5).meta == {"number": 5}
    widget.gates["with"].set()
    assert view.answer("with").meta == {"name": "with"}
    with pytest.raises(RuntimeError, match="has no network"):
        widget.net  # noqa: B018
    widget.close()
    with pytest.raises(RuntimeError, match="is closed"):
        widget.net  # noqa: B018
    # Work that would come too late is refused where it is asked for, not in the background.
    for ask in (widget._save_soon, lambda: widget._endpoint.begin("beside")):
        with pytest.raises(RuntimeError, match="is closed"):
            ask()
