"""Embedding without a browser: points, maps, selections, stops, and the model left as found."""

from __future__ import annotations

import gc
import io
import json
import signal
import threading
import time
import weakref

import hostile
import numpy as np
import pandas
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits
from sklearn.decomposition import PCA
from sklearn.manifold import trustworthiness
from torch import nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    SubsetRandomSampler,
    TensorDataset,
)

import nbcnnviz as nv
from nbcnnviz.backend._embed_lapse import aligned
from nbcnnviz.widgets import _embedding_record as records
from nbcnnviz.widgets import _embedding_run
from nbcnnviz.widgets._codec import unpack
from nbcnnviz.widgets._embedding_columns import NONE
from nbcnnviz.widgets._embedding_thumbs import drawn

EMBED = {"method": "tsne", "perplexity": 10.0, "iterations": 60, "start": "auto"}


class Small(nn.Module):
    """Two convolutions, global average pooling, a linear layer."""

    def __init__(self, classes=4):
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.deep = nn.Conv2d(6, 5, 3, stride=2)
        self.fc = nn.Linear(5, classes)

    def forward(self, x):
        x = torch.relu(self.deep(torch.relu(self.conv(x))))
        return self.fc(x.mean((2, 3)))


class Slow(nn.Module):
    """Takes its time for each batch."""

    def __init__(self, seconds=0.1):
        super().__init__()
        self.conv, self.fc, self.seconds = nn.Conv2d(3, 4, 3), nn.Linear(4, 3), seconds
        # Of the class, since it is a copy of the module that runs.
        Slow.batches = []

    def forward(self, x):
        Slow.batches.append(len(x))
        time.sleep(self.seconds)
        return self.fc(self.conv(x).mean((2, 3)))


class Pairs(Dataset):
    """(image, label), each read when it is asked for."""

    def __init__(self, pictures, labels, classes=None):
        self.pictures, self._labels = pictures, labels
        if classes is not None:
            self.classes = classes

    def __len__(self):
        return len(self.pictures)

    def __getitem__(self, index):
        return self.pictures[index], self._labels[index]


def network(model, side=16, labels=None):
    size = nv.backend.Preprocess(size=(side, side))
    return nv.Network(model, preprocess=size, labels=labels)


def settle(widget, seconds=60):
    """Until nothing is left to do."""
    assert widget._endpoint.worker_of("embed").join(seconds)
    assert widget._endpoint.worker.join(seconds)


def ask(view, lane, **args):
    """The final answer and the partial ones, also of lanes that are answered to all views."""
    seq = view.ask(lane, **args)
    settle(view.widget)
    found = [
        (content, *(unpack(buffers[0]) if buffers else ({}, {})))
        for content, buffers in view.customs()
        if content["type"] == "reply" and content["seq"] == seq and content["lane"] == lane
    ]
    parts = [each for each in found if each[0]["status"] == "partial"]
    return next(each for each in found if each[0]["status"] != "partial"), parts


def status(widget, lane="embed"):
    view = [
        c
        for kind, d, _ in widget.comm.messages
        if kind == "comm_msg"
        and (c := d.get("content", {})).get("type") == "reply"
        and c["lane"] == lane
    ]
    return [each["status"] for each in view]


@pytest.fixture(scope="module")
def digits():
    data = load_digits()
    order = np.random.default_rng(0).permutation(len(data.target))[:240]
    return (data.images[order] * 255 / 16).astype(np.uint8), data.target[order]


@pytest.fixture
def pictures():
    return np.random.default_rng(0).integers(0, 256, (40, 16, 16, 3), np.uint8)


@pytest.fixture
def net():
    torch.manual_seed(0)
    return network(Small())


@pytest.fixture
def widget(digits):
    made = nv.Embedding(nv.Network.digits(), *digits)
    settle(made)
    return made


@pytest.fixture
def view(widget, view_of):
    return view_of(widget)


# -- what goes in ---------------------------------------------------------------------------------


def test_points_come_at_once_with_the_last_maps_by_pca(widget, digits):
    meta, arrays = unpack(widget._map)
    assert widget.layer == "relu2" and meta["method"] == "pca" and meta["complete"]
    features = nv.backend.extract(widget.net, digits[0], "relu2")
    np.testing.assert_array_equal(widget.features, features)
    xy = PCA(2).fit_transform(features.astype(np.float64))
    signs = np.sign((xy * widget.coordinates).sum(0))
    np.testing.assert_allclose(widget.coordinates, xy * signs, atol=1e-9)
    seen = records.decoded(arrays["xy"], arrays["range"])
    assert np.abs(seen - widget.coordinates).max() <= np.diff(arrays["range"])[0] / 65534
    assert any("relu2 was chosen, the last layer with maps" in note for note in meta["notes"])


def test_predictions_are_the_networks_from_the_same_pass(widget, digits):
    best = [widget.net.predict(image, k=1)[0] for image in digits[0]]
    assert widget.predictions.tolist() == [p.index for p in best]
    meta, arrays = unpack(widget._points)
    keys = [column["key"] for column in meta["columns"]]
    assert keys == ["label", "prediction", "correct", "confidence"]
    words = [meta["columns"][1]["values"][code] for code in arrays["c_1"]]
    assert words == [p.label for p in best]
    right = widget.predictions == digits[1]
    np.testing.assert_array_equal(arrays["c_2"] == 1, right)
    np.testing.assert_allclose(arrays["c_3"], [p.probability for p in best], atol=1e-6)
    assert widget.extraction.layers.keys() == {"relu2", "/answer"}


def test_the_images_are_read_once_for_each_layer(digits, view_of):
    torch.manual_seed(0)
    model = Slow(0)
    widget = nv.Embedding(network(model), np.zeros((64, 16, 16, 3), np.uint8))
    settle(widget)
    before = len(model.batches)
    (reply, meta, _), _ = ask(view_of(widget), "embed", layer="conv", **EMBED)
    assert reply["status"] == "ok" and meta["layer"] == "conv" and len(model.batches) == before


