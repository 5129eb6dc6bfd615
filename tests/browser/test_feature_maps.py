"""FeatureMaps on a page without Jupyter: what is painted, and what one can do with it."""

from __future__ import annotations

import re
from collections import OrderedDict

import numpy as np
import pytest
import torch
from maps_page import (
    LABEL,
    MapsPage,
    Spoil,
    find,
    hooked,
    noise,
    painted,
    pixels,
    significant,
    small_model,
    small_widget,
)

import nbcnnviz as nv
from nbcnnviz import colormaps

SIZE = 64
"""Of a tile and of a map: a pixel of the stage is a cell."""


@pytest.fixture
def open_maps(static_page):
    """A widget over the small model: its page, its view and its maps by layer."""

    def open_(size=SIZE, page=None, **options):
        widget, maps = small_widget(**options)
        live = static_page.live(widget, **(page or {}))
        view = MapsPage(live)
        if size and view.grid.is_visible():
            view.slide("size", size)
        return live, view, maps

    return open_


# -- what is painted ------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv", "relu"])
def test_the_stage_has_the_networks_maps_to_the_byte(open_maps, layer):
    page, view, maps = open_maps(layer=layer)
    for colormap in ("auto", "viridis", "magma", "gray", "RdBu_r", "PuOr_r"):
        view.choose("colours", colormap)
        for scale in ("map", "layer", "symmetric"):
            view.choose("scale", scale)
            view.shows(painted(maps[layer], colormap, scale))
    assert [page.trait("colormap"), page.trait("scale")] == ["PuOr_r", "symmetric"]


def test_on_a_sharp_screen_a_cell_is_four_whole_pixels(open_maps):
    page, _, maps = open_maps()
    screen = {"width": 1200, "height": 1000, "deviceScaleFactor": 2, "mobile": False}
    session = page.page.context.new_cdp_session(page.page)
    session.send("Emulation.setDeviceMetricsOverride", screen)
    page.page.reload()
    view = MapsPage(page)
    view.slide("size", SIZE)
    tiles = painted(maps["conv"], enlarge=2)
    page.until(
        lambda: len(find(view.canvas(), tiles, 2 * LABEL)) == 6, "maps in twice as many pixels"
    )


def test_what_is_no_ordinary_number_is_painted_and_counted(open_maps):
    def spoil(model):
        model.relu = Spoil()

    page, view, maps = open_maps(change=spoil, layer="relu")
    tiles = painted(maps["relu"])
    # Those of one colour are told apart from the ground by their labels, below.
    view.shows(tiles[2:5])
    hole = tiles[3][10:13, 20:24].reshape(-1, 3).tolist()
    assert hole == [[214, 51, 132], [255, 255, 255]] * 6 or len({tuple(c) for c in hole}) == 2
    labels = [cell.get_attribute("aria-label") for cell in view.grid.get_by_role("gridcell").all()]
    for channel, remark in ((0, "all zero"), (1, "constant"), (3, "12 NaN"), (5, "4096 NaN")):
        assert remark in labels[channel]
    facts = view.root.locator("[data-role=facts]").inner_text()
    assert "NaN 4108" in facts
    assert "Inf 2" in facts
    for channel, remark in ((3, "12 NaN"), (5, "4096 NaN"), (4, "alive"), (0, "dead")):
        page.set(channel=channel)
        page.until(lambda c=channel: view.open_channel() == c)
        assert remark in view.detail.inner_text()
    assert "NaN" in next(iter(view.scores().values())), "the prediction is none"


