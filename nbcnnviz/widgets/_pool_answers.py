"""What the network says of pooling otherwise, packed for the browser."""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ..backend import pooling
from ..backend.network import Network
from ._codec import pack
from ._inputs import class_names
from ._pool_record import How

_BEST = 5


def push(net: Network, x: Tensor, layer: str, how: How) -> bytes:
    """The class scores as they are, and with one pooling call changed.

    Raises:
        ValueError: it is no pooling call, or a later layer cannot take what comes out.
    """
    before = net.logits(x)[0]
    after = pooling.replace_pooling(net, x, layer, **how.given())
    return pack({"layer": layer, "how": how.args(), **_compared(net, before, after)}, {})


def _compared(net: Network, before: Tensor, after: Tensor) -> dict[str, Any]:
    """The best classes of two rows of scores (classes,), and both figures of each of them."""
    rows = [net.read(scores, len(before)) for scores in (before, after)]
    by_index = [{p.index: p for p in row} for row in rows]
    best = dict.fromkeys(p.index for row in rows for p in row[:_BEST])
    return {
        "before": [vars(p) for p in rows[0][:_BEST]],
        "after": [vars(p) for p in rows[1][:_BEST]],
        "flipped": rows[0][0].index != rows[1][0].index,
        "classes": [
            {
                "index": index,
                "label": net.label(index),
                "logit": [row[index].logit for row in by_index],
                "probability": [row[index].probability for row in by_index],
            }
            for index in best
        ],
    }


def gap(net: Network, x: Tensor, index: int | None) -> bytes:
    """One class's score as a sum over channels; the predicted class's if `index` is None.

    That answer has the labels of all classes too, for a list to choose from.

    Raises:
        ValueError: the network does not end with global average pooling and a linear layer.
    """
    found = pooling.gap_contributions(net, x, index)
    names = ("layer", "pool", "linear", "index", "label", "bias", "logit", "total", "agrees")
    meta = {name: getattr(found, name) for name in names}
    if index is None:
        meta["names"] = class_names(net, found.classes)
    arrays = (found.gap, found.weights, found.products)
    rows = [array.float().cpu().numpy() for array in arrays]
    return pack(meta, dict(zip(("gap", "weights", "products"), rows, strict=True)))


def shift(net: Network, x: Tensor, layer: str, dy: int, dx: int, how: How) -> bytes:
    """How far the maps move, before and after pooling, when the picture does."""
    found = pooling.translation(net, x, layer, (dy, dx), **how.given())
    meta = {
        "layer": layer,
        "dy": dy,
        "dx": dx,
        "before": found.before[0],
        "after": found.after[0],
        "far_before": found.far[0],
        "far_after": found.far[1],
    }
    return pack(meta, {})


def code(net: Network, image: str, layer: str, how: How, pools: bool) -> str:
    """The backend calls that give what the widget shows."""
    args = "".join(f", {name}={value!r}" for name, value in how.given().items())
    lines = [
        "import nbcnnviz as nv\n",
        f"net = {net.source}",
        f"image = ...  # {image}",
        f"pooled = nv.backend.pool_at(net, image, {layer!r}{args})",
        "pooled.values  # (C, h, w)",
    ]
    if pools:
        lines.append(f"scores = nv.backend.replace_pooling(net, image, {layer!r}{args})")
    return "\n".join(lines) + "\n"
