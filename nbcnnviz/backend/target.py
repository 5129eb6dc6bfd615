"""What score is explained: a class, a unit of a layer, or any function of the scores."""

from __future__ import annotations

import difflib
import numbers
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import layers as known
from ._arguments import is_whole
from ._model import kind, probabilities
from .layers import Layer

if TYPE_CHECKING:
    from .network import Network

SCORES = ("logit", "probability")
"""What a class's score may be."""
REDUCTIONS = ("total", "max")
"""What one number a whole channel gives: the sum of its map, or the largest value in it."""

_FORMS = (
    'give a class index, a label, (class, "minus", class), (layer, channel), '
    '(layer, channel, "max"), (layer, channel, (y, x)), a function of one image\'s scores '
    "(classes,), "
    "or None for the predicted class"
)


@dataclass(frozen=True)
class Target:
    """One number that a network gives an image: what occlusion and attribution explain.

    Made by `Target.of`. Four kinds: a class (`index`), the `difference` of two classes, a unit of a
    layer (`layer`, `channel` and `position` or `reduction`), and a `function` of the scores; none
    of them is the predicted class, which `resolve` finds out.

    Example:
        >>> import nbcnnviz as nv
        >>> Target.of(nv.Network.digits(), ("conv1", 3)).name
        'conv1, channel 3 (total)'
    """

    name: str
    """For people: "tiger cat", "layer4, channel 17 (total)"."""
    index: int | None = None
    """Of the class."""
    layer: str | None = None
    """Whose output holds the unit; it has to be recorded, scores alone do not tell."""
    channel: int | None = None
    """Of that layer."""
    position: tuple[int, int] | None = None
    """(y, x) of the unit in the channel's map; None: the whole map, by `reduction`."""
    reduction: str = "total"
    """"total" (the sum of the map, as in fig. 7b of Zeiler & Fergus 2014) or "max"."""
    function: Callable[[Tensor], Any] | None = None
    """From the scores (classes,) of one image to a number."""
    difference: tuple[int, int] | None = None
    """(a, b): the score of class a minus that of class b, what speaks for a rather than b."""

    @classmethod
    def of(
        cls, net: Network | nn.Module, value: Any = None, logits: Tensor | None = None
    ) -> Target:
        """What a user means by a target.

        Args:
            net: whose classes and layers are meant.
            value: a class index; a class label (case does not matter if that leaves one class);
                `(class, "minus", class)`, the difference of two scores; `(layer, channel)`, the
                total of a channel's map, `(layer, channel, "max")`, its largest value, `(layer,
                channel, (y, x))`, one unit of it; a function from the scores (classes,) of one
                image to a number; a `Target`; None: the predicted class.
            logits: the scores (classes,) or (1, classes) of the image, if known already: they tell
                the predicted class and the number of classes.

        Raises:
            TypeError: none of these.
            ValueError: no such class (the nearest labels are given), or several of that label.
        """
        from .network import Network

        target = read(value, Network.wrap(net).labels)
        return target if logits is None else target.resolve(logits, Network.wrap(net).labels)

    @property
    def value(self) -> Any:
        """What `Target.of` takes to make it again."""
        if self.layer is not None:
            return self.layer, self.channel, self.position or self.reduction
        if self.difference is not None:
            return self.difference[0], "minus", self.difference[1]
        return self.function if self.index is None else self.index

    @property
    def needs_layer(self) -> bool:
        """Whether a layer's output has to be recorded to know it."""
        return self.layer is not None

    @property
    def predicted(self) -> bool:
        """Whether it is the predicted class, and not yet known which."""
        kinds = (self.index, self.layer, self.function, self.difference)
        return all(kind is None for kind in kinds)

    def resolve(self, logits: Tensor, labels: Sequence[str] | None = None) -> Target:
        """The target once the scores (classes,) or (1, classes) of the image are known.

        Raises:
            ValueError: the network has fewer classes than the index needs.
        """
        if self.predicted:
            index = int(logits.detach().flatten().argmax())
            return replace(self, index=index, name=_class_name(index, labels))
        self._check_index(logits.numel())
        return self

    def scores(self, logits: Tensor, score: str = "logit") -> Tensor:
        """The target's score (N,) for each row of the logits (N, classes); gradients flow.

        Args:
            logits: the network's scores.
            score: "logit", or "probability" as `Network.predict` gives it; a function gets
                the probabilities of the classes then.

        Raises:
            ValueError: a unit, whose score is no function of the logits; an unknown score; a
                function that returns something else than a number.
        """
        check_score(score, self)
        if self.layer is not None or self.predicted:
            missing = "maps of its layer" if self.layer else "scores of the clean image (resolve)"
            raise ValueError(f"target={self.name!r}: it takes the {missing} to know its score")
        values = logits if score == "logit" else probabilities(logits)
        self._check_index(logits.shape[1])
        if self.index is not None:
            return values[:, self.index]
        if self.difference is not None:
            return values[:, self.difference[0]] - values[:, self.difference[1]]
        if not len(values):
            return values.new_zeros(0)
        return torch.stack([self._call(row) for row in values])

    def activations(self, maps: Tensor) -> Tensor:
        """The unit's activation (N,) in its layer's output (N, C, H, W) or (N, D)."""
        assert self.layer is not None and self.channel is not None
        if maps.ndim != 4:
            return maps.flatten(1)[:, self.channel]
        chosen = maps[:, self.channel]
        if self.position is not None:
            return chosen[:, self.position[0], self.position[1]]
        flat = chosen.flatten(1)
        return flat.sum(1) if self.reduction == "total" else flat.amax(1)

    def find_layer(self, layers: Sequence[Layer]) -> Layer:
        """The unit's layer among those of the network.

        Raises:
            ValueError: no such layer (the nearest names are given), channel or position.
        """
        assert self.channel is not None
        layer = known.find(layers, self.layer, "target: layer")
        count = layer.shape[0]
        if self.channel >= count:
            what = "channels" if layer.spatial else "numbers"
            raise ValueError(
                f"target: channel {self.channel} of {layer.name!r}; it has {count} {what}, "
                f"0 to {count - 1}"
            )
        if self.position is None:
            return layer
        if not layer.spatial:
            raise ValueError(
                f"target: position {self.position} in {layer.name!r}, which puts out {count} "
                f"numbers and no maps; give ({layer.name!r}, {self.channel})"
            )
        height, width = layer.shape[1:]
        if self.position[0] >= height or self.position[1] >= width:
            raise ValueError(
                f"target: position {self.position} in {layer.name!r}, whose maps are {height} x "
                f"{width}; y is 0 to {height - 1}, x 0 to {width - 1}"
            )
        return layer

    def _check_index(self, classes: int) -> None:
        indices = self.difference or (() if self.index is None else (self.index,))
        if indices and max(indices) >= classes:
            raise ValueError(
                f"target={max(indices)}: there are {classes} classes; give 0 to {classes - 1}"
            )

    def _call(self, row: Tensor) -> Tensor:
        assert self.function is not None
        try:
            result = self.function(row)
        except IndexError as error:
            raise ValueError(
                f"target={self.name}: {error}; it is given the scores ({len(row)},) of one image "
                "and returns one number"
            ) from error
        if isinstance(result, Tensor) and result.numel() == 1:
            return result.reshape(()).to(row.dtype)
        if isinstance(result, numbers.Real):
            return row.new_tensor(float(result))
        shape = tuple(result.shape) if hasattr(result, "shape") else kind(result)
        raise ValueError(
            f"target={self.name}: it returned {shape} for the scores ({len(row)},) of one image; "
            "return one number"
        )


