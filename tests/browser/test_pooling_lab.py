"""Pooling in JupyterLab: real networks, the mouse, the sliders, and Python beside them."""

from __future__ import annotations

import struct

import pytest

RESNET = """
import torch, nbcnnviz as nv
from torchvision import models
torch.manual_seed(0)
net = nv.Network(models.resnet18(weights=None))
w = nv.Pooling(net, nv.sample_image("cat"))
"""
DEMO = """
import torch, nbcnnviz as nv
net = nv.Network.demo()
w = nv.Pooling(net, nv.sample_image("coffee"))
"""
DIGITS = """
import torch, nbcnnviz as nv
net = nv.Network.digits()
w = nv.Pooling(net, nv.sample_image("digit"))
"""


class Pool:
    """One Pooling in a notebook."""

    def __init__(self, nb, index=0, state="idle"):
        self.nb = nb
        self.root = nb.page.locator(".nbcnnviz[data-widget=pooling]").nth(index)
        self.stage = self.root.locator("canvas[data-role=stage]")
        self.stage.wait_for()
        self.wait(state)

    def wait(self, state):
        self.nb.until(lambda: self.root.get_attribute("data-state") == state, f"it is {state}")

    def role(self, name):
        return self.root.locator(f"[data-role={name}]")

    def button(self, name):
        return self.root.get_by_role("button", name=name, exact=True)

    def slide(self, name, value):
        self.root.get_by_role("slider", name=name).first.fill(str(value))

    def data(self, name):
        return self.stage.get_attribute(f"data-{name}")

    def numbers(self, name):
        text = self.data(name)
        return None if text is None else [int(part) for part in text.split(",")]

    def press(self, *keys):
        self.stage.focus()
        for key in keys:
            self.nb.page.keyboard.press(key)

    def hover(self, side):
        """Find a value of the map before or after under the mouse."""
        box = self.stage.bounding_box()
        name = "cell" if side == "after" else "input"
        for step in range(40):
            across = (0.95 - step * 0.02) if side == "after" else (0.05 + step * 0.02)
            self.nb.page.mouse.move(
                box["x"] + across * box["width"], box["y"] + 0.25 * box["height"]
            )
            self.nb.page.wait_for_timeout(30)
            if self.data(name) is not None:
                return self.numbers(name)
        raise AssertionError(f"no value {side} pooling under the mouse")


def single(value):
    """As float32, which is what the browser has."""
    return struct.unpack("f", struct.pack("f", value))[0]


@pytest.fixture
def resnet(lab):
    nb = lab.open(RESNET, "w", size=(1500, 1300))
    nb.run(0)
    nb.run(1)
    return nb, Pool(nb)


