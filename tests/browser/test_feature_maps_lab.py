"""FeatureMaps where people use it: a cell is run, the maps are there."""

from __future__ import annotations

import pytest

IMPORT = "import nbcnnviz as nv\nnet = nv.Network.digits()"
SHOW = "w = nv.FeatureMaps(net, nv.sample_image('cat'))\nw"


@pytest.mark.parametrize("host", ["lab", "notebook7"])
def test_a_cell_shows_the_maps(host, request):
    nb = request.getfixturevalue(host).open(IMPORT, SHOW)
    nb.run(0)
    outputs = nb.run(1)
    widget = nb.widget("feature_maps")
    assert widget.locator("canvas[data-role=stage]").is_visible()
    assert outputs[0]["data"].keys() >= {
        "application/vnd.jupyter.widget-view+json",
        "image/png",
        "text/plain",
    }
    before, layer = nb.pixels(widget), nb.value("w.layer")
    other = nb.value("[e['name'] for e in w._layers if len(e['shape']) == 3][0]")
    assert other != layer
    nb.execute(f"w.layer = {other!r}")
    nb.until(lambda: nb.pixels(widget) != before, "another layer, another picture")
