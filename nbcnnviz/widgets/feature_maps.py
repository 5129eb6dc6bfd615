"""FeatureMaps: what every layer of a network answers to an image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import traitlets

from .. import colormaps
from ..backend import maps
from ..backend.network import Network
from ..backend.recorder import record_prepared
from ._cache import shared
from ._codec import pack
from ._inputs import Inputs
from ._lanes import flag, lane, long_lane, one_of, optional, several, text, whole
from ._layer_record import MAPS_AT_ONCE, SORTS, LayerRecord, compare_blob
from ._layers import LayerWidget, facts
from ._traits import Choice, Flag, Whole, check
from ._worker import Job

if TYPE_CHECKING:
    import numpy.typing as npt
    from matplotlib.figure import Figure
    from torch import Tensor, nn

    from ..backend.layers import Layer

SAVED_BYTES = 250_000
"""Of maps in the traits: with the picture, the code, base64 and all below 1 MB when saved."""


class FeatureMaps(LayerWidget):
    """See what every layer of a network answers to an image, channel by channel.

    Args:
        net: a `Network` or a bare `torch.nn.Module`.
        image: anything image-like (see `Network.prepare`), or a list of images to compare.
        layer: the layer to begin with, or its name; the first activation or convolution if None.
        names: what to call the images; by default their file names, or numbers.
        settings: `channel`, `image_index`, `sort`, `scale`, `colormap`, `hide_dead`, `theme`.

    Raises:
        ValueError, TypeError: an argument that cannot be used, by name, with the fix.

    Example:
        >>> import nbcnnviz as nv
        >>> w = nv.FeatureMaps(nv.Network.digits(), nv.sample_image("digit"))
        >>> w.layer = w.layers[-3].name
    """

    stem: ClassVar[str] = "feature_maps"

    channel = Whole(None, allow_none=True)
    """The channel opened large; None: the grid."""
    image_index = Whole(0)
    """Which of the images is shown, from 0."""
    sort = Choice(SORTS, "index")
    """Order of the grid: by number, or largest first."""
    scale = Choice(colormaps.SCALES, "map")
    """What the colours span: each map, the layer, or the layer symmetric around zero."""
    colormap = Choice(colormaps.NAMES, "auto")
    """Colours; "auto" is viridis, or red-blue around zero for layers with negative values."""
    hide_dead = Flag(False)
    """Leave out channels whose every value is zero."""

    _images = traitlets.Bytes().tag(sync=True)
    _maps = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        net: Network | nn.Module,
        image: Any,
        layer: Layer | str | None = None,
        *,
        names: Sequence[str] | None = None,
        **settings: Any,
    ) -> None:
        net = Network.wrap(net)
        self._inputs = Inputs.prepare(net, image, names)
        self._held: tuple[Any, Tensor] | None = None
        super().__init__(net, self._inputs.tensors[0], layer, settings, _images=self._inputs.blob())
        self.observe(self._save_soon, ["layer", "image_index", "sort", "hide_dead"])

    # -- settings -----------------------------------------------------------------------------

    @check("image_index")
    def _valid_image(self, index: int) -> int:
        if not 0 <= index < len(self._inputs):
            raise ValueError(
                f"image_index={index}: there are {len(self._inputs)} images, numbered from 0"
            )
        return index

    @check("channel")
    def _valid_channel(self, channel: int | None) -> int | None:
        count = self._usable(self.layer).shape[0]
        if channel is not None and not 0 <= channel < count:
            raise ValueError(f"channel={channel}: {self.layer} has channels 0 to {count - 1}")
        return channel

    @traitlets.observe("layer")
    def _keep_channel(self, change: Any) -> None:
        if self.channel is not None and self.channel >= self._usable(self.layer).shape[0]:
            self.channel = None

    # -- for the user -------------------------------------------------------------------------

    @property
    def maps(self) -> Tensor:
        """The feature maps shown now, (C, H, W), as the network computed them."""
        return self._float_maps(self.layer, self.image_index)

    def refresh(self) -> None:
        """Look again, after more training: maps, predictions and the doctor's marks."""
        self._inputs.predict(self.net)
        self._held = None
        shared.drop(self._epoch)
        self._images = self._inputs.blob()
        self._examine_again(self._inputs.tensors[0])
        self._save()

    def _compute(self, job: Job) -> Tensor:
        """The current layer for every image, so that comparing them is instant."""
        for index in range(len(self._inputs)):
            job.progress(index, len(self._inputs))
            self._record(self.layer, index)
        job.progress(len(self._inputs), len(self._inputs))
        self._save()
        return self.maps

    # -- what is worked out ---------------------------------------------------------------------

    def _float_maps(self, layer: str, image: int, version: int | None = None) -> Tensor:
        """The exact maps; only those of the last layer asked for are held."""
        key = (layer, image, self.net.version() if version is None else version)
        held = self._held
        if held is None or held[0] != key:
            held = key, record_prepared(self.net, self._inputs.tensors[image], [layer])[layer]
            self._held = held
        return held[1]

    def _record(self, layer: str, image: int) -> LayerRecord:
        version = self.net.version()

        def make() -> LayerRecord:
            exact = self._float_maps(layer, image, version)
            reduced, factor = maps.reduce_maps(exact)
            ends = maps.ends_of(exact)
            return LayerRecord(
                layer=self._usable(layer),
                image=image,
                version=version,
                statistics=maps.channel_statistics(exact, ends),
                quantised=maps.quantise(reduced, ends if factor == 1 else None),
                factor=factor,
                picture=self._inputs.pictures[image],
            )

        found: LayerRecord = shared.get((self._epoch, layer, image, version), make)
        return found

    def _checked(self, layer: str, image: int) -> LayerRecord:
        """The record for what a browser asks for, whose words are not to be trusted."""
        return self._record(self._usable(layer).name, self._checked_image(image))

    def _checked_image(self, image: int) -> int:
        if image >= len(self._inputs):
            raise ValueError(f"image {image}: there are {len(self._inputs)}")
        return image

    def _save(self) -> None:
        record = self._record(self.layer, self.image_index)
        self._publish(_maps=record.blob(self._saved_channels(record)))

    def _saved_channels(self, record: LayerRecord) -> npt.NDArray[np.int32]:
        """Those whose maps a saved notebook keeps: the first of the grid."""
        return record.first(record.order(self.sort, self.hide_dead), SAVED_BYTES)

    def _release(self) -> None:
        self._held = None
        self._inputs.tensors, self._inputs.pictures = [], []

    # -- what the browser asks ------------------------------------------------------------------

    @lane(layer=text(), image=whole(), sort=one_of(*SORTS), hide_dead=flag)
    def _lane_layer(self, job: Job, layer: str, image: int, sort: str, hide_dead: bool) -> bytes:
        found = self._checked(layer, image)
        return found.blob(found.first(found.order(sort, hide_dead)))

    @lane(layer=text(), image=whole(), channels=several(whole(), MAPS_AT_ONCE))
    def _lane_more(self, job: Job, layer: str, image: int, channels: list[int]) -> bytes:
        found = self._checked(layer, image)
        count = len(found.quantised.lo)
        chosen = np.array([c for c in channels if c < count], np.int32)
        return pack({"layer": layer, "image": image}, found.maps(chosen))

    @lane(layer=text(), image=whole(), channel=whole())
    def _lane_channel(self, job: Job, layer: str, image: int, channel: int) -> bytes:
        found = self._checked(layer, image)
        if channel >= len(found.quantised.lo):
            raise ValueError(f"channel {channel}: {layer} has {len(found.quantised.lo)}")
        return self._channel_blob(layer, image, channel)

    def _channel_blob(self, layer: str, image: int, channel: int) -> bytes:
        exact = self._float_maps(layer, image)[channel].float().cpu().numpy()
        arrays: dict[str, Any] = {"map": exact}
        kernels = maps.kernels(self.net, layer, channel)
        if kernels is not None:
            arrays |= {"weights": kernels.weights, "inputs": kernels.inputs}
        kind = None if kernels is None else "rgb" if kernels.rgb else "gray"
        meta = {"layer": layer, "image": image, "channel": channel, "weights": kind}
        return pack(meta, arrays)

    @long_lane(layer=text(), channel=whole())
    def _lane_compare(self, job: Job, layer: str, channel: int) -> bytes:
        if channel >= self._usable(layer).shape[0]:
            raise ValueError(f"channel {channel}: {layer} has {self._usable(layer).shape[0]}")
        done: list[LayerRecord] = []
        for index in range(len(self._inputs)):
            job.progress(index, len(self._inputs))
            done.append(self._record(layer, index))
            job.partial(lambda: compare_blob(done, channel), every=0.2)
        job.progress(len(done), len(done))
        return compare_blob(done, channel)

    @lane(layer=text(), image=whole(), channel=optional(whole()))
    def _lane_code(self, job: Job, layer: str, image: int, channel: int | None) -> bytes:
        name, image = self._usable(layer).name, self._checked_image(image)
        return pack({"code": self._code_for(name, image, channel)}, {})

    # -- what a saved notebook, a still picture and a page of its own show -----------------------

    def _shown(self) -> tuple[LayerRecord, npt.NDArray[np.int32]]:
        """The record on view and the channels of the grid, in order."""
        record = self._record(self.layer, self.image_index)
        if self.channel is not None:
            return record, np.array([self.channel], np.int32)
        return record, record.order(self.sort, self.hide_dead)

    def _colours(self, record: LayerRecord) -> Iterator[tuple[str, float, float]]:
        """For each channel the table and the values of its first and last colour."""
        name = colormaps.resolve(self.colormap, record.statistics.signed)
        diverging = name in colormaps.DIVERGING
        for lo, hi in zip(record.statistics.minimum, record.statistics.maximum, strict=True):
            span = colormaps.display_range(
                float(lo), float(hi), self.scale, diverging, record.statistics.range
            )
            yield name, *span

    def _tiles(self, most: int) -> list[tuple[str, npt.NDArray[np.uint8]]]:
        """The first maps of the grid, painted, each with its channel's number."""
        record, channels = self._shown()
        colours = list(self._colours(record))
        maps_ = record.quantised
        return [
            (
                str(c),
                colormaps.colour(maps_.codes[c], maps_.lo[c], maps_.hi[c], *colours[c]),
            )
            for c in channels[:most].tolist()
        ]

    def _picture(self) -> npt.NDArray[np.uint8]:
        from . import _still

        record, _ = self._shown()
        return _still.grid(
            title=f"{self.layer}   {facts(record.layer)}",
            picture=record.picture,
            bars=[(p.label, p.probability) for p in self._inputs.predictions[self.image_index]],
            tiles=self._tiles(48),
        )

    def _figure(self) -> Figure:
        from . import _still

        return _still.figure(
            title=f"{self.layer}  {facts(self._usable(self.layer))}",
            tiles=self._tiles(64),
        )

    def _summary(self) -> str:
        record, channels = self._shown()
        top = self._inputs.predictions[self.image_index][:1]
        seen = f", which it calls {top[0].label!r} ({top[0].probability:.3f})" if top else ""
        what = f"channel {self.channel}" if self.channel is not None else f"{len(channels)} maps"
        return (
            f"FeatureMaps: {what} of {self.layer} ({facts(record.layer)}) in {self.net.name}, "
            f"looking at {self._inputs.names[self.image_index]}{seen}"
        )

    def _code(self) -> str:
        return self._code_for(self.layer, self.image_index, self.channel)

    def _code_for(self, layer: str, image: int, channel: int | None) -> str:
        pick = "" if channel is None else f"[{channel}]"
        shape = "(C, H, W)" if channel is None else "(H, W)"
        return (
            "import nbcnnviz as nv\n\n"
            f"net = {self.net.source}\n"
            f"image = ...  # {self._inputs.names[image]}\n"
            f"maps = nv.backend.feature_maps(net, image, {layer!r}){pick}  # {shape}\n"
        )

    def _export_replies(
        self, layers: str | Sequence[str] | None = None, **options: Any
    ) -> Iterator[tuple[str, dict[str, Any], bytes]]:
        """Answers for a saved page: the current layer in full, for every image.

        Args:
            layers: further layers to put into the page, for the current image: a name, a list of
                names, or "all".
        """
        from ._feature_maps_export import answers

        if options:
            raise TypeError(f"save_html has no option {next(iter(options))!r}: there is `layers`")
        yield from answers(self, layers)
