"""Embedding in JupyterLab: t-SNE at work, the lasso in Python, restart, saved notebooks."""

from __future__ import annotations

import json

import pytest
from embedding_page import COUNT_CONTEXTS, EmbeddingPage

SETUP = """
import numpy as np
import nbcnnviz as nv
from PIL import Image
from sklearn.datasets import load_digits
data = load_digits()
digits = [Image.fromarray(each) for each in (data.images[:600] * 255 / 16).astype(np.uint8)]
labels = data.target[:600]
net = nv.Network.digits()
"""
MAKE = "w = nv.Embedding(net, digits, labels, layer='gap'); w"
DRAWN = [(0.25, 0.15), (0.8, 0.3), (0.55, 0.85), (0.3, 0.7)]

# Every iteration that is shown, and the picture of it.
FILM = """(root) => {
  window.seen = [];
  const stage = root.querySelector("canvas[data-role=stage]");
  const look = () => {
    const { method, iteration } = root.dataset;
    if (method === "tsne" && Number(iteration) !== window.seen.at(-1)?.[0])
      window.seen.push([Number(iteration), stage.toDataURL()]);
    requestAnimationFrame(look);
  };
  look();
}"""

# What lies in the polygon, of the places as the page has them.
WITHIN = """
from matplotlib.path import Path
from nbcnnviz.widgets._codec import unpack
from nbcnnviz.widgets._embedding_record import decoded
arrays = unpack(w._map)[1]
places = decoded(arrays["xy"], arrays["range"])
"""


@pytest.fixture
def opened(lab):
    nb = lab.open(SETUP, MAKE, size=(1500, 1200))
    nb.page.evaluate(COUNT_CONTEXTS)
    nb.run(0)
    nb.run(1)
    view = EmbeddingPage(nb)
    view.until_data(points=600, method="pca", painter="webgl")
    return nb, view


def test_tsne_moves_before_ones_eyes_and_stops(opened):
    nb, view = opened
    view.root.evaluate(FILM)
    view.choose("method", "tsne")
    nb.until(lambda: nb.value("w.method") == "tsne", "Python knows")
    view.wait("idle")
    view.until_data(iteration=750)
    seen = nb.page.evaluate("() => window.seen")
    frames = [iteration for iteration, _ in seen]
    assert frames == sorted(frames) and len(frames) >= 5
    assert len({picture for _, picture in seen}) > 2, "frames are seen to move"
    descent = view.root.locator("[data-role=descent]").get_attribute("aria-label")
    first, last = (float(word) for word in descent.split() if word[0].isdigit())
    assert last < first, "the KL divergence has fallen"
    assert last == pytest.approx(nb.value("float(w.projection.kl)"), rel=0.01)
    nb.until(lambda: view.quality.locator("dt").count() == 2, "the map is judged")
    trust = nb.value("float(w.quality.trustworthiness)")
    assert f"{trust:.3g}" in view.quality.inner_text()
    # Stop in the middle: what has come stays, and the widget is of use.
    view.slide("iterations", 2000)
    view.button("Run").click()
    nb.until(lambda: 40 < int(view.data("iteration")) < 750, "a new run")
    view.button("Stop").click()
    view.wait("idle")
    stopped = int(view.data("iteration"))
    assert stopped < 2000
    nb.page.wait_for_timeout(500)
    assert int(view.data("iteration")) == stopped
    view.lasso(DRAWN)
    nb.until(lambda: nb.value("len(w.selection)") == int(view.data("selected")) > 0)


def test_the_lasso_lands_in_python_exactly(opened):
    nb, view = opened
    for tool, corners in (("lasso", DRAWN), ("box", [(0.2, 0.2), (0.6, 0.9)])):
        view.tool(tool)
        view.drag(corners)
        nb.until(
            lambda: nb.value("len(w.selection)") == int(view.data("selected")) > 10, "it landed"
        )
        polygon = json.dumps(view.polygon().tolist())
        wanted = f"np.flatnonzero(Path({polygon}).contains_points(places))"
        nb.execute(WITHIN)
        assert nb.value(f"bool(np.array_equal(w.selection, {wanted}))")
        # The places are those of Python to half a step of their 16 bits.
        assert nb.value("float(np.abs(places - w.coordinates).max() / np.ptp(places))") < 1e-5
    assert nb.value("len(w.to_dataframe().query('selected'))") == int(view.data("selected"))
    text = view.root.inner_text()
    assert f"selected: {view.data('selected')} of 600" in text
    nb.until(lambda: view.montage.locator("canvas").count() == 48)
    view.button("Mean feature maps").click()
    nb.until(lambda: view.root.locator(".em-maps figure").count() > 3, "mean maps")