@pytest.mark.parametrize("kind", ["folder", "files", "array", "tensor", "list", "loader", "stream"])
def test_any_source_gives_the_same_points(net, pictures, tmp_path, kind):
    for number, picture in enumerate(pictures):
        Image.fromarray(picture).save(tmp_path / f"{number:03}.png")
    files = sorted(tmp_path.glob("*.png"))
    ready = torch.cat([net.prepare(picture) for picture in pictures])
    images = {
        "folder": lambda: tmp_path,
        "files": lambda: files,
        "array": lambda: pictures,
        "tensor": lambda: ready,
        "list": lambda: [Image.fromarray(p) for p in pictures],
        "loader": lambda: DataLoader(TensorDataset(ready, torch.arange(40)), 8, shuffle=True),
        "stream": lambda: (Image.fromarray(p) for p in pictures),
    }
    widget = nv.Embedding(net, images[kind](), layer="deep")
    expected = nv.backend.extract(net, pictures, "deep")
    np.testing.assert_allclose(widget.coordinates.shape, (40, 2))
    np.testing.assert_allclose(widget.features, expected, atol=1e-6)
    assert (widget.labels is not None) == (kind == "loader")
    settle(widget)
    assert unpack(widget._thumbs)[0]["indices"]
    names = unpack(widget._points)[0]["names"]
    assert names == ([f.name for f in files] if kind in ("folder", "files") else None)
    assert str(tmp_path) not in str(names)


def test_a_data_set_tells_its_labels_as_they_come_by(net, pictures):
    data = Pairs(list(pictures), ["cat", "dog"] * 20)
    widget = nv.Embedding(net, data)
    assert widget.coordinates.shape == (40, 2)
    assert widget.labels.tolist() == ["cat", "dog"] * 20
    numbered = nv.Embedding(net, Pairs(list(pictures), [1, 0] * 20, ("ape", "bee")))
    numbered.compute()
    assert unpack(numbered._points)[0]["columns"][0]["values"] == ["ape", "bee"]


def test_labels_are_compared_with_predictions_only_where_they_can_be(pictures):
    torch.manual_seed(0)
    net = network(Small(), labels=["a", "b", "c", "d"])

    def keys(labels):
        widget = nv.Embedding(net, pictures, labels)
        widget.compute()
        found = {c["key"]: c for c in unpack(widget._points)[0]["columns"]}
        return found, widget

    found, widget = keys(["a", "b"] * 20)
    names = np.array(["a", "b", "c", "d"])[widget.predictions]
    right = widget.to_dataframe()["correct"] == "right"
    assert right.tolist() == (names == np.array(["a", "b"] * 20)).tolist()
    assert "correct" not in keys(["a", "zebra"] * 20)[0]
    assert "correct" not in keys([0, 7] * 20)[0]
    found, _ = keys([0, 3] * 20)
    # A class has one code, and so one colour, in both columns.
    assert found["label"]["values"] == found["prediction"]["values"]
    assert {"a", "d"} <= set(found["label"]["values"]) and "correct" in found


def test_ones_own_numbers_are_not_the_networks_classes(pictures):
    torch.manual_seed(0)
    names = [f"class {i}" for i in range(10)]
    net = network(Small(classes=10), labels=names)
    own = nv.Embedding(net, pictures, [0, 1, 2, 3] * 10)
    own.compute()
    column = {c["key"]: c for c in unpack(own._points)[0]["columns"]}
    assert column["label"]["values"] == ["0", "1", "2", "3"] and "correct" not in column
    assert any("count as your own" in note for note in own._shown.notes)
    theirs = nv.Embedding(net, pictures, [0, 1, 2, 9] * 10)
    theirs.compute()
    assert any("0 is class 0" in note for note in theirs._shown.notes)


def test_labels_that_come_with_images_are_all_there(net, pictures):
    pairs = [(picture, "ab"[i % 2]) for i, picture in enumerate(pictures)]
    wanted = ["a", "b"] * 20
    assert nv.Embedding(net, iter(pairs)).labels.tolist() == wanted
    features = np.random.default_rng(0).normal(size=(40, 5))
    given = nv.Embedding(None, pairs, features=features)
    assert given.labels.tolist() == wanted and given.quality.purity is not None
    tensors = torch.from_numpy(pictures).permute(0, 3, 1, 2) / 255
    pairs = [(picture, i % 2) for i, picture in enumerate(tensors)]
    some = DataLoader(pairs, 8, sampler=SubsetRandomSampler([1, 3, 5, 6]))
    found = nv.Embedding(net, some)
    assert len(found.coordinates) == 4 and sorted(found.labels.tolist()) == [0, 1, 1, 1]

    class Stream(IterableDataset):
        def __iter__(self):
            return iter(pairs)

    for stream in (Stream(), DataLoader(Stream(), 8)):
        assert nv.Embedding(net, stream).labels.tolist() == [0, 1] * 20


def test_words_count_in_what_is_saved():
    count, xy = 30_000, np.random.default_rng(0).random((50_000, 2))
    labels = [f"/home/somebody/photos/of/summer/image_{i:06d}.jpeg" for i in range(count)]
    widget = nv.Embedding(None, coordinates=xy[:count], labels=labels)
    meta, arrays = unpack(widget._points)
    assert meta["sample"] and len(widget._points) + len(widget._map) < 600_000
    words = meta["columns"][0]["values"]
    assert [words[c] for c in arrays["c_0"]] == [labels[i] for i in arrays["index"]]
    few = nv.Embedding(None, coordinates=xy, labels=["a", "b"] * 25_000)
    assert not unpack(few._points)[0]["sample"]


def test_equal_images_are_a_point_without_figures(net):
    widget = nv.Embedding(net, np.zeros((20, 16, 16, 3), np.uint8), ["a", "b"] * 10)
    assert widget.quality.trustworthiness is None
    widget.figure()
    assert "trustworthiness" not in widget._summary()


def test_what_is_not_so_is_not_said(net, pictures):
    widget = nv.Embedding(None, features=np.random.default_rng(0).normal(size=(20, 4)))
    assert widget.coordinates.shape == (20, 2)
    assert not any("was chosen" in note for note in widget._shown.notes)
    series = pandas.Series(list(pictures), index=range(40, 0, -1))
    assert np.array_equal(nv.Embedding(net, series).features, nv.Embedding(net, pictures).features)
    with pytest.raises(ValueError, match="colour_by"):
        nv.Embedding(net, pictures, colour_by="correct")
    table = nv.Embedding(None, coordinates=np.eye(3, 2), colours={"selected": [5, 6, 7]})
    frame = table.to_dataframe()
    assert frame["selected_"].tolist() == [5, 6, 7] and not frame["selected"].any()


