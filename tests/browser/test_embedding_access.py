"""Embedding for everybody: axe and contrast in both themes, narrow and wide; the keyboard alone."""

from __future__ import annotations

import numpy as np
import pytest
from access import AXE, check, tab_through, tab_to
from embedding_page import COUNT, EmbeddingPage, FakeKernel, digit_pictures, made_up

from nbcnnviz.widgets._embedding_record import lapse_blob

DRAWN = [(0.25, 0.15), (0.8, 0.3), (0.55, 0.85), (0.3, 0.7)]


def at_rest(view: EmbeddingPage) -> None:
    """As it is at first."""


def hovered(view: EmbeddingPage) -> None:
    view.hover(40)
    view.page.until(view.card.is_visible)


def pinned(view: EmbeddingPage) -> None:
    view.page.page.mouse.click(*view.place(view.map(), 40))
    view.card.locator(".em-near button").first.wait_for()


def selected(view: EmbeddingPage) -> None:
    view.lasso(DRAWN)
    view.button("Mean feature maps").click()
    view.root.locator(".em-maps figure").first.wait_for()


def hidden(view: EmbeddingPage) -> None:
    view.legend.locator("button[data-value='3']").click()


def running(view: EmbeddingPage) -> None:
    view.kernel.held = {"embed"}
    view.choose("method", "tsne")
    rng = np.random.default_rng(0)
    for step in range(1, 4):
        xy = rng.normal(size=(COUNT, 2))
        meta = {"iteration": 20 * step, "total": 750, "kl": 3 / step, "complete": False}
        view.send("embed", made_up(xy, run=7, **meta))
    view.until_data(iteration=60)
    view.button("Stop").wait_for()


def failed(view: EmbeddingPage) -> None:
    view.kernel.broken = {"embed": "umap-learn is not installed"}
    view.choose("method", "umap")
    view.wait("error")


def by_numbers(view: EmbeddingPage) -> None:
    view.choose("colour by", "confidence")


def searched(view: EmbeddingPage) -> None:
    view.root.get_by_role("searchbox", name="find").fill("7")
    found = view.root.locator("[data-role=found]")
    view.page.until(lambda: "points" in found.inner_text())


def lapsed(view: EmbeddingPage) -> None:
    maps = [view.map(), view.map()[::-1]]
    view.kernel.given["lapse"] = lapse_blob(["conv1", "gap"], "pca", maps, True)
    view.button("Time-lapse").click()
    view.root.get_by_role("slider", name="layer of the time-lapse").fill("1")


STATES = [
    *(at_rest, hovered, pinned, selected, hidden, running, failed, by_numbers, searched, lapsed),
]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [480, 1200])
def test_axe_and_contrast(static_page, width, scheme):
    for state in STATES:
        kernel = FakeKernel()
        page = kernel.open(static_page, size=(width, 1100), scheme=scheme)
        view = EmbeddingPage(page, kernel)
        state(view)
        page.page.evaluate(AXE)
        check(view)
        assert page.page.evaluate("() => document.documentElement.scrollWidth") <= width, state


def test_all_of_it_by_keyboard(static_page):
    kernel = FakeKernel()
    view = EmbeddingPage(kernel.open(static_page), kernel)
    page = view.page
    _, labels = digit_pictures()
    page.page.locator("body").click(position={"x": 2, "y": 2})
    # 1. Another layer.
    tab_to(view, view.root.get_by_role("slider", name="Layer of the network"))
    view.press("ArrowLeft")
    view.until_asked("embed", layer="pool2")
    view.wait("idle")
    # 2. From point to point; what is there is said.
    tab_to(view, view.top)
    spoken = view.root.locator("[data-role=spoken]")
    assert spoken.get_attribute("aria-live") == "polite"
    view.press("]")
    page.until(lambda: view.card.get_attribute("data-index") == "0")
    assert f"point 0, label {labels[0]}" in spoken.text_content()
    view.press("]", "]", "[")
    page.until(lambda: view.card.get_attribute("data-index") == "1")
    # 3. Pinned, those like it selected, both let go.
    view.press("Enter", "s")
    view.until_data(selected=labels.count(labels[1]))
    assert view.card.get_attribute("data-pinned") is not None
    view.press("Escape")
    page.until(lambda: not view.card.is_visible())
    view.until_data(selected=labels.count(labels[1]))
    view.press("Escape")
    view.until_data(selected=0)
    # 4. Moved and zoomed.
    before = view.pixels()
    view.press("+", "+", "ArrowRight", "ArrowUp")
    page.until(lambda: not np.array_equal(view.pixels(), before), "nearer")
    view.press("0")
    page.until(lambda: np.abs(view.pixels() - before).mean() < 0.5, "all of it")
    # 5. Shown alone, and selected.
    only = view.legend.get_by_role("button", name="only 4")
    tab_to(view, only)
    assert only.evaluate("el => getComputedStyle(el.parentElement).opacity") == "1"
    view.press("Enter")
    assert view.legend.locator("[aria-pressed=true]").count() == 1
    view.press("Enter", "Tab", "Enter")
    view.until_data(selected=labels.count(4))
    # 6. Search.
    tab_to(view, view.root.get_by_role("searchbox", name="find"), "Shift+Tab")
    page.page.keyboard.type("9")
    found = view.root.locator("[data-role=found]")
    page.until(lambda: "points" in found.inner_text())
    hits = int(found.inner_text().split()[0])
    assert hits != labels.count(4)
    view.press("Enter")
    view.until_data(selected=hits)
    # 7. The code that does the same.
    tab_to(view, view.button("Menu"), "Shift+Tab")
    view.press("Enter", "Enter")
    code = view.root.get_by_label("Python code")
    page.until(code.is_visible)
    assert "extract(net, images, 'pool2')" in code.inner_text()


def test_the_host_gets_the_keys_that_are_not_ours(static_page):
    kernel = FakeKernel()
    view = EmbeddingPage(kernel.open(static_page), kernel)
    view.page.page.evaluate(
        "() => { window.keys = []; document.addEventListener('keydown',"
        " (event) => window.keys.push(event.key)); }"
    )
    view.top.focus()
    view.press("ArrowLeft", "+", "]", "Escape", "b", "Escape")
    # The first Escape lets go of a point; the second has nothing to do.
    assert view.page.page.evaluate("() => window.keys") == ["b", "Escape"]


def test_the_keyboard_is_never_trapped(static_page):
    kernel = FakeKernel()
    view = EmbeddingPage(kernel.open(static_page), kernel)
    page = view.page.page
    passed = tab_through(page, 80)
    assert len(passed) > 30


def test_less_motion(static_page):
    kernel = FakeKernel()
    view = EmbeddingPage(kernel.open(static_page), kernel)
    view.page.page.emulate_media(reduced_motion="reduce")
    xy = view.map()
    view.send("embed", made_up(xy[::-1], run=80, method="pca"))
    view.page.page.wait_for_timeout(250)
    first = view.pixels()
    view.page.page.wait_for_timeout(900)
    assert np.array_equal(view.pixels(), first), "they do not fly"