def test_python_selects_colours_and_renames_the_layer(opened):
    nb, view = opened
    before = nb.pixels(view.root)
    nb.execute("w.selection = np.flatnonzero(labels == 3)")
    view.until_data(selected=int(nb.value("int((labels == 3).sum())")))
    nb.until(lambda: nb.pixels(view.root) != before, "they are lit")
    nb.execute("w.selection = []; w.colour_by = 'confidence'")
    view.until_data(selected=0)
    nb.until(lambda: not view.legend.is_visible(), "numbers have a bar")
    nb.execute("w.layer = 'conv2'")
    nb.until(lambda: "PCA of conv2" in view.root.inner_text(), "another layer from Python")


def test_two_views_share_a_selection_and_have_a_context_each(lab):
    nb = lab.open(SETUP, MAKE, "w", size=(1300, 2600))
    nb.page.evaluate(COUNT_CONTEXTS)
    for index in range(3):
        nb.run(index)
    roots = nb.page.locator(".nbcnnviz[data-widget=embedding]")
    nb.until(lambda: roots.count() == 2)
    first = roots.nth(0)
    nb.until(lambda: [each.get_attribute("data-painter") for each in roots.all()] == ["webgl"] * 2)
    assert nb.page.evaluate("() => window.living()") == 2
    first.get_by_role("button", name="select 7").click()
    nb.until(lambda: nb.value("set(labels[w.selection].tolist()) == {7}"))
    chosen = first.get_attribute("data-selected")
    nb.until(lambda: roots.nth(1).get_attribute("data-selected") == chosen, "so does the other")
    # Away with the second one.
    nb.page.evaluate(
        """() => window.jupyterapp.shell.currentWidget.content.widgets[2].model.clearExecution()"""
    )
    nb.until(lambda: nb.page.evaluate("() => window.living()") == 1, "its context is given back")


def test_restart_leaves_what_can_be_looked_at(opened):
    nb, view = opened
    nb.restart()
    view.wait("offline")
    view.hover_anything()
    nb.until(view.card.is_visible, "what a point is")
    view.lasso(DRAWN)
    nb.until(lambda: int(view.data("selected")) > 0, "what a lasso catches")
    nb.run(0)
    nb.run(1)
    view = EmbeddingPage(nb)
    view.until_data(points=600, selected=0)
    view.legend.get_by_role("button", name="select 1").click()
    nb.until(lambda: nb.value("len(w.selection) > 0 and bool((labels[w.selection] == 1).all())"))


def test_a_saved_notebook_shows_its_map(opened):
    nb, view = opened
    nb.execute("w.selection = [3, 4, 5]")
    view.until_data(selected=3)
    nb.save_widget_state(True)
    nb.page.wait_for_timeout(500)
    path = nb.save()
    state = json.dumps(json.loads(path.read_text("utf-8"))["metadata"].get("widgets", {}))
    assert "_map" in state
    nb.reopen()
    view = EmbeddingPage(nb, state="offline")
    view.until_data(points=600, selected=3, method="pca")
    view.lasso(DRAWN)
    nb.until(lambda: int(view.data("selected")) > 10)


def test_the_time_lapse(opened):
    nb, view = opened
    view.button("Time-lapse").click()
    slider = view.root.get_by_role("slider", name="layer of the time-lapse")
    slider.wait_for()
    view.wait("idle")
    name = view.root.locator("[data-role=lapse]")
    seen = []
    view.button("Play").click()
    while not seen or view.root.get_by_role("button", name="Pause", exact=True).count():
        if name.inner_text() and name.inner_text() not in seen:
            seen.append(name.inner_text())
        nb.page.wait_for_timeout(50)
    assert len(seen) >= 3
    assert [each.split(" · ")[0] for each in seen] == nb.value("list(w.time_lapse().layers)")
