"""Pooling calls of networks: found, read, changed; against PyTorch with its functions spied on."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import torch
from models import make
from nets import same, snapshot
from torch import Tensor, nn
from torch.nn import functional as F
from zoo import random_model, seeded

import nbcnnviz as nv
from nbcnnviz.backend import _pool_replace
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.pooling import (
    PoolingLayer,
    pool,
    pool_at,
    pool_input,
    pooling_layers,
    replace_pooling,
)

ARCHITECTURES = (
    "resnet18 vgg11 googlenet squeezenet1_1 densenet121 mobilenet_v2 inception_v3 alexnet "
    "shufflenet_v2_x0_5 convnext_tiny"
).split()
SIDE = {"inception_v3": 139}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def network(request: Any) -> tuple[Network, Tensor]:
    """A network and an image for it."""
    side = SIDE.get(request.param, 96)
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 3, side, side, generator=generator)
    return Network(random_model(request.param)), x


# -- PyTorch's functions spied on: what they are really called with -------------------------------

SPIED = ("max_pool2d", "avg_pool2d", "lp_pool2d", "adaptive_avg_pool2d", "adaptive_max_pool2d")
AVERAGE = "input kernel_size stride padding ceil_mode count_include_pad divisor_override".split()
SIGNATURES = {
    "max_pool2d": list(inspect.signature(F.max_pool2d_with_indices).parameters),
    "avg_pool2d": AVERAGE,
    "lp_pool2d": list(inspect.signature(F.lp_pool2d).parameters),
    "adaptive_avg_pool2d": ["input", "output_size"],
    "adaptive_max_pool2d": ["input", "output_size", "return_indices"],
    "mean": ["input", "dim", "keepdim"],
}


@contextmanager
def spied(act: Callable[[int, str, dict[str, Any], Any], Any]) -> Iterator[None]:
    """`act(number, function, arguments, result)` returns what the call is to return."""
    count = 0

    def spy(name: str, real: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal count
            given = dict(zip(SIGNATURES[name], args, strict=False)) | kwargs
            if name == "mean" and sorted(d % 4 for d in given["dim"]) != [2, 3]:
                return real(*args, **kwargs)
            given["input"] = given["input"].clone()
            result = real(*args, **kwargs)
            count += 1
            return act(count - 1, name, given, result)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in SPIED:
            patch.setattr(F, name, spy(name, getattr(F, name)))
        patch.setattr(Tensor, "mean", spy("mean", Tensor.mean))
        yield


def calls_of(model: nn.Module, x: Tensor) -> list[tuple[str, dict[str, Any], Tensor]]:
    heard: list[tuple[str, dict[str, Any], Tensor]] = []

    def keep(number: int, name: str, given: dict[str, Any], result: Any) -> Any:
        heard.append((name, given, result.clone()))
        return result

    with spied(keep), torch.no_grad():
        model(x.clone())
    return heard


def instead(model: nn.Module, x: Tensor, wanted: int, other: Callable[[Tensor], Tensor]) -> Tensor:
    """The scores when the wanted call returns something else."""

    def change(number: int, name: str, given: dict[str, Any], result: Any) -> Any:
        return other(given["input"]) if number == wanted else result

    with spied(change), torch.no_grad():
        return model(x.clone())[0]


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)


def expected_of(name: str, given: dict[str, Any], out: Tensor) -> dict[str, Any]:
    size = tuple(given["input"].shape[2:])
    if name == "mean":
        return {"op": "global_avg", "window": size}
    if name.startswith("adaptive"):
        whole = tuple(out.shape[2:]) == (1, 1)
        return {"op": f"{'global' if whole else 'adaptive'}_{name[9:12]}"}
    window = pair(given["kernel_size"])
    stride = given.get("stride")
    return {
        "op": name[:3],
        "window": window,
        "stride": window if stride is None else pair(stride),
        "padding": pair(given.get("padding", 0)),
        "dilation": pair(given.get("dilation", 1)),
        "ceil_mode": given.get("ceil_mode", False),
        "count_include_pad": given.get("count_include_pad", True),
    }


def test_pooling_layers_are_the_calls_that_pytorch_gets(network):
    net, x = network
    heard = calls_of(net.model, x)
    found = pooling_layers(net, x)
    assert len(found) == len(heard) > 0
    known = {layer.name: layer for layer in net.layers(x)}
    for one, (function, given, out) in zip(found, heard, strict=True):
        for key, value in expected_of(function, given, out).items():
            assert getattr(one, key) == value, (one.layer.name, key)
        assert one.shape == tuple(given["input"].shape[1:])
        assert one.layer == known[one.layer.name] and one.layer.kind == "pool"
        assert one.layer.shape[: out.ndim - 1] == tuple(out.shape[1:])
        maps = pool_input(net, x, one.layer)
        assert torch.equal(maps, given["input"][0])


def test_another_pooling_in_the_place_of_each_call(network):
    """The same as with PyTorch's function replaced for that call, to the last bit."""
    net, x = network
    found = pooling_layers(net, x)
    before = net.logits(x)[0]
    for number, one in list(enumerate(found))[:: max(len(found) // 3, 1)]:
        if one.op == "adaptive_avg":  # before a classifier of 4096 and more inputs
            with pytest.raises(ValueError, match="numbers and would get"):
                replace_pooling(net, x, one.layer, "global_max")
            continue
        op = "global_max" if one.whole else "avg" if one.op == "max" else "max"

        def other(maps: Tensor, op: str = op, one: PoolingLayer = one) -> Tensor:
            if op == "global_max":
                values = F.adaptive_max_pool2d(maps, 1)
                return values if one.layer.spatial else values.flatten(1)
            function = F.avg_pool2d if op == "avg" else F.max_pool2d
            return function(maps, one.window, one.stride, one.padding, ceil_mode=one.ceil_mode)

        made = replace_pooling(net, x, one.layer, op)
        assert torch.equal(made, instead(net.model, x, number, other))
        assert not torch.equal(made, before)
        same_again = {"padding": one.padding, "window": one.window, "stride": one.stride}
        again = replace_pooling(net, x, one.layer, **({} if one.whole else same_again))
        assert torch.equal(again, before)


@pytest.mark.parametrize("name", ["demo", "digits"])
def test_the_networks_that_come_along(name):
    net = getattr(Network, name)()
    image = nv.sample_image("digit" if name == "digits" else "cat")
    found = pooling_layers(net, image)
    last = found[-1]
    assert last.op == "global_avg" and len(found) == {"demo": 1, "digits": 3}[name]
    changed = replace_pooling(net, image, last.layer, "global_max")
    model = copy.deepcopy(net.model).eval()
    if name == "digits":
        model.gap = nn.AdaptiveMaxPool2d(1)
    else:
        model.global_pool = nn.Sequential(nn.AdaptiveMaxPool2d(1), nn.Flatten())
    with torch.no_grad():
        assert torch.equal(changed, model(net.prepare(image))[0])
    again = replace_pooling(net, image, last.layer, "avg", last.window)
    torch.testing.assert_close(again, net.logits(net.prepare(image))[0])


# -- networks with an oddity each -----------------------------------------------------------------

X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


class Chain(nn.Module):
    """A convolution, some function, a linear layer."""

    def __init__(self, step: Callable[[Tensor], Tensor], features: int = 4) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.step = step
        self.fc = nn.Linear(features, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.step(self.conv(x)))


class Reused(nn.Module):
    """One pooling module, called three times with a convolution between."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.relu = nn.ReLU(inplace)
        self.fc = nn.Linear(16, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.pool(self.conv1(x)))
        x = self.relu(self.pool(self.conv2(x)))
        return self.fc(self.pool(x).flatten(1))


@pytest.mark.parametrize("inplace", [False, True])
@pytest.mark.parametrize("call", [1, 2, 3])
def test_of_a_reused_module_only_the_call_named_changes(call, inplace):
    model = seeded(lambda: Reused(inplace))
    net = Network(model)
    assert [one.layer.name for one in pooling_layers(net, X)] == ["pool", "pool#2", "pool#3"]
    name = "pool" if call == 1 else f"pool#{call}"
    made = replace_pooling(net, X, name, "l2", stride=2)
    assert torch.equal(made, instead(model, X, call - 1, lambda x: F.lp_pool2d(x, 2.0, 2)))
    assert not torch.equal(made, net.logits(X)[0])


def test_functions_of_a_lenet_one_by_one():
    net = Network(make("functional"))
    found = pooling_layers(net, X)
    assert [(one.layer.name, one.op, one.window) for one in found] == [
        ("/max_pool2d#1", "max", (2, 2)),
        ("/max_pool2d#2", "max", (2, 2)),
        ("/amax#1", "global_max", (1, 1)),
    ]
    for number, one in enumerate(found[:2]):
        made = replace_pooling(net, X, one, "avg")
        assert torch.equal(made, replace_pooling(net, X, one.layer, "avg"))
        assert torch.equal(made, replace_pooling(net, X, one.layer.name, "avg"))
        with_average = instead(net.model.eval(), X, number, lambda x: F.avg_pool2d(x, 2))
        assert torch.equal(made, with_average)


FORMS: dict[str, tuple[Callable[[Tensor], Tensor], str, str]] = {
    "mean": (lambda x: x.mean((2, 3)), "/mean#1", "global_avg"),
    "mean by keyword": (lambda x: torch.mean(x, dim=[-1, -2]), "/mean#1", "global_avg"),
    "mean kept": (lambda x: x.mean((2, 3), keepdim=True).flatten(1), "/mean#1", "global_avg"),
    "amax": (lambda x: x.amax((2, 3)), "/amax#1", "global_max"),
    "channels last": (lambda x: x.permute(0, 2, 3, 1).mean((1, 2)), "/mean#1", "global_avg"),
    "channels last kept": (
        lambda x: x.permute(0, 2, 3, 1).mean([1, 2], True).flatten(1),
        "/mean#1",
        "global_avg",
    ),
    "flattened": (lambda x: x.flatten(2).mean(2), "/mean#1", "global_avg"),
    "viewed": (lambda x: x.view(1, 4, -1).mean(-1), "/mean#1", "global_avg"),
    "viewed and kept": (
        lambda x: x.reshape(x.size(0), 4, -1).mean(dim=2, keepdim=True)[..., 0],
        "/mean#1",
        "global_avg",
    ),
    "adaptive": (lambda x: F.adaptive_avg_pool2d(x, (1, 1))[:, :, 0, 0], "", "global_avg"),
    "adaptive with indices": (
        lambda x: F.adaptive_max_pool2d(x, 1, return_indices=True)[0].flatten(1),
        "/adaptive_max_pool2d_with_indices#1",
        "global_max",
    ),
    "whole window": (lambda x: F.avg_pool2d(x, x.size(2)).view(1, -1), "/avg_pool2d#1", "avg"),
    "torch.max_pool2d": (lambda x: torch.max_pool2d(x, 16, [], 0).view(1, -1), "", "max"),
    "power": (lambda x: F.lp_pool2d(x, 2, x.shape[2:]).flatten(1), "/lp_pool2d#1", "l2"),
    "cube": (lambda x: F.lp_pool2d(x, 3.0, 16).flatten(1), "/lp_pool2d#1", "l3"),
}


@pytest.mark.parametrize("form", list(FORMS))
def test_ways_to_write_a_global_pool(form):
    step, name, op = FORMS[form]
    model = seeded(lambda: Chain(step))
    net = Network(model)
    (one,) = pooling_layers(net, X)
    assert (one.op, one.window, one.shape) == (op, (16, 16), (4, 16, 16))
    assert one.layer.name == (name or one.layer.name)
    maps = model.conv(X)
    assert torch.equal(pool_input(net, X, one.layer), maps[0])
    for other in ("global_max", "global_avg"):
        made = replace_pooling(net, X, one.layer, other)
        expected = model.fc(pool(maps, other).values.flatten(1))[0]
        if other == op:  # nothing changes, also not in the last bit
            expected = model(X)[0]
        assert torch.equal(made, expected)
    made = replace_pooling(net, X, one.layer, "l2", window=16)
    assert torch.equal(made, model.fc(F.lp_pool2d(maps, 2.0, 16).flatten(1))[0])


@pytest.mark.parametrize(
    "step",
    [
        lambda x: x.mean(1).flatten(1),
        lambda x: x.mean(2).flatten(1),
        lambda x: x.mean((1, 2, 3))[:, None],
        lambda x: x.flatten(1).mean(1, keepdim=True),
        lambda x: x.mean().view(1, 1),
        lambda x: x.amax(1).flatten(1),
        lambda x: x.flatten(2).transpose(1, 2).mean(2),
        lambda x: F.avg_pool1d(x.flatten(2), 2).flatten(1),
    ],
)
def test_what_does_not_pool_maps_is_not_listed(step):
    model = seeded(lambda: Chain(step))
    model.fc = nn.Identity()
    assert pooling_layers(Network(model), X) == []


def test_every_parameter_of_a_maximum():
    pooled = nn.MaxPool2d((3, 2), (2, 1), (1, 0), (2, 3), ceil_mode=True)
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), pooled, *average(4)))
    one = pooling_layers(Network(model), X)[0]
    assert (one.window, one.stride) == ((3, 2), (2, 1))
    assert (one.padding, one.dilation, one.ceil_mode) == ((1, 0), (2, 3), True)
    made = replace_pooling(Network(model), X, "1", stride=1)
    other = F.max_pool2d(model[0](X), (3, 2), 1, (1, 0), (2, 3), ceil_mode=True)
    assert torch.equal(made, model[2:](other)[0])


def average(features: int) -> tuple[nn.Module, ...]:
    return nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(features, 5)


@pytest.mark.parametrize(
    "arguments",
    [
        {"ceil_mode": True, "count_include_pad": False},
        {"divisor_override": 3},
        {"padding": 1, "count_include_pad": False},
    ],
)
def test_every_parameter_of_an_average(arguments):
    model = seeded(lambda: Chain(lambda x: F.avg_pool2d(x, 3, 2, **arguments).mean((2, 3))))
    net = Network(model)
    one = pooling_layers(net, X)[0]
    for key, value in arguments.items():
        assert getattr(one, key) == (pair(value) if key == "padding" else value)
    maps = model.conv(X)
    made = replace_pooling(net, X, one.layer, window=2)
    expected = F.avg_pool2d(maps, 2, 2, **arguments).mean((2, 3))
    assert torch.equal(made, model.fc(expected)[0])
    values = pool_at(net, X, one.layer, stride=1).values
    assert torch.equal(values, F.avg_pool2d(maps, 3, 1, **arguments)[0])


def test_what_the_call_does_counts_and_not_what_the_module_says():
    class Liar(nn.MaxPool2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(x, 3, 2, 1)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool = nn.Conv2d(3, 4, 3, padding=1), Liar(2)

        def forward(self, x: Tensor) -> Tensor:
            return self.pool(self.conv(x)).mean((2, 3))

    model = seeded(Model)
    net = Network(model)
    (one, _) = pooling_layers(net, X)
    assert (one.layer.name, one.window, one.stride, one.padding) == ("pool", (3, 3), (2, 2), (1, 1))
    made = replace_pooling(net, X, "pool", "avg")
    assert torch.equal(made, F.avg_pool2d(model.conv(X), 3, 2, 1).mean((2, 3))[0])


def test_parameters_changed_after_a_first_look_are_the_new_ones():
    model = seeded(Reused)
    net = Network(model)
    assert pooling_layers(net, X)[0].stride == (2, 2)
    assert pool_at(net, X, "pool").values.shape == (4, 8, 8)
    model.pool.stride, model.fc = 1, nn.Linear(4 * 13 * 13, 5)
    assert pool_at(net, X, "pool").values.shape == (4, 15, 15)
    made = replace_pooling(net, X, "pool", "avg")
    assert torch.equal(made, instead(model, X, 0, lambda x: F.avg_pool2d(x, 2, 1)))
    assert pooling_layers(net, X)[0].stride == (1, 1)


class Fork(nn.Module):
    """Pools bright images and dark ones differently, after a step in place."""

    class Either(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.max_pool2d(x, 2) if x.mean() > 0 else F.avg_pool2d(x, 4)

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.MaxPool2d(2), nn.AvgPool2d(2), self.Either()
        self.fc = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mul_(2)
        return self.fc(self.c((self.a if x.mean() > 0 else self.b)(x)).mean((2, 3)))


def test_a_network_that_takes_another_way_for_another_image():
    bright, dark = X.abs(), -X.abs()

    def seen() -> Network:
        net = Network(seeded(Fork))
        replace_pooling(net, bright, "a", "avg")
        return net

    assert torch.equal(pool_input(seen(), dark, "b"), 2 * dark[0])
    # The same layer, another function: found anew, and with the image as it was.
    pooled = F.avg_pool2d(2 * dark, 2)
    assert torch.equal(pool_input(seen(), dark, "c"), pooled[0])
    net = seen()
    made = replace_pooling(net, dark, "c", "max")
    expected = net.model.fc(F.max_pool2d(pooled, 4).mean((2, 3)))[0]
    assert torch.equal(made, expected)
    with pytest.raises(ValueError, match="layer='a': there is no such layer"):
        pool_input(seen(), dark, "a")


def test_a_network_that_pools_every_other_time():
    class Moody(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv, self.pool, self.runs = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), RUNS

        def forward(self, x: Tensor) -> Tensor:
            RUNS.append(1)
            x = self.conv(x)
            return (self.pool(x) if len(RUNS) % 2 else x).mean((2, 3))

    net = Network(seeded(Moody))
    RUNS.clear()
    with pytest.raises(ValueError, match="layer='pool': the network does not call it every time"):
        pool_input(net, X, "pool")


RUNS: list[int] = []


class Unpooling(nn.Module):
    """The indices of one pool put its values back."""

    def __init__(self, use: bool = True) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(2, return_indices=True)
        self.unpool = nn.MaxUnpool2d(2)
        self.use = use

    def forward(self, x: Tensor) -> Tensor:
        x, indices = self.pool(self.conv(x))
        return (self.unpool(x, indices) if self.use else x).mean((2, 3))


def test_indices_go_on_to_who_needs_them():
    model = seeded(Unpooling)
    net = Network(model)
    made = replace_pooling(net, X, "pool", "max", window=1, stride=2)
    maps = model.conv(X)
    values, indices = F.max_pool2d(maps, 1, 2, return_indices=True)
    assert torch.equal(made, F.max_unpool2d(values, indices, 2).mean((2, 3))[0])
    with pytest.raises(ValueError, match="'unpool' cannot put maxima back after 'pool' pools"):
        replace_pooling(net, X, "pool", "avg")
    # Nobody looks at them here.
    model = seeded(lambda: Unpooling(use=False))
    made = replace_pooling(Network(model), X, "pool", "avg")
    assert torch.equal(made, F.avg_pool2d(model.conv(X), 2).mean((2, 3))[0])


# -- parameters -----------------------------------------------------------------------------------


def test_what_is_not_given_is_as_the_network_has_it():
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.MaxPool2d(3, 2, 1, dilation=1, ceil_mode=True),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
        )
    )
    net, maps = Network(model), model[0](X)[0]

    def at(layer: str = "1", op: str | None = None, **changes: Any) -> Tensor:
        return pool_at(net, X, layer, op, **changes).values

    assert torch.equal(at(), F.max_pool2d(maps, 3, 2, 1, ceil_mode=True))
    assert torch.equal(at(op="avg"), F.avg_pool2d(maps, 3, 2, 1, ceil_mode=True))
    assert torch.equal(at(window=2), F.max_pool2d(maps, 2, 2, 1, ceil_mode=True))
    assert torch.equal(at(ceil_mode=False), F.max_pool2d(maps, 3, 2, 1))
    assert torch.equal(at(padding=0, dilation=2), F.max_pool2d(maps, 3, 2, 0, 2, True))
    assert torch.equal(at(op="global_max"), F.adaptive_max_pool2d(maps, 1))
    pooled = F.max_pool2d(maps, 3, 2, 1, ceil_mode=True)
    # A layer without windows: the map is one, a new window moves by its own size.
    assert torch.equal(at("2"), F.adaptive_avg_pool2d(pooled, 1))
    assert torch.equal(at("2", "max"), F.adaptive_max_pool2d(pooled, 1))
    assert torch.equal(at("2", "max", window=3), F.max_pool2d(pooled, 3))
    assert torch.equal(at("2", "max", window=3, stride=1), F.max_pool2d(pooled, 3, 1))
    # A layer that does not pool: what comes out of it.
    assert torch.equal(at("0"), F.max_pool2d(maps, 2))
    assert torch.equal(at("0", "avg", window=(2, 3)), F.avg_pool2d(maps, (2, 3)))
    indices = pool_at(net, X, "0").indices
    assert torch.equal(indices, F.max_pool2d(maps, 2, return_indices=True)[1])


def test_adaptive_pools_of_several_values():
    model = seeded(
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1),
            nn.AdaptiveAvgPool2d((8, 4)),
            nn.AdaptiveMaxPool2d((3, 3)),
            nn.Flatten(),
        )
    )
    net = Network(model)
    even, uneven = pooling_layers(net, X)
    assert (even.op, even.window, even.output) == ("adaptive_avg", (2, 4), (8, 4))
    assert (uneven.op, uneven.window, uneven.output) == ("adaptive_max", None, (3, 3))
    maps = model[0](X)[0]
    assert torch.equal(pool_at(net, X, "1").values, F.adaptive_avg_pool2d(maps, (8, 4)))
    torch.testing.assert_close(
        pool_at(net, X, "1", "avg").values, F.adaptive_avg_pool2d(maps, (8, 4))
    )
    inner = F.adaptive_avg_pool2d(maps, (8, 4))
    values, indices = F.adaptive_max_pool2d(inner, 3, return_indices=True)
    made = pool_at(net, X, "2")
    assert torch.equal(made.values, values) and torch.equal(made.indices, indices)
    with pytest.raises(ValueError, match=r"window: '2' has windows of several .* \(adaptive_max"):
        pool_at(net, X, "2", "avg")
    with pytest.raises(ValueError, match=r"window=3: '1' pools whole maps .* give op='avg'"):
        replace_pooling(net, X, "1", window=3)


# -- errors ---------------------------------------------------------------------------------------


class LeNet(nn.Module):
    """As in a hundred tutorials: `view(-1, 400)` does not mind twice as many numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2 = nn.Linear(400, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), (2, 2))
        return self.fc2(F.relu(self.fc1(x.view(-1, 16 * 5 * 5))))


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv, self.short = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(3, 4, 1, 2)
        self.after = nn.Conv2d(4, 4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(F.max_pool2d(self.conv(x), 2) + self.short(x)).mean((2, 3))


MISFITS: dict[str, tuple[Callable[[], nn.Module], str, dict[str, Any], str]] = {
    "linear": (
        lambda: nn.Sequential(
            nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(256, 5)
        ),
        "1",
        {"stride": 4},
        r"'3' takes 256 numbers and would get 64 after '1' pools with stride 4; an adaptive pool",
    ),
    "view that splits": (
        LeNet,
        "/max_pool2d#2",
        {"stride": 1, "window": 1},
        r"'/view#1' takes 400 numbers at a time and would get 1600 after '/max_pool2d#2' pools "
        r"with window 1, stride 1",
    ),
    "view that fails": (
        LeNet,
        "/max_pool2d#2",
        {"op": "avg", "window": 3},
        r"'/view#1' \(view\) cannot work on 1 x 16 x 4 x 4 after '/max_pool2d#2' pools with "
        r"op 'avg', window 3: shape '\[-1, 400\]' is invalid",
    ),
    "sum": (
        Residual,
        "/max_pool2d#1",
        {"stride": 1},
        r"'/add#1' \(add\) cannot work on 1 x 4 x 15 x 15 and 1 x 4 x 8 x 8 after .* stride 1: The",
    ),
    "kernel": (
        lambda: nn.Sequential(
            nn.MaxPool2d(2), nn.Conv2d(3, 4, 5), nn.AdaptiveAvgPool2d(1), nn.Flatten()
        ),
        "0",
        {"op": "global_avg"},
        r"'1' \(conv2d\) cannot work on 1 x 3 x 1 x 1 .* after '0' pools with op 'global_avg'",
    ),
    "next pool": (
        lambda: nn.Sequential(nn.MaxPool2d(2), nn.Conv2d(3, 4, 1), nn.MaxPool2d(4), nn.Flatten()),
        "0",
        {"stride": 6},
        r"'2' \(max_pool2d\) cannot work on 1 x 4 x 3 x 3 after '0' pools with stride 6",
    ),
    "number expected": (
        lambda: Chain(lambda x: x.mean((2, 3))),
        "/mean#1",
        {"op": "max", "window": 4},
        r"layer='/mean#1': the network expects one number of each map, and 'max' would leave "
        r"4 x 4; give op='global_avg', op='global_max' or window=\(16, 16\)",
    ),
    "parameters": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten()),
        "1",
        {"padding": 2},
        r"^padding=2: more than half of window=2; give at most 1$",
    ),
    "window too large": (
        lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.MaxPool2d(2), nn.Flatten()),
        "1",
        {"window": 17},
        "^window=17: larger than the maps, 16 rows",
    ),
    "own complaint": (
        lambda: Chain(complains),
        "/max_pool2d#1",
        {"stride": 1},
        "the network fails after '/max_pool2d#1' pools with stride 1: 8 x 8, please",
    ),
}


