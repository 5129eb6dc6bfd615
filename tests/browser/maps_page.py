"""FeatureMaps as its user meets it: parts by role, what the canvases hold and what they should.

w, maps = small_widget()                        # six maps of 64 x 64, one pixel of the stage each
view = MapsPage(static_page.live(w))
view.choose("colours", "magma")
view.slide("size", 64)
view.shows(painted(maps["conv"], "magma"))      # waits for them, to the byte, in this order
"""

from __future__ import annotations

import base64
import io
import re
from collections import OrderedDict

import numpy as np
import torch
from PIL import Image
from torch import nn
from watch import Watch

import nbcnnviz as nv
from nbcnnviz import colormaps
from nbcnnviz.backend.maps import channel_statistics, quantise

# The cells of a notebook that shows the digits network looking at a digit.
IMPORT = """
import torch
import nbcnnviz as nv
from nbcnnviz.widgets._codec import unpack
net = nv.Network.digits()
digit = nv.sample_image("digit")
"""
DIGIT = "w = nv.FeatureMaps(net, digit)\nw"

LABEL = 14
"""Pixels at the foot of a tile where its number stands."""


class MapsPage:
    """One FeatureMaps on a page of `lab.py` or `static_page.py`, painted and idle (or `state`)."""

    def __init__(self, page: Watch, nth: int = 0, state: str = "idle") -> None:
        self.page = page
        self.root = page.page.locator(".nbcnnviz[data-widget=feature_maps]").nth(nth)
        self._places: list[tuple[int, int]] = []
        self._ready(state)
        self.grid = self.root.get_by_role("grid")
        self.stage = self.root.locator("canvas[data-role=stage]")
        self.detail = self.root.get_by_role("group", name=re.compile(r"^channel \d+ of "))
        self.heading = self.root.get_by_role("heading", name=re.compile(r"^channel \d+$"))
        self.ribbon = self.root.get_by_role("slider", name="Layer of the network")
        self.picker = self.root.get_by_role("combobox", name="Layer", exact=True)
        self.options = self.root.get_by_role("option").locator("visible=true")
        self.images = self.root.get_by_role("radio")
        self.status = self.root.locator("[role=status]")
        self.error = self.root.get_by_role("alert").locator("visible=true")

    def _ready(self, state: str) -> None:
        self.root.locator("canvas").first.wait_for(state="attached")
        stage = self.root.locator("canvas[data-role=stage]").locator("visible=true")
        self.page.until(lambda: stage.count() == 1, "there is a stage")
        self.page.painted(stage)
        self.wait(state)

    # -- what it says -------------------------------------------------------------------------

    def state(self) -> str | None:
        return self.root.get_attribute("data-state")

    def wait(self, state: str) -> None:
        self.page.until(lambda: self.state() == state, f"the widget is {state}")

    def layer(self) -> str:
        """The layer that is named in the picker, once its maps are there."""
        return self.picker.get_attribute("title") or ""

    def open_channel(self) -> int | None:
        """The channel shown large; None: the grid."""
        if not self.heading.is_visible():
            return None
        return int(self.heading.inner_text().split()[-1])

    def hovered(self) -> tuple[int, int, int, str] | None:
        """Channel, row, column and value as the status line has them."""
        said = re.match(r"channel (\d+) · \((\d+), (\d+)\) · (\S+(?: \d\S*)?)", self.said())
        return said and (int(said[1]), int(said[2]), int(said[3]), said[4])

    def said(self) -> str:
        return self.status.inner_text()

    def scores(self) -> dict[int, str]:
        """Of each class in the list: its text."""
        rows = self.root.locator("[data-role=scores] [data-class]").all()
        return {int(row.get_attribute("data-class") or -1): row.inner_text() for row in rows}

    # -- what one does ------------------------------------------------------------------------

    def choose(self, label: str, value: str) -> None:
        self.root.get_by_role("combobox", name=label, exact=True).select_option(value)

    def slide(self, label: str, value: int) -> None:
        self.root.get_by_role("slider", name=re.compile(f"^{label}")).fill(str(value))

    def pick(self, query: str) -> None:
        """Find a layer by typing."""
        self.picker.click()
        self.picker.fill(query)
        self.page.page.keyboard.press("Enter")

    def point(self, x: float, y: float) -> None:
        """Put the pointer on a pixel of the stage."""
        self.stage.hover(position={"x": x, "y": y})

    # -- what is painted ----------------------------------------------------------------------

    def canvas(self, role: str = "stage") -> np.ndarray:
        """The pixels of a canvas, (height, width, 3)."""
        return pixels(self.root.locator(f"canvas[data-role={role}]"))

    def shows(self, tiles: np.ndarray) -> list[tuple[int, int]]:
        """Wait until the stage has these tiles pixel for pixel, in this order, and nothing between.

        Returns:
            Left and upper edge of each.
        """

        def there() -> bool:
            stage = self.canvas()
            # Where tiles were before they are looked for first: finding them takes a while.
            if not self._places or not _at(stage, tiles, self._places):
                self._places = find(stage, tiles)
            in_order = self._places == sorted(self._places, key=lambda place: (place[1], place[0]))
            return in_order and len(self._places) == len(tiles)

        self.page.until(there, "the maps on the stage are those of the network, in order")
        return self._places


