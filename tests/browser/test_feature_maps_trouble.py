"""FeatureMaps when something breaks on the way: the view goes on, or says what is the matter."""

from __future__ import annotations

import pytest
from maps_page import MapsPage, noise, painted, small_widget
from static_page import WidgetKernel

BREAK = """() => {
  const { model } = window.running;
  model.works = [model.save_changes, model.send];
  model.save_changes = model.send = () => { throw new Error("Kernel is dead"); };
}"""
MEND = """() => {
  const { model } = window.running;
  [model.save_changes, model.send] = model.works;
  model.saved_changes = 0;
  model.save_changes = () => { model.saved_changes += 1; };
}"""
CUT = """(name) => {
  const { model } = window.running;
  const whole = model.get(name);
  model.set(name, new DataView(whole.buffer, whole.byteOffset, whole.byteLength >> 1));
}"""


@pytest.fixture
def opened(static_page):
    def open_(**options):
        widget, maps = small_widget(**options)
        page = static_page.live(widget)
        view = MapsPage(page)
        view.slide("size", 64)
        view.shows(painted(maps["conv"]))
        return page, view, maps

    return open_


# -- a kernel that is no more ---------------------------------------------------------------------


@pytest.mark.parametrize("act", ["sort", "layer"])
def test_a_comm_that_throws_means_that_the_kernel_is_gone(opened, act):
    page, view, maps = opened()
    page.page.evaluate(BREAK)
    if act == "sort":
        view.choose("sort", "max")
    else:
        view.pick("relu")
    view.wait("offline")
    assert "Kernel gone" in view.root.locator(".nbc-banner").inner_text()
    # What is at hand stays alive.
    if act == "sort":
        order = maps["conv"].amax((1, 2)).argsort(descending=True)
        view.shows(painted(maps["conv"])[order])
        view.choose("colours", "gray")
        view.shows(painted(maps["conv"], "gray")[order])
    else:
        note = view.root.locator("[data-role=note]")
        page.until(lambda: "were not saved" in note.inner_text())
        view.pick("conv 6 x")
        view.shows(painted(maps["conv"]))
    assert view.error.count() == view.root.locator(".nbc-banner").count()
    # Any word of the kernel ends it, and it is told what changed meanwhile.
    page.page.evaluate(MEND)
    page.receive({"type": "hello", "view": "", "epoch": page.trait("_epoch")})
    view.wait("idle")
    assert page.page.evaluate("() => window.running.model.saved_changes") == 1


def test_a_view_that_the_host_marks_is_offline(opened):
    page, view, maps = opened()
    mark = "on => window.here.classList.toggle('jupyter-widgets-disconnected', on)"
    page.page.evaluate(mark, True)
    view.wait("offline")
    view.choose("colours", "gray")
    view.shows(painted(maps["conv"], "gray"))
    page.page.evaluate(mark, False)
    view.wait("idle")


# -- bytes that do not arrive ---------------------------------------------------------------------


def traits_of(widget):
    return {name: getattr(widget, name) for name in type(widget)._synced()}


def lanes(page):
    return [ask["lane"] for ask in page.sent("ask")]


def test_maps_that_are_cut_short_are_asked_for(static_page):
    widget, maps = small_widget()
    traits = traits_of(widget)
    traits["_maps"] = traits["_maps"][: len(traits["_maps"]) // 2]
    page = static_page.scripted("feature_maps", traits, WidgetKernel(widget))
    view = MapsPage(page)
    view.slide("size", 64)
    view.shows(painted(maps["conv"]))
    assert lanes(page) == ["layer"]
    assert view.error.count() == 0


def test_maps_that_come_cut_short_leave_the_view_as_it_is(opened):
    page, view, maps = opened()
    page.page.evaluate(CUT, "_maps")
    page.until(lambda: lanes(page) == ["layer"], "the kernel is asked")
    view.wait("idle")
    view.shows(painted(maps["conv"]))
    assert view.error.count() == 0


def test_images_that_are_cut_short_leave_the_view_as_it_is(opened):
    page, view, _ = opened(images=noise(3))
    scores = view.scores()
    page.page.evaluate(CUT, "_images")
    page.set(image_index=1)
    page.until(lambda: view.images.nth(1).get_attribute("aria-checked") == "true")
    view.wait("idle")
    assert view.images.count() == 3
    assert view.scores() != scores
    assert view.error.count() == 0


@pytest.mark.parametrize(("times", "state"), [(1, "idle"), (2, "idle"), (3, "error")])
def test_an_answer_that_is_cut_short_is_asked_for_again(static_page, times, state):
    widget, maps = small_widget()
    kernel, cut = WidgetKernel(widget), []

    def cutting(message):
        answers = kernel(message)
        if message.get("lane") != "layer" or len(cut) >= times:
            return answers
        cut.append(message["seq"])
        return [(content, blob and blob[: len(blob) // 2]) for content, blob in answers]

    page = static_page.scripted("feature_maps", traits_of(widget), cutting)
    view = MapsPage(page)
    view.slide("size", 64)
    view.pick("relu")
    page.until(lambda: len(lanes(page)) == min(times + 1, 3))
    view.wait(state)
    assert len(set(cut)) == 1, "the same question"
    if state == "idle":
        view.shows(painted(maps["relu"]))
    else:
        assert "cannot be read" in view.error.inner_text()
