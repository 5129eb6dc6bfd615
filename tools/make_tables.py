"""Write js/src/lib/tables.ts: the 256-entry colour tables of matplotlib, packed to the bit.

Colours go on about as they went on over the last three entries. What is left is mostly 0 or 1, and
takes one or two bits: about 145 bytes a table instead of 768, because widgets carry these tables.

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
    """The first colour, then what each of the next ones (r, g, b) is off from what was foreseen.

    Foreseen is the value before, plus a third of what was gained over the three entries before.
    A difference of 0, 1, -1, 2, ... is written as 0, 1, 2, 3, ... ones and a zero, low bit first.
    """
    values = np.frombuffer(colours, np.uint8).reshape(256, 3).astype(int)
    bits: list[int] = []
    for i in range(1, 256):
        last = values[i - 1]
        foreseen = last + np.floor((last - values[max(0, i - 4)]) / 3 + 0.5).astype(int)
        for off in (values[i] - foreseen).tolist():
            bits += [1] * (2 * off - 1 if off > 0 else -2 * off) + [0]
    return colours[:3] + np.packbits(np.array(bits, np.uint8), bitorder="little").tobytes()


def source() -> str:
    """The whole text of tables.ts."""
    lines = [
        "// Written by tools/make_tables.py from matplotlib's tables; do not edit.",
        "// Each is base64 of the first R, G, B, then of how far the next are off from what is",
        "// foreseen; colormap.ts reads it.",
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
