"""Occlusion on a page without Jupyter: with a kernel that can be held, broken and looked into."""

from __future__ import annotations

import numpy as np
import pytest
from occlusion_page import (
    CUP,
    ESPRESSO,
    HEIGHT,
    WIDTH,
    WINDOW,
    FakeKernel,
    OcclusionPage,
    boxed,
    capsule,
    mask_blob,
    sweep_scores,
)

import nbcnnviz as nv

SIZE = 7
"""Of the brush at first: a seventh of the shorter side."""
OFF = 45
"""Levels by which an edge may differ: the mouse stands on whole pixels of the screen."""


@pytest.fixture
def kernel():
    return FakeKernel()


@pytest.fixture
def view(static_page, kernel):
    return OcclusionPage(kernel.open(static_page), kernel)


def until_close(view: OcclusionPage, wanted: np.ndarray) -> None:
    """Wait until the newest mask that came over the wire is this one."""

    def there() -> bool:
        masks = view.kernel.masks
        return bool(masks) and int(np.abs(masks[-1].astype(int) - wanted).max()) <= OFF

    view.page.until(there, "the kernel has this mask")


# -- painting -------------------------------------------------------------------------------------


def test_what_is_painted_is_seen_without_the_kernel(view, kernel):
    kernel.held.add("scores")
    path = [(12, 14), (40, 30), (52, 12)]
    view.drag(*path, up=False)
    view.shows(capsule(*path, size=SIZE))
    view.page.page.mouse.up()
    view.shows(capsule(*path, size=SIZE))
    # Nothing was answered, so one question is out (asked again after a while); the newest waits.
    assert {ask["seq"] for ask in view.page.sent("ask")} == {1}


def test_scores_are_asked_with_the_crop_of_what_is_hidden(view, kernel):
    path = [(12, 14), (40, 30), (52, 12)]
    view.drag(*path, up=False)
    question = view.until_asked(done=False)
    assert question["fill"] == "mean"
    view.page.page.mouse.up()
    question = view.until_asked()
    until_close(view, capsule(*path, size=SIZE))
    top, left, height, width = question["box"]
    inside = kernel.masks[-1][top : top + height, left : left + width]
    for edge in (inside[0], inside[-1], inside[:, 0], inside[:, -1]):
        assert edge.any(), "the crop is as small as it can be"
    view.page.until(lambda: "% of the picture hidden" in view.verdict.inner_text())
    assert "espresso" in view.verdict.inner_text()
    assert [each["done"] for each in kernel.asked].count(True) == 1


def test_the_last_state_is_always_asked_for(view, kernel):
    """A kernel that is slow gets the newest mask and the end of each stroke, never a queue."""
    for x in range(8, 56, 6):
        view.drag((x, 10), (x + 4, 40))
    view.until_asked()
    strokes = [capsule((x, 10), (x + 4, 40), size=SIZE) for x in range(8, 56, 6)]
    until_close(view, np.max(strokes, 0))
    seqs = [ask["seq"] for ask in view.page.sent("ask") if ask["lane"] == "scores"]
    assert seqs == sorted(set(seqs)), "no question is sent twice"


@pytest.mark.parametrize("hardness", [100, 40, 0])
def test_a_soft_brush(view, kernel, hardness):
    view.slide("size", 20)
    view.slide("hardness", hardness)
    view.drag((20, 20), (44, 28))
    view.until_asked()
    until_close(view, capsule((20, 20), (44, 28), size=20, hardness=hardness / 100))
    assert (kernel.masks[-1] > 0).sum() > (kernel.masks[-1] == 255).sum()


