"""The shadow computes what the model computes, shares its parameters and nothing else."""

from __future__ import annotations

import copy
import dataclasses
import functools
import gc
import types
import warnings
import weakref
from collections import namedtuple
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision
from models import MODELS, make, settle
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize, prune

from nbcnnviz.backend._shadow import shadow

X = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def same(a: Any, b: Any) -> bool:
    if isinstance(a, dict):
        return all(torch.equal(a[key], b[key]) for key in a)
    return torch.equal(a, b)


@pytest.mark.parametrize("name", list(MODELS))
def test_it_computes_what_a_deep_copy_in_evaluation_mode_does(name: str) -> None:
    model = make(name).train()
    reference = copy.deepcopy(model).eval()
    for hidden in getattr(reference, "layers", []):
        hidden.eval()
    with torch.no_grad():
        assert same(shadow(model)(X), reference(X))
    assert all(module.training for module in model.modules())


@pytest.mark.parametrize("name", list(MODELS))
def test_parameters_are_shared_and_buffers_are_not(name: str) -> None:
    model = make(name)
    body = shadow(model)
    ours, theirs = dict(body.named_parameters()), dict(model.named_parameters())
    assert ours.keys() == theirs.keys() and all(ours[key] is theirs[key] for key in ours)
    for key, buffer in model.named_buffers():
        assert torch.equal(body.get_buffer(key), buffer)
        assert body.get_buffer(key) is not buffer
    assert not {id(m) for m in body.modules()} & {id(m) for m in model.modules()}


def test_names_and_sharing_of_modules_are_kept() -> None:
    body = shadow(make("shared twice"))
    assert body.first is body.second


def test_hooks_and_flags_of_the_shadow_do_not_reach_the_model() -> None:
    model = make("in place").train()
    body = shadow(model)
    for module in body.modules():
        module.register_forward_hook(lambda *_: None)
        module.register_forward_pre_hook(lambda *_: None)
    body.eval()
    for module in model.modules():
        assert module.training
        assert not module._forward_hooks and not module._forward_pre_hooks


class Holder(nn.Module):
    """Keeps a layer in whatever `wrap` makes of it."""

    def __init__(self, wrap: Callable[[nn.Module], Any], unwrap: Callable[[Any], Any]) -> None:
        super().__init__()
        self.held = wrap(settle(nn.BatchNorm2d(3)))
        self.unwrap = unwrap

    def forward(self, x: Tensor) -> Tensor:
        return self.unwrap(self.held)(x)


@dataclasses.dataclass
class Box:
    inner: Any


class Helper:
    def __init__(self, inner: Any) -> None:
        self.inner = inner


Point = namedtuple("Point", ["inner", "other"])

HOLDERS: dict[str, tuple[Callable[[nn.Module], Any], Callable[[Any], Any]]] = {
    "list": (lambda m: [m], lambda h: h[0]),
    "tuple": (lambda m: (m, 1), lambda h: h[0]),
    "nested": (lambda m: {"a": [(m,)]}, lambda h: h["a"][0][0]),
    "named tuple": (lambda m: Point(m, 2), lambda h: h.inner),
    "set": (lambda m: {m}, lambda h: next(iter(h))),
    "dataclass": (Box, lambda h: h.inner),
    "helper object": (Helper, lambda h: h.inner),
    "helper in a helper": (lambda m: Helper([Helper(m)]), lambda h: h.inner[0].inner),
    "partial": (lambda m: functools.partial(m), lambda h: h),
    "partial argument": (lambda m: functools.partial(lambda f, x: f(x), m), lambda h: h),
    "bound method": (lambda m: m.forward, lambda h: h),
    "closure": (lambda m: lambda x: m(x), lambda h: h),
    "default argument": (lambda m: lambda x, f=m: f(x), lambda h: h),
}


@pytest.mark.parametrize("name", list(HOLDERS))
def test_layers_held_in_odd_places_are_copied(name: str) -> None:
    model = Holder(*HOLDERS[name]).train()
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)] or find_norm(model.held)
    before = norms[0].running_mean.clone()
    body = shadow(model)
    norms[0].eval()
    expected = model(X)
    norms[0].train()
    assert torch.equal(body(X), expected)  # in evaluation mode, although the layer is not
    assert torch.equal(norms[0].running_mean, before)


