"""Whatever is called, and whatever fails, the user's model and program are as before."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
import torch
from models import MODELS, Steps, conv, make
from torch import Tensor, nn
from torch.nn import functional as F

from nbcnnviz import backend
from nbcnnviz.backend import _tracer, doctor
from nbcnnviz.backend._walk import named_modules
from nbcnnviz.backend.network import Network

X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def snapshot(model: nn.Module) -> dict[str, Any]:
    """All that a call must not change; tensors as bytes and version counters."""
    parts: dict[str, Any] = {}
    for path, module in named_modules(model):
        own = {key: value for key, value in module.__dict__.items() if not key.startswith("_")}
        parts[f"{path} dict"] = (list(module.__dict__), {k: id(v) for k, v in own.items()})
        parts[f"{path} training"] = module.training
        for kind in HOOKS:
            parts[f"{path} {kind}"] = list(getattr(module, kind))
        parts[f"{path} children"] = [id(m) for m in module._modules.values()]
        for group in (module._parameters, module._buffers):
            for name, tensor in group.items():
                parts[f"{path}.{name}"] = tensor if tensor is None else tensor_facts(tensor)
    return parts


def tensor_facts(tensor: Tensor) -> tuple[Any, ...]:
    grad = None if tensor.grad is None else (id(tensor.grad), tensor.grad.numpy().tobytes())
    values = tensor.detach().numpy().tobytes()
    return id(tensor), values, tensor._version, tensor.requires_grad, grad, tensor.data_ptr()


def surroundings() -> tuple[Any, ...]:
    """Random states and PyTorch's global modes."""
    return (
        torch.get_rng_state().numpy().tobytes(),
        np.random.get_state()[1].tobytes(),
        random.getstate(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        torch.backends.cudnn.enabled,
        torch.backends.cudnn.benchmark,
        torch.backends.cudnn.deterministic,
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_autocast_enabled("cpu"),
        torch.overrides._get_current_function_mode() is None,
    )


CALLS: dict[str, Callable[[Network], Any]] = {
    "layers": lambda net: net.layers(X),
    "trace": lambda net: backend.trace(net, X, noops=True),
    "record": lambda net: dict(backend.record(net, X, first_maps(net))),
    "feature_maps": lambda net: backend.feature_maps(net, X, first_maps(net)),
    "layer_stats": lambda net: backend.layer_stats(net, [X, X + 1]),
    "examine": lambda net: doctor.examine(net, X),
    "predict": lambda net: net.predict(X),
    "logits": lambda net: net.logits(torch.cat([X, X])),
    "unknown layer": lambda net: dict(backend.record(net, X, "nowhere")),
    "wrong channels": lambda net: net.layers(torch.zeros(1, 7, 16, 16)),
}


def first_maps(net: Network) -> str:
    return next(layer.name for layer in net.layers(X) if layer.spatial)


def troubled(name: str) -> nn.Module:
    """A model in the middle of somebody's work: mixed modes, gradients, frozen parts, hooks."""
    model = make(name).train()
    for i, (_, module) in enumerate(named_modules(model)):
        if i % 3 == 2:
            module.training = False
    parameters = list(model.parameters())
    for i, parameter in enumerate(parameters):
        parameter.grad = torch.ones_like(parameter) if i % 2 else None
        parameter.requires_grad_(i % 3 > 0)
    model.register_forward_hook(lambda module, args, output: None)
    return model


@pytest.mark.parametrize("call", list(CALLS))
@pytest.mark.parametrize("name", list(MODELS))
def test_the_model_and_the_surroundings_are_as_before(name: str, call: str) -> None:
    model = troubled(name)
    net = Network(model)
    before, around = snapshot(model), surroundings()
    with suppress(ValueError):
        CALLS[call](net)
    assert snapshot(model) == before
    assert surroundings() == around


@pytest.mark.parametrize("mode", [torch.no_grad, torch.enable_grad, torch.inference_mode])
@pytest.mark.parametrize("call", ["layers", "record", "layer_stats", "predict"])
def test_grad_modes_are_as_before(call: str, mode: Callable[[], Any]) -> None:
    net = Network(make("in place"))
    with mode():
        around = surroundings()
        CALLS[call](net)
        assert surroundings() == around


def test_networks_that_draw_random_numbers_leave_the_states_alone() -> None:
    def noisy(x: Tensor) -> Tensor:
        random.random()
        noise = torch.from_numpy(np.random.rand(*x.shape).astype(np.float32))
        return F.dropout(x + noise + torch.randn_like(x), 0.5)

    net = Network(Steps(conv(), noisy, conv()))
    around = surroundings()
    for call in ("layers", "record", "layer_stats"):
        CALLS[call](net)
        assert surroundings() == around


class Bomb(nn.Module):
    """Goes off when its turn comes."""

    def __init__(self) -> None:
        super().__init__()
        self.fuse = [0]

    def forward(self, x: Tensor) -> Tensor:
        if BOMB["armed"]:
            raise KeyError("a bug in the user's model")
        return x


BOMB = {"armed": False}


def test_200_runs_with_exceptions_leave_no_hook() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), Bomb(), nn.ReLU(inplace=True))
    model.train()
    net = Network(model)
    before, around = snapshot(model), surroundings()
    calls: list[Callable[[], Any]] = [
        lambda: net.layers(X),
        lambda: dict(backend.record(net, X, ["0", "3"])),
        lambda: dict(backend.record(net, X, ["/relu#1"])),
        lambda: doctor.examine(net, X),
    ]
    failures = 0
    for run in range(200):
        BOMB["armed"] = run % 2 == 0
        if run % 16 < 8:
            net.__dict__.pop("_trace_cache", None)
        try:
            calls[run // 2 % len(calls)]()
        except (KeyError, ValueError):
            failures += 1
    BOMB["armed"] = False
    assert failures > 80
    assert snapshot(model) == before
    assert surroundings() == around
    assert sum(len(getattr(m, kind)) for m in model.modules() for kind in HOOKS) == 0


def test_an_exception_in_a_callback_leaves_nothing_behind() -> None:
    net = Network(make("in place"))
    before, around = snapshot(net.model), surroundings()

    def fails(found: Any, output: Tensor) -> None:
        if found.name == "conv2":
            raise InterruptedError

    with pytest.raises(InterruptedError), net.evaluating() as body:
        _tracer.run(body, X.clone(), fails)
    assert snapshot(net.model) == before and surroundings() == around
    assert net.lock.acquire(blocking=False)
    net.lock.release()


def test_an_exception_in_the_users_hook_leaves_nothing_behind() -> None:
    model = make("in place")

    def fails(module: nn.Module, args: Any, output: Any) -> None:
        raise ZeroDivisionError

    model.conv2.register_forward_hook(fails)
    before, around = snapshot(model), surroundings()
    for call in ("layers", "layer_stats"):
        with pytest.raises(ZeroDivisionError):
            CALLS[call](Network(model))
    assert snapshot(model) == before and surroundings() == around


def test_the_interrupt_key_leaves_nothing_behind() -> None:
    class Interrupted(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            raise KeyboardInterrupt

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Interrupted())
    before, around = snapshot(model), surroundings()
    for call in ("layers", "layer_stats", "predict"):
        with pytest.raises(KeyboardInterrupt):
            CALLS[call](Network(model))
    assert snapshot(model) == before and surroundings() == around
