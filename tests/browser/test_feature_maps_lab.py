"""FeatureMaps in JupyterLab: a cell is run, the maps are there, and stay what they should be."""

from __future__ import annotations

import json

import numpy as np
import pytest
from maps_page import DIGIT, IMPORT, MapsPage, digit_maps, hooked, painted, significant

import nbcnnviz as nv

SLOW = """
import time, torch
import nbcnnviz as nv
pause, failure = [0.0], [None]
class Slow(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv, self.relu = torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()
    def forward(self, x):
        time.sleep(pause[0])
        if failure[0]:
            raise RuntimeError(failure[0])
        return self.relu(self.conv(x))
torch.manual_seed(0)
images = [torch.randn(3, 32, 32) for _ in range(40)]
w = nv.FeatureMaps(Slow(), images, layer="conv")
w
"""

COMPUTE = """
try:
    print(w.compute().shape)
except KeyboardInterrupt:
    print("interrupted")
"""

LISTEN = """() => {
  window.crossed = [];
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  kernel.anyMessage.connect((_, { msg, direction }) => {
    const { msg_type } = msg.header;
    if (!msg_type.startsWith("comm_")) return;
    const { method, state, content } = msg.content.data ?? {};
    const what = method === "custom" ? content.type : `${method} ${Object.keys(state ?? {})}`;
    const bytes = msg.buffers?.reduce((sum, { byteLength }) => sum + byteLength, 0) ?? 0;
    window.crossed.push({ direction, what, bytes, at: performance.now() });
  });
}"""


@pytest.fixture
def shown(lab):
    """The digits network looking at a digit, in two cells."""
    nb = lab.open(IMPORT, DIGIT, size=(1600, 1000))
    nb.run(0)
    nb.run(1)
    return nb, MapsPage(nb)


def test_a_cell_shows_what_the_demo_network_sees_in_a_photo(lab):
    nb = lab.open(
        "import nbcnnviz as nv\nnet = nv.Network.demo()",
        "w = nv.FeatureMaps(net, nv.sample_image('cat'))\nw",
    )
    nb.run(0)
    outputs = nb.run(1)
    view = MapsPage(nb)
    assert outputs[0]["data"].keys() >= {
        "application/vnd.jupyter.widget-view+json",
        "image/png",
        "text/plain",
    }
    scores = view.scores()
    assert len(scores) == 5
    assert any("cat" in text for text in scores.values())
    best = nb.value(
        "(lambda p: [p.index, p.label, p.probability])(net.predict(nv.sample_image('cat'), 1)[0])"
    )
    assert scores[best[0]].split("\n") == [best[1], f"{best[2]:.3f}"]
    # On and back: a layer at the other end of the network.
    nb.execute("w.channel = 3")
    nb.until(lambda: view.open_channel() == 3)
    nb.execute("w.channel = None")
    nb.until(lambda: view.open_channel() is None)
    before, last = (
        nb.pixels(view.root),
        nb.value(
            "[e['name'] for e in w._layers if len(e['shape']) == 3 and e['shape'][1] > 1][-1]"
        ),
    )
    nb.execute(f"w.layer = {last!r}")
    nb.until(lambda: view.layer() == last and nb.pixels(view.root) != before)


