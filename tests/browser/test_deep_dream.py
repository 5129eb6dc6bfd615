"""DeepDream on a page without Jupyter: the run, its film, the wipe, the settings, what goes wrong.

What the three widgets have in common is tested here; their own parts in test_style_transfer.py and
test_maximize.py.
"""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from dream_page import HEIGHT, STEPS, WIDTH, DreamPage, FakeKernel, jpeg
from hostile import ELEMENTS, LAYERS, STRINGS
from PIL import Image

from nbcnnviz.widgets._codec import pack


@pytest.fixture
def kernel():
    return FakeKernel("deep_dream", guide=True)


@pytest.fixture
def view(static_page, kernel):
    return DreamPage(kernel.open(static_page), kernel)


def play(view, *steps):
    view.button("Play").click()
    view.until_asked("run", steps=0, again=False)
    view.wait("running")
    view.push(*steps)


# -- the run --------------------------------------------------------------------------------------


def test_fresh(view):
    assert view.run() == "fresh"
    assert view.step() == 0 and view.shown_step() == 0
    assert view.where.inner_text() == "not begun"
    assert view.range.is_disabled() and view.wipe.is_disabled()
    assert view.button("Step").is_enabled() and view.button("Restart").is_disabled()
    view.shows(0)
    assert "nothing done yet" in view.stage.get_attribute("aria-label")
    assert view.losses.get_attribute("aria-label") == "objective: no step yet"


def test_the_picture_grows_and_every_part_is_seen(view, kernel):
    play(view)
    for step in (1, 2, 5, 9):
        view.push(step - kernel.step) if step > kernel.step else None
        view.shows(step)
    assert view.where.inner_text() == "step 9 of 40 · octave 1 of 4"
    assert view.root.locator("[data-role=numbers]").inner_text().split() == ["objective", "4.03"]
    assert kernel.seen >= 4
    view.push(STEPS)
    view.wait("done")
    assert view.shown_step() == STEPS
    name = view.losses.get_attribute("aria-label")
    assert name == "objective from 2.02 at step 1 to 42 at step 40"


def test_pause_and_go_on(view, kernel):
    play(view, 3)
    assert view.button("Play").count() == 0
    view.button("Pause").click()
    view.wait("paused")
    assert view.step() == 3
    view.publish()
    view.button("Play").click()
    view.until_asked("run", steps=0, again=False)
    view.page.until(lambda: kernel.count("run") == 2)
    view.push(2)
    view.shows(5)
    assert view.losses.get_attribute("aria-label").endswith("at step 5")


def test_step_by_step(view, kernel):
    for step in (1, 2, 3):
        view.button("Step").click()
        view.page.until(lambda step=step: kernel.count("run") == step)
        assert kernel.asked[-1] == {"lane": "run", "steps": 1, "again": False}
        assert view.button("Step").is_disabled()
        view.push(1)
        view.wait("paused")
        view.shows(step)


def test_restart_forgets_the_old_film(view, kernel):
    play(view, 3, 3)
    view.button("Restart").click()
    view.until_asked("run", steps=0, again=True)
    view.push(1)
    view.shows(1)
    view.page.until(lambda: view.range.get_attribute("max") == "0")
    assert view.losses.get_attribute("aria-label") == "objective: 2.02 at step 1"


def test_at_the_end_the_kernel_says_whether_to_begin_again(view, kernel):
    play(view, STEPS)
    view.wait("done")
    for button, steps in (("Play", 0), ("Step", 1)):
        count, number = kernel.count("run"), kernel.number
        view.button(button).click()
        view.page.until(lambda count=count: kernel.count("run") == count + 1)
        assert kernel.asked[-1] == {"lane": "run", "steps": steps, "again": False}
        view.push(STEPS)
        view.wait("paused" if steps else "done")
        assert kernel.number == number + 1 and view.shown_step() == (steps or STEPS)


def test_a_film_that_is_published_on_the_way(view, kernel):
    """It comes with all that was before the page, and takes away nothing that came since."""
    kernel.step, kernel.film, kernel._told = 9, [1, 3, 5, 7, 9], 9
    play(view, 2)
    view.shows(11)
    count = lambda: int(view.range.get_attribute("max"))  # noqa: E731
    assert count() == 0
    early = kernel.film_blob()
    view.push(3)
    view.publish(_film=early)
    view.page.until(lambda: count() == 6)
    assert view.run() == "running" and view.step() == view.shown_step() == 14
    assert (
        view.losses.get_attribute("aria-label")
        == "objective from 2.02 at step 1 to 6.90 at step 14"
    )
    view.shows(14)
    # One of the run before is too late.
    view.button("Restart").click()
    view.until_asked("run", again=True)
    view.push(1)
    view.publish(_film=early)
    view.page.page.wait_for_timeout(100)
    assert view.step() == 1 and count() == 0
    view.shows(1)


