"""SmoothGrad and integrated gradients: sums over many passes, in batches, stopped halfway."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest
import references
import torch
from attribution_nets import by_hand, net_of
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import globals_now, photo, same
from torch import Tensor, nn
from torch.nn import functional as F

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _attr_pass, _attr_pixels
from nbcnnviz.backend.attribution import attribute
from nbcnnviz.backend.network import Network


@pytest.fixture
def net() -> Network:
    return net_of(labels=[f"thing {i}" for i in range(12)])


@pytest.fixture
def x(net) -> Tensor:
    return net.prepare(photo(40, 40))


def test_smoothgrad_without_noise_is_the_gradient(net, x):
    found = attribute(net, x, "smoothgrad", 3, noise=0, samples=3)
    torch.testing.assert_close(found.values, by_hand(net, x), rtol=1e-4, atol=1e-6)


def test_smoothgrad_draws_from_a_generator_of_its_own(net, x):
    before = globals_now()
    one, two = (attribute(net, x, "smoothgrad", 3, samples=3) for _ in range(2))
    assert torch.equal(one.values, two.values) and same(globals_now(), before)
    seeds = [torch.Generator().manual_seed(s) for s in (5, 5, 6)]
    three = [attribute(net, x, "smoothgrad", 3, samples=3, generator=g).values for g in seeds]
    assert torch.equal(three[0], three[1]) and not torch.equal(three[0], three[2])


def batches_of(size: int, side: int = 32) -> dict[str, int]:
    return {"cpu": size * side * side, "cuda": 1}


SAMPLED = pytest.mark.parametrize(
    ("method", "option"), [("smoothgrad", "samples"), ("integrated_gradients", "steps")]
)


@SAMPLED
def test_batches_of_any_size_give_the_same(net, x, method, option, monkeypatch):
    doubled = nv.Network(copy.deepcopy(net.model).double(), net.preprocess)
    whole = attribute(doubled, x, method, 3, **{option: 7})
    for size in (1, 3, 7):
        monkeypatch.setattr(_attr_pass, "_PIXELS", batches_of(size))
        found = attribute(doubled, x, method, 3, **{option: 7})
        torch.testing.assert_close(whole.values, found.values, rtol=1e-6, atol=1e-9)


@SAMPLED
def test_memory_that_does_not_suffice_halves_the_batch(net, x, method, option, monkeypatch):
    whole = attribute(net, x, method, 3, **{option: 9})
    monkeypatch.setattr(_attr_pass, "_PIXELS", batches_of(4))
    forward, sizes = _attr_pass.forward, []

    def small(net: Network, batch: Tensor, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("graph", True):
            sizes.append(len(batch))
        if len(batch) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. (faked)")
        return forward(net, batch, *args, **kwargs)

    monkeypatch.setattr("nbcnnviz.backend._attr_question.forward", small)
    found = attribute(net, x, method, 3, **{option: 9})
    assert sizes == [4, 2, 2, 2, 2, 1]
    torch.testing.assert_close(found.values, whole.values, rtol=1e-3, atol=1e-5)


@SAMPLED
def test_a_stop_keeps_the_best_so_far(net, x, method, option, monkeypatch):
    told = []

    monkeypatch.setattr(_attr_pass, "_PIXELS", batches_of(3))

    def progress(done: int, total: int) -> bool:
        told.append((done, total))
        return done >= 8

    found = attribute(net, x, method, 3, on_progress=progress, **{option: 40})
    assert told == [(3, 40), (6, 40), (9, 40)] and found.done == 9 and not found.complete
    assert f"{found.done} of 40 done" in repr(found)
    whole = attribute(net, x, method, 3, **{option: 40})
    assert whole.complete
    cosine = F.cosine_similarity(found.values.flatten(), whole.values.flatten(), dim=0)
    assert cosine > 0.7


@given(steps=st.integers(1, 70))
def test_any_first_part_of_the_steps_covers_the_whole(steps):
    places, weights = _attr_pixels._gauss_legendre(steps)
    nodes, halves = np.polynomial.legendre.leggauss(steps)
    order = np.argsort(places)
    assert np.allclose(places[order], (nodes + 1) / 2) and np.allclose(weights[order], halves / 2)
    assert weights.sum() == pytest.approx(1)
    assert abs(places[0] - 0.5) < 0.8 / steps
    for count in range(3, steps):
        assert places[:count].min() < 0.5 < places[:count].max()
        assert abs(places[:count].mean() - 0.5) < 0.2


def test_methods_of_one_pass_report_it(net, x):
    told = []
    attribute(net, x, "gradcam", 3, on_progress=lambda done, total: told.append((done, total)))
    assert told == [(1, 1)]


class Squeezing(nn.Module):
    """Takes one image at a time."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 5, 3)
        self.how = how

    def forward(self, x: Tensor) -> Tensor:
        maps = self.conv(x).relu()
        if self.how == "view":
            return maps.view(5, -1).mean(1)[None]
        return maps.mean((2, 3)) - maps.mean()


