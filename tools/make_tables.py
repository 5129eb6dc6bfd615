"""Write js/src/lib/tables.ts: the 256-entry colour tables of matplotlib, packed to the bit.

From one entry to the next a colour moves by a few units, within a range of eight per table: three
bits for each of the 765 steps instead of 768 bytes, because every widget carries these tables.

Run ``python tools/make_tables.py`` from the repository root; the same matplotlib tables always
give the same file. ``--check`` compares instead of writing and exits 1 on a difference.
"""

from __future__ import annotations

import base64
import sys
from pathlib import Path

import matplotlib
import numpy as np

NAMES = (
    "viridis",
    "magma",
    "inferno",
    "cividis",
    "gray",
    "RdBu_r",
    "coolwarm",
    "PuOr_r",
)
TARGET = Path(__file__).resolve().parent.parent / "js" / "src" / "lib" / "tables.ts"


def table(name: str) -> bytes:
    """The (256, 3) uint8 table of a matplotlib colormap, as 768 bytes."""
    colours = matplotlib.colormaps[name](np.arange(256), bytes=True)
    return np.ascontiguousarray(colours[:, :3], dtype=np.uint8).tobytes()


def packed(colours: bytes) -> bytes:
    """The least step + 8, the first colour, then 3 bits a step (r, g, b of each entry), low first.

    Raises:
        ValueError: the steps of this table span more than eight values.
    """
    steps = np.diff(np.frombuffer(colours, np.uint8).reshape(256, 3).astype(int), axis=0).ravel()
    least = int(steps.min())
    if steps.max() - least > 7:
        raise ValueError(f"steps from {least} to {steps.max()} do not fit into three bits")
    bits = (steps[:, None] - least) >> np.arange(3) & 1
    stream = np.packbits(bits.ravel().astype(np.uint8), bitorder="little")
    return bytes([least + 8, *colours[:3]]) + stream.tobytes()


def source() -> str:
    """The whole text of tables.ts."""
    lines = [
        "// Written by tools/make_tables.py from matplotlib's tables; do not edit.",
        "// Each is base64 of: least step + 8, first R, G, B, then 765 steps of 3 bits, low first.",
        "// One by one, so that a widget which needs two of them does not carry all.",
        "",
    ]
    lines += [
        f'export const {name} =\n  "{base64.b64encode(packed(table(name))).decode()}";'
        for name in NAMES
    ]
    return "\n".join([*lines, "", f"export const TABLES = {{ {', '.join(NAMES)} }} as const;", ""])


def main() -> int:
    """Write the file, or with ``--check`` say whether it is up to date."""
    text = source()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.exists() and TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
