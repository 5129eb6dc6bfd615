"""Small networks of the attribution tests, and a gradient taken by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from references import TARGET, OneReLU
from torch import Tensor, nn

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend.network import Network

QUICK = {"smoothgrad": {"samples": 2}, "integrated_gradients": {"steps": 2}}
"""Options with which the slow methods take no longer than the others."""


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A network with the same weights each time; the state of the generator stays."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return make()


def net_of(
    model: nn.Module | Callable[[], nn.Module] = lambda: OneReLU(True),
    side: int = 32,
    labels: Any = None,
) -> Network:
    model = model if isinstance(model, nn.Module) else seeded(model)
    size = backend.Preprocess(size=(side, side))
    return nv.Network(model.eval(), preprocess=size, labels=labels)


def by_hand(net: Network, x: Tensor, index: int = TARGET) -> Tensor:
    leaf = x.clone().requires_grad_()
    with net.evaluating(grad=True) as body:
        return torch.autograd.grad(body(leaf.clone())[0, index], leaf)[0][0]
