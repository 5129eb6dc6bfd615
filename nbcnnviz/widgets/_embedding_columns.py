"""What is known of each point of an Embedding: columns to colour by."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ..backend.network import Network
from ._codec import Array, pack
from ._embedding_given import Given

NONE = 65535
"""The code of a point without a value."""
_MOST = 65535
_WORDS = 20_000
"""Bytes of words that count for little."""
_NAMES = 5000
_NAME_BYTES = 100_000


@dataclass(frozen=True, eq=False)
class Column:
    """One value for each point, a word of a few or a number."""

    key: str
    title: str
    data: Array
    """(N,): uint16 codes of a category, `NONE` without one; float32 numbers, NaN without one."""
    values: tuple[str, ...] | None = None
    """The words of a category, by code; None for numbers."""

    def meta(self) -> dict[str, Any]:
        """As the page knows it."""
        start = {"key": self.key, "title": self.title}
        if self.values is not None:
            return {**start, "kind": "category", "values": list(self.values)}
        finite = self.data[np.isfinite(self.data)]
        lo, hi = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 0.0)
        return {**start, "kind": "number", "lo": lo, "hi": hi}

    def texts(self) -> list[str | None]:
        """(N,) words, None without one."""
        words = [*(self.values or ())]
        return [words[code] if code != NONE else None for code in self.data.tolist()]

    @property
    def size(self) -> int:
        """Bytes of its words, about."""
        return sum(len(word) + 3 for word in self.values or ())

    def part(self, index: Array) -> Column:
        """Of some points; of many words only theirs."""
        data = self.data[index]
        if self.values is None or self.size <= _WORDS:
            return replace(self, data=data)
        used = [code for code in np.unique(data).tolist() if code != NONE]
        codes = np.full(NONE + 1, NONE, np.uint16)
        codes[used] = np.arange(len(used))
        return replace(self, data=codes[data], values=tuple(self.values[code] for code in used))

    def known(self) -> Array:
        """(N,) numbers of a category's values, NaN without one."""
        return np.where(self.data == NONE, np.nan, self.data)

    def counts(self, indices: Array) -> list[tuple[str, int]]:
        """The words of some points, most frequent first."""
        words = self.values or ()
        found = np.bincount(self.data[indices], minlength=NONE + 1)[:NONE]
        order = np.argsort(-found, kind="stable")
        return [(words[code], int(found[code])) for code in order if found[code]]


def category(
    key: str,
    values: Array,
    title: str = "",
    names: Mapping[Any, str] | None = None,
    among: Sequence[Any] = (),
) -> Column:
    """A column of words, sorted; `names`: what to call a value; `among`: values to count in."""
    called = names or {}
    # A dictionary: sorting a million words, as np.unique does, takes seconds.
    listed = values.tolist()
    known = dict.fromkeys([*listed, *among])
    missing = [v for v in known if v is None or v != v]
    kept = [v for v in known if not (v is None or v != v)]
    try:
        kept.sort()
    except TypeError:
        kept.sort(key=str)
    if len(kept) > _MOST:
        raise ValueError(f"{key.replace(':', ' ')}: {len(kept)} different ones; give up to {_MOST}")
    code = {value: number for number, value in enumerate(kept)} | dict.fromkeys(missing, NONE)
    if any(v != v for v in missing):
        listed = [None if v != v else v for v in listed]
        code[None] = NONE
    data = np.fromiter((code[value] for value in listed), np.uint16, len(listed))
    return Column(key, title or key, data, tuple(called.get(v, str(v)) for v in kept))


def _without(index: Array) -> Array:
    """Classes with None for -1."""
    found = index.astype(object)
    found[index < 0] = None
    return found


def colour_columns(given: Given, colours: Any) -> list[Column]:
    """Those that the user gives.

    Raises:
        TypeError, ValueError: no dictionary of arrays (N,).
    """
    if colours is None:
        return []
    if not isinstance(colours, Mapping):
        raise TypeError(f"colours={colours!r}: give a dictionary, {{name: N numbers or texts}}")
    made = []
    for name, values in colours.items():
        if not isinstance(name, str):
            raise TypeError(f"colours: the key {name!r}; give a text")
        array = given.sized(f"colours[{name!r}]", values)
        if array is None or array.dtype.kind not in "fiubUO":
            what = "None" if array is None else array.dtype
            raise TypeError(f"colours[{name!r}]: {what}; give numbers or texts")
        key = f"colours:{name}"
        if array.dtype.kind in "UOb":
            made.append(category(key, array, name))
        else:
            numbers = np.where(np.isfinite(array), array, np.nan).astype(np.float32)
            made.append(Column(key, name, numbers))
    return made


