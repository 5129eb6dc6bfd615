"""Features of many images against one image at a time, from every kind of source."""

from __future__ import annotations

import doctest
import gc
import itertools
import json
import random
import tempfile
import threading
import time
import warnings
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import MODES, Stochastic, globals_now, photo, same, snapshot, tiny
from torch import Tensor, nn
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    TensorDataset,
)

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _embed_store, embedding
from nbcnnviz.backend._embed_source import Source
from nbcnnviz.backend.embedding import extract, extraction, image_files
from nbcnnviz.backend.network import Network

SIDE = 12


def net_of(model: nn.Module | None = None, channels: int = 3) -> Network:
    size = (SIDE, SIDE)
    return nv.Network(
        model or tiny(channels), preprocess=backend.Preprocess(size, channels=channels)
    )


def tensors(count: int, seed: int = 0, side: int = SIDE) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


def one_by_one(net: Network, images: Any, layer: str, spatial: str = "gap") -> np.ndarray:
    """By plain PyTorch hooks, an image at a time."""
    rows = []
    model = net.model.eval()
    kept = []
    handle = model.get_submodule(layer).register_forward_hook(
        lambda module, args, output: kept.append(output.detach().clone())
    )
    for image in images:
        with torch.no_grad():
            model(net.prepare(image))
        out = kept.pop()
        rows.append(out.mean((2, 3)) if spatial == "gap" and out.ndim == 4 else out.flatten(1))
    handle.remove()
    return torch.cat(rows).numpy()


# -- what comes out -------------------------------------------------------------------------------


@pytest.mark.parametrize("spatial", ["gap", "flatten"])
@pytest.mark.parametrize("layer", ["conv", "norm", "relu", "pool", "fc"])
def test_a_batch_is_what_single_images_are(layer, spatial):
    net, data = net_of(), tensors(11)
    found = extract(net, data, layer, batch_size=4, spatial=spatial)
    expected = one_by_one(net, data, layer, spatial)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(count=st.integers(1, 13), size=st.integers(1, 20), seed=st.integers(0, 99))
def test_no_batch_size_changes_the_rows(count, size, seed):
    net, data = net_of(), tensors(count, seed)
    whole = extract(net, data, "relu", batch_size=64)
    np.testing.assert_allclose(extract(net, data, "relu", batch_size=size), whole, atol=1e-6)


def test_an_in_place_activation_does_not_reach_back():
    net, data = net_of(), tensors(3)
    both = extract(net, data, ["norm", "relu"])
    assert list(both) == ["norm", "relu"]
    assert (both["norm"] < 0).any() and (both["relu"] >= 0).all()
    for name, found in both.items():
        np.testing.assert_array_equal(found, extract(net, data, name))


def test_several_layers_take_one_pass():
    class Counting(nn.Module):
        calls = 0

        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 4, 3), nn.ReLU()

        def forward(self, x):
            Counting.calls += len(x) > 2
            return self.act(self.conv(x)).mean((2, 3))

    net = net_of(Counting())
    found = extract(net, tensors(9), ["conv", "act", "/mean#1"], batch_size=3)
    assert Counting.calls == 3
    np.testing.assert_allclose(found["act"], found["/mean#1"], atol=1e-6)


def test_functions_and_later_calls_are_layers_too():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.act = nn.Conv2d(3, 3, 3, padding=1), nn.ReLU(inplace=True)

        def forward(self, x):
            x = self.act(self.conv(x))
            return torch.nn.functional.max_pool2d(self.act(self.conv(x)) + x, 2).flatten(1)

    net, data = net_of(Twice()), tensors(5)
    for layer in ("act#2", "conv#2", "/max_pool2d#1", "/add#1"):
        found = extract(net, data, layer, batch_size=2)
        maps = torch.stack([backend.feature_maps(net, x, layer).mean((1, 2)) for x in data])
        np.testing.assert_allclose(found, maps, atol=1e-5)


