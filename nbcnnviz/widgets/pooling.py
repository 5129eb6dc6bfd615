"""Pooling: a layer's maps before and after, and what if the network pooled otherwise."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets

from ..backend import pooling
from ..backend._pool_layers import name_of
from ..backend._pool_settings import OPS, read_pair
from ..backend.maps import feature_maps
from ..backend.network import Network
from . import _pool_answers
from ._cache import shared
from ._codec import pack
from ._inputs import Inputs
from ._lanes import Check, flag, lane, one_of, optional, pair, several, text, whole
from ._layers import LayerName, LayerWidget, facts
from ._pool_record import How, PoolRecord, own_parameters, simple
from ._traits import Choice, Flag, Setting, Whole, check
from ._worker import Job

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from ..backend.layers import Layer
    from ..backend.pooling import Pooled, PoolingLayer

_MOST = 65_536
"""Cells that a browser may name."""
_AT_ONCE = 256
_SAVED_BYTES = 150_000
"""Of maps before pooling, and as many after: a saved notebook stays below 1 MB."""
_SAVED_MAP = 400_000
"""Bytes of the channel shown large, exact; a saved page pools no larger one."""
_SHIFT = whole(-64, 64)
_SETTINGS = tuple(field.name for field in fields(How))
_HOW: dict[str, Check] = {
    "op": one_of(*OPS),
    "window": pair(1, _MOST),
    "stride": pair(1, _MOST),
    "padding": pair(0, _MOST),
    "dilation": pair(1, _MOST),
    "ceil_mode": flag,
}


class PoolName(LayerName):
    """A layer, given by name, itself or as a pooling call; its name is what is kept."""

    def validate(self, obj: Any, value: Any) -> Any:
        """The name."""
        called = isinstance(value, pooling.PoolingLayer)
        return super().validate(obj, value.layer if called else value)


class Pooling(LayerWidget):
    """See what pooling keeps and what it drops, and try other windows.

    Maps before and after side by side: with the mouse over one value its window lights up. Any
    setting may be changed and is answered at once; the network can be run with its own pooling
    call so changed. Networks that end with global average pooling show their scores as a sum over
    channels.

    Args:
        net: a `Network` or a bare `torch.nn.Module`.
        image: anything image-like (see `Network.prepare`).
        layer: the layer or pooling call to begin with, or its name; the first that pools if None.
            Others will do too: what if the network pooled there?
        name: what to call the image; by default its file name.
        settings: `channel`, `op`, `window`, `stride`, `padding`, `dilation`, `ceil_mode`, `theme`;
            what is not given is as the network has it.

    Raises:
        ValueError, TypeError: an argument that cannot be used, by name, with the fix.

    Example:
        >>> import nbcnnviz as nv
        >>> w = nv.Pooling(nv.Network.digits(), nv.sample_image("digit"), "pool1")
        >>> w.op = "avg"
        >>> w.result.values.ndim
        3
    """

    stem: ClassVar[str] = "pooling"

    layer = PoolName()
    """Name of the layer shown; set it to a name, a `Layer` or a pooling call."""
    channel = Whole(0)
    """The channel shown large."""
    op = Choice(OPS, "max")
    """How windows become numbers; "global_avg" and "global_max" take the whole map."""
    window = Setting(2)
    """Cells, or (rows, columns), of a window."""
    stride = Setting(2)
    """Cells from one window to the next."""
    padding = Setting(0)
    """Cells around the map."""
    dilation = Setting(1)
    """Cells from one value of a window to the next."""
    ceil_mode = Flag(False)
    """Also windows that reach beyond the lower and right edge."""

    _images = traitlets.Bytes().tag(sync=True)
    _pool = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        net: Network | nn.Module,
        image: Any,
        layer: PoolingLayer | Layer | str | None = None,
        *,
        name: str | None = None,
        **settings: Any,
    ) -> None:
        net = Network.wrap(net)
        self._inputs = Inputs.prepare(net, image, None if name is None else [name])
        if len(self._inputs) > 1:
            raise ValueError(f"image: {len(self._inputs)} images; Pooling takes one")
        self._pools = _pooling_layers(net, self._x)
        self._following = True
        first = None if layer is None else name_of(layer)
        super().__init__(net, self._x, first, settings, _images=self._inputs.blob())
        self._following = False
        self._follow(settings)
        self._save()
        self.observe(self._save_soon, ["layer", "channel", *_SETTINGS])

    @property
    def _x(self) -> Tensor:
        return self._inputs.tensors[0]

    def _first_layer(self) -> Layer:
        """The first that pools maps of more than one cell, if there is one."""
        real = [one.layer for one in self._pools.values() if max(one.shape[1:]) > 1]
        usable = [one for one in self.layers if one.name in {layer.name for layer in real}]
        return usable[0] if usable else super()._first_layer()

    def _usable(self, name: Any, argument: str = "layer") -> Layer:
        # The numbers that global pooling makes of maps are no maps themselves.
        known = name_of(name)
        if known in self._pools:
            return self._pools[known].layer
        return super()._usable(known, argument)

    def _layer_list(self) -> list[dict[str, Any]]:
        pools = {name: own_parameters(own) for name, own in self._pools.items()}
        return [{**entry, "pool": pools.get(entry["name"])} for entry in super()._layer_list()]

    # -- settings -----------------------------------------------------------------------------

    @check("window")
    def _valid_window(self, value: Any) -> Any:
        return _cells("window", value, 1)

    @check("stride")
    def _valid_stride(self, value: Any) -> Any:
        return _cells("stride", value, 1)

    @check("padding")
    def _valid_padding(self, value: Any) -> Any:
        return _cells("padding", value, 0)

    @check("dilation")
    def _valid_dilation(self, value: Any) -> Any:
        return _cells("dilation", value, 1)

    @check("channel")
    def _valid_channel(self, channel: int) -> int:
        count = self._shape()[0]
        if not 0 <= channel < count:
            raise ValueError(f"channel={channel}: {self.layer} has channels 0 to {count - 1}")
        return channel

    @traitlets.observe("layer")
    def _another_layer(self, change: Any) -> None:
        if not self._following:
            self._follow({})

    def _follow(self, given: Mapping[str, Any]) -> None:
        """Begin as the network pools at this layer, but for what was given."""
        own = self._pools.get(self.layer)
        start = How.of(own, self._shape()[1:])
        made = {name: getattr(start, name) for name in _SETTINGS if name not in given}
        with self._trait_lock, self.hold_sync():
            for name, value in made.items():
                self.set_trait(name, simple(value) if isinstance(value, tuple) else value)
            if self.channel >= self._shape()[0]:
                self.channel = 0

    def _shape(self) -> tuple[int, int, int]:
        """(C, H, W) of the maps before pooling."""
        own = self._pools.get(self.layer)
        return own.shape if own is not None else _maps_shape(self._usable(self.layer))

    def _how(self) -> How:
        """The settings now."""
        pairs = {n: read_pair(getattr(self, n), n) for n in _SETTINGS[1:-1]}
        return How(op=self.op, ceil_mode=self.ceil_mode, **pairs)

    # -- for the user -------------------------------------------------------------------------

    @property
    def result(self) -> Pooled:
        """The maps pooled as the widget is set: values (C, h, w), and indices for "max".

        Raises:
            ValueError: they cannot be pooled so.
        """
        return self._record(self.layer).pooled(self._how())

    def refresh(self) -> None:
        """Look again, after more training."""
        self._inputs.predict(self.net)
        self._pools = _pooling_layers(self.net, self._x)
        shared.drop(self._epoch)
        self._publish(_images=self._inputs.blob())
        self._examine_again(self._x)
        self._save()

    def _compute(self, job: Job) -> Pooled:
        job.progress(0, 1)
        found = self.result
        job.progress(1, 1)
        self._save()
        return found

    # -- what is worked out ---------------------------------------------------------------------

    def _record(self, layer: str) -> PoolRecord:
        """The layer's maps before pooling."""
        version = self.net.version()

        def make() -> PoolRecord:
            own = self._pools.get(layer)
            before = (
                feature_maps(self.net, self._x, layer)
                if own is None
                else pooling.pool_input(self.net, self._x, layer)
            )
            return PoolRecord.of(self._usable(layer), own, version, before)

        found: PoolRecord = shared.get((self._epoch, layer, version), make)
        return found

    def _checked(self, layer: str) -> PoolRecord:
        """The record for what a browser asks for, whose words are not to be trusted."""
        return self._record(self._usable(layer).name)

    def _save(self) -> None:
        if self._following:
            return  # the settings are not there yet
        record, how = self._record(self.layer), self._how()
        channels = record.first(_SAVED_BYTES)
        meta, arrays = {**record.meta(), "channel": self.channel}, record.arrays(channels)
        if pooling.pool_problem(record.size, **how.args()) is None:
            fits = _SAVED_BYTES // max(1, record.quantised.codes[0].size)
            pooled, more = record.stack(how, channels[: max(1, fits)])
            meta["stack"] = pooled
            arrays |= {f"after_{name}": array for name, array in more.items()}
        exact = self._map(record, self.channel)
        if exact.nbytes <= _SAVED_MAP:
            arrays["map"] = exact
        self._publish(_pool=pack(meta, arrays))

    def _map(self, record: PoolRecord, channel: int) -> npt.NDArray[np.float32]:
        return record.exact[channel].float().numpy()

    def _release(self) -> None:
        self._pools = {}
        self._inputs.tensors, self._inputs.pictures = [], []

    # -- what the browser asks ------------------------------------------------------------------

    @lane(layer=text())
    def _lane_layer(self, job: Job, /, layer: str) -> bytes:
        return self._checked(layer).blob()

    @lane(layer=text(), channels=several(whole(), _AT_ONCE))
    def _lane_more(self, job: Job, /, layer: str, channels: list[int]) -> bytes:
        record = self._checked(layer)
        return pack({"layer": layer}, record.some(_there(record, channels)))

    @lane(layer=text(), channel=whole())
    def _lane_channel(self, job: Job, /, layer: str, channel: int) -> bytes:
        record = self._checked(layer)
        if channel >= len(record.exact):
            raise ValueError(f"channel {channel}: {layer} has {len(record.exact)}")
        meta = {"layer": layer, "channel": channel}
        return pack(meta, {"map": self._map(record, channel)})

    @lane(layer=text(), channels=several(whole(), _AT_ONCE), **_HOW)
    def _lane_stack(self, job: Job, /, layer: str, channels: list[int], **how: Any) -> bytes:
        record = self._checked(layer)
        return pack(*record.stack(How(**how), _there(record, channels)))

    @lane(layer=text(), **_HOW)
    def _lane_push(self, job: Job, /, layer: str, **how: Any) -> bytes:
        name = self._usable(layer).name
        return _pool_answers.push(self.net, self._x, name, How(**how))

    @lane(index=optional(whole()))
    def _lane_gap(self, job: Job, /, index: int | None) -> bytes:
        return _pool_answers.gap(self.net, self._x, index)

    @lane(layer=text(), dy=_SHIFT, dx=_SHIFT, **_HOW)
    def _lane_shift(self, job: Job, /, layer: str, dy: int, dx: int, **how: Any) -> bytes:
        name = self._usable(layer).name
        return _pool_answers.shift(self.net, self._x, name, dy, dx, How(**how))

    @lane(layer=text(), channel=whole(), **_HOW)
    def _lane_code(self, job: Job, /, layer: str, channel: int, **how: Any) -> bytes:
        return pack({"code": self._code_for(self._usable(layer).name, How(**how))}, {})

    # -- what a saved notebook, a still picture and a page of its own show -----------------------

    def _picture(self) -> npt.NDArray[np.uint8]:
        from . import _pool_still, _still

        return _still.grid(
            title=self._headline(),
            picture=self._inputs.pictures[0],
            bars=[(p.label, p.probability) for p in self._inputs.predictions[0]],
            tiles=_pool_still.tiles(self._record(self.layer), self._how(), self.channel, 24),
        )

    def _figure(self) -> Figure:
        from . import _pool_still, _still

        tiles = _pool_still.tiles(self._record(self.layer), self._how(), self.channel, 32)
        return _still.figure(title=self._headline(), tiles=tiles)

    def _headline(self) -> str:
        from . import _pool_still

        return _pool_still.headline(self._record(self.layer), self._how())

    def _summary(self) -> str:
        return (
            f"Pooling: {self._headline()} in {self.net.name} "
            f"({facts(self._usable(self.layer))}), looking at {self._inputs.names[0]}"
        )

    def _code(self) -> str:
        return self._code_for(self.layer, self._how())

    def _code_for(self, layer: str, how: How) -> str:
        image = self._inputs.names[0]
        return _pool_answers.code(self.net, image, layer, how, layer in self._pools)

    def _export_replies(
        self, channels: int = 32, **options: Any
    ) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Answers for a saved page: this layer, its first channels in full, and the scores.

        Args:
            channels: of how many channels the page knows the exact map.
        """
        from ._pool_export import answers

        if options:
            raise TypeError(f"save_html has no option {next(iter(options))!r}: there is `channels`")
        yield from answers(self, channels)


def _pooling_layers(net: Network, x: Tensor) -> dict[str, PoolingLayer]:
    """By name, where the widget can show what goes in."""
    return {one.layer.name: one for one in pooling.pooling_layers(net, x)}


def _maps_shape(layer: Layer) -> tuple[int, int, int]:
    channels, height, width = layer.shape
    return channels, height, width


def _cells(name: str, value: Any, least: int) -> Any:
    """A number of cells, or (rows, columns)."""
    found = read_pair(value, name)
    if min(found) < least or max(found) > _MOST:
        raise ValueError(f"{name}={value!r}: give {least} to {_MOST} cells")
    return simple(found)


def _there(record: PoolRecord, channels: list[int]) -> npt.NDArray[np.int32]:
    return np.array([c for c in channels if c < len(record.exact)], np.int32)