def test_browser_and_python_know_of_each_other(shown):
    nb, view = shown
    maps = digit_maps()
    view.slide("size", 32)
    places = view.shows(painted(maps["relu1"]))
    # The browser's choices in Python.
    view.ribbon.focus()
    nb.page.keyboard.press("ArrowRight")
    nb.page.keyboard.press("ArrowRight")
    nb.until(lambda: nb.value("w.layer") == "conv2")
    view.pick("relu1")
    nb.until(lambda: nb.value("w.layer") == "relu1")
    view.shows(painted(maps["relu1"]))
    view.choose("sort", "max")
    view.choose("colours", "magma")
    view.choose("scale", "layer")
    view.root.get_by_role("checkbox", name="hide dead").check()
    wanted = ["max", "magma", "layer", True]
    nb.until(lambda: nb.value("[w.sort, w.colormap, w.scale, w.hide_dead]") == wanted)
    # Python's in the browser.
    nb.execute("w.sort, w.colormap, w.scale, w.hide_dead = 'index', 'auto', 'map', False")
    view.shows(painted(maps["relu1"]))
    assert not view.root.get_by_role("checkbox", name="hide dead").is_checked()
    nb.execute("w.layer, w.channel = 'conv1', 7")
    nb.until(lambda: view.layer() == "conv1" and view.open_channel() == 7)
    nb.execute("w.channel = None")
    view.shows(painted(maps["conv1"]))
    # Pointing.
    channel, y, x = 9, 13, 22
    view.point(places[channel][0] + x + 0.5, places[channel][1] + y + 0.5)
    nb.until(lambda: "≈" not in view.said() and view.hovered())
    seen = view.hovered()
    assert seen[:3] == (channel, y, x)
    assert float(seen[3]) == significant(nb.value(f"w.maps[{channel}, {y}, {x}].item()"))
    # A channel, opened and closed here.
    view.stage.click(position={"x": places[9][0] + 16, "y": places[9][1] + 8})
    nb.until(lambda: nb.value("w.channel") == 9)
    nb.page.keyboard.press("Escape")
    nb.until(lambda: nb.value("w.channel") is None)
    # What is wrong is refused in words, and changes nothing.
    for setting, message in (
        ("layer = 'conv9'", "conv9"),
        ("layer = 'fc'", "has no maps"),
        ("channel = 16", "channels 0 to 15"),
        ("image_index = 1", "there are 1 images"),
        ("colormap = 'jet'", "colormap='jet'"),
        ("sort = 3", "sort=3"),
    ):
        with pytest.raises(AssertionError, match=message):
            nb.execute(f"w.{setting}")
    assert nb.value("[w.layer, w.channel, w.sort]") == ["conv1", None, "index"]
    view.shows(painted(maps["conv1"]))


def test_looks_cost_no_question_and_pointing_few(shown):
    nb, view = shown
    nb.page.evaluate(LISTEN)

    def crossed():
        return nb.page.evaluate("() => window.crossed")

    def changes(what):
        before = nb.pixels(view.root)
        what()
        nb.until(lambda: nb.pixels(view.root) != before, "the picture changes")

    changes(lambda: view.slide("contrast", 70))
    changes(lambda: view.slide("size", 40))
    assert crossed() == [], "contrast and size concern this view alone"
    changes(lambda: view.choose("colours", "gray"))
    changes(lambda: view.choose("scale", "symmetric"))
    changes(lambda: view.choose("sort", "mean"))
    nb.until(lambda: nb.value("[w.colormap, w.scale, w.sort]") == ["gray", "symmetric", "mean"])
    # The settings themselves, so that Python knows of them; nothing is asked, no maps come.
    sent = [message["what"] for message in crossed() if message["direction"] == "send"]
    assert sent == ["update colormap", "update scale", "update sort"]
    questions = {"ask", "ack", "reply", "progress"}
    assert not questions & {message["what"] for message in crossed()}
    # Wild pointing: at most 60 messages a second, and small ones.
    nb.page.evaluate("() => { window.crossed.length = 0; }")
    started = nb.page.evaluate("() => performance.now()")
    box = view.stage.bounding_box()
    for step in range(150):
        x = box["x"] + 5 + (step * 37) % (box["width"] - 10)
        nb.page.mouse.move(x, box["y"] + 5 + (step * 61) % 80)
    nb.until(lambda: view.state() == "idle")
    seconds = (nb.page.evaluate("() => performance.now()") - started) / 1000
    messages = crossed()
    assert len(messages) <= 60 * max(1, seconds)
    assert all(message["bytes"] <= 32e6 for message in messages)
    assert nb.value("w.channel") is None


