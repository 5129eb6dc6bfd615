"""Run notebooks and save them as they are kept: small, and without traces of how they ran.

python scripts/save_notebooks.py notebooks/maximize.ipynb notebooks/tour.ipynb
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
from nbclient import NotebookClient

CELL_SECONDS = 600
LIMIT = 3_000_000
"""Bytes; tests/test_notebooks.py allows no more."""
TIMING = "execution"
"""In a cell's metadata: when it ran."""


def execute(path: Path) -> nbformat.NotebookNode:
    """Run every cell in a fresh kernel, widgets' state included; an error in a cell is raised."""
    client = NotebookClient(
        nbformat.read(path, as_version=4),
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        # The kernel's advice on transports belongs in no notebook.
        extra_arguments=["--log-level=ERROR"],
    )
    return client.execute()


def last_written(text: str) -> str:
    """What a terminal shows in the end: of each line, what follows its last carriage return."""
    # Windows ends lines by both.
    lines = text.replace("\r\n", "\n").split("\n")
    return "\n".join(line.rstrip("\r").rpartition("\r")[2] for line in lines)


def merged(outputs: Iterable[nbformat.NotebookNode]) -> list[nbformat.NotebookNode]:
    """Outputs with neighbouring pieces of one stream as one; a progress bar leaves its last state.

    Example:
        >>> pieces = ["\\r1 of 2", "\\r2 of 2", "\\n"]
        >>> bar = [nbformat.v4.new_output("stream", name="stdout", text=each) for each in pieces]
        >>> [each.text for each in merged(bar)]
        ['2 of 2\\n']
    """
    kept: list[nbformat.NotebookNode] = []
    for output in outputs:
        stream = output.get("name")  # only streams have one
        if stream and kept and kept[-1].get("name") == stream:
            kept[-1].text += output.text
        else:
            kept.append(nbformat.from_dict(output))
    for output in kept:
        if output.output_type == "stream":
            output.text = last_written(output.text)
    return [each for each in kept if each.output_type != "stream" or each.text]


def tidy(notebook: nbformat.NotebookNode) -> None:
    """Merge the streams of every cell and forget when it ran."""
    for cell in notebook.cells:
        cell.metadata.pop(TIMING, None)
        if cell.cell_type == "code":
            cell.outputs = merged(cell.outputs)


def save(path: Path) -> str:
    """Run a notebook and write it in place; the line to print about it.

    Raises:
        SystemExit: it would be too large; the file stays as it was.
    """
    started = time.monotonic()
    notebook = execute(path)
    tidy(notebook)
    text = nbformat.writes(notebook) + "\n"
    size = len(text.encode())
    if size >= LIMIT:
        raise SystemExit(f"{path}: {size:,} bytes, {LIMIT:,} is the limit; not saved")
    path.write_text(text, encoding="utf-8", newline="\n")
    return f"{path}: {size:,} bytes, ran for {time.monotonic() - started:.0f} s"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("notebooks", nargs="+", type=Path)
    for path in parser.parse_args().notebooks:
        print(save(path), flush=True)


if __name__ == "__main__":
    main()
