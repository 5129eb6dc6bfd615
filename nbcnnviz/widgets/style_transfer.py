"""Style transfer: the content of one image painted in the style of another, step by step."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ..backend._arguments import plain, read_flag, real, whole
from ..backend._dream_frames import DreamFrame
from ..backend.network import Network
from ..backend.style import StyleFrames, style_layers_for, style_transfer
from . import _dream_record as records
from . import _style_record
from ._dream import DreamWidget
from ._dream_given import Fixed, prepared, weighted
from ._dream_run import Settings
from ._dream_work import MOST_STEPS
from ._lanes import lane, long_lane, text
from ._lanes import whole as number
from ._traits import Setting, check
from ._worker import Job

if TYPE_CHECKING:
    from torch import nn


class StyleTransfer(DreamWidget):
    """Watch the content of one image being painted in the style of another.

    Gatys, Ecker & Bethge (2016): the content is what a later layer sees, the style which channels
    of several layers go together (their Gram matrices); the image moves until both fit. Every
    weight and layer may be changed while it runs and is taken by the next step.

    Args:
        net: a `Network` or a bare `torch.nn.Module`.
        content: anything image-like, taken whole (see `backend.style_transfer`).
        style: the same, or several of them.
        content_layer: with maps; None: see `backend.style_layers_for`.
        style_layers: several, or {layer: weight}; None: see `backend.style_layers_for`.
        optimizer: "adam" or "lbfgs".
        init: what it begins with: "recoloured", "content", "noise", "style", or an image, also by
            its path. "recoloured" (the content in the colours of the style) is what one gets
            unasked because begun with the content itself, parts of the picture keep colours that
            the style does not have.
        size: longer edge in pixels, at most; (height, width); None: the content's own.
        lr: of the optimiser; None: its usual one.
        seed: of the noise; None: always the same.
        name: what to call the content; by default its file name.
        settings: `content_weight`, `style_weight`, `tv_weight`, `style_weights`, `keep_colours`,
            `scales`, `steps`, `theme`.

    Raises:
        ValueError, TypeError: an argument that cannot be used, by name, with the fix.

    Example:
        >>> import nbcnnviz as nv
        >>> digits = nv.Network.digits()
        >>> w = nv.StyleTransfer(
        ...     digits, nv.sample_image("digit"), nv.sample_image("brick"), scales=1, steps=2
        ... )
        >>> w.content_layer, list(w.style_layers)
        ('relu2', ['relu1', 'relu2'])
    """

    stem: ClassVar[str] = "style_transfer"
    _plan = ("scales", "steps", "keep_colours")
    _live = (
        "content_layer",
        "style_layers",
        "content_weight",
        "style_weight",
        "tv_weight",
        "style_weights",
        "lr",
    )
    _measure = "total"

    content_layer = Setting()
    """Name of the layer that the content is read at."""
    style_layers = Setting()
    """{layer: weight}: where the style is read."""
    content_weight = Setting(1.0)
    """How much the content counts; 0: not at all."""
    style_weight = Setting(10.0)
    """How much the style counts; 0: not at all."""
    tv_weight = Setting(10.0)
    """How much neighbouring colours are drawn together."""
    style_weights = Setting()
    """How much each style counts."""
    keep_colours = Setting(False)
    """Only the lightness changes."""
    scales = Setting(2)
    """How many sizes, each twice the one before."""
    steps = Setting(150)
    """At each size."""
    lr = Setting(None, allow_none=True).tag(sync=False)
    """Of the optimiser; None: its usual one. Set from Python alone: the page has other knobs."""

    content, style, optimizer, init, size = Fixed(), Fixed(), Fixed(), Fixed(), Fixed()

    def __init__(
        self,
        net: Network | nn.Module,
        content: Any,
        style: Any,
        content_layer: Any = None,
        style_layers: Any = None,
        *,
        optimizer: str = "adam",
        init: Any = "recoloured",
        size: Any = 384,
        lr: float | None = None,
        seed: int | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        net = Network.wrap(net)
        self._reject_unknown(settings)
        self._content, self._style = content, style
        self._styles = list(style) if isinstance(style, list | tuple) else [style]
        self._optimizer, self._init, self._size = optimizer, init, size
        self._grams = _style_record.Grams(lambda wanted: self._make(wanted, None))
        picture, called = prepared(net, content, size, "content")
        called = called if name is None else name
        styles = _style_record.styles(net, self._styles)
        self._style_names = [each for each, _ in styles]
        self._look(net, net.prepare(content))
        if content_layer is None or style_layers is None:
            chosen = style_layers_for(net)
            content_layer = chosen.content if content_layer is None else content_layer
            style_layers = chosen.style if style_layers is None else style_layers
            self._chosen = (str(chosen),)
        start = records.start(called, picture.shape[:2], picture, styles=styles)
        given = {
            "content_layer": content_layer,
            "style_layers": style_layers,
            "style_weights": [1.0] * len(self._styles),
            **settings,
        }
        super().__init__(net, given, picture, called, seed=seed, start=start, lr=lr)

    # -- settings -----------------------------------------------------------------------------

    @check("content_layer")
    def _valid_content_layer(self, value: Any) -> str:
        return self._usable(value, "content_layer").name

    @check("style_layers")
    def _valid_style_layers(self, value: Any) -> dict[str, float]:
        return weighted(value, lambda name: self._usable(name, "style_layers"), "style_layers", 0.0)

    @check("content_weight")
    def _valid_content_weight(self, value: Any) -> float:
        return self._weight("content_weight", value, self.style_weight)

    @check("style_weight")
    def _valid_style_weight(self, value: Any) -> float:
        return self._weight("style_weight", value, self.content_weight)

    def _weight(self, name: str, value: Any, other: float) -> float:
        weight = real(name, value, 0.0)
        if not weight and not other:
            raise ValueError(
                f"{name}={value!r}: the other weight is 0 as well, so nothing is left to paint; "
                "give one above 0"
            )
        return weight

    @check("tv_weight")
    def _valid_tv_weight(self, value: Any) -> float:
        return real("tv_weight", value, 0.0)

    @check("style_weights")
    def _valid_style_weights(self, value: Any) -> list[float]:
        count = len(self._styles)
        value = [1.0] * count if value is None else plain(value)
        if not isinstance(value, list | tuple) or len(value) != count:
            raise ValueError(f"style_weights={value!r}: give {count}, one for each style")
        weights = [real("style_weights", weight, 0.0) for weight in value]
        if not any(weights):
            raise ValueError(f"style_weights={value!r}: give at least one above 0")
        return weights

    @check("keep_colours")
    def _valid_keep_colours(self, value: Any) -> bool:
        return read_flag("keep_colours", value)

    @check("scales")
    def _valid_scales(self, value: Any) -> int:
        return whole("scales", value, 1)

    @check("steps")
    def _valid_steps(self, value: Any) -> int:
        return whole("steps", value, 1)

    @check("lr")
    def _valid_lr(self, value: Any) -> float | None:
        return None if value is None else real("lr", value, 0.0, above=True)

    def _settle(self, change: Any) -> None:
        if change["name"] in ("content_layer", "style_layers"):
            self._chosen = ()

    # -- the run ------------------------------------------------------------------------------

    def _make(self, wanted: Settings, resume: DreamFrame | None) -> StyleFrames:
        return style_transfer(
            self.net,
            self._content,
            self._styles,
            **wanted,
            optimizer=self._optimizer,
            init=self._init,
            size=self._size,
            generator=self._generator(),
            resume=resume,
        )

    def _forget(self) -> None:
        self._answers = {key: each for key, each in self._answers.items() if key[0] != "gram"}

    def _release(self) -> None:
        super()._release()
        self._content = self._style = self._init = None
        self._styles = []
        self._grams.forget()

    # -- what the browser asks ------------------------------------------------------------------

    @lane(layer=text())
    def _lane_gram(self, job: Job, /, layer: str) -> bytes:
        answer = self._gram(layer)
        self._keep("gram", layer, answer)
        return answer

    def _gram(self, layer: str) -> bytes:
        return self._grams.blob(self._run.frame, self._usable(layer).name, self._wanted)

    @long_lane(steps=number(1, MOST_STEPS))
    def _lane_apart(self, job: Job, /, steps: int) -> bytes:
        both = _style_record.apart(self.net, self._content, self._styles, self._wanted, steps)
        halves: _style_record.Halves | None = None
        try:
            for halves in both:
                job.partial(halves.blob)
                job.progress(halves.content.step, steps)
        finally:
            # Also where it was stopped.
            if halves is not None:
                self._keep("apart", "", halves.small())
        assert halves is not None
        return halves.blob()

    # -- stills -------------------------------------------------------------------------------

    def _title(self, settings: Settings) -> str:
        return f"{self._name} in the style of {' + '.join(self._style_names)}"

    def _given(self) -> list[str]:
        names = ", ".join(self._style_names)
        several = len(self._styles) > 1
        style = f"styles = [...]  # {names}" if several else f"style = ...  # {names}"
        init = [] if isinstance(self._init, str) else ["init = ..."]
        return [f"content = ...  # {self._name}", style, *init]

    def _call(self, settings: Settings) -> tuple[str, list[str]]:
        init = repr(self._init) if isinstance(self._init, str) else "init"
        return "style_transfer", [
            f"net, content, {'styles' if len(self._styles) > 1 else 'style'}",
            *(f"{name}={settings[name]!r}" for name in (*self._live, *self._plan)),
            f"optimizer={self._optimizer!r}",
            f"init={init}",
            f"size={self._size!r}",
        ]

    def _export_replies(self, **options: Any) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Answers for a saved page: the code, and the Gram matrices of the style's layers."""
        yield from super()._export_replies(**options)
        for layer in self.style_layers:
            yield "gram", {"layer": layer}, self._gram(layer)
