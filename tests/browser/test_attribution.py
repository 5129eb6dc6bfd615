"""Attribution on a page without Jupyter: what the backend says of the demo network and a cat."""

from __future__ import annotations

import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from access import AXE, check
from attribution_page import METHODS, SIZE, AttributionPage, FakeKernel, the_widget
from torch import nn

import nbcnnviz as nv
from nbcnnviz.widgets._codec import pack
from nbcnnviz.widgets.attribution import Attribution

RULES = ("gradient", "guided_backprop", "deconvnet")


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def view(static_page, kernel):
    return AttributionPage(kernel.open(static_page), kernel)


def result(method: str, target: object = None):
    """What the backend says of a class, by default the predicted one."""
    image = the_widget()._x
    from nbcnnviz.backend.attribution import attribute

    layer = "bn2" if method == "gradcam" else None
    return attribute(the_widget().net, image, method, target, layer)


def labels() -> list[str]:
    return list(the_widget()._classes)


# -- side by side ---------------------------------------------------------------------------------


def test_small_multiples(view):
    shown = view.root.locator("canvas[data-method]")
    assert [each.get_attribute("data-method") for each in shown.all()] == list(METHODS)
    assert view.root.locator("canvas[data-role=stage]").count() == 1
    assert view.stage.get_attribute("data-method") == "gradient"
    assert view.root.locator("canvas[data-role=method]").count() == 2
    for method in METHODS:
        found = result(method)
        for name, value in (("min", found.minimum), ("max", found.maximum)):
            assert float(view.canvas(method).get_attribute(f"data-{name}")) == pytest.approx(
                value, rel=1e-4, abs=1e-9
            )
        assert re.search(r"min \S+ · max \S+", view.tile(method).inner_text())
    assert view.root.get_attribute("data-target") == "tiger cat"
    assert float(view.root.get_attribute("data-score")) == pytest.approx(found.score, rel=1e-5)
    assert "logit" in view.headline.inner_text() and "probability" in view.headline.inner_text()
    assert view.kernel.count() == 0 or view.kernel.count() == 1


def test_one_cursor_for_all(view):
    for method in ("guided_backprop", "gradient"):
        view.point(60, 90, view.canvas(method))
        view.page.until(lambda: all(view.values()))
        for name, said in zip(METHODS, view.values(), strict=True):
            found = result(name)
            heat = found.heat("abs")
            step = float(found.heat("signed").max() - found.heat("signed").min()) / 254
            assert abs(float(said) - float(heat[90, 60])) < 0.6 * step + 0.01 * abs(float(said))
        assert view.status.inner_text().startswith("(90, 60) · Saliency (gradient) ")
        assert view.root.locator(".at-cross").locator("visible=true").count() == 4
    view.page.page.mouse.move(2, 2)
    view.page.until(lambda: not any(view.values()))


def test_looks_ask_nothing(view):
    asked = view.kernel.asked.copy()
    before = view.pixels(view.stage)

    def changed(what: str) -> None:
        nonlocal before
        view.page.until(lambda: not np.array_equal(view.pixels(view.stage), before), what)
        before = view.pixels(view.stage)

    view.slide("opacity", 40)
    changed("opacity")
    view.choose("colours", "magma")
    changed("colours")
    view.slide("contrast", 90)
    changed("contrast")
    view.choose("values", "signed")
    changed("signed values")
    view.choose("values", "positive")
    changed("positive values")
    view.root.get_by_role("checkbox", name="overlay").uncheck()
    changed("the map alone")
    view.slide("threshold", 30)
    changed("a threshold")
    assert view.kernel.asked == asked
    assert view.page.trait("reduce") == "positive"
    assert view.page.trait("share") == pytest.approx(0.09)


