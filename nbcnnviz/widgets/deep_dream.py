"""DeepDream: an image changes, step by step, until a layer sees more of what it sees already."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from ..backend._arguments import plain, read_flag, real, whole
from ..backend._dream_frames import DreamFrame, Frames
from ..backend._dream_objective import dream_layer
from ..backend.dream import deep_dream
from ..backend.network import Network
from . import _dream_record as records
from ._dream_given import Fixed, prepared, sum_of, weighted
from ._dream_run import Settings
from ._dream_thumbs import ThumbsWidget
from ._traits import Setting, check

if TYPE_CHECKING:
    from torch import nn


class DeepDream(ThumbsWidget):
    """Watch an image turn into what a layer sees in it, and turn the knobs meanwhile.

    DeepDream (Mordvintsev, Olah & Tyka 2015): the gradient of a layer is set equal to its
    activations and carried back to the image, which moves along it; at a small size first, then
    at larger ones. Every setting may be changed while it runs and is taken by the next step.

    Args:
        net: a `Network` or a bare `torch.nn.Module`.
        image: anything image-like, taken whole (see `backend.deep_dream`).
        layer: one, several, or {layer: weight}; None: one found by its place in the network.
        channel: one or several channels of the layers, in place of all.
        guide: a second image, of whose features the dream is made while `guided`.
        size: longer edge in pixels, at most; (height, width); None: the image's own.
        tile: sizes above it are seen in pieces; None: never.
        seed: of the random shifts; None: always the same ones.
        name: what to call the image; by default its file name.
        settings: `lr`, `octaves`, `octave_scale`, `steps`, `jitter`, `smooth`, `guided`, `theme`.

    Raises:
        ValueError, TypeError: an argument that cannot be used, by name, with the fix.

    Example:
        >>> import nbcnnviz as nv
        >>> w = nv.DeepDream(
        ...     nv.Network.digits(), nv.sample_image("digit"), "conv2", octaves=1, steps=2, jitter=2
        ... )
        >>> w.step(), w.state
        (None, 'running')
    """

    stem: ClassVar[str] = "deep_dream"
    _plan = ("octaves", "octave_scale", "steps")
    _live = ("mix", "channel", "lr", "jitter", "smooth", "guided")
    _measure = "objective"

    mix = Setting()
    """{layer: weight}: whose activations rise; a negative weight weakens them."""
    channel = Setting(None, allow_none=True)
    """A channel of the layers, or several, in place of all; None: all."""
    lr = Setting(0.01)
    """Mean change of a colour (0..1) by a step."""
    octaves = Setting(4)
    """How many sizes, the smallest first."""
    octave_scale = Setting(1.4)
    """From one size to the next."""
    steps = Setting(10)
    """At each size."""
    jitter = Setting(32)
    """Largest random shift before a step, in pixels."""
    smooth = Setting(0.75)
    """How far fine patterns give way to larger ones: 0 not at all, 1 as in natural images."""
    guided = Setting(False)
    """The dream is made of what the guide shows; only where one was given."""

    image, guide, size, tile = Fixed(), Fixed(), Fixed(), Fixed()

    def __init__(
        self,
        net: Network | nn.Module,
        image: Any,
        layer: Any = None,
        channel: Any = None,
        *,
        guide: Any = None,
        size: Any = 512,
        tile: int | None = 512,
        seed: int | None = None,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        net = Network.wrap(net)
        self._reject_unknown(settings)
        self._image, self._size, self._tile, self._guide = image, size, tile, guide
        picture, called = prepared(net, image, size)
        called = called if name is None else name
        seen = None if guide is None else prepared(net, guide, max(net.preprocess.size), "guide")
        self._guide_name = "" if seen is None else seen[1]
        self._look(net, net.prepare(image))
        if layer is None and "mix" not in settings:
            layer = dream_layer(self.layers, net.preprocess.size).name
            self._chosen = (f"Layer {layer!r} was chosen.",)
        shown = None if seen is None else (seen[1], seen[0])
        start = records.start(called, picture.shape[:2], picture, guide=shown)
        given = {"mix": layer, "channel": channel, "guided": guide is not None, **settings}
        super().__init__(net, given, picture, called, seed=seed, start=start)

    # -- settings -----------------------------------------------------------------------------

    @property
    def layer(self) -> str:
        """Name of the (first) layer; set it to a layer, several, or {layer: weight}."""
        first: str = next(iter(self.mix))
        return first

    @layer.setter
    def layer(self, layer: Any) -> None:
        self.mix = layer

    @check("mix")
    def _valid_mix(self, value: Any) -> dict[str, float]:
        return self._weights(value)

    def _weights(self, value: Any) -> dict[str, float]:
        return weighted(value, self._usable, "layer", -float("inf"))

    @check("channel")
    def _valid_channel(self, value: Any) -> Any:
        value = plain(value)
        if value is None:
            return None
        several = list(value) if isinstance(value, list | tuple | range) else [value]
        channels = [whole("channel", each, 0) for each in several]
        if not channels:
            raise ValueError(f"channel={value!r}: give a whole number, several, or None for all")
        for name, count in self._counts():
            if max(channels) >= count:
                raise ValueError(
                    f"channel={value!r}: {name!r} has {count} channels, 0 to {count - 1}"
                )
        return channels if isinstance(value, list | tuple | range) else channels[0]

    @check("lr")
    def _valid_lr(self, value: Any) -> float:
        return real("lr", value, 0.0)

    @check("octaves")
    def _valid_octaves(self, value: Any) -> int:
        return whole("octaves", value, 1)

    @check("octave_scale")
    def _valid_octave_scale(self, value: Any) -> float:
        return real("octave_scale", value, 1.0, above=True)

    @check("steps")
    def _valid_steps(self, value: Any) -> int:
        return whole("steps", value, 1)

    @check("jitter")
    def _valid_jitter(self, value: Any) -> int:
        return whole("jitter", value, 0)

    @check("smooth")
    def _valid_smooth(self, value: Any) -> float:
        return real("smooth", value, 0.0)

    @check("guided")
    def _valid_guided(self, value: Any) -> bool:
        guided = read_flag("guided", value)
        if guided and self._guide is None:
            raise ValueError("guided=True: there is no guide; make the widget with guide=image")
        return guided

    def _counts(self) -> Iterator[tuple[str, int]]:
        # Where several settings are taken together, this one may still be as it was given.
        for name in self._weights(self.mix):
            yield name, self._usable(name).shape[0]

    def _settle(self, change: Any) -> None:
        if change["name"] == "mix":
            self._chosen = ()
        if self.channel is not None and change["name"] == "mix":
            most = max(self.channel) if isinstance(self.channel, list) else self.channel
            if any(most >= count for _, count in self._counts()):
                # Another layer has other channels.
                self.channel = None

    # -- the run ------------------------------------------------------------------------------

    def _controls(self, wanted: Settings) -> Settings:
        kept = {name: wanted[name] for name in ("channel", "lr", "jitter", "smooth")}
        guide = self._guide if wanted["guided"] else None
        return {"layer": wanted["mix"], "guide": guide, **kept}

    def _make(self, wanted: Settings, resume: DreamFrame | None) -> Frames:
        return deep_dream(
            self.net,
            self._image,
            **self._controls(wanted),
            **{name: wanted[name] for name in self._plan},
            size=self._size,
            tile=self._tile,
            generator=self._generator(),
            resume=resume,
        )

    def _release(self) -> None:
        super()._release()
        self._image = self._guide = None

    # -- stills -------------------------------------------------------------------------------

    def _title(self, settings: Settings) -> str:
        channel = settings["channel"]
        several = isinstance(channel, list)
        numbers = ", ".join(map(str, channel)) if several else channel
        unit = "" if channel is None else f", channel{'s' * several} {numbers}"
        guide = f", guided by {self._guide_name}" if settings["guided"] else ""
        return f"Dream of {sum_of(settings['mix'])}{unit} on {self._name}{guide}"

    def _given(self) -> list[str]:
        return [f"image = ...  # {self._name}"] + ["guide = ..."] * (self._guide is not None)

    def _call(self, settings: Settings) -> tuple[str, list[str]]:
        mix = settings["mix"]
        one = next(iter(mix)) if list(mix.values()) == [1.0] else dict(mix)
        names = ("channel", *self._plan, "lr", "jitter", "smooth")
        return "deep_dream", [
            f"net, image, {one!r}",
            *(f"{name}={settings[name]!r}" for name in names),
            *(["guide=guide"] if settings["guided"] else []),
            f"size={self._size!r}",
            f"tile={self._tile!r}",
        ]
