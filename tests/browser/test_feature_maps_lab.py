"""FeatureMaps where people use it: a cell is run, the maps are there."""

from __future__ import annotations

import pytest

IMPORT = "import nbcnnviz as nv\nnet = nv.Network.digits()"
SHOW = "w = nv.FeatureMaps(net, nv.sample_image('digit'))\nw"


@pytest.mark.parametrize("host", ["lab", "notebook7"])
def test_a_cell_shows_the_maps(host, request):
    nb = request.getfixturevalue(host).open(IMPORT, SHOW)
    nb.run(0)
    outputs = nb.run(1)
    widget = nb.widget("feature_maps")
    assert widget.locator("canvas[data-role=stage]").is_visible()
    assert widget.locator("[data-role=scores] [data-class]").count() == 5
    assert outputs[0]["data"].keys() >= {
        "application/vnd.jupyter.widget-view+json",
        "image/png",
        "text/plain",
    }


def test_a_restarted_kernel_shows_as_gone_and_the_cell_works_again(lab):
    nb = lab.open(IMPORT, SHOW)
    nb.run(0)
    nb.run(1)
    old = nb.widget("feature_maps")
    nb.restart()
    nb.until(lambda: old.get_attribute("data-state") == "offline")
    assert "Kernel gone" in old.inner_text()
    nb.run(0)
    nb.run(1)
    assert nb.widget("feature_maps").get_attribute("data-state") == "idle"
