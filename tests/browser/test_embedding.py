"""Embedding on a page without Jupyter: 400 digits by what a layer makes of them."""

from __future__ import annotations

import numpy as np
import pytest
from embedding_page import (
    COUNT,
    COUNT_CONTEXTS,
    LAYER,
    NO_WEBGL,
    EmbeddingPage,
    FakeKernel,
    decoded_map,
    digit_pictures,
    first_traits,
    made_up,
    made_up_points,
    plain_traits,
    the_widget,
)
from hostile import ELEMENTS, STRINGS
from matplotlib.path import Path as Outline

import nbcnnviz as nv
from nbcnnviz.widgets._codec import pack, unpack
from nbcnnviz.widgets._embedding_record import indices_of, lapse_blob

ALL = [(0.01, 0.01), (0.99, 0.01), (0.99, 0.99), (0.01, 0.99)]
DRAWN = [(0.25, 0.15), (0.8, 0.3), (0.55, 0.85), (0.3, 0.7)]


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def view(static_page, kernel):
    return EmbeddingPage(kernel.open(static_page), kernel)


def made_up_page(static_page, points: bytes, xy: np.ndarray, **more) -> EmbeddingPage:
    """A page of points that a test has made up, without any kernel."""
    traits = plain_traits(_points=points, _map=made_up(xy, method="given"), **more)
    return EmbeddingPage(static_page.scripted("embedding", traits))


def within(polygon: np.ndarray, xy: np.ndarray) -> set[int]:
    return set(np.flatnonzero(Outline(polygon).contains_points(xy)).tolist())


def selected(view: EmbeddingPage) -> set[int]:
    """What the newest question says is selected; it is what the page shows."""

    def asked() -> set[int]:
        return set(indices_of(view.until_asked("select")["bits"], COUNT).tolist())

    view.page.until(lambda: len(asked()) == int(view.data("selected")), "the kernel is told")
    return asked()


def ink(pixels: np.ndarray) -> int:
    """How many pixels of a stage have a colour of their own."""
    rgb = pixels[..., :3]
    return int((((rgb.max(-1) - rgb.min(-1)) > 40) & (pixels[..., 3] > 100)).sum())


# -- the map --------------------------------------------------------------------------------------


def test_the_points_are_there_at_once(view, kernel):
    view.until_data(points=COUNT, method="pca", painter="webgl", selected=0)
    assert ink(view.pixels()) > 3000
    assert kernel.count("embed") == 0, "the widget has begun by itself"
    scree = view.root.locator("[data-role=scree]")
    assert scree.is_visible() and "%" in scree.get_attribute("aria-label")
    meta, _ = unpack(the_widget()._map)
    shown = view.quality.inner_text()
    for name in ("trustworthiness", "purity"):
        assert name in shown and f"{meta['quality'][name]:.3f}" in shown
    assert f"{100 * sum(meta['explained'][:2]):.1f} % of the variance" in view.root.inner_text()


def test_points_are_painted_where_they_are(view):
    xy = view.map()
    pixels = view.pixels()
    box = view.top.bounding_box()
    colours = [(0x00, 0x72, 0xB2), (0xE6, 0x9F, 0x00), (0x00, 0x9E, 0x73), (0xD5, 0x5E, 0x00)]
    _, labels = digit_pictures()
    far = [i for i in range(COUNT) if np.sort(np.hypot(*(xy - xy[i]).T))[1] > 0.04 * np.ptp(xy)]
    right = [i for i in far if labels[i] < len(colours)]
    assert len(right) > 4
    for index in right:
        x, y = view.place(xy, index)
        found = pixels[int(y - box["y"]), int(x - box["x"]), :3]
        assert np.abs(found - colours[labels[index]]).max() < 40, index