def test_the_title_is_that_of_the_picture(view, kernel):
    label = lambda: view.stage.get_attribute("aria-label")  # noqa: E731
    assert label() == "cat: nothing done yet"
    kernel.title = "Dream of conv3.act on cat"
    play(view, 3)
    view.page.set(mix={"conv1": 1})
    view.page.page.wait_for_timeout(50)
    assert label() == "Dream of conv3.act on cat: step 3 of 40 · octave 1 of 4"
    kernel.title = "Dream of conv1 on cat (settings changed on the way)"
    view.push(1)
    view.page.until(lambda: label().startswith(f"{kernel.title}: step 4 of 40"))


def test_space_plays_and_pauses(view, kernel):
    view.stage.focus()
    view.press("Space")
    view.wait("running")
    view.push(2)
    view.press("Space")
    view.wait("paused")


def test_why_a_run_stopped_is_said(view, kernel):
    play(view, 2)
    kernel.stopped = "step 3 gave values that are not finite: {'objective': nan}"
    kernel.end = 3
    view.push(1)
    view.wait("paused")
    stopped = view.root.locator("[data-role=stopped]")
    view.page.until(stopped.is_visible)
    assert "not finite" in stopped.inner_text()
    assert "was chosen" in view.root.locator("[data-role=notes]").inner_text()


def test_an_error_of_the_kernel(view, kernel):
    kernel.broken["run"] = "layer='conv9': there is no such layer; did you mean 'conv3'?"
    view.button("Play").click()
    alert = view.root.get_by_role("alert")
    alert.filter(has_text="did you mean").wait_for()
    view.wait("fresh")
    assert view.button("Play").is_enabled()


def test_a_run_from_python_is_shown(view, kernel):
    """Another view, or Python, asked: messages are for all."""
    about = {"view": "", "epoch": "e1", "seq": 1, "lane": "run", "all": True}
    kernel._run(about, 0, False)
    view.receive(kernel.advance(4))
    view.wait("running")
    view.shows(4)
    view.receive(kernel.advance(STEPS))
    view.wait("done")


# -- the film -------------------------------------------------------------------------------------


def test_scrub(view, kernel):
    play(view, *[2] * 10)
    view.range.focus()
    view.press("Home")
    view.page.until(lambda: view.shown_step() == 2)
    view.shows(2)
    assert view.where.inner_text() == "frame at step 2 of 40 · octave 1 of 4"
    assert view.range.get_attribute("aria-valuetext") == view.where.inner_text()
    assert view.button("live").get_attribute("aria-pressed") == "false"
    # The run goes on, the frame stays.
    view.push(2, 2)
    view.page.page.wait_for_timeout(150)
    view.shows(2)
    view.press("ArrowRight")
    view.shows(4)
    view.button("live").click()
    view.shows(24)
    view.push(1)
    view.shows(25)


def test_arrows_on_the_picture(view, kernel):
    play(view, 1, 2, 3)
    view.stage.focus()
    view.press("ArrowLeft")
    view.shows(3)
    view.press("ArrowLeft", "ArrowLeft")
    view.shows(1)
    view.press("Escape")
    view.shows(6)
    assert view.button("live").get_attribute("aria-pressed") == "true"


def test_the_pointer_on_the_film(view, kernel):
    play(view, *[4] * 10)
    view.wait("done")
    box = view.film.bounding_box()
    for share in (0.25, 0.5, 0.92):
        view.page.page.mouse.move(box["x"] + share * box["width"], box["y"] + 20)
        view.page.page.mouse.down()
        expected = 4 * max(1, round(share * 10))
        view.page.until(lambda e=expected: abs(view.shown_step() - e) <= 4)
        view.shows(view.shown_step())
        view.page.page.mouse.up()
    assert re.search(r"step \d+: objective \d", view.status.inner_text())


