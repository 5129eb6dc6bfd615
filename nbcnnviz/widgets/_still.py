"""Still pictures of a widget, drawn in the kernel for where no browser runs a widget."""

from __future__ import annotations

import functools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from matplotlib import font_manager
from matplotlib.figure import Figure
from PIL import Image, ImageDraw, ImageFont

RGB = npt.NDArray[np.uint8]
Tile = tuple[str, RGB]
Bar = tuple[str, float]

WIDTH = 640
_GAP = 4
_MARGIN = 8
_SIDE = 176
_TEXT, _MUTED, _ACCENT, _SUNK, _PAPER = (
    "#1b1f24",
    "#57606a",
    "#2463d1",
    "#e6e9ed",
    "#ffffff",
)


def grid(
    *, title: str, picture: RGB, bars: Sequence[Bar], tiles: Sequence[Tile], columns: int = 8
) -> RGB:
    """What the network sees and what it answers on the left, painted maps on the right.

    Args:
        title: the line above.
        picture: (H, W, 3) the input.
        bars: label and probability of the best classes.
        tiles: label and (h, w, 3) of each map; one alone is drawn large.
        columns: of tiles.
    """
    room = WIDTH - 3 * _MARGIN - _SIDE
    columns = 1 if len(tiles) == 1 else columns
    size = min(360, room) if columns == 1 else (room - (columns - 1) * _GAP) // columns
    rows = -(-len(tiles) // columns)
    top = 32
    height = top + max(_SIDE + 20 + 18 * len(bars), rows * (size + _GAP)) + _MARGIN
    sheet = Image.new("RGB", (WIDTH, height), _PAPER)
    draw = ImageDraw.Draw(sheet)
    draw.text((_MARGIN, 10), _fit(draw, title, WIDTH - 2 * _MARGIN), _TEXT, font=_font(13))
    _paste(sheet, picture, _MARGIN, top, _SIDE, smooth=True)
    for row, (label, share) in enumerate(bars):
        _bar(draw, label, share, top + _SIDE + 12 + 18 * row)
    for number, (label, tile) in enumerate(tiles):
        x = 2 * _MARGIN + _SIDE + number % columns * (size + _GAP)
        y = top + number // columns * (size + _GAP)
        _paste(sheet, tile, x, y, size, smooth=False)
        at = (x + 3, y + size - 13)
        draw.text(at, label, "#fff", font=_font(10), stroke_width=1, stroke_fill="#000")
    return np.asarray(sheet)


def figure(*, title: str, tiles: Sequence[Tile]) -> Figure:
    """The painted maps as a matplotlib figure of its own, not registered with pyplot."""
    columns = min(8, max(1, len(tiles)))
    rows = -(-len(tiles) // columns)
    result = Figure(figsize=(columns * 1.1, rows * 1.25 + 0.5), layout="constrained")
    result.suptitle(title, fontsize=10)
    axes = result.subplots(max(rows, 1), columns, squeeze=False).ravel()
    for axis in axes:
        axis.axis("off")
    for axis, (label, tile) in zip(axes, tiles, strict=False):
        axis.imshow(tile, interpolation="nearest")
        axis.set_title(label, fontsize=7, pad=2)
    return result


def _paste(sheet: Image.Image, picture: RGB, x: int, y: int, side: int, *, smooth: bool) -> None:
    """Draw a picture into a square, keeping its shape."""
    height, width = picture.shape[:2]
    ratio = side / max(height, width)
    size = (max(1, round(width * ratio)), max(1, round(height * ratio)))
    way = Image.Resampling.LANCZOS if smooth else Image.Resampling.NEAREST
    if not smooth and max(height, width) > side:
        way = Image.Resampling.BOX  # nearest would drop rows
    sheet.paste(Image.fromarray(picture).resize(size, way), (x, y))


def _bar(draw: ImageDraw.ImageDraw, label: str, share: float, y: int) -> None:
    font = _font(11)
    draw.text((_MARGIN, y), _fit(draw, label, 84, 11), _TEXT, font=font)
    draw.rectangle((_MARGIN + 88, y + 3, _MARGIN + 138, y + 11), _SUNK)
    if share > 0:  # not so when it is NaN
        draw.rectangle((_MARGIN + 88, y + 3, _MARGIN + 88 + round(50 * share), y + 11), _ACCENT)
    draw.text((_MARGIN + _SIDE, y), f"{share:.3f}", _MUTED, font=font, anchor="ra")


@functools.cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """matplotlib's own typeface: it is always there, and knows more letters than Pillow's."""
    return ImageFont.truetype(font_manager.findfont("DejaVu Sans"), size)


def _fit(draw: ImageDraw.ImageDraw, text: str, width: int, size: int = 13) -> str:
    """The text, with an ellipsis where it would be wider than `width`."""
    text = " ".join(text.split()) if "\n" in text else text
    if draw.textlength(text, font=_font(size)) <= width:
        return text
    while text and draw.textlength(text + "…", font=_font(size)) > width:
        text = text[:-1]
    return text + "…"