def test_networks_without_class_scores_have_no_predictions(pictures):
    net = network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    widget = nv.Embedding(net, pictures, [0, 1] * 20)
    assert widget.coordinates.shape == (40, 2) and widget.predictions is None
    assert [c["key"] for c in unpack(widget._points)[0]["columns"]] == ["label"]


def test_unreadable_images_have_no_place_and_say_why(net, pictures, tmp_path, view_of):
    images = [*pictures[:20], tmp_path / "gone.png", *pictures[20:], "also gone.png"]
    widget = nv.Embedding(net, images, colours={"n": np.arange(42)})
    xy = widget.coordinates
    assert np.isnan(xy[[20, 41]]).all() and np.isfinite(np.delete(xy, [20, 41], 0)).all()
    assert [f.index for f in widget.extraction.failures] == [20, 41]
    settle(widget)
    meta, arrays = unpack(widget._map)
    assert any("gone.png" in note and "no such file" in note for note in meta["notes"])
    assert (arrays["xy"][[20, 41]] == 65535).all() and (arrays["xy"][:20] != 65535).all()
    assert unpack(widget._points)[0]["unread"] == 2 and widget.predictions[20] == -1
    assert unpack(widget._points)[1]["c_0"][20] == NONE
    view = view_of(widget)
    reply = view.answer("thumbs", indices=np.array([20, 3], np.int32))
    assert "gone.png" in reply.meta["names"][0] and "no such file" in reply.meta["names"][0]
    assert not reply.arrays["pictures"][0].any() and reply.arrays["pictures"][1].any()
    assert 20 not in unpack(widget._thumbs)[0]["indices"]


def test_a_run_that_fails_in_the_background_is_told_to_later_views(net):
    widget = nv.Embedding(net, ["no.png", "nope.png"])
    settle(widget)
    assert "none of 2 could be read" in unpack(widget._points)[0]["error"]
    assert len(widget._png()) > 1000 and "none of 2" in widget._summary()
    with pytest.raises(ValueError, match="none of 2 could be read"):
        _ = widget.coordinates


# -- without a network ----------------------------------------------------------------------------


def test_features_of_several_layers_without_a_network(view_of):
    draw = np.random.default_rng(0)
    features = {"early": draw.normal(size=(50, 7)), "late": draw.normal(size=(50, 3))}
    widget = nv.Embedding(None, labels=["x", "y"] * 25, features=features)
    assert widget.layer == "late" and widget.coordinates.shape == (50, 2)
    assert [entry["name"] for entry in widget._layers] == ["early", "late"]
    assert unpack(widget._points)[0]["layer_choices"] == "given"
    widget.layer = "early"
    assert widget.features is features["early"] or np.array_equal(
        widget.features, features["early"]
    )
    settle(widget)
    assert unpack(widget._map)[0]["layer"] == "early"
    with pytest.raises(ValueError, match=r"layer='mid': there are no features.*'early', 'late'"):
        widget.layer = "mid"
    with pytest.raises(RuntimeError, match="no network"):
        _ = widget.net
    (reply, _, _), _ = ask(view_of(widget), "maps", bits=np.full(7, 255, np.uint8))
    assert reply["status"] == "error" and "without a network" in reply["message"]


def test_coordinates_are_shown_at_once_and_can_be_come_back_to(view_of):
    xy = np.random.default_rng(0).normal(size=(60, 2)) * 1e3
    xy[7] = np.nan
    widget = nv.Embedding(None, coordinates=xy, features=np.c_[xy, xy][:, :3] + 1)
    assert widget.method == "given" and unpack(widget._map)[0]["complete"]
    np.testing.assert_array_equal(widget.coordinates, xy)
    assert widget.projection.method == "given" and widget.quality is None
    widget.method = "pca"
    assert not np.allclose(widget.coordinates, xy, equal_nan=True)
    widget.method = "given"
    np.testing.assert_array_equal(widget.coordinates, xy)
    view = view_of(widget)
    (_, meta, _), _ = ask(view, "embed", layer=None, **{**EMBED, "method": "given"})
    assert meta["method"] == "given" and meta["explained"] is None


def test_coordinates_alone_know_their_neighbours(view_of):
    xy = np.random.default_rng(0).normal(size=(30, 2))
    view = view_of(nv.Embedding(None, coordinates=xy))
    reply = view.answer("near", index=4, k=3)
    square = ((xy - xy[4]) ** 2).sum(1)
    assert reply.meta["indices"] == np.argsort(square)[1:4].tolist()
    assert reply.meta["space"] == "coordinates"
    (answer, _, _), _ = ask(view, "embed", layer=None, **EMBED)
    assert answer["status"] == "error" and "only coordinates" in answer["message"]


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({}, TypeError, "net=None: there is nothing to show"),
        ({"images": np.zeros((3, 8, 8), np.uint8)}, TypeError, "images alone have no place"),
        ({"features": np.zeros(3)}, ValueError, r"features: 3; give \(N, D\)"),
        ({"features": {}}, ValueError, "features={}: give at least one layer"),
        ({"features": {3: np.zeros((2, 2))}}, TypeError, "features: the key 3"),
        ({"features": [["a", "b"]]}, TypeError, "features: <U1; give real numbers"),
        ({"coordinates": np.zeros((4, 3))}, ValueError, r"coordinates: 4 x 3; give \(N, 2\)"),
        ({"coordinates": [[0, np.inf]]}, ValueError, "coordinates: row 0 is infinite"),
        ({"coordinates": [[np.nan, 1]]}, ValueError, "coordinates: all are NaN"),
        (
            {"coordinates": np.zeros((4, 2)), "features": np.zeros((5, 2))},
            ValueError,
            "features: 5 for 4 of coordinates",
        ),
    ],
)
def test_what_has_no_network_is_checked(arguments, error, message):
    with pytest.raises(error, match=message):
        nv.Embedding(None, **arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"labels": [1, 2]}, ValueError, "labels: 2 for 40 images; give 40"),
        ({"labels": "cat"}, TypeError, "labels='cat': give a list"),
        ({"labels": np.ones(40)}, TypeError, "labels: float64; give whole numbers or texts"),
        ({"names": list("ab")}, ValueError, "names: 2 for 40 images"),
        ({"names": list(range(40))}, TypeError, r"names\[0\]=0: give texts"),
        ({"colours": [1]}, TypeError, r"colours=\[1\]: give a dictionary"),
        ({"colours": {"loss": [1.0]}}, ValueError, r"colours\['loss'\]: 1 for 40 images"),
        ({"colours": {"z": [1j] * 40}}, TypeError, r"colours\['z'\].*give numbers or texts"),
        ({"layer": "depp"}, ValueError, "layer='depp'.*did you mean 'deep'"),
        ({"layer": 3}, TypeError, "layer=3"),
        ({"method": "isomap"}, ValueError, "method='isomap': expected one of 'pca', 'tsne'"),
        ({"method": "given"}, ValueError, 'method="given": no coordinates were'),
        ({"perplexity": 14}, ValueError, "perplexity=14: with 40 points give 1 to 13, or .* 43"),
        ({"perplexity": 0.5}, ValueError, "perplexity=0.5: give a number of at least 1"),
        ({"perplexity": "x"}, ValueError, "perplexity='x'"),
        ({"iterations": 0}, ValueError, "iterations=0: give a whole number"),
        ({"colour_by": "size"}, ValueError, "colour_by='size': choose from .*'confidence'"),
        ({"selection": [1]}, TypeError, "no argument 'selection'"),
        ({"perplexty": 3}, TypeError, "no argument 'perplexty'.*perplexity"),
    ],
)
def test_a_wrong_argument_is_named_with_the_fix(net, pictures, arguments, error, message):
    with pytest.raises(error, match=message):
        nv.Embedding(net, pictures, **arguments)


