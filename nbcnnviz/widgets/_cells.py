"""Which notebook cell made which widgets, so that a cell run again replaces its own."""

from __future__ import annotations

import sys
import weakref

from ipywidgets import Widget

_of_cell: dict[str, tuple[str, list[weakref.ref[Widget]]]] = {}


def close_previous(widget: Widget) -> None:
    """Close the widgets that an earlier run of the same cell made.

    ipywidgets keeps every widget alive for ever; a cell run fifty times would otherwise hold
    fifty sets of maps.
    """
    cell, run = this_cell()
    if not cell:
        return
    last_run, widgets = _of_cell.get(cell, ("", []))
    if last_run != run:
        for reference in widgets:
            old = reference()
            if old is not None:
                old.close()
        widgets = []
    _of_cell[cell] = (run, [*widgets, weakref.ref(widget)])


def this_cell() -> tuple[str, str]:
    """The id of the notebook cell that runs now, and of this run; empty outside a notebook."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython is not None else None
    kernel = getattr(shell, "kernel", None)
    if kernel is None:
        return "", ""
    parent = kernel.get_parent("shell") or {}
    cell = parent.get("metadata", {}).get("cellId", "")
    return str(cell), str(parent.get("header", {}).get("msg_id", ""))
