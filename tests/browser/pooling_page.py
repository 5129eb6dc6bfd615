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
from typing import Any

import numpy as np
import torch
from PIL import Image
from static_page import StaticPage
from torch import nn

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


class PoolingPage:
    """One Pooling on a page, painted and idle (or `state`)."""

    def __init__(self, page: StaticPage, state: str = "idle") -> None:
        self.page = page
        self.root = page.page.locator(".nbcnnviz[data-widget=pooling]")
        self.stage = self.root.locator("canvas[data-role=stage]")
        self.stage.wait_for()
        page.painted(self.stage)
        self.wait(state)
        self.status = self.root.locator("[role=status]")
        self.verdict = self.root.locator("[data-role=verdict]")
        self.words = self.root.locator(".po-words")
        self.problem = self.root.locator(".po-problem").locator("visible=true")

    # -- what it says -----------------------------------------------------------------------------

    def wait(self, state: str) -> None:
        self.page.until(
            lambda: self.root.get_attribute("data-state") == state, f"the widget is {state}"
        )

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

    def button(self, name: str) -> Any:
        return self.root.get_by_role("button", name=name, exact=True)

    def choose(self, label: str, value: str) -> None:
        self.root.get_by_role("combobox", name=label, exact=True).select_option(value)

    def slider(self, label: str) -> Any:
        return self.root.get_by_role("slider", name=label, exact=True)

    def slide(self, label: str, value: int) -> None:
        self.slider(label).fill(str(value))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.page.keyboard.press(key)

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