def test_tsne_is_seen_at_work(view, kernel):
    kernel.held = {"embed"}
    view.choose("method", "tsne")
    asked = view.until_asked("embed", method="tsne")
    assert (asked["layer"], asked["start"]) == (LAYER, "auto")
    assert (asked["perplexity"], asked["iterations"]) == (30, 750)
    assert view.page.trait("method") == "tsne"
    view.wait("busy")
    rng = np.random.default_rng(0)
    before, xy = view.pixels(), view.map()
    for step in range(1, 6):
        xy = xy + rng.normal(0, 0.3, xy.shape)
        meta = {"iteration": 20 * step, "total": 750, "kl": 3 / step, "complete": False}
        view.send("embed", made_up(xy, run=7, **meta))
        view.until_data(iteration=20 * step, method="tsne")
    view.page.until(lambda: not np.array_equal(view.pixels(), before), "the points have moved")
    descent = view.root.locator("[data-role=descent]")
    assert descent.get_attribute("aria-label") == "KL divergence from 3 to 0.600"
    assert "Iteration 100 of 750" in view.root.inner_text()
    seen = [message for message in view.page.sent("seen") if message["lane"] == "embed"]
    assert len(seen) == 5, "every frame was seen"
    view.button("Stop").click()
    view.wait("idle")
    view.until_data(iteration=100, points=COUNT)
    view.page.until(lambda: "Not run to its end" in view.quality.inner_text())
    # From where it has come to.
    view.button("Go on").click()
    assert view.until_asked("embed", start="present")["method"] == "tsne"
    view.button("Stop").click()
    view.wait("idle")
    view.slide("perplexity", 12)
    view.button("Run").click()
    view.until_asked("embed", start="auto", perplexity=12)
    view.button("Stop").click()


def test_a_real_run_of_tsne_and_back(view, kernel):
    view.choose("method", "tsne")
    view.until_data(method="tsne", iteration=750)
    view.page.until(lambda: view.quality.locator("dt").count() == 2, "the map is judged")
    view.choose("method", "pca")
    view.until_data(method="pca")
    view.wait("idle")


def test_another_layer(view, kernel):
    ribbon = view.root.get_by_role("slider", name="Layer of the network")
    ribbon.press("ArrowLeft")
    view.until_asked("embed", layer="pool2", method="pca")
    view.page.until(lambda: "PCA of pool2" in view.root.inner_text())
    ribbon.press("End")
    # The last one has no maps.
    view.until_asked("embed", layer="fc")
    view.page.until(lambda: "PCA of fc" in view.root.inner_text())
    assert view.page.trait("layer") == "fc"


def test_flights_end_where_the_points_belong(view):
    xy = view.map()[::-1].copy()
    view.send("embed", made_up(xy, run=50, method="pca"))
    view.page.page.wait_for_timeout(1200)
    flown = view.pixels()
    view.page.page.emulate_media(reduced_motion="reduce")
    view.send("embed", made_up(view.map(), run=51, method="pca"))
    view.send("embed", made_up(xy, run=52, method="pca"))
    view.page.until(lambda: np.abs(view.pixels() - flown).mean() < 0.5, "at once, and the same")


# -- pointing -------------------------------------------------------------------------------------


def test_hover_tells_what_a_point_is(view, kernel):
    xy = view.map()
    _, labels = digit_pictures()
    widget = the_widget()
    index = int(np.nanargmax(xy[:, 0]))
    view.hover(index, xy)
    view.page.until(view.card.is_visible)
    assert view.card.get_attribute("data-index") == str(index)
    said = view.card.inner_text()
    assert f"image {index}" in said and f"label\n{labels[index]}" in said
    confidence = widget.to_dataframe()["confidence"][index]
    assert f"{confidence:.3g}"[:5] in said
    asked = view.until_asked("near", index=index)
    assert asked["k"] == 10
    near = widget._features.near(LAYER, index, 10, None)[1]
    view.page.until(lambda: view.card.locator(".em-near .em-photo").count() == len(near))
    view.page.page.mouse.move(*view.at(0.999, 0.999))
    view.page.until(lambda: not view.card.is_visible())
    assert view.card.get_attribute("data-index") is None


def test_only_who_rests_asks_for_neighbours(view, kernel):
    mouse = view.page.page.mouse
    mouse.move(*view.at(0.2, 0.3))
    mouse.move(*view.at(0.8, 0.7), steps=40)
    mouse.move(*view.at(0.2, 0.7), steps=40)
    view.page.page.wait_for_timeout(400)
    assert kernel.count("near") <= 2


def test_click_pins_and_neighbours_lead_on(view, kernel):
    xy = view.map()
    index = int(np.nanargmin(xy[:, 0]))
    view.page.page.mouse.click(*view.place(xy, index))
    view.page.page.mouse.move(*view.at(0.999, 0.001))
    assert view.card.get_attribute("data-index") == str(index)
    view.until_asked("near", index=index)
    first = view.card.locator(".em-near button").first
    first.wait_for()
    first.click()
    view.page.until(lambda: view.card.get_attribute("data-index") not in (None, str(index)))
    view.button("Unpin").click()
    view.page.until(lambda: not view.card.is_visible())
    assert view.top.evaluate("el => el === document.activeElement")


