"""The notebooks: saved executed, with pictures, small; and they run again from top to bottom."""

from __future__ import annotations

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "notebooks"
NOTEBOOKS = sorted(path.stem for path in FOLDER.glob("*.ipynb"))
LIMIT = 3_000_000


def read(stem):
    return nbformat.read(FOLDER / f"{stem}.ipynb", as_version=4)


def pictures(notebook):
    """The stills of the widgets, base64."""
    return [
        output["data"]["image/png"]
        for cell in notebook.cells
        for output in cell.get("outputs", [])
        if "application/vnd.jupyter.widget-view+json" in output.get("data", {})
    ]


def test_there_is_a_tour_and_one_for_every_widget():
    widgets = {path.stem for path in (FOLDER.parent / "nbcnnviz/widgets").glob("[!_]*.py")}
    assert set(NOTEBOOKS) == {"tour", *widgets}


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_saved_executed_with_pictures_where_no_widget_can_run(stem):
    notebook = read(stem)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    assert len(pictures(notebook)) >= 2
    assert all(len(png) * 3 / 4 <= 80_000 for png in pictures(notebook))
    assert (FOLDER / f"{stem}.ipynb").stat().st_size < LIMIT
    assert "/home/" not in str(notebook)
    assert "/root/" not in str(notebook)


@pytest.mark.parametrize("stem", NOTEBOOKS)
def test_runs_again(stem):
    saved, notebook = read(stem), read(stem)
    NotebookClient(
        notebook,
        timeout=300,
        kernel_name="python3",
        resources={"metadata": {"path": str(FOLDER)}},
        extra_arguments=["--log-level=ERROR"],
    ).execute()
    assert len(pictures(notebook)) == len(pictures(saved))
