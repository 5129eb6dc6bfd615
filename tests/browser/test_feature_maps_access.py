"""FeatureMaps for everybody: the keyboard alone, screen readers, contrast, in light and dark."""

from __future__ import annotations

import pytest
from access import AXE, CONTRAST, check, tab_through
from maps_page import MapsPage, noise, small_widget


def broken(model):
    """Marks of all kinds are on the page: dead channels, and an error of the kernel."""
    model.conv.bias[2] = -1e6


@pytest.fixture
def view(static_page):
    widget, _ = small_widget(images=noise(3), change=broken, layer="relu")
    return MapsPage(static_page.live(widget))


def open_picker(view):
    view.picker.click()
    view.page.until(view.options.count)


def open_detail(view):
    view.page.set(channel=1)
    view.page.until(lambda: view.open_channel() == 1)


def open_kernels(view):
    view.page.set(layer="conv", channel=1)
    view.page.until(view.root.get_by_role("group", name="weights 3 x 3 x 3").is_visible)


def open_compare(view):
    open_detail(view)
    view.root.get_by_role("button", name="compare images").click()
    view.page.until(lambda: view.root.locator("[data-role=compare] canvas").count() == 6)


def open_menu(view):
    view.root.get_by_role("button", name="Menu").click()


def open_about(view):
    view.root.get_by_role("button", name="about").click()
    view.page.until(view.root.get_by_role("heading", name="About").is_visible)


def show_error(view):
    view.page.set(layer="nothing")
    view.wait("error")


def hover_dead(view):
    view.choose("sort", "sparsity")
    view.point(20, 20)
    view.page.until(view.hovered)


PARTS = [
    lambda view: None,
    open_detail,
    open_kernels,
    open_picker,
    open_compare,
    open_menu,
    open_about,
    show_error,
    hover_dead,
]
NAMES = ["grid", *(part.__name__.removeprefix("open_") for part in PARTS[1:])]


@pytest.mark.parametrize("part", PARTS, ids=NAMES)
def test_axe_and_contrast(view, part):
    part(view)
    view.page.page.evaluate(AXE)
    for scheme in ("light", "dark"):
        view.page.page.emulate_media(color_scheme=scheme)
        view.page.until(lambda s=scheme: view.root.get_attribute("data-theme") == s)
        check(view)


def test_axe_and_contrast_would_be_noticed(view):
    view.root.evaluate(
        """root => {
          const button = document.createElement("button");
          const faint = document.createElement("p");
          faint.textContent = "faint";
          faint.style.color = "color-mix(in srgb, gray 60%, var(--nbc-bg))";
          root.append(button, faint);
        }"""
    )
    view.page.page.evaluate(AXE)
    with pytest.raises(AssertionError, match="button-name"):
        check(view)
    assert view.root.evaluate(CONTRAST)[0][1] == "faint"


# -- the keyboard alone ---------------------------------------------------------------------------


class Keyboard:
    """Hands that know no mouse."""

    def __init__(self, view):
        self.view, self.page = view, view.page.page

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def tab_to(self, locator, key="Tab"):
        """Go on until the part has the focus; a trap or a part out of reach fails."""
        for _ in range(40):
            if locator.evaluate("el => el === document.activeElement"):
                outline = locator.evaluate("el => getComputedStyle(el).outlineStyle")
                assert outline != "none" or locator.evaluate("el => el.matches('[role=grid]')")
                return
            self.press(key)
        raise AssertionError(f"{locator} is out of reach")


@pytest.fixture
def keyboard(static_page):
    widget, _ = small_widget(images=noise(3), change=broken)
    return Keyboard(MapsPage(static_page.live(widget)))


def test_six_tasks_by_keyboard(keyboard):
    view, page = keyboard.view, keyboard.view.page
    root = view.root
    # 1. Another layer, by the ribbon.
    keyboard.tab_to(view.ribbon)
    keyboard.press("ArrowRight")
    page.until(lambda: view.layer() == "relu")
    # 2. And one by its name.
    keyboard.tab_to(view.picker)
    keyboard.page.keyboard.type("deep")
    keyboard.press("Enter")
    page.until(lambda: view.layer() == "deep")
    keyboard.tab_to(view.ribbon, "Shift+Tab")
    keyboard.press("ArrowLeft", "ArrowLeft")
    page.until(lambda: view.layer() == "relu")
    # 3. Another image.
    keyboard.tab_to(view.images.nth(0))
    keyboard.press("ArrowRight")
    page.until(lambda: page.trait("image_index") == 1)
    # 4. The dead ones away, the largest first.
    keyboard.tab_to(root.get_by_role("combobox", name="sort"))
    keyboard.press("ArrowDown", "ArrowDown")
    page.until(lambda: page.trait("sort") == "max")
    keyboard.tab_to(root.get_by_role("checkbox", name="hide dead"))
    keyboard.press("Space")
    page.until(lambda: page.trait("hide_dead") is True)
    # 5. A map large, a cell of it, and what it is on the other images.
    keyboard.tab_to(view.grid)
    keyboard.press("ArrowRight", "Enter")
    page.until(lambda: view.open_channel() is not None)
    keyboard.press("Shift+ArrowRight", "Shift+ArrowDown")
    page.until(lambda: (view.hovered() or [0])[1:3] == (33, 33))
    keyboard.tab_to(root.get_by_role("button", name="compare images"), "Shift+Tab")
    keyboard.press("Enter")
    page.until(lambda: root.locator("[data-role=compare] canvas").count() == 6)
    keyboard.press("Escape")
    page.until(lambda: view.open_channel() is None)
    # 6. The code that does the same.
    keyboard.tab_to(root.get_by_role("button", name="Menu"), "Shift+Tab")
    keyboard.press("Enter")
    assert root.get_by_role("menuitem").first.evaluate("el => el === document.activeElement")
    keyboard.press("Enter")
    code = root.get_by_label("Python code")
    page.until(code.is_visible)
    assert "'relu'" in code.inner_text()
    keyboard.press("Escape")
    page.until(lambda: not code.is_visible())


def test_the_keyboard_is_never_trapped(keyboard):
    """Tab goes through the widget and out of it; what is passed is named."""
    page = keyboard.page
    seen = tab_through(page, 40)
    assert len(seen) > 10
    # One stop for all maps and one for all images, however many there are.
    assert len(seen) < 20


def test_a_grid_as_screen_readers_know_it(keyboard):
    view = keyboard.view
    keyboard.tab_to(view.grid)
    for key, channel in (("End", 5), ("Home", 0), ("ArrowRight", 1), ("Control+End", 5)):
        keyboard.press(key)
        cell = view.grid.get_by_role("gridcell", selected=True)
        assert cell.get_attribute("data-channel") == str(channel)
        assert view.grid.get_attribute("aria-activedescendant") == cell.get_attribute("id")
        name = cell.get_attribute("aria-label") or ""
        assert name.startswith(f"conv, channel {channel}, mean ")
        assert name.rstrip() in view.said() or f"channel {channel}" in view.said()
    assert view.grid.get_attribute("aria-colcount") == "6"


def test_the_hosts_shortcuts_are_kept_off(keyboard):
    """JupyterLab deletes a cell on "d d" and moves on at an arrow: not while the keys are ours."""
    for element in (keyboard.view.ribbon, keyboard.view.grid, keyboard.view.root):
        element.focus()
        assert element.get_attribute("data-lm-suppress-shortcuts") == "true"
