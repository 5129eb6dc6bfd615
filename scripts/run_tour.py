"""`make demo`: run the tour notebook, write it as a page, open JupyterLab on it.

python scripts/run_tour.py            run, write build/tour.html, open JupyterLab
LAB=0 python scripts/run_tour.py      stop before JupyterLab
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbconvert import HTMLExporter

ROOT = Path(__file__).resolve().parent.parent
NOTEBOOK = ROOT / "notebooks" / "tour.ipynb"
PAGE = ROOT / "build" / "tour.html"
CELL_SECONDS = 600
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"


def execute(path: Path) -> nbformat.NotebookNode:
    """Run every cell in a fresh kernel; an error in a cell is raised."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        store_widget_state=False,
        # The kernel's advice on transports is not about the tour.
        extra_arguments=["--log-level=ERROR"],
    )
    return client.execute()


def page(notebook: nbformat.NotebookNode) -> str:
    """The notebook as HTML that fetches nothing: each widget as its still picture."""
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_MIME, None)
    notebook.metadata.pop("widgets", None)
    exporter = HTMLExporter()
    exporter.embed_images = True
    # nbconvert would load these from elsewhere; a picture and a text need none of them.
    exporter.jquery_url = exporter.require_js_url = exporter.mathjax_url = ""
    exporter.mermaid_js_url = exporter.widget_renderer_url = exporter.jupyter_widgets_base_url = ""
    html, _ = exporter.from_notebook_node(notebook, {"metadata": {"name": "A tour of nbcnnviz"}})
    return str(html)


def open_lab() -> None:
    """Become JupyterLab, opened on the notebook."""
    command = [sys.executable, "-m", "jupyter", "lab", str(NOTEBOOK)]
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        command.append("--allow-root")
    print("Opening JupyterLab; Ctrl+C ends it.", flush=True)
    os.execv(command[0], command)


def main() -> None:
    started = time.monotonic()
    print(f"Running {NOTEBOOK.relative_to(ROOT)} ...", flush=True)
    html = page(execute(NOTEBOOK))
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(html, encoding="utf-8")
    print(f"Wrote {PAGE} in {time.monotonic() - started:.0f} s", flush=True)
    if os.environ.get("LAB") != "0":
        open_lab()


if __name__ == "__main__":
    main()