class Columns:
    """All columns, in the page's order.

    Args:
        given: the points.
        colours: as the user gave them.
        net: the network, if there is one.
        classes: how many scores it puts out, if that is known.
    """

    def __init__(self, given: Given, colours: Any, net: Network | None, classes: int) -> None:
        self._given = given
        self._own = colour_columns(given, colours)
        self._labels, self._classes = (None if net is None else net.labels), classes
        self.label: Column | None = None
        self._answers: list[Column] = []
        self.predictions: npt.NDArray[np.int64] | None = None
        """(N,) classes, -1 without one."""
        self.confidences: npt.NDArray[np.float32] | None = None
        self.find_labels()

    def all(self) -> list[Column]:
        """Label, prediction, whether it is right, confidence, then the user's own."""
        return [*([self.label] if self.label else []), *self._answers, *self._own]

    def named(self, key: str) -> Column | None:
        """The column of this key."""
        return next((column for column in self.all() if column.key == key), None)

    @property
    def classes(self) -> Column | None:
        """What a point is: its label, else what it is taken for."""
        return self.label or self.named("prediction")

    @property
    def note(self) -> str:
        """What was assumed about labels."""
        if self.label is None or self._given.classes or self._raw.dtype.kind not in "iu":
            return ""
        if self._by_index(self._raw):
            first, code = self.label.values[0] if self.label.values else "", int(self._raw.min())
            said = f"Labels are taken for the network's classes: {code} is {first}."
            return "" if first == str(code) else said
        if self._classes and self._counted(self._raw):
            return f"Labels 0 to {self._raw.max()} count as your own, not as the network's classes."
        return ""

    @property
    def most(self) -> int:
        """Bytes of a point in all columns there may ever be."""
        answers = 8 if self._classes else 0
        each = 2 + answers + sum(column.data.itemsize for column in self._own)
        words = sum(column.size for column in self.all() if column.size > _WORDS)
        return each + -(-words // max(1, self._given.count))

    def default(self) -> str:
        """What to colour by at first."""
        found = self.all()
        return found[0].key if found else ""

    def find_labels(self) -> None:
        """Make the column of labels, once they are known."""
        labels = self._given.labels()
        if labels is None:
            return
        if labels.dtype.kind not in "iubUO":
            raise TypeError(
                f"labels: {labels.dtype}; give whole numbers or texts, and others as colours="
            )
        self.label = category("label", labels, names=self._label_names(labels))
        self._raw = labels

    def _label_names(self, labels: Array) -> Mapping[Any, str]:
        called = self._given.classes or (self._labels if self._by_index(labels) else None)
        return {} if called is None else dict(enumerate(called))

    def _by_index(self, labels: Array) -> bool:
        """Whether labels are numbers of the network's classes."""
        known = self._given.classes
        if labels.dtype.kind not in "iu" or not self._classes:
            return False
        if known:
            return len(known) == self._classes
        inside = bool(labels.min() >= 0 and labels.max() < self._classes)
        return inside and not self._counted(labels)

    def _counted(self, labels: Array) -> bool:
        """Whether they look like somebody's own numbering: 0, 1, ... of far fewer classes."""
        found = np.unique(labels)
        return bool(2 * len(found) < self._classes and (found == np.arange(len(found))).all())

    def answer(self, answers: Array, net: Network) -> None:
        """Make columns of classes and probabilities (N, 2), NaN where there are none."""
        some = np.isfinite(answers).all(1)
        self.find_labels()
        if not some.any():
            return
        index = np.where(some, answers[:, 0], -1).astype(np.int64)
        self.predictions, self.confidences = index, answers[:, 1].astype(np.float32)
        classes = self._classes_of_labels()
        both = sorted(
            {*index[some].tolist(), *(() if classes is None else classes.tolist())} - {-1}
        )
        names = {i: net.label(i) for i in both}
        among = () if classes is None else both
        self._answers = [category("prediction", _without(index), names=names, among=among)]
        if classes is not None:
            # One list of values for both: a class keeps its colour.
            self.label = category("label", _without(classes), names=names, among=among)
            right = np.where(some & (classes >= 0), classes == index, NONE).astype(np.uint16)
            self._answers.append(Column("correct", "correct", right, ("wrong", "right")))
        self._answers.append(Column("confidence", "confidence", self.confidences))

    def _classes_of_labels(self) -> npt.NDArray[np.int64] | None:
        """(N,) the network's classes that labels stand for, -1 without; None if for others."""
        if self.label is None:
            return None
        if self._by_index(self._raw):
            return self._raw.astype(np.int64)
        index: dict[str | None, int] = {w: i for i, w in enumerate(self._labels or ())}
        if not set(self.label.values or ()) <= set(index):
            return None
        return np.array([index.get(word, -1) for word in self.label.texts()], np.int64)

    def blob(self, more: Mapping[str, Any], index: Array | None = None) -> bytes:
        """The trait `_points`; with `index` of these points only."""
        columns = self.all()
        if index is not None:
            columns = [column.part(index) for column in columns]
        meta = {
            "total": self._given.count,
            "sample": index is not None,
            "names": _names(self._given),
            "columns": [column.meta() for column in columns],
            "default": self.default(),
            "layer_choices": self._given.chooses,
            "given": self._given.coordinates is not None,
            **more,
        }
        arrays = {f"c_{number}": column.data for number, column in enumerate(columns)}
        return pack(meta, arrays if index is None else {**arrays, "index": index.astype(np.int32)})


def _names(given: Given) -> Sequence[str] | None:
    """All names, if they are few and short."""
    if not given.named or given.count > _NAMES:
        return None
    names = [given.name(index) for index in range(given.count)]
    return names if sum(map(len, names)) <= _NAME_BYTES else None
