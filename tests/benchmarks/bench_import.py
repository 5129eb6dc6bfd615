"""`import nbcnnviz` in a fresh process, against `import torch, anywidget` alone."""

from __future__ import annotations

import subprocess
import sys

from _paired import paired, report


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def main() -> None:
    mine, reference, _ = paired(
        lambda: run("import torch, anywidget, nbcnnviz"),
        lambda: run("import torch, anywidget"),
        pairs=5,
        warmup=1,
    )
    more = mine - reference
    report(
        "import nbcnnviz above import torch, anywidget",
        f"{mine:.2f} - {reference:.2f} = {more:.2f} s",
        "<= 0.3 s",
        more <= 0.3,
    )


if __name__ == "__main__":
    main()