# -- maps -----------------------------------------------------------------------------------------


def test_tsne_of_the_browser_comes_in_frames_and_ends_well(view, widget, digits):
    (reply, meta, arrays), parts = ask(view, "embed", layer="gap", **{**EMBED, "iterations": 250})
    assert reply["status"] == "ok" and reply["all"] and meta["complete"]
    assert meta["iteration"] == meta["total"] == 250 and meta["kl"] > 0
    assert parts and parts[0][1]["quality"] is None and not parts[0][1]["complete"]
    found = records.decoded(arrays["xy"], arrays["range"])
    np.testing.assert_allclose(found, widget._shown.xy, atol=np.diff(arrays["range"])[0] / 65534)
    # The page's map is as good as the one in Python.
    features = nv.backend.extract(widget.net, digits[0], "gap")
    trust = trustworthiness(features, found, n_neighbors=10)
    assert trust == pytest.approx(meta["quality"]["trustworthiness"], abs=2e-3) and trust > 0.95
    assert unpack(widget._map)[0]["run"] == meta["run"]
    assert widget._shown.question.layer == "gap" and widget.layer == "relu2"


def test_frames_come_when_they_are_seen(widget, view_of):
    class Eager(type(view_of(widget))):
        pass

    view = Eager(widget)
    send = widget.send

    def seen(content, buffers=None):
        send(content, buffers)
        if content.get("status") == "partial":
            view.send({"type": "seen", "view": "view", "epoch": widget._epoch, "lane": "embed"})

    widget.send = seen
    _, parts = ask(view, "embed", layer="gap", **{**EMBED, "iterations": 1500})
    steps = [meta["iteration"] for _, meta, _ in parts]
    assert len(steps) >= 3 and steps == sorted(steps)
    square = parts[-1][2]["range"]
    assert square[1] - square[0] == pytest.approx(square[3] - square[2], rel=1e-5)
    codes = parts[0][2]["xy"].astype(int)
    assert codes.max() - codes.min() > 60_000


def test_setting_from_python_starts_a_run_and_from_the_browser_does_not(widget, view):
    view.set(method="tsne", iterations=50)
    time.sleep(0.05)
    settle(widget)
    assert widget.method == "tsne" and unpack(widget._map)[0]["method"] == "pca"
    widget.iterations = 40
    settle(widget)
    meta = unpack(widget._map)[0]
    assert meta["method"] == "tsne" and meta["total"] == 40
    view.set(perplexity=1e9)
    assert widget.perplexity == 30.0


def test_the_same_settings_give_the_same_map_as_the_backend(widget, digits):
    widget.layer, widget.method, widget.iterations = "gap", "tsne", 80
    assert widget.compute().complete
    features = nv.backend.extract(widget.net, digits[0], "gap")
    options = {"perplexity": widget.perplexity, "iterations": 80}
    xy = nv.backend.project(features, "tsne", **options)
    np.testing.assert_array_equal(widget.coordinates, xy)
    code = widget.code().replace("images = ...", "images = given").replace("net = ", "net = 0 or ")
    names = {"given": digits[0]}
    exec(code, names)
    np.testing.assert_array_equal(names["xy"], xy)


def test_quality_waits_for_its_figures_of_a_map_that_is_there(digits, monkeypatch):
    judged = nv.widgets._embedding_run.judged

    def late(*args):
        time.sleep(0.3)
        return judged(*args)

    monkeypatch.setattr(nv.widgets._embedding_run, "judged", late)
    widget = nv.Embedding(nv.Network.digits(), *digits)
    until(lambda: widget._shown is not None)
    assert widget._shown.quality is None and widget.quality.trustworthiness > 0.5
    settle(widget)


def test_umap_takes_perplexity_for_its_neighbours(widget):
    pytest.importorskip("umap")
    widget.perplexity, widget.method = 7.4, "umap"
    found = widget.compute()
    assert found.method == "umap" and found.options["neighbors"] == 7


def test_components_keep_their_side_when_the_layer_changes(widget):
    for layer in ("pool2", "conv1", "gap", "relu1"):
        before = widget.coordinates.copy()
        widget.layer = layer
        settle(widget)  # the map that follows, and no other
        after = widget.coordinates
        assert ((before - before.mean(0)) * (after - after.mean(0))).sum(0).min() >= 0
        place = widget.projection.transform(widget.features[:5])
        np.testing.assert_allclose(place, after[:5], atol=1e-6)