def test_the_card_never_leaves_the_map(view):
    xy = view.map()
    for index in (int(np.nanargmax(xy @ way)) for way in ([1, 0], [-1, 0], [0, 1], [0, -1])):
        view.hover(index, xy)
        view.page.until(lambda index=index: view.card.get_attribute("data-index") == str(index))
        card, around = view.card.bounding_box(), view.top.bounding_box()
        assert card["x"] >= around["x"] - 1 and card["y"] >= around["y"] - 1
        assert card["x"] + card["width"] <= around["x"] + around["width"] + 1
        assert card["y"] + card["height"] <= around["y"] + around["height"] + 1


# -- selecting ------------------------------------------------------------------------------------


def test_lasso_selects_exactly_what_lies_in_it(view, kernel):
    view.lasso(DRAWN)
    chosen = selected(view)
    assert chosen == within(view.polygon(), view.map())
    assert 30 < len(chosen) < COUNT
    view.until_data(selected=len(chosen))
    assert set(the_widget().selection.tolist()) == chosen
    text = view.root.inner_text()
    assert f"selected: {len(chosen)} of {COUNT}" in text
    _, labels = digit_pictures()
    counts = np.bincount([labels[i] for i in chosen], minlength=10)
    bars = view.root.locator(".em-bars li:not(.em-more)")
    for bar in bars.all():
        name, count = bar.inner_text().split()
        assert counts[int(name)] == int(count)
    view.page.until(lambda: view.montage.locator("canvas").count() == min(48, len(chosen)))


def test_shift_adds_and_alt_takes_away(view, kernel):
    xy = view.map()
    view.lasso(DRAWN)
    first = within(view.polygon(), xy)
    view.lasso([(0.05, 0.05), (0.5, 0.05), (0.5, 0.5), (0.05, 0.5)], "Shift")
    added = within(view.polygon(), xy)
    view.until_data(selected=len(first | added))
    view.lasso([(0.4, 0.05), (0.7, 0.05), (0.7, 0.9), (0.4, 0.9)], "Alt")
    taken = within(view.polygon(), xy)
    wanted = (first | added) - taken
    view.until_data(selected=len(wanted))
    view.page.until(lambda: selected(view) == wanted)
    assert len(wanted) not in (0, len(first))
    view.top.focus()
    view.press("Escape")
    view.press("Escape")
    view.until_data(selected=0)
    view.page.until(lambda: selected(view) == set())


def test_box_selects_a_rectangle(view, kernel):
    view.tool("box")
    view.drag([(0.3, 0.2), (0.7, 0.7)])
    polygon = view.polygon()
    assert len(polygon) == 4
    low, high = polygon.min(0), polygon.max(0)
    xy = view.map()
    chosen = set(np.flatnonzero(((xy > low) & (xy < high)).all(1)).tolist())
    assert selected(view) == chosen == within(polygon, xy)


def test_lasso_after_zoom_and_pan(view, kernel):
    view.page.page.mouse.move(*view.at(0.55, 0.5))
    view.page.page.mouse.wheel(0, -300)
    view.drag([(0.5, 0.5), (0.4, 0.6)])
    view.lasso(DRAWN)
    chosen = selected(view)
    assert chosen == within(view.polygon(), view.map()) and 5 < len(chosen) < 300


def test_python_lights_points(view):
    chosen = list(range(0, COUNT, 7))
    before = view.pixels()
    bits = np.packbits(np.isin(np.arange(COUNT), chosen), bitorder="little")
    view.give("_selection", pack({"origin": "", "count": len(chosen)}, {"bits": bits}))
    view.until_data(selected=len(chosen))
    view.page.until(lambda: ink(view.pixels()) < ink(before) * 0.8, "the others are dim")
    view.give("_selection", pack({"origin": "", "count": 0}, {"bits": bits[:0]}))
    view.until_data(selected=0)