def test_dead_and_constant_maps_say_so(open_maps):
    def kill(model):
        model.conv.bias[2] = -1e6
        model.conv.weight[4].zero_()
        model.conv.bias[4] = 0.5

    page, view, maps = open_maps(change=kill, layer="relu")
    labels = [cell.get_attribute("aria-label") for cell in view.grid.get_by_role("gridcell").all()]
    assert "all zero" in labels[2]
    assert "constant" in labels[4]
    assert "1 dead" in view.said()
    alive = painted(maps["relu"])[[0, 1, 3, 5]]
    before = view.shows(alive)
    view.root.get_by_role("checkbox", name="hide dead").check()
    page.until(lambda: find(view.canvas(), alive) != before, "the rest moves up")
    pitch = before[1][0] - before[0][0]
    assert view.shows(alive)[2] == (before[1][0] + pitch, before[1][1])
    assert page.trait("hide_dead") is True
    page.set(channel=2)
    page.until(lambda: "dead: all zero" in view.detail.inner_text())


# -- through the network --------------------------------------------------------------------------


def test_the_ribbon_leads_through_the_network(open_maps):
    page, view, maps = open_maps()
    view.ribbon.focus()
    page.page.keyboard.press("ArrowRight")
    view.shows(painted(maps["relu"]))
    assert page.trait("layer") == view.layer() == "relu"
    assert "relu" in (view.ribbon.get_attribute("aria-valuetext") or "")
    page.page.keyboard.press("End")
    page.until(lambda: view.layer() == "gap")
    page.page.keyboard.press("Home")
    view.shows(painted(maps["conv"]))
    view.root.locator("[data-role=ribbon] canvas").click(position={"x": 6, "y": 20})
    page.until(lambda: view.layer() == "conv")
    box = view.ribbon.locator("canvas").bounding_box()
    assert box is not None
    # A layer further right, found as a user does: by what the tip says.
    tip = view.root.locator(".nbc-tip")
    for x in range(8, int(box["width"]), 4):
        view.ribbon.locator("canvas").hover(position={"x": x, "y": 22})
        if tip.is_visible() and tip.inner_text().startswith("relu"):
            break
    view.ribbon.locator("canvas").click(position={"x": x, "y": 22})
    view.shows(painted(maps["relu"]))
    lanes = [ask["lane"] for ask in page.sent("ask")]
    assert set(lanes) <= {"layer", "channel"}


def test_the_picker_finds_a_layer(open_maps):
    page, view, maps = open_maps(size=None)
    view.picker.click()
    assert view.options.count() == 6
    view.picker.fill("conv 6 x")
    assert view.options.count() == 1
    page.until(lambda: "6 x 64 x 64" in view.options.inner_text())
    page.page.keyboard.press("Escape")
    assert view.options.count() == 0
    assert view.picker.input_value() == "conv"
    view.pick("relu")
    page.until(lambda: page.trait("layer") == "relu")
    view.slide("size", SIZE)
    view.shows(painted(maps["relu"]))
    view.picker.click()
    view.options.filter(has_text="deep").click()
    page.until(lambda: page.trait("layer") == "deep")
    assert page.sent("ask")[-1]["args"]["layer"] == "deep"
    view.picker.click()
    disabled = view.options.filter(has_text="head")
    assert disabled.get_attribute("aria-disabled") == "true"
    disabled.click(force=True)
    assert page.trait("layer") == "deep"


def test_the_picker_prefers_names(static_page):
    """A Conv2d is not what somebody means who types conv2."""
    layers = [("conv1", torch.nn.Conv2d(3, 4, 3)), ("conv2", torch.nn.Conv2d(4, 4, 3))]
    model = torch.nn.Sequential(OrderedDict(layers))
    page = static_page.live(nv.FeatureMaps(model, noise()[0], layer="conv1"))
    view = MapsPage(page)
    view.pick("conv2")
    page.until(lambda: view.layer() == page.trait("layer") == "conv2")


def test_a_layer_that_python_chooses_is_shown(open_maps):
    page, view, maps = open_maps()
    page.set(layer="relu")
    view.shows(painted(maps["relu"]))
    assert view.picker.input_value() == "relu"


# -- pointing -------------------------------------------------------------------------------------