def test_threshold_and_mask(view):
    view.choose("values", "absolute")
    for value in (70, 50, 20):
        view.slide("threshold", value)
        share = (value / 100) ** 2
        for method in METHODS:
            canvas = view.canvas(method)
            view.page.until(
                lambda canvas=canvas, share=share: (
                    0 < float(canvas.get_attribute("data-coverage") or 0) <= share
                )
            )
            coverage = float(canvas.get_attribute("data-coverage"))
            heat = result(method).heat("abs").numpy()
            # To what a map of 255 steps can tell apart.
            assert coverage == pytest.approx(share, abs=0.06)
            assert np.quantile(heat, 1 - coverage) > np.quantile(heat, 0.5)
    view.button("use Grad-CAM as mask").click()
    question = view.until_asked("mask", method="gradcam")
    assert question["share"] == pytest.approx(0.04)
    mask = view.root.locator("[data-role=mask]")
    mask.wait_for()
    assert re.search(r"Grad-CAM: \d+\.\d % of the picture in \d piece", mask.inner_text())
    assert "w.to_occlusion()" in mask.inner_text()
    assert "mask:" in view.tile("gradcam").inner_text()
    view.slide("threshold", 40)
    view.page.until(lambda: not mask.is_visible(), "another threshold, another mask")


# -- what is explained ----------------------------------------------------------------------------


def test_another_class(view):
    view.root.get_by_role("button", name="explain lynx").click()
    index = labels().index("lynx")
    view.until_asked("attribute", index=index, other=None)
    view.fresh()
    assert view.root.get_attribute("data-target") == "lynx"
    found = result("gradient", "lynx")
    assert float(view.root.get_attribute("data-score")) == pytest.approx(found.score, rel=1e-4)
    assert float(view.stage.get_attribute("data-max")) == pytest.approx(found.maximum, rel=1e-3)
    view.explain("explain", "espresso")
    view.until_asked("attribute", index=labels().index("espresso"))
    view.fresh()
    assert view.headline.inner_text().startswith("espresso")
    view.explain("explain", "no such thing")
    view.page.until(lambda: "There is no class" in view.status.inner_text())
    view.explain("explain", "predicted class")
    view.until_asked("attribute", index=labels().index("tiger cat"))


def test_the_difference_of_two_classes(view):
    view.button("+ class").click()
    view.explain("minus", "tabby")
    tabby, tiger = labels().index("tabby"), labels().index("tiger cat")
    view.until_asked("attribute", index=tiger, other=tabby)
    view.fresh()
    assert "difference of logit" in view.headline.inner_text()
    logits = the_widget().net.logits(the_widget()._x)[0]
    difference = float(logits[tiger] - logits[tabby])
    score = float(view.root.get_attribute("data-score"))
    assert score == pytest.approx(difference, rel=1e-3)
    # A name in full is chosen at once, and the field goes.
    view.root.get_by_role("combobox", name="minus", exact=True).fill("no class")
    view.until_asked("attribute", index=tiger, other=None)
    view.page.until(view.button("+ class").is_visible)
    assert view.button("+ class").evaluate("el => el === document.activeElement")


def test_probability_is_another_question(view):
    view.choose("score", "probability")
    view.until_asked("attribute", score="probability")
    view.fresh()
    assert re.search(r"probability 0\.\d{3}$", view.headline.inner_text())


def test_methods_from_the_list_by_keyboard_alone(view):
    view.methods.locator("summary").focus()
    view.press("Enter")
    smooth = view.methods.get_by_role("checkbox", name="Input x gradient")
    smooth.focus()
    view.press("Space")
    view.until_asked("attribute", methods=["gradient", "input_x_gradient", *METHODS[1:]])
    view.fresh()
    assert view.tiles.count() == 4
    view.methods.get_by_role("checkbox", name="Saliency (gradient)").uncheck()
    view.page.until(lambda: view.stage.get_attribute("data-method") == "input_x_gradient")
    # What is known already is not asked for again.
    assert view.kernel.asked[-1]["methods"][0] == "gradient"
    view.press("Escape")
    assert not view.methods.locator("input").first.is_visible()
    assert view.methods.locator("summary").evaluate("el => el === document.activeElement")


# -- a unit ---------------------------------------------------------------------------------------


