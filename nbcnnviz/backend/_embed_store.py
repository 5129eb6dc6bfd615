"""Where rows of features are kept as they come: in memory, or in a file that can be resumed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sys
import tempfile
import weakref
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from ._embed_digest import of_function
from ._embed_source import Source
from .custom_preprocess import CustomPreprocess

if TYPE_CHECKING:
    from .network import Network

Floats = npt.NDArray[np.float32]
_FALLBACK = 2 << 30
"""Bytes taken to be free where the system does not tell."""


def available() -> int:
    """Bytes of memory that can be had without swapping."""
    return min(_free_here(), _free_in_container())


def _free_here() -> int:
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = next(line for line in lines if line.startswith("MemAvailable"))
        return int(free.split()[1]) * 1024
    with contextlib.suppress(OSError, ValueError, AttributeError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2
    return _FALLBACK


def _free_in_container() -> int:
    """A container may have less than its machine; version 2 of control groups tells."""
    group = Path("/sys/fs/cgroup")
    with contextlib.suppress(OSError, ValueError):
        limit = int((group / "memory.max").read_text())  # "max" without a limit
        used = int((group / "memory.current").read_text())
        # Files that were read lately count as used, but give way at once.
        lines = map(str.split, (group / "memory.stat").read_text().splitlines())
        spare = next((int(line[1]) for line in lines if line[0] == "inactive_file"), 0)
        return max(0, limit - used + spare)
    return sys.maxsize


def fits(size: int) -> bool:
    """Whether an array of so many bytes, and some work on it, is at home in memory."""
    return size <= available() // 3


class RowFile:
    """A .npy file that grows by rows and is whole after every one of them.

    The header names the rows that are there for certain; what a killed program wrote beyond them
    is written again.
    """

    def __init__(self, path: str | os.PathLike[str], keep: bool = True) -> None:
        self.path = Path(path)
        self.rows, self.width = 0, 0
        self._stream: BinaryIO | None = None
        self._start = 0
        if keep and self.path.exists():
            self.rows, self.width, self._start = _read_header(self.path)

    def cut(self, rows: int) -> None:
        """Forget the rows from this one on."""
        self.rows = min(self.rows, rows)

    def append(self, rows: Floats) -> None:
        """Add rows (n, D)."""
        stream = self._opened(rows.shape[1])
        stream.seek(self._start + self.rows * self.width * 4)
        stream.write(np.ascontiguousarray(rows, np.float32).tobytes())
        self.rows += len(rows)
        self._write_header(stream)

    def _opened(self, width: int) -> BinaryIO:
        if self._stream is None:
            begun = self.width > 0 and self.path.exists()
            self._stream = self.path.open("r+b" if begun else "w+b")
            self.width = width
            if not begun:
                self._write_header(self._stream)
                self._start = self._stream.tell()
        return self._stream

    def _write_header(self, stream: BinaryIO) -> None:
        stream.flush()
        stream.seek(0)
        # NumPy leaves room for the number of rows to grow, so its length never changes.
        header = {"descr": "<f4", "fortran_order": False, "shape": (self.rows, self.width)}
        np.lib.format.write_array_header_1_0(stream, header)
        stream.flush()

    def close(self) -> None:
        """Cut off what lies beyond the last row."""
        if self._stream is not None:
            self._stream.truncate(self._start + self.rows * self.width * 4)
            self._stream.close()
            self._stream = None

    def array(self) -> Floats:
        """All rows, memory-mapped, not to be written to."""
        self.close()
        if not self.rows:
            return np.empty((0, self.width), np.float32)
        mapped: Floats = np.memmap(self.path, np.float32, "r", self._start, (self.rows, self.width))
        return mapped


def _read_header(path: Path) -> tuple[int, int, int]:
    """Rows, width and where the numbers begin."""
    with path.open("rb") as stream:
        try:
            np.lib.format.read_magic(stream)
            shape, fortran, dtype = np.lib.format.read_array_header_1_0(stream)
        except ValueError as error:
            raise ValueError(
                f"out={str(path)!r}: the file holds no features; give another path"
            ) from error
        start = stream.tell()
    if len(shape) != 2 or fortran or dtype != np.float32:
        raise ValueError(f"out={str(path)!r}: the file holds no features; give another path")
    there = (path.stat().st_size - start) // max(1, 4 * shape[1])
    return min(shape[0], there), shape[1], start


class RowMemory:
    """Rows in memory, moved to a temporary file once they outgrow it."""

    def __init__(self, count: int | None) -> None:
        self.rows, self.width = 0, 0
        self._count = count
        self._whole: Floats | None = None
        self._parts: list[Floats] = []
        self._file: RowFile | None = None

    def append(self, rows: Floats) -> None:
        """Add rows (n, D)."""
        if not self.rows:
            self._begin(rows.shape[1])
        self.rows += len(rows)
        if self._file is not None:
            self._file.append(rows)
        elif self._whole is not None and self.rows <= len(self._whole):
            self._whole[self.rows - len(rows) : self.rows] = rows
        else:
            self._parts.append(rows)
            # Together they take as much again when they are joined.
            if self.rows % 4096 < len(rows) and not fits(2 * self.rows * self.width * 4):
                self._spill()

    def _begin(self, width: int) -> None:
        self.width = width
        if self._count is None:
            return
        if fits(self._count * width * 4):
            self._whole = np.empty((self._count, width), np.float32)
        else:
            self._spill()

    def _spill(self) -> None:
        handle, name = tempfile.mkstemp(prefix="nbcnnviz-", suffix=".npy")
        os.close(handle)
        self._file = RowFile(name, keep=False)
        # Also if the work breaks off and nobody asks for the rows.
        self._cleanup = weakref.finalize(self, _remove, name)
        for part in self._parts:
            self._file.append(part)
        self._parts = []

    def close(self) -> None:
        """Nothing needs closing."""

    def array(self) -> Floats:
        """All rows."""
        if self._file is not None:
            mapped = self._file.array()
            self._cleanup.detach()
            weakref.finalize(mapped, _remove, str(self._file.path))
            return mapped
        if self._whole is not None:
            parts = [self._whole[: self.rows], *self._parts]
            return parts[0] if len(parts) == 1 else np.concatenate(parts)
        if not self._parts:
            return np.empty((0, self.width), np.float32)
        return np.concatenate(self._parts)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        Path(path).unlink()


class Journal:
    """Beside the files of features: what they are of, and which images could not be read."""

    def __init__(self, path: Path, facts: Mapping[str, Any], out: str) -> None:
        self._path = path
        self._facts = dict(facts)
        self.failures: dict[int, str] = {}
        if not path.exists():
            return
        try:
            known = json.loads(path.read_text(encoding="utf-8"))
            was, failures = dict(known["facts"]), dict(known["failures"])
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(f"out={out!r}: {path.name} is damaged; delete it") from error
        wrong = [key for key in self._facts if was.get(key) != self._facts[key]]
        if wrong:
            raise ValueError(
                f"out={out!r} was begun with {wrong[0]} {was.get(wrong[0])!r}, and now it is "
                f"{self._facts[wrong[0]]!r}; give another path, or delete the old files"
            )
        self.failures = {int(index): str(reason) for index, reason in failures.items()}

    def write(self, failures: Mapping[int, str]) -> None:
        """Save; a program that is killed meanwhile leaves the former state."""
        self.failures = dict(failures)
        content = {"facts": self._facts, "failures": self.failures}
        new = self._path.with_name(self._path.name + ".new")
        new.write_text(json.dumps(content, indent=1), encoding="utf-8")
        new.replace(self._path)


def weights_digest(model: nn.Module) -> str:
    """Changes when any weight or buffer does."""
    digest = 0
    for name, tensor in itertools.chain(model.named_parameters(), model.named_buffers()):
        digest = zlib.crc32(name.encode(), digest)
        if tensor.layout == torch.strided:
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            digest = zlib.crc32(flat.view(torch.uint8).numpy().data, digest)
    return f"{digest:08x}"


def facts_of(net: Network, source: Source, names: Sequence[str], spatial: str) -> dict[str, Any]:
    """What must be the same for a run to be resumed."""
    preprocess = repr(net.preprocess)
    if isinstance(net.preprocess, CustomPreprocess):
        preprocess += f", code {of_function(net.preprocess.function)}"
    return {
        "layers": list(names),
        "spatial": spatial,
        "weights": weights_digest(net.model),
        "preprocess": preprocess,
        "images": source.signature(),
    }
