"""What tells one set of images, or one preprocessing, from another, at a cost that is bounded."""

from __future__ import annotations

import functools
import os
import random
import types
import zlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from ._rng_guard import quiet

_ROWS = 64
"""Of an array, at most, that are looked at."""
_BYTES = 64 << 20
"""Of these rows, about."""
_FILES = 10_000
"""Files, at most, that are asked for their size and time: a server takes a while for each."""
_DEPTH = 6
"""Functions within functions that are looked at."""
_PARTS = 1000
"""Of a list that a function holds, at most."""


def digest(texts: Iterable[str]) -> str:
    """Eight digits that change when one of the texts does."""
    return f"{functools.reduce(_add, texts, 0):08x}"


def _add(sum_so_far: int, text: str) -> int:
    return zlib.crc32(f"{text}\n".encode("utf-8", "surrogateescape"), sum_so_far)


def spread(count: int, most: int) -> list[int]:
    """At most so many of `count` numbers, evenly, the first and the last among them."""
    if count <= most:
        return list(range(count))
    return [i * (count - 1) // (most - 1) for i in range(most)]


# -- images ---------------------------------------------------------------------------------------


def of_array(array: Any) -> str:
    """Shape, type, and a digest of evenly spread rows; of what cannot be read no digest."""
    shape = " x ".join(map(str, array.shape))
    if not _readable(array):
        return f"{shape} {array.dtype}"
    size = max(1, int(array.nbytes) // len(array))
    places = spread(len(array), max(3, min(_ROWS, _BYTES // size)))
    return f"{shape} {array.dtype}, content {zlib.crc32(_bytes_of(array[places])):08x}"


def of_files(paths: Sequence[str | os.PathLike[str]]) -> str:
    """Names, and sizes and times of the files behind them."""
    names = [os.fsdecode(path) for path in paths]
    return digest([*names, *(_state(names[i]) for i in spread(len(names), _FILES))])


def _state(path: str) -> str:
    try:
        found = os.stat(path)  # noqa: PTH116  (twice as quick, for many files)
    except (OSError, ValueError):
        return "missing"
    return f"{found.st_size} {found.st_mtime_ns}"


def of_images(read: Callable[[], Sequence[Any]]) -> str:
    """A digest of some images as `read` returns them; empty if it differs from call to call.

    Data sets may turn and crop images at random. PyTorch's own draws come out the same each time
    (see `quiet`); those of others show in the global state, or in two readings.
    """
    with quiet(torch.device("cpu")):
        before = _states()
        first, second = ([_image(each) for each in read()] for _ in range(2))
        drawn = _states() != before
    return "" if drawn or first != second else digest(first)


def _states() -> tuple[Any, ...]:
    legacy: Any = np.random.get_state(legacy=True)
    return random.getstate(), legacy[1].tobytes(), *legacy[2:]


def _image(image: Any) -> str:
    if isinstance(image, Image.Image):
        return _picture(image)
    if not isinstance(image, Tensor | np.ndarray):
        # Files have been asked for already, and what cannot be read has nothing to be told by.
        return ""
    told = f"{zlib.crc32(_bytes_of(image)):08x}" if _readable(image) else ""
    return f"{tuple(image.shape)} {image.dtype} {told}"


def _picture(image: Image.Image) -> str:
    try:
        return f"{image.mode} {image.size} {zlib.crc32(image.tobytes()):08x}"
    except (OSError, SyntaxError, ValueError, AssertionError):
        return ""


def _readable(array: Any) -> bool:
    if isinstance(array, np.ndarray):
        return bool(array.dtype != object)
    strided: bool = array.layout == torch.strided and array.device.type != "meta"
    return strided and not array.is_quantized


def _bytes_of(array: Any) -> bytes:
    if isinstance(array, np.ndarray):
        return array.tobytes()
    plain = array.detach().as_subclass(Tensor).cpu().resolve_conj().resolve_neg().contiguous()
    content: bytes = plain.reshape(-1).view(torch.uint8).numpy().tobytes()
    return content


# -- preprocessing --------------------------------------------------------------------------------


def of_function(function: Any) -> str:
    """A digest of what a function does, as far as its code and its constants tell."""
    return digest(_told(function, _DEPTH))


def _told(value: Any, depth: int) -> list[str]:
    """In texts that are the same in the next program."""
    if isinstance(value, str | bytes | int | float | complex | np.generic | type(None)):
        return [repr(value)]
    if depth == 0:
        return []
    if isinstance(value, frozenset):
        return sorted(text for each in value for text in _told(each, depth - 1))
    parts = _parts(value)
    if parts is not None:
        texts = (text for part in parts for text in _told(part, depth - 1))
        return [type(value).__name__, *texts]
    if isinstance(value, np.ndarray | Tensor):
        return [of_array(value[None])]
    shown = repr(value) if callable(value) else ""
    # Where it lies in memory is another place each time.
    return [type(value).__qualname__, "" if " at 0x" in shown else shown]


def _parts(value: Any) -> Sequence[Any] | None:
    """What the value is made of; None if it is not known to be made of anything."""
    if isinstance(value, types.CodeType):
        return value.co_code, value.co_names, value.co_consts
    if isinstance(value, types.FunctionType):
        cells = [_content(cell) for cell in value.__closure__ or ()]
        return value.__code__, value.__defaults__, value.__kwdefaults__, cells
    if isinstance(value, types.MethodType):
        return value.__func__, value.__self__
    if isinstance(value, functools.partial):
        return value.func, value.args, value.keywords
    if isinstance(value, dict):
        return [*value.items()][:_PARTS]
    if isinstance(value, tuple | list):
        return value[:_PARTS]
    # torchvision's Compose and Lambda
    steps = getattr(value, "transforms", None)
    if isinstance(steps, Sequence):
        return [type(value).__qualname__, *steps]
    inner = getattr(value, "lambd", None)
    return None if inner is None else [inner]


def _content(cell: types.CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:  # not filled yet
        return None