def test_the_strip_shows_how_it_went(view, kernel):
    strip = view.root.locator("canvas.dr-strip")
    play(view, *[2] * 10)
    count = lambda: len(discs(view.pixels(strip)))  # noqa: E731
    view.page.until(lambda: count() >= 5, "small pictures are there")
    sizes = discs(view.pixels(strip))
    assert sizes == sorted(sizes) and sizes[0] < sizes[-1] / 2
    half = view.pixels(strip)[:, -40:]
    assert np.ptp(half, axis=(0, 1)).max() < 30, "nothing is painted where nothing is done"


def discs(pixels: np.ndarray) -> list[int]:
    """Widths of the discs along the middle of the strip, cut ones at the end left out."""
    row = pixels[len(pixels) // 2]
    inside = (row[:, 0] > 170) & (row[:, 2] < 120)
    edges = np.flatnonzero(np.diff(np.r_[0, inside.astype(int), 0]))
    return [int(b - a) for a, b in zip(edges[::2], edges[1::2], strict=True)][:-1]


def test_it_never_flickers(view, kernel):
    """Between two pictures the stage always shows one of them."""
    play(view, 1)
    view.shows(1)
    view.page.page.evaluate(
        """() => {
          const canvas = document.querySelector("canvas[data-role=stage]");
          window.lows = [];
          const look = () => {
            const [r, g, b, a] = canvas.getContext("2d")
              .getImageData(canvas.width >> 1, canvas.height >> 1, 1, 1).data;
            window.lows.push(a === 255 && r > 150 && b < 120);
            window.looking = requestAnimationFrame(look);
          };
          look();
        }"""
    )
    view.push(*[1] * 12)
    view.shows(13)
    lows = view.page.page.evaluate(
        "() => { cancelAnimationFrame(window.looking); return window.lows; }"
    )
    assert len(lows) > 10 and all(lows)


def test_every_picture_is_decoded_twice_for_stage_and_film(view, kernel):
    view.page.page.evaluate(
        """() => {
          const decode = window.createImageBitmap;
          window.decoded = 0;
          window.createImageBitmap = (...args) => {
            window.decoded++;
            return decode.apply(window, args);
          };
        }"""
    )
    play(view, *[1] * 10)
    view.shows(10)
    view.range.focus()
    view.press("Home")
    view.shows(1)
    view.page.page.wait_for_timeout(200)
    assert 11 < view.page.page.evaluate("() => window.decoded") <= 10 + 10 + 1


def test_nothing_jumps(view, kernel):
    places = """() => [...document.querySelectorAll(
      ".dr-controls > *, .dr-track, .dr-side fieldset, .dr-canvas")]
      .map((el) => el.getBoundingClientRect()).map(({ x, y, width }) => [x, y, width].join())"""
    play(view, 1)
    view.shows(1)
    before = view.page.page.evaluate(places)
    view.push(8, 8, 8)
    view.range.focus()
    view.press("Home")
    view.shows(1)
    now = view.page.page.evaluate(places)
    assert [a for a, b in zip(before, now, strict=True) if a != b][:1] in ([], [before[-1]])
    assert now[:4] == before[:4]


# -- before and after -----------------------------------------------------------------------------


def halves(view):
    pixels = view.pixels()
    row = pixels[int(len(pixels) * 0.95)]
    return row[3], row[-4]


BEFORE, AFTER = (32, 128, 64), (64, 96, 128)


def near(colour, wanted):
    return np.abs(np.asarray(colour) - wanted).max() < 14


def test_wipe(view, kernel):
    play(view, 6)
    view.shows(6)
    left, right = halves(view)
    assert near(left, AFTER) and near(right, AFTER)
    view.wipe.fill("50")
    view.page.until(lambda: near(halves(view)[1], BEFORE), "the beginning is at the right")
    assert near(halves(view)[0], AFTER)
    view.wipe.fill("0")
    view.page.until(lambda: near(halves(view)[0], BEFORE))
    view.stage.dblclick()
    view.page.until(lambda: near(halves(view)[1], AFTER))
    assert view.wipe.input_value() == "100"


def test_drag_the_wipe_with_the_mouse(view, kernel):
    play(view, 6)
    view.shows(6)
    box = view.stage.bounding_box()
    mouse = view.page.page.mouse
    y = box["y"] + 30
    mouse.move(box["x"] + box["width"] * 0.9, y)
    mouse.down()
    mouse.move(box["x"] + box["width"] * 0.5, y, steps=4)
    mouse.move(box["x"] + box["width"] * 0.3, y, steps=4)
    mouse.up()
    assert int(view.wipe.input_value()) == pytest.approx(30, abs=1)
    view.page.until(lambda: near(halves(view)[1], BEFORE))
    # A click is no drag.
    view.stage.click(position={"x": 200, "y": 50})
    assert int(view.wipe.input_value()) == pytest.approx(30, abs=1)


def test_drag_the_wipe_with_a_finger(view, kernel):
    play(view, 6)
    view.shows(6)
    box = view.stage.bounding_box()
    session = view.page.page.context.new_cdp_session(view.page.page)
    session.send("Emulation.setTouchEmulationEnabled", {"enabled": True})

    def touch(kind, *places):
        points = [{"x": box["x"] + share * box["width"], "y": box["y"] + 60} for share in places]
        session.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 0.9)
    for share in (0.8, 0.6, 0.4):
        touch("touchMove", share)
    touch("touchEnd")
    view.page.until(lambda: abs(int(view.wipe.input_value()) - 40) <= 1)


