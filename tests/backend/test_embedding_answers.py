"""What the network answers to each image, and runs that go on in memory, against whole ones."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from nets import tiny
from torch import Tensor, nn

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._embed_read import ANSWER
from nbcnnviz.backend.embedding import extract, extraction

SIDE = 12


def net_of(model: nn.Module | None = None) -> nv.Network:
    return nv.Network(model or tiny(3), preprocess=backend.Preprocess((SIDE, SIDE)))


def tensors(count: int, seed: int = 0) -> Tensor:
    return torch.randn(count, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(seed))


class Scores(nn.Module):
    """Puts out a given number of scores, or what `form` makes of them."""

    def __init__(self, count: int, form: str = "logits") -> None:
        super().__init__()
        self.conv, self.fc, self.form = nn.Conv2d(3, 4, 3), nn.Linear(4, count), form

    def forward(self, x: Tensor) -> Any:
        maps = self.conv(x)
        scores = self.fc(maps.mean((2, 3)))
        forms = {"softmax": scores.softmax(1), "dict": {"logits": scores}, "maps": maps}
        return forms.get(self.form, scores)


class Watched:
    """A list that notes what it is asked for."""

    def __init__(self, items: list[Any], looked: list[int]) -> None:
        self.items, self.looked = items, looked

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        self.looked.append(index)
        return self.items[index]


@pytest.mark.parametrize("form", ["logits", "softmax", "dict"])
@pytest.mark.parametrize("count", [1, 2, 7])
def test_answers_are_the_predictions_of_the_same_pass(form, count):
    net = net_of(Scores(count, form))
    images = tensors(11)
    found = extraction(net, images, ["conv", ANSWER], batch_size=4)
    best = [net.predict(image, k=1)[0] for image in images]
    assert found.layers[ANSWER][:, 0].tolist() == [p.index for p in best]
    np.testing.assert_allclose(found.layers[ANSWER][:, 1], [p.probability for p in best], rtol=1e-5)
    np.testing.assert_array_equal(found.features, extract(net, images, "conv", 4))
    assert extract(net, images, ANSWER).shape == (11, 2)


def test_without_scores_there_are_no_answers():
    found = extraction(net_of(Scores(3, "maps")), tensors(5), ["conv", ANSWER])
    assert np.isnan(found.layers[ANSWER]).all() and np.isfinite(found.features).all()


@pytest.mark.parametrize("size", [1, 3, 4, 11, 12])
def test_a_stopped_run_goes_on_in_memory(size):
    net, images = net_of(), [*tensors(9), "missing.png", *tensors(3, 1)]
    looked = []
    source = Watched(images, looked)
    first = extraction(net, source, "fc", size, on_progress=lambda done, total: True)
    done = len(first.features)
    assert done == size and not first.complete
    whole = extraction(net, images, "fc", size)
    seen = len(looked)
    second = extraction(net, source, "fc", size, resume=first)
    assert second.complete and second.resumed == done and min(looked[seen:]) == done
    np.testing.assert_array_equal(second.features, whole.features)
    assert [f.index for f in second.failures] == [f.index for f in whole.failures] == [9]


def test_going_on_with_something_else_is_refused(tmp_path):
    net, images = net_of(), tensors(40)
    first = extraction(net, images, "conv", 4, on_progress=lambda done, total: True)
    with pytest.raises(ValueError, match=r"resume: .* of other layers"):
        extraction(net, images, "fc", resume=first)
    with pytest.raises(ValueError, match="resume: of no use with `out`"):
        extraction(net, images, "conv", resume=first, out=tmp_path / "a.npy")