def find_norm(held: Any) -> list[nn.BatchNorm2d]:
    """The layer, by the garbage collector: whatever refers to it."""

    seen, waiting = set(), [held]
    while waiting:
        thing = waiting.pop()
        if isinstance(thing, nn.BatchNorm2d):
            return [thing]
        if id(thing) not in seen and not isinstance(thing, types.ModuleType | type):
            seen.add(id(thing))
            waiting.extend(
                r
                for r in gc.get_referents(thing)
                if not (isinstance(r, dict) and "__builtins__" in r)
            )
    raise AssertionError


def test_a_forward_bound_to_self_is_bound_to_the_copy() -> None:
    class Timm(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.norm = nn.BatchNorm2d(3)
            self.forward = self._forward_impl
            self.act = lambda x: self.norm(x).relu()
            self.parent = weakref.ref(self)
            self.me = [self]

        def _forward_impl(self, x: Tensor) -> Tensor:
            return self.parent().me[0].act(x)

    model = Timm().train()
    body = shadow(model)
    body(X)
    assert int(model.norm.num_batches_tracked) == 0
    assert body.me[0] is body and body.parent() is body


def test_deep_nesting_does_not_overflow() -> None:
    model: nn.Module = nn.ReLU()
    for _ in range(300):
        model = nn.Sequential(model)
    assert len(list(shadow(model).modules())) == 301


def weight_norm(layer: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return nn.utils.weight_norm(layer)


def masked(layer: nn.Module) -> nn.Module:
    prune.random_unstructured(layer, "weight", 0.5)
    return layer


REPARAMETRISED = {
    "weight norm by hook": weight_norm,
    "weight norm": parametrizations.weight_norm,
    "spectral norm by hook": nn.utils.spectral_norm,
    "spectral norm": parametrizations.spectral_norm,
    "orthogonal": parametrizations.orthogonal,
    "pruned": masked,
}


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
@pytest.mark.parametrize("name", list(REPARAMETRISED))
def test_reparametrised_weights_go_on_working(name: str) -> None:
    with torch.random.fork_rng(devices=[]):
        model = nn.Sequential(REPARAMETRISED[name](nn.Conv2d(3, 4, 3)), nn.ReLU(inplace=True))
    state = copy.deepcopy(model.state_dict())
    model.eval()
    expected = model(X)
    model.train()
    assert torch.equal(shadow(model)(X), expected)
    for key, value in model.state_dict().items():
        assert torch.equal(value, state[key]), key  # no power iteration happened
    assert parametrize.is_parametrized(shadow(model)[0]) == parametrize.is_parametrized(model[0])


def test_hooks_that_change_the_output_stay() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3))
    model[0].register_forward_hook(lambda module, args, output: output * 2)
    model[0].register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    assert torch.equal(shadow(model)(X), model(X))


def test_a_recording_hook_that_closes_over_a_list_keeps_out_of_it() -> None:
    model, recorded = nn.Sequential(nn.Conv2d(3, 4, 3)), []
    model[0].register_forward_hook(lambda module, args, output: recorded.append(output))
    shadow(model)(X)
    assert recorded == []


def test_backward_hooks_are_left_out() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True))
    model[0].register_full_backward_hook(lambda *_: None)
    x = X.clone().requires_grad_()
    (grad,) = torch.autograd.grad(shadow(model)(x).sum(), x)  # would fail with the hook
    assert grad.shape == x.shape


def test_forward_may_write_to_buffers_and_lists() -> None:
    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("calls", torch.zeros(()))
            self.log: list[int] = []

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            self.log.append(1)
            self.last = x
            return x

    model = Counting()
    shadow(model)(X)
    assert int(model.calls) == 0 and model.log == [] and not hasattr(model, "last")


def test_train_is_never_called() -> None:
    class Merging(nn.Linear):
        """Like LoRA: leaving training mode merges weights in place."""

        def train(self, mode: bool = True) -> Merging:
            if not mode:
                self.weight.data += 1
            return super().train(mode)

    model = nn.Sequential(Merging(3, 3))
    before = model[0].weight.clone()
    assert not shadow(model)[0].training
    assert torch.equal(model[0].weight, before)


