"""What an Embedding shows where no browser runs it: a scatter plot, a sentence, code."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ._embedding_columns import NONE, Column
from ._embedding_record import Map, Question

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

PALETTE = (
    *("#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7"),
    *("#56B4E9", "#ECDD35", "#666666", "#8A3018", "#DEAEAE"),
)
"""Ten colours that the colour-blind tell apart: those of Okabe & Ito, and three more."""
NO_VALUE = "#B4BAC2"
RIGHT_OR_WRONG = ("#D55E00", "#0072B2")
_TITLES = {"pca": "PCA", "tsne": "t-SNE", "umap": "UMAP", "given": "given coordinates"}
_MOST = 20_000
"""Points drawn; of more a sample is taken."""
_LEGEND = len(PALETTE)
_FADED = 0.12


@dataclass(frozen=True, eq=False)
class Shown:
    """The state of a widget at one moment."""

    found: Map | None
    column: Column | None
    count: int
    selection: npt.NDArray[np.int64]
    busy: str = ""
    """What is there to say instead of a map."""

    @property
    def headline(self) -> str:
        """Method, layer, points and quality."""
        if self.found is None:
            return f"{self.count} points: {self.busy or 'no map yet'}"
        question, quality = self.found.question, self.found.quality
        of = f" of {question.layer}" if question.layer else ""
        parts = [f"{_TITLES[question.method]}{of}, {self.count:,} points"]
        if question.method == "tsne":
            kl = "" if self.found.kl is None else f", KL divergence {self.found.kl:.3f}"
            parts.append(f"iteration {self.found.iteration} of {self.found.total}{kl}")
        if quality is not None:
            if quality.trustworthiness is not None:
                parts.append(f"trustworthiness {quality.trustworthiness:.3f}")
            if quality.purity is not None:
                before, chance = quality.features_purity, quality.chance
                beside = [("features", before), ("chance", chance)]
                said = ", ".join(f"{name} {at:.3f}" for name, at in beside if at is not None)
                parts.append(
                    f"{quality.neighbors} neighbours' purity {quality.purity:.3f} ({said})"
                )
        return "; ".join(parts)

    def figure(self, width: float = 7.0, dpi: int | None = None) -> Figure:
        """The map as a matplotlib figure."""
        from matplotlib.figure import Figure

        made = Figure(figsize=(width, width * 0.75), dpi=dpi or 100, layout="constrained")
        axes = made.add_subplot()
        draw(axes, self)
        lines = _wrapped(self.headline, round(width * 13))
        axes.set_title(lines, fontsize=9, loc="left")
        return made

    def picture(self) -> npt.NDArray[np.uint8]:
        """The same as pixels, 640 wide."""
        from matplotlib.backends.backend_agg import FigureCanvasAgg

        canvas: Any = FigureCanvasAgg(self.figure(6.4, 100))
        with warnings.catch_warnings():
            # A letter that the typeface lacks is a box, and no reason to warn.
            warnings.simplefilter("ignore", UserWarning)
            canvas.draw()
        picture: npt.NDArray[np.uint8] = np.asarray(canvas.buffer_rgba())[..., :3].copy()
        return picture


def draw(axes: Axes, shown: Shown) -> None:
    """The points with their legend."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_color("#d0d7de")
    axes.set_aspect("equal", "datalim")
    if shown.found is None:
        axes.text(0.5, 0.5, shown.busy or "no map yet", transform=axes.transAxes, ha="center")
        return
    xy = shown.found.xy
    index = np.flatnonzero(np.isfinite(xy).all(1))
    if len(index) > _MOST:
        index = np.sort(np.random.default_rng(0).choice(index, _MOST, replace=False))
    index = np.random.default_rng(1).permutation(index)  # no class lies on top of all others
    few = len(index) < 1000
    style: dict[str, Any] = {
        "s": float(np.clip(12_000 / max(1, len(index)), 1.5, 28)),
        "linewidths": 0.4 if few else 0.0,
        "edgecolors": "white" if few else "none",
        "rasterized": len(index) > 3000,
    }
    if len(shown.selection):
        # What is not selected steps back.
        chosen = np.isin(index, shown.selection)
        index = np.concatenate([index[~chosen], index[chosen]])
        style["alpha"] = np.sort(np.where(chosen, 1.0, _FADED))
    _scatter(axes, xy, index, shown.column, style)
    if len(shown.selection):
        axes.scatter([], [], s=style["s"], c="#1b1f24", label=f"selected: {len(shown.selection):,}")
    if axes.get_legend_handles_labels()[1]:
        axes.legend(
            loc="center left",
            bbox_to_anchor=(1.0, 0.5),
            fontsize=8,
            frameon=False,
            title=shown.column.title if shown.column else None,
            title_fontsize=8,
            markerscale=max(1.0, 5 / style["s"] ** 0.5),
        )


