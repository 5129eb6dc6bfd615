"""Real architectures with seeded random weights, made quickly."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn
from torchvision import models as zoo


def random_model(name: str) -> nn.Module:
    """A model of torchvision with random weights, made without its slow initialisation."""
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    with torch.device("meta"):
        model = getattr(zoo, name)(weights=None, num_classes=10, **options)
    model = model.to_empty(device="cpu").eval()
    generator = torch.Generator().manual_seed(0)
    for key, tensor in model.state_dict().items():
        if key.endswith("running_var") or (tensor.ndim == 1 and key.endswith("weight")):
            tensor.fill_(1)
        elif tensor.ndim < 2:
            tensor.zero_()
        else:
            bound = (6 / tensor[0].numel()) ** 0.5
            tensor.uniform_(-bound, bound, generator=generator)
    return model


def seeded(build: Callable[[], nn.Module]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build().eval()
