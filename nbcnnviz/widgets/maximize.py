"""Maximize: what a channel, a neuron or a class likes best, grown from noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..backend._arguments import plain, real, whole
from ..backend._dream_frames import DreamFrame, Frames
from ..backend._dream_unit import class_index
from ..backend.layers import default_layer
from ..backend.maximization import maximize, picture_size
from ..backend.network import Network
from . import _dream_record as records
from ._dream_film import RGB
from ._dream_given import Fixed
from ._dream_run import Settings
from ._dream_thumbs import ThumbsWidget
from ._inputs import class_names
from ._layers import LayerName
from ._traits import Setting, check

if TYPE_CHECKING:
    from torch import nn

    from ..backend.layers import Layer

MOST_RESULTS = 16
_GRAY, _NOISE = 128, 12


class Maximize(ThumbsWidget):
    """Watch an image grow from noise that a channel, a neuron or a class likes best.

    Activation maximization (Erhan et al. 2009; Olah, Mordvintsev & Schubert 2017). Every setting
    may be changed while it runs and is taken by the next step.

    Args:
        net: a `Network` or a bare `torch.nn.Module`.
        layer: with maps; None: the last one.
        channel: of the layer; None: the first.
        target: a class index or label in place of a layer and a channel.
        size: side or (height, width) in pixels; None: the network's usual size.
        seed: of noise and transforms; None: always the same.
        settings: `position`, `count`, `diversity`, `lr`, `steps`, `transforms`, `theme`.

    Raises:
        ValueError, TypeError: an argument that cannot be used, by name, with the fix.

    Example:
        >>> import nbcnnviz as nv
        >>> w = nv.Maximize(nv.Network.digits(), "conv2", 3, steps=2)
        >>> w.layer, w.channel, w.state
        ('conv2', 3, 'fresh')
    """

    stem: ClassVar[str] = "maximize"
    _plan = ("steps", "count")
    _live = ("layer", "channel", "target", "position", "diversity", "lr", "transforms")
    _measure = "objective"
    _has_before = False

    layer = LayerName()
    """Name of the layer; to set it ends a `target`."""
    channel = Setting(0)
    """Of the layer; to set it ends a `target`."""
    target = Setting(None, allow_none=True)
    """Index of a class, in place of layer, channel and position."""
    position = Setting(None, allow_none=True)
    """None: the whole channel; "center": the neuron in the middle of its map; or (y, x); to set it
    ends a `target`."""
    count = Setting(1)
    """How many results at once."""
    diversity = Setting(1.0)
    """How strongly several results are kept apart."""
    lr = Setting(0.05)
    """Adam's."""
    steps = Setting(256)
    """In all."""
    transforms = Setting(1.0)
    """Strength of the random shifts, turns and zooms."""

    size = Fixed()

    def __init__(
        self,
        net: Network | nn.Module,
        layer: Layer | str | None = None,
        channel: int | None = None,
        target: Any = None,
        *,
        size: Any = None,
        seed: int | None = None,
        **settings: Any,
    ) -> None:
        net = Network.wrap(net)
        self._reject_unknown(settings)
        unit = {"layer": layer, "channel": channel, "position": settings.get("position")}
        also = [name for name, value in unit.items() if value is not None]
        if target is not None and also:
            raise ValueError(
                f"target={target!r}: give a class, or layer and channel, not both; leave out "
                f"{' and '.join(also)}"
            )
        self._size = size
        self._look(net, None)
        try:
            self._classes = int(net.logits(net.blank()).shape[1])
        except ValueError:
            self._classes = 0  # no scores: there are channels only
        self._labels = net.labels
        chosen = default_layer(self.layers).name if layer is None else layer
        picture = _noise(net, size)
        names = class_names(net, self._classes)
        start = records.start("noise", picture.shape[:2], None, classes=names)
        channel = 0 if channel is None else channel
        given = {"layer": chosen, "channel": channel, "target": target, **settings}
        super().__init__(net, given, picture, "noise", seed=seed, start=start)

    # -- settings -----------------------------------------------------------------------------

    @check("layer")
    def _valid_layer(self, value: Any) -> str:
        return self._usable(value).name

    @check("channel")
    def _valid_channel(self, value: Any) -> int:
        channel, count = whole("channel", value, 0), self._usable(self.layer).shape[0]
        if channel >= count:
            raise ValueError(
                f"channel={value!r}: {self.layer!r} has {count} channels, 0 to {count - 1}"
            )
        return channel

    @check("target")
    def _valid_target(self, value: Any) -> int | None:
        if value is None:
            return None
        return class_index(value, self._labels, self._classes)

    @check("position")
    def _valid_position(self, value: Any) -> Any:
        value = plain(value)
        if value is None or value == "center":
            return value
        if not isinstance(value, list | tuple) or len(value) != 2:
            raise TypeError(f'position={value!r}: give None, "center" or (y, x) in the map')
        place = [whole("position", each, 0) for each in value]
        _, height, width = self._map()
        # At another size than the usual one the run itself will tell.
        if self._size is None and (place[0] >= height or place[1] >= width):
            raise ValueError(
                f"position={value!r}: the maps of {self.layer!r} are {height} x {width}"
            )
        return place

    @check("count")
    def _valid_count(self, value: Any) -> int:
        count = whole("count", value, 1)
        if count > MOST_RESULTS:
            raise ValueError(f"count={value!r}: give at most {MOST_RESULTS}")
        return count

    @check("diversity")
    def _valid_diversity(self, value: Any) -> float:
        return real("diversity", value, 0.0)

    @check("lr")
    def _valid_lr(self, value: Any) -> float:
        return real("lr", value, 0.0)

    @check("steps")
    def _valid_steps(self, value: Any) -> int:
        return whole("steps", value, 1)

    @check("transforms")
    def _valid_transforms(self, value: Any) -> float:
        return real("transforms", value, 0.0)

    def _map(self) -> tuple[int, int, int]:
        """Channels, height and width of the layer at the usual size."""
        shape = self._usable(self.layer).shape
        return shape[0], shape[1], shape[2]

    def _settle(self, change: Any) -> None:
        if change["name"] not in ("layer", "channel", "position"):
            return
        self._chosen = ()
        if change["new"] is not None:
            # Who chooses a unit wants to see it, and not the class.
            self.target = None
        if change["name"] == "layer":
            self._fit()

    def _fit(self) -> None:
        """Another layer may have fewer channels and smaller maps: take what it has, and say so."""
        count, height, width = self._map()
        said = []
        channel, place = self.channel, self.position
        if channel >= count:
            self.channel = count - 1
            said.append(f"no channel {channel}: channel {count - 1} was chosen.")
        if isinstance(place, list) and (place[0] >= height or place[1] >= width):
            self.position = "center"
            said.append(f"no neuron {tuple(place)}: the one in the middle was chosen.")
        self._chosen = tuple(f"{self.layer!r} has {each}" for each in said)

    # -- the run ------------------------------------------------------------------------------

    def _controls(self, wanted: Settings) -> Settings:
        unit = {"layer": None, "channel": None, "position": None}
        return {**super()._controls(wanted), **({} if wanted["target"] is None else unit)}

    def _make(self, wanted: Settings, resume: DreamFrame | None) -> Frames:
        return maximize(
            self.net,
            **self._controls(wanted),
            **{name: wanted[name] for name in self._plan},
            size=self._size,
            generator=self._generator(),
            resume=resume,
        )

    def _thumbs_begin_with(self) -> Any:
        return _noise(self.net, records.THUMB_EDGE)

    # -- stills -------------------------------------------------------------------------------

    def _title(self, settings: Settings) -> str:
        if settings["target"] is not None:
            return f"Favourite of {self._class_name(settings['target'])}"
        position = settings["position"]
        place = ""
        if position is not None:
            middle = position == "center"
            place = ", middle neuron" if middle else f", neuron {tuple(position)}"
        return f"Favourite of {settings['layer']}, channel {settings['channel']}{place}"

    def _class_name(self, index: int) -> str:
        labels = self._labels
        return labels[index] if labels and index < len(labels) else f"class {index}"

    def _given(self) -> list[str]:
        return []

    def _call(self, settings: Settings) -> tuple[str, list[str]]:
        wanted = {**self._controls(settings), **{name: settings[name] for name in self._plan}}
        given = [f"{n}={v!r}" for n, v in wanted.items() if v is not None]
        return "maximize", ["net", *given, f"size={self._size!r}"]


def _noise(net: Network, size: Any) -> RGB:
    """A faint noise, (H, W, 3): what there is before the first step."""
    height, width = picture_size(net, size)
    drawn = np.random.default_rng(0).normal(_GRAY, _NOISE, (height, width, 3))
    made: RGB = drawn.clip(0, 255).astype(np.uint8)
    return made