# -- settings -------------------------------------------------------------------------------------


def test_settings_go_to_the_kernel_while_it_runs(view, kernel):
    play(view, 2)
    for label, place, name, value in [
        ("strength", 75, "lr", 0.0316),
        ("octaves", 3, "octaves", 3),
        ("octave scale", 1.6, "octave_scale", 1.6),
        ("jitter", 8, "jitter", 8),
        ("smoothness", 0.25, "smooth", 0.25),
        ("steps", 20, "steps", 20),
    ]:
        view.slide(label, place)
        assert view.page.trait(name) == pytest.approx(value)
    assert view.run() == "running"
    said = view.root.get_by_role("slider", name="strength", exact=True)
    assert said.get_attribute("aria-valuetext") == "0.0316"


def test_values_from_python_are_said_as_they_are(view):
    slider = view.root.get_by_role("slider", name="strength", exact=True)
    view.page.set(lr=0.0123, smooth=0.333, octaves=12)
    view.page.until(lambda: slider.get_attribute("aria-valuetext") == "0.0123")
    smooth = view.root.get_by_role("slider", name="smoothness", exact=True)
    assert smooth.get_attribute("aria-valuetext") == "0.333"
    octaves = view.root.get_by_role("slider", name="octaves", exact=True)
    assert octaves.get_attribute("aria-valuetext") == "12"


def test_the_layer_by_ribbon_and_picker(view):
    view.root.get_by_role("slider", name="Layer of the network").focus()
    view.press("ArrowRight")
    assert view.page.trait("mix") == {"conv4": 1}
    picker = view.root.get_by_role("combobox", name="Layer", exact=True)
    picker.fill("conv2")
    picker.press("Enter")
    assert view.page.trait("mix") == {"conv2": 1}
    assert view.root.locator(".dr-weights li").count() == 1


def test_a_mix_of_layers(view):
    view.root.get_by_label("add to mix").select_option("conv1.act")
    assert view.page.trait("mix") == {"conv3.act": 1, "conv1.act": 1}
    view.slide("weight of conv1.act", -0.5)
    assert view.page.trait("mix") == {"conv3.act": 1, "conv1.act": -0.5}
    view.button("remove conv3.act").click()
    assert view.page.trait("mix") == {"conv1.act": -0.5}
    assert view.button("remove conv1.act").count() == 0
    view.page.set(mix={"conv2": 0.3, "conv5": 0.7})
    rows = view.root.locator(".dr-weights li")
    view.page.until(lambda: rows.count() == 2)
    assert rows.evaluate_all("all => all.map((el) => el.dataset.layer)") == ["conv2", "conv5"]


def test_one_channel_or_all(view):
    channel = view.root.get_by_role("spinbutton", name="channel")
    channel.fill("7")
    channel.press("Enter")
    assert view.page.trait("channel") == 7
    assert view.button("all").get_attribute("aria-pressed") == "false"
    channel.fill("9999")
    channel.press("Enter")
    assert view.page.trait("channel") == 63
    view.button("all").click()
    assert view.page.trait("channel") is None
    assert channel.input_value() == "" and channel.get_attribute("placeholder") == "all"


def test_the_guide(view, static_page):
    box = view.root.get_by_role("checkbox", name="guided")
    box.check()
    assert view.page.trait("guided") is True
    assert view.root.get_by_role("img", name="guide: flower").is_visible()
    without = FakeKernel("deep_dream")
    other = DreamPage(without.open(static_page), without)
    assert not other.root.get_by_role("checkbox", name="guided").is_visible()