@pytest.mark.filterwarnings("ignore:.*deprecated.*:FutureWarning")
@pytest.mark.filterwarnings("ignore:.*deprecated.*:DeprecationWarning")
@pytest.mark.parametrize("how", ["script", "trace", "freeze"])
def test_scripted_modules_get_flags_and_buffers_of_their_own(how: str) -> None:
    inner = settle(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Dropout(0.5)))
    if how == "trace":
        scripted = torch.jit.trace(inner.eval(), X)
    else:
        scripted = torch.jit.script(inner.train())
    if how == "freeze":
        scripted = torch.jit.freeze(scripted.eval())
    model = nn.Sequential(scripted, nn.ReLU())
    flags = [m.training for m in model[0].modules() if hasattr(m, "training")]
    buffers = {key: value.clone() for key, value in model.named_buffers()}
    body = shadow(model)
    # Freezing folds the BatchNorm into the convolution, so the weights are other ones.
    expected = scripted if how == "freeze" else inner.eval()
    assert torch.equal(body(X), expected(X).relu())
    assert [m.training for m in model[0].modules() if hasattr(m, "training")] == flags
    assert all(torch.equal(buffers[key], value) for key, value in model.named_buffers())
    if how != "freeze":
        ours = {p.data_ptr() for p in body.parameters()}
        assert ours == {p.data_ptr() for p in model.parameters()}


def test_a_compiled_submodule_is_taken_out_of_its_wrapper() -> None:
    model = nn.Sequential(torch.compile(nn.Conv2d(3, 4, 3)), nn.ReLU())
    body = shadow(model)
    assert type(body[0]) is nn.Conv2d
    assert body[0].weight is model[0]._orig_mod.weight


def test_a_lazy_module_is_refused_in_plain_words() -> None:
    with pytest.raises(ValueError, match="LazyConv2d has not seen an input yet"):
        shadow(nn.Sequential(nn.LazyConv2d(4, 3)))


@pytest.mark.parametrize("name", ["resnet18", "swin_t", "inception_v3"])
def test_torchvision_models_compute_the_same(name: str) -> None:
    options = {"init_weights": False} if name == "inception_v3" else {}
    with torch.random.fork_rng(devices=[]):
        model = getattr(torchvision.models, name)(weights=None, **options)
    x = torch.randn(1, 3, 80, 80)
    with torch.no_grad():
        body = shadow(model)
        assert torch.equal(body(x), copy.deepcopy(model).eval()(x))


class Holds(nn.Module):
    """Keeps objects of which no empty body can be made."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.error = ValueError("kept")
        self.error.module = self.conv  # type: ignore[attr-defined]
        self.number = np.float64(2)
        self.name = type("Name", (str,), {})("conv")

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x) * self.number


def test_exceptions_and_strings_among_the_attributes_are_shared() -> None:
    model = Holds()
    body = shadow(model)
    assert body.error is model.error and body.name is model.name
    with torch.no_grad():
        assert torch.equal(body(X), model(X))


def test_hooks_of_one_module_are_those_of_no_other() -> None:
    """Though what says of hooks that they take keywords, or run always, is one for all."""
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU(), nn.Conv2d(3, 3, 1))
    model[0].register_forward_hook(lambda module, args, kwargs, output: output, with_kwargs=True)
    body, met = shadow(model), []
    with_words = lambda module, args, kwargs: met.append((module, kwargs))  # noqa: E731
    body[2].register_forward_pre_hook(with_words, with_kwargs=True)
    body[1].register_forward_hook(lambda module, args, output: met.append((module, len(args))))
    always = body[1].register_forward_hook(lambda *_: met.append("always"), always_call=True)
    with torch.no_grad():
        assert torch.equal(body(X), model(X))
    assert met == [(body[1], 1), "always", (body[2], {})]
    always.remove()
    assert not body[1]._forward_hooks_always_called
    assert [len(module._forward_hooks) for module in body] == [1, 1, 0]
    assert body.state_dict().keys() == model.state_dict().keys()
    copy.deepcopy(body)