def test_refresh_goes_on_from_the_present_map(net, pictures, capsys):
    widget = nv.Embedding(net, pictures, layer="deep")
    before, old = widget.coordinates.copy(), widget.features.copy()
    with torch.no_grad():
        for parameter in net.model.parameters():
            parameter += 0.02 * torch.randn(parameter.shape, generator=torch.Generator())
        net.model.deep.weight[:] = net.model.deep.weight.flip(0)
    widget.refresh()
    assert not np.allclose(widget.features, old)
    np.testing.assert_allclose(widget.features, nv.backend.extract(net, pictures, "deep"))
    free = nv.backend.project(widget.features, "pca")
    target = aligned(before, None)

    def far(xy):
        return np.linalg.norm(aligned(xy, None) - target)

    assert far(widget.coordinates) <= far(free) + 1e-9
    # Turned and mirrored, but not bent.
    lengths = [np.linalg.norm(xy - xy.mean(0), axis=1) for xy in (widget.coordinates, free)]
    np.testing.assert_allclose(*lengths, rtol=1e-6)
    place = widget.projection.transform(widget.features[:5])
    np.testing.assert_allclose(place, widget.coordinates[:5], atol=1e-6)
    assert any("axes are no components" in note for note in widget._shown.notes)
    assert capsys.readouterr().out.count("\n") <= 1


def test_refreshed_tsne_begins_without_early_exaggeration(widget):
    widget.layer, widget.method, widget.iterations = "gap", "tsne", 60
    widget.compute()
    assert widget.projection.options["early_iterations"] == 20
    widget.refresh()
    assert widget.projection.options["early_iterations"] == 0
    assert widget.projection.options["initial"] == "given"


def test_refreshing_in_the_midst_of_reading_mixes_no_weights(slow):
    until(lambda: len(slow.net.model.batches) > 4)
    with torch.no_grad():
        slow.net.model.conv.weight += 1
    slow.refresh()
    settle(slow)
    x = slow.net.prepare(np.zeros((16, 16, 3), np.uint8))
    slow.net.model.seconds = 0
    row = slow.net.model.conv(x).mean((2, 3))[0].detach()
    np.testing.assert_allclose(slow.features, row.expand(320, 4), rtol=1e-4)


def test_perplexity_gives_way_to_unreadable_images(net, pictures):
    widget = nv.Embedding(net, [*pictures[:20], *["gone.png"] * 5], method="tsne", iterations=20)
    assert widget.perplexity == 8 and widget.compute().options["perplexity"] == 6.3
    assert any("Perplexity is 6.3: 20 points" in note for note in widget._shown.notes)


def test_more_training_is_noticed(net, pictures, view_of):
    widget = nv.Embedding(net, pictures, layer="deep")
    widget.compute()
    with torch.no_grad():
        net.model.conv.weight *= 2
    (_, meta, _), _ = ask(view_of(widget), "embed", layer="deep", **{**EMBED, "method": "pca"})
    assert any("refresh() helps" in note for note in meta["notes"])


def test_a_time_lapse_at_once_does_not_take_the_maps_place(digits):
    pictures, labels = digits
    widget = nv.Embedding(nv.Network.digits(), pictures, labels, "gap", "tsne", iterations=60)
    widget.time_lapse(["conv2", "gap"])
    assert widget._map and widget._lapse
    widget.close()


def test_a_large_time_lapse_is_asked_for(view_of, monkeypatch, tmp_path):
    monkeypatch.setattr(_embedding_run, "_SMALL_ROOM", 1000)
    features = {name: np.random.default_rng(k).normal(size=(400, 3)) for k, name in enumerate("ab")}
    widget = nv.Embedding(None, features=features)
    found = widget.time_lapse(["a", "b"])
    meta, arrays = unpack(widget._lapse)
    assert not arrays
    (reply, meta, arrays), _ = ask(view_of(widget), "lapse", **meta["question"])
    assert reply["status"] == "ok" and meta["layers"] == ["a", "b"]
    seen = records.decoded(arrays["xy"], arrays["range"])
    np.testing.assert_allclose(seen, np.stack(found.maps), atol=1e-3)
    kept = {lane: blob for lane, _, blob in widget._export_replies()}
    assert unpack(kept["lapse"])[1]["xy"].shape == (2, 400, 2)


def test_time_lapse_flows(widget, view):
    lapse = widget.time_lapse(["conv1", "conv2", "gap"])
    assert lapse.layers == ("conv1", "conv2", "gap") and lapse.complete
    meta, arrays = unpack(widget._lapse)
    assert meta["layers"] == ["conv1", "conv2", "gap"] and meta["complete"]
    seen = records.decoded(arrays["xy"], arrays["range"])
    np.testing.assert_allclose(seen, np.stack(lapse.maps), atol=1e-3)
    args = {"layers": [], "method": "pca", "perplexity": 5, "iterations": 10}
    (reply, meta, arrays), parts = ask(view, "lapse", **args)
    # The last of each size of maps, then the numbers.
    names = ["relu1", "relu2", "pool2", "gap", "fc"]
    assert reply["status"] == "ok" and meta["layers"] == names
    assert arrays["xy"].shape == (len(meta["layers"]), 240, 2)
    assert all(1 <= len(part[1]["layers"]) <= len(meta["layers"]) for part in parts)


# -- Stop, interrupts, other work -----------------------------------------------------------------


@pytest.fixture
def slow():
    torch.manual_seed(0)
    return nv.Embedding(network(Slow()), np.zeros((320, 16, 16, 3), np.uint8), layer="conv")


def until(condition, seconds=20):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def test_stop_ends_the_reading_and_its_rows_are_kept(slow, view_of):
    view = view_of(slow)
    until(lambda: len(slow.net.model.batches) > 4)
    view.stop()
    settle(slow, 5)
    done = slow._features._stopped.features.shape[0]
    assert 0 < done < 320 and status(slow)[-1] == "cancelled"
    batches = len(slow.net.model.batches)
    assert slow.compute().complete and len(slow.features) == 320
    assert slow.extraction.resumed == done
    assert len(slow.net.model.batches) - batches <= (320 - done) // 32 + 2


def test_short_questions_pass_the_reading_and_progress_is_told(slow, view_of):
    view = view_of(slow)
    until(lambda: len(slow.net.model.batches) > 3)
    seq = view.ask("points")
    until(lambda: any(r.content["seq"] == seq for r in view.replies()), 2)
    assert slow._shown is None
    settle(slow)
    steps = [
        (c["done"], c["total"]) for c, _ in view.customs() if c["type"] == "progress" and c["all"]
    ]
    assert len(steps) > 3 and steps == sorted(steps) and steps[-1] == (320, 320)


