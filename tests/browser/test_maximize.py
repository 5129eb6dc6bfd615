"""Maximize on a page without Jupyter: channel, neuron or class, several results at once."""

from __future__ import annotations

import pytest
from dream_page import STEPS, DreamPage, FakeKernel


@pytest.fixture
def kernel():
    return FakeKernel("maximize")


@pytest.fixture
def view(static_page, kernel):
    return DreamPage(kernel.open(static_page), kernel)


def play(view, *steps):
    view.button("Play").click()
    view.until_asked("run", steps=0, again=False)
    view.push(*steps)


def test_from_nothing_to_the_end(view):
    assert "Press Play." in view.root.inner_text()
    assert not view.wipe.is_visible()
    view.button("Play").click()
    view.page.until(lambda: "the first picture is on its way" in view.root.inner_text())
    view.push(*[4] * 10)
    view.wait("done")
    view.shows(STEPS)
    assert "What maximize made of cat: step 40" in view.stage.get_attribute("aria-label")
    view.range.focus()
    view.press("Home")
    view.shows(4)
    box = view.stage.bounding_box()
    assert box["width"] == pytest.approx(box["height"], rel=0.01), "the sheet keeps its shape"


def test_another_channel(view):
    channel = view.root.get_by_role("spinbutton", name="channel")
    channel.fill("500")
    channel.press("Enter")
    assert view.page.trait("channel") == 63
    view.root.get_by_role("slider", name="Layer of the network").focus()
    view.press("ArrowLeft")
    assert view.page.trait("layer") == "conv3"


def test_one_neuron(view):
    where = view.root.get_by_role("combobox", name="where")
    where.select_option("center")
    assert view.page.trait("position") == "center"
    where.select_option("place")
    assert view.page.trait("position") == [8, 8]
    row = view.root.get_by_role("spinbutton", name="row")
    row.fill("3")
    row.press("Enter")
    assert view.page.trait("position") == [3, 8]
    where.select_option("all")
    assert view.page.trait("position") is None
    assert not row.is_visible()


def test_a_class(view):
    view.root.get_by_role("combobox", name="of a").select_option("class")
    field = view.root.get_by_role("combobox", name="class", exact=True)
    field.fill("lynx")
    assert view.page.trait("target") == 2
    view.page.set(target=None)
    view.page.until(view.root.get_by_role("spinbutton", name="channel").is_visible)
    view.root.get_by_role("combobox", name="of a").select_option("class")
    field.fill("no such thing")
    field.press("Enter")
    view.page.until(lambda: "There is no class" in view.status.inner_text())
    view.root.get_by_role("combobox", name="of a").select_option("channel")
    assert view.page.trait("target") is None


def test_a_layer_ends_the_class(view):
    """Also the one that is chosen already, which is no change of the layer."""
    thumbs = view.root.get_by_role("radiogroup", name="what each layer dreams")
    view.button("Show what each layer dreams").click()
    for layer in ("conv3.act", "conv4"):
        view.page.set(target=2)
        view.page.until(view.root.get_by_role("combobox", name="class", exact=True).is_visible)
        thumbs.locator(f"[data-layer='{layer}']").click()
        assert (view.page.trait("target"), view.page.trait("layer")) == (None, layer)
        assert view.root.get_by_role("spinbutton", name="channel").is_visible()


def test_settings(view):
    play(view, 1)
    for label, place, trait, value in [
        ("results", 6, "count", 6),
        ("diversity", 2.5, "diversity", 2.5),
        ("strength", 0, "lr", 0.005),
        ("transforms", 0.5, "transforms", 0.5),
        ("steps", 128, "steps", 128),
    ]:
        view.slide(label, place)
        assert view.page.trait(trait) == pytest.approx(value)


def test_without_a_kernel(static_page):
    kernel = FakeKernel("maximize")
    kernel.state, kernel.step, kernel.film = "paused", 20, list(range(4, 20, 4))
    view = DreamPage(kernel.open(static_page, saved=True), kernel)
    view.page.until(lambda: view.shown_step() == 20)
    view.range.focus()
    view.press("Home")
    view.shows(4)
    assert view.button("Step").is_disabled()