def test_a_unit_by_click_on_the_picture(view):
    number = view.root.get_by_role("spinbutton", name="channel")
    number.fill("112")
    number.press("Enter")
    view.until_asked("map", channel=112)
    view.click(100, 60, view.root.locator("[data-role=picture]"))
    question = view.until_asked("attribute", unit=[112, 60 * 7 // SIZE, 100 * 7 // SIZE])
    assert question["methods"] == list(RULES)
    view.fresh()
    shown = view.root.locator("canvas[data-method]")
    assert [each.get_attribute("data-method") for each in shown.all()] == list(RULES)
    assert "channel 112 at (1, 3)" in view.headline.inner_text()
    assert "activation" in view.headline.inner_text()
    # On the map itself, by mouse and by keyboard.
    cells = view.root.locator("canvas[data-role=map]")
    view.click(5, 2, cells, (7, 7))
    view.until_asked("attribute", unit=[112, 2, 5])
    cells.focus()
    view.press("ArrowDown")
    view.until_asked("attribute", unit=[112, 3, 5])
    view.choose("unit", "max")
    view.until_asked("attribute", unit=[112, "max"])
    view.fresh()
    # And on any of the maps.
    view.click(20, 200, view.canvas("deconvnet"))
    view.until_asked("attribute", unit=[112, 6, 0])
    view.choose("unit", "class")
    view.until_asked("attribute", unit=None, methods=list(METHODS))
    view.fresh()
    assert view.root.get_attribute("data-target") == "tiger cat"


def test_another_layer_lets_a_unit_go(view):
    view.choose("unit", "total")
    view.until_asked("attribute", unit=[0, "total"])
    view.page.set(layer="conv_head")
    view.until_asked("attribute", unit=None, layer="conv_head", methods=list(METHODS))


def test_switches_are_dots(view, kernel):
    places = np.array([20, 112, 200], np.float32)
    kernel.given["switches"] = pack(
        {"layers": ["pool1", "pool2"]},
        {
            "layer": np.array([0, 1, 1], np.int32),
            "y": places,
            "x": places,
            "weight": np.array([1, -0.5, 0.2], np.float32),
        },
    )
    view.root.get_by_role("checkbox", name="max-pool switches").check()
    question = view.until_asked("switches")
    assert question["unit"] is None
    dots = view.tile("gradient").locator(".at-dots")

    def alphas() -> np.ndarray:
        width, data = dots.evaluate(
            """canvas => {
              const { width, height } = canvas;
              const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
              return [width, [...data.filter((_, i) => i % 4 === 3)]];
            }"""
        )
        return np.array(data).reshape(-1, width)

    view.page.until(lambda: alphas().any(), "there are dots")
    alpha = alphas()
    scale = alpha.shape[0] / SIZE
    at = [alpha[int((y + 0.5) * scale), int((y + 0.5) * scale)] for y in places]
    assert at[0] > at[1] > at[2] > 0
    legend = view.root.locator("[data-role=switches]")
    assert legend.inner_text().split() == "1 in pool1 2 in pool2".split()
    view.root.get_by_role("checkbox", name="max-pool switches").uncheck()
    view.page.until(lambda: not dots.is_visible())


# -- CAM as arithmetic ----------------------------------------------------------------------------


def test_the_running_sum_becomes_the_cam(view):
    view.terms.locator("summary").click()
    total, whole = (view.terms.locator(f"canvas[data-role={role}]") for role in ("sum", "cam"))
    bars = view.terms.get_by_role("radio")
    view.page.until(lambda: bars.count() == 65, "64 terms and all others")
    view.page.painted(whole)
    words = view.terms.locator("p[data-role=sum]")
    view.page.until(lambda: np.array_equal(view.pixels(total), view.pixels(whole)))
    assert words.inner_text().startswith("1280 of 1280 terms")
    slider = view.root.get_by_role("slider", name="running sum")
    slider.fill("0")
    view.page.until(lambda: len(np.unique(view.pixels(total).reshape(-1, 3), axis=0)) == 1)
    assert words.inner_text().startswith("0 of 1280 terms: mean 0 ")
    slider.focus()
    view.press("ArrowRight", "ArrowRight")
    view.page.until(lambda: words.inner_text().startswith("2 of 1280 terms"))
    assert view.terms.locator("[data-added]").count() == 2
    view.press("End")
    view.page.until(lambda: np.array_equal(view.pixels(total), view.pixels(whole)))
    found = result("cam")
    assert f"of {found.score:.3g}" in words.inner_text()
    checks = view.terms.locator("[data-role=checks]").inner_text()
    assert checks.startswith("✓") and "holds" in checks
    # A term by mouse and by keyboard.
    one = view.terms.locator("canvas[data-role=term]")
    before = view.pixels(one)
    bars.nth(5).click()
    view.page.until(lambda: not np.array_equal(view.pixels(one), before))
    assert bars.nth(5).get_attribute("aria-checked") == "true"
    order = found.terms.order
    assert f"channel {int(order[5])}:" in bars.nth(5).get_attribute("aria-label")
    bars.nth(5).focus()
    view.press("ArrowRight")
    assert bars.nth(6).evaluate("el => el === document.activeElement")


def test_without_a_cam_there_are_words(view, kernel):
    kernel.broken["terms"] = "This network does not end in global average pooling."
    view.terms.locator("summary").click()
    view.page.until(lambda: "global average pooling" in view.terms.inner_text())


# -- whether to believe it ------------------------------------------------------------------------


def evidence_blob(method: str, remaining: float) -> bytes:
    steps = np.linspace(0, 1, 9, dtype=np.float32)
    meta = {
        "method": method,
        "deletion": 0.12,
        "insertion": 0.63,
        "deletion_by_chance": 0.4,
        "insertion_by_chance": 0.45,
        "randomised": [{"layer": "classifier", "similarity": remaining}],
        "remaining": remaining,
        "notes": [],
    }
    curves = {"deletion": 1 - steps, "insertion": steps, "deletion_by_chance": 1 - steps / 2}
    return pack(meta, {**curves, "insertion_by_chance": steps / 2, "fractions": steps})


def test_evidence(view, kernel):
    kernel.given["evidence"] = evidence_blob("gradcam", 0.83)
    tile = view.tile("gradcam")
    view.button("evidence for Grad-CAM").click()
    question = view.until_asked("evidence", method="gradcam")
    assert question["index"] == labels().index("tiger cat") and question["score"] == "logit"
    tile.locator("[data-role=random]").wait_for()
    assert "hardly depends on what was learnt" in tile.inner_text()
    assert "deletion 0.120, better than chance 0.400" in tile.inner_text()
    assert tile.locator("[data-curve=insertion]").get_attribute("data-auc") == "0.63"
    assert "polygon" in tile.locator(".at-area").first.evaluate("el => el.style.clipPath")
    assert not view.button("evidence for Grad-CAM").is_visible()
    # Of another class it would be another one.
    view.root.get_by_role("button", name="explain lynx").click()
    view.fresh()
    view.page.until(view.button("evidence for Grad-CAM").is_visible)


def test_evidence_can_be_stopped(view, kernel):
    kernel.held.add("evidence")
    view.button("evidence for Saliency (gradient)").click()
    view.wait("busy")
    view.page.until(lambda: "30 of 140" in view.root.inner_text())
    view.button("Stop").click()
    view.wait("idle")
    assert view.button("evidence for Saliency (gradient)").is_visible()


def test_no_positive_evidence_and_methods_that_fail(static_page, kernel):
    flat = np.zeros((1, SIZE, SIZE), np.uint8)
    ends = np.zeros(1, np.float32)
    row = {"min": 0.0, "max": 0.0, "positive": False, "layer": "bn2", "notes": [], "ms": 1}
    meta = {
        "target": {"name": "tiger cat", "index": 282, "other": None},
        "score": 1.5,
        "score_name": "logit",
        "probability": 0.1,
        "layer": "bn2",
        "unit": None,
        "best": [],
        "methods": [
            {"name": "gradient", "error": "<b>gradient</b> is not for this network."},
            {**row, "name": "gradcam", "done": 1, "total": 1, "completeness": None, "place": None},
        ],
    }
    blob = pack(meta, {"codes1": flat, "lo1": ends, "hi1": ends})
    traits = {"_results": blob, "methods": ["gradient", "gradcam"]}
    view = AttributionPage(kernel.open(static_page, traits=traits), kernel)
    words = view.root.locator(".at-words").locator("visible=true")
    assert words.all_inner_texts() == [
        "<b>gradient</b> is not for this network.",
        "No positive evidence for tiger cat.",
    ]
    assert view.canvas("gradcam").get_attribute("data-max") == "0"
    grey = view.pixels(view.canvas("gradcam")).reshape(-1, 3)
    assert (grey.max(1) - grey.min(1)).max() <= 2, "no colours out of nothing"


def test_top_patches(view):
    panel = view.root.locator("details", has_text="top patches")
    panel.locator("summary").click()
    view.until_asked("patches", channel=0)
    rows = panel.get_by_role("listitem")
    view.page.until(lambda: rows.count() > 0)
    assert rows.first.locator("canvas").count() == 2
    assert re.match(r"image \d: \S+", rows.first.inner_text())


def test_with_the_widget_itself(static_page):
    """A small network with max poolings, and the real kernel side of every lane.

    Settings reach Python by traits, which this page does not send; JupyterLab does.
    """
    widget = Attribution(nv.Network.digits(), nv.sample_image("digit"), ["gradient", "gradcam"])
    page = static_page.live(widget)
    view = AttributionPage(page, None)
    assert view.root.get_attribute("data-target") == "3"
    view.root.get_by_role("button", name="explain 8").click()
    page.until(lambda: view.root.get_attribute("data-target") == "8")
    view.choose("unit", "max")
    page.until(lambda: view.tiles.count() == 3)
    view.fresh()
    view.root.get_by_role("checkbox", name="max-pool switches").check()
    legend = view.root.locator("[data-role=switches]")
    page.until(lambda: re.search(r"\d+ in \S*pool", legend.inner_text()))
    view.choose("unit", "class")
    view.fresh()
    view.slide("threshold", 40)
    view.button("use Grad-CAM as mask").click()
    page.until(lambda: view.root.locator("[data-role=mask]").is_visible())
    assert widget.mask is not None and 0 < widget.mask.mean() <= 0.17
    view.button("evidence for Grad-CAM").click()
    page.until(lambda: "on what was learnt" in view.tile("gradcam").inner_text())
    assert view.root.get_attribute("data-state") == "idle"


def test_a_layer_whose_name_holds_a_slash(static_page):
    """Such names come from other frameworks, and look like those of functions."""
    layers = {"block/conv": nn.Conv2d(3, 4, 3), "block/relu": nn.ReLU(), "gap": nn.AvgPool2d(14)}
    model = nn.Sequential(OrderedDict(layers, flatten=nn.Flatten(), head=nn.Linear(4, 3)))
    page = static_page.live(Attribution(nv.Network(model), torch.rand(3, 16, 16), ["gradcam"]))
    view = AttributionPage(page)
    for layer in ("block/conv", "block/relu"):
        page.set(layer=layer)
        page.until(lambda n=layer: f"Maps of {n}." in view.tile("gradcam").inner_text(), layer)


# -- when something is wrong ----------------------------------------------------------------------


def test_old_maps_are_marked_until_the_answer_comes(view, kernel):
    kernel.held.add("attribute")
    view.root.get_by_role("button", name="explain lynx").click()
    stale = view.root.locator(".at-tile[data-stale]")
    view.page.until(lambda: stale.count() == 3)
    view.wait("busy")
    view.button("Stop").click()
    view.wait("idle")
    assert "not computed" in view.headline.inner_text()
    kernel.held.clear()
    view.button("Compute").click()
    view.fresh()
    assert view.root.get_attribute("data-target") == "lynx"


def test_offline_looking_goes_on(view, kernel):
    asked = len(kernel.asked)
    view.page.page.evaluate(
        "() => document.getElementById('here').classList.add('jupyter-widgets-disconnected')"
    )
    view.wait("offline")
    assert view.root.get_by_role("combobox", name="explain", exact=True).is_disabled()
    assert view.button("evidence for Grad-CAM").is_disabled()
    view.point(50, 50)
    view.page.until(lambda: all(view.values()))
    view.slide("threshold", 30)
    view.page.until(lambda: view.stage.get_attribute("data-coverage"))
    view.slide("opacity", 20)
    view.click(100, 60, view.root.locator("[data-role=picture]"))
    assert view.page.trait("unit") is None
    assert len(kernel.asked) == asked


def test_a_saved_page(static_page):
    kernel = FakeKernel()
    view = AttributionPage(kernel.open(static_page, saved=True), None)
    view.point(50, 50)
    view.page.until(lambda: len([said for said in view.values() if said]) >= 1)
    view.slide("threshold", 30)
    view.page.until(lambda: view.stage.get_attribute("data-coverage"))


# -- for everybody --------------------------------------------------------------------------------


def test_keyboard_alone(view):
    view.stage.focus()
    view.press("ArrowRight")
    view.page.until(lambda: all(view.values()))
    spoken = view.root.locator("[data-role=spoken]")
    view.page.until(lambda: "(112, 120)" in spoken.inner_text())
    view.press("Shift+ArrowUp")
    view.page.until(lambda: "(111, 120)" in spoken.inner_text())
    assert view.stage.evaluate("el => getComputedStyle(el).outlineStyle") == "solid"
    # One tab stop for all maps, and no trap.
    stops = view.root.locator("canvas[data-method][tabindex='0']")
    assert stops.count() == 1
    view.press("Tab")
    assert not view.stage.evaluate("el => el === document.activeElement")
    view.page.until(lambda: not any(view.values()))


@pytest.mark.parametrize("width", [480, 700, 1600])
def test_it_fits(static_page, kernel, width):
    view = AttributionPage(kernel.open(static_page, size=(width, 900)), kernel)
    view.button("+ class").click()
    view.slide("threshold", 30)
    view.terms.locator("summary").click()
    view.page.until(lambda: view.terms.get_by_role("radio").count() == 65)
    wide = view.page.page.evaluate("() => document.documentElement.scrollWidth")
    assert wide <= width
    right = view.root.evaluate(
        """root => Math.max(...[...root.querySelectorAll("button, input, canvas, p")]
          .filter((el) => el.checkVisibility() && !el.closest(".nbc-ribbon-scroll"))
          .map((el) => el.getBoundingClientRect().right))"""
    )
    assert right <= width


@pytest.mark.parametrize("width", [480, 1200])
def test_nothing_jumps(static_page, kernel, width):
    view = AttributionPage(kernel.open(static_page, size=(width, 1000)), kernel)
    view.page.page.mouse.move(2, 2)
    before = view.root.bounding_box()
    view.point(50, 50)
    view.page.until(lambda: all(view.values()))
    for value in (10, 60, 99):
        view.slide("contrast", max(80, value))
        view.slide("opacity", value)
    assert view.root.bounding_box() == before
    view.slide("threshold", 50)
    for cut in view.root.locator(".at-tile .at-cut").all():
        cut.wait_for()
    first = view.root.bounding_box()
    for value in (5, 33, 99):
        view.slide("threshold", value)
        view.page.page.wait_for_timeout(50)
        assert view.root.bounding_box() == first


def at_rest(view):
    """Three methods, nothing open."""


def cut(view):
    view.slide("threshold", 30)
    view.button("use Grad-CAM as mask").click()
    view.root.locator("[data-role=mask]").wait_for()


def terms(view):
    view.terms.locator("summary").click()
    view.page.until(lambda: view.terms.get_by_role("radio").count() == 65)


def evidence(view):
    view.kernel.given["evidence"] = evidence_blob("gradcam", 0.83)
    view.button("evidence for Grad-CAM").click()
    view.tile("gradcam").locator("[data-role=random]").wait_for()


def unit(view):
    view.choose("unit", "max")
    view.fresh()
    view.root.locator("canvas[data-role=map]").wait_for()


def methods(view):
    view.methods.locator("summary").click()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [480, 1200])
@pytest.mark.parametrize("state", [at_rest, cut, terms, evidence, unit, methods])
def test_axe_and_contrast(static_page, state, width, scheme):
    kernel = FakeKernel()
    page = kernel.open(static_page, size=(width, 1100), scheme=scheme)
    view = AttributionPage(page, kernel)
    view.point(60, 60)
    state(view)
    page.page.evaluate(AXE)
    check(view)
