"""FeatureMaps with names that attack: nothing runs, and all is shown as it is written."""

from __future__ import annotations

import json
from collections import OrderedDict

import pytest
import torch
from hostile import ELEMENTS, STRINGS
from maps_page import MapsPage, noise
from torch import nn

import nbcnnviz as nv

COUNT = len(STRINGS)
LAYERS = [name.replace(".", "·") for name in STRINGS]


class Gate(nn.Module):
    """Breaks with a given message when told to."""

    message = None

    def forward(self, x):
        if self.message is not None:
            raise RuntimeError(self.message)
        return x


class Head(nn.Module):
    """The five classes that follow the number in the image's first pixel are the best."""

    def forward(self, x):
        first = x[:, 0, 0, :1].round()
        place = torch.arange(COUNT, dtype=x.dtype)
        return -((place - first) % COUNT)


class Network(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate = Gate()
        layers = OrderedDict((name, nn.Conv2d(3, 3, 3, padding=1)) for name in LAYERS)
        self.layers = nn.Sequential(layers)
        self.head = Head()

    def forward(self, x):
        x = self.gate(x)
        self.layers(x)
        return self.head(x)


@pytest.fixture
def widget():
    named = type(STRINGS[0], (Network,), {})
    images = noise(COUNT, 16)
    for index, image in enumerate(images):
        image[0, 0, 0] = index
    return nv.FeatureMaps(
        nv.Network(named(), labels=STRINGS), images, layer=f"layers.{LAYERS[0]}", names=STRINGS
    )


def inert(page, root):
    assert page.page.evaluate("() => window.__pwned === undefined")
    assert page.dialogs == []
    assert root.locator(ELEMENTS).count() == 0
    handlers = """root => [...root.querySelectorAll("*")].flatMap((el) =>
      el.getAttributeNames().filter((name) => name.startsWith("on") || name === "style" &&
        /url|expression/.test(el.getAttribute(name))))"""
    assert root.evaluate(handlers) == []


def texts(locator):
    return [text.strip() for text in locator.evaluate_all("all => all.map(e => e.textContent)")]


def test_images_labels_and_network(static_page, widget):
    page = static_page.live(widget)
    view = MapsPage(page)
    stripped = [string.strip() for string in STRINGS]
    names = view.images.evaluate_all("all => all.map((el) => el.getAttribute('aria-label'))")
    assert names == STRINGS
    for first in range(0, COUNT, 5):
        page.set(image_index=first)
        shown = view.root.locator("[data-role=scores] [data-class] > :first-child")
        wanted = [stripped[(first + k) % COUNT] for k in range(5)]
        page.until(lambda s=shown, w=wanted: texts(s) == w, f"the labels from {first} on")
    view.root.get_by_role("button", name="about").click()
    assert texts(view.root.locator("strong"))[0] == stripped[0]
    page.page.keyboard.press("Escape")
    page.set(channel=1)
    view.root.get_by_role("button", name="compare images").click()
    cards = view.root.locator("[data-role=compare] button .fm-compare-name")
    page.until(lambda: texts(cards) == stripped)
    inert(page, view.root)


def test_layers(static_page, widget):
    page = static_page.live(widget)
    view = MapsPage(page)
    view.picker.click()
    wanted = {f"layers.{name}".strip() for name in LAYERS}
    labels = texts(view.options.locator(".nbc-opt-name"))
    assert wanted <= set(labels)
    page.page.keyboard.press("Escape")
    for name in LAYERS[::4]:
        full = f"layers.{name}"
        page.set(layer=full)
        page.until(lambda n=full: view.layer() == n and view.state() == "idle")
        assert full in view.grid.get_attribute("aria-label")
        view.ribbon.hover()
    inert(page, view.root)
    view.root.get_by_role("button", name="Menu").click()
    view.root.get_by_role("menuitem", name="Copy as Python").click()
    code = view.root.get_by_label("Python code")
    page.until(code.is_visible)
    assert repr(full) in code.text_content()
    inert(page, view.root)


def test_errors(static_page, widget):
    page = static_page.live(widget)
    view = MapsPage(page)
    for string, layer in zip(STRINGS, LAYERS[1:] + LAYERS[:1], strict=True):
        if layer == LAYERS[0]:
            continue
        widget.net.model.gate.message = string
        page.set(layer=f"layers.{layer}")
        page.until(lambda s=string: s.strip() in (view.error.text_content() or ""), repr(string))
        widget.net.model.gate.message = None
    inert(page, view.root)


def test_a_saved_page(static_page, widget, tmp_path):
    page = static_page.file(widget.save_html(tmp_path / "hostile.html", layers="all"))
    view = MapsPage(page)
    assert page.page.title() == widget._summary()
    assert next(iter(view.scores().values())).startswith(STRINGS[0])
    for index in range(1, COUNT, 6):
        view.picker.click()
        view.options.nth(index).click()
        page.until(lambda name=LAYERS[index]: view.layer() == f"layers.{name}")
    inert(page, view.root)
    assert page.page.locator("body > script").count() == 3


CELL = """
import json, torch, nbcnnviz as nv
class Head(torch.nn.Module):
    def forward(self, x):
        return x.mean((1, 2, 3))[:, None] * 0 + torch.arange(float(len(names)))
names = json.loads({names!r})
layers = [(n.replace(".", "·"), torch.nn.Conv2d(3, 3, 3, padding=1)) for n in names]
model = torch.nn.Sequential()
for name, layer in layers[:6]:
    model.add_module(name, layer)
model.add_module("head", Head())
model.__class__ = type(names[1], (torch.nn.Sequential,), {{}})
w = nv.FeatureMaps(nv.Network(model, labels=names), [torch.randn(3, 16, 16) for _ in names],
                   names=names)
w
"""


@pytest.mark.parametrize("host", ["lab", "notebook7"])
def test_in_a_notebook(host, request):
    nb = request.getfixturevalue(host).open(
        CELL.format(names=json.dumps(STRINGS)), "print(w._summary())", "w.snapshot()"
    )
    outputs = nb.run(0)
    view = MapsPage(nb)
    assert STRINGS[0] in outputs[0]["data"]["text/plain"]
    nb.run(1)
    nb.run(2)
    assert nb.page.locator(".jp-RenderedText").filter(has_text=STRINGS[0]).count() >= 1
    last = [string.strip() for string in STRINGS[:-6:-1]]
    assert texts(view.root.locator("[data-role=scores] [data-class] > :first-child")) == last
    inert(nb, view.root)
    with pytest.raises(AssertionError, match="onerror"):
        nb.execute(f"w.layer = {STRINGS[1]!r} + 'x'")
    inert(nb, view.root)