def check_score(score: Any, target: Target | None = None) -> None:
    """Refuse scores that do not exist.

    Raises:
        ValueError: neither "logit" nor "probability", or the probability of a layer's unit.
    """
    if score not in SCORES:
        raise ValueError(f"score={score!r}: choose one of {list(SCORES)}")
    if target is not None and target.needs_layer and score != "logit":
        raise ValueError(
            f"score={score!r}: {target.name} has an activation and no probability; "
            'leave score="logit"'
        )


def read(value: Any, labels: Sequence[str] | None) -> Target:
    """See `Target.of`; the network is needed for its labels alone."""
    if isinstance(value, Target):
        return value
    if value is None:
        return Target("predicted class")
    if isinstance(value, str):
        found = find_label(value, labels)
        return Target(_class_name(found, labels), index=found)
    index = _whole(value)
    if index is not None:
        if index < 0:
            raise ValueError(f"target={index}: class indices begin at 0")
        return Target(_class_name(index, labels), index=index)
    if isinstance(value, tuple | list):
        between = len(value) == 3 and isinstance(value[1], str) and value[1] == "minus"
        return _difference(value, labels) if between else _unit(value)
    if callable(value) and not isinstance(value, type):
        return Target(getattr(value, "__name__", kind(value)), function=value)
    raise TypeError(f"target: a {kind(value)} names no score; {_FORMS}")