def test_the_window_lights_up_and_the_maximum_is_pytorchs(resnet):
    nb, view = resnet
    assert nb.value("w.layer") == "maxpool"
    assert view.role("shapes").inner_text().split() == "64 x 112 x 112 → 64 x 56 x 56".split()
    assert view.role("arithmetic").inner_text() == "floor((112 + 2*1 - 3)/2) + 1 = 56"
    assert "75 %" in view.role("numbers").inner_text()
    y, x = view.hover("after")
    top, left, height, width = view.numbers("window")
    assert (top, left) == (max(0, 2 * y - 1), max(0, 2 * x - 1)) and 2 <= height <= 3 >= width
    assert float(view.data("result")) == single(nb.value(f"float(w.result.values[0, {y}, {x}])"))
    peak = nb.value(f"int(w.result.indices[0, {y}, {x}])")
    assert view.numbers("maximum") == [peak // 112, peak % 112]
    # The other way round: which outputs a value won.
    y, x = view.hover("before")
    won = nb.value(f"(w.result.indices[0] == {y * 112 + x}).nonzero().tolist()")
    outputs = view.data("outputs") or ""
    assert [[int(n) for n in one.split(",")] for one in outputs.split()] == won


def test_play_walks_over_the_map(resnet):
    nb, view = resnet
    nb.page.mouse.move(5, 5)
    view.press("Home")
    nb.until(lambda: view.data("cell") == "0,0", "it begins at the first")
    view.press("ArrowRight", "ArrowDown")
    nb.until(lambda: view.data("cell") == "1,1")
    assert view.numbers("window") == [1, 1, 3, 3]
    view.press(" ")
    seen = set()
    nb.until(lambda: seen.add(view.data("cell")) or len(seen) > 3, "the window walks")
    view.press(" ")
    nb.page.wait_for_timeout(300)
    still = view.data("cell")
    nb.page.wait_for_timeout(300)
    assert view.data("cell") == still
    view.press("End")
    nb.until(lambda: view.data("cell") == "55,55", "and ends at the last")


def test_sliders_are_answered_at_once_and_known_to_python(resnet):
    nb, view = resnet
    view.slide("stride", 4)
    nb.until(lambda: "64 x 28 x 28" in view.role("shapes").inner_text(), "another size")
    nb.until(lambda: nb.value("w.stride") == 4, "Python knows")
    assert nb.value("list(w.result.values.shape)") == [64, 28, 28]
    y, x = view.hover("after")
    assert view.numbers("window")[:2] == [max(0, 4 * y - 1), max(0, 4 * x - 1)]
    assert float(view.data("result")) == single(nb.value(f"float(w.result.values[0, {y}, {x}])"))
    # From Python.
    nb.execute("w.op, w.window, w.stride, w.padding = 'avg', 5, 5, 0")
    nb.until(lambda: "64 x 22 x 22" in view.role("shapes").inner_text())
    y, x = view.hover("after")
    expected = nb.value(f"float(w.result.values[0, {y}, {x}])")
    assert float(view.data("result")) == pytest.approx(expected, rel=1e-6)
    # What cannot be is explained beside the slider to blame.
    nb.execute("w.padding = 3")
    field = view.root.locator("[data-field=padding]")
    nb.until(lambda: "more than half of window=" in field.inner_text(), "it is explained")
    view.button("as the network does").click()
    nb.until(lambda: "64 x 56 x 56" in view.role("shapes").inner_text())
    nb.until(lambda: nb.value("[w.op, w.window, w.stride, w.padding]") == ["max", 3, 2, 1])
    assert "more than half" not in field.inner_text()


def test_another_channel_and_all_of_them(resnet):
    nb, view = resnet
    nb.execute("w.channel = 7")
    view.wait("idle")
    nb.page.wait_for_timeout(300)
    y, x = view.hover("after")
    assert float(view.data("result")) == single(nb.value(f"float(w.result.values[7, {y}, {x}])"))
    view.button("all maps").click()
    view.wait("idle")
    box = view.stage.bounding_box()
    nb.page.mouse.click(box["x"] + 30, box["y"] + 60)
    nb.until(lambda: nb.value("w.channel") != 7, "a click chooses a channel")


def test_pushed_through_the_network(resnet):
    nb, view = resnet
    nb.execute("w.op = 'avg'")
    view.button("Push through the network").click()
    view.wait("idle")
    index, logit = nb.value(
        "(lambda s: [int(s.argmax()), float(s.softmax(0).max())])"
        "(nv.backend.replace_pooling(net, w._x, 'maxpool', 'avg'))"
    )
    row = view.root.locator(f"[data-role=scores] [data-class='{index}']")
    nb.until(lambda: f"{logit:.3f}" in row.inner_text(), "the scores with other pooling")


def test_the_score_of_the_demo_network_is_a_sum_over_channels(lab):
    nb = lab.open(DEMO, "w", size=(1500, 1300))
    nb.run(0)
    nb.run(1)
    view = Pool(nb)
    if nb.value("w.layer") != "global_pool.pool":
        nb.execute("w.layer = 'global_pool.pool'")
    view.button("vector").click()
    view.role("sum").wait_for()
    view.wait("idle")
    logit = nb.value("nv.backend.gap_contributions(net, w._x).logit")
    nb.until(lambda: f"{logit:.3g}" in view.role("sum").inner_text(), "the sum is the logit")
    assert view.role("check").get_attribute("data-agrees") is not None


def test_digits_end_to_end_and_without_a_kernel(lab):
    nb = lab.open(DIGITS, "w", size=(1500, 1300))
    nb.run(0)
    nb.run(1)
    view = Pool(nb)
    assert nb.value("w.layer") == "pool1"
    view.slide("window", 4)
    nb.until(lambda: nb.value("w.window") == 4)
    y, x = view.hover("after")
    assert float(view.data("result")) == single(nb.value(f"float(w.result.values[0, {y}, {x}])"))
    view.slide("right", 3)
    nb.until(lambda: view.root.get_attribute("data-state") == "idle")
    before, after = nb.value(
        "(lambda t: [t.before[0], t.after[0]])"
        "(nv.backend.translation(net, w._x, 'pool1', (0, 3), 'max', 4, 2))"
    )
    shifted = view.role("shifted")
    nb.until(lambda: f"{before:.3g}" in shifted.inner_text(), "how far the maps move")
    assert f"{after:.3g}" in shifted.inner_text()
    nb.restart()
    view.wait("offline")
    # The channel is here: sliders and the mouse go on working.
    view.slide("stride", 1)
    nb.until(lambda: "16 x 29 x 29" in view.role("shapes").inner_text(), "without the kernel")
    assert view.hover("after")