def test_pointing_tells_the_exact_value_and_the_receptive_field(open_maps):
    page, view, maps = open_maps()
    places = view.shows(painted(maps["conv"]))
    plain = view.canvas("picture").astype(int)
    for channel, y, x in ((0, 0, 0), (3, 20, 41), (5, 47, 63)):
        left, top = places[channel]
        view.point(left + x + 0.5, top + y + 0.5)
        page.until(lambda: "≈" not in view.said() and view.hovered(), "exact values have come")
        value = maps["conv"][channel, y, x].item()
        seen = view.hovered()
        assert seen is not None
        assert seen[:3] == (channel, y, x)
        assert float(seen[3]) == significant(value)
        # A 3 x 3 kernel sees its cell and one more on each side, on the picture of 64 x 64.
        box = [max(0, y - 1), max(0, x - 1), min(64, y + 2), min(64, x + 2)]

        def framed(box=box):
            changed = np.argwhere(np.abs(view.canvas("picture") - plain).sum(-1) > 30)
            if not len(changed):
                return False
            scale = plain.shape[0] / 64
            frame = [*changed.min(0), *(changed.max(0) + 1)]
            return np.abs(np.array(frame) - np.array(box) * scale).max() <= 4

        page.until(framed, f"a frame around {box} of the picture")
    page.page.mouse.move(1, 1)
    page.until(lambda: view.hovered() is None)
    page.until(lambda: np.array_equal(view.canvas("picture"), plain), "the frame is gone")


def test_pointing_at_a_reduced_map_says_about(static_page):
    widget, maps = small_widget(images=noise(side=256))
    view = MapsPage(static_page.live(widget))
    view.slide("size", 128)
    view.point(30, 30)
    view.page.until(view.hovered)
    channel, y, x, _ = view.hovered()
    view.page.until(lambda: "≈" not in view.said(), "exact values have come")
    assert view.hovered()[:3] == (channel, y, x)
    assert float(view.hovered()[3]) == significant(maps["conv"][channel, y, x].item())


def test_pointing_asks_once_for_each_map_it_rests_on(open_maps):
    page, view, maps = open_maps()
    places = view.shows(painted(maps["conv"]))
    for channel in (1, 2, 1, 2):
        for y in range(8, 40, 4):
            view.point(places[channel][0] + 20, places[channel][1] + y)
        page.until(lambda: view.hovered() and "≈" not in view.said())
    asked = [ask["args"]["channel"] for ask in page.sent("ask") if ask["lane"] == "channel"]
    assert asked == [1, 2]


# -- one channel large ----------------------------------------------------------------------------


def test_a_click_opens_a_channel_and_escape_goes_back(open_maps):
    page, view, maps = open_maps()
    places = view.shows(painted(maps["conv"]))
    view.stage.click(position={"x": places[4][0] + 30, "y": places[4][1] + 30})
    page.until(lambda: view.open_channel() == 4)
    assert page.trait("channel") == 4
    assert not view.grid.is_visible()
    one = maps["conv"][4]
    page.until(lambda: view.detail.get_by_role("heading", name="histogram", exact=True).count())
    figures = dict(
        zip(
            view.detail.locator("dt").all_inner_texts(),
            view.detail.locator("dd").all_inner_texts(),
            strict=True,
        )
    )
    for name, value in (("min", one.min()), ("mean", one.mean()), ("max", one.max())):
        assert float(figures[name]) == pytest.approx(significant(value.item()), rel=0.006)
    assert "alive" in view.detail.inner_text()
    # The map, enlarged: the middle of every cell has the cell's colour.
    large = view.canvas()
    middle = ((np.arange(64) + 0.5) * large.shape[0] / 64).astype(int)
    assert np.array_equal(large[np.ix_(middle, middle)], painted(maps["conv"])[4])
    page.page.keyboard.press("Escape")
    page.until(lambda: view.open_channel() is None)
    assert page.trait("channel") is None
    view.shows(painted(maps["conv"]))


