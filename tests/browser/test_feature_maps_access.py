"""FeatureMaps for everybody: the keyboard alone, screen readers, contrast, in light and dark."""

from __future__ import annotations

from pathlib import Path

import axe_playwright_python
import pytest
from maps_page import MapsPage, noise, small_widget

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")

# Contrast of all text that is seen, opacity included; where colours are mixed, axe is in doubt.
CONTRAST = """(root) => {
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const bytes = (colours, opacity = 1) => {
    ["#fff", ...colours].forEach((colour, i) => {
      context.globalAlpha = i === colours.length ? opacity : 1;
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
    });
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const part = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const found = [];
  for (const el of root.querySelectorAll("*")) {
    const own = [...el.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
    const texts = el.matches("input[type=text], select") ? [el.value] : own.map((n) => n.data);
    const box = el.getBoundingClientRect();
    const seen = el.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!texts.length || !seen || box.width < 2 || box.height < 2 || el.disabled) continue;
    const grounds = [];
    let opacity = 1;
    for (let at = el; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      grounds.unshift(style.backgroundColor);
      opacity *= Number(style.opacity);
    }
    const ground = bytes(grounds);
    const text = bytes([...grounds, getComputedStyle(el).color], opacity);
    const [a, b] = [luminance(ground), luminance(text)].sort((x, y) => y - x);
    found.push([Math.round(((a + 0.05) / (b + 0.05)) * 100) / 100, texts.join(" ").slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


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


def check(view):
    """No serious finding, no faint text."""
    result = view.root.evaluate("root => axe.run(root, { resultTypes: ['violations'] })")
    serious = [
        f"{found['id']}: {found['help']}: {node['html']}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
    assert not serious, "\n".join(serious)
    assert result["passes"], "axe looked at nothing"
    contrasts = view.root.evaluate(CONTRAST)
    assert len(contrasts) > 15, "the texts were not found"
    assert [each for each in contrasts if each[0] < 4.5] == []


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
    page.evaluate(
        """() => {
          for (const where of ["prepend", "append"]) {
            const button = document.createElement("button");
            button.textContent = button.id = where;
            document.body[where](button);
          }
        }"""
    )
    for first, key, last in (("prepend", "Tab", "append"), ("append", "Shift+Tab", "prepend")):
        page.locator(f"#{first}").focus()
        seen = []
        while page.evaluate("() => document.activeElement.id") != last:
            assert len(seen) < 40, seen
            keyboard.press(key)
            seen.append(page.evaluate("() => document.activeElement.outerHTML.slice(0, 60)"))
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