def test_rectangle_stamp_and_eraser(view, kernel):
    view.tool("rectangle")
    # Backwards, and beyond the edge of the picture.
    view.drag((30.5, 20.5), (10.5, 33.5), (-6, 8.5))
    view.until_asked()
    wanted = boxed(8, 0, 21, 31)
    until_close(view, wanted)
    view.shows(wanted)

    view.tool("stamp")
    view.drag((50.5, 12.5), (50.5, 30.5), up=False)
    view.until_asked(done=False)
    # The patch follows the mouse: where it was the picture is seen again.
    wanted = np.maximum(wanted, boxed(23, 43, 39, 59))
    view.shows(wanted)
    view.page.page.mouse.up()
    view.until_asked()
    until_close(view, wanted)
    assert view.page.trait("window") == WINDOW[0]

    view.tool("eraser")
    view.drag((20, 15), (50, 30))
    view.until_asked()
    until_close(view, np.minimum(wanted, 255 - capsule((20, 15), (50, 30), size=SIZE)))


def test_undo_redo_invert_clear(view, kernel):
    assert view.button("undo").is_disabled()
    first, second = [(10, 10), (30, 10)], [(40, 20), (40, 40)]
    view.drag(*first)
    view.drag(*second)
    both = np.maximum(capsule(*first, size=SIZE), capsule(*second, size=SIZE))
    view.shows(both)
    view.button("undo").click()
    view.shows(capsule(*first, size=SIZE))
    until_close(view, capsule(*first, size=SIZE))
    view.button("undo").click()
    view.shows(np.zeros((HEIGHT, WIDTH), np.uint8))
    view.page.until(lambda: not kernel.masks[-1].any(), "an empty mask is asked for too")
    assert kernel.asked[-1]["box"] == [0, 0, 1, 1]
    assert "nothing hidden" in view.verdict.inner_text()
    assert view.button("undo").is_disabled()
    view.button("redo").click()
    view.button("redo").click()
    view.shows(both)
    assert view.button("redo").is_disabled()
    view.button("invert").click()
    view.page.until(lambda: kernel.masks[-1].mean() > 128)
    until_close(view, 255 - both)
    view.button("clear").click()
    view.page.until(lambda: not kernel.masks[-1].any())
    view.press("Control+z", "Control+z")
    view.shows(both)
    view.press("Control+Shift+z")
    view.shows(255 - both)


def test_a_finger_and_a_pen(view, kernel):
    """Touch does not scroll the page away; a pen that is pressed less paints finer."""
    assert view.stage.evaluate("el => getComputedStyle(el).touchAction") == "none"
    session = view.page.page.context.new_cdp_session(view.page.page)

    def touch(kind, *point):
        points = [{"x": view.at(*point)[0], "y": view.at(*point)[1]}] if point else []
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 10, 20)
    touch("touchMove", 30, 24)
    touch("touchMove", 50, 20)
    touch("touchEnd")
    view.until_asked()
    path = [(10, 20), (30, 24), (50, 20)]
    off = np.abs(kernel.masks[-1].astype(int) - capsule(*path, size=SIZE))
    assert (off > OFF).mean() < 0.02
    view.button("clear").click()
    view.slide("size", 20)
    places = [view.at(20, 24), view.at(44, 24)]
    for kind, place, force in zip(
        ("mousePressed", "mouseMoved", "mouseReleased"),
        [places[0], places[1], places[1]],
        (0.2, 0.2, 0),
        strict=True,
    ):
        event = {"x": place[0], "y": place[1], "button": "left", "buttons": 1, "clickCount": 1}
        event |= {"type": kind, "pointerType": "pen", "force": force}
        session.send("Input.dispatchMouseEvent", event)
    view.page.until(lambda: kernel.masks[-1].any() and kernel.asked[-1]["done"])
    rows = (kernel.masks[-1] > 127).any(1).sum()
    assert 5 <= rows <= 10, "20 pixels at full pressure, less at a fifth of it"