def test_a_layer_object_and_tokens_will_do():
    class Tokens(nn.Module):
        def __init__(self):
            super().__init__()
            self.patch, self.mix = nn.Conv2d(3, 8, 4, 4), nn.Linear(8, 5)

        def forward(self, x):
            return self.mix(self.patch(x).flatten(2).transpose(1, 2)).mean(1)

    net, data = net_of(Tokens()), tensors(4)
    layer = next(each for each in net.layers() if each.name == "mix")
    found = extract(net, data, layer)
    np.testing.assert_allclose(found, one_by_one(net, data, "")[:, :5], atol=1e-5)
    assert extract(net, data, layer, spatial="flatten").shape == (4, 9 * 5)


def test_channels_last_half_precision_and_double():
    data = tensors(4)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    plain = extract(net_of(model), data, "1")
    last = extract(net_of(model.to(memory_format=torch.channels_last)), data, "1")
    double = extract(net_of(model.double()), data, "1")
    brief = extract(net_of(model.to(torch.bfloat16)), data, "1")
    assert brief.dtype == double.dtype == np.float32
    np.testing.assert_allclose(last, plain, atol=1e-5)
    np.testing.assert_allclose(double, plain, atol=1e-5)
    np.testing.assert_allclose(brief, plain, atol=0.02)