def test_what_each_layer_dreams(view, kernel):
    view.button("Show what each layer dreams").click()
    asked = view.until_asked("thumbs")
    assert asked["layers"][0] == "conv1" and "head" not in asked["layers"]
    thumbs = view.root.get_by_role("radiogroup", name="what each layer dreams")
    view.page.until(lambda: thumbs.get_by_role("radio").count() == len(asked["layers"]))
    canvas = thumbs.locator("[data-layer=conv4] canvas")
    view.page.until(lambda: view.pixels(canvas).std() > 20, "a picture is there")
    thumbs.get_by_role("radio", name="conv4", exact=True).click()
    assert view.page.trait("mix") == {"conv4": 1}
    checked = thumbs.locator("[aria-checked=true]")
    assert checked.get_attribute("data-layer") == "conv4"
    view.press("ArrowRight")
    assert view.page.trait("mix") == {"conv4.act": 1}


# -- pictures to keep -----------------------------------------------------------------------------

COUNT_URLS = """() => {
  window.urls = new Set();
  const { createObjectURL, revokeObjectURL } = URL;
  URL.createObjectURL = (blob) => {
    const url = createObjectURL.call(URL, blob);
    window.urls.add(url);
    return url;
  };
  URL.revokeObjectURL = (url) => { window.urls.delete(url); revokeObjectURL.call(URL, url); };
}"""


def save(view):
    view.button("Menu").click()
    with view.page.page.expect_download() as download:
        view.root.get_by_role("menuitem", name="Save picture").click()
    data = download.value.path().read_bytes()
    return download.value.suggested_filename, Image.open(io.BytesIO(data))


def test_save_picture_and_leave_no_url(view, kernel):
    view.button("Menu").click()
    assert view.root.get_by_role("menuitem", name="Save picture").is_disabled()
    view.press("Escape")
    play(view, 5)
    view.page.page.evaluate(COUNT_URLS)
    name, image = save(view)
    assert name == "cat-5.png"
    assert image.format == "PNG" and image.size == (WIDTH, HEIGHT)
    view.page.until(lambda: view.page.page.evaluate("() => window.urls.size") == 0)


def test_as_python(view):
    view.button("Menu").click()
    view.root.get_by_role("menuitem", name="Copy as Python").click()
    assert "nv.DeepDream" in view.root.get_by_label("Python code").inner_text()


# -- without a kernel -----------------------------------------------------------------------------


def ran(stem="deep_dream", step=20):
    kernel = FakeKernel(stem)
    kernel.state, kernel.step = "paused", step
    kernel.film = list(range(2, step, 2))
    return kernel


def test_a_saved_page_scrubs(static_page):
    kernel = ran()
    view = DreamPage(kernel.open(static_page, saved=True), kernel)
    view.shows(20)
    assert view.run() == "paused"
    for name in ("Play", "Step", "Restart"):
        assert view.button(name).is_disabled()
    assert view.root.get_by_role("slider", name="strength", exact=True).is_disabled()
    view.range.focus()
    view.press("Home")
    view.shows(2)
    view.press("ArrowRight")
    view.shows(4)
    view.wipe.fill("50")
    view.page.until(lambda: near(halves(view)[1], BEFORE))
    view.button("live").click()
    view.page.until(lambda: view.shown_step() == 20)
    assert view.losses.get_attribute("aria-label").endswith("at step 20")
    name, image = save(view)
    assert name == "cat-20.jpg" and image.size == (WIDTH, HEIGHT)


def test_thumbnails_come_with_the_notebook(static_page):
    kernel = ran()
    names = ["conv1", "conv4"]
    kernel.kept = [("thumbs", kernel.thumbs(names))]
    view = DreamPage(kernel.open(static_page, saved=True), kernel)
    thumbs = view.root.get_by_role("radiogroup", name="what each layer dreams")
    view.page.until(lambda: thumbs.get_by_role("radio").count() == 2)
    canvas = thumbs.locator("[data-layer=conv4] canvas")
    view.page.until(lambda: view.pixels(canvas).std() > 20, "a picture is there")


def test_a_run_that_was_saved_while_it_ran_is_paused(static_page):
    kernel = ran()
    kernel.state = "running"
    view = DreamPage(kernel.open(static_page, saved=True), kernel)
    view.shows(20)
    assert view.run() == "paused" and view.button("Pause").count() == 0