def test_other_buttons_and_a_lost_pointer(view, kernel):
    mouse = view.page.page.mouse
    mouse.move(*view.at(20, 20))
    mouse.down(button="right")
    mouse.move(*view.at(30, 20))
    mouse.up(button="right")
    assert not kernel.asked
    # The system takes the pointer away in the middle: what is painted stays, as one step.
    view.drag((10, 10), (30, 10), up=False)
    view.stage.evaluate("el => el.dispatchEvent(new PointerEvent('lostpointercapture'))")
    mouse.move(*view.at(30, 40))
    mouse.up()
    view.until_asked()
    until_close(view, capsule((10, 10), (30, 10), size=SIZE))
    view.button("undo").click()
    view.page.until(lambda: not kernel.masks[-1].any())


# -- the keyboard alone ---------------------------------------------------------------------------


def test_everything_by_keyboard(view, kernel):
    page = view.page.page
    view.root.get_by_role("radio", name="brush").focus()
    while not view.stage.evaluate("el => el === el.getRootNode().activeElement"):
        view.press("Tab")
    ring = view.root.locator(".oc-ring")
    assert ring.is_visible()
    # From the middle: arrows by a quarter of the brush, with Shift by one pixel.
    view.press("ArrowLeft", "Shift+ArrowUp", "Space")
    view.until_asked()
    step = round(SIZE / 4)
    until_close(view, capsule((32 - step, 23), size=SIZE))
    # Held, it paints on.
    view.press("u")
    page.keyboard.down("Space")
    for _ in range(5):
        view.press("ArrowDown")
    page.keyboard.up("Space")
    line = capsule((32 - step, 23), (32 - step, 23 + 5 * step), size=SIZE)
    until_close(view, line)
    assert view.until_asked()["done"]
    # Escape takes back a stroke; then nothing has happened.
    before = kernel.masks[-1]
    page.keyboard.down("Enter")
    view.press("ArrowRight", "ArrowRight", "Escape")
    page.keyboard.up("Enter")
    view.shows(before)
    # Undo, redo, invert, clear.
    view.press("u")
    view.page.until(lambda: not kernel.masks[-1].any())
    view.press("Control+Shift+z")
    view.shows(before)
    view.press("i")
    view.shows(255 - before)
    view.press("Delete")
    view.page.until(lambda: not kernel.masks[-1].any())
    # The other tools, larger and smaller.
    view.press("r", "+", "+", "Enter")
    assert view.root.get_by_role("radio", name="rectangle").is_checked()
    view.page.until(lambda: kernel.masks[-1].any())
    side = SIZE + 2
    assert kernel.masks[-1].sum() == side * side * 255
    view.press("s", "-")
    view.page.until(lambda: view.page.trait("window") == 14)
    view.press("u", "Space")
    view.page.until(lambda: kernel.masks[-1].sum() == 14 * 14 * 255)
    view.press("i", "e", "Space")
    assert view.root.get_by_role("radio", name="eraser").is_checked()
    view.press("b")
    assert view.root.get_by_role("radio", name="brush").is_checked()
    view.page.until(lambda: "row " in view.spoken.inner_text() or view.spoken.inner_text())
    # The keys are told.
    view.button("Mouse and keyboard").click()
    assert "Space, Enter" in view.root.get_by_role("region", name="Mouse and keyboard").inner_text()
    view.press("Escape")


def test_letters_in_a_text_are_text(view, kernel):
    view.root.get_by_role("combobox", name="target").click()
    page = view.page.page
    page.keyboard.type("breiu")
    assert view.root.get_by_role("radio", name="brush").is_checked()
    assert not kernel.asked


# -- scores ---------------------------------------------------------------------------------------