@pytest.mark.parametrize(
    ("how", "why"), [("view", "takes no batches|one row"), ("mix", "depend on what else")]
)
def test_networks_that_do_not_keep_images_apart(how, why):
    net = net_of(Squeezing(how), 12)
    x = torch.randn(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    found = attribute(net, x, "smoothgrad", 3, samples=5)
    assert len(found.notes) == 1 and "One sample at a time" in found.notes[0]
    batch = [
        x + 0.15 * (x.max() - x.min()) * references._normal(x, s)
        for s in references._seeds(None, 5)
    ]
    wanted = torch.stack([by_hand(net, each) for each in batch]).mean(0)
    torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-6)


def test_integrated_gradients_add_up(net, x):
    found = attribute(net, x, "integrated_gradients", 3, steps=200)
    difference = net.logits(x)[0, 3] - net.logits(torch.zeros_like(x))[0, 3]
    assert found.completeness.difference == pytest.approx(float(difference), rel=1e-4)
    assert found.completeness.attributed == pytest.approx(float(found.values.sum()), rel=1e-3)
    assert found.completeness.error < 0.02 and not found.notes
    few = attribute(net, x, "integrated_gradients", 3, steps=1)
    assert few.completeness.error > 0.05 and "more steps" in few.notes[0]


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), steps=st.integers(1, 9))
def test_of_a_linear_network_all_gradient_methods_are_known(seed, steps):
    generator = torch.Generator().manual_seed(seed)
    linear = nn.Linear(27, 4)
    with torch.no_grad():
        linear.weight.copy_(torch.randn(4, 27, generator=generator))
    net = net_of(nn.Sequential(nn.Conv2d(3, 3, 1, bias=False), nn.Flatten(), linear), 3)
    with torch.no_grad():
        net.model[0].weight.copy_(torch.eye(3)[:, :, None, None])
    x = torch.randn(3, 3, 3, generator=generator)
    weights = linear.weight[2].detach().reshape(3, 3, 3)
    for method, wanted, options in [
        ("gradient", weights, {}),
        ("smoothgrad", weights, {"samples": steps}),
        ("input_x_gradient", weights * x, {}),
        ("integrated_gradients", weights * x, {"steps": steps}),
        ("guided_backprop", weights, {}),
    ]:
        found = attribute(net, x, method, 2, **options)
        torch.testing.assert_close(found.values, wanted, rtol=1e-4, atol=1e-5)
    assert found.notes == ("The network called no ReLU: this is its ordinary gradient.",)


def test_another_baseline(net, x):
    found = attribute(net, x, "integrated_gradients", 3, steps=100, baseline="black")
    black = backend.filled(net, x, "black")
    difference = float(net.logits(x)[0, 3] - net.logits(black)[0, 3])
    assert found.completeness.difference == pytest.approx(difference, rel=1e-4)
    assert found.completeness.error < 0.05
