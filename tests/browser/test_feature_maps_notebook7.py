"""FeatureMaps in Notebook 7: the essential ways, as in JupyterLab."""

from __future__ import annotations

from maps_page import DIGIT, IMPORT, MapsPage, digit_maps, significant


def test_run_explore_restart_and_reopen(notebook7):
    nb = notebook7.open(IMPORT, DIGIT)
    nb.run(0)
    nb.run(1)
    view = MapsPage(nb)
    assert "3" in view.scores()[3]
    # Another layer, from the browser and from Python.
    before = nb.pixels(view.root)
    view.ribbon.focus()
    nb.page.keyboard.press("ArrowLeft")
    nb.until(lambda: nb.value("w.layer") == "conv1", "the ribbon leads to conv1")
    nb.until(lambda: nb.pixels(view.root) != before and view.state() == "idle")
    nb.execute("w.layer, w.colormap = 'relu1', 'gray'")
    nb.until(lambda: view.layer() == "relu1")
    # Pointing at a cell, and one map large.
    view.point(30, 30)
    nb.until(lambda: view.hovered() and "≈" not in view.said())
    channel, y, x, value = view.hovered()
    assert float(value) == significant(digit_maps()["relu1"][channel, y, x].item())
    view.stage.click(position={"x": 30, "y": 30})
    nb.until(lambda: nb.value("w.channel") == channel and view.open_channel() == channel)
    nb.page.keyboard.press("Escape")
    nb.until(lambda: nb.value("w.channel") is None and view.open_channel() is None)
    # Saved with its state, a new kernel, and the cell run again.
    nb.save_widget_state(True)
    nb.page.mouse.move(1, 1)
    nb.save()
    nb.reopen()
    view = MapsPage(nb, state="offline")
    assert view.layer() == "relu1"
    assert view.scores()[3].startswith("3")
    nb.run(0)
    nb.run(1)
    nb.restart()
    MapsPage(nb, state="offline")
    nb.run(0)
    nb.run(1)
    view = MapsPage(nb)
    nb.execute("w.channel = 2")
    nb.until(lambda: view.open_channel() == 2)
