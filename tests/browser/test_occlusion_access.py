"""Occlusion for everybody: axe and contrast, in both themes, narrow and wide, in every state."""

from __future__ import annotations

import pytest
from access import AXE, check, tab_through
from occlusion_page import ESPRESSO, FakeKernel, OcclusionPage


def at_rest(view: OcclusionPage) -> None:
    """Nothing painted, no sweep."""


def flipped(view: OcclusionPage) -> None:
    view.tool("rectangle")
    view.drag((0.5, 0.5), (40.5, 47.5))
    view.page.until(lambda: "was espresso" in view.verdict.inner_text())


def classes(view: OcclusionPage) -> None:
    view.button("Run").click()
    view.choose("show", "class")
    view.page.until(lambda: view.legend.count() == 2)
    view.map.focus()
    view.press("ArrowRight")


def busy(view: OcclusionPage) -> None:
    view.kernel.held.add("sweep")
    view.button("Run").click()
    view.wait("busy")


def stopped(view: OcclusionPage) -> None:
    busy(view)
    view.root.locator(".oc-run").get_by_role("button", name="Stop").click()
    view.page.until(lambda: "incomplete" in view.caption.inner_text())


def broken(view: OcclusionPage) -> None:
    view.kernel.broken["scores"] = "The network is gone."
    view.drag((10, 10), (30, 10))
    view.wait("error")


def offline(view: OcclusionPage) -> None:
    view.page.page.evaluate(
        "() => document.getElementById('here').classList.add('jupyter-widgets-disconnected')"
    )
    view.wait("offline")
    view.drag((10, 10), (30, 10))
    view.page.until(lambda: "not computed" in view.verdict.inner_text())


def keys(view: OcclusionPage) -> None:
    view.button("Mouse and keyboard").click()


STATES = [at_rest, flipped, classes, busy, stopped, broken, offline, keys]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [480, 1200])
@pytest.mark.parametrize("state", STATES, ids=lambda state: state.__name__)
def test_axe_and_contrast(static_page, state, width, scheme):
    kernel = FakeKernel()
    page = kernel.open(static_page, size=(width, 1100), scheme=scheme)
    view = OcclusionPage(page, kernel)
    assert kernel.target == ESPRESSO
    state(view)
    page.page.evaluate(AXE)
    check(view)


def test_the_keyboard_is_never_trapped(static_page):
    """Tab goes through the widget and out of it, and what is passed has a name and a sign."""
    kernel = FakeKernel()
    kernel.swept = True
    view = OcclusionPage(kernel.open(static_page), kernel)
    page = view.page.page
    passed = tab_through(page, 60)
    assert len(passed) > 20
    # One stop for all tools.
    assert sum('type="radio"' in html for html in passed) == 1
    view.stage.focus()
    for element in (view.stage, view.map, view.root.locator(".oc-row").first):
        element.focus()
        view.press("Shift")
        assert element.evaluate("el => getComputedStyle(el).outlineStyle") == "solid"