def complains(x: Tensor) -> Tensor:
    x = F.max_pool2d(x, 2)
    assert x.shape[2] == 8, "8 x 8, please"
    return x.mean((2, 3))


@pytest.mark.parametrize("case", list(MISFITS))
def test_what_no_longer_fits_is_named(case):
    build, layer, changes, words = MISFITS[case]
    model = seeded(build)
    net = Network(model)
    x = torch.randn(1, 1, 32, 32) if isinstance(model, LeNet) else X
    before = snapshot(model)
    assert replace_pooling(net, x, layer).shape == net.logits(x)[0].shape
    with pytest.raises(ValueError, match=words):
        replace_pooling(net, x, layer, **changes)
    assert same(snapshot(model), before)
    assert torch.equal(replace_pooling(net, x, layer), net.logits(x)[0])


def test_networks_that_end_with_gap_just_go_on():
    net, image = Network.digits(), nv.sample_image("digit")
    for stride in (1, 2, 3):
        assert replace_pooling(net, image, "pool2", stride=stride).shape == (10,)


def test_layers_that_are_none_or_do_not_pool():
    net = Network(seeded(Reused))
    with pytest.raises(ValueError, match="layer='pol': there is no such layer; did you mean"):
        replace_pooling(net, X, "pol", "avg")
    with pytest.raises(
        ValueError,
        match=r"'conv1': a layer of the kind 'conv' .* it pools in 'pool', 'pool#2', 'pool#3'",
    ):
        pool_input(net, X, "conv1")
    with pytest.raises(ValueError, match="no pooling call of the network; it pools nowhere"):
        pool_input(Network(nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3))), X, "0")
    with pytest.raises(TypeError, match=r"layer.*; give a layer of|layer=3: give a layer of"):
        replace_pooling(net, X, 3, "avg")
    with pytest.raises(ValueError, match="op='average': there is no such pooling"):
        replace_pooling(net, X, "pool", "average")
    with pytest.raises(TypeError, match=r"stride=1.5: give a whole number"):
        pool_at(net, X, "pool", stride=1.5)
    with pytest.raises(ValueError, match="layer='fc': it puts out 5 numbers, not maps"):
        pool_at(net, X, "fc")
    fractional = nn.Sequential(nn.FractionalMaxPool2d(2, output_size=5), nn.Conv2d(3, 2, 1))
    (one,) = pooling_layers(Network(fractional), X)
    assert (one.op, one.window, one.output) == ("fractional_max", (2, 2), (5, 5))
    with pytest.raises(ValueError, match="op: '0' pools windows of random sizes; give op='max'"):
        pool_at(Network(fractional), X, "0")


