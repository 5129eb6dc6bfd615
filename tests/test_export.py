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
    # One image and few maps: all of them are in the trait, and there is nothing to compare.
    lanes = {reply["lane"] for reply in state["replies"]}
    assert lanes == {"channel", "code"}


def answers(widget, lane, **options):
    """The ready-made answers of a lane: arguments, header and arrays of each."""
    replies = state_of(export.page(widget, **options))["replies"]
    return [
        (reply["args"], *unpack(base64.b64decode(reply["blob"])))
        for reply in replies
        if reply["lane"] == lane
    ]


def test_further_layers_can_be_put_in(widget):
    def layers(**options):
        return [args["layer"] for args, *_ in answers(widget, "layer", **options)]

    spatial = {each.name for each in widget.layers if each.spatial}
    assert layers() == []
    assert layers(layers=["0"]) == layers(layers="0") == layers(layers=("1", "0", "0")) == ["0"]
    assert {widget.layer, *layers(layers="all")} == spatial
    code = [args for args, *_ in answers(widget, "code", layers="0") if "channel" not in args]
    assert code == [{"layer": "1", "image": 0}, {"layer": "0", "image": 0}]


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"layers": ["nope"]}, ValueError, "'nope'"),
        ({"layers": "nope"}, ValueError, "'nope'"),
        ({"layers": "4"}, ValueError, "has no maps"),
        ({"layers": 3}, TypeError, 'layers=3: give .* or "all"'),
        ({"layers": ["0", 1]}, TypeError, r"layers=\['0', 1\]"),
        ({"layers": {"0": 1}}, TypeError, "give a layer's name"),
        ({"layer": "0"}, TypeError, "no option 'layer'"),
    ],
)
def test_wrong_options_are_refused_and_nothing_is_written(widget, tmp_path, options, error, said):
    with pytest.raises(error, match=said):
        widget.save_html(tmp_path / "a.html", **options)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def several():
    torch.manual_seed(0)
    net = nv.Network(nn.Sequential(nn.Conv2d(3, 40, 3, padding=1), nn.ReLU()))
    images = [torch.randn(3, 96, 96) for _ in range(3)]
    yield nv.FeatureMaps(net, images, layer="0", image_index=1, sort="mean")
    ipywidgets.Widget.close_all()


def test_the_current_layer_is_there_in_full(several):
    state = state_of(export.page(several))
    meta, arrays = unpack(base64.b64decode(state["blobs"]["_maps"]))
    [(args, _, rest)] = answers(several, "more")
    assert args == {"layer": "0", "image": 1} == {key: meta[key] for key in args}
    channels = np.concatenate([arrays["channels"], rest["channels"]])
    assert sorted(channels) == list(range(40))
    assert 0 < len(rest["channels"]) < 40
    record = several._record("0", 1)
    codes = np.concatenate([arrays["codes"], rest["codes"]])
    np.testing.assert_array_equal(codes, record.quantised.codes[channels])


def test_thousands_of_channels_are_there_with_those_that_are_hidden():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 3000, 1), nn.ReLU())
    with torch.no_grad():
        model[0].weight[7], model[0].bias[7] = 0, -1
    widget = nv.FeatureMaps(nv.Network(model), torch.randn(3, 12, 12), layer="1", hide_dead=True)
    state = state_of(export.page(widget))
    first = unpack(base64.b64decode(state["blobs"]["_maps"]))[1]["channels"]
    [(_, _, rest)] = answers(widget, "more")
    assert len(first) == 256
    assert 7 in rest["channels"]
    assert sorted([*first, *rest["channels"]]) == list(range(3000))


def test_every_image_is_there_and_can_be_compared(several):
    found = answers(several, "layer")
    assert [args for args, *_ in found] == [{"layer": "0", "image": index} for index in (0, 2)]
    for args, meta, arrays in found:
        record = several._record("0", args["image"])
        assert [meta["factor"], meta["image"]] == [1, args["image"]]
        np.testing.assert_array_equal(arrays["codes"], record.quantised.codes)
        np.testing.assert_array_equal(arrays["picture"], record.picture)
    compared = answers(several, "compare")
    assert [args["channel"] for args, *_ in compared] == list(range(40))
    for args, _, arrays in compared:
        for index in range(3):
            codes = several._record("0", index).quantised.codes[args["channel"]]
            np.testing.assert_array_equal(arrays["codes"][index], codes)
    named = [args for args, meta, _ in answers(several, "code") if "image 2" in meta["code"]]
    assert named == [{"layer": "0", "image": 2}]


def test_where_there_is_too_much_maps_are_smaller_and_none_is_missing(several, monkeypatch):
    from nbcnnviz.widgets import _feature_maps_export as exported

    monkeypatch.setattr(exported, "_IMAGES", 2 * 40 * 30 * 30)
    monkeypatch.setattr(exported, "_COMPARE", 40 * 96 * 96)
    monkeypatch.setattr(exported, "_LAYERS", 5000)
    for _, meta, arrays in answers(several, "layer"):
        assert meta["factor"] == 4
        assert arrays["codes"].shape == (40, 24, 24)
        exact = several._float_maps("0", meta["image"])
        wanted = nn.functional.avg_pool2d(exact, 4).numpy()
        step = ((arrays["hi"] - arrays["lo"]) / 254)[:, None, None]
        values = arrays["lo"][:, None, None] + arrays["codes"] * step
        assert np.abs(values - wanted).max() < 0.03
    [(_, _, first), *_] = answers(several, "compare")
    assert first["codes"].shape == (3, 48, 48)
    *_, (_, meta, arrays) = answers(several, "layer", layers="1")
    assert arrays["codes"].shape[0] == 40
    assert arrays["codes"].nbytes <= 5000


def test_small_layers_leave_their_share_to_large_ones():
    from nbcnnviz.widgets._feature_maps_export import _limit

    assert _limit([10, 10, 100], 80) == 60
    assert _limit([50, 50, 50], 90) == 30
    assert _limit([], 90) == _limit([40, 40], 90) == 90


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


def photo_like(width=640, height=480):
    """Smooth hills in many hues under fine grain, and a few bright green dots."""
    y, x = np.mgrid[:height, :width] / 90
    hills = [np.sin(x + i) * np.cos(1.3 * y - i) for i in range(3)]
    grain = np.random.default_rng(0).normal(0, 6, (height, width, 3))
    picture = (128 + 70 * np.stack(hills, 2) + grain).clip(0, 255).astype(np.uint8)
    picture[200:212, 300:312] = (20, 240, 60)
    return picture


def test_a_photo_loses_size_before_it_loses_shades():
    picture = photo_like()
    image = Image.open(io.BytesIO(export.png(picture)))
    assert 320 <= image.width < 640 and image.width / image.height == pytest.approx(4 / 3, 0.01)
    shown = image.convert("RGB")
    assert len(set(map(tuple, np.asarray(shown).reshape(-1, 3)))) > 200
    small = np.asarray(Image.fromarray(picture).resize(image.size, Image.Resampling.LANCZOS))
    off = np.abs(np.asarray(shown, float) - small)
    assert np.sqrt((off**2).mean()) < 8
    # What is rare and bright stays so.
    at = round(206 * image.height / 480), round(306 * image.width / 640)
    assert off[at].max() < 24


def test_a_png_that_fits_is_exact():
    picture = np.random.default_rng(0).integers(0, 256, (40, 50, 3), np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(export.png(picture)))), picture)
