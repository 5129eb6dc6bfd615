"""StyleTransfer on a page without Jupyter: content, styles and weights, Gram matrices, halves."""

from __future__ import annotations

import numpy as np
import pytest
from dream_page import STEPS, DreamPage, FakeKernel

from nbcnnviz import colormaps
from nbcnnviz.widgets._codec import unpack


@pytest.fixture
def kernel():
    return FakeKernel("style_transfer")


@pytest.fixture
def view(static_page, kernel):
    return DreamPage(kernel.open(static_page), kernel)


def play(view, *steps):
    view.button("Play").click()
    view.until_asked("run", steps=0, again=False)
    view.push(*steps)


def test_content_styles_and_result_in_one_view(view):
    play(view, 12)
    view.shows(12)
    for name in ("content: cat", "style: brick", "style: waves"):
        picture = view.root.get_by_role("img", name=name)
        assert picture.is_visible()
        view.page.until(lambda p=picture: view.pixels(p).std() > 20, f"{name} is painted")
    where = view.stage.bounding_box()
    below = view.root.get_by_role("img", name="style: waves").bounding_box()
    assert below["y"] < where["y"] + where["height"]
    numbers = view.root.locator("[data-role=numbers]").inner_text().split()
    assert numbers[::2] == ["total", "content", "style", "tv"]
    assert view.losses.get_attribute("aria-label").startswith("loss from 930 at step 1 to ")


def test_pause_scrub_and_wipe(view, kernel):
    play(view, *[4] * 5)
    view.button("Pause").click()
    view.wait("paused")
    view.range.focus()
    view.press("Home")
    view.shows(4)
    view.wipe.fill("0")
    view.shows(0)
    view.wipe.fill("100")
    view.button("live").click()
    view.shows(20)
    view.button("Play").click()
    view.page.until(lambda: kernel.count("run") == 2)
    view.push(STEPS)
    view.wait("done")


def test_how_much_counts_what(view):
    for label, place, trait, value in [
        ("content", 0, "content_weight", 0),
        ("content", 100, "content_weight", 100),
        ("style", 100, "style_weight", 1000),
        ("smoothness", 0, "tv_weight", 0),
        ("scales", 3, "scales", 3),
        ("steps", 50, "steps", 50),
    ]:
        view.slide(label, place)
        assert view.page.trait(trait) == pytest.approx(value)
    view.root.get_by_role("checkbox", name="keep the content's colours").check()
    assert view.page.trait("keep_colours") is True
    said = view.root.get_by_role("slider", name="content", exact=True)
    view.page.set(content_weight=7.25)
    view.page.until(lambda: said.get_attribute("aria-valuetext") == "7.25")


def test_each_style_has_a_weight(view):
    view.slide("weight of brick", 0.9)
    assert view.page.trait("style_weights") == [0.9, 0.5]
    view.page.set(style_weights=[0.1, 0.2])
    waves = view.root.get_by_role("slider", name="weight of waves")
    view.page.until(lambda: waves.input_value() == "0.2")


def test_layers_of_content_and_style(view):
    view.root.get_by_role("slider", name="Layer of the network").focus()
    view.press("ArrowRight")
    assert view.page.trait("content_layer") == "conv5"
    view.slide("weight of conv2.act", 1)
    assert view.page.trait("style_layers")["conv2.act"] == 1
    view.button("remove conv1.act").click()
    assert list(view.page.trait("style_layers")) == ["conv2.act", "conv3.act"]
    view.root.get_by_label("add to style layers").select_option("conv5.act")
    assert list(view.page.trait("style_layers")) == ["conv2.act", "conv3.act", "conv5.act"]


def colours(blob, name, index, top):
    """A Gram matrix as it has to look, from the bytes that crossed the wire."""
    codes = blob[1][name].astype(float)
    hi = float(blob[1]["hi"][index])
    values = codes / 254 * hi
    entries = np.clip(np.floor(values / top * 256), 0, 255).astype(int)
    return colormaps.table("magma")[entries][..., :3].astype(int)