def test_a_layer_whose_rows_are_not_images_is_refused():
    class Windows(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.inner = nn.Conv2d(3, 4, 3), nn.Linear(4, 4)

        def forward(self, x):
            maps = self.conv(x)
            rows = self.inner(maps.permute(0, 2, 3, 1).reshape(-1, 4))
            return rows.reshape(len(x), -1, 4).mean(1)

    with pytest.raises(ValueError, match=r"layer='inner': it puts out 300 rows for 3 images"):
        extract(net_of(Windows()), tensors(3), "inner")


# -- sources --------------------------------------------------------------------------------------


class Pairs(Dataset):
    def __init__(self, images, form="pair"):
        self.images, self.form = images, form

    def __len__(self):
        return len(self.images)

    def __getitem__(self, i):
        image = self.images[i]
        return {"pair": (image, i), "bare": image, "dict": {"image": image, "label": i}}[self.form]


class Stream(IterableDataset):
    def __init__(self, images):
        self.images = images

    def __iter__(self):
        return iter(self.images)


PICTURES = [photo(20 + i, 30) for i in range(7)]


def uncollated(batch):
    return batch


SOURCES = {
    "tuple": lambda data: tuple(data),
    "tensor": lambda data: data,
    "generator": lambda data: (x for x in data),
    "pairs": lambda data: [(x, 3) for x in data],
    "data set": lambda data: Pairs(data),
    "data set of images": lambda data: Pairs(data, "bare"),
    "data set of dictionaries": lambda data: Pairs(data, "dict"),
    "tensor data set": lambda data: TensorDataset(data, torch.arange(len(data))),
    "loader": lambda data: DataLoader(Pairs(data), batch_size=3),
    "loader of images": lambda data: DataLoader(Pairs(data, "bare"), batch_size=2),
    "loader of dictionaries": lambda data: DataLoader(Pairs(data, "dict"), batch_size=2),
    "loader without batches": lambda data: DataLoader(Pairs(data), batch_size=None),
    "loader, uncollated": lambda data: DataLoader(Pairs(data), 3, collate_fn=uncollated),
    "loader of a stream": lambda data: DataLoader(Stream(data), batch_size=3),
    "stream": lambda data: Stream(data),
}


@pytest.mark.parametrize("source", list(SOURCES))
def test_every_source_gives_the_same(source):
    net, data = net_of(), tensors(7)
    found = extract(net, SOURCES[source](data), "conv", batch_size=4)
    np.testing.assert_allclose(found, one_by_one(net, data, "conv"), atol=1e-5)


def test_pictures_in_lists_arrays_and_folders(tmp_path):
    net = net_of()
    expected = one_by_one(net, PICTURES, "conv")
    np.testing.assert_allclose(extract(net, PICTURES, "conv"), expected, atol=1e-5)
    for i, picture in enumerate(PICTURES):
        folder = tmp_path / "ab"[i % 2]
        folder.mkdir(exist_ok=True)
        picture.save(folder / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    (tmp_path / ".hidden").mkdir()
    PICTURES[0].save(tmp_path / ".hidden" / "x.png")
    files = image_files(tmp_path)
    assert [Path(f).name for f in files] == [
        "0.png",
        "2.png",
        "4.png",
        "6.png",
        "1.png",
        "3.png",
        "5.png",
    ]
    order = [0, 2, 4, 6, 1, 3, 5]
    for folder in (tmp_path, str(tmp_path), files):
        np.testing.assert_allclose(extract(net, folder, "conv"), expected[order], atol=1e-5)
    array = np.stack([np.asarray(p.resize((16, 16))) for p in PICTURES])
    expected = one_by_one(net, list(array), "conv")
    for made in (array, array.transpose(0, 3, 1, 2), torch.tensor(array).movedim(-1, 1)):
        np.testing.assert_allclose(extract(net, made, "conv"), expected, atol=1e-5)
    floats = one_by_one(net, list(array / 255.0), "conv")
    np.testing.assert_allclose(extract(net, array / 255.0, "conv"), floats, atol=1e-5)
    gray = net_of(channels=1)
    found = extract(gray, array[..., 0], "conv")
    np.testing.assert_allclose(found, one_by_one(gray, list(array[..., 0]), "conv"), atol=1e-5)


def test_images_of_different_sizes():
    net = net_of()
    data = [tensors(1, i, SIDE + i // 2)[0] for i in range(7)]
    found = extract(net, data, "conv", batch_size=3)
    np.testing.assert_allclose(found, one_by_one(net, data, "conv"), atol=1e-5)
    for size in (1, 7):
        with pytest.raises(ValueError, match=r"layer='conv': .*choose spatial=\"gap\""):
            extract(net, data, "conv", batch_size=size, spatial="flatten")


@pytest.mark.parametrize(
    ("images", "error", "said"),
    [
        ([], ValueError, "images: there are none"),
        (iter([]), ValueError, "images: there are none"),
        ("nowhere", ValueError, "images='nowhere': there is no such folder"),
        (__file__, ValueError, r"a single file; give \[path\]"),
        (5, TypeError, "images: a int; give a list"),
        (PICTURES[0], TypeError, r"a single picture; give \[picture\]"),
        (np.zeros((8, 8, 3)), ValueError, r"8 x 8 x 3 is a single picture; give array\[None\]"),
        (torch.zeros(3, 8, 8), ValueError, "3 x 8 x 8 is a single picture"),
        (np.zeros((8, 8)), ValueError, "images: an array 8 x 8; give"),
        ({"a": PICTURES[0]}, TypeError, "images: a dict"),
        (b"bytes", TypeError, "images: bytes; give"),
        (["nowhere.png"], ValueError, "none of 1 could be read; nowhere.png: .*no such file"),
    ],
)
def test_what_holds_no_images_is_refused(images, error, said):
    with pytest.raises(error, match=said):
        extract(net_of(), images, "conv")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"no \.png, .* in this folder"):
        extract(net_of(), tmp_path, "conv")


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"layer": "nope"}, ValueError, "layer='nope': there is no such layer"),
        ({"layer": []}, TypeError, r"layer=\[\]"),
        ({"layer": 3}, TypeError, "layer=3"),
        ({"batch_size": 0}, ValueError, "batch_size=0"),
        ({"spatial": "max"}, ValueError, "spatial='max': choose one of"),
        ({"engine": "spark"}, ValueError, "engine='spark': choose one of"),
        ({"on_progress": 3}, TypeError, "on_progress: a int cannot be called"),
        ({"concurrency": 2}, TypeError, "concurrency: an option of engine"),
        ({"out": "x.txt"}, ValueError, "ends in"),
        ({"out": "x.npy", "layer": ["conv", "relu"]}, ValueError, "give a folder"),
    ],
)
def test_wrong_options_are_refused(options, error, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(error, match=said):
        extract(net_of(), tensors(2), **{"layer": "conv", **options})
    assert list(tmp_path.iterdir()) == []


# -- what goes wrong ------------------------------------------------------------------------------


def spoilt() -> list[Any]:
    images: list[Any] = list(tensors(9))
    images[0] = "missing.png"
    images[4] = torch.full((3, SIDE, SIDE), torch.nan)
    images[8] = object()
    return images


def test_bad_images_are_reported_and_their_rows_are_nan():
    net, images = net_of(), spoilt()
    good = [i for i in range(9) if i not in (0, 4, 8)]
    for size in (1, 2, 32):
        seen = extraction(net, images, "conv", batch_size=size)
        assert [f.index for f in seen.failures] == [0, 4, 8] and seen.complete
        assert seen.failures[0].name == "missing.png" and "no such file" in seen.failures[0].reason
        assert "NaN" in seen.failures[1].reason and seen.failures[1].name == "image 4"
        assert np.isnan(seen.features[[0, 4, 8]]).all()
        expected = one_by_one(net, [images[i] for i in good], "conv")
        np.testing.assert_allclose(seen.features[good], expected, atol=1e-5)
    with pytest.warns(UserWarning, match=r"3 of 9 could not be read.*missing\.png: .*; image 4"):
        extract(net, images, "conv")


@pytest.mark.parametrize("size", [2, 32])
def test_nan_and_infinity_of_the_network_are_told_apart_from_those_of_images(size, monkeypatch):
    class Log(nn.Module):
        def forward(self, x):
            return x.log()

    class Means(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.log = nn.Conv2d(3, 4, 3), Log()

        def forward(self, x):
            # NaN where the mean is negative, minus infinity where there is nothing.
            return self.log(x.mean((1, 2, 3))[:, None]) + self.conv(x).mean((2, 3))

    images: list[Any] = [torch.full((3, SIDE, SIDE), float(i + 1)) for i in range(9)]
    images[1] = "missing.png"
    images[4], images[7] = -images[4], images[7] * 0
    net = net_of(Means())
    found = extraction(net, images, ["conv", "log"], size)
    note = "Layer 'log' puts out NaN or infinity in 2 of 9 rows; the first is row 4."
    assert found.notes == (note,)
    assert [failure.index for failure in found.failures] == [1]
    monkeypatch.setattr(backend._embed_result, "_CHUNK", 4)
    assert extraction(net, images, "log", size).notes == (note,)
    assert extraction(net, images[:4], "log", size).notes == ()


def test_a_data_set_may_fail_at_some_images():
    class Rotten(Pairs):
        def __getitem__(self, i):
            if i % 3 == 0:
                raise OSError("the disk is\ngone")
            return super().__getitem__(i)

    seen = extraction(net_of(), Rotten(tensors(7)), "conv", batch_size=2)
    assert [f.index for f in seen.failures] == [0, 3, 6]
    assert seen.failures[0].reason == "the disk is gone"
    assert np.isfinite(seen.features[[1, 2, 4, 5]]).all()


def test_a_fault_of_the_network_is_fatal_and_leaves_it_as_it_was():
    class Fails(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            if x.max() > 50:
                raise KeyError("a bug")
            return self.conv(x).mean((2, 3))

    net, data = net_of(Fails().train()), tensors(6)
    data[5, 0, 0, 0] = 99
    before, around = snapshot(net.model), globals_now()
    with pytest.raises(KeyError):
        extract(net, data, "conv", batch_size=2)
    assert same(snapshot(net.model), before) and same(globals_now(), around)
    assert net.lock.acquire(blocking=False)
    net.lock.release()


class Greedy(nn.Module):
    """Runs out of memory above some number of images; begins in place."""

    sizes: list[int]

    def __init__(self, most: int, error: type[Exception] = torch.OutOfMemoryError):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.most, self.error = most, error
        Greedy.sizes = []

    def forward(self, x):
        x.add_(1)
        self.sizes.append(len(x))
        if len(x) > self.most:
            raise self.error("CUDA out of memory. Tried to allocate")
        return self.conv(x).mean((2, 3))


@pytest.mark.parametrize("error", [torch.OutOfMemoryError, RuntimeError])
def test_out_of_memory_halves_the_batch(error):
    model = Greedy(3, error)
    net, data = net_of(model), tensors(20)
    seen = extraction(net, data, "conv", batch_size=16)
    sizes = Greedy.sizes[Greedy.sizes.index(16) :]
    same_weights = Greedy(99)
    same_weights.load_state_dict(model.state_dict())
    expected = one_by_one(net_of(same_weights), data, "conv")
    np.testing.assert_allclose(seen.features, expected, atol=1e-5)
    assert seen.notes == ("Memory did not suffice for more than 2 images at a time.",)
    # 16, 8, 4, 2 were tried once each; then none that was too large.
    assert [size for size in sizes if size > 3] == [16, 8, 4] and set(sizes[3:]) == {2}
    with pytest.raises(error, match="out of memory"):
        extract(net_of(Greedy(0, error)), data, "conv")


def test_networks_that_take_no_batches_get_single_images():
    class Alone(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.conv(x).reshape(1, 4, -1).mean(2)

    net, data = net_of(Alone()), tensors(5)
    seen = extraction(net, data, "conv")
    assert any("One image at a time" in note for note in seen.notes)
    np.testing.assert_allclose(seen.features, one_by_one(net, data, "conv"), atol=1e-5)


# -- as found -------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(MODES))
def test_the_model_and_the_surroundings_are_as_before(mode, tmp_path):
    model = tiny().train()
    model.norm.eval()
    for p in model.parameters():
        p.grad = torch.ones_like(p)
    net = net_of(model)
    loader = DataLoader(Pairs(tensors(6)), batch_size=2, shuffle=True)
    with MODES[mode]():
        before, around = snapshot(model), globals_now()
        extract(net, tensors(5), ["conv", "fc"], batch_size=2, out=tmp_path / "a")
        extract(net, loader, "conv")
        assert same(snapshot(model), before) and same(globals_now(), around)


def test_random_numbers_of_networks_and_data_sets_are_not_the_users():
    class Augmented(Pairs):
        def __getitem__(self, i):
            return self.images[i] + torch.randn(1) + np.random.rand() + random.random(), i

    net = net_of(Stochastic())
    around = globals_now()
    extract(net, Augmented(tensors(5)), "conv", batch_size=2)
    assert same(globals_now(), around)


def test_nothing_is_kept_of_the_images():
    net, data = net_of(), list(tensors(4).clone().unbind())
    data = [x.clone() for x in data]
    kept = [weakref.ref(x) for x in data]
    features = extract(net, data, "conv")
    del data
    gc.collect()
    assert [each() for each in kept] == [None] * 4 and len(features) == 4


# -- progress, stop, files ------------------------------------------------------------------------


def test_progress_and_stop():
    net, data = net_of(), tensors(40)
    seen: list[tuple[int, int]] = []
    extract(net, data, "conv", batch_size=4, on_progress=lambda *a: seen.append(a))
    assert seen[0] == (4, 40) and seen[-1] == (40, 40) and seen == sorted(seen)
    stopped = extraction(net, data, "conv", batch_size=4, on_progress=lambda d, n: True)
    assert not stopped.complete and stopped.features.shape == (4, 6) and stopped.total == 40
    whole = extract(net, data, "conv")
    np.testing.assert_allclose(stopped.features, whole[:4], atol=1e-6)
    last = extraction(net, data, "conv", on_progress=lambda d, n: d == 40)
    assert last.complete and len(last.features) == 40
    unknown: list[tuple[int, int]] = []
    extract(net, iter(data), "conv", on_progress=lambda *a: unknown.append(a))
    assert unknown[-1] == (40, 0)
    assert extract(net, data, "conv", on_progress=lambda d, n: 1).shape == (40, 6)


class Watched(Pairs):
    """Knows which images were asked for."""

    def __getitem__(self, i):
        self.asked = [*getattr(self, "asked", []), i]
        return super().__getitem__(i)


@pytest.mark.parametrize("layers", ["conv", ["conv", "fc"]])
def test_a_run_is_resumed_from_its_file(tmp_path, layers):
    net, images = net_of(), spoilt()
    out = tmp_path / ("features.npy" if layers == "conv" else "features")
    first = extraction(net, images, layers, 3, out=out, on_progress=lambda d, n: True)
    assert not first.complete and len(first.features) == 3
    data = Watched(images)
    second = extraction(net, data.images, layers, 3, out=out)
    assert second.resumed == 3 and second.complete
    plain = extraction(net, images, layers, 3)
    for name, rows in plain.layers.items():
        assert isinstance(second.layers[name], np.memmap)
        np.testing.assert_array_equal(second.layers[name], rows)
        file = out if layers == "conv" else out / f"{name}.npy"
        np.testing.assert_array_equal(np.load(file), rows)
    assert [(f.index, f.name) for f in second.failures] == [
        (f.index, f.name) for f in plain.failures
    ]


def test_what_is_done_is_not_asked_for_again(tmp_path):
    net, data = net_of(), Watched(tensors(10))
    extraction(net, data, "conv", 4, out=tmp_path / "a.npy", on_progress=lambda d, n: True)
    # Twice the first, a middle and the last image tell whether it is the same data set.
    told = [0, 4, 9] * 2
    data.asked = []
    again = extraction(net, data, "conv", 4, out=tmp_path / "a.npy")
    assert data.asked == told + list(range(4, 10)) and again.resumed == 4
    data.asked = []
    third = extraction(net, data, "conv", 4, out=tmp_path / "a.npy")
    assert data.asked == told and third.resumed == 10 and third.complete
    np.testing.assert_array_equal(third.features, again.features)


def test_an_interrupted_run_is_resumed(tmp_path):
    net, data = net_of(), tensors(10)

    def interrupt(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        extract(net, data, "conv", 4, out=tmp_path / "a.npy", on_progress=interrupt)
    found = extraction(net, data, "conv", 4, out=tmp_path / "a.npy")
    assert found.resumed == 4 and found.complete
    np.testing.assert_allclose(found.features, extract(net, data, "conv"), atol=1e-6)


def test_a_program_killed_while_writing_loses_the_last_rows_only(tmp_path):
    net, data = net_of(), tensors(10)
    whole = np.array(extract(net, data, "conv", 4, out=tmp_path / "a.npy"))
    path = tmp_path / "b.npy"
    extraction(net, data, "conv", 4, out=path, on_progress=lambda d, n: True)
    with path.open("ab") as stream:
        stream.write(b"half a row")
    found = extraction(net, data, "conv", 4, out=path)
    assert found.resumed == 4
    np.testing.assert_array_equal(found.features, whole)
    # The header may promise more than was written.
    content = path.read_bytes()
    path.write_bytes(content[:-30])
    found = extraction(net, data, "conv", 4, out=path)
    assert found.resumed == 8
    np.testing.assert_array_equal(np.load(path), whole)


def test_a_file_of_something_else_is_not_touched(tmp_path):
    net, data, path = net_of(), tensors(4), tmp_path / "a.npy"
    extract(net, data, "conv", out=path)
    before = path.read_bytes()
    changed = net_of()
    with torch.no_grad():
        changed.model.conv.bias[0] += 1e-3
    for options in (
        {"layer": "relu"},
        {"spatial": "flatten"},
        {"images": tensors(5)},
        {"net": changed},
    ):
        arguments = {"net": net, "images": data, "layer": "conv", "out": path, **options}
        with pytest.raises(ValueError, match="was begun with"):
            extract(**arguments)
    files = [str(tmp_path / f"{name}.png") for name in "abc"]
    for file in files:
        PICTURES[0].save(file)
    extract(net, files[:2], "conv", out=tmp_path / "files.npy")
    with pytest.raises(ValueError, match="was begun with images '2 images of a list"):
        extract(net, files[1:], "conv", out=tmp_path / "files.npy")
    np.save(tmp_path / "mine.npy", np.arange(3))
    with pytest.raises(ValueError, match="not begun here"):
        extract(net, data, "conv", out=tmp_path / "mine.npy")
    loader = DataLoader(Pairs(data), shuffle=True)
    with pytest.raises(ValueError, match="the loader shuffles"):
        extract(net, loader, "conv", out=tmp_path / "c.npy")
    (tmp_path / "a.npy.json").write_text("{}")
    with pytest.raises(ValueError, match="damaged"):
        extract(net, data, "conv", out=path)
    assert path.read_bytes() == before
    assert json.loads((tmp_path / "a.npy.json").read_text()) == {}


@pytest.mark.parametrize("known", [True, False])
def test_what_does_not_fit_is_memory_mapped_and_cleared_away(known, monkeypatch):
    monkeypatch.setattr(_embed_store, "available", lambda: 3000)
    net, data = net_of(), tensors(60)
    found = extract(net, data if known else iter(data), "conv", 8)
    monkeypatch.undo()
    np.testing.assert_array_equal(found, extract(net, data, "conv", 8))
    if known:
        assert isinstance(found, np.memmap)
        path = Path(found.filename)
        assert path.exists()
        del found
        gc.collect()
        assert not path.exists()


def test_free_memory_is_known():
    import psutil

    assert 0 < _embed_store.available() <= psutil.virtual_memory().total
    assert _embed_store.fits(1000) and not _embed_store.fits(2**60)


def test_a_stream_without_a_length_outgrows_memory(monkeypatch):
    monkeypatch.setattr(_embed_store, "available", lambda: 3000)
    memory = _embed_store.RowMemory(None)
    rows = np.random.default_rng(0).random((9000, 3), np.float32)
    for first in range(0, 9000, 500):
        memory.append(rows[first : first + 500])
    found = memory.array()
    assert isinstance(found, np.memmap)
    np.testing.assert_array_equal(found, rows)


@settings(max_examples=40, deadline=None)
@given(
    pieces=st.lists(st.integers(1, 9), min_size=1, max_size=8),
    width=st.integers(1, 5),
    broken=st.integers(0, 7),
    lost=st.integers(0, 40),
)
def test_a_file_grows_by_rows_and_survives_cuts(pieces, width, broken, lost):
    rows = np.random.default_rng(0).random((sum(pieces), width), np.float32)
    ends = np.cumsum([0, *pieces])
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rows.npy"
        file = _embed_store.RowFile(path)
        for i, (a, b) in enumerate(itertools.pairwise(ends)):
            if 0 < i == broken:
                file.close()
                content = path.read_bytes()
                path.write_bytes(content[: len(content) - min(lost, 4 * width * int(a))])
                file = _embed_store.RowFile(path)
                assert int(a) - lost // (4 * width) - 1 <= file.rows <= a
                file.append(rows[file.rows : a])
            file.append(rows[a:b])
            # Whole after every step, for whoever reads it meanwhile.
            np.testing.assert_array_equal(np.load(path), rows[:b])
        np.testing.assert_array_equal(np.array(file.array()), rows)


def test_others_may_use_the_network_meanwhile():
    class Slow(Pairs):
        def __getitem__(self, i):
            time.sleep(0.03)
            return super().__getitem__(i)

    net, at = net_of(), []
    done: list[int] = []

    def ask():
        for _ in range(5):
            net.logits(tensors(1))
            at.append(len(done))

    other = threading.Thread(target=ask)
    other.start()
    extract(net, Slow(tensors(24)), "conv", 2, on_progress=lambda *a: done.append(a[0]))
    other.join()
    assert max(at) < len(done)


def test_a_loader_that_shuffles_or_drops_says_so():
    data = Pairs(tensors(7))
    seen = extraction(net_of(), DataLoader(data, 3, shuffle=True, drop_last=True), "conv")
    assert len(seen.features) == seen.total == 6
    assert any("data set" in note for note in seen.notes)
    assert any("drops its last 1" in note for note in seen.notes)
    assert Source(DataLoader(data, 3, drop_last=True)).count == 6


def test_no_warning_of_a_plain_run():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        extract(net_of(), tensors(5), "conv")


def test_examples():
    import nbcnnviz.backend._embed_lapse as lapse
    import nbcnnviz.backend._embed_project as projecting
    import nbcnnviz.backend._embed_quality as judging

    for module in (embedding, lapse, projecting, judging):
        result = doctest.testmod(module, optionflags=doctest.NORMALIZE_WHITESPACE)
        assert result.attempted > 1 and result.failed == 0