def test_mean_feature_maps(view, kernel):
    view.lasso(DRAWN)
    view.button("Mean feature maps").click()
    question = view.until_asked("maps")
    assert set(indices_of(question["bits"], COUNT)) == within(view.polygon(), view.map())
    maps = view.root.locator(".em-maps figure")
    view.page.until(lambda: 1 < maps.count() <= 12)
    assert "Means over 64 images at gap" in view.root.inner_text()
    # They are of this selection alone.
    view.button("Clear").click()
    view.page.until(lambda: maps.count() == 0)


def test_find(view, kernel):
    field = view.root.get_by_role("searchbox", name="find")
    field.fill("7")
    found = view.root.locator("[data-role=found]")
    _, labels = digit_pictures()
    view.page.until(lambda: "points" in found.inner_text())
    hits = {i for i, label in enumerate(labels) if label == 7}
    table = the_widget().to_dataframe()
    hits |= set(np.flatnonzero(table["prediction"].astype(str) == "7").tolist())
    assert found.inner_text() == f"{len(hits)} points"
    field.press("Enter")
    view.until_data(selected=len(hits))
    assert selected(view) == hits
    field.fill("nothing of this name")
    view.page.until(lambda: found.inner_text() == "nothing found")


# -- colours --------------------------------------------------------------------------------------


def test_the_legend_hides_isolates_and_selects(view, kernel):
    _, labels = digit_pictures()
    all_ink = ink(view.pixels())
    entry = view.legend.locator("button[data-value='3']")
    assert entry.get_attribute("aria-pressed") == "true"
    entry.click()
    view.page.page.mouse.move(*view.at(0.999, 0.999))
    assert entry.get_attribute("aria-pressed") == "false"
    view.page.until(lambda: 0 < ink(view.pixels()) < 0.97 * all_ink, "the threes are gone")
    # What is hidden is not caught.
    view.lasso(ALL)
    assert selected(view) == {i for i, label in enumerate(labels) if label != 3}
    view.top.focus()
    view.press("Escape", "Escape")
    view.legend.get_by_role("button", name="only 5").click()
    view.page.page.mouse.move(*view.at(0.999, 0.999))
    pressed = view.legend.locator("button[data-value][aria-pressed=true]")
    assert [each.get_attribute("data-value") for each in pressed.all()] == ["5"]
    view.page.until(lambda: 0 < ink(view.pixels()) < 0.3 * all_ink, "the fives alone")
    view.legend.get_by_role("button", name="only 5").click()
    assert pressed.count() == 10
    view.legend.get_by_role("button", name="select 8").click()
    view.until_data(selected=labels.count(8))
    assert selected(view) == {i for i, label in enumerate(labels) if label == 8}


def test_what_is_hidden_stays_hidden_after_an_epoch(view):
    view.legend.locator("button[data-value='3']").click()
    hidden = view.legend.locator("[aria-pressed=false]")
    assert hidden.count() == 1
    view.give("_points", made_up_points(COUNT, 10))
    view.page.until(lambda: hidden.count() == 0, "other values are all shown")
    first = view.legend.locator("button[data-value='class 2']")
    first.click()
    view.give("_points", made_up_points(COUNT, 10, unread=1))
    view.page.page.wait_for_timeout(200)
    assert hidden.count() == 1 and first.get_attribute("aria-pressed") == "false"


def test_of_many_values_the_most_frequent_are_listed(static_page):
    codes = np.concatenate([np.arange(100), np.full(40, 93), np.full(30, 7)]).astype(np.uint16)
    column = {
        "key": "label",
        "title": "label",
        "kind": "category",
        "values": [f"class {k}" for k in range(100)],
    }
    blob = pack({**unpack(made_up_points(len(codes)))[0], "columns": [column]}, {"c_0": codes})
    xy = np.random.default_rng(0).random((len(codes), 2))
    traits = plain_traits(_points=blob, _map=made_up(xy, method="given"))
    view = EmbeddingPage(static_page.scripted("embedding", traits))
    listed = view.legend.locator("[data-value]")
    words = listed.evaluate_all("all => all.map((row) => row.dataset.value)")
    assert words[:3] == ["class 93", "class 7", "class 0"] and len(words) == 60
    assert "40 more values" in view.root.inner_text()


def test_colours_by_any_column(view):
    for key in ("prediction", "confidence", "correct"):
        before = view.pixels()
        view.choose("colour by", key)
        assert view.page.trait("colour_by") == key
        view.page.until(lambda b=before: not np.array_equal(view.pixels(), b), key)
        bar = view.root.locator("[data-role=colours]")
        assert bar.is_visible() == (key == "confidence")
        assert view.legend.is_visible() == (key != "confidence")
    values = view.legend.locator("button[data-value]").all()
    assert [each.get_attribute("data-value") for each in values] == ["wrong", "right"]


