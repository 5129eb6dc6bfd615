"""Looking at a model while another thread trains it disturbs neither."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nbcnnviz import backend
from nbcnnviz.backend import doctor, incremental
from nbcnnviz.backend.incremental import NotExportable
from nbcnnviz.backend.network import Network

STEPS = 100


class Small(nn.Module):
    """BatchNorm and dropout: training draws from the global random state at each step."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(8, 8, 3, padding=1)
        self.fc = nn.Linear(8, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv1(x)))
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(F.dropout(x.mean((2, 3)), 0.3, self.training))


def train(model: nn.Module, losses: list[float], each: Callable[[], Any] = lambda: None) -> None:
    """100 steps on random pictures, as any user would."""
    optimiser = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    model.train()
    for _ in range(STEPS):
        x, y = torch.randn(8, 3, 12, 12), torch.randint(0, 4, (8,))
        loss = F.cross_entropy(model(x), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
        each()


def fresh() -> Small:
    torch.manual_seed(5)
    return Small()


@pytest.fixture(autouse=True)
def _own_random_state() -> Any:
    with torch.random.fork_rng(devices=[]):
        yield


def look_once(net: Network, image: Tensor) -> None:
    net.__dict__.pop("_trace_cache", None)
    names = [layer.name for layer in net.layers(image) if layer.spatial]
    maps = backend.record(net, image, names)
    for name in names:
        # Of our single image, never one of the training batch of eight.
        assert maps[name].dim() == 3
    doctor.examine(net, image)
    net.predict(image)


def take_apart(net: Network, image: Tensor) -> None:
    """torch.export in the middle of training; weights that change under it are refused."""
    net.__dict__.pop("_export_cache", None)
    with contextlib.suppress(NotExportable):
        incremental.build(net, image)
    backend.occlusion_sweep(net, image, 6, 6)


@pytest.mark.parametrize("looking", [look_once, take_apart])
@pytest.mark.parametrize("trainer", ["main", "other"])
def test_losses_are_equal_to_the_last_bit(
    trainer: str, looking: Callable[[Network, Tensor], None]
) -> None:
    expected: list[float] = []
    alone = fresh()
    train(alone, expected)

    model, losses = fresh(), []
    net, image = Network(model), torch.rand(1, 3, 12, 12, generator=torch.Generator())
    done, turns, problems = threading.Event(), [], []

    def look() -> None:
        try:
            while not done.is_set():
                looking(net, image)
                turns.append(1)
        except Exception as error:
            problems.append(error)

    def work() -> None:
        try:
            train(model, losses)
        finally:
            done.set()

    there, here = (look, work) if trainer == "main" else (work, look)
    thread = threading.Thread(target=there)
    thread.start()
    here()
    thread.join()
    assert not problems and len(turns) >= 1
    assert losses == expected
    for key, value in alone.state_dict().items():
        assert torch.equal(model.state_dict()[key], value), key
    assert all(module.training for module in model.modules())


def test_what_is_captured_is_of_our_image_alone() -> None:
    """Weights that do not change: the maps are the same whatever the other thread feeds."""
    torch.manual_seed(1)
    model = Small()
    net, image = Network(model), torch.rand(1, 3, 12, 12)
    names = [layer.name for layer in net.layers(image) if layer.spatial]
    expected = dict(backend.record(net, image, names))
    done = threading.Event()

    def feed() -> None:
        x = torch.randn(1, 3, 12, 12)
        with torch.no_grad():
            while not done.is_set():
                model.eval()(x)  # evaluation mode: BatchNorm's statistics stay

    thread = threading.Thread(target=feed)
    thread.start()
    try:
        for _ in range(30):
            maps = dict(backend.record(net, image, names))
            assert all(torch.equal(maps[name], expected[name]) for name in names)
    finally:
        done.set()
        thread.join()


def test_taking_a_network_apart_leaves_the_backends_on() -> None:
    """torch.export would switch them off for every thread, and with them the rounding."""
    flags: set[bool] = set()
    done = threading.Event()

    def watch() -> None:
        while not done.is_set():
            flags.add(torch.backends.mkldnn.enabled and torch.backends.cudnn.enabled)

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        incremental.build(Network(Small()), torch.rand(1, 3, 12, 12))
    finally:
        done.set()
        thread.join()
    assert flags == {True}


def test_two_threads_that_look_take_turns() -> None:
    torch.manual_seed(2)
    net = Network(Small())
    images = [torch.rand(1, 3, 12, 12), torch.rand(1, 3, 12, 12) * 2]
    names = ["conv1", "relu", "/relu#1"]
    expected = [dict(backend.record(net, image, names)) for image in images]
    problems: list[Any] = []

    def look(which: int) -> None:
        try:
            for _ in range(20):
                maps = dict(backend.record(net, images[which], names))
                assert all(torch.equal(maps[n], expected[which][n]) for n in names)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=look, args=(i % 2,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not problems