def _scatter(axes: Any, xy: Any, index: Any, column: Column | None, style: dict[str, Any]) -> None:
    """Draw the points in this order, with a legend or a colour bar."""
    if column is None:
        axes.scatter(*xy[index].T, color=PALETTE[0], **style)
    elif column.values is None:
        _scatter_numbers(axes, xy, index, column, style)
    else:
        data = column.data[index]
        colours = np.array([*colours_of(column), NO_VALUE])
        codes = np.where(data == NONE, len(colours) - 1, data).astype(np.int64)
        axes.scatter(*xy[index].T, c=colours[codes], **style)
        if len(column.values) <= _LEGEND:
            for code, word in enumerate(column.values):
                axes.scatter([], [], s=style["s"], c=colours[code], label=_short(word))
        else:
            _name_centres(axes, xy, column)
        if (data == NONE).any():
            axes.scatter([], [], s=style["s"], c=NO_VALUE, label="none")


def _scatter_numbers(axes: Any, xy: Any, index: Any, column: Column, style: dict[str, Any]) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize, to_rgba

    meta = column.meta()
    scale = ScalarMappable(Normalize(meta["lo"], meta["hi"]), colormaps["viridis"])
    data = column.data[index]
    colours = scale.to_rgba(data)
    colours[~np.isfinite(data)] = to_rgba(NO_VALUE)
    axes.scatter(*xy[index].T, c=colours, **style)
    bar = axes.figure.colorbar(scale, ax=axes, shrink=0.6, aspect=30)
    bar.set_label(column.title, fontsize=8)
    bar.ax.tick_params(labelsize=8)


def _name_centres(axes: Any, xy: Any, column: Column) -> None:
    """Many classes: each is named where most of it lies."""
    import matplotlib.patheffects as effects

    halo = [effects.withStroke(linewidth=2, foreground="white")]
    good = np.isfinite(xy).all(1)
    frequent = np.argsort(-np.bincount(column.data, minlength=NONE + 1)[:NONE], kind="stable")
    for code in frequent[:40]:
        mine = xy[good & (column.data == code)]
        if len(mine):
            at = np.median(mine, 0)
            text = _short((column.values or ())[code], 16)
            axes.text(*at, text, fontsize=7, ha="center", va="center", path_effects=halo)


def colours_of(column: Column) -> Sequence[str]:
    """Of the words of a category, in their order."""
    if column.key == "correct":
        return RIGHT_OR_WRONG
    return [PALETTE[code % len(PALETTE)] for code in range(len(column.values or ()))]


def _short(word: str, most: int = 22) -> str:
    # A dollar would begin a formula, and what begins with "_" stays out of legends.
    word = _plain(word)
    word = word if len(word) <= most else word[: most - 1] + "…"
    return f" {word}" if word.startswith("_") else word


def _plain(text: str) -> str:
    """What matplotlib draws letter by letter."""
    text = " ".join(text.split()).encode("utf-8", "replace").decode()
    return text.replace("$", "\\$")


def _wrapped(text: str, width: int) -> str:
    import textwrap

    return "\n".join(textwrap.wrap(_plain(text), width))


def code(source: str, images: str, features: str, question: Question) -> str:
    """The backend calls that give what the widget shows.

    Args:
        source: what makes the network.
        images, features: what stands for them; features "" if the network computes them.
        question: which map.
    """
    lines = ["import nbcnnviz as nv\n"]
    if question.method == "given":
        return "\n".join([*lines, "xy = ...  # the coordinates that were given"]) + "\n"
    if features:
        lines.append(f"features = ...  # {features}")
    else:
        lines += [
            f"net = {source}",
            f"images = ...  # {images}",
            f"features = nv.backend.extract(net, images, {question.layer!r})",
        ]
    options = {"pca": ""}.get(question.method, f", perplexity={question.perplexity:g}")
    if question.method == "tsne":
        options += f", iterations={question.iterations}"
    if question.method == "umap":
        options = f", neighbors={max(2, round(question.perplexity))}"
    lines.append(f"xy = nv.backend.project(features, {question.method!r}{options})")
    return "\n".join(lines) + "\n"
