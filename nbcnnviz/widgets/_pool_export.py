"""What a page saved from a Pooling widget can answer without a kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from ..backend import pooling
from . import _pool_answers
from ._codec import pack

if TYPE_CHECKING:
    from .pooling import Pooling

Answer = tuple[str, dict[str, Any], bytes]


def answers(widget: Pooling, channels: int) -> Iterator[Answer]:
    """The layer shown, some channels exactly, the scores with these settings, their sum.

    Raises:
        TypeError, ValueError: `channels` is no number of channels.
    """
    if isinstance(channels, bool) or not isinstance(channels, int):
        raise TypeError(f"channels={channels!r}: give a whole number")
    if channels < 0:
        raise ValueError(f"channels={channels}: give at least 0")
    layer, how = widget.layer, widget._how()
    record = widget._record(layer)
    yield "layer", {"layer": layer}, record.blob()
    chosen = {widget.channel, *range(min(channels, len(record.exact)))}
    for channel in sorted(chosen):
        meta = {"layer": layer, "channel": channel}
        yield "channel", meta, pack(meta, {"map": widget._map(record, channel)})
    if pooling.pool_problem(record.size, **how.args()) is None:
        stack = pack(*record.stack(how, record.first()))
        yield "stack", {"layer": layer, **how.args()}, stack
        yield from _scores(widget)
    yield "code", {"layer": layer, **how.args()}, pack({"code": widget.code()}, {})


def _scores(widget: Pooling) -> Iterator[Answer]:
    how, best = widget._how(), widget._inputs.predictions[0]
    if widget.layer in widget._pools:
        try:
            blob = _pool_answers.push(widget.net, widget._x, widget.layer, how)
        except ValueError:
            pass  # the page says that it cannot ask
        else:
            yield "push", {"layer": widget.layer, **how.args()}, blob
    for prediction in (None, *best):
        index = None if prediction is None else prediction.index
        try:
            blob = _pool_answers.gap(widget.net, widget._x, index)
        except ValueError:
            return  # no network of this kind
        yield "gap", {"index": index}, blob
