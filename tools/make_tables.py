"""Write js/src/lib/tables.ts: the 256-entry colour tables of matplotlib, as base64 of 768 bytes.

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


def source() -> str:
    """The whole text of tables.ts."""
    lines = [
        "// Written by tools/make_tables.py from matplotlib's tables; do not edit.",
        "// Each is the base64 of 256 x 3 bytes of RGB.",
        "",
        "export const TABLES = {",
    ]
    lines += [f'  {name}:\n    "{base64.b64encode(table(name)).decode()}",' for name in NAMES]
    return "\n".join([*lines, "} as const;", ""])


def main() -> int:
    """Write the file, or with ``--check`` say whether it is up to date."""
    text = source()
    if "--check" in sys.argv[1:]:
        return 0 if TARGET.exists() and TARGET.read_text() == text else 1
    TARGET.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
