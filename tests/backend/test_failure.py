"""What a network that fails half-way says: which layer, on what, and what to do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from models import Perceptron, make
from nets import same, snapshot
from torch import Tensor, nn
from torch.nn import functional as F

from nbcnnviz.backend import feature_maps, layer_stats
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.preprocess import Preprocess

X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Block(nn.Module):
    """Reads an attribute that is not there."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) + self.shift


class Late(nn.Module):
    """The convolution that is listed first comes second."""

    def __init__(self) -> None:
        super().__init__()
        self.second = nn.Conv2d(8, 4, 3)
        self.first = nn.Conv2d(1, 8, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.first(x))


class Halves(nn.Module):
    """Fits even sizes only."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)[:, :, 1:]
        return torch.cat([x, F.interpolate(F.max_pool2d(x, 2), scale_factor=2)], 1)


class Two(nn.Module):
    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return x * mask


class Oddity(Exception):
    """An exception of the user's own."""


class Full(RuntimeError):
    """So is this one, though it is a RuntimeError."""


class Raises(nn.Module):
    def __init__(self, make: Callable[[], Exception]) -> None:
        super().__init__()
        self.conv, self.make = nn.Conv2d(4, 4, 3), make

    def forward(self, x: Tensor) -> Tensor:
        raise self.make()


def after(module: nn.Module) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Sequential(nn.ReLU(), module))


RUNS: dict[str, Callable[[Network], Any]] = {
    "layers": lambda net: net.layers(X),
    "predict": lambda net: net.predict(X),
    "stats": lambda net: layer_stats(net, X),
    "maps": lambda net: feature_maps(net, X, "1.1"),
}

BROKEN: dict[str, tuple[nn.Module, type[Exception], str]] = {
    "channels": (
        nn.Conv2d(16, 4, 3),
        RuntimeError,
        r"its layer '1\.1' \(Conv2d\) failed on 1 x 4 x 14 x 14: .*to have 16 channels",
    ),
    "norm": (nn.BatchNorm2d(7), RuntimeError, r"'1\.1' \(BatchNorm2d\) failed on 1 x 4 x 14 x 14"),
    "linear": (nn.Linear(9, 2), RuntimeError, r"'1\.1' \(Linear\) .*cannot be multiplied"),
    "attribute": (Block(), AttributeError, r"'1\.1' \(Block\) .*has no attribute 'shift'"),
    "argument": (Two(), TypeError, r"'1\.1' \(Two\) failed on 1 x 4 x 14 x 14: .*'mask'"),
    "silent": (Raises(AssertionError), AssertionError, "14 x 14: AssertionError$"),
    "value": (Raises(lambda: ValueError("too red.")), ValueError, "14 x 14: too red$"),
}


@pytest.mark.parametrize("run", list(RUNS))
@pytest.mark.parametrize("name", list(BROKEN))
def test_the_layer_and_what_reached_it_are_named(name: str, run: str) -> None:
    module, kind, message = BROKEN[name]
    model = after(module)
    before = snapshot(model)
    with pytest.raises(kind, match=f"^net: .*{message}") as caught:
        RUNS[run](Network(model))
    assert type(caught.value) is type(caught.value.__cause__) is kind
    assert same(snapshot(model), before)


@pytest.mark.parametrize("make", [lambda: Oddity(3), lambda: Full("no room")])
@pytest.mark.parametrize("run", list(RUNS))
def test_exceptions_of_the_users_own_come_as_they_are(
    run: str, make: Callable[[], Exception]
) -> None:
    with pytest.raises(type(make())) as caught:
        RUNS[run](Network(after(Raises(make))))
    assert caught.value.args == make().args and caught.value.__cause__ is None
    if sys.version_info >= (3, 11):
        (note,) = caught.value.__notes__
        assert note == "net: its layer '1.1' (Raises) failed on 1 x 4 x 14 x 14"


def test_functions_of_the_network_itself_are_its_own_forward() -> None:
    net = Network(Halves(), Preprocess(size=(16, 16)))
    with pytest.raises(
        RuntimeError, match=r"^net: its own forward \(Halves\) failed on 1 x 3 x 16"
    ):
        net.layers()


GUESSED: dict[str, tuple[nn.Module, str]] = {
    "channels": (
        Late(),
        r"'first' \(Conv2d\) failed on 1 x 8 x 224 x 224: .*8 channels were only guessed\. Give "
        r".*Preprocess\(size=\(224, 224\), channels=1\)\)$",
    ),
    "size": (
        Halves(),
        r"its own forward .*Inputs may need another size: 224 x 224 was only guessed\. Give "
        r".*Preprocess\(size=\(height, width\)\)\)$",
    ),
    "small": (nn.Sequential(nn.Conv2d(3, 4, 300)), r"'0' .*224 x 224 was only guessed"),
}


@pytest.mark.parametrize("name", list(GUESSED))
def test_a_wrong_guess_is_owned_up_to(name: str) -> None:
    model, message = GUESSED[name]
    for run in (Network.layers, lambda net: net.logits(net.blank())):
        with pytest.raises(ValueError, match=f"^net: .*{message}") as caught:
            run(Network(model))
        assert type(caught.value.__cause__) is RuntimeError


def test_a_guess_is_not_blamed_for_what_no_input_could_mend() -> None:
    wrong = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(5, 4, 3))
    mixed = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3).double())
    for model in (wrong, mixed):
        with pytest.raises(RuntimeError, match=r"^net: its layer '1'") as caught:
            Network(model).layers()
        assert "guessed" not in str(caught.value)


FLAT: dict[str, tuple[nn.Module, bool]] = {
    "perceptron": (nn.Sequential(nn.Flatten(), nn.Linear(784, 10)), True),
    "sound": (nn.Sequential(nn.Conv1d(1, 4, 3)), False),
    "words": (nn.Sequential(nn.Embedding(10, 4)), False),
}


@pytest.mark.parametrize("name", list(FLAT))
def test_a_network_without_convolutions_has_no_maps(name: str) -> None:
    model, guess = FLAT[name]
    with pytest.raises(
        ValueError, match=r"^net: it has no 2-D convolutions, so there are no maps"
    ) as caught:
        Network(model).layers()
    assert ("was only guessed" in str(caught.value)) is guess
    with pytest.raises(ValueError, match="none of its layers puts out maps"):
        Network(Perceptron()).layers(X)


def test_errors_from_elsewhere_are_none_of_the_networks() -> None:
    error = RuntimeError("mine")

    def use() -> None:
        with Network(make("in place")).evaluating() as body:
            body(X)
            raise error

    with pytest.raises(RuntimeError) as caught:
        use()
    assert caught.value is error and error.__cause__ is None