def pixels(canvas) -> np.ndarray:
    """What a canvas on the page holds, (height, width, 3)."""
    data = canvas.evaluate("canvas => canvas.toDataURL()")
    with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
        return np.asarray(image.convert("RGB"))


def find(picture: np.ndarray, tiles: np.ndarray, label: int = LABEL) -> list[tuple[int, int]]:
    """Left and upper edge of the tiles that are in the picture once, without their labels."""
    found = []
    for tile in tiles[:, :-label]:
        height, width = tile.shape[:2]
        rows, columns = picture.shape[0] - height + 1, picture.shape[1] - width + 1
        if rows <= 0 or columns <= 0:
            continue
        # A few pixels first: few places are left for the whole tile.
        fits = np.ones((rows, columns), bool)
        for y in np.linspace(0, height - 1, 4, dtype=int):
            for x in np.linspace(0, width - 1, 4, dtype=int):
                seen = picture[y : y + rows, x : x + columns]
                fits &= (seen == tile[y, x]).all(-1)
        places = [
            (int(x), int(y))
            for y, x in np.argwhere(fits)[:50]
            if np.array_equal(picture[y : y + height, x : x + width], tile)
        ]
        if len(places) == 1:
            found += places
    return found


def _at(picture: np.ndarray, tiles: np.ndarray, places: list[tuple[int, int]]) -> bool:
    height, width = tiles.shape[1] - LABEL, tiles.shape[2]
    return len(tiles) == len(places) and all(
        np.array_equal(picture[y : y + height, x : x + width], tile[:height])
        for tile, (x, y) in zip(tiles, places, strict=True)
    )


def painted(
    maps: torch.Tensor, colormap: str = "auto", scale: str = "map", enlarge: int = 1
) -> np.ndarray:
    """Maps (C, H, W) in the colours that the kernel paints them in, (C, H, W, 3)."""
    statistics, coded = channel_statistics(maps), quantise(maps)
    name = colormaps.resolve(colormap, statistics.signed)
    tiles = []
    for codes, lo, hi in zip(coded.codes, coded.lo, coded.hi, strict=True):
        span = colormaps.display_range(
            float(lo), float(hi), scale, name in colormaps.DIVERGING, statistics.range
        )
        tiles.append(colormaps.colour(codes, lo, hi, name, *span))
    return np.stack(tiles).repeat(enlarge, 1).repeat(enlarge, 2)


def significant(value: float) -> float:
    """A number as three significant digits tell it."""
    return float(f"{value:.3g}")


class Spoil(nn.Module):
    """Six maps: zeros, a constant, up to 1e38, a hole of 12 NaN, both infinities, NaN alone."""

    def forward(self, x):
        x = x.clone()
        x[:, 0] = 0
        x[:, 1] = 0.25
        x[:, 2] *= 1e38 / x[:, 2].abs().max()
        x[:, 3, 10:13, 20:24] = torch.nan
        x[:, 4, 5, 6], x[:, 4, 30, 40] = torch.inf, -torch.inf
        x[:, 5] = torch.nan
        return x


def small_model(change=None) -> nn.Sequential:
    """conv (signed, 6 maps), relu, deep (8 maps), head: each map with room for 64 x 64 pixels.

    Args:
        change: is given the model, before anything looks at it.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(3, 6, 3, padding=1),
                relu=nn.ReLU(),
                pool=nn.MaxPool2d(2),
                deep=nn.Conv2d(6, 8, 3, padding=1),
                gap=nn.AdaptiveAvgPool2d(1),
                flatten=nn.Flatten(),
                head=nn.Linear(8, 4),
            )
        )
    if change is not None:
        with torch.no_grad():
            change(model)
    return model


def noise(count: int = 1, side: int = 64) -> list[torch.Tensor]:
    """Pictures no two parts of which are alike."""
    generator = torch.Generator().manual_seed(2)
    return [torch.randn(3, side, side, generator=generator) for _ in range(count)]


def small_widget(images=None, change=None, **settings):
    """A widget over `small_model`, and by layer the maps of the first image from plain hooks."""
    model = small_model(change)
    images = noise() if images is None else images
    settings = {"layer": "conv", **settings}
    widget = nv.FeatureMaps(nv.Network(model, labels=list("abcd")), images, **settings)
    return widget, hooked(model, images[0])


def hooked(model: nn.Module, image: torch.Tensor) -> dict[str, torch.Tensor]:
    """The outputs of a model's children for one image."""
    seen: dict[str, torch.Tensor] = {}
    handles = [
        child.register_forward_hook(
            lambda _m, _i, output, name=name: seen.update({name: output[0].detach().clone()})
        )
        for name, child in model.named_children()
    ]
    with torch.no_grad():
        model(image[None])
    for handle in handles:
        handle.remove()
    return seen


def digit_maps() -> dict[str, torch.Tensor]:
    """The maps of the notebook's digit, here: the network and the picture are the same."""
    net = nv.Network.digits()
    return hooked(net.model, net.prepare(nv.sample_image("digit"))[0])