def test_refresh_after_more_training(shown):
    nb, view = shown
    view.slide("size", 32)
    view.shows(painted(digit_maps()["relu1"]))
    scores = view.scores()
    nb.execute("""
with torch.no_grad():
    net.model.conv1.weight.mul_(-1); net.model.conv1.bias.mul_(-1)
    net.model.fc.weight.mul_(0.1)
w.refresh()""")
    changed = nv.Network.digits()
    changed.model.conv1.weight.data *= -1
    changed.model.conv1.bias.data *= -1
    image = changed.prepare(nv.sample_image("digit"))[0]
    view.shows(painted(hooked(changed.model, image)["relu1"]))
    nb.until(lambda: view.scores() != scores, "the predictions are new too")


def test_two_views_share_what_is_chosen_and_not_where_one_looks(lab):
    nb = lab.open(
        IMPORT + "w = nv.FeatureMaps(net, digit, layer='conv2')", "w", "w", size=(1600, 1000)
    )
    for cell in range(3):
        nb.run(cell)
    one, two = MapsPage(nb), MapsPage(nb, 1)
    one.slide("size", 192)
    one.grid.evaluate("grid => { grid.scrollTop = 200; }")
    one.slide("contrast", 50)
    scroll = "grid => grid.scrollTop"
    assert [view.grid.evaluate(scroll) for view in (one, two)] == [200, 0]
    nb.until(lambda: nb.pixels(one.root) != nb.pixels(two.root))
    one.choose("colours", "cividis")
    chosen = two.root.get_by_role("combobox", name="colours")
    nb.until(lambda: chosen.input_value() == "cividis")
    assert one.grid.evaluate(scroll) == 200
    two.pick("relu1")
    nb.until(lambda: one.layer() == two.layer() == "relu1")
    nb.until(lambda: one.state() == two.state() == "idle")
    two.grid.focus()
    nb.page.keyboard.press("Enter")
    nb.until(lambda: one.open_channel() == two.open_channel() == 0)
    nb.until(lambda: nb.value("w.channel") == 0)
    nb.execute("w.channel = None")
    nb.until(lambda: one.open_channel() is None and two.open_channel() is None)
    # One goes, the other lives.
    nb.page.evaluate("""() => {
      const { content } = window.jupyterapp.shell.currentWidget;
      content.widgets[1].model.clearExecution();
    }""")
    nb.until(lambda: nb.page.locator(".nbcnnviz").count() == 1)
    left = MapsPage(nb)
    left.pick("conv1")
    nb.until(lambda: nb.value("w.layer") == "conv1" and left.layer() == "conv1")
    left.slide("size", 32)
    left.choose("colours", "auto")
    left.shows(painted(digit_maps()["conv1"]))


