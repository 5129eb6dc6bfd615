"""What tells one set of images from another, and in which order images come."""

from __future__ import annotations

import functools
import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import globals_now, photo, same, tiny
from PIL import Image
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)
from torchvision import transforms as T
from torchvision.transforms.functional import to_tensor

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._embed_digest import of_function, spread
from nbcnnviz.backend._embed_source import Source
from nbcnnviz.backend.embedding import extract, extraction
from nbcnnviz.backend.patches import top_patches

SIDE = 12
PICTURES = [photo(20 + i, 30) for i in range(8)]


def net_of(preprocess: Any = None) -> nv.Network:
    return nv.Network(tiny(3), preprocess=preprocess or backend.Preprocess((SIDE, SIDE)))


def tensors(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


OWN = np.random.default_rng()


class Images(Dataset):
    """Each through `change`, as data sets augment."""

    def __init__(self, images: Any, change: Callable[[Any], Any] = lambda image: image) -> None:
        self.images, self.change = images, change

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.change(self.images[index]), index


# -- one set of images is not another -------------------------------------------------------------

PIXELS = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    "bytes": lambda pixels: pixels,
    "floats": lambda pixels: pixels / 255.0,
    "tensor": lambda pixels: torch.tensor(pixels).movedim(-1, 1),
    "half tensor": lambda pixels: (torch.tensor(pixels).movedim(-1, 1) / 255).bfloat16(),
    "pictures": lambda pixels: [Image.fromarray(each) for each in pixels],
    "arrays": lambda pixels: tuple(pixels),
    "pairs": lambda pixels: [(each, 3) for each in pixels],
    "data set": lambda pixels: Images(pixels),
    "loader": lambda pixels: DataLoader(Images(torch.tensor(pixels).movedim(-1, 1)), 3),
    "loader with workers": lambda pixels: DataLoader(
        Images(torch.tensor(pixels).movedim(-1, 1)), 3, num_workers=1
    ),
}


@pytest.mark.parametrize("form", FORMS)
def test_other_images_are_not_taken_for_those_of_a_file(form, tmp_path):
    net, out = net_of(), tmp_path / "a.npy"
    first = extract(net, FORMS[form](PIXELS), "conv", out=out)
    again = extraction(net, FORMS[form](PIXELS.copy()), "conv", out=out)
    assert again.resumed == 8
    np.testing.assert_array_equal(again.features, first)
    with pytest.raises(ValueError, match=r"out=.*a\.npy' was begun with images .*another path"):
        extract(net, FORMS[form](PIXELS[::-1].copy()), "conv", out=out)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 64), row=st.integers(0, 63), bit=st.integers(0, 7))
def test_of_few_rows_no_bit_may_change(count, row, bit):
    array = np.random.default_rng(count).integers(0, 256, (count, 4, 5, 3), np.uint8)
    before = Source(array).signature()
    array[row % count, 1, 2, 0] ^= 1 << bit
    assert Source(array).signature() != before


@settings(max_examples=60, deadline=None)
@given(count=st.integers(0, 300), most=st.integers(2, 80))
def test_places_are_spread_from_the_first_to_the_last(count, most):
    places = spread(count, most)
    assert len(places) == min(count, most) and sorted(set(places)) == places
    if count:
        assert places[0] == 0 and places[-1] == count - 1
        steps = np.diff(places)
        assert not len(steps) or np.ptp(steps) <= 1


def test_a_middle_image_counts_too():
    data = list(tensors(9))
    before = Source(data).signature()
    data[4] = data[4] + 1
    assert Source(data).signature() != before


def test_type_and_shape_of_an_array_count():
    array = np.zeros((4, 6, 6, 3), np.uint8)
    others = [array[:, :3], array.astype(np.uint16), array[:3], torch.tensor(array)]
    told = {Source(each).signature() for each in [array, *others]}
    assert len(told) == 5
    assert Source(np.zeros((4, 6, 6, 3), np.uint8)).signature() in told


def test_files_that_were_written_anew_are_other_files(tmp_path):
    net, out, files = net_of(), tmp_path / "a.npy", tmp_path / "pictures"
    files.mkdir()
    for i, picture in enumerate(PICTURES):
        picture.save(files / f"{i}.bmp")
    extract(net, files, "conv", out=out)
    assert extraction(net, files, "conv", out=out).resumed == 8
    third = files / "3.bmp"
    size, when = third.stat().st_size, third.stat().st_mtime_ns
    Image.fromarray(255 - np.asarray(PICTURES[3])).save(third)
    assert third.stat().st_size == size
    os.utime(third, ns=(when, when + 1))
    with pytest.raises(ValueError, match="was begun with images '8 images of a list, content"):
        extract(net, files, "conv", out=out)
    os.utime(third, ns=(when, when))
    assert extraction(net, files, "conv", out=out).resumed == 8