def test_many_classes_have_their_names_on_the_map(static_page):
    rng = np.random.default_rng(1)
    count, classes = 3000, 30
    centres = rng.uniform(-10, 10, (classes, 2))
    xy = centres[np.arange(count) % classes] + rng.normal(0, 0.3, (count, 2))
    view = made_up_page(static_page, made_up_points(count, classes), xy)
    assert view.legend.locator("button[data-value]").count() == classes

    def written() -> int:
        over = view.pixels(view.top)
        return int((over[..., 3] > 100).sum())

    view.page.until(lambda: written() > 3000)
    view.choose("colour by", "colours:n")
    view.page.until(lambda: written() == 0, "numbers have no names")


def test_thumbnails_once_one_is_near(view):
    view.page.page.mouse.move(*view.at(0.5, 0.5))
    before = view.pixels(view.top)
    for _ in range(4):
        view.page.page.mouse.wheel(0, -240)
    view.page.until(
        lambda: (view.pixels(view.top)[..., 3] > 200).sum() > (before[..., 3] > 200).sum() + 8000,
        "pictures instead of points",
    )
    view.button("Reset view").click()
    view.page.until(lambda: (view.pixels(view.top)[..., 3] > 200).sum() < 8000)


# -- the time-lapse -------------------------------------------------------------------------------


def test_time_lapse(view, kernel):
    base = view.map()
    # All in the square of the first.
    maps = [base, base[::-1], (base.max(0) + base.min(0)) - base]
    kernel.given["lapse"] = lapse_blob(["conv1", "pool1", "gap"], "pca", maps, True)
    view.button("Time-lapse").click()
    assert view.until_asked("lapse")["layers"] == []
    slider = view.root.get_by_role("slider", name="layer of the time-lapse")
    slider.wait_for()
    slider.fill("1")
    name = view.root.locator("[data-role=lapse]")
    assert name.inner_text() == "pool1 · PCA"
    view.page.page.wait_for_timeout(1000)
    # The points are where that layer has them.
    view.hover(5, maps[1])
    view.page.until(lambda: view.card.is_visible())
    shown = int(view.card.get_attribute("data-index"))
    assert np.hypot(*(maps[1][shown] - maps[1][5])) < 0.02 * np.ptp(base)
    view.button("Play").click()
    view.page.until(lambda: name.inner_text() == "gap · PCA", "it plays to the end")
    view.page.until(lambda: view.button("Play").is_visible(), "and stops there")
    view.send("embed", made_up(base, run=60, method="pca"))
    view.page.until(lambda: name.inner_text() == "", "a new map takes its place")


# -- WebGL ----------------------------------------------------------------------------------------


def test_one_context_while_it_is_seen(static_page, kernel):
    page = kernel.open(static_page, before=COUNT_CONTEXTS)
    view = EmbeddingPage(page, kernel)
    assert view.living() == 1
    view.choose("colour by", "prediction")
    page.page.set_viewport_size({"width": 700, "height": 900})
    page.page.wait_for_timeout(300)
    assert view.living() == 1
    page.page.evaluate("() => { document.getElementById('here').style.marginTop = '4000px'; }")
    page.until(lambda: view.living() == 0, "out of sight")
    page.page.evaluate("() => { document.getElementById('here').style.marginTop = ''; }")
    page.until(lambda: view.living() == 1, "in sight again")
    page.until(lambda: ink(view.pixels()) > 1000, "and painted")
    page.page.evaluate("() => { document.getElementById('here').style.display = 'none'; }")
    page.until(lambda: view.living() == 0, "hidden")
    page.page.evaluate("() => { document.getElementById('here').style.display = ''; }")
    page.until(lambda: view.living() == 1)
    for _ in range(12):
        page.page.evaluate("() => { document.getElementById('here').style.display = 'none'; }")
        page.until(lambda: view.living() == 0)
        page.page.evaluate("() => { document.getElementById('here').style.display = ''; }")
        page.until(lambda: view.living() == 1)
    page.page.evaluate("() => window.running.end()")
    page.until(lambda: view.living() == 0, "gone")
    left = "() => document.querySelectorAll('[id^=lasso], head style').length"
    assert page.page.evaluate(left) == 1, "the page's own sheet, and nothing of the plot's"


