"""Occlusion in Notebook 7: the essential ways, as in JupyterLab."""

from __future__ import annotations

import numpy as np
from test_occlusion_lab import Painting, agrees

DIGIT = """
import numpy as np, torch
import nbcnnviz as nv
net = nv.Network.digits()
def direct(w):
    logits = nv.backend.occlude(net, w._x, w.mask, w.fill)
    return [logits.softmax(0).tolist(), torch.from_numpy(w.scores).softmax(0).tolist()]
"""


class Small(Painting):
    """Over a picture of 32 x 32."""

    def at(self, x, y, canvas=None):
        box = (canvas or self.stage).bounding_box()
        return box["x"] + x / 32 * box["width"], box["y"] + y / 32 * box["height"]


def test_paint_sweep_restart(notebook7):
    nb = notebook7.open(DIGIT, "w = nv.Occlusion(net, nv.sample_image('digit'))\nw")
    nb.run(0)
    nb.run(1)
    view = Small(nb)
    clean = agrees(nb, view)
    view.drag((12, 12), (22, 20))
    view.still()
    after = agrees(nb, view)
    assert not np.allclose(clean, after) and nb.value("len(w.history)") == 1
    # Arrow keys and Space paint too: Notebook 7 would like them for itself.
    view.stage.focus()
    view.press("ArrowDown", "ArrowDown", "ArrowRight", " ")
    view.still()
    assert nb.value("len(w.history)") == 2
    agrees(nb, view)
    view.button("Run").click()
    nb.until(lambda: nb.value("w.sweep is not None and w.sweep.complete"), "the sweep")
    view.still()
    painted = nb.pixels(view.root)
    nb.restart()
    view.wait("offline")
    nb.page.mouse.move(5, 5)
    nb.until(lambda: nb.pixels(view.root) == painted, "the mask is still there")