# -- the model stays as it is ---------------------------------------------------------------------


class Busy(nn.Module):
    """In-place operations on its very input, a BatchNorm, and a pool that swallows errors."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4)
        self.pool, self.fc = nn.MaxPool2d(2), nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = x.mul_(2).relu_()
        try:
            x.view(-1, 7)
        except Exception:
            x = F.relu_(self.norm(self.conv(x)))
        return self.fc(self.pool(x).relu_().mean((2, 3)))


CALLS: dict[str, Callable[[Network, Any], Any]] = {
    "layers": pooling_layers,
    "input": lambda net, x: pool_input(net, x, "pool"),
    "at": lambda net, x: pool_at(net, x, "pool", "l2", 3, dilation=2),
    "replace": lambda net, x: replace_pooling(net, x, "pool", "avg"),
}


@pytest.mark.parametrize("call", list(CALLS))
def test_model_and_image_are_left_as_found(call):
    model = seeded(Busy).train()
    model.pool.eval()
    net, x = Network(model), X.clone()
    before = snapshot(model)
    state = torch.get_rng_state()
    for mode in (torch.no_grad, torch.enable_grad, torch.inference_mode):
        with mode():
            CALLS[call](net, x)
            grad = torch.is_grad_enabled()
        assert grad == (mode is torch.enable_grad)
    assert same(snapshot(model), before) and torch.equal(x, X)
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("error", [RuntimeError, MemoryError, KeyboardInterrupt])
def test_after_a_failure_in_the_middle_too(error, monkeypatch):
    model = seeded(Busy).train()
    net = Network(model)
    pooling_layers(net, X)
    before = snapshot(model)

    def fails(*args: Any) -> Any:
        raise error("boom")

    monkeypatch.setattr(_pool_replace, "compute", fails)
    with pytest.raises(ValueError if error is RuntimeError else error, match="boom"):
        replace_pooling(net, X, "pool", "avg")
    monkeypatch.undo()
    assert same(snapshot(model), before)
    assert net.lock.acquire(blocking=False)
    net.lock.release()
    assert torch.overrides._get_current_function_mode() is None
    assert replace_pooling(net, X, "pool", "avg").shape == (5,)


def test_what_is_returned_is_a_copy():
    model = seeded(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.MaxPool2d(1), nn.ReLU(True)))
    maps = pool_input(Network(model), X, "1")
    assert torch.equal(maps, model[0](X)[0]) and (maps < 0).any()
    assert not maps.requires_grad