def test_what_cannot_be_read_is_left_out(tmp_path):
    class Rotten(Images):
        def __getitem__(self, index: int) -> Any:
            if index in (0, 3):
                raise OSError("gone")
            return super().__getitem__(index)

    net, out, data = net_of(), tmp_path / "a.npy", tensors(6)
    extraction(net, Rotten(data), "conv", out=out)
    assert extraction(net, Rotten(data), "conv", out=out).resumed == 6
    with pytest.raises(ValueError, match="was begun with"):
        extraction(net, Rotten(-data), "conv", out=out)
    sparse = Source(tensors(3).to_sparse()).signature()
    assert sparse == "Tensor 3 x 3 x 12 x 12 torch.float32"


@pytest.mark.parametrize(
    "change",
    [
        lambda x: x + torch.randn(1),
        lambda x: T.RandomHorizontalFlip()(x),
        lambda x: x if np.random.rand() < 0.5 else x.flip(2),
        lambda x: x if random.random() < 0.5 else x.flip(2),
        lambda x: x + OWN.random(),
    ],
)
def test_images_that_are_changed_at_random_can_be_gone_on_with(change, tmp_path):
    around = globals_now()
    net, data = net_of(), tensors(6)
    for run in range(4):
        out = tmp_path / f"{run}.npy"
        extraction(net, Images(data, change), "conv", 2, out=out, on_progress=lambda d, n: True)
        assert extraction(net, Images(data, change), "conv", out=out).resumed == 2
    assert same(globals_now(), around)


def scaled(scale: float) -> Callable[[Any], Tensor]:
    return lambda image: to_tensor(image)[:, :SIDE, :SIDE] * scale


def shown(image: Any, scale: float) -> Tensor:
    return to_tensor(image)[:, :SIDE, :SIDE] * scale


OTHERS = {
    "lambdas": [
        lambda image: to_tensor(image)[:, :SIDE, :SIDE],
        lambda image: to_tensor(image)[:, :SIDE, -SIDE:],
        lambda image: to_tensor(image)[:, :SIDE, :SIDE] * 2,
    ],
    "closures": [scaled(1.0), scaled(2.0)],
    "partials": [functools.partial(shown, scale=1.0), functools.partial(shown, scale=2.0)],
    "inner functions": [
        lambda image: torch.stack([each + 1 for each in to_tensor(image)[:, :SIDE]]),
        lambda image: torch.stack([each + 2 for each in to_tensor(image)[:, :SIDE]]),
    ],
    "chains": [
        T.Compose([T.RandomCrop(SIDE), T.ToTensor()]),
        T.Compose([T.RandomCrop(SIDE, 2), T.ToTensor()]),
        T.Compose([T.CenterCrop(SIDE), T.Lambda(lambda x: to_tensor(x))]),
        T.Compose([T.CenterCrop(SIDE), T.Lambda(lambda x: 2 * to_tensor(x))]),
    ],
}


@pytest.mark.parametrize("kind", OTHERS)
def test_preprocessing_of_the_same_name_is_told_apart(kind, tmp_path):
    functions = OTHERS[kind]
    assert len({of_function(each) for each in functions}) == len(functions)
    net, out = net_of(functions[0]), tmp_path / "a.npy"
    extract(net, PICTURES, "conv", out=out)
    assert extraction(net_of(functions[0]), PICTURES, "conv", out=out).resumed == 8
    with pytest.raises(ValueError, match=r"was begun with preprocess 'CustomPreprocess\("):
        extract(net_of(functions[1]), PICTURES, "conv", out=out)


def test_the_same_function_is_the_same_in_the_next_program():
    code = "lambda image: image in {'left', 'right', 'over', 'under', 3} or (1.5, None, b'q')"
    first, second = (eval(compile("\n" * i + code, f"cell {i}", "eval")) for i in (0, 1))
    assert of_function(first) == of_function(second)
    # Sets of strings have another order in every program.
    script = f"from nbcnnviz.backend._embed_digest import of_function as f; print(f({code}))"
    assert _printed(script, "1") == _printed(script, "2") == of_function(first) + "\n"


