"""Pooling as its user meets it: parts by role, what is lit, cells under the mouse.

view = PoolingPage(static_page.live(nv.Pooling(nv.Network.digits(), nv.sample_image("digit"))))
view.hover("after", 3, 4)        # with the real mouse, in cells of the map
view.lit()                       # {"cell": (3, 4), "window": (6, 8, 2, 2), "result": 5.1, ...}
view.cells("before")             # the colour in the middle of every cell, (H, W, 3)
"""

from __future__ import annotations

import base64
import io
import math
import re
from typing import Any, ClassVar

import hostile
import numpy as np
import torch
from PIL import Image
from rows import Case
from torch import nn
from view import View
from watch import Watch

import nbcnnviz as nv

LABEL, EDGE, BETWEEN, HIGHEST, LARGEST = 24, 4, 32, 464, 56
"""Where the two maps lie, see js/src/pooling/layout.ts."""


def resnet() -> nv.Network:
    """ResNet-18 with seeded random weights: maxpool 3 x 3 / 2 of 64 x 112 x 112, and a GAP."""
    from torchvision.models import resnet18

    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nv.Network(resnet18())


class Rigid(nn.Module):
    """Its classifier takes maps of one size only, so its pooling cannot be any other."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.linear = nn.Linear(4 * 8 * 8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.linear(self.pool(self.conv(x)).flatten(1))


def rigid() -> tuple[nv.Network, torch.Tensor]:
    """A `Rigid` and a picture for it; its maps have negative values too."""
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Rigid()
        image = torch.rand(1, 3, 16, 16)
    return nv.Network(model), image


class PoolingPage(View):
    """One Pooling on a page, painted and idle (or `state`)."""

    def __init__(self, page: Watch, state: str = "idle", index: int = 0) -> None:
        self.page = page
        self.root = page.page.locator(".nbcnnviz[data-widget=pooling]").nth(index)
        self.stage = self.root.locator("canvas[data-role=stage]")
        self.stage.wait_for()
        page.painted(self.stage)
        self.wait(state)
        self.status = self.root.locator("[role=status]")
        self.verdict = self.root.locator("[data-role=verdict]")
        self.words = self.root.locator(".po-words")
        self.problem = self.root.locator(".po-problem").locator("visible=true")

    # -- what it says -----------------------------------------------------------------------------

    def fact(self, name: str) -> str:
        """shapes, arithmetic, numbers or edges."""
        return self.root.locator(f"[data-role={name}]").inner_text()

    def lit(self) -> dict[str, Any]:
        """What the stage's attributes say."""
        found: dict[str, Any] = {}
        for name in ("cell", "window", "maximum", "input"):
            value = self.stage.get_attribute(f"data-{name}")
            if value is not None:
                found[name] = tuple(map(int, value.split(",")))
        outputs = self.stage.get_attribute("data-outputs")
        if outputs is not None:
            found["outputs"] = [tuple(map(int, cell.split(","))) for cell in outputs.split()]
        result = self.stage.get_attribute("data-result")
        if result is not None:
            found["result"] = float(result)
        return found

    def scores(self) -> dict[int, str]:
        """Of each class in the list: its text."""
        rows = self.root.locator("[data-role=scores] [data-class]").all()
        return {int(row.get_attribute("data-class") or -1): row.inner_text() for row in rows}

    # -- what one does ----------------------------------------------------------------------------

    # -- the maps on the canvas -------------------------------------------------------------------

    def size(self) -> tuple[tuple[int, int], tuple[int, int]]:
        """Rows and columns before and after, as the page has them."""
        before, after = self.fact("shapes").split(" → ")
        one, two = ([int(n) for n in each.split(" x ")[1:]] for each in (before, after))
        return (one[0], one[1]), (two[0], two[1])

    def layout(self) -> dict[str, Any]:
        """Side of a cell, and the upper left corners of both maps, in CSS pixels."""
        width = self.stage.evaluate("canvas => canvas.clientWidth")
        before, after = self.size()
        said = self.root.locator("[data-field=padding] output").all_inner_texts()
        down, across = (int(re.findall(r"\d+", each)[0]) for each in said)
        op = self.root.get_by_role("combobox", name="op", exact=True).input_value()
        whole = op.startswith("global")
        pad = (0, 0) if whole else (down, across)
        rows, columns = before[0] + 2 * pad[0], before[1] + 2 * pad[1]
        room = width - BETWEEN - 2 * EDGE
        cell = min(room / (columns + after[1]), HIGHEST / max(rows, after[0]), LARGEST)
        cell = math.floor(cell) if cell >= 1 else cell
        return {
            "cell": cell,
            "before": (EDGE + pad[1] * cell, LABEL + EDGE + pad[0] * cell),
            "after": (EDGE + columns * cell + BETWEEN, LABEL + EDGE),
        }

    def at(self, of: str, y: int, x: int) -> dict[str, float]:
        """The middle of a cell on the canvas."""
        layout = self.layout()
        left, top = layout[of]
        return {"x": left + (x + 0.5) * layout["cell"], "y": top + (y + 0.5) * layout["cell"]}

    def hover(self, of: str, y: int, x: int) -> dict[str, Any]:
        """Point at a cell of the map "before" or "after"; what is lit then."""
        self.stage.hover(position=self.at(of, y, x))
        return self.lit()

    def pixels(self, role: str = "stage") -> np.ndarray:
        """All that a canvas holds, (height, width, 3)."""
        canvas = self.root.locator(f"canvas[data-role={role}]")
        data = canvas.evaluate("canvas => canvas.toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
            return np.asarray(image.convert("RGB"))

    def cells(self, of: str) -> np.ndarray:
        """A colour of each cell of a map, near its corner where no value is written, (H, W, 3)."""
        layout = self.layout()
        before, after = self.size()
        rows, columns = before if of == "before" else after
        left, top = layout[of]
        pixels = self.pixels()
        y = (top + (np.arange(rows) + 0.1) * layout["cell"]).astype(int)
        x = (left + (np.arange(columns) + 0.1) * layout["cell"]).astype(int)
        return pixels[y][:, x]


class PoolingCase(Case):
    """Pooling of the digits network, where layers are chosen."""

    stem = "pooling"
    make = "nv.Pooling(net, digit)"
    write = read = "layer"
    values = ("pool2", "conv2")
    export: ClassVar[dict[str, Any]] = {"channels": 4}
    use = """
      const kind = round % 8, turn = round >> 3;
      if (kind === 0) slide("window", 2 + turn % 3);
      if (kind === 1) slide("channel", (turn * 5) % 16);
      if (kind === 2) point(0.7 + 0.2 * (turn % 10) / 10, 0.3);
      if (kind === 3) button("Step forward");
      if (kind === 4) button(["all maps", "vector", "one channel"][turn % 3]);
      if (kind === 5) pick("op", ["max", "avg", "l2"][turn % 3]);
      if (kind === 6) slide("right", 1 + turn % 5);
      if (kind === 7) model.set("layer", ["pool1", "pool2"][turn % 2]);
    """

    def widget(self) -> nv.Pooling:
        return nv.Pooling(nv.Network.digits(), nv.sample_image("digit"))

    def view(self, page: Watch, index: int = 0, state: str = "idle") -> PoolingPage:
        return PoolingPage(page, state, index)

    def shown(self, view: PoolingPage) -> list[str]:
        facts = [view.fact(name) for name in ("shapes", "arithmetic", "numbers")]
        op = view.root.get_by_role("combobox", name="op", exact=True).input_value()
        return [self._picker(view).input_value(), view.slider("channel").input_value(), op, *facts]

    def choose(self, view: PoolingPage, value: str) -> None:
        self._picker(view).fill(value)
        view.press("Enter")

    def look(self, view: PoolingPage) -> None:
        view.button("switches").click()

    def point(self, view: PoolingPage) -> str:
        view.hover("after", 3, 4)
        view.page.until(lambda: "output (3, 4) = " in view.status.inner_text())
        return view.status.inner_text()

    def beyond(self, view: PoolingPage) -> None:
        view.slide("channel", 9)
        view.page.until(lambda: "not saved in this file" in view.status.inner_text())
        assert view.root.locator(".po-stage").get_attribute("data-stale") is not None
        view.slide("channel", 0)
        view.page.until(lambda: view.root.locator(".po-stage[data-stale]").count() == 0)

    def hostile(self, net: nv.Network) -> nv.Pooling:
        return nv.Pooling(net, hostile.picture(), name=hostile.STRINGS[1])

    def walk(self, view: PoolingPage, widget: nv.Pooling) -> None:
        page = view.page
        best = [p.label for p in widget._inputs.predictions[0]]
        labels = view.root.locator("[data-role=scores] [data-class] > :first-child")
        assert labels.all_text_contents() == best
        assert view.root.locator(".po-photo").get_attribute("title") == hostile.STRINGS[1]
        # Layers: in the list, and chosen.
        self._picker(view).click()
        names = view.root.locator("[role=option] .nbc-opt-name")
        page.until(lambda: names.count() > len(hostile.LAYERS))
        assert {f"layers.{name}" for name in hostile.LAYERS} <= set(names.all_text_contents())
        view.press("Escape")
        for name in hostile.LAYERS[1::8]:
            page.set(layer=f"layers.{name}", op="max", window=3, stride=1, padding=1)
            page.until(lambda n=name: f"layers.{n}," in view.stage.get_attribute("aria-label"))
            view.wait("idle")
        # The answers of the network, and its refusals.
        view.button("Push through the network").click()
        page.until(lambda: "→" in view.verdict.inner_text())
        assert best[0] in view.verdict.text_content()
        for stride, string in enumerate(hostile.STRINGS[:8], 2):
            widget.net.model.gate.message = string
            page.set(stride=stride)
            page.until(lambda s=string: s in view.verdict.text_content(), repr(string))
        widget.net.model.gate.message = None
        page.set(layer="gap", op="global_avg")
        view.button("vector").click()
        said = view.root.locator("[data-role=sum]")
        page.until(lambda: f"network's logit of {best[0]}:" in said.text_content())
        view.root.get_by_role("combobox", name="class").focus()
        options = view.root.locator("datalist option")
        offered = options.evaluate_all("all => all.map((option) => option.value)")
        assert set(best) <= set(offered)

    def _picker(self, view: PoolingPage) -> Any:
        return view.root.get_by_role("combobox", name="Layer", exact=True)