def test_enter_opens_the_map_under_the_cursor_and_arrows_go_on(open_maps):
    page, view, _ = open_maps()
    view.grid.focus()
    keys = page.page.keyboard
    for key in ("ArrowRight", "ArrowRight", "Enter"):
        keys.press(key)
    page.until(lambda: view.open_channel() == 2)
    keys.press("ArrowRight")
    page.until(lambda: view.open_channel() == 3)
    keys.press("ArrowLeft")
    keys.press("ArrowLeft")
    page.until(lambda: view.open_channel() == 1)
    keys.press("Escape")
    page.until(lambda: view.open_channel() is None)
    assert view.grid.evaluate("grid => grid === document.activeElement")
    active = view.grid.locator("[role=gridcell][aria-selected=true]")
    assert active.get_attribute("data-channel") == "1"


def test_a_channel_that_python_opens_is_shown(open_maps):
    page, view, _ = open_maps()
    page.set(channel=5)
    page.until(lambda: view.open_channel() == 5)
    page.set(channel=None)
    page.until(lambda: view.grid.is_visible())


def test_pointing_in_the_large_map_and_over_the_picture(open_maps):
    page, view, maps = open_maps(channel=3)
    page.until(lambda: view.detail.get_by_role("heading", name="histogram", exact=True).count())
    for role in ("stage", "overlay"):
        canvas = view.root.locator(f"canvas[data-role={role}]")
        box = canvas.bounding_box()
        assert box is not None
        scale = box["width"] / 64
        canvas.hover(position={"x": 20.5 * scale, "y": 33.5 * scale})
        page.until(lambda: (view.hovered() or [0])[1:3] == (33, 20))
        seen = view.hovered()
        assert float(seen[3]) == significant(maps["conv"][3, 33, 20].item())
        page.page.mouse.move(1, 1)
        page.until(lambda: view.hovered() is None)


def test_the_overlay_fades(open_maps):
    page, view, _ = open_maps(channel=0)
    page.until(lambda: view.canvas("overlay").any())
    view.slide("overlay", 0)
    page.until(lambda: view.canvas("overlay").any())
    faint = page.pixels(view.root.locator("canvas[data-role=overlay]"))
    view.slide("overlay", 100)
    overlay = view.root.locator("canvas[data-role=overlay]")
    page.until(lambda: page.pixels(overlay) != faint)
    full = view.canvas("overlay")
    middle = ((np.arange(64) + 0.5) * full.shape[0] / 64).astype(int)
    page.until(
        lambda: np.array_equal(
            view.canvas("overlay")[np.ix_(middle, middle)],
            view.canvas()[np.ix_(*[((np.arange(64) + 0.5) * len(full) / 64).astype(int)] * 2)],
        ),
        "at 100 % the map alone",
    )


def test_the_weights_of_a_filter(open_maps):
    page, view, _ = open_maps(channel=0)
    kernels = view.root.get_by_role("group", name="weights 3 x 3 x 3")
    page.until(kernels.is_visible)
    names = kernels.locator("figcaption").all_inner_texts()
    assert names == ["as colours", "R", "G", "B"]
    page.set(layer="deep")
    deeper = view.root.get_by_role("group", name="weights 6 x 3 x 3")
    page.until(deeper.is_visible)
    strongest = deeper.locator("figcaption").all_inner_texts()
    weight = small_model().deep.weight[0].detach()
    assert strongest == [
        str(i) for i in weight.flatten(1).norm(dim=1).argsort(descending=True).tolist()
    ]
    page.set(layer="relu")
    page.until(lambda: not deeper.is_visible())


# -- several images -------------------------------------------------------------------------------