def test_the_network_is_free_during_tsne(widget, view_of, monkeypatch):
    view = view_of(widget)
    view.ask("embed", layer="gap", **{**EMBED, "iterations": 100_000})
    until(lambda: widget._shown.question.method == "tsne")
    done = threading.Event()
    widget._endpoint.worker.submit(
        nv.widgets._worker.Job(key="other", owner=None, run=lambda job: done.set())
    )
    assert done.wait(3)
    seq = view.ask("near", index=0, k=3)
    until(lambda: any(r.content["seq"] == seq for r in view.replies()), 3)
    view.stop()
    settle(widget, 10)
    meta, arrays = unpack(widget._map)
    assert meta["method"] == "tsne" and not meta["complete"] and 0 < meta["iteration"] < 100_000
    assert (arrays["xy"] != 65535).all() and status(widget)[-1] == "cancelled"
    # Usable afterwards.
    (reply, meta, _), _ = ask(view, "embed", layer="gap", **EMBED)
    assert reply["status"] == "ok" and meta["complete"]


@pytest.mark.parametrize("phase", ["reading", "map"])
def test_the_interrupt_key_leaves_a_usable_widget(phase, widget, slow, capsys):
    if phase == "map":
        settle(slow)
        slow.close()
        slow = widget
        slow.layer, slow.iterations = "gap", 100_000
        settle(slow)
        with slow.hold_trait_notifications():
            slow.method = "tsne"
    timer = threading.Timer(0.6, lambda: signal.raise_signal(signal.SIGINT))
    timer.start()
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        slow.compute()
    assert time.monotonic() - begin < 3
    settle(slow, 10)
    slow.iterations = 20
    assert slow.compute().complete and slow.coordinates.shape == (len(slow.features), 2)
    capsys.readouterr()


def test_an_observer_may_compute(widget, capsys):
    found = []
    widget.observe(lambda change: found.append(widget.compute().method), "colour_by")
    widget.colour_by = "confidence"
    assert found == ["pca"]


def test_other_work_of_the_networks_worker_may_compute(net, pictures):
    widget = nv.Embedding(net, pictures, layer="conv")
    settle(widget)
    found = []

    def run(job):
        widget.layer = "deep"
        found.append(widget.compute().width)

    widget._endpoint.worker.submit(
        nv.widgets._worker.Job(key="other", owner=None, run=run, long=True)
    )
    settle(widget, 20)
    assert found == [5]


# -- selections -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "value",
    [
        [9, 3, 3, 5],
        (3, 5, 9),
        {9, 5, 3},
        np.array([3, 5, 9], np.uint8),
        torch.tensor([9, 5, 3]),
        np.isin(np.arange(240), [3, 5, 9]),
        [i in (3, 5, 9) for i in range(240)],
        range(3, 10, 2),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_selection_from_python(widget, value):
    seen = []
    widget.observe(lambda change: seen.append(change["new"]), "selection")
    widget.selection = value
    expected = [3, 5, 7, 9] if isinstance(value, range) else [3, 5, 9]
    assert widget.selection.tolist() == expected and widget.selection.dtype == np.int64
    assert [each.tolist() for each in seen] == [expected]
    meta, arrays = unpack(widget._selection)
    assert meta == {"origin": "", "count": len(expected)}
    assert records.indices_of(arrays["bits"], 240).tolist() == expected
    with pytest.raises(ValueError, match="read-only"):
        widget.selection[0] = 1
    widget.selection = None
    assert len(widget.selection) == 0 and unpack(widget._selection)[0]["count"] == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([240], "selection: there is no point 240; give 0 to 239"),
        ([-1], "there is no point -1"),
        ([0.5], "selection: float64; give whole numbers"),
        (3, "selection=3: give indices"),
        ("all", "selection='all'"),
        (np.zeros(7, bool), "selection: a mask of 7; give 240 booleans"),
        (np.zeros((2, 2), int), "selection: 2 dimensions"),
    ],
)
def test_a_selection_that_makes_no_sense_changes_nothing(widget, value, message):
    widget.selection = [1, 2]
    with pytest.raises(ValueError, match=message):
        widget.selection = value
    assert widget.selection.tolist() == [1, 2]