def test_gram_matrices_on_one_scale(view, kernel):
    view.root.locator("[data-role=gram] summary").click()
    view.until_asked("gram", layer="conv1.act")
    blob = unpack(kernel.gram("conv1.act"))
    for index, name in enumerate(("now", "target")):
        canvas = view.root.locator(f"canvas[data-matrix={name}]")
        wanted = colours(blob, name, index, 4.0)

        def same(canvas=canvas, wanted=wanted):
            pixels = view.pixels(canvas)
            side = len(pixels) / len(wanted)
            at = ((np.arange(len(wanted)) + 0.5) * side).astype(int)
            return np.abs(pixels[np.ix_(at, at)] - wanted).max() <= 1

        view.page.until(same, f"the matrix {name} has its colours")
    assert "the 24 strongest of 64" in view.root.locator("[data-role=gram]").inner_text()
    layer = view.root.locator("[data-role=gram]").get_by_role("combobox", name="layer")
    layer.select_option("conv3.act")
    view.until_asked("gram", layer="conv3.act")


def test_the_gram_matrix_follows_the_run(view, kernel):
    view.root.locator("[data-role=gram] summary").click()
    view.until_asked("gram")
    play(view, 3)
    view.page.until(lambda: kernel.count("gram") == 2, "it is asked for again")
    canvas = view.root.locator("canvas[data-matrix=now]")
    before = view.pixels(canvas)
    view.push(3)
    view.page.until(lambda: not np.array_equal(view.pixels(canvas), before))


def test_content_alone_and_style_alone(view):
    panel = view.root.locator("[data-role=apart]")
    panel.locator("summary").click()
    view.button("Paint both").click()
    view.until_asked("apart")
    for name in ("content alone", "style alone"):
        picture = panel.get_by_role("img", name=name)
        view.page.until(lambda p=picture: view.pixels(p).std() > 20, f"{name} is there")
    assert "step 60 of 60" in panel.inner_text()


def test_without_a_kernel(static_page):
    kernel = FakeKernel("style_transfer")
    kernel.state, kernel.step, kernel.film = "done", STEPS, list(range(4, STEPS, 4))
    view = DreamPage(kernel.open(static_page, saved=True), kernel)
    view.shows(STEPS)
    assert view.run() == "done" and view.button("Play").is_disabled()
    view.root.locator("[data-role=apart] summary").click()
    assert view.button("Paint both").is_disabled()
    view.range.focus()
    view.press("Home")
    view.shows(4)
    view.root.locator("[data-role=gram] summary").click()
    panel = view.root.locator("[data-role=gram]")
    view.page.until(lambda: "need the kernel" in panel.inner_text())


def test_what_was_looked_at_comes_with_the_notebook(static_page):
    """Gram matrices and both halves are there without a kernel, and for the layers they are of."""
    kernel = FakeKernel("style_transfer")
    kernel.state, kernel.step, kernel.film = "done", STEPS, list(range(4, STEPS, 4))
    kernel.kept = [("gram", kernel.gram("conv1.act")), ("apart", kernel.apart(60))]
    view = DreamPage(kernel.open(static_page, saved=True), kernel)
    for summary in view.root.locator("summary").all():
        summary.click()
    for name in ("content alone", "style alone"):
        picture = view.root.get_by_role("img", name=name)
        view.page.until(lambda p=picture: view.pixels(p).std() > 20, f"{name} is there")
    panel = view.root.locator("[data-role=gram]")
    view.page.until(lambda: "the 24 strongest of 64" in panel.inner_text())
    assert view.pixels(view.root.locator("canvas[data-matrix=now]")).std() > 5
    layer = panel.get_by_role("combobox", name="layer")
    layer.select_option("conv3.act")
    view.page.until(lambda: "need the kernel" in panel.inner_text())
    layer.select_option("conv1.act")
    view.page.until(lambda: "the 24 strongest of 64" in panel.inner_text())


@pytest.mark.parametrize("width", [480, 1600])
def test_every_width(static_page, width):
    kernel = FakeKernel("style_transfer")
    view = DreamPage(kernel.open(static_page, size=(width, 1000)), kernel)
    for summary in view.root.locator("summary").all():
        summary.click()
    assert view.page.page.evaluate("() => document.documentElement.scrollWidth") <= width