def test_images_are_chosen_in_the_strip(open_maps):
    images = noise(4)
    page, view, maps = open_maps(images=images)
    assert view.images.count() == 4
    view.shows(painted(maps["conv"]))
    before = view.scores()
    view.images.nth(2).click()
    model = small_model()
    view.shows(painted(hooked(model, images[2])["conv"]))
    assert page.trait("image_index") == 2
    assert view.images.nth(2).get_attribute("aria-checked") == "true"
    assert view.scores() != before
    page.page.keyboard.press("ArrowRight")
    view.shows(painted(hooked(model, images[3])["conv"]))
    page.page.keyboard.press("ArrowRight")
    view.shows(painted(maps["conv"]))
    page.set(image_index=1)
    view.shows(painted(hooked(model, images[1])["conv"]))
    assert view.images.nth(1).get_attribute("aria-checked") == "true"


def test_compare_shows_a_channel_on_all_images_under_one_scale(open_maps):
    images = noise(3)
    page, view, _ = open_maps(images=images, channel=2)
    view.root.get_by_role("button", name="compare images").click()
    compare = view.root.locator("[data-role=compare]")
    page.until(lambda: compare.locator("canvas").count() == 6)
    model = small_model()
    all_maps = torch.stack([hooked(model, image)["conv"][2] for image in images])
    lo, hi = all_maps.min().item(), all_maps.max().item()
    note = compare.locator("p").inner_text()
    assert [float(n) for n in note.split(": ")[1].split(" to ")] == [
        significant(lo),
        significant(hi),
    ]
    # Each card: the picture, then the map; one pixel a cell.
    tiles = [card.locator("canvas").nth(1) for card in compare.get_by_role("button").all()]
    for tile, wanted in zip(tiles, painted(all_maps, scale="layer"), strict=True):
        assert np.array_equal(pixels(tile), wanted)
    compare.get_by_role("button").nth(1).click()
    page.until(lambda: page.trait("image_index") == 1)


def test_the_progress_of_a_comparison_goes_with_it(open_maps):
    """Also when it takes less time than the widget takes to call itself busy."""
    page, view, _ = open_maps(images=noise(3), channel=2)
    view.root.get_by_role("button", name="compare images").click()
    page.until(lambda: view.root.locator("[data-role=compare] canvas").count() == 6)
    view.wait("idle")
    assert view.root.locator(".nbc-foot").inner_text().find("3 of 3") < 0
    assert view.root.locator(".nbc-work").text_content() == ""


def test_another_image_keeps_the_comparison(open_maps):
    page, view, _ = open_maps(images=noise(3), channel=2)
    view.root.get_by_role("button", name="compare images").click()
    cards = view.root.locator("[data-role=compare] button")
    page.until(lambda: view.root.locator("[data-role=compare] canvas").count() == 6)
    cards.nth(1).click()
    page.until(lambda: cards.nth(1).get_attribute("aria-pressed") == "true")
    view.wait("idle")
    assert [ask["lane"] for ask in page.sent("ask")].count("compare") == 1
    assert view.root.locator("[data-role=compare] canvas").count() == 6


def test_one_image_alone_is_not_compared(open_maps):
    _, view, _ = open_maps(channel=2)
    assert view.root.get_by_role("button", name="compare images").count() == 0


def test_one_canvas_is_the_stage_in_every_view(open_maps):
    page, view, maps = open_maps(images=noise(3))
    stages = view.root.locator("canvas[data-role=stage]")

    def stage():
        assert stages.count() == 1
        assert stages.is_visible()
        return view.canvas()

    grid = view.shows(painted(maps["conv"]))
    page.set(channel=2)
    page.until(lambda: view.open_channel() == 2)
    page.until(lambda: len(find(stage(), painted(maps["conv"]))) == 0 and stage().any())
    assert view.stage.get_attribute("aria-label") == "feature map"
    view.root.get_by_role("button", name="compare images").click()
    assert stages.count() == 1
    page.until(lambda: view.root.locator("[data-role=compare] canvas").count() == 6)
    assert np.array_equal(stage().shape[:2], (64, 64))
    chosen = view.root.locator("[data-role=compare] button[aria-pressed=true]")
    assert chosen.locator("canvas[data-role=stage]").count() == 1
    page.set(image_index=2)
    page.until(lambda: chosen.get_attribute("data-image") == "2")
    assert chosen.locator("canvas[data-role=stage]").count() == 1
    stage()
    page.set(channel=None, image_index=0)
    page.until(lambda: view.open_channel() is None)
    assert view.shows(painted(maps["conv"])) == grid
    stage()