def test_a_flip_is_unmistakable(view, kernel):
    assert view.verdict.inner_text().startswith("espresso")
    view.tool("rectangle")
    view.drag((0.5, 0.5), (31.5, 47.5))
    view.page.until(lambda: "was espresso, now cup" in view.verdict.inner_text())
    said = view.verdict.inner_text()
    assert "⇄" in said
    assert "espresso 0.960 → 0.480 · cup 0.014 → 0.514 · 50.0 % hidden" in said
    assert view.scores()[ESPRESSO].split() == ["espresso", "0.480", "-0.480"]
    assert view.scores()[CUP].split() == ["cup", "0.514", "+0.500"]
    answer = view.root.locator("[data-role=scores] [data-answer]")
    assert answer.get_attribute("data-class") == str(CUP)
    view.page.until(lambda: "The answer has changed" in view.spoken.inner_text())
    rows = [row.bounding_box()["y"] for row in view.root.locator("[data-class]").all()]
    view.button("undo").click()
    view.page.until(lambda: "the answer" in view.verdict.inner_text())
    assert "⇄" not in view.verdict.inner_text()
    assert rows == [row.bounding_box()["y"] for row in view.root.locator("[data-class]").all()]


def test_screen_readers_hear_once_a_second(view):
    view.page.page.evaluate(
        """() => {
          window.heard = [];
          const live = document.querySelector("[data-role=spoken]");
          const note = () => window.heard.push([performance.now(), live.textContent]);
          new MutationObserver(note).observe(live, { childList: true, characterData: true });
        }"""
    )
    for x in range(6, 60, 3):
        view.drag((x, 10), (x, 30))
    view.until_asked()
    last = view.verdict.inner_text().split(" → ")[-1].split("\n")[0]
    view.page.until(lambda: last in view.page.page.evaluate("() => window.heard.at(-1)?.[1] ?? ''"))
    times = [at for at, _ in view.page.page.evaluate("() => window.heard")]
    assert all(np.diff(times) >= 950)


def test_fills(view, kernel):
    view.drag((10, 24), (50, 24))
    mask = capsule((10, 24), (50, 24), size=SIZE)
    view.shows(mask, 130)
    for fill, colour in (("black", 0), ("gray", 128), ("noise", 90)):
        view.choose("fill", fill)
        view.shows(mask, colour)
        view.page.until(lambda fill=fill: kernel.asked[-1].get("fill") == fill)
        assert view.page.trait("fill") == fill
    # A colour shows at once, also where the kernel does not answer.
    kernel.held |= {"fill", "scores"}
    view.root.get_by_label("fill colour").fill("#102030")
    view.shows(mask, np.array([0x10, 0x20, 0x30]))
    view.page.until(lambda: view.page.trait("fill") == [16, 32, 48])
    assert view.root.get_by_role("combobox", name="fill").input_value() == "colour"
    # And set from Python.
    kernel.held.clear()
    view.page.set(fill="black")
    view.shows(mask, 0)
    assert view.root.get_by_role("combobox", name="fill").input_value() == "black"


# -- the sweep ------------------------------------------------------------------------------------


def test_a_sweep_is_asked_for_as_it_is_set(view, kernel):
    view.choose("window", "12")
    view.choose("stride", "6")
    view.choose("score", "probability")
    assert "70 places" in view.root.locator(".oc-sweep").inner_text()
    view.choose("window", "4")
    assert view.page.trait("stride") == 4, "a larger stride would leave pixels out"
    view.button("Run").click()
    view.page.until(lambda: kernel.asked and kernel.asked[-1]["lane"] == "sweep")
    assert kernel.asked[-1] == {
        "lane": "sweep",
        "window": [4, 4],
        "stride": [4, 4],
        "fill": "mean",
        "score": "probability",
    }
    view.page.until(lambda: "35 places" in view.caption.inner_text())
    assert "probability of espresso" in view.caption.inner_text()


