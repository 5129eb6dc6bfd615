"""In which order images come."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from nets import photo, tiny
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

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend.embedding import extract, extraction
from nbcnnviz.backend.patches import top_patches

SIDE = 12
PICTURES = [photo(20 + i, 30) for i in range(8)]


def net_of(preprocess: Any = None) -> nv.Network:
    return nv.Network(tiny(3), preprocess=preprocess or backend.Preprocess((SIDE, SIDE)))


def tensors(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


class Images(Dataset):
    """Each through `change`, as data sets augment."""

    def __init__(self, images: Any, change: Callable[[Any], Any] = lambda image: image) -> None:
        self.images, self.change = images, change

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Any:
        return self.change(self.images[index]), index


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
