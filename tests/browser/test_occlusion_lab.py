"""Occlusion in JupyterLab: painted with the mouse, read in Python, swept, stopped, restarted."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from occlusion_page import OcclusionPage

SIZE = 224
DEMO = """
import numpy as np, torch
import nbcnnviz as nv
net = nv.Network.demo()
def direct(w):
    "What a plain pass says of the mask, and what it says in the widget."
    logits = nv.backend.occlude(net, w._x, w.mask, w.fill)
    return [logits.softmax(0).tolist(), torch.from_numpy(w.scores).softmax(0).tolist()]
"""
COFFEE = "w = nv.Occlusion(net, nv.sample_image('coffee'))\nw"

COMPUTE = """
try:
    w.compute()
    print("whole")
except KeyboardInterrupt:
    print("interrupted", int(w.sweep.known.sum()) > 0, w.sweep.complete)
"""

# The kernel's answers and the view's questions, as they cross.
LISTEN = """() => {
  window.crossed = [];
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  kernel.anyMessage.connect((_, { msg, direction }) => {
    if (msg.header.msg_type !== "comm_msg") return;
    const { method, content } = msg.content.data ?? {};
    if (method !== "custom" || content.lane !== "scores") return;
    window.crossed.push([direction, content.type, content.seq]);
  });
}"""


class Painting(OcclusionPage):
    """An Occlusion in a notebook, over a picture of 224 x 224."""

    def at(self, x, y, canvas=None):
        box = (canvas or self.stage).bounding_box()
        return box["x"] + x / SIZE * box["width"], box["y"] + y / SIZE * box["height"]

    def still(self):
        """Nothing is under way: what is shown is what is painted."""
        self.wait("idle")
        self.page.until(
            lambda: not self.page.value("w._endpoint.worker.busy"), "the kernel is done"
        )


@pytest.fixture
def coffee(lab):
    nb = lab.open(DEMO, COFFEE, COMPUTE, size=(1500, 1100))
    nb.run(0)
    nb.run(1)
    return nb, Painting(nb)


def shown(view):
    """Of each class in the list, the probability in the page."""
    return {
        index: float(next(part for part in text.split() if part.startswith(("0.", "1."))))
        for index, text in view.scores().items()
    }


def agrees(nb, view):
    """The page, Python and a plain pass of the same masked image say the same."""
    plain, python = map(np.array, nb.value("direct(w)"))
    page = shown(view)
    assert len(page) >= 5
    assert np.abs(plain - python).max() < 1e-4
    for index, value in page.items():
        assert value == pytest.approx(plain[index], abs=6e-4)
    return plain


def test_a_class_is_flipped_with_the_mouse(coffee):
    nb, view = coffee
    clean = agrees(nb, view)
    espresso = int(clean.argmax())
    assert nb.value(f"net.label({espresso})") == "espresso"
    view.tool("brush")
    view.slide("size", 64)
    view.drag((60, 90), (160, 90))
    view.still()
    assert 0.05 < nb.value("float(w.mask.mean())") < 0.5
    after = agrees(nb, view)
    assert after[espresso] < clean[espresso]
    assert nb.value("len(w.history)") == 1
    # All but a strip at the bottom: whatever that is, it is no espresso.
    view.tool("rectangle")
    view.drag((2, 2), (222, 180))
    view.still()
    flipped = agrees(nb, view)
    assert int(flipped.argmax()) != espresso
    assert "was espresso" in view.verdict.inner_text()
    assert nb.value("net.label(int(w.scores.argmax()))") in view.verdict.inner_text()
    view.button("undo").click()
    view.still()
    assert np.allclose(agrees(nb, view), after, atol=1e-4)
    view.button("clear").click()
    view.still()
    assert np.allclose(agrees(nb, view), clean, atol=1e-4)
    assert "the answer" in view.verdict.inner_text()
    assert "was espresso" not in view.verdict.inner_text()


def test_masks_from_python(coffee):
    nb, view = coffee
    before = nb.pixels(view.root)
    nb.execute("m = np.zeros((224, 224), bool); m[:, 60:] = True; w.mask = m")
    nb.until(lambda: nb.pixels(view.root) != before, "the mask is painted")
    view.still()
    agrees(nb, view)
    nb.execute("w.fill = 'black'")
    view.still()
    nb.until(lambda: view.root.get_by_role("combobox", name="fill").input_value() == "black")
    agrees(nb, view)
    with pytest.raises(AssertionError, match="give a mask"):
        nb.execute("w.mask = np.zeros((3, 3))")
    with pytest.raises(AssertionError, match="did you mean 'espresso'"):
        nb.execute("w.target = 'expresso'")
    view.button("undo").click()
    view.still()
    assert nb.value("float(w.mask.max())") == 0


@pytest.mark.parametrize("seed", [1])
def test_a_thousand_pointer_events(lab, seed):
    nb = lab.open(
        DEMO.replace("demo()", "digits()"),
        "w = nv.Occlusion(net, nv.sample_image('digit'))\nw",
        size=(1500, 1100),
    )
    nb.run(0)
    nb.run(1)
    view = Painting(nb)
    nb.page.evaluate(LISTEN)
    chance = random.Random(seed)
    mouse = nb.page.mouse
    for _ in range(20):
        view.tool(chance.choice(["brush", "rectangle", "stamp", "eraser"]))
        points = [(chance.randrange(4, 220), chance.randrange(4, 220)) for _ in range(5)]
        mouse.move(*view.at(*points[0]))
        mouse.down()
        for point in points[1:]:
            mouse.move(*view.at(*point), steps=12)
        mouse.up()
        if chance.random() < 0.2:
            view.press("Control+z")
    view.still()
    nb.page.wait_for_timeout(300)
    view.still()
    plain, python = map(np.array, nb.value("direct(w)"))
    assert np.abs(plain - python).max() < 1e-4
    page = shown(view)
    assert all(value == pytest.approx(plain[index], abs=6e-4) for index, value in page.items())
    # One question is out at a time; the kernel runs at most as often as there were events.
    out, asked = set(), set()
    for direction, kind, seq in nb.page.evaluate("() => window.crossed"):
        if (direction, kind) == ("send", "ask"):
            # The same number again is the same question, after a silence of 2 s.
            out.add(seq)
            asked.add(seq)
            assert len(out) == 1, "a question was asked while another was out"
        elif (direction, kind) == ("recv", "reply"):
            out.discard(seq)
    assert 20 <= len(asked) <= 1000


def test_a_sweep_is_run_and_read(coffee):
    nb, view = coffee
    view.button("Run").click()
    nb.until(lambda: view.root.get_attribute("data-state") == "busy")
    nb.until(lambda: "of 169" in view.root.locator("footer").inner_text(), "progress")
    nb.until(lambda: nb.value("w.sweep is not None and w.sweep.complete"), "the whole sweep")
    view.still()
    reference = nb.value(
        "nv.backend.occlusion_sweep(net, w._x, 32, 16, engine='plain').scores.tolist()"
    )
    assert np.allclose(nb.value("w.sweep.scores.tolist()"), reference, atol=1e-3)
    box = view.map.bounding_box()
    nb.page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    nb.until(lambda: "square at (96, 96)" in view.status.inner_text(), "the square is named")
    score = nb.value("float(w.sweep.scores[6, 6])")
    assert f"{score:.3g}" in view.status.inner_text()
    nb.page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    view.still()
    assert nb.value("[int(w.mask.sum()), float(w.mask[96:128, 96:128].min())]") == [1024, 1]
    # Another class of the same sweep, at once.
    nb.execute("w.target = 'cup'")
    nb.until(lambda: "cup" in view.caption.inner_text(), "the map of another class")
    assert nb.value("w.sweep.target.name") == "cup"


def test_a_sweep_is_stopped_and_interrupted(coffee):
    nb, view = coffee
    view.still()
    nb.execute("w.window, w.stride = 64, 4")
    nb.until(lambda: view.root.get_by_role("combobox", name="stride").input_value() == "4")
    view.button("Run").click()
    nb.until(lambda: "of 1681" in view.root.locator("footer").inner_text(), "progress")
    # Painting goes on meanwhile.
    view.drag((60, 90), (100, 90))
    nb.until(lambda: nb.value("len(w.history)") == 1, "the stroke is answered during the sweep")
    assert nb.value("w._endpoint.worker.busy")
    took = view.root.evaluate("""root => new Promise((resolve) => {
      const started = performance.now();
      const look = () => {
        if (root.dataset.state !== "busy") resolve(performance.now() - started);
      };
      new MutationObserver(look).observe(root, { attributes: true });
      [...root.querySelectorAll("footer button")].find((b) => b.textContent === "Stop").click();
    })""")
    assert took <= 1000
    nb.until(lambda: nb.value("w.sweep is not None and not w.sweep.complete"), "a part is kept")
    view.still()
    agrees(nb, view)
    # The interrupt key.
    nb.start(2)
    nb.until(lambda: any("of 1681" in o.get("text", "") for o in nb.outputs(2)), "progress")
    nb.interrupt()
    nb.until(lambda: "interrupted True False" in json.dumps(nb.outputs(2)), "control is back")
    nb.execute("w.window, w.stride = 64, 64")
    nb.run(2)
    assert "whole" in json.dumps(nb.outputs(2))


def test_a_restart_leaves_what_is_painted_in_sight(coffee):
    nb, view = coffee
    view.slide("size", 48)
    view.drag((60, 90), (120, 120))
    view.still()
    painted = nb.pixels(view.root)
    nb.restart()
    view.wait("offline")
    for kind in ("dark", "light"):
        nb.theme(kind)
        # JupyterLab itself throws when one theme is exchanged while the last is still being.
        nb.page.wait_for_timeout(1000)
    nb.page.mouse.move(5, 5)
    nb.until(lambda: nb.pixels(view.root) == painted, "the mask is still there")
    nb.run(0)
    nb.run(1)
    view = Painting(nb)
    assert nb.value("float(w.mask.max())") == 0
    view.drag((60, 90), (120, 120))
    view.still()
    agrees(nb, view)


def test_a_saved_notebook_shows_mask_scores_and_sweep(lab):
    nb = lab.open(
        DEMO, COFFEE.replace(")\nw", ", window=64, stride=32)\nw"), COMPUTE, size=(1500, 1100)
    )
    nb.run(0)
    nb.run(1)
    view = Painting(nb)
    nb.save_widget_state(True)
    nb.run(2)
    view.drag((60, 90), (160, 90))
    view.still()
    nb.page.wait_for_timeout(800)  # what is saved, is saved after a while
    nb.page.mouse.move(5, 5)
    scores, picture, caption = view.scores(), nb.pixels(view.root), view.caption.inner_text()
    nb.save()
    state = json.dumps(nb.saved()["metadata"]["widgets"])
    assert len(state) < 1_000_000
    nb.reopen()
    view = Painting(nb, state="offline")
    assert view.scores() == scores
    assert view.caption.inner_text() == caption
    nb.until(lambda: nb.pixels(view.root) == picture)


def test_hiding_the_stripes_turns_the_tiger_cat_into_another_one(lab):
    nb = lab.open(DEMO, "w = nv.Occlusion(net, nv.sample_image('cat'))\nw", size=(1500, 1100))
    nb.run(0)
    nb.run(1)
    view = Painting(nb)
    clean = agrees(nb, view)
    assert nb.value(f"net.label({int(clean.argmax())})") == "tiger cat"
    # What a sweep says matters most is what to paint over.
    top, left = nb.value(
        "(lambda s: s.positions[int(s.scores.argmin())].tolist()[:2])"
        "(nv.backend.occlusion_sweep(net, w._x, 48, 16))"
    )
    view.tool("brush")
    view.slide("size", 64)
    view.drag((left + 12, top + 24), (left + 36, top + 24))
    view.still()
    after = agrees(nb, view)
    assert int(after.argmax()) != int(clean.argmax())
    assert "was tiger cat" in view.verdict.inner_text()


def test_quick_strokes_are_all_in_the_history(lab):
    nb = lab.open(DEMO, "w = nv.Occlusion(net, nv.sample_image('coffee'))\nw", size=(1500, 1100))
    nb.run(0)
    nb.run(1)
    view = Painting(nb)
    view.slide("size", 16)
    # Slower than the mouse: several strokes begin while an answer is on its way.
    nb.execute(
        "import time; slow = w._painter.scores\n"
        "w._painter.scores = lambda *a: (time.sleep(0.2), slow(*a))[1]"
    )
    for number in range(6):
        view.drag((20 + 30 * number, 60), (30 + 30 * number, 90))
    view.still()
    masks = nb.value("[int(painted.mask.sum()) for painted in w.history]")
    assert len(masks) == 6 and masks == sorted(set(masks))
    agrees(nb, view)


def test_two_views_paint_on_one_mask(lab):
    nb = lab.open(
        DEMO + "w = nv.Occlusion(net, nv.sample_image('coffee'))", "w", "w", size=(1500, 2400)
    )
    for cell in range(3):
        nb.run(cell)
    one, two = (Painting(nb, index=index) for index in (0, 1))
    before = nb.pixels(two.root)
    one.slide("size", 48)
    one.drag((60, 90), (160, 90))
    one.still()
    nb.until(lambda: nb.pixels(two.root) != before, "the other view shows the stroke")
    nb.until(lambda: shown(two) == shown(one), "and its scores")
    nb.page.wait_for_timeout(500)
    two.still()
    agrees(nb, two)
    # Size and tool are each view's own; undo in one takes back what was painted in the other.
    assert two.root.get_by_role("slider", name="size").input_value() != "48"
    two.button("clear").click()
    two.still()
    nb.until(lambda: nb.value("float(w.mask.max())") == 0)
    nb.until(lambda: shown(one) == shown(two), "one shows the clean scores again")
    agrees(nb, one)
    # A sweep asked for in one is seen in both, and one goes while the other lives.
    one.button("Run").click()
    nb.until(lambda: nb.value("w.sweep is not None and w.sweep.complete"), "the sweep")
    nb.until(lambda: one.caption.inner_text() == two.caption.inner_text() != "", "both show it")
    nb.page.evaluate("""() => {
      const { content } = window.jupyterapp.shell.currentWidget;
      content.widgets[2].model.clearExecution();
    }""")
    nb.until(lambda: nb.page.locator(".nbcnnviz").count() == 1)
    one.drag((60, 120), (120, 120))
    one.still()
    agrees(nb, one)
