"""Attribution in JupyterLab: methods side by side, another class, a neuron, evidence, Python."""

from __future__ import annotations

import pytest
from attribution_page import AttributionPage

DEMO = """
import torch, nbcnnviz as nv
net = nv.Network.demo()
cat = nv.sample_image("cat")
w = nv.Attribution(net, cat)
"""
DIGITS = """
import torch, nbcnnviz as nv
net = nv.Network.digits()
w = nv.Attribution(net, nv.sample_image("digit"), layer="conv2")
"""


def ranges(view):
    """Of each method, its smallest and largest raw value as the page says it."""
    found = {}
    for canvas in view.root.locator("canvas[data-method]").all():
        values = [canvas.get_attribute(f"data-{name}") for name in ("min", "max")]
        found[canvas.get_attribute("data-method")] = [float(value or "nan") for value in values]
    return found


def agrees(nb, view, target):
    """What the page says of each method is what the backend gives."""
    page = ranges(view)
    for method, (low, high) in page.items():
        layer = ", layer=w.layer" if method == "gradcam" else ""
        expected = nb.value(
            f"(lambda a: [a.minimum, a.maximum])"
            f"(nv.backend.attribute(net, w._x, {method!r}, {target!r}{layer}))"
        )
        assert [low, high] == pytest.approx(expected, rel=1e-3, abs=1e-6)
    return list(page)


@pytest.fixture
def demo(lab):
    nb = lab.open(DEMO, "w", size=(1500, 1300))
    nb.run(0)
    nb.run(1)
    return nb, AttributionPage(nb)


def test_methods_side_by_side_for_another_class_and_for_a_difference(demo):
    nb, view = demo
    assert nb.value("w.target.name") == "tiger cat"
    assert agrees(nb, view, "tiger cat") == ["gradient", "guided_backprop", "gradcam"]
    assert "9.27" in view.headline.inner_text()
    # From Python.
    nb.execute("w.target = 'bucket'")
    nb.until(lambda: "bucket" in view.headline.inner_text(), "another class is explained")
    view.fresh()
    agrees(nb, view, "bucket")
    nb.execute("w.target = ('tiger cat', 'minus', 'Egyptian cat')")
    nb.until(lambda: "Egyptian cat" in view.headline.inner_text(), "a difference")
    # From the page.
    view.explain("explain", "tabby")
    nb.until(lambda: nb.value("w.target.name").startswith("tabby"), "Python knows")
    view.wait("idle")
    assert view.root.get_attribute("data-score") is not None


def test_looks_cost_no_question(demo):
    nb, view = demo
    nb.execute(
        "asked = []; w.on_msg(lambda _, content, buffers: asked.append(content.get('type')))"
    )
    before = nb.pixels(view.root)
    view.choose("values", "signed")
    view.slide("opacity", 40)
    nb.until(lambda: nb.pixels(view.root) != before, "the pictures change")
    view.slide("threshold", 50)
    nb.page.wait_for_timeout(500)
    assert "ask" not in nb.value("asked")
    nb.until(lambda: nb.value("[w.reduce, w.share]") == ["signed", 0.25], "Python knows")


def test_a_neuron_and_what_the_page_cannot_have(lab):
    nb = lab.open(DIGITS, "w", size=(1500, 1300))
    nb.run(0)
    nb.run(1)
    view = AttributionPage(nb)
    nb.execute("w.unit = (3, 'max')")
    nb.until(lambda: "conv2" in view.headline.inner_text(), "the neuron is named")
    view.wait("idle")
    score = nb.value("w.results['gradient'].score")
    assert f"{score:.3g}" in view.headline.inner_text()
    with pytest.raises(AssertionError, match="channel 99"):
        nb.execute("w.unit = 99")
    nb.execute("w.unit = None; w.target = 8")
    nb.until(lambda: nb.value("w.target.index") == 8 and "8" in view.headline.inner_text())
    view.wait("idle")


def test_a_mask_for_occlusion_and_a_restart(demo):
    nb, view = demo
    view.slide("threshold", 50)
    nb.until(lambda: nb.value("w.share") == 0.25)
    view.button("use Grad-CAM as mask").click()
    nb.until(lambda: nb.value("w.mask is not None"), "the mask is in Python")
    assert 0 < nb.value("float(w.mask.mean())") <= 0.25
    assert nb.value("float(w.to_occlusion().mask.mean())") == pytest.approx(
        nb.value("float(w.mask.mean())"), abs=1e-3
    )
    nb.restart()
    view.wait("offline")
    view.point(100, 100)
    nb.until(lambda: len(view.values()) == 3, "the cursor goes on without a kernel")
