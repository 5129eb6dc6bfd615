"""A saved page of FeatureMaps is whole: every channel, every image, and comparing them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from maps_page import (
    MapsPage,
    find,
    hooked,
    noise,
    painted,
    pixels,
    small_model,
    small_widget,
)
from torch import nn

import nbcnnviz as nv


@pytest.fixture
def saved(static_page, tmp_path):
    def open_(widget, **options):
        page = static_page.file(widget.save_html(tmp_path / "maps.html", **options))
        return page, MapsPage(page)

    return open_


def test_every_image_is_shown_with_its_maps_and_predictions(saved):
    images = noise(3)
    widget, maps = small_widget(images=images)
    page, view = saved(widget)
    view.slide("size", 64)
    model, scores = small_model(), []
    for index in (1, 2, 0):
        view.images.nth(index).click()
        view.shows(painted(hooked(model, images[index])["conv"]))
        best = widget._inputs.predictions[index][0]
        row = view.scores()[best.index]
        assert row.split("\n") == [best.label, f"{best.probability:.3f}"]
        scores.append(view.scores())
    assert scores[0] != scores[1] != scores[2]
    # Pointing at another image's maps: what the bytes know, without a word about it.
    view.images.nth(1).click()
    places = view.shows(painted(hooked(model, images[1])["conv"]))
    view.point(places[2][0] + 20, places[2][1] + 20)
    page.until(view.hovered)
    page.page.wait_for_timeout(200)
    assert view.hovered()[:3] == (2, 20, 20)
    assert view.state() == "idle"
    view.images.nth(0).click()
    view.shows(painted(maps["conv"]))


def test_the_images_are_compared(saved):
    images = noise(3)
    widget, _ = small_widget(images=images, channel=2)
    page, view = saved(widget)
    view.root.get_by_role("button", name="compare images").click()
    cards = view.root.locator("[data-role=compare] button")
    model = small_model()
    for channel in (2, 3):
        page.until(lambda c=channel: view.open_channel() == c)
        every = torch.stack([hooked(model, image)["conv"][channel] for image in images])
        wanted = painted(every, scale="layer")
        page.until(lambda: "one scale" in view.root.locator("[data-role=compare] p").inner_text())
        page.until(lambda w=wanted: all(seen(c, w[i]) for i, c in enumerate(cards.all())))
        view.root.get_by_role("button", name="next channel").click()
    view.pick("relu")
    note = view.root.locator("[data-role=note]")
    page.until(lambda: "not saved in this file" in note.inner_text())


def seen(card, tile):
    canvases = card.locator("canvas")
    return canvases.count() == 2 and np.array_equal(pixels(canvases.nth(1)), tile)


@pytest.mark.parametrize("count", [300, 2000])
def test_all_channels_are_there(saved, count):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, count, 3, padding=1), nn.ReLU())
    widget = nv.FeatureMaps(nv.Network(model), torch.randn(3, 32, 32), layer="0")
    page, view = saved(widget)
    view.slide("size", 32)
    view.grid.focus()
    page.page.keyboard.press("Control+End")
    last = widget.maps[-20:]
    # Tiles of 32 x 32, of which the number hides the lower half.
    page.until(lambda: len(find(view.canvas(), painted(last))) == 20, "the last maps are painted")
    page.page.keyboard.press("Enter")
    page.until(lambda: view.open_channel() == count - 1)
    page.until(lambda: view.canvas().any())
    assert view.error.count() == 0
    assert "not saved" not in view.root.inner_text()


def test_all_layers_are_there(saved):
    widget, maps = small_widget()
    page, view = saved(widget, layers="all")
    view.slide("size", 64)
    for layer in ("relu", "deep", "pool", "conv"):
        view.pick(layer)
        page.until(lambda name=layer: view.layer() == name and view.state() == "idle")
        if layer in ("relu", "conv"):
            view.shows(painted(maps[layer]))
        assert view.root.locator("[data-role=note]").is_hidden()
    view.root.get_by_role("button", name="Menu").click()
    view.root.get_by_role("menuitem", name="Copy as Python").click()
    page.until(lambda: "'conv'" in view.root.get_by_label("Python code").inner_text())
