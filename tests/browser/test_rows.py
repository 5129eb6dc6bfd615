"""What every widget promises alike, tried with each of them: the rows of the scorecard."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import hostile
import nbclient
import nbformat
import pytest
from attribution_page import AttributionCase
from dream_cases import DeepDreamCase, MaximizeCase, StyleTransferCase
from embedding_page import EmbeddingCase
from lab import write_notebook
from pooling_page import PoolingCase
from rows import SETUP, again, cells, changes, close_output, nowhere, settled
from test_feature_maps_export import convert, pictures, quiet
from test_feature_maps_hostile import inert
from test_feature_maps_soak import measure

CASES = [
    PoolingCase(),
    AttributionCase(),
    EmbeddingCase(),
    DeepDreamCase(),
    StyleTransferCase(),
    MaximizeCase(),
]
STATE = "application/vnd.jupyter.widget-state+json"


@pytest.fixture(params=CASES, ids=lambda case: case.stem)
def case(request):
    return request.param


@pytest.fixture
def notebook(lab, case):
    """The widget in JupyterLab, as `w`, in the second cell."""
    nb = lab.open(SETUP, f"w = {case.make}\nw", "w.snapshot()", size=(1400, 1300))
    nb.run(0)
    nb.run(1)
    return nb, case.open(nb)


# -- notebooks ------------------------------------------------------------------------------------


def test_in_notebook_7(notebook7, case):
    nb = notebook7.open(SETUP, f"w = {case.make}\nw", size=(1400, 1300))
    nb.run(0)
    nb.run(1)
    view = case.open(nb)
    assert case.point(view)
    # The keys are the widget's: no other cell is chosen, none is made or taken away.
    case.keys(view).focus()
    before, said = cells(nb), case.says(view)
    for key in ("ArrowRight", "ArrowDown", "ArrowDown", "d", "d", "a"):
        nb.page.keyboard.press(key)
    nb.until(lambda: case.says(view) != said, "arrow keys lead on")
    assert cells(nb) == before
    case.chosen(nb, view, case.values[0])
    case.told(nb, view, case.values[1])
    # The cell run again, and again after another kernel has taken over.
    nb.run(1)
    case.chosen(nb, case.open(nb), case.values[0])
    nb.restart()
    view = case.open(nb, "offline")
    case.looks(view)
    nb.run(0)
    nb.run(1)
    view = case.open(nb)
    case.chosen(nb, view, case.values[0])
    assert case.point(view)


def test_two_views_of_one_widget(lab, case):
    nb = lab.open(SETUP + f"w = {case.make}", "w", "w", size=(1400, 3000))
    for cell in range(3):
        nb.run(cell)
    one, two = case.view(nb), case.view(nb, 1)
    assert case.shown(one) == case.shown(two)
    # How one looks at it is each view's own.
    before = settled(two)
    case.looks(one)
    assert settled(two) == before
    # What is chosen is one for both, and for Python.
    case.chosen(nb, two, case.values[0])
    nb.until(lambda: case.shown(one) == case.shown(two), "the other one follows")
    case.told(nb, one, case.values[1])
    nb.until(lambda: case.shown(one) == case.shown(two), "both follow Python")
    # One goes, the other lives.
    close_output(nb, 1)
    nb.until(lambda: nb.page.locator(".nbcnnviz").count() == 1, "one is gone")
    left = case.open(nb)
    case.chosen(nb, left, case.values[0])
    case.looks(left)
    assert case.point(left)


def test_a_kernel_that_restarts(notebook, case):
    nb, view = notebook
    shown, picture = case.shown(view), settled(view)
    nb.restart()
    view.wait("offline")
    assert "Kernel gone" in view.root.locator(".nbc-banner").inner_text()
    # All is still there, and what needs no kernel goes on.
    assert case.shown(view) == shown
    assert settled(view) == picture
    case.looks(view)
    assert case.point(view)
    # The cell run again gives one that works.
    nb.run(0)
    nb.run(1)
    view = case.open(nb)
    case.chosen(nb, view, case.values[0])
    assert view.root.locator(".nbc-banner").is_hidden()
    assert view.root.locator(".nbc-error").is_hidden()


def test_saved_shut_down_and_opened_again(lab, notebook, case):
    nb, view = notebook
    case.chosen(nb, view, case.values[0])
    # What is saved is saved once nothing changes any more.
    nb.page.wait_for_timeout(800)
    nb.until(lambda: not nb.value("w._endpoint.worker.busy"))
    nb.run(2)
    plain = nb.save().read_text("utf-8")
    assert "widgets" not in json.loads(plain)["metadata"]
    shown, picture = case.shown(view), settled(view)
    # With the widget's state.
    nb.save_widget_state(True)
    nb.save()
    state = nb.saved()["metadata"]["widgets"][STATE]["state"]
    mine = [model for model in state.values() if model["state"].get("_epoch")]
    assert len(mine) == 1
    assert len(json.dumps(mine[0])) <= 1_000_000
    nb.reopen()
    view = case.open(nb, "offline")
    nb.until(lambda: case.shown(view) == shown, "it says the same")
    assert settled(view) == picture
    case.looks(view)
    assert case.point(view)
    # Without it: the snapshot shows, and in its own output JupyterLab says that there is no model.
    nb.path.write_text(plain, "utf-8")
    nb = lab.open(notebook=nb.path)
    still = nb.page.locator(".jp-OutputArea-output img")
    nb.until(lambda: still.count() == 1)
    nb.until(lambda: still.evaluate("img => img.complete && img.naturalWidth") >= 400)
    nb.until(lambda: any("widget model not found" in error for error in nb.errors))
    nb.errors[:] = [error for error in nb.errors if "widget model not found" not in error]


# -- without Jupyter ------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    """A notebook with every widget, and both kinds of snapshot of it, as nbconvert gets it."""
    path = tmp_path_factory.mktemp("rows") / "notebook.ipynb"
    shown = [
        f"w{i} = {case.make}\n{f'w{i}.compute()' if case.finish else ''}\nw{i}"
        for i, case in enumerate(CASES)
    ]
    snapshots = [f"w{i}.snapshot()" for i in range(len(CASES))]
    alive = [f"w{i}.snapshot(interactive=True)" for i in range(len(CASES))]
    write_notebook(path, (SETUP, *shown, *snapshots, *alive))
    notebook = nbformat.read(path, 4)
    nbclient.NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    return notebook


def test_nbconvert_without_saved_state_shows_the_pictures(static_page, executed, tmp_path):
    notebook = copy.deepcopy(executed)
    del notebook.metadata["widgets"]
    page = static_page.file(convert(notebook, tmp_path / "plain.html"))
    found = pictures(page)
    assert len(found) == 2 * len(CASES), "of each the widget's own and the snapshot"
    assert all(width >= 400 and height >= 100 for width, height in found)
    quiet(page)


def test_nbconvert_with_saved_state_carries_it_and_living_snapshots(
    static_page, executed, tmp_path
):
    state = executed.metadata["widgets"][STATE]["state"]
    epochs = [m["state"]["_epoch"] for m in state.values() if m["state"].get("_epoch")]
    assert len(epochs) == len(CASES)
    page = static_page.file(convert(executed, tmp_path / "state.html"))
    kept = page.page.locator(f"script[type='{STATE}']").inner_text()
    assert all(epoch in kept for epoch in epochs)
    frames = page.page.locator("iframe[title=nbcnnviz]")
    assert frames.count() == len(CASES)
    for index in range(len(CASES)):
        frames.nth(index).scroll_into_view_if_needed()
        page.painted(frames.nth(index).content_frame.locator("canvas[data-role=stage]"))
    quiet(page)


def test_a_page_of_its_own_is_alive_without_a_network(static_page, case, tmp_path):
    path = case.widget().save_html(tmp_path / "widget.html", **case.export)
    page = static_page.file(path)
    asked = nowhere(page)
    view = case.open(page)
    shown, picture = case.shown(view), settled(view)
    assert case.point(view)
    case.looks(view)
    case.looks(view)
    assert settled(view) == picture
    case.beyond(view)
    assert case.shown(view) == shown
    assert "saved page" in view.root.inner_text()
    changes(view, lambda: page.page.evaluate("() => { document.body.style.zoom = '150%'; }"))
    assert asked == []
    assert path.stat().st_size < 3e6


# -- names that attack ----------------------------------------------------------------------------


def test_names_that_attack_are_text(static_page, case, tmp_path):
    widget = case.hostile(hostile.network())
    page = static_page.live(widget)
    view = case.open(page)
    case.walk(view, widget)
    inert(page, view.root)
    view.root.get_by_role("button", name="about").click()
    name = view.root.locator(".nbc-panel strong")
    page.until(lambda: name.text_content() == hostile.STRINGS[0])
    page.page.keyboard.press("Escape")
    view.root.get_by_role("button", name="Menu").click()
    view.root.get_by_role("menuitem", name="Copy as Python").click()
    code = view.root.get_by_label("Python code")
    code.wait_for()
    assert hostile.STRINGS[1] in code.text_content()
    inert(page, view.root)
    page = static_page.file(widget.save_html(tmp_path / "hostile.html"))
    view = case.open(page)
    assert page.page.title() == " ".join(widget._summary().split())
    inert(page, view.root)
    assert page.page.locator("body > script").count() == 3


NAMED = f"""
import sys
sys.path.insert(0, {str(Path(hostile.__file__).parent)!r})
import hostile, nbcnnviz as nv
net, digit = hostile.network(), hostile.picture()
"""


def test_names_that_attack_are_text_in_a_notebook(lab):
    shown = [f"w{i} = {case.make}\nw{i}" for i, case in enumerate(CASES)]
    snapshots = [f"w{i}.snapshot()" for i in range(len(CASES))]
    nb = lab.open(NAMED, *shown, *snapshots, size=(1400, 3000))
    nb.run(0)
    for index, case in enumerate(CASES, 1):
        outputs = nb.run(index)
        assert hostile.STRINGS[0] in outputs[0]["data"]["text/plain"]
        view = case.open(nb)
        nb.run(index + len(CASES))
        inert(nb, view.root)


# -- used for long --------------------------------------------------------------------------------


def watched(page):
    """A session of the browser's own tools; the stub no longer keeps messages for tests."""
    page.page.evaluate(
        "() => { window.running.model.sent.push = ({ type }) => "
        "{ if (type === 'ask') window.asked = (window.asked ?? 0) + 1; }; }"
    )
    session = page.page.context.new_cdp_session(page.page)
    session.send("Performance.enable")
    return session


def flat(before, after):
    assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] < 5e6
    assert after["Nodes"] <= before["Nodes"] + 100
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 10


@pytest.mark.timeout(240)
def test_a_thousand_updates_leave_nothing_behind(static_page, case):
    page = static_page.live(case.widget())
    view = case.open(page)
    session = watched(page)
    page.page.evaluate(case.round(), 100)
    before = measure(session)
    asked = page.page.evaluate("() => window.asked")
    page.page.evaluate(case.round(), 1000)
    flat(before, measure(session))
    assert page.page.evaluate("() => window.asked") - asked > case.questions, "the kernel was asked"
    assert view.root.get_attribute("data-state") == "idle"
    assert view.root.locator(".nbc-error").is_hidden()


def test_a_view_that_goes_takes_everything_with_it(static_page, case):
    page = static_page.live(case.widget())
    case.open(page)
    session = watched(page)
    again(page, 3)
    before = measure(session)
    again(page, 20)
    flat(before, measure(session))
    case.open(page)