def test_a_lost_context_comes_back(static_page, kernel):
    page = kernel.open(static_page, before=COUNT_CONTEXTS)
    view = EmbeddingPage(page, kernel)
    before = ink(view.pixels())
    lose = "() => window.contexts.at(-1).getExtension('WEBGL_lose_context').loseContext()"
    page.page.evaluate(lose)
    view.until_data(painter="flat")
    page.until(lambda: ink(view.pixels()) > 0.6 * before, "painted without it meanwhile")
    view.until_data(painter="webgl")
    page.until(lambda: abs(ink(view.pixels()) - before) < 0.1 * before, "as before")
    assert view.living() == 1
    view.lasso(DRAWN)
    assert selected(view) == within(view.polygon(), view.map())


def test_without_webgl(static_page, kernel):
    with_it = EmbeddingPage(kernel.open(static_page), kernel)
    page = kernel.open(static_page, before=NO_WEBGL)
    view = EmbeddingPage(page, kernel)
    view.until_data(painter="flat", points=COUNT)
    assert ink(view.pixels()) == pytest.approx(ink(with_it.pixels()), rel=0.15)
    view.hover(3)
    page.until(view.card.is_visible)
    view.lasso(DRAWN)
    assert selected(view) == within(view.polygon(), view.map())
    before = view.pixels()
    view.send("embed", made_up(view.map()[::-1], run=70, method="pca"))
    page.page.wait_for_timeout(1000)
    page.until(lambda: not np.array_equal(view.pixels(), before))


# -- trouble --------------------------------------------------------------------------------------


def test_errors_are_said_and_left_behind(view, kernel):
    kernel.broken = {"embed": "umap-learn is not installed: pip install 'nbcnnviz[umap]'"}
    view.choose("method", "umap")
    view.wait("error")
    assert "umap-learn is not installed" in view.root.locator("[role=alert]").last.inner_text()
    view.until_data(points=COUNT, method="pca")
    kernel.broken = {}
    view.choose("method", "pca")
    view.wait("idle")


def test_images_that_cannot_be_read(static_page):
    traits = plain_traits(_points=made_up_points(10, error="photos/a.png: not an image"))
    view = EmbeddingPage(static_page.scripted("embedding", traits), state=None)
    view.page.until(lambda: "not an image" in view.root.inner_text())
    assert "There is no map." in view.root.inner_text()


def test_a_saved_page(static_page, kernel):
    view = EmbeddingPage(kernel.open(static_page, saved=True))
    view.until_data(points=COUNT, painter="flat")
    xy = view.map()
    view.hover(9, xy)
    view.page.until(view.card.is_visible)
    view.lasso(DRAWN)
    view.until_data(selected=len(within(view.polygon(), xy)))
    view.choose("colour by", "confidence")
    view.page.page.mouse.move(*view.at(0.5, 0.5))
    view.page.page.mouse.wheel(0, -500)
    asked = {message["lane"] for message in view.page.sent("ask")}
    assert asked <= {"find"}


def test_the_kernel_is_gone(view, kernel):
    view.page.page.evaluate("() => document.body.classList.add('jupyter-widgets-disconnected')")
    view.wait("offline")
    assert view.root.get_by_role("combobox", name="method").is_disabled()
    assert not view.root.get_by_role("combobox", name="colour by").is_disabled()
    asked = len(kernel.asked)
    view.lasso(DRAWN)
    view.until_data(selected=len(within(view.polygon(), view.map())))
    view.legend.locator("button[data-value='3']").click()
    view.hover(5)
    view.page.until(view.card.is_visible)
    view.page.page.wait_for_timeout(400)
    assert len(kernel.asked) == asked


def test_cut_traits_do_no_harm(static_page):
    first = first_traits()
    traits = {**first, "_map": first["_map"][:-40], "_selection": b"\x01\x02"}
    page = static_page.scripted("embedding", traits, lambda message, blob=None: [])
    view = EmbeddingPage(page, state=None)
    view.page.until(lambda: "The map is on its way" in view.root.inner_text())
    assert view.data("points") == "0"