def test_parts_of_a_sweep_are_painted_and_kept(view, kernel):
    kernel.held.add("sweep")
    plain = view.canvas(view.map)
    view.button("Run").click()
    view.page.until(lambda: np.abs(view.canvas(view.map) - plain).max() > 30, "a part is painted")
    view.wait("busy")
    assert "9 of 35 · 4.2 s left" in view.root.locator(".nbc-work").inner_text()
    # Painting goes on meanwhile.
    view.drag((10, 10), (30, 10))
    view.until_asked()
    part = view.canvas(view.map)
    view.root.locator(".oc-run").get_by_role("button", name="Stop").click()
    view.wait("idle")
    view.page.until(lambda: "incomplete: 9 of 35 places" in view.caption.inner_text())
    assert np.array_equal(view.canvas(view.map), part)
    assert view.button("Run").is_visible()
    # It breaks off the same way.
    kernel.held.clear()
    kernel.broken["sweep"] = "the graphics card is on fire"
    view.button("Run").click()
    view.page.until(view.error.is_visible)
    assert "on fire" in view.error.inner_text()
    assert np.array_equal(view.canvas(view.map), part)


@pytest.fixture
def swept(static_page, kernel):
    kernel.swept = True
    return OcclusionPage(kernel.open(static_page), kernel)


def test_pointing_at_the_map_tells_and_shows_the_square(swept, kernel):
    view, page = swept, swept.page.page
    page.mouse.move(*view.at(32, 24, view.map))
    said = "square at (16, 24) · espresso 6 · drop 4 · now cup"
    view.page.until(lambda: view.status.inner_text().startswith(said), said)
    # The square's frame is on the picture one paints on, white within black.
    white = lambda: np.argwhere((view.pixels() > 250).all(-1))  # noqa: E731
    view.page.until(lambda: len(white()) > 100)
    scale = view.pixels().shape[0] / HEIGHT
    for edge, wanted in zip([*white().min(0), *white().max(0)], (16, 24, 32, 40), strict=True):
        assert abs(edge / scale - wanted) < 0.5
    page.mouse.click(*view.at(32, 24, view.map))
    view.until_asked()
    until_close(view, boxed(16, 24, 32, 40))
    page.mouse.move(0, 0)
    view.shows(boxed(16, 24, 32, 40))
    view.button("undo").click()
    view.page.until(lambda: not kernel.masks[-1].any())


def test_the_map_by_keyboard(swept, kernel):
    view = swept
    view.map.focus()
    view.press("ArrowRight", "ArrowRight")
    view.page.until(lambda: "square at (16, 32)" in view.status.inner_text())
    view.page.until(lambda: "square at" in view.spoken.inner_text())
    view.press("Enter")
    view.until_asked()
    until_close(view, boxed(16, 32, 32, 48))
    for _ in range(9):
        view.press("ArrowUp")
    assert "square at (0, 32)" in view.status.inner_text()


def test_over_the_picture_with_a_threshold(swept):
    view = swept
    plain = view.canvas()
    view.root.get_by_role("checkbox", name="over the picture").check()
    view.page.until(lambda: np.abs(view.canvas() - plain).max() > 40)
    view.slide("threshold", 10)
    changed = lambda: np.abs(view.canvas() - plain).max(-1) > 8  # noqa: E731
    view.page.until(lambda: 0.02 < changed().mean() < 0.2, "a tenth of the picture is coloured")
    # What remains is where the drop is largest: in the middle.
    rows, columns = np.argwhere(changed()).T
    assert rows.min() >= 9 and rows.max() <= 40 and columns.min() >= 19 and columns.max() <= 50
    view.slide("opacity", 0)
    view.page.until(lambda: np.abs(view.canvas() - plain).max() <= 8)
    view.page.page.mouse.move(*view.at(32, 24))
    view.page.until(lambda: "square at (16, 24)" in view.status.inner_text())


