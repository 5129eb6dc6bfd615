"""The page of `save_html` and the PNG of a saved notebook, without a browser."""

from __future__ import annotations

import base64
import io
import json
import re

import ipywidgets
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import nbcnnviz as nv
from nbcnnviz import export
from nbcnnviz.widgets._codec import unpack

NASTY = "</script><script>window.__pwned = 1</script><!-- <img src=x onerror=alert(1)>"


@pytest.fixture
def widget():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5)
    )
    net = nv.Network(model, preprocess=nv.backend.Preprocess(size=(24, 24)), labels=[NASTY] * 5)
    image = np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8)
    yield nv.FeatureMaps(net, image, names=[NASTY])
    ipywidgets.Widget.close_all()


def state_of(document):
    found = re.findall(r'<script type="application/json"[^>]*>(.*?)</script>', document, re.S)
    assert len(found) == 1
    return json.loads(found[0])


def test_the_page_holds_traits_blobs_and_answers(widget):
    state = state_of(export.page(widget))
    assert state["module"] == "feature_maps"
    assert state["traits"]["layer"] == widget.layer
    assert set(state["traits"]) | set(state["blobs"]) == type(widget)._synced()
    meta, _ = unpack(base64.b64decode(state["blobs"]["_maps"]))
    assert meta["layer"] == widget.layer
    lanes = {reply["lane"] for reply in state["replies"]}
    assert lanes == {"layer", "channel", "code"}


def test_further_layers_can_be_put_in(widget):
    def layers(**options):
        replies = state_of(export.page(widget, **options))["replies"]
        return [reply["args"]["layer"] for reply in replies if reply["lane"] == "layer"]

    assert layers() == ["1"]
    assert layers(layers=["0"]) == ["1", "0"]
    assert set(layers(layers="all")) == {each.name for each in widget.layers if each.spatial}
    with pytest.raises(ValueError, match="'nope'"):
        export.page(widget, layers=["nope"])
    with pytest.raises(TypeError, match="no option 'layer'"):
        export.page(widget, layer="0")


def test_hostile_names_stay_data(widget):
    document = export.page(widget)
    assert "window.__pwned = 1</script>" not in document
    assert "<img src=x" not in document
    state = state_of(document)
    names = unpack(base64.b64decode(state["blobs"]["_images"]))[0]["names"]
    assert names == [NASTY]


def test_the_page_fetches_nothing(widget):
    document = export.page(widget)
    outside = re.sub(r"<(script|title).*?</\1>", "", document, flags=re.S)
    assert not re.search(r"(src|href)\s*=|@import|url\(\s*['\"]?(?!data:|['\"])", outside), outside
    assert "default-src 'none'" in document


def test_the_page_is_written_whole_or_not_at_all(widget, tmp_path, monkeypatch):
    path = widget.save_html(tmp_path / "a.html")
    assert path.read_text("utf-8").startswith("<!doctype html>")
    first = path.read_bytes()
    with pytest.raises(FileExistsError, match="overwrite=True"):
        widget.save_html(path)
    monkeypatch.setattr(export.Path, "replace", fail)
    with pytest.raises(OSError, match="disk"):
        widget.save_html(path, overwrite=True)
    assert path.read_bytes() == first
    assert [each.name for each in tmp_path.iterdir()] == ["a.html"]


def fail(*args):
    raise OSError("disk full")


@pytest.mark.parametrize("name", ["a.txt", "a", "a.html.exe", ".html"])
def test_only_html_is_written(widget, tmp_path, name):
    with pytest.raises(ValueError, match=r"must end in \.html or \.htm"):
        widget.save_html(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_an_interactive_snapshot_is_a_frame_without_rights(widget):
    data = widget.snapshot(interactive=True).data
    assert data.count("<iframe") == 1
    assert 'sandbox="allow-scripts"' in data
    assert "<script" not in data


@pytest.mark.parametrize("kind", ["noise", "flat"])
def test_a_png_is_never_over_its_limit(kind):
    generator = np.random.default_rng(0)
    shape = (900, 640, 3)
    picture = {
        "noise": generator.integers(0, 256, shape, np.uint8),
        "flat": np.full(shape, 7, np.uint8),
    }[kind]
    data = export.png(picture)
    assert len(data) <= export.PNG_LIMIT
    assert Image.open(io.BytesIO(data)).width <= 640


def test_a_png_that_fits_is_exact():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(export.png(picture)))), picture)
