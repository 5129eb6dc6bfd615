from __future__ import annotations
import pytest
from maps_page import MapsPage

BIG = """
import torch, nbcnnviz as nv
model = torch.nn.Sequential(torch.nn.Conv2d(3, 32, 3), torch.nn.ReLU(), torch.nn.Conv2d(32, 32, 3))
w = nv.FeatureMaps(model, torch.randn(3, 112, 112), layer="0")
w
"""
PATCH = """
import atexit, threading
from nbcnnviz.widgets import _worker
def end():
    with _worker._workers_lock:
        workers = list(_worker._workers.values())
    for each in workers:
        with each._changed:
            each._waiting.clear()
            if each._running: each._running.cancel()
            each.submit = lambda job: None
    for each in workers:
        each.join(1.0)
atexit.register(end)
"""
@pytest.mark.parametrize("patch", ["", PATCH, "", PATCH, "", PATCH])
def test_a(lab, patch):
    nb = lab.open(BIG + "\n" + patch + "\nw")
    nb.run(0)
    view = MapsPage(nb)
    nb.execute("w.layer = '2'")
    nb.until(lambda: view.layer() == "2" and view.state() == "idle")
    nb.shutdown()
    view.ribbon.focus()
    nb.page.keyboard.press("ArrowLeft")
    nb.page.wait_for_timeout(2000)
    print("ERR", bool(patch), [e[:90] for e in nb.errors])
    nb.errors.clear()