@given(st.sets(st.integers(0, 76)), st.integers(77, 90))
def test_a_set_of_points_as_bits_and_back(chosen, count):
    bits = records.bits_of(np.array(sorted(chosen), np.int64), count)
    assert len(bits) == -(-count // 8)
    assert all(bool(bits[i >> 3] >> (i & 7) & 1) == (i in chosen) for i in range(count))
    assert records.indices_of(bits, count).tolist() == sorted(chosen)


def test_a_lasso_lands_in_python_and_in_the_other_view(widget, view_of, digits):
    seen = []
    widget.observe(lambda change: seen.append(change["new"].tolist()), "selection")
    chosen = np.flatnonzero(digits[1] == 4)[5:]
    one, two = view_of(widget, "one"), view_of(widget, "two")
    reply = one.answer("select", bits=records.bits_of(chosen, 240))
    assert seen == [chosen.tolist()] and widget.selection.tolist() == chosen.tolist()
    assert reply.meta["count"] == len(chosen) and reply.meta["classes"] == [["4", len(chosen)]]
    assert set(reply.meta["montage"]) <= set(chosen.tolist())
    meta, arrays = unpack(widget._selection)
    assert meta["origin"] == "one"
    np.testing.assert_array_equal(records.indices_of(arrays["bits"], 240), chosen)
    both = two.answer("select", bits=np.full(30, 255, np.uint8))
    assert both.meta["count"] == 240 and len(both.meta["montage"]) == 48
    words, counts = np.unique(digits[1], return_counts=True)
    assert dict(map(tuple, both.meta["classes"])) == {
        str(w): int(c) for w, c in zip(words, counts, strict=True)
    }
    assert unpack(widget._selection)[0]["origin"] == "two"
    widget.selection = [1]
    assert unpack(widget._selection)[0]["origin"] == ""
    bad = one.answer("select", bits=np.zeros(3, np.uint8))
    assert bad.status == "error" and "expected 30 bytes" in bad.content["message"]


def test_the_mean_maps_of_a_selection(widget, view, digits):
    chosen = np.flatnonzero(digits[1] == 0)
    (reply, meta, arrays), _ = ask(view, "maps", bits=records.bits_of(chosen, 240))
    assert reply["status"] == "ok" and meta["count"] == len(chosen) and meta["layer"] == "relu2"
    maps = [nv.backend.feature_maps(widget.net, digits[0][i], "relu2") for i in chosen]
    mean = torch.stack(maps).double().mean(0)[meta["channels"]].float()
    expected = nv.backend.quantise(mean)
    np.testing.assert_array_equal(arrays["codes"], expected.codes)
    np.testing.assert_allclose(arrays["hi"], expected.hi)
    features = widget.features.astype(np.float64)
    apart = np.abs(features[chosen].mean(0) - features.mean(0)) / np.maximum(features.std(0), 1e-9)
    assert meta["channels"][0] == int(np.nanargmax(apart)) and len(meta["channels"]) == 12
    (reply, _, _), _ = ask(view, "maps", bits=np.zeros(30, np.uint8))
    assert reply["status"] == "error" and "no point is selected" in reply["message"]


def test_layers_without_maps_say_so(widget, view):
    widget.layer = "fc"
    settle(widget)
    (reply, _, _), _ = ask(view, "maps", bits=np.full(30, 255, np.uint8))
    assert reply["status"] == "error" and "fc" in reply["message"]


# -- smaller questions ----------------------------------------------------------------------------


def test_neighbours_are_those_of_the_features(widget, view):
    from sklearn.neighbors import NearestNeighbors

    features = widget.features.astype(np.float64)
    far, near = NearestNeighbors(n_neighbors=8).fit(features).kneighbors(features[[17]])
    reply = view.answer("near", index=17, k=7)
    assert reply.meta["indices"] == near[0, 1:].tolist() and reply.meta["space"] == "features"
    np.testing.assert_allclose(reply.meta["distances"], far[0, 1:])
    assert view.answer("near", index=240, k=3).status == "error"
    assert view.answer("near", index=1, k=31).status == "error"


def test_search_by_name_number_and_label(net, pictures, view_of, digits):
    names = [f"{'left' if i % 2 else 'right'} {i}.png" for i in range(40)]
    widget = nv.Embedding(net, pictures, ["Ant", "Bee"] * 20, names=names)
    view = view_of(widget)
    assert view.answer("find", text="LEFT").meta["indices"] == list(range(1, 40, 2))
    assert view.answer("find", text="bee").meta["total"] == 20
    assert view.answer("find", text="17.png").meta["indices"] == [17]
    assert view.answer("find", text="").meta == {"indices": [], "total": 0}
    bare = view_of(nv.Embedding(None, coordinates=np.zeros((9, 2))))
    assert bare.answer("find", text="7").meta["indices"] == [7]


def test_thumbnails_look_like_the_images(widget, view, digits):
    reply = view.answer("thumbs", indices=np.array([3, 5, 999, -1], np.int32))
    pictures = reply.arrays["pictures"]
    assert pictures.shape == (2, 48, 48, 3) and reply.meta["names"] == ["image 3", "image 5"]
    small = pictures[0].reshape(8, 6, 8, 6, 3).mean((1, 3))
    np.testing.assert_allclose(small[..., 0], digits[0][3], atol=1)
    meta, arrays = unpack(widget._thumbs)
    with Image.open(io.BytesIO(arrays["jpeg"].tobytes())) as sheet:
        assert sheet.size == (48 * meta["columns"], 48 * -(-len(meta["indices"]) // 16))
    assert view.answer("thumbs", indices=np.zeros(401, np.int32)).status == "error"


def test_the_sprites_are_of_all_classes_alike():
    classes = np.repeat([0, 1, 2], [1000, 60, 3])
    chosen = drawn(1063, classes, 43)
    assert np.bincount(classes[chosen]).tolist() == [20, 20, 3] and len(set(chosen)) == 43
    assert drawn(5, None, 43).tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("lane", "args", "message"),
    [
        ("embed", {"layer": "nope", **EMBED}, "there is no such layer"),
        ("embed", {"layer": "gap", **EMBED, "method": "given"}, "no coordinates were"),
        ("embed", {"layer": "gap", **EMBED, "perplexity": 500.0}, "perplexity=500"),
        ("embed", {"layer": "gap", **EMBED, "start": "x"}, "start: expected one of"),
        ("embed", {"layer": "gap"}, "the question needs"),
        ("lapse", {"layers": ["no"], "method": "pca", "perplexity": 5, "iterations": 9}, "no such"),
        ("near", {"index": 1.5, "k": 3}, "index: expected a whole number"),
        ("find", {"text": 3}, "text: expected a short text"),
    ],
)
def test_a_wrong_question_gets_an_error_for_an_answer(view, widget, lane, args, message):
    before = widget._map
    (reply, _, _), _ = ask(view, lane, **args)
    assert reply["status"] == "error" and message in reply["message"]
    assert widget._map == before


def test_the_table_of_all_that_is_known(widget, digits):
    widget.selection = [2, 4]
    frame = widget.to_dataframe()
    assert list(frame) == [
        *("name", "x", "y", "label", "prediction", "correct", "confidence", "selected")
    ]
    np.testing.assert_array_equal(frame[["x", "y"]], widget.coordinates)
    assert frame["label"].tolist() == [str(label) for label in digits[1]]
    assert np.flatnonzero(frame["selected"]).tolist() == [2, 4]


# -- saving, stills, closing ----------------------------------------------------------------------


def saved(widget):
    state = widget.get_state()
    return sum(len(v) * 4 / 3 if isinstance(v, bytes) else len(str(v)) for v in state.values())


def test_a_million_points():
    draw = np.random.default_rng(0)
    xy, labels = draw.normal(size=(1_000_000, 2)), draw.integers(0, 10, 1_000_000)
    colours = {"loss": draw.random(1_000_000)}
    begin = time.monotonic()
    widget = nv.Embedding(None, coordinates=xy, labels=labels, colours=colours)
    assert time.monotonic() - begin < 8  # a fifth of it on a quiet machine
    widget.selection = np.arange(0, 1_000_000, 2)
    assert saved(widget) < 1_000_000
    meta, arrays = unpack(widget._points)
    index = arrays["index"]
    assert meta["sample"] and meta["total"] == 1_000_000 and 10_000 < len(index) <= 50_000
    np.testing.assert_array_equal(arrays["c_0"], labels[index])
    places = unpack(widget._map)[1]
    assert unpack(widget._map)[0]["sample"] and len(places["xy"]) == len(index)
    seen = records.decoded(places["xy"], places["range"])
    np.testing.assert_allclose(seen, xy[index], atol=2e-4)
    # Evenly drawn: every tenth has its share.
    share = np.histogram(index, 10, (0, 1_000_000))[0] / len(index)
    assert np.abs(share - 0.1).max() < 0.01
    chosen = widget.selection
    assert (
        len(chosen) == 500_000
        and records.indices_of(unpack(widget._selection)[1]["bits"], 1_000_000)[-1] == 999_998
    )


def test_views_get_all_points_where_the_state_has_a_sample(view_of):
    draw = np.random.default_rng(0)
    xy = draw.normal(size=(60_000, 2))
    widget = nv.Embedding(None, coordinates=xy, labels=draw.integers(0, 3, 60_000))
    view = view_of(widget)
    reply = view.answer("points")
    assert not reply.meta["sample"] and len(reply.arrays["c_0"]) == 60_000
    assert reply.meta["map"]["method"] == "given" and not reply.meta["map"]["sample"]
    seen = records.decoded(reply.arrays["xy"], reply.arrays["range"])
    np.testing.assert_allclose(seen, xy, atol=2e-4)
    (_, meta, arrays), _ = ask(view, "embed", layer=None, **{**EMBED, "method": "given"})
    assert not meta["sample"] and arrays["xy"].shape == (60_000, 2)
    widget.compute()
    whole = [b for c, b in view.customs() if c.get("status") == "partial"]
    assert unpack(whole[-1][0])[1]["xy"].shape == (60_000, 2)
    lanes = {lane: blob for lane, _, blob in widget._export_replies()}
    assert unpack(lanes["points"])[0]["sample"] is False
    assert unpack(lanes["embed"])[1]["xy"].shape == (60_000, 2)


def test_a_view_of_a_sample_does_not_have_the_same_map_made_again(view_of):
    draw = np.random.default_rng(0)
    table = draw.normal(size=(70_000, 3))
    view = view_of(widget := nv.Embedding(None, features=table))
    settle(widget)
    run = widget._shown.run
    (_, meta, arrays), _ = ask(view, "embed", layer=None, **{**EMBED, "method": "pca"})
    assert meta["run"] == run and arrays["xy"].shape == (70_000, 2)
    (_, meta, _), _ = ask(
        view, "embed", layer=None, **{**EMBED, "method": "pca", "start": "present"}
    )
    assert meta["run"] > run


def test_hostile_words_are_drawn_as_they_are(pictures):
    labels = [hostile.STRINGS[i % len(hostile.STRINGS)] for i in range(40)]
    for some in (labels, [hostile.STRINGS[i % 4] for i in range(40)]):
        widget = nv.Embedding(hostile.network(), pictures, some, names=labels)
        widget.compute()
        assert len(widget._png()) > 1000 and widget.figure().axes
        assert unpack(widget._points)[0]["names"] == labels
        settle(widget)


def test_at_most_fifteen_synced_traits(widget):
    assert len(type(widget)._synced()) == 14
    json.dumps(widget._layers, allow_nan=False)
    assert saved(widget) < 1_000_000


@pytest.mark.parametrize("colour_by", ["label", "correct", "confidence", "loss", "kind"])
def test_still_pictures(digits, colour_by):
    colours = {"loss": np.where(np.arange(240) % 7, np.arange(240), np.nan)}
    colours["kind"] = np.array([f"kind {i % 30}" for i in range(240)])
    widget = nv.Embedding(nv.Network.digits(), *digits, colours=colours)
    widget.compute()
    widget.colour_by = colour_by
    assert 1000 < len(widget._png()) <= 80_000
    assert widget.figure().axes and "PCA of relu2, 240 points" in widget._summary()
    picture = widget._picture()
    widget.selection = [1, 2, 3]
    assert picture.shape[1] == 640 and not np.array_equal(picture, widget._picture())


def test_a_saved_page(widget, tmp_path):
    path = widget.save_html(tmp_path / "map.html")
    assert path.stat().st_size > 10_000 and "_points" in path.read_text()
    with pytest.raises(TypeError, match="no option 'neighbours'"):
        widget.save_html(tmp_path / "b.html", neighbours=3)


def test_settings_of_the_browser_are_checked(widget, view):
    view.set(colour_by="prediction", layer="gap")
    assert widget.colour_by == "prediction" and widget.layer == "gap"
    view.set(layer="nope", colour_by="nope", _map="x", selection=[1])
    assert widget.layer == "gap" and widget.colour_by == "prediction"
    assert isinstance(widget._map, bytes) and len(widget.selection) == 0


def test_the_model_is_left_as_found(pictures, view_of):
    torch.manual_seed(0)
    model = Small()
    model.train()
    model.conv.eval()
    flags = [m.training for m in model.modules()]
    state = {k: v.clone() for k, v in model.state_dict().items()}
    random = torch.get_rng_state()
    widget = nv.Embedding(network(model), pictures)
    view = view_of(widget)
    ask(view, "embed", layer="conv", **EMBED)
    ask(view, "maps", bits=np.full(5, 255, np.uint8))
    widget.time_lapse()
    widget.refresh()
    assert [m.training for m in model.modules()] == flags
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_a_model_that_breaks_loses_nothing(net, pictures, view_of):
    widget = nv.Embedding(net, pictures, layer="deep")
    before = widget.coordinates.copy()
    forward, net.model.forward = net.model.forward, lambda x: 1 / 0
    (reply, _, _), _ = ask(view_of(widget), "embed", layer="conv", **EMBED)
    assert reply["status"] == "error" and "division" in reply["message"]
    np.testing.assert_array_equal(widget.coordinates, before)
    net.model.forward = forward
    assert not any(m._forward_hooks for m in net.model.modules())


@pytest.mark.parametrize("busy", [False, True])
def test_closing_lets_go_of_everything(pictures, busy):
    model, images = Slow(0.1 if busy else 0), np.repeat(pictures, 8, 0)
    widget = nv.Embedding(network(model), Pairs(list(images), [0] * 320), layer="conv")
    if busy:
        until(lambda calls=model.batches: len(calls) > 3)
    else:
        settle(widget)
    workers = widget._endpoint.worker_of("embed"), widget._endpoint.worker
    gone = weakref.ref(model), weakref.ref(widget)
    widget.close()
    for worker in workers:
        assert worker.join(20)
    for use in (lambda w=widget: w.coordinates, widget.compute, widget.refresh, widget.time_lapse):
        with pytest.raises(RuntimeError, match="closed"):
            use()
    del use
    del model, widget, images, workers, worker
    gc.collect()
    assert [each() for each in gone] == [None, None]