# -- what colours mean ----------------------------------------------------------------------------


def test_the_colour_bar_tells_what_the_colours_span(open_maps):
    page, view, maps = open_maps(images=noise(3))
    bar = view.root.locator("[data-role=colours]")

    def spans(lo, hi):
        said = f"colours: {lo:.3g} to {hi:.3g}"
        numbers = [float(word) for word in said.split()[1::2]]
        page.until(
            lambda: [float(w) for w in bar.get_attribute("aria-label").split()[1::2]] == numbers,
            said,
        )
        assert [float(word) for word in bar.inner_text().split()] == numbers

    assert bar.inner_text() == "each map's own range"
    conv = maps["conv"]
    most = conv.abs().max().item()
    view.choose("colours", "magma")
    view.choose("scale", "layer")
    spans(conv.min().item(), conv.max().item())
    view.choose("scale", "symmetric")
    spans(-most, most)
    view.choose("scale", "layer")
    view.choose("colours", "auto")
    spans(-most, most)
    view.slide("contrast", 100)
    spans(-most / 20, most / 20)
    view.slide("contrast", 0)
    # The first and the last colour of the table.
    strip = pixels(bar.locator("canvas"))
    table = colormaps.table("RdBu_r")
    assert np.array_equal(strip[0, [0, 255]], table[[0, 255], :3])
    # One map has one range.
    view.choose("scale", "map")
    view.choose("colours", "viridis")
    page.set(channel=3)
    spans(conv[3].min().item(), conv[3].max().item())
    view.root.get_by_role("button", name="compare images").click()
    model = small_model()
    every = torch.stack([hooked(model, image)["conv"][3] for image in noise(3)])
    spans(every.min().item(), every.max().item())
    page.set(channel=None)
    page.until(lambda: bar.inner_text() == "each map's own range")


def test_the_legend_tells_the_kinds_that_are_there(open_maps):
    def kill(model):
        model.conv.bias[2] = -1e6

    _, view, _ = open_maps(change=kill)
    legend = view.root.locator(".nbc-headline > .nbc-legend")
    assert legend.is_visible()
    assert legend.inner_text().split() == ["conv", "act", "pool", "linear", "dead"]


def test_about_shows_the_network_in_full(open_maps):
    page, view, _ = open_maps()
    view.root.get_by_role("button", name="about").click()
    told = view.root.get_by_label("The network in full")
    page.until(told.is_visible)
    assert told.inner_text() == page.trait("_about")["repr"]
    assert "input: 3 x" in told.inner_text()
    told.select_text()
    assert page.page.evaluate("() => String(getSelection())") == told.inner_text()


# -- no needless messages -------------------------------------------------------------------------


def test_looks_change_without_asking_the_kernel(open_maps):
    page, view, _ = open_maps(size=None)
    sent = len(page.sent())

    def changes(what):
        before = page.pixels(view.root)
        what()
        page.until(lambda: page.pixels(view.root) != before, "the picture changes")

    changes(lambda: view.choose("colours", "gray"))
    changes(lambda: view.choose("scale", "symmetric"))
    changes(lambda: view.slide("contrast", 60))
    changes(lambda: view.choose("sort", "max"))
    changes(lambda: view.slide("size", 40))
    changes(lambda: view.page.page.emulate_media(color_scheme="dark"))
    assert len(page.sent()) == sent


