"""One blob format for all that is not plain JSON, in traits and messages (see docs/base.md).

The other end is `js/src/lib/codec.ts`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

_DTYPES = ("uint8", "int16", "uint16", "int32", "float32")
# A dtype's own name is put together anew each time.
_NAMES = {
    kind: name for name in _DTYPES for kind in (np.dtype(name), np.dtype(name).newbyteorder())
}
_ALIGN = 8


def finite(value: Any) -> Any:
    """The same JSON value with None for what JSON has no word for: NaN and the infinities.

    The standard packer of Jupyter turns them into strings, orjson into null; the browser
    should see one and the same.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(item) for item in value]
    return value


def pack(meta: Mapping[str, Any], arrays: Mapping[str, Array]) -> bytes:
    """Header and arrays as one blob.

    Raises:
        TypeError: an array has a dtype the browser does not read.
    """
    layout: dict[str, Any] = {}
    chunks: list[Any] = []
    offset = 0
    for name, array in arrays.items():
        dtype = _NAMES.get(array.dtype)
        if dtype is None:
            raise TypeError(f"array {name!r} is {array.dtype}: use one of {sorted(_DTYPES)}")
        little = np.ascontiguousarray(array, array.dtype.newbyteorder("<"))
        # The bytes themselves, which are copied only once, below.
        data = little.reshape(-1).view(np.uint8)
        layout[name] = {
            "dtype": dtype,
            "shape": list(array.shape),
            "offset": offset,
        }
        padding = -len(data) % _ALIGN
        chunks += [data, bytes(padding)]
        offset += len(data) + padding
    header = json.dumps(
        {"meta": finite(meta), "arrays": layout}, separators=(",", ":"), allow_nan=False
    ).encode()
    header += b" " * (-(4 + len(header)) % _ALIGN)
    return b"".join([len(header).to_bytes(4, "little"), header, *chunks])


def unpack(blob: bytes | memoryview) -> tuple[dict[str, Any], dict[str, Array]]:
    """The header and the arrays of a blob; the arrays look into the blob's own memory.

    Raises:
        ValueError: the blob is cut short or says nonsense.
    """
    view = memoryview(blob).cast("B")
    if len(view) < 4:
        raise ValueError(f"the blob has {len(view)} bytes: too short for a header")
    start = 4 + int.from_bytes(view[:4], "little")
    if start > len(view):
        raise ValueError("the blob ends within its header")
    header = json.loads(bytes(view[4:start]))
    arrays = {}
    for name, entry in header["arrays"].items():
        if entry["dtype"] not in _DTYPES:
            raise ValueError(f"array {name!r} has the unknown dtype {entry['dtype']!r}")
        dtype = np.dtype(entry["dtype"]).newbyteorder("<")
        count = math.prod(entry["shape"])
        first = start + entry["offset"]
        if first + count * dtype.itemsize > len(view):
            raise ValueError(f"the blob ends within array {name!r}")
        arrays[name] = np.frombuffer(view, dtype, count, first).reshape(entry["shape"])
    return header["meta"], arrays
