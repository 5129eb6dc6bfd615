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

_WIDTH, _MARGIN, _GAP = 480, 8, 6
_STRIP = 8
"""Frames of the film in a still."""
_CURVE = 44
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

    @property
    def strip(self) -> list[Shot]:
        """A few frames of the film, evenly spread."""
        if len(self.shots) <= _STRIP:
            return list(self.shots)
        places = np.linspace(self.shots[0].step, self.shots[-1].step, _STRIP)
        near = [min(self.shots, key=lambda shot: abs(shot.step - place)) for place in places]
        return list(dict.fromkeys(near))

    @property
    def fell_or_rose(self) -> str:
        """From where to where the value went."""
        if not self.trace:
            return ""
        return f"{self.measure} {self.trace[0][1]:.3g} to {self.trace[-1][1]:.3g}"

    def sheet(self) -> RGB:
        """Before, a strip of the film, after, and the curve, as one picture."""
        from ._still import _fit, _font

        inner = _WIDTH - 2 * _MARGIN
        pair = [each for each in (self.before, self.after) if each is not None]
        width = (inner - _GAP * (len(pair) - 1)) // len(pair)
        large = [_fitted(Image.fromarray(each), (width, 300)) for each in pair]
        strip = [shot.image for shot in self.strip]
        side = (inner - _GAP * (_STRIP - 1)) // _STRIP
        small = [_fitted(each, (side, side)) for each in strip]
        rows = [max(each.height for each in large)]
        rows += [max(each.height for each in small)] if small else []
        rows += [_CURVE + 14] if len(self.trace) > 1 else []
        height = 30 + sum(rows) + _GAP * len(rows) + _MARGIN
        made = Image.new("RGB", (_WIDTH, height), _PAPER)
        draw = ImageDraw.Draw(made)
        draw.text((_MARGIN, 9), _fit(draw, self.headline, inner), _TEXT, font=_font(13))
        top = 30
        for place, each in enumerate(large):
            made.paste(each, (_MARGIN + place * (width + _GAP), top))
        top += rows[0] + _GAP
        for place, each in enumerate(small):
            made.paste(each, (_MARGIN + place * (side + _GAP), top))
        if small:
            top += rows[1] + _GAP
        if len(self.trace) > 1:
            draw.text((_MARGIN, top), self.fell_or_rose, _MUTED, font=_font(11))
            draw.line(self._curve(inner, top + 14), _ACCENT, 2)
        return np.asarray(made)

    def _curve(self, width: int, top: int) -> list[tuple[float, float]]:
        """The trace between the left margin and the right one; a total is drawn in decades."""
        steps, values = (np.asarray(each, float) for each in zip(*self.trace, strict=True))
        if self.measure == "total" and values.min() > 0:
            values = np.log10(values)
        span = np.ptp(values) or 1.0
        x = _MARGIN + width * (steps - steps[0]) / max(1.0, steps[-1] - steps[0])
        y = top + 2 + (_CURVE - 6) * (1 - (values - values.min()) / span)
        return list(zip(x.tolist(), y.tolist(), strict=True))

    def figure(self) -> Figure:
        """The same as a matplotlib figure of its own."""
        from matplotlib.figure import Figure

        made = Figure(figsize=(9, 6.2), layout="constrained")
        made.suptitle(self.headline, fontsize=11)
        shots = self.strip
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