def test_score_map_and_class_regions(swept):
    view = swept
    drop = view.canvas(view.map)
    colours = view.root.locator("[data-role=colours]")
    assert colours.inner_text().split() == ["-4.00", "4.00"] or "4" in colours.inner_text()
    view.choose("show", "score")
    view.page.until(lambda: not np.array_equal(view.canvas(view.map), drop))
    assert "Zeiler" in view.root.get_by_role("combobox", name="show").inner_text()
    low, high = [float(text) for text in colours.inner_text().split()]
    assert abs(low - 6) < 0.1 and abs(high - 10) < 0.1
    view.choose("show", "class")
    view.page.until(lambda: view.legend.count() == 2)
    entries = [entry.inner_text().split("\n") for entry in view.legend.all()]
    flips = int((sweep_scores(ESPRESSO) < 8.5).sum())
    assert entries[0][0] == "espresso"
    assert entries[1] == ["cup", f"{100 * flips / 35:.1f} %"]
    assert f"the answer changes at {flips} places" in view.root.inner_text()
    assert view.page.trait("show") == "class"
    # The colour of the legend is that of the region.
    view.slide("opacity", 100)
    swatch = view.legend.nth(1).locator("i").evaluate("el => getComputedStyle(el).backgroundColor")
    wanted = [int(part) for part in swatch.removeprefix("rgb(").removesuffix(")").split(",")]
    view.page.until(lambda: np.abs(view.canvas(view.map)[24, 32] - wanted).max() <= 1)


def test_another_target_costs_no_sweep(swept, kernel):
    view = swept
    before = view.canvas(view.map)
    row = view.root.locator(f"[data-class='{CUP}'] button")
    row.focus()
    view.press("Enter")
    view.page.until(lambda: kernel.asked[-1:] == [{"lane": "target", "index": CUP}])
    view.page.until(lambda: "logit of cup" in view.caption.inner_text())
    view.page.until(lambda: not np.array_equal(view.canvas(view.map), before))
    view.page.set(_target={"name": "cup", "index": CUP})
    assert row.get_attribute("aria-pressed") == "true"
    # By name, by number where the name is not enough, and back to the answer.
    field = view.root.get_by_role("combobox", name="target")
    assert field.input_value() == "cup"
    for typed, index in (("Tray", 4), ("crane · 6", 6), ("5", 5), ("predicted class", None)):
        field.fill(typed)
        field.press("Enter")
        view.page.until(
            lambda index=index: kernel.asked[-1] == {"lane": "target", "index": index}, typed
        )
    count = len(kernel.asked)
    field.fill("teapot")
    field.press("Enter")
    view.page.until(lambda: "no class “teapot”" in view.status.inner_text())
    assert len(kernel.asked) == count
    view.stage.focus()
    assert field.input_value() == "cup"
    # Another score is the same sweep, too.
    view.choose("score", "probability")
    view.page.until(lambda: kernel.asked[-1] == {"lane": "target", "index": CUP})
    assert view.page.trait("score") == "probability"
    assert not any(each["lane"] == "sweep" for each in kernel.asked)


# -- nothing is lost ------------------------------------------------------------------------------


def test_an_error_keeps_what_is_painted(view, kernel):
    kernel.broken["scores"] = "<b>out of memory</b>"
    view.drag((10, 10), (50, 30))
    view.page.until(view.error.is_visible)
    assert "<b>out of memory</b>" in view.error.inner_text()
    view.wait("error")
    mask = capsule((10, 10), (50, 30), size=SIZE)
    view.shows(mask)
    assert "not computed" in view.verdict.inner_text()
    kernel.broken.clear()
    view.drag((10, 40), (50, 40))
    view.page.until(lambda: not view.error.is_visible(), "a good answer takes the error away")
    view.page.until(lambda: "still the answer" in view.verdict.inner_text())
    view.shows(np.maximum(mask, capsule((10, 40), (50, 40), size=SIZE)))