def _printed(script: str, seed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=Path(backend.__file__).parents[2],
        env={**os.environ, "PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


# -- loaders and their order ----------------------------------------------------------------------


class Backwards(Sampler):
    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Any:
        return iter(range(self.count)[::-1])


class Sorted(SequentialSampler):
    """May be anything."""


def loader(data: Tensor, **options: Any) -> DataLoader:
    return DataLoader(Images(data), **options)


STEADY: dict[str, Callable[[Tensor], DataLoader]] = {
    "plain": lambda data: loader(data, batch_size=3),
    "without batches": lambda data: loader(data, batch_size=None),
    "batches in order": lambda data: loader(
        data, batch_sampler=BatchSampler(SequentialSampler(range(8)), 3, False)
    ),
}
UNSTEADY: dict[str, tuple[Callable[[Tensor], DataLoader], str]] = {
    "shuffled": (lambda data: loader(data, shuffle=True), "shuffles"),
    "subset": (
        lambda data: loader(data, sampler=SubsetRandomSampler(range(8))),
        "has a SubsetRandomSampler",
    ),
    "weighted": (
        lambda data: loader(data, sampler=WeightedRandomSampler([1.0] * 8, 8)),
        "has a WeightedRandomSampler",
    ),
    "own": (lambda data: loader(data, sampler=Backwards(8)), "has a Backwards"),
    "own, without batches": (
        lambda data: loader(data, sampler=Backwards(8), batch_size=None),
        "has a Backwards",
    ),
    "descendant": (lambda data: loader(data, sampler=Sorted(range(8))), "has a Sorted"),
    "batches at random": (
        lambda data: loader(data, batch_sampler=BatchSampler(RandomSampler(range(8)), 3, False)),
        "shuffles",
    ),
    "own batches": (
        lambda data: loader(data, batch_sampler=[[3, 1], [2, 5, 4]]),
        "has a list",
    ),
}


@pytest.mark.parametrize("case", STEADY)
def test_loaders_in_the_order_of_their_data_set_can_be_gone_on_with(case, tmp_path):
    net, data = net_of(), tensors(8)
    out, whole = tmp_path / "a.npy", extract(net, data, "conv")
    stopped = extraction(net, STEADY[case](data), "conv", 4, out=out, on_progress=lambda *a: True)
    assert not stopped.notes and len(stopped.features) == 4
    found = extraction(net, STEADY[case](data), "conv", 4, out=out)
    assert found.resumed == 4 and found.total == 8
    np.testing.assert_allclose(found.features, whole, atol=1e-6)


@pytest.mark.parametrize("case", UNSTEADY)
def test_loaders_in_an_order_of_their_own_cannot(case, tmp_path):
    net, data, (make, said) = net_of(), tensors(8), UNSTEADY[case]
    with pytest.raises(ValueError, match=r"the loader shuffles or has a sampler of its own"):
        extract(net, make(data), "conv", out=tmp_path / "a.npy")
    stopped = extraction(net, make(data), "conv", 2, on_progress=lambda *a: True)
    assert stopped.notes[0].startswith(f"The loader {said}: rows are in the order")
    with pytest.raises(ValueError, match=r"^resume: the loader shuffles or has"):
        extraction(net, make(data), "conv", resume=stopped)
    with pytest.raises(ValueError, match="is of other layers"):
        extraction(net, data, "fc", resume=stopped)


def test_batches_of_the_users_own():
    net, data = net_of(), tensors(8)
    batches = [[3, 1], [2, 5, 4]]
    found = extraction(net, loader(data, batch_sampler=batches), "conv")
    order = [i for batch in batches for i in batch]
    assert found.total == 5 and found.complete
    np.testing.assert_allclose(found.features, extract(net, data[order], "conv"), atol=1e-6)
    dropping = BatchSampler(SequentialSampler(range(8)), 3, drop_last=True)
    found = extraction(net, loader(data, batch_sampler=dropping), "conv")
    assert found.total == len(found.features) == 6
    assert found.notes == ("The loader drops its last 2 images (drop_last).",)


# -- pandas ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("labels", [list("hgfedcba"), [7, 6, 5, 4, 3, 2, 1, 0], [0] * 8])
def test_a_series_is_read_by_position(labels, tmp_path):
    net, files = net_of(), [str(tmp_path / f"{i}.png") for i in range(8)]
    for file, picture in zip(files, PICTURES, strict=True):
        picture.save(file)
    expected = extract(net, files, "conv")
    series = pd.Series(files, index=labels)
    np.testing.assert_array_equal(extract(net, series, "conv"), expected)
    table = pd.DataFrame({"path": files, "picture": PICTURES, "label": 3}, index=labels)
    np.testing.assert_allclose(extract(net, table["picture"], "conv"), expected, atol=1e-6)
    # Part of a table keeps the labels of the whole.
    some = table["path"].iloc[5:]
    np.testing.assert_allclose(extract(net, some, "conv"), expected[5:], atol=1e-6)
    seen = extraction(net, pd.Series([*files, "gone.png"]), "conv")
    assert [failure.name for failure in seen.failures] == ["gone.png"]
    with pytest.raises(TypeError, match=r"images: a DataFrame; give its column"):
        extract(net, table, "conv")
    ours = top_patches(net, table["path"], "conv", 2, k=3, reconstruct=None)
    theirs = top_patches(net, files, "conv", 2, k=3, reconstruct=None)
    assert [patch.index for patch in ours] == [patch.index for patch in theirs]