def find_label(text: str, labels: Sequence[str] | None) -> int:
    """The index of a class by its label, or by "class 17".

    Raises:
        ValueError: unknown (the nearest labels are given) or ambiguous (the indices are given).
    """
    number = re.fullmatch(r"class (\d+)", text.strip())
    if labels is None:
        if number:
            return int(number[1])
        raise ValueError(
            f"target={text!r}: the network has no labels; give the index of a class, or "
            f"nv.Network(model, labels=...). For a unit of a layer give ({text!r}, channel)"
        )
    folded = [label.strip().casefold() for label in labels]
    found = [i for i, label in enumerate(labels) if label == text]
    found = found or [i for i, label in enumerate(folded) if label == text.strip().casefold()]
    if len(found) > 1:
        raise ValueError(
            f"target={text!r}: {len(found)} classes are called so; "
            f"give one of the indices {', '.join(map(str, found))}"
        )
    if found:
        return found[0]
    if number:
        return int(number[1])
    near = _nearest(text.strip().casefold(), folded)
    hint = " or ".join(f"{labels[i]!r} ({i})" for i in near)
    raise ValueError(
        f"target={text!r}: no class is called so"
        + (f"; did you mean {hint}?" if hint else "; net.labels lists them all.")
        + f" For a unit of a layer give ({text!r}, channel)"
    )


def _nearest(text: str, folded: Sequence[str]) -> list[int]:
    names = difflib.get_close_matches(text, folded, 3, 0.6)
    names += [name for name in folded if text and text in name][: 4 - len(names)]
    return [folded.index(name) for name in dict.fromkeys(names)]


def _class_name(index: int, labels: Sequence[str] | None) -> str:
    """The label, with the index where there are several of that label or none."""
    if labels is None or index >= len(labels):
        return f"class {index}"
    label = labels[index]
    return f"{label} ({index})" if list(labels).count(label) > 1 else label


def _difference(value: Sequence[Any], labels: Sequence[str] | None) -> Target:
    classes = [read(each, labels) for each in (value[0], value[2])]
    first, second = (each.index for each in classes)
    if first is None or second is None:
        raise TypeError(f"target={tuple(value)!r}: give two classes, by index or label")
    if first == second:
        raise ValueError(f"target={tuple(value)!r}: it is 0 always; give two classes")
    return Target(" minus ".join(each.name for each in classes), difference=(first, second))


def _unit(value: Sequence[Any]) -> Target:
    shown = f"target={tuple(value)!r}"
    channel = _whole(value[1]) if len(value) in (2, 3) else None
    layer = value[0].name if value and isinstance(value[0], Layer) else value and value[0]
    if not isinstance(layer, str) or channel is None:
        raise TypeError(f"{shown}: {_FORMS}")
    if channel < 0:
        raise ValueError(f"{shown}: channels begin at 0")
    last = value[2] if len(value) == 3 else "total"
    if isinstance(last, str):
        if last not in REDUCTIONS:
            raise ValueError(f"{shown}: {last!r} is none of {list(REDUCTIONS)}; {_FORMS}")
        return Target(
            f"{layer}, channel {channel} ({last})", layer=layer, channel=channel, reduction=last
        )
    place = [_whole(each) for each in last] if isinstance(last, tuple | list) else []
    if len(place) != 2 or place[0] is None or place[1] is None:
        raise TypeError(f"{shown}: {last!r} is no position (y, x); {_FORMS}")
    if min(place[0], place[1]) < 0:
        raise ValueError(f"{shown}: positions begin at 0")
    position = place[0], place[1]
    name = f"{layer}, channel {channel} at {position}"
    return Target(name, layer=layer, channel=channel, position=position)


def _whole(value: Any) -> int | None:
    """Python's, NumPy's and PyTorch's whole numbers."""
    if isinstance(value, Tensor) and value.numel() == 1 and not value.is_floating_point():
        value = value.item()
    # An array of one number; a dtype of PyTorch's has no kind.
    kind_of = getattr(getattr(value, "dtype", None), "kind", None)
    if kind_of in ("i", "u") and getattr(value, "ndim", 1) == 0:
        return int(value)
    whole = is_whole(value)
    return int(value) if whole else None


__all__ = ["Target"]