def test_stop_interrupt_errors_and_a_busy_kernel(lab):
    nb = lab.open(SLOW, COMPUTE, "time.sleep(3)")
    nb.run(0)
    view = MapsPage(nb)
    compare = view.root.locator("[data-role=compare]")
    maps = compare.get_by_role("button").locator("canvas:nth-of-type(2)")

    # Stop: within half a second, what has come stays.
    nb.execute("pause[0] = 0.1\nw.channel = 1")
    nb.until(lambda: view.open_channel() == 1)
    view.root.get_by_role("button", name="compare images").click()
    nb.until(lambda: maps.count() >= 5, "partial results")
    assert view.state() == "busy"
    assert "of 40" in view.root.locator("footer").inner_text()
    took = view.root.evaluate("""root => new Promise((resolve) => {
      const started = performance.now();
      const look = () => {
        if (root.dataset.state !== "busy") resolve(performance.now() - started);
      };
      new MutationObserver(look).observe(root, { attributes: true });
      [...root.querySelectorAll("button")].find((b) => b.textContent === "Stop").click();
    })""")
    assert took <= 500
    assert 5 <= maps.count() < 40
    assert "Stopped" in compare.inner_text()
    running = "w._endpoint.worker.busy"
    nb.until(lambda: not nb.value(running), "the kernel has stopped too")

    # The interrupt key: control is back within a second, and the next call works.
    nb.execute("w.channel, w.layer = None, 'relu'")
    nb.until(lambda: view.layer() == "relu" and view.state() == "idle")
    nb.start(1)
    busy = "() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.status"
    nb.until(lambda: any("of 40" in o.get("text", "") for o in nb.outputs(1)), "progress")
    took = nb.page.evaluate("""async () => {
      const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
      const started = performance.now();
      await kernel.interrupt();
      while (kernel.status !== "idle") await new Promise((go) => setTimeout(go, 5));
      return performance.now() - started;
    }""")
    assert took <= 1000
    nb.until(lambda: nb.outputs(1)[-1]["text"].endswith("interrupted\n"))
    nb.execute("pause[0] = 0.0")
    nb.run(1)
    assert "40 of 40\ntorch.Size([4, 30, 30])" in nb.outputs(1)[0]["text"]

    # A model that breaks: in words, and gone with the next answer.
    nb.execute(
        "failure[0] = 'the <b>model</b> broke'\nwith torch.no_grad(): "
        "w.net.model.conv.weight.mul_(2)"
    )
    view.pick("conv")
    view.wait("error")
    assert "the <b>model</b> broke" in view.error.inner_text()
    nb.execute("failure[0] = None")
    view.ribbon.focus()
    for key, layer in (("ArrowRight", "relu"), ("ArrowLeft", "conv"), ("ArrowRight", "relu")):
        nb.page.keyboard.press(key)
        nb.until(lambda name=layer: view.layer() == name)
    view.wait("idle")
    assert view.error.count() == 0

    # A cell that runs: answers come meanwhile, or the widget says what it waits for.
    nb.start(2)
    nb.until(lambda: nb.page.evaluate(busy) == "busy")
    before = nb.pixels(view.root)
    view.ribbon.focus()
    nb.page.keyboard.press("ArrowLeft")
    nb.until(lambda: nb.pixels(view.root) != before or view.state() in ("busy", "offline"))
    nb.until(lambda: view.state() == "idle" and nb.pixels(view.root) != before)
    assert view.layer() == "conv"


def test_a_kernel_that_ends_amid_work_says_nothing_odd(shown):
    nb, view = shown
    for layer in ("conv1", "conv2", "relu2"):
        nb.execute(f"w.layer = {layer!r}")
    nb.until(lambda: view.layer() == "relu2" and view.state() == "idle")
    nb.shutdown()
    view.ribbon.focus()
    nb.page.keyboard.press("ArrowRight")
    view.wait("offline")
    # The kernel's last words are on their way until the server has heard them all.
    gone = """async () => {
      const kernels = await (await fetch("/api/kernels")).json();
      return kernels.length === 0;
    }"""
    nb.until(lambda: nb.page.evaluate(gone))
    assert view.error.count() == 1, "the banner alone"
    nb.check()


def test_a_kernel_that_restarts(shown):
    nb, view = shown
    nb.restart()
    view.wait("offline")
    assert "Kernel gone" in view.error.inner_text()
    # What needs no kernel goes on.
    before = nb.pixels(view.root)
    view.choose("colours", "gray")
    nb.until(lambda: nb.pixels(view.root) != before)
    view.point(40, 40)
    nb.until(view.hovered)
    view.stage.click(position={"x": 40, "y": 40})
    nb.until(lambda: view.open_channel() is not None)
    view.root.get_by_role("button", name="all maps").click()
    nb.until(lambda: view.open_channel() is None)
    # And the cell run again gives a widget that works.
    nb.run(0)
    nb.run(1)
    nb.until(lambda: nb.page.locator(".nbcnnviz").count() == 1)
    view = MapsPage(nb)
    view.pick("conv2 24 x")
    nb.until(lambda: nb.value("w.layer") == "conv2" and view.state() == "idle")
    assert view.error.count() == 0


