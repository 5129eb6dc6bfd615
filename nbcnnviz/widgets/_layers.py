"""Widgets that show one layer at a time: which layers there are, and which one is chosen."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import traitlets

from ..backend import doctor
from ..backend.doctor import LayerStats
from ..backend.layers import Layer, default_layer, find
from ._base import NetworkWidget
from ._traits import Text, check

if TYPE_CHECKING:
    from torch import Tensor

    from ..backend.network import Network


class LayerName(Text):
    """A layer, given by name or itself; its name is what is kept."""

    def validate(self, obj: Any, value: Any) -> Any:
        """The name."""
        return super().validate(obj, value.name if isinstance(value, Layer) else value)


class LayersWidget(NetworkWidget):
    """A widget that knows the layers of a network.

    A subclass may say which of them will do (`_usable`).
    """

    _layers: traitlets.List[dict[str, Any]] = traitlets.List().tag(sync=True)

    layers: list[Layer]
    """All layers of the network, in call order."""
    _stats: dict[str, LayerStats]

    def _look(self, net: Network, x: Tensor | None) -> None:
        """Find the layers, with the doctor's figures for an input (1, C, H, W) if there is one."""
        if x is None:
            self.layers, self._stats = net.layers(), {}
        else:
            self.layers, self._stats = doctor.examine(net, x)

    def _usable(self, name: Any, argument: str = "layer") -> Layer:
        """The layer of this name, if it has maps.

        Raises:
            TypeError, ValueError: no name, no such layer, or none with maps.
        """
        found = find(self.layers, name, argument)
        if not found.spatial:
            raise ValueError(
                f"{argument}={found.name!r} has no maps: its output is {found.shape}. "
                f"Choose a layer with height and width, for example "
                f"{default_layer(self.layers).name!r}"
            )
        return found

    def _layer_list(self) -> list[dict[str, Any]]:
        """The layers as ribbon and picker know them."""
        return [_entry(layer, self._stats.get(layer.name)) for layer in self.layers]


class LayerWidget(LayersWidget):
    """A widget with a layer to choose, by ribbon, picker or Python.

    A subclass may say where to begin (`_first_layer`).
    """

    layer = LayerName()
    """Name of the layer shown, as in `net.layers()`; set it to a name or to a `Layer`."""

    def __init__(
        self,
        net: Network | None,
        x: Tensor | None,
        layer: Layer | str | None,
        settings: Mapping[str, Any],
        **state: Any,
    ) -> None:
        """Look at the layers with an input (1, C, H, W), then open the widget.

        Without an input the layers are known already.
        """
        if net is not None and x is not None:
            self._look(net, x)
        name = self._first_name(layer)
        super().__init__(net, settings, layer=name, _layers=self._layer_list(), **state)

    @check("layer")
    def _valid_layer(self, name: str) -> str:
        return self._usable(name).name

    def _first_name(self, layer: Layer | str | None) -> str:
        """The name of the layer to begin with."""
        return (self._first_layer() if layer is None else self._usable(layer)).name

    def _first_layer(self) -> Layer:
        """Where to begin when nobody said."""
        return default_layer(self.layers)

    def _examine_again(self, x: Tensor) -> None:
        """After more training, or other surgery: the layers and the doctor's marks as they are."""
        self._look(self.net, x)
        self._publish(_layers=self._layer_list())


def facts(layer: Layer) -> str:
    """Kind, shape and field of view, as on the screen."""
    shape = " x ".join(map(str, layer.shape))
    sees = "" if layer.field is None else f" · sees {max(layer.field.size)} px"
    return f"{layer.module} · {shape}{sees}"


def _entry(layer: Layer, stats: LayerStats | None) -> dict[str, Any]:
    """A layer as the ribbon and the picker know it."""
    return {
        "name": layer.name,
        "label": layer.label,
        "module": layer.module,
        "kind": layer.kind,
        "leaf": layer.leaf,
        "shape": list(layer.shape),
        "parameters": layer.parameters,
        "field": None if layer.field is None else list(layer.field.size),
        "dead": None if stats is None else stats.dead,
        "saturated": None if stats is None else stats.saturated,
        "nan": 0 if stats is None else stats.nan,
        "inf": 0 if stats is None else stats.inf,
    }
