"""Features in a folder of Parquet files, each of some consecutive images, as workers write them."""

from __future__ import annotations

import importlib
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ._embed_read import Floats
from ._embed_store import RowMemory

RETRIES = 3
"""How often a part is begun anew after its worker died."""

Part = tuple[int, int]
"""The first image and the one after the last."""


class Parts:
    """A folder of Parquet files, each with the features of some consecutive images."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder = folder
        self.names = list(names)
        folder.mkdir(parents=True, exist_ok=True)

    def there(self) -> list[Part]:
        """Complete ones, in order."""
        found: list[Part] = []
        for path in self.folder.glob("part-*-*.parquet"):
            _, start, stop = path.stem.split("-")
            found.append((int(start), int(stop)))
        return sorted(found)

    def missing(self, total: int) -> list[Part]:
        """The images without features."""
        ends = [0, *(stop for _, stop in self.there())]
        starts = [*(start for start, _ in self.there()), total]
        return [(a, b) for a, b in zip(ends, starts, strict=True) if a < b]

    def _path(self, part: Part) -> Path:
        return self.folder / f"part-{part[0]:012d}-{part[1]:012d}.parquet"

    def attempt(self, part: Part) -> None:
        """Note that a worker begins a part: Ray would begin one that kills it for ever.

        Raises:
            RuntimeError: too many have died of it.
        """
        path = self._path(part).with_suffix(".attempts")
        before = int(path.read_text() or 0) if path.exists() else 0
        if before > RETRIES:
            raise RuntimeError(
                f"images {part[0]} to {part[1] - 1}: {before} workers died at them, for want of "
                "memory or of a file that kills its decoder; a smaller batch_size may help, and "
                "the parts that are complete are kept"
            )
        path.write_text(str(before + 1))

    def tidy(self) -> None:
        """Before a run: clear away what workers that died have left."""
        for pattern in ("part-*.attempts", "part-*.new"):
            for path in self.folder.glob(pattern):
                path.unlink()

    def write(
        self, part: Part, values: dict[str, list[tuple[int, Floats]]], failures: dict[int, str]
    ) -> None:
        """Write a part; until it is complete the file has another name."""
        pa, parquet = (importlib.import_module(name) for name in ("pyarrow", "pyarrow.parquet"))
        images = np.arange(*part)
        columns = {
            "image": pa.array(images),
            "error": pa.array([failures.get(int(i)) for i in images], pa.string()),
        }
        for name, pieces in values.items():
            if pieces:
                width = pieces[0][1].shape[1]
                rows = np.full((len(images), width), np.nan, np.float32)
                for first, piece in pieces:
                    rows[first : first + len(piece)] = piece
                columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), width)
        path = self._path(part)
        new = path.with_suffix(f".{os.getpid()}.new")
        parquet.write_table(pa.table(columns), new)
        new.replace(path)
        path.with_suffix(".attempts").unlink(missing_ok=True)

    def collect(self, total: int) -> tuple[dict[str, Floats], dict[int, str], int]:
        """Features by layer up to the first gap, unreadable images, and the rows of all parts."""
        parquet = importlib.import_module("pyarrow.parquet")
        parts = self.there()
        gap = next((start for start, _ in self.missing(total)), total)
        widths: dict[str, int] = {}
        for part in parts:
            schema = parquet.read_schema(self._path(part))
            for name in set(self.names) & set(schema.names):
                width = schema.field(name).type.list_size
                if widths.setdefault(name, width) != width:
                    raise ValueError(
                        f"layer={name!r}: {widths[name]} features for some images and {width} for "
                        'others; choose spatial="gap", or give images of one size'
                    )
        stores = {name: RowMemory(gap) for name in self.names}
        failures: dict[int, str] = {}
        for start, stop in parts:
            table = parquet.read_table(self._path((start, stop)), memory_map=False)
            reasons = table.column("error").to_pylist()
            failures |= {start + i: why for i, why in enumerate(reasons) if why is not None}
            if stop > gap:
                continue
            for name in self.names:
                width = widths.get(name, 0)
                if name in table.column_names:
                    flat = table.column(name).combine_chunks().flatten().to_numpy()
                    rows = flat.reshape(-1, width)
                else:
                    rows = np.full((stop - start, width), np.nan, np.float32)
                stores[name].append(rows)
        done = sum(stop - start for start, stop in parts)
        return {name: store.array() for name, store in stores.items()}, failures, done