def test_a_saved_notebook_shows_the_same_when_it_is_opened_again(lab):
    nb = lab.open(IMPORT, "w = nv.FeatureMaps(net, digit, layer='conv2', sort='max')\nw")
    nb.run(0)
    nb.run(1)
    view = MapsPage(nb)
    nb.save_widget_state(True)
    view.choose("colours", "magma")
    nb.page.mouse.move(1, 1)
    nb.until(lambda: nb.value("w.colormap") == "magma")
    view.grid.evaluate("grid => document.activeElement.blur()")
    view.wait("idle")
    before, scores = view.canvas(), view.scores()
    nb.save()
    state = nb.saved()["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    mine = [model for model in state.values() if model["state"].get("_epoch")]
    assert len(mine) == 1
    assert len(json.dumps(mine[0])) <= 1_000_000
    nb.reopen()
    view = MapsPage(nb, state="offline")
    nb.until(lambda: np.array_equal(view.canvas(), before), "the same picture as before")
    assert view.scores() == scores
    assert view.layer() == "conv2"
    view.choose("colours", "gray")
    nb.until(lambda: not np.array_equal(view.canvas(), before))
    nb.run(0)
    nb.run(1)
    assert MapsPage(nb).root.get_by_role("combobox", name="colours").input_value() == "auto"


def test_without_saved_state_the_snapshot_shows(lab):
    nb = lab.open(IMPORT, DIGIT, "w.snapshot()", "w.snapshot(interactive=True)")
    for cell in range(4):
        nb.run(cell)
    nb.save()
    assert "widgets" not in nb.saved()["metadata"]
    nb.reopen()
    still = nb.page.locator(".jp-OutputArea-output img")
    nb.until(lambda: still.last.evaluate("img => img.complete && img.naturalWidth") >= 400)
    frame = nb.page.frame_locator("iframe[title=nbcnnviz]")
    alive = frame.locator(".nbcnnviz canvas[data-role=stage]")
    alive.scroll_into_view_if_needed()
    nb.painted(alive)
    before = nb.pixels(alive)
    frame.get_by_role("combobox", name="colours").select_option("gray")
    nb.until(lambda: nb.pixels(alive) != before)
    # The widget's own output has no model to show; JupyterLab says so.
    nb.until(lambda: any("widget model not found" in error for error in nb.errors))
    nb.errors[:] = [error for error in nb.errors if "widget model not found" not in error]


def test_a_cell_run_twenty_times_holds_one_widget(shown):
    nb, _ = shown
    live = """(lambda gc, all_: [sum(isinstance(o, nv.FeatureMaps) and o._alive
        for o in gc.get_objects()), len(all_)])(
        (lambda gc: (gc.collect(), gc)[1])(__import__('gc')),
        __import__('ipywidgets').widgets.widget._instances)"""
    nb.run(1)
    first = nb.value(live)
    for _ in range(20):
        nb.run(1)
    MapsPage(nb)
    assert nb.value(live) == first
    assert first[0] == 1
    assert nb.page.locator(".nbcnnviz").count() == 1


def test_the_theme_and_the_width_of_the_notebook(lab):
    nb = lab.open(IMPORT, DIGIT, size=(820, 900))
    nb.run(0)
    nb.run(1)
    view = MapsPage(nb)

    def ground():
        colour = view.root.evaluate("root => getComputedStyle(root).backgroundColor")
        return sum(int(n) for n in colour[4:-1].split(",")[:3]) / 3

    assert ground() > 200
    nb.theme("dark")
    nb.until(lambda: view.root.get_attribute("data-theme") == "dark" and ground() < 60)
    view.root.evaluate("root => { root.parentElement.style.width = '480px'; }")
    nb.until(lambda: view.root.evaluate("root => root.offsetWidth") <= 480)
    assert view.root.evaluate("root => root.scrollWidth <= root.clientWidth")
    view.grid.focus()
    nb.page.keyboard.press("Enter")
    nb.until(lambda: view.open_channel() == 0)
    assert view.root.evaluate("root => root.scrollWidth <= root.clientWidth")
