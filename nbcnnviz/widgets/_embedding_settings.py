"""What one may set of an Embedding: layer, method and its numbers, colours, selection."""

from __future__ import annotations

from typing import Any

import traitlets

from ..backend import doctor
from ..backend._embed_source import Unreadable
from ..backend._rng_guard import quiet
from ..backend.cam import last_maps
from ..backend.layers import Layer, find, known_layers, name_of
from ..backend.network import Network
from ._codec import Array
from ._embedding_columns import Columns
from ._embedding_given import Given
from ._embedding_record import METHODS, Indices, read_selection, selection_blob
from ._lanes import number, whole
from ._layers import LayerWidget
from ._traits import Choice, Setting, Text, check

ITERATIONS = whole(1, 100_000)
_TRIED = 8
"""Images in which the first readable one is looked for."""


class EmbeddingSettings(LayerWidget):
    """The traits of an Embedding, and what they take."""

    _given: Given
    _columns: Columns
    _origin = ""
    """The view whose selection it is."""

    method = Choice(METHODS, "pca")
    """How features become places: "pca", "tsne", "umap"; "given" for given coordinates."""
    perplexity = Setting(30.0)
    """How many neighbours count, about: of t-SNE, and of UMAP as a whole number."""
    iterations = Setting(750)
    """Of t-SNE."""
    colour_by = Text("")
    """"label", "prediction", "correct", "confidence", or one of `colours`; "": the first."""

    _selection = traitlets.Bytes().tag(sync=True)

    # Not shared with the browser: what Python reads, sets and observes.
    # No `Any`, which would let None pass unchecked.
    selection: traitlets.TraitType[Any, Any] = traitlets.TraitType()
    """Indices of the points chosen, sorted, int64; set it to indices or to a mask."""

    # -- layers -------------------------------------------------------------------------------

    def _find_layers(self, net: Network | None) -> None:
        """Which layers there are to choose from, and the doctor's marks for the first image."""
        self.layers, self._stats = [], {}
        if self._given.chooses == "given":
            self.layers = [_layer_of(name, t) for name, t in self._given.features.items()]
        elif self._given.chooses == "network" and net is not None and self._given.source:
            for index in range(min(_TRIED, self._given.count)):
                # What data sets draw must not shift the user's own random numbers.
                with quiet(net.device):
                    image = self._given.source.get(index)
                if isinstance(image, Unreadable):
                    continue
                try:
                    self.layers, self._stats = doctor.examine(net, net.prepare(image))
                    return
                except (OSError, ValueError, TypeError):
                    continue
            self.layers = known_layers(net)

    def _classes(self, net: Network | None) -> int:
        """How many scores the network puts out; 0 if that is not known."""
        if net is None or self._given.chooses != "network":
            return 0
        last = self.layers[-1].shape
        return len(net.labels) if net.labels else last[0] if len(last) == 1 else 0

    def _first_name(self, layer: Layer | str | None) -> str:
        if layer is not None:
            return self._valid_layer_name(layer)
        return self._first_layer().name if self.layers else ""

    def _first_layer(self) -> Layer:
        return last_maps(self.layers) if self._given.chooses == "network" else self.layers[-1]

    def _usable(self, name: Any, argument: str = "layer") -> Layer:
        if not self.layers:
            raise ValueError(
                f"{argument}={name!r}: there are none to choose from; give a network and "
                "images, or features={layer: (N, D)}"
            )
        if self._given.chooses == "network":
            return find(self.layers, name, argument)
        called = name_of(name)
        for layer in self.layers:
            if layer.name == called:
                return layer
        known = ", ".join(repr(layer.name) for layer in self.layers)
        raise ValueError(f"{argument}={called!r}: there are no features of it; choose from {known}")

    # -- settings -----------------------------------------------------------------------------

    @check("layer")
    def _valid_layer(self, name: str) -> str:
        return self._valid_layer_name(name)

    def _valid_layer_name(self, name: Layer | str) -> str:
        """The name, "" where there is nothing to choose."""
        return self._usable(name).name if self.layers or name else ""

    @check("method")
    def _valid_method(self, method: str) -> str:
        return self._usable_method(method)

    def _usable_method(self, method: str) -> str:
        """The method, if there is what it takes.

        Raises:
            ValueError: no coordinates, or no features.
        """
        if method == "given" and self._given.coordinates is None:
            raise ValueError('method="given": no coordinates were; give coordinates=, or "pca"')
        if method != "given" and not self._given.features and not self.layers:
            raise ValueError(
                f"method={method!r}: there are only coordinates; give features=, or a network and "
                "images"
            )
        return method

    def _most_perplexity(self) -> float:
        return max(1.0, int((self._given.count - 1) / 3 * 10) / 10)

    @check("perplexity")
    def _valid_perplexity(self, value: Any) -> float:
        try:
            wanted: float = number(1)(value)
        except ValueError:
            raise ValueError(f"perplexity={value!r}: give a number of at least 1") from None
        most = self._most_perplexity()
        if wanted > most:
            raise ValueError(
                f"perplexity={value!r}: with {self._given.count} points give 1 to {most:g}, or "
                f"give at least {int(3 * wanted) + 1} points"
            )
        return wanted

    @check("iterations")
    def _valid_iterations(self, value: Any) -> int:
        try:
            count: int = ITERATIONS(value)
        except ValueError:
            raise ValueError(f"iterations={value!r}: give a whole number, 1 to 100000") from None
        return count

    @check("colour_by")
    def _valid_colour(self, key: str) -> str:
        known = [column.key for column in self._columns.all()]
        if self._given.chooses == "network":
            known += ["prediction", "confidence"]
            known += ["label", "correct"] if self._given.labelled else []
        key = f"colours:{key}" if f"colours:{key}" in known and key not in known else key
        if key and key not in known:
            names = ", ".join(repr(k.removeprefix("colours:")) for k in dict.fromkeys(known))
            raise ValueError(f"colour_by={key!r}: choose from {names or 'nothing: give labels'}")
        return key

    @check("selection")
    def _valid_selection(self, value: Any) -> Indices:
        found = read_selection(value, self._given.count)
        found.flags.writeable = False
        return found

    @traitlets.observe("selection")
    def _tell_selection(self, change: Any) -> None:
        blob = selection_blob(self.selection, self._given.count, self._origin)
        self._publish(_selection=blob)


def _layer_of(name: str, table: Array) -> Layer:
    """Given features as a layer to choose."""
    return Layer(name, "other", "features", 1, 1, (table.shape[1],), 0, True, None, False)