def test_attacks_are_text(static_page):
    count = len(STRINGS) * 3
    rng = np.random.default_rng(2)
    codes = (np.arange(count) % len(STRINGS)).astype(np.uint16)
    column = {"key": "label", "title": STRINGS[0], "kind": "category", "values": STRINGS}
    names = [f"{STRINGS[i % len(STRINGS)]} {i}" for i in range(count)]
    meta = {"total": count, "sample": False, "names": names, "columns": [column], "unread": 0}
    points = pack({**meta, "default": "label", "layer_choices": "none"}, {"c_0": codes})
    xy = rng.uniform(-1, 1, (count, 2))
    traits = plain_traits(_points=points, _map=made_up(xy, notes=STRINGS))
    view = EmbeddingPage(static_page.scripted("embedding", traits))
    for index in range(0, count, 9):
        view.hover(index, xy)
    view.lasso(ALL)
    view.until_data(selected=count)
    assert view.root.locator(ELEMENTS).count() == 0
    assert STRINGS[1] in view.root.inner_text()
    assert not view.page.page.evaluate("() => window.__pwned")


# -- many points ----------------------------------------------------------------------------------


def sampled(count: int, kept: int):
    """A widget of many points, of which the traits have some: traits, and what the kernel has."""
    rng = np.random.default_rng(3)
    xy = rng.normal(size=(count, 2))
    index = np.sort(rng.choice(count, kept, replace=False))
    traits = plain_traits(
        _points=made_up_points(count, index=index), _map=made_up(xy[index], run=1, sample=True)
    )
    map_meta, arrays = unpack(made_up(xy, run=1))
    meta, columns = unpack(made_up_points(count))
    whole = pack({**meta, "map": map_meta}, {**columns, **arrays})
    return traits, index, whole


def test_a_view_of_a_sample_asks_for_all_of_them(static_page):
    traits, index, whole = sampled(120_000, 5000)
    asked = []

    def kernel(message, blob=None):
        if message["type"] == "hello":
            return [({"type": "hello", "view": message["view"], "epoch": "e1"}, None)]
        if message["type"] != "ask":
            return []
        asked.append((message["lane"], blob))
        about = {key: message[key] for key in ("view", "epoch", "seq", "lane")}
        answer = whole if message["lane"] == "points" else pack({}, {})
        reply = {"type": "reply", **about, "status": "ok", "ms": 1, "message": "", "all": False}
        return [({"type": "ack", **about, "all": False, "waits": ""}, None), (reply, answer)]

    view = EmbeddingPage(static_page.scripted("embedding", traits, kernel))
    view.until_data(points=120_000)
    assert [lane for lane, _ in asked] == ["points"]
    view.lasso([(0.3, 0.2), (0.7, 0.2), (0.7, 0.8), (0.3, 0.8)])
    view.page.until(lambda: asked[-1][0] == "select")
    _, places = unpack(whole)
    xy = decoded_map(pack({}, {"xy": places["xy"], "range": places["range"]}))
    wanted = within(view.polygon(), xy)
    _, arrays = unpack(asked[-1][1])
    assert set(indices_of(arrays["bits"], 120_000).tolist()) == wanted
    view.until_data(selected=len(wanted))
    # A sample that comes by the traits says only that there is something new.
    view.give("_points", made_up_points(120_000, 4, index=index))
    view.page.until(lambda: [lane for lane, _ in asked].count("points") == 2)
    assert view.data("points") == "120000" and view.data("selected") == str(len(wanted))


def test_without_a_kernel_a_sample_is_a_preview(static_page):
    traits, _, _ = sampled(120_000, 5000)
    view = EmbeddingPage(static_page.scripted("embedding", traits))
    view.until_data(points=5000)
    assert "A preview: 5000 of 120000 points" in view.root.inner_text()
    view.lasso([(0.3, 0.2), (0.7, 0.2), (0.7, 0.8), (0.3, 0.8)])
    view.until_data(selected=len(within(view.polygon(), view.map())))


def test_features_alone_without_pictures(static_page):
    rng = np.random.default_rng(4)
    features = rng.normal(size=(80, 6))
    widget = nv.Embedding(None, features=features, labels=(["a", "b"] * 40))
    assert widget.coordinates.shape == (80, 2)
    view = EmbeddingPage(static_page.live(widget))
    view.until_data(points=80, method="pca")
    assert not view.root.get_by_role("slider", name="Layer of the network").is_visible()
    view.hover(2, view.map())
    view.page.until(view.card.is_visible)
    assert view.card.locator("canvas").count() == 0
    widget.close()