@pytest.mark.parametrize("sort", ["mean", "max", "variance", "sparsity"])
def test_sorted_maps_are_in_the_order_of_their_figures(open_maps, sort):
    _, view, maps = open_maps(layer="relu")
    relu = maps["relu"]
    view.choose("sort", sort)
    key = {
        "mean": relu.mean((1, 2)),
        "max": relu.amax((1, 2)),
        "variance": relu.var((1, 2), unbiased=False),
        "sparsity": (relu == 0).float().mean((1, 2)),
    }[sort]
    view.shows(painted(relu)[key.argsort(descending=True, stable=True)])


def test_thousands_of_channels_are_scrolled_and_come_when_they_are_seen(static_page):
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 3000, 1), torch.nn.ReLU())
    page = static_page.live(nv.FeatureMaps(model, torch.randn(3, 12, 12), layer="0"))
    view = MapsPage(page)
    assert view.grid.get_attribute("aria-rowcount") is not None
    view.grid.focus()
    page.page.keyboard.press("Control+End")
    page.until(lambda: page.sent("ask") and 2999 in page.sent("ask")[-1]["args"]["channels"])
    active = view.grid.locator("[role=gridcell][aria-selected=true]")
    assert active.get_attribute("data-channel") == "2999"
    maps = model[0](torch.zeros(1, 3, 12, 12)).detach()[0]  # for its shape alone
    assert len(maps) == 3000
    page.page.keyboard.press("Enter")
    page.until(lambda: view.open_channel() == 2999)
    assert page.page.evaluate("() => document.querySelectorAll('*').length") < 3000
    channels = [
        c for ask in page.sent("ask") if ask["lane"] == "more" for c in ask["args"]["channels"]
    ]
    assert len(channels) == len(set(channels)), "no map is asked for twice"


# -- errors, states, hosts ------------------------------------------------------------------------


def test_an_error_is_shown_in_words_and_the_next_answer_takes_it_away(open_maps):
    page, view, maps = open_maps()
    page.set(layer="nothing")
    view.wait("error")
    assert "nothing" in view.error.inner_text()
    page.set(layer="relu")
    view.wait("idle")
    view.shows(painted(maps["relu"]))
    assert view.error.count() == 0


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_light_and_dark(open_maps, scheme):
    page, view, maps = open_maps(page={"scheme": scheme})

    def ground():
        colour = view.root.evaluate("root => getComputedStyle(root).backgroundColor")
        return sum(int(n) for n in colour[4:-1].split(",")) / 3

    assert (ground() > 128) == (scheme == "light")
    view.shows(painted(maps["conv"]))  # maps have the same colours in both
    other = {"light": "dark", "dark": "light"}[scheme]
    page.set(theme=other)
    page.until(lambda: (ground() > 128) == (other == "light"))


@pytest.mark.parametrize("width", [480, 720, 1600])
def test_nothing_overflows(open_maps, width):
    page, view, _ = open_maps(images=noise(3), size=None, page={"size": (width, 900)})
    wide = "root => [root.scrollWidth, root.clientWidth, document.documentElement.scrollWidth]"

    def fits():
        inside, room, document = view.root.evaluate(wide)
        return inside <= room and document <= width

    assert fits()
    view.grid.focus()
    page.page.keyboard.press("Enter")
    page.until(lambda: view.open_channel() == 0)
    assert fits()
    view.root.get_by_role("button", name="compare images").click()
    assert fits()
    view.picker.click()
    assert fits()


def test_copy_as_python_gives_what_is_shown(open_maps):
    page, view, maps = open_maps(channel=1)
    view.root.get_by_role("button", name="Menu").click()
    view.root.get_by_role("menuitem", name="Copy as Python").click()
    code = view.root.get_by_label("Python code")
    page.until(code.is_visible)
    source = re.sub(r"(?m)^net = .*$|^image = .*$", "", code.inner_text())
    space = {"net": small_model(), "image": noise()[0]}
    exec(source, space)
    assert torch.equal(space["maps"], maps["conv"][1])
    page.page.keyboard.press("Escape")
    page.until(lambda: not code.is_visible())
