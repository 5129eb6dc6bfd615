"""Pooling for everybody: axe and contrast in both themes, narrow and wide; the keyboard alone."""

from __future__ import annotations

import pytest
from access import AXE, check, tab_through, tab_to
from pooling_page import PoolingPage, rigid

import nbcnnviz as nv


def digits(layer: str = "pool1") -> nv.Pooling:
    return nv.Pooling(nv.Network.digits(), nv.sample_image("digit"), layer)


def at_rest(view: PoolingPage) -> None:
    """As it is at first."""


def lit(view: PoolingPage) -> None:
    view.hover("after", 3, 3)


def illegal(view: PoolingPage) -> None:
    view.slide("padding", 5)


def stack(view: PoolingPage) -> None:
    view.button("all maps").click()
    view.wait("idle")


def vector(view: PoolingPage) -> None:
    view.page.set(layer="gap", op="global_avg", window=8, stride=8)
    view.button("vector").click()
    view.page.until(view.root.locator(".po-part").count)


def flipped(view: PoolingPage) -> None:
    view.page.set(op="avg", window=8, stride=4)
    view.button("Push through the network").click()
    view.page.until(lambda: "was 3" in view.verdict.inner_text())


def moved(view: PoolingPage) -> None:
    view.slide("right", 3)
    view.page.until(lambda: "0.000" not in view.root.locator("[data-role=shift]").inner_text())


STATES = [at_rest, lit, illegal, stack, vector, flipped, moved]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [480, 1200])
def test_axe_and_contrast(static_page, width, scheme):
    for state in STATES:
        page = static_page.live(digits(), size=(width, 1100), scheme=scheme)
        view = PoolingPage(page)
        state(view)
        page.page.evaluate(AXE)
        check(view)


def test_refusals_can_be_read(static_page):
    net, image = rigid()
    view = PoolingPage(static_page.live(nv.Pooling(net, image), size=(480, 1100)))
    view.slide("stride", 3)
    view.button("Push through the network").click()
    view.page.until(lambda: "does not fit" in view.verdict.inner_text())
    view.button("vector").click()
    view.page.page.evaluate(AXE)
    check(view)
    assert view.page.page.evaluate("() => document.documentElement.scrollWidth") <= 480


def test_all_of_it_by_keyboard(static_page):
    view = PoolingPage(static_page.live(digits()))
    page = view.page
    view.page.page.locator("body").click(position={"x": 2, "y": 2})
    # 1. Settings.
    tab_to(view, view.slider("window"))
    view.press("ArrowRight")
    page.until(lambda: page.trait("window") == 3)
    # 2. Another channel.
    tab_to(view, view.slider("channel"))
    view.press("ArrowRight", "ArrowRight")
    page.until(lambda: page.trait("channel") == 2)
    view.wait("idle")
    # 3. From value to value; what is lit is said.
    tab_to(view, view.stage)
    view.press("ArrowRight")
    page.until(lambda: view.lit().get("cell") == (0, 0))
    view.press("ArrowDown", "ArrowDown", "ArrowRight")
    page.until(lambda: view.lit().get("cell") == (2, 1))
    assert view.words.get_attribute("aria-live") == "polite"
    assert "output (2, 1)" in view.words.inner_text()
    view.press("End")
    page.until(lambda: view.lit().get("cell") == (14, 14))
    view.press("Home")
    page.until(lambda: view.lit().get("cell") == (0, 0))
    # 4. Play and stop; all values again.
    view.press("Space")
    page.until(lambda: view.button("Play").get_attribute("aria-pressed") == "true")
    page.until(lambda: view.lit().get("cell", (0, 0)) > (0, 2))
    assert view.words.get_attribute("aria-live") == "off"
    view.press("Space")
    page.until(lambda: view.button("Play").get_attribute("aria-pressed") == "false")
    view.press("Escape")
    page.until(lambda: view.lit() == {})
    # 5. All maps, and one of them large.
    tab_to(view, view.button("all maps"), "Shift+Tab")
    view.press("Enter")
    tab_to(view, view.stage)
    view.press("ArrowRight")
    page.until(lambda: page.trait("channel") == 3)
    assert view.stage.get_attribute("data-channel") == "3"
    view.press("Enter")
    page.until(lambda: view.button("one channel").get_attribute("aria-pressed") == "true")
    # 6. Through the network.
    tab_to(view, view.button("Push through the network"))
    view.press("Enter")
    page.until(lambda: "→" in view.verdict.inner_text())
    tab_to(view, view.slider("right"))
    view.press("ArrowRight")
    page.until(lambda: "0.000" not in view.root.locator("[data-role=shift]").inner_text())
    # 7. The code that does the same.
    tab_to(view, view.button("Menu"), "Shift+Tab")
    view.press("Enter", "Enter")
    code = view.root.get_by_label("Python code")
    page.until(code.is_visible)
    assert "window=3" in code.inner_text()


def test_the_keyboard_is_never_trapped(static_page):
    view = PoolingPage(static_page.live(digits()))
    page = view.page.page
    passed = tab_through(page, 40)
    assert len(passed) > 15


def test_less_motion(static_page):
    view = PoolingPage(static_page.live(digits()))
    view.page.page.emulate_media(reduced_motion="reduce")
    view.slide("speed", 9)
    view.button("Play").click()
    view.page.page.wait_for_timeout(1200)
    y, x = view.lit()["cell"]
    assert 0 < 16 * y + x < 8, "two steps a second, whatever speed was chosen"