def test_a_mask_from_python_is_painted_and_can_be_undone(view, kernel):
    view.drag((10, 10), (30, 10))
    mine = capsule((10, 10), (30, 10), size=SIZE)
    view.until_asked()
    id_ = view.page.sent("hello")[0]["view"]
    # The echo of what this view has painted itself is older than what it shows.
    view.give("_mask", mask_blob(boxed(0, 0, 9, 9), origin=id_))
    view.shows(mine)
    given = boxed(20, 20, 40, 50)
    view.give("_mask", mask_blob(given))
    view.give("_scores", kernel.scores(0.5, "mean"))
    view.shows(given)
    assert "was espresso, now cup" in view.verdict.inner_text()
    view.button("undo").click()
    view.shows(mine)
    view.button("redo").click()
    view.shows(given)
    # In the middle of a stroke: that ends, and is a step of its own.
    view.drag((10, 44), (20, 44), up=False)
    view.give("_mask", mask_blob(boxed(0, 0, 9, 9)))
    view.page.page.mouse.up()
    view.shows(boxed(0, 0, 9, 9))
    view.button("undo").click()
    view.shows(np.maximum(given, capsule((10, 44), (20, 44), size=SIZE)))


def test_a_mask_from_python_wins_over_a_question_on_its_way(view, kernel):
    """The kernel is busy: what it answers in the end would be a mask that is no longer shown."""
    kernel.held.add("scores")
    view.drag((10, 10), (30, 10))
    view.page.until(lambda: len(kernel.masks) > 0)
    given = boxed(20, 20, 40, 50)
    view.give("_mask", mask_blob(given))
    view.shows(given)
    kernel.held.clear()
    # Nobody has answered: it asks again, and that is the mask on the screen.
    view.page.until(lambda: np.array_equal(kernel.masks[-1], given), "the shown mask is asked for")


def test_without_a_kernel_one_can_paint_and_is_told(view, kernel):
    view.drag((10, 10), (30, 10))
    view.until_asked()
    view.page.until(lambda: "hidden" in view.verdict.inner_text())
    view.page.page.evaluate(
        "() => document.getElementById('here').classList.add('jupyter-widgets-disconnected')"
    )
    view.wait("offline")
    assert "not computed" not in view.verdict.inner_text(), "what is shown was computed"
    view.drag((10, 40), (50, 40))
    view.shows(
        np.maximum(capsule((10, 10), (30, 10), size=SIZE), capsule((10, 40), (50, 40), size=SIZE))
    )
    view.page.until(lambda: "not computed" in view.verdict.inner_text())
    for control in (view.button("Run"), view.root.get_by_role("combobox", name="target")):
        assert control.is_disabled()
    # Back to what was computed.
    view.button("undo").click()
    view.page.until(lambda: "not computed" not in view.verdict.inner_text())
    view.button("redo").click()
    count = len(kernel.asked)
    view.page.page.evaluate("() => document.getElementById('here').className = ''")
    view.wait("idle")
    view.page.until(lambda: len(kernel.asked) > count, "asked as soon as there is a kernel")
    until_close(
        view,
        np.maximum(capsule((10, 10), (30, 10), size=SIZE), capsule((10, 40), (50, 40), size=SIZE)),
    )
    view.page.until(lambda: "not computed" not in view.verdict.inner_text())


def test_a_saved_page(static_page, kernel):
    kernel.swept = True
    page = kernel.open(static_page, saved=True)
    view = OcclusionPage(page, kernel)
    assert "espresso" in view.verdict.inner_text()
    assert view.button("Run").is_disabled()
    view.choose("show", "class")
    page.until(lambda: view.legend.count() == 2)
    view.drag((10, 10), (30, 10))
    view.shows(capsule((10, 10), (30, 10), size=SIZE))
    page.until(lambda: "not computed" in view.verdict.inner_text())
    assert not page.sent("ask")
    view.press("Control+z")
    page.until(lambda: "nothing hidden" in view.verdict.inner_text())


def test_a_change_of_theme_keeps_everything(swept):
    view = swept
    view.drag((10, 10), (50, 30))
    mask = capsule((10, 10), (50, 30), size=SIZE)
    view.shows(mask)
    map_ = view.canvas(view.map)
    view.page.page.emulate_media(color_scheme="dark")
    view.page.until(lambda: view.root.get_attribute("data-theme") == "dark")
    view.page.page.mouse.move(0, 0)
    view.shows(mask)
    assert np.array_equal(view.canvas(view.map), map_)
    view.button("undo").click()
    view.shows(np.zeros((HEIGHT, WIDTH), np.uint8))


