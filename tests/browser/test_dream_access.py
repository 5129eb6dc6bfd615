"""DeepDream, StyleTransfer and Maximize for everybody: axe, contrast, the keyboard alone."""

from __future__ import annotations

import pytest
from access import AXE, check, tab_through
from dream_page import STEPS, DreamPage, FakeKernel

STEMS = ("deep_dream", "style_transfer", "maximize")


def fresh(view: DreamPage) -> None:
    """As it is at first."""


def running(view: DreamPage) -> None:
    view.button("Play").click()
    view.push(2, 2, 3)


def looked_at(view: DreamPage) -> None:
    running(view)
    view.range.focus()
    view.press("Home")
    if view.wipe.is_visible():
        view.wipe.fill("50")
    for summary in view.root.locator("summary").all():
        summary.click()
    thumbs = view.button("Show what each layer dreams")
    if thumbs.count():
        thumbs.click()
        view.page.until(view.root.get_by_role("radio").count)


def stopped(view: DreamPage) -> None:
    running(view)
    view.kernel.stopped = "step 8 gave values that are not finite"
    view.kernel.end = 8
    view.push(1)


def broken(view: DreamPage) -> None:
    view.kernel.broken["run"] = "lr=-1: give a number of at least 0"
    view.button("Play").click()
    view.root.get_by_role("alert").filter(has_text="lr=-1").wait_for()


@pytest.mark.parametrize("stem", STEMS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [480, 1200])
def test_axe_and_contrast(static_page, stem, width, scheme):
    for state in (fresh, looked_at, stopped, broken):
        kernel = FakeKernel(stem, guide=True)
        view = DreamPage(kernel.open(static_page, size=(width, 1100), scheme=scheme), kernel)
        state(view)
        view.page.page.evaluate(AXE)
        check(view)


@pytest.mark.parametrize("stem", STEMS)
def test_axe_without_a_kernel(static_page, stem):
    kernel = FakeKernel(stem)
    kernel.state, kernel.step, kernel.film = "paused", 20, list(range(2, 20, 2))
    view = DreamPage(kernel.open(static_page, saved=True), kernel)
    view.page.page.evaluate(AXE)
    found = view.page.page.evaluate("() => axe.run('.nbcnnviz')")
    assert found["violations"] == []


def tab_to(view: DreamPage, locator, key: str = "Tab") -> None:
    for _ in range(50):
        if locator.evaluate("el => el === el.getRootNode().activeElement"):
            return
        view.press(key)
    raise AssertionError(f"{locator} is out of reach")


def ring(view: DreamPage, selector: str = ":focus-visible") -> bool:
    """Whether it is seen where the keyboard is; for the film, around the film."""
    return bool(
        view.root.evaluate(
            """(root) => {
              const el = root.querySelector(":focus-visible");
              const shown = el.classList.contains("dr-range") ? el.parentElement : el;
              return getComputedStyle(shown).outlineStyle !== "none";
            }"""
        )
    )


def test_a_dream_by_keyboard_alone(static_page):
    kernel = FakeKernel("deep_dream", guide=True)
    view = DreamPage(kernel.open(static_page), kernel)
    page = view.page
    page.page.locator("body").click(position={"x": 2, "y": 2})
    # 1. Another layer.
    tab_to(view, view.root.get_by_role("slider", name="Layer of the network"))
    view.press("ArrowRight")
    assert page.trait("mix") == {"conv4": 1}
    # 2. Play on the picture.
    tab_to(view, view.stage)
    assert ring(view)
    view.press("Space")
    view.wait("running")
    view.push(2, 2, 2)
    # 3. Through the film, and back to the newest.
    view.press("ArrowLeft")
    view.shows(4)
    view.press("Escape")
    view.shows(6)
    # 4. The wipe.
    tab_to(view, view.wipe)
    view.press("Home")
    page.until(lambda: view.wipe.input_value() == "0")
    view.press("End")
    # 5. Pause, step, look at a frame.
    tab_to(view, view.button("Pause"))
    view.press("Enter")
    view.wait("paused")
    tab_to(view, view.button("Step"))
    view.press("Enter")
    view.push(1)
    view.wait("paused")
    tab_to(view, view.range)
    assert ring(view)
    view.press("ArrowLeft")
    view.shows(6)
    # 6. A weight, a layer more, a channel, a setting.
    tab_to(view, view.root.get_by_role("slider", name="weight of conv4"))
    view.press("ArrowLeft")
    assert page.trait("mix")["conv4"] == pytest.approx(0.95)
    tab_to(view, view.root.get_by_label("add to mix"))
    view.press("c")
    page.until(lambda: len(page.trait("mix")) == 2)
    tab_to(view, view.root.get_by_role("spinbutton", name="channel"))
    view.press("5", "Enter")
    assert page.trait("channel") == 5
    tab_to(view, view.root.get_by_role("slider", name="strength", exact=True))
    view.press("ArrowRight")
    assert page.trait("lr") > 0.01
    # 7. What each layer dreams.
    tab_to(view, view.button("Show what each layer dreams"))
    view.press("Enter")
    radios = view.root.get_by_role("radio")
    page.until(radios.count)
    page.until(lambda: view.root.locator("[role=radio]:focus").count() == 1)
    view.press("ArrowRight")
    page.until(lambda: view.root.locator("[role=radio]:focus[aria-checked=true]").count() == 1)


@pytest.mark.parametrize("stem", STEMS)
def test_the_keyboard_is_never_trapped(static_page, stem):
    kernel = FakeKernel(stem)
    kernel.state, kernel.step, kernel.film = "done", STEPS, list(range(4, STEPS, 4))
    view = DreamPage(kernel.open(static_page), kernel)
    page = view.page.page
    passed = tab_through(page, 45)
    assert len(passed) > 12