def test_the_kernel_goes_and_comes_back(view, kernel):
    play(view, 3, 3)
    gone = """(on) => document.querySelector("#here")
      .classList.toggle("jupyter-widgets-disconnected", on)"""
    view.page.page.evaluate(gone, True)
    view.page.until(lambda: view.root.get_attribute("data-state") == "offline")
    view.wait("paused")
    assert view.button("Play").is_disabled()
    view.stage.focus()
    view.press("Space", "ArrowLeft")
    view.shows(3)
    assert kernel.count("run") == 1
    view.page.page.evaluate(gone, False)
    view.page.until(lambda: view.root.get_attribute("data-state") != "offline")
    view.page.until(lambda: view.button("Play").is_enabled() or view.button("Pause").is_enabled())


def test_broken_bytes_do_no_harm(view, kernel):
    play(view, 4)
    view.shows(4)
    view.publish(_film=b"\x05\x00\x00\x00{", _start=b"no blob")
    view.page.page.wait_for_timeout(200)
    view.shows(4)
    picture = kernel.meta() | {"step": 5, "trace": []}
    broken = pack(picture, {"jpeg": np.frombuffer(jpeg(5)[:40], np.uint8)})
    about = {**kernel._running, "type": "reply", "status": "partial", "ms": 1, "message": ""}
    view.receive([(about, broken)])
    view.page.until(lambda: view.step() == 5)
    view.page.page.wait_for_timeout(200)
    view.shows(4)
    kernel.step = 5
    view.push(1)
    view.shows(6)


def test_the_end_of_a_view_in_the_middle_of_a_run(view, kernel):
    view.page.page.evaluate(COUNT_URLS)
    play(view, 3)
    view.page.page.evaluate("() => window.running.end()")
    assert view.root.count() == 0
    view.receive(kernel.advance(1))
    view.page.page.wait_for_timeout(200)


@pytest.mark.parametrize("width", [480, 700, 1000, 1600])
def test_every_width(static_page, width):
    kernel = ran()
    view = DreamPage(kernel.open(static_page, size=(width, 1000)), kernel)
    view.shows(20)
    page = view.page.page
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    box = view.stage.bounding_box()
    assert box["width"] / box["height"] == pytest.approx(WIDTH / HEIGHT, rel=0.01)
    over = """(root) => [...root.querySelectorAll("*")].filter((el) => {
      const box = el.getBoundingClientRect();
      return box.width && box.right > root.getBoundingClientRect().right + 1;
    }).map((el) => el.className || el.tagName)"""
    assert view.root.evaluate(over) == []


@pytest.mark.parametrize("stem", ["deep_dream", "style_transfer", "maximize"])
def test_names_and_messages_are_text(static_page, stem):
    kernel = FakeKernel(stem, guide=True, name=STRINGS[1])
    kernel.notes, kernel.stopped = STRINGS, " ".join(STRINGS)
    traits = kernel.traits()
    rows = traits["_layers"]
    rows += [{**rows[4], "name": name, "label": name} for name in LAYERS]
    weights = dict.fromkeys(LAYERS, 0.5)
    own = {"deep_dream": "mix", "style_transfer": "style_layers"}.get(stem)
    traits |= {own: weights} if own else {"layer": LAYERS[0]}
    view = DreamPage(kernel.open(static_page, traits=traits), kernel)
    for summary in view.root.locator("summary").all():
        summary.click()
    thumbs = view.button("Show what each layer dreams")
    if thumbs.count():
        thumbs.click()
        view.page.until(view.root.get_by_role("radio").count)
    view.button("Play").click()
    view.push(3)
    view.button("Pause").click()
    view.wait("paused")
    assert "alert(1)" in view.root.locator("[data-role=stopped]").inner_text()
    if own:
        rows = view.root.locator("[data-layer] .dr-name").all_inner_texts()
        assert len(rows) == len(LAYERS)
        assert rows[:3] == LAYERS[:3]
        # Each can be changed and taken out, whatever it is called.
        view.slide(f"weight of {LAYERS[0]}", 0.9)
        assert view.page.trait(own)[LAYERS[0]] == 0.9
        view.button("remove __proto__").click()
        assert len(view.page.trait(own)) == len(LAYERS) - 1
    assert view.root.locator(ELEMENTS).count() == 0
    assert view.page.page.evaluate("() => window.__pwned") is None