def test_names_that_attack_are_text(static_page, kernel):
    name = '<img src=x onerror="alert(1)">'
    traits = {"_target": {"name": name, "index": 0}, "_classes": [name, '"><script>alert(2)']}
    view = OcclusionPage(kernel.open(static_page, traits=traits), kernel)
    assert view.root.get_by_role("combobox", name="target").input_value() == name
    assert view.root.locator("img, script").count() == 0


# -- layout ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("width", [480, 700, 1000, 1600])
def test_nothing_is_cut_off_and_nothing_jumps(static_page, kernel, width):
    kernel.swept = True
    view = OcclusionPage(kernel.open(static_page, size=(width, 1000)), kernel)
    page = view.page.page
    assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
    one = view.root.locator(".oc-main").evaluate(
        "el => getComputedStyle(el).gridTemplateColumns.split(' ').length"
    )
    assert one == (1 if width <= 700 else 2)
    # Buttons and choices can be hit with a finger.
    for control in view.root.locator("button, select, input, label.oc-tool").all():
        box = control.bounding_box()
        if control.is_visible() and box is not None and box["width"] > 20:
            assert min(box["height"], box["width"]) >= 24 or control.get_attribute("type") in (
                "radio",
                "checkbox",
            ), control.evaluate("el => el.outerHTML")
    parts = ".oc-sweep, .oc-results, .oc-photo, .nbc-status, .oc-tools, canvas"
    where = lambda: [part.bounding_box() for part in view.root.locator(parts).all()]  # noqa: E731
    before = where()
    view.tool("rectangle")
    view.drag((0.5, 0.5), (40.5, 47.5))
    view.page.until(lambda: "was espresso" in view.verdict.inner_text())
    view.map.hover()
    view.page.until(lambda: "square" in view.status.inner_text())
    page.evaluate("() => scrollTo(0, 0)")
    for show in ("score", "class", "drop"):
        view.choose("show", show)
    assert where() == before


# -- with the real kernel -------------------------------------------------------------------------


def test_the_whole_of_it_with_a_small_network(static_page):
    widget = nv.Occlusion(nv.Network.digits(), nv.sample_image("digit"))
    height, width = widget.mask.shape
    page = static_page.live(widget)
    root = page.widget("occlusion")
    stage = root.locator("canvas[data-role=stage]")
    box = stage.bounding_box()
    assert box is not None
    at = lambda x, y: (box["x"] + x / width * box["width"], box["y"] + y / height * box["height"])  # noqa: E731
    root.get_by_role("radio", name="rectangle").check(force=True)
    page.page.mouse.move(*at(1.5, 2.5))
    page.page.mouse.down()
    page.page.mouse.move(*at(width - 2.5, height / 2 - 0.5), steps=4)
    page.page.mouse.up()
    wanted = np.zeros((height, width), np.float32)
    wanted[2 : height // 2, 1 : width - 2] = 1
    page.until(lambda: np.array_equal(widget.mask, wanted), "Python has what was painted")
    best = int(np.argmax(widget.scores))
    answer = root.locator("[data-role=scores] [data-answer]")
    page.until(lambda: answer.get_attribute("data-class") == str(best))
    root.get_by_role("button", name="Run").click()
    caption = root.locator(".oc-caption")
    page.until(lambda: widget.sweep is not None and widget.sweep.complete)
    page.until(lambda: caption.inner_text().startswith(f"{widget.sweep.predicted.numel()} places"))
    other = root.locator("[data-role=scores] [data-class]:not([data-answer]) button").last
    other.click()
    name = other.get_attribute("aria-label").split(":")[0]
    page.until(lambda: f"logit of {name}" in caption.inner_text())
    assert widget.target.name == name
    widget.close()
