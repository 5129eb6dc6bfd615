"""What several tests of networks share: a picture, a small model, all that could be changed."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from nbcnnviz.backend.network import Network


def photo(height: int, width: int, channels: int = 3) -> Image.Image:
    """Smooth, so that interpolations differ, with noise, so that offsets do."""
    noise = np.random.default_rng(height * width).random((height, width, channels)) * 60
    y, x = np.mgrid[:height, :width]
    waves = 97 * (1 + np.sin(y / 7)[..., None] * np.cos(x / 11)[..., None])
    pixels = (noise + waves).astype(np.uint8)
    return Image.fromarray(pixels if channels == 3 else pixels[..., 0])


def tiny(channels: int = 3, classes: int = 10) -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(
            OrderedDict(
                conv=nn.Conv2d(channels, 6, 3),
                norm=nn.BatchNorm2d(6),
                relu=nn.ReLU(inplace=True),
                drop=nn.Dropout(0.5),
                pool=nn.AdaptiveAvgPool2d(1),
                flat=nn.Flatten(),
                fc=nn.Linear(6, classes),
            )
        )


def snapshot(model: nn.Module) -> dict[str, Any]:
    """All that a run could change in a model."""
    return {
        "training": [m.training for m in model.modules()],
        "hooks": [
            len(hooks)
            for m in model.modules()
            for hooks in (m._forward_hooks, m._forward_pre_hooks, m._backward_hooks)
        ],
        "attributes": [sorted(m.__dict__) for m in model.modules()],
        "versions": [t._version for t in (*model.parameters(), *model.buffers())],
        "values": [t.detach().clone() for t in (*model.parameters(), *model.buffers())],
        "requires_grad": [p.requires_grad for p in model.parameters()],
        "grad": [None if p.grad is None else p.grad.clone() for p in model.parameters()],
    }


def same(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor):
        return torch.equal(a, b)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(np.array_equal(a, b)) if isinstance(a, np.ndarray) else a == b


def globals_now() -> dict[str, Any]:
    """All that a run could change in the process."""
    cudnn = torch.backends.cudnn
    return {
        "torch": torch.get_rng_state(),
        "numpy": np.random.get_state(),
        "python": random.getstate(),
        "grad": torch.is_grad_enabled(),
        "inference": torch.is_inference_mode_enabled(),
        "dtype": torch.get_default_dtype(),
        "cudnn": (cudnn.enabled, cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32),
        "autocast": torch.is_autocast_enabled("cpu"),
        "threads": torch.get_num_threads(),
        "deterministic": torch.are_deterministic_algorithms_enabled(),
    }


class Stochastic(nn.Module):
    """Draws from every global random state, also in evaluation mode."""

    def __init__(self, fail: bool = False) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.fail = fail

    def forward(self, x: Tensor) -> Tensor:
        x = F.dropout(self.conv(x))
        x = x + torch.rand_like(x) + torch.randn(1) + x.new_empty(1).uniform_()
        x = x * float(np.random.rand()) + random.random()
        if self.fail:
            raise RuntimeError("boom")
        return x.mean((2, 3))


def use(net: Network) -> None:
    net.predict(photo(30, 30))
    net.logits(torch.zeros(2, 3, 8, 8))
    net.picture(net.prepare(photo(30, 30)))
    net.version()
    repr(net)


MODES: dict[str, Callable[[], Any]] = {
    "plain": lambda: torch.enable_grad(),
    "no_grad": torch.no_grad,
    "inference": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu"),
}
