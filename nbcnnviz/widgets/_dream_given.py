"""What a user gives a run: images, layers with weights, and what stays as it was given."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from ..backend._arguments import real, whole
from ..backend._dream_image import load
from ..backend.layers import Layer
from ..backend.network import Network
from ._dream_film import RGB
from ._inputs import image_name


class Fixed:
    """An argument of the constructor that no run can take on its way.

    It is read from the attribute with an underscore before its name. Without this, to set it
    would do nothing, without a word.
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, widget: Any, owner: type | None = None) -> Any:
        return self if widget is None else getattr(widget, f"_{self._name}")

    def __set__(self, widget: Any, value: Any) -> NoReturn:
        raise AttributeError(
            f"{self._name} is chosen once, when the widget is made: "
            f"nv.{type(widget).__name__}(..., {self._name}=...) makes another one"
        )


def read_seed(seed: Any) -> int | None:
    """A whole number; None: always the same random numbers."""
    return None if seed is None else whole("seed", seed, 0)


def prepared(net: Network, image: Any, size: Any, argument: str = "image") -> tuple[RGB, str]:
    """An image as the run sees it at its full size, and its name."""
    picture = net.picture(load(net, image, size, argument))
    return picture, name_of(image, argument)


def name_of(image: Any, otherwise: str) -> str:
    """What to call an image."""
    found = image_name(image, 0)
    return otherwise if found == "image 0" else found


def weighted(
    value: Any, usable: Callable[[Any], Layer], argument: str, least: float
) -> dict[str, float]:
    """A layer, several, or {layer: weight} as names with weights.

    Raises:
        TypeError, ValueError: no such layer, no weight, or all of them 0.
    """
    if isinstance(value, Mapping):
        given = dict(value)
    elif isinstance(value, str | Layer):
        given = {value: 1.0}
    elif isinstance(value, Sequence):
        given = dict.fromkeys(value, 1.0)
    else:
        raise TypeError(f"{argument}={value!r}: give a layer, several, or {{layer: weight}}")
    found = {
        usable(name).name: real(f"{argument}: weight", weight, least)
        for name, weight in given.items()
    }
    if not any(found.values()):
        raise ValueError(
            f"{argument}={value!r}: give at least one layer with a weight other than 0"
        )
    return found


def sum_of(mix: Mapping[str, float]) -> str:
    """Layers with weights in words.

    Example:
        >>> sum_of({"conv1": 1.0, "conv2": 0.5, "conv3": -1.0})
        'conv1 + 0.5 conv2 - conv3'
    """
    words = ""
    for name, weight in mix.items():
        sign = ("- " if weight < 0 else "+ ") if words else ("-" if weight < 0 else "")
        size = "" if abs(weight) == 1 else f"{abs(weight):g} "
        words += f"{' ' if words else ''}{sign}{size}{name}"
    return words
