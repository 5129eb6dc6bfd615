"""DeepDream and StyleTransfer in JupyterLab: live runs, a restart, a notebook that is reopened."""

from __future__ import annotations

import json

import pytest
from dream_page import DreamPage

NET = """
import nbcnnviz as nv
net = nv.Network.demo()
cat = nv.sample_image("cat")
"""
DREAM = """w = nv.DeepDream(net, cat, "blocks.3.0.bn1.act", size=192, octaves=3, steps=40)
w"""
STYLE = """w = nv.StyleTransfer(net, cat, nv.sample_image("brick"), size=160, scales=2, steps=60)
w"""


def opened(lab, cell, stem):
    nb = lab.open(NET, cell, size=(1500, 1100))
    nb.run(0)
    nb.run(1)
    return nb, DreamPage(nb, stem=stem)


@pytest.fixture
def dream(lab):
    return opened(lab, DREAM, "deep_dream")


@pytest.fixture
def style(lab):
    return opened(lab, STYLE, "style_transfer")


def three_frames_differ(nb, view):
    """Pictures of three steps, seen while the run goes on."""
    seen = {}

    def look():
        step, pixels = view.shown_step(), nb.pixels(view.root)
        if step and pixels not in seen.values():
            seen[step] = pixels
        return len(seen) >= 3 and view.run() == "running"

    nb.until(look, "three different pictures while it runs")
    assert len(set(seen.values())) >= 3


def scrubbed(nb, view):
    """A hash of the first and of the last picture of the film, by the keyboard."""
    view.range.focus()
    view.press("Home")
    nb.until(lambda: view.range.input_value() == "0")
    nb.page.wait_for_timeout(300)
    first, step = nb.pixels(view.root), view.shown_step()
    assert f"frame at step {step} of" in view.where.inner_text()
    view.press("End")
    nb.until(lambda: view.button("live").get_attribute("aria-pressed") == "true")
    nb.page.wait_for_timeout(300)
    last = nb.pixels(view.root)
    assert first != last and step < view.shown_step()
    return first, last


def paused(nb, view):
    view.wait("paused")
    nb.until(lambda: nb.value("w.state") == "paused", "Python knows")
    step = view.step()
    nb.page.wait_for_timeout(400)
    assert view.step() == step == nb.value("w.frame.step")


def test_a_dream_from_the_start_to_a_kernel_that_is_gone(dream):
    nb, view = dream
    assert view.run() == "fresh"
    view.button("Play").click()
    three_frames_differ(nb, view)
    # Another layer in the middle of it.
    step = view.step()
    view.root.get_by_role("slider", name="Layer of the network").focus()
    view.press("ArrowRight")
    nb.until(lambda: nb.value("w.layer") != "blocks.3.0.bn1.act", "the layer is another one")
    nb.until(lambda: view.step() > step, "and the run goes on")
    assert nb.value("list(w.mix)") == [nb.value("w.layer")]
    view.button("Pause").click()
    paused(nb, view)
    # In full, whatever octave it is in.
    assert max(nb.value("w.result.size")) == 192
    scrubbed(nb, view)
    # On it goes from there; Stop in the frame ends it too.
    step = view.step()
    view.button("Play").click()
    nb.until(lambda: view.step() > step, "it goes on")
    view.button("Stop").click()
    paused(nb, view)
    before = scrubbed(nb, view)
    nb.restart()
    nb.until(lambda: view.root.get_attribute("data-state") == "offline")
    assert view.button("Play").is_disabled()
    assert scrubbed(nb, view) == before
    view.wipe.fill("0")
    nb.until(lambda: nb.pixels(view.root) not in before, "the beginning")


def test_a_dream_that_is_opened_again_without_a_kernel(dream):
    nb, view = dream
    nb.save_widget_state(True)
    nb.execute("w.steps = 6")
    view.button("Play").click()
    view.wait("done")
    assert view.step() == 18 == nb.value("w.frame.step")
    count = int(view.range.get_attribute("max"))
    nb.save()
    state = nb.saved()["metadata"]["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    mine = [model for model in state.values() if model["state"].get("_epoch")]
    assert len(mine) == 1 and len(json.dumps(mine[0])) <= 1_000_000
    nb.reopen()
    view = DreamPage(nb, stem="deep_dream")
    nb.until(lambda: view.root.get_attribute("data-state") == "offline")
    assert view.run() == "done" and view.step() == 18
    assert int(view.range.get_attribute("max")) >= min(count, 6)
    scrubbed(nb, view)
    assert "at step 18" in view.losses.get_attribute("aria-label")


def test_a_style_from_python_and_page_to_a_restart(style):
    nb, view = style
    nb.execute("w.play()")
    view.wait("running")
    three_frames_differ(nb, view)
    # Weights and the content's layer in the middle of it.
    view.slide("style", 100)
    nb.until(lambda: nb.value("w.style_weight") == 1000)
    view.root.get_by_role("slider", name="Layer of the network").focus()
    layer = nb.value("w.content_layer")
    view.press("ArrowRight")
    nb.until(lambda: nb.value("w.content_layer") != layer)
    step = view.step()
    nb.until(lambda: view.step() > step, "the run goes on")
    view.button("Pause").click()
    paused(nb, view)
    view.root.locator("[data-role=gram] summary").click()
    matrix = view.root.locator("canvas[data-matrix=target]")
    nb.until(lambda: view.pixels(matrix).std() > 5, "the Gram matrix is there")
    before = scrubbed(nb, view)
    nb.restart()
    nb.until(lambda: view.root.get_attribute("data-state") == "offline")
    assert scrubbed(nb, view) == before
