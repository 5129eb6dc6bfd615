"""What a run shows where no browser runs its widget: pictures, a curve, code."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw

from ._dream_film import RGB, Point, Shot

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WIDTH, _MARGIN, _GAP, _HEAD = 480, 8, 6, 30
_ALONE = 212
"""Height of a picture that has nothing to be compared with: with all its shades it fits."""
_STRIP, _ACROSS = 8, 3
"""Frames of the film in a still; in a row beside one picture."""
_LEGEND, _CURVE = 14, 44
_PAPER, _TEXT, _MUTED, _ACCENT = "#ffffff", "#1b1f24", "#57606a", "#2463d1"


@dataclass(frozen=True)
class Shown:
    """The state of a run at one moment."""

    headline: str
    before: RGB | None
    after: RGB
    shots: Sequence[Shot]
    trace: Sequence[Point]
    step: int
    measure: str

    def strip(self, most: int = _STRIP) -> list[Shot]:
        """A few frames of the film, evenly spread."""
        if len(self.shots) <= most:
            return list(self.shots)
        places = np.linspace(self.shots[0].step, self.shots[-1].step, most)
        near = [min(self.shots, key=lambda shot: abs(shot.step - place)) for place in places]
        return list(dict.fromkeys(near))

    @property
    def fell_or_rose(self) -> str:
        """From where to where the value went."""
        if not self.trace:
            return ""
        return f"{self.measure} {self.trace[0][1]:.3g} to {self.trace[-1][1]:.3g}"

    def sheet(self) -> RGB:
        """Before, after, a strip of the film, and the curve, as one picture."""
        return self._alone() if self.before is None else self._pair(self.before)

    def _pair(self, before: RGB) -> RGB:
        """Before and after, below them the film and the curve."""
        inner = _WIDTH - 2 * _MARGIN
        width = (inner - _GAP) // 2
        large = [_fitted(Image.fromarray(each), (width, 300)) for each in (before, self.after)]
        side = (inner - _GAP * (_STRIP - 1)) // _STRIP
        small = [_fitted(shot.image, (side, side)) for shot in self.strip()]
        rows = [max(each.height for each in large)]
        rows += [max(each.height for each in small)] if small else []
        rows += [_LEGEND + _CURVE] if len(self.trace) > 1 else []
        made, draw = self._paper(sum(rows) + _GAP * (len(rows) - 1))
        top = _HEAD
        for place, each in enumerate(large):
            made.paste(each, (_MARGIN + place * (width + _GAP), top))
        top += rows[0] + _GAP
        for place, each in enumerate(small):
            made.paste(each, (_MARGIN + place * (side + _GAP), top))
        if small:
            top += rows[1] + _GAP
        self._curve(draw, (_MARGIN, top), inner)
        return np.asarray(made)

    def _alone(self) -> RGB:
        """One picture, beside it the film and the curve."""
        inner = _WIDTH - 2 * _MARGIN
        large = _fitted(Image.fromarray(self.after), (inner * 5 // 8, _ALONE))
        left = _MARGIN + large.width + 2 * _GAP
        wide = _WIDTH - _MARGIN - left
        side = min(_ALONE // 3, (wide - _GAP * (_ACROSS - 1)) // _ACROSS)
        small = [_fitted(shot.image, (side, side)) for shot in self.strip(2 * _ACROSS)]
        rows = -(-len(small) // _ACROSS)
        below = _LEGEND + _CURVE if len(self.trace) > 1 else 0
        made, draw = self._paper(max(large.height, rows * (side + _GAP) + below))
        made.paste(large, (_MARGIN if small else (_WIDTH - large.width) // 2, _HEAD))
        for place, each in enumerate(small):
            row, column = divmod(place, _ACROSS)
            made.paste(each, (left + column * (side + _GAP), _HEAD + row * (side + _GAP)))
        self._curve(draw, (left, _HEAD + rows * (side + _GAP)), wide)
        return np.asarray(made)

    def _paper(self, height: int) -> tuple[Image.Image, ImageDraw.ImageDraw]:
        """A sheet with room for so much below the headline."""
        from ._still import _fit, _font

        made = Image.new("RGB", (_WIDTH, _HEAD + height + _MARGIN), _PAPER)
        draw = ImageDraw.Draw(made)
        headline = _fit(draw, self.headline, _WIDTH - 2 * _MARGIN)
        draw.text((_MARGIN, 9), headline, _TEXT, font=_font(13))
        return made, draw

    def _curve(self, draw: ImageDraw.ImageDraw, corner: tuple[int, int], width: int) -> None:
        """The trace and what it says; a total is drawn in decades."""
        from ._still import _font

        if len(self.trace) < 2:
            return
        left, top = corner
        draw.text(corner, self.fell_or_rose, _MUTED, font=_font(11))
        steps, values = (np.asarray(each, float) for each in zip(*self.trace, strict=True))
        if self.measure == "total" and values.min() > 0:
            values = np.log10(values)
        span = np.ptp(values) or 1.0
        x = left + width * (steps - steps[0]) / max(1.0, steps[-1] - steps[0])
        share = 1 - (values - values.min()) / span
        y = top + _LEGEND + 2 + (_CURVE - 6) * share
        draw.line(list(zip(x.tolist(), y.tolist(), strict=True)), _ACCENT, 2)

    def figure(self) -> Figure:
        """The same as a matplotlib figure of its own."""
        from matplotlib.figure import Figure

        made = Figure(figsize=(9, 6.2), layout="constrained")
        made.suptitle(self.headline, fontsize=11)
        shots = self.strip()
        grid = made.add_gridspec(3, max(2, len(shots)) * 2, height_ratios=[5, 1.5, 1.2])
        half = grid.ncols // 2
        before = [] if self.before is None else [("before", self.before)]
        pair = [*before, (f"step {self.step}", self.after)]
        for place, (title, picture) in enumerate(pair):
            columns = slice(place * half, (place + 1) * half) if len(pair) > 1 else slice(None)
            axis = made.add_subplot(grid[0, columns])
            axis.imshow(picture)
            axis.set_title(title, fontsize=9)
            axis.axis("off")
        for place, shot in enumerate(shots):
            axis = made.add_subplot(grid[1, 2 * place : 2 * place + 2])
            axis.imshow(np.asarray(shot.image))
            axis.set_title(str(shot.step), fontsize=7, pad=2)
            axis.axis("off")
        axis = made.add_subplot(grid[2, :])
        if self.trace:
            axis.plot(*zip(*self.trace, strict=True), color=_ACCENT)
            if self.measure == "total" and min(value for _, value in self.trace) > 0:
                axis.set_yscale("log")
        axis.set_xlabel("step", fontsize=8)
        axis.set_ylabel(self.measure, fontsize=8)
        axis.tick_params(labelsize=7)
        axis.spines[["top", "right"]].set_visible(False)
        return made


def _fitted(image: Image.Image, box: tuple[int, int]) -> Image.Image:
    """As large as the box allows."""
    factor = min(box[0] / image.width, box[1] / image.height)
    size = (max(1, round(image.width * factor)), max(1, round(image.height * factor)))
    way = Image.Resampling.LANCZOS if factor < 4 else Image.Resampling.NEAREST
    return image.resize(size, way)


def code(
    network: str,
    given: Sequence[str],
    function: str,
    arguments: Sequence[str],
    *,
    step: int,
    varied: bool,
) -> str:
    """The backend call that gives the same picture.

    Args:
        network: a Python expression.
        given: lines that name the images.
        function: of the backend.
        arguments: as Python source.
        step: where the run was paused; 0: it goes to its end.
        varied: settings were changed on the way, so that no one call gives the same.
    """
    lines = ["import nbcnnviz as nv", "", f"net = {network}", *given]
    if any("torch." in each for each in arguments):
        lines.insert(0, "import torch")
    if step > 1:
        lines.insert(0, "import itertools")
    if len(lines) > 4 + len(given) - 1 and lines[0] != "import nbcnnviz as nv":
        at = lines.index("import nbcnnviz as nv")
        lines.insert(at, "")
    if varied:
        lines.append("# Settings were changed on the way: this is a whole run with the last ones.")
    lines += [f"frames = nv.backend.{function}(", *(f"    {each}," for each in arguments), ")"]
    if step > 1:
        lines.append(f"frame = next(itertools.islice(frames, {step - 1}, None))  # step {step}")
    elif step:
        lines.append("frame = next(frames)  # step 1")
    else:
        lines.append("frame = frames.result()")
    many = function == "maximize"
    lines.append("frame.images  # (H, W, 3) each" if many else "frame.image  # (H, W, 3)")
    return "\n".join(lines) + "\n"
