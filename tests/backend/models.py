"""Small seeded models, each with one oddity that tools like this one trip over."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Reused(nn.Module):
    """One ReLU module called three times."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.relu = nn.ReLU()
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.conv1(x))
        x = self.relu(self.conv2(x))
        return self.fc(self.relu(x.mean((2, 3))))


class InPlace(nn.Module):
    """Everything that can be done in place is."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1)
        self.bn = nn.BatchNorm2d(4)
        self.relu = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn(self.conv1(x)))
        y = self.conv2(x)
        y += x
        y.mul_(2)
        y.relu_()
        return self.fc(F.adaptive_avg_pool2d(y, 1).flatten(1))


class FunctionalLeNet(nn.Module):
    """Neither `nn.ReLU` nor `nn.MaxPool2d`."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 5)
        self.conv2 = nn.Conv2d(6, 8, 5)
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(torch.relu(self.conv2(x)), 2)
        x = F.dropout(x, training=self.training)
        return self.fc(x.amax((2, 3)))


class DictOutput(nn.Module):
    """Returns a dict, from a block that returns a tuple."""

    class Pair(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3)
            self.b = nn.Conv2d(4, 4, 3)

        def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
            x = self.a(x)
            return x, self.b(x)

    def __init__(self) -> None:
        super().__init__()
        self.pair = self.Pair()
        self.head = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        first, second = self.pair(x)
        return OrderedDict(out=self.head(second.mean((2, 3))), features=first)


class SharedTwice(nn.Module):
    """The same convolution under two names, called under both."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 3, 3, padding=1)
        self.second = self.first
        self.fc = nn.Linear(3, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.second(F.relu(self.first(x))).mean((2, 3)))


class PlainList(nn.Module):
    """Layers in a plain list, unknown to `modules()`; a BatchNorm among them."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3)
        self.layers = [nn.BatchNorm2d(4), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 3))]
        self.by_name = {"head": nn.Linear(4, 5)}

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for layer in self.layers:
            x = layer(x)
        return self.by_name["head"](x.mean((2, 3)))


class Perceptron(nn.Module):
    """No maps at all."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Flatten(), nn.LazyLinear(8), nn.ReLU(), nn.Linear(8, 5))
        with torch.no_grad():
            self.net(torch.zeros(2, 3, 16, 16))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x)


class Swish(nn.Module):
    """A layer of one's own."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(x)


class CustomLeaf(nn.Module):
    """A custom activation, a custom convolution with an activation inside, a no-op."""

    class ConvReLU(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(super().forward(x))

    def __init__(self) -> None:
        super().__init__()
        self.conv = self.ConvReLU(3, 4, 3)
        self.act = Swish()
        self.same = nn.Identity()
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 5)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.drop(self.same(self.act(self.conv(x)))).mean((2, 3)))


class Parameters(nn.Module):
    """No submodules: weights are plain parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.w1 = nn.Parameter(torch.randn(4, 3, 3, 3))
        self.w2 = nn.Parameter(torch.randn(5, 4))

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.conv2d(x, self.w1).relu_(), 3, 2, 1)
        return x.mean((-1, -2)) @ self.w2.t()


class Skip(nn.Module):
    """A residual block with stride, its shortcut a 1 x 1 convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, 2, 1)
        self.conv1 = nn.Conv2d(4, 6, 3, 2, 1)
        self.conv2 = nn.Conv2d(6, 6, 3, 1, 1)
        self.short = nn.Conv2d(4, 6, 1, 2)
        self.fc = nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        x = F.relu(self.conv2(F.relu(self.conv1(x))) + self.short(x))
        return self.fc(F.avg_pool2d(x, x.shape[2:]).flatten(1))


class Branches(nn.Module):
    """Inception: four branches of different reach, concatenated, then split again."""

    def __init__(self) -> None:
        super().__init__()
        self.b1 = nn.Conv2d(3, 2, 1)
        self.b3 = nn.Conv2d(3, 2, 3, padding=1)
        self.b5 = nn.Conv2d(3, 2, 5, padding=2)
        self.bp = nn.Sequential(nn.MaxPool2d(3, 1, 1), nn.Conv2d(3, 2, 1))
        self.narrow = nn.Conv2d(4, 4, 3, padding=1)
        self.wide = nn.Conv2d(4, 4, 3, padding=1)
        self.depthwise = nn.Conv2d(8, 8, 3, padding=1, groups=8)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([self.b1(x), self.bp(x), self.b3(x), self.b5(x)], 1)
        x = self.depthwise(x)
        narrow, wide = x.chunk(2, 1)
        first = self.narrow(narrow)
        return torch.cat([first, self.wide(wide), x[:, :2]], 1)


class Shuffle(nn.Module):
    """ShuffleNet's unit: split, convolve one half, concatenate, shuffle, twice."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.convs = nn.ModuleList(nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.halves = nn.ModuleList(nn.Conv2d(4, 4, 1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        x = self.stem(x)
        for conv in self.convs:
            kept, changed = x.chunk(2, dim=1)
            x = torch.cat((kept, conv(changed)), 1)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)
        first, second = x.chunk(2, 1)
        return torch.cat([self.halves[0](first), self.halves[1](second)], 1)


class Gate(nn.Module):
    """Squeeze and excite, with linear layers."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.fc1 = nn.Linear(4, 2)
        self.fc2 = nn.Linear(2, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        gate = self.fc2(F.relu(self.fc1(x.mean((2, 3)))))
        return x * torch.sigmoid(gate)[:, :, None, None]


class ChannelsLast(nn.Module):
    """ConvNeXt's block: (N, H, W, C) inside, with linear layers over the channels."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 7, padding=3, stride=2)
        self.norm = nn.LayerNorm(4)
        self.fc1 = nn.Linear(4, 8)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(8, 4)
        self.scale = nn.Parameter(torch.rand(4, 1, 1))
        self.last = nn.Conv2d(4, 2, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        y = self.fc2(self.act(self.fc1(self.norm(x.permute(0, 2, 3, 1)))))
        x = x + self.scale * y.permute(0, 3, 1, 2)
        return self.last(x)


class Attention(nn.Module):
    """A non-local block: every position sees every other one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        tokens = x.flatten(2)
        weights = (tokens.transpose(1, 2) @ tokens).softmax(-1)
        return x + (tokens @ weights).view_as(x)


class Steps(nn.Module):
    """A chain of functions, for one property each."""

    def __init__(self, *steps: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.steps = steps
        self.weights = nn.ParameterList(torch.randn(3, 3, 3, 3) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


CONV = torch.randn(3, 3, 3, 3, generator=torch.Generator().manual_seed(1))


def conv(**options: Any) -> Callable[[Tensor], Tensor]:
    """A 3 x 3 convolution from 3 to 3 channels as a function."""
    return lambda x: F.conv2d(x, CONV.to(x.dtype), **options)


def batched(x: Tensor) -> Tensor:
    """Each image copied into the corner of a larger one, as detection networks do."""
    larger = x.new_zeros(len(x), 3, x.shape[2] + 5, x.shape[3] + 4)
    for image, place in zip(x, larger, strict=True):
        place[:, : x.shape[2], : x.shape[3]].copy_(image)
    return larger


def framed(x: Tensor) -> Tensor:
    """Index assignment: a frame of constants around it."""
    larger = x.new_ones(len(x), 3, x.shape[2] + 3, x.shape[3] + 3)
    larger[..., 2:-1, 1:-2] = x
    return larger


def spread(x: Tensor) -> Tensor:
    """Every second row and third column of a larger one."""
    larger = x.new_zeros(len(x), 3, 2 * x.shape[2], 3 * x.shape[3])
    larger[:, :, 1::2, ::3] = x
    return larger


def patched(x: Tensor) -> Tensor:
    """Only some rows are written to, twice, by in-place functions on views."""
    larger = x.new_zeros(len(x), 3, x.shape[2] + 2, x.shape[3])
    larger[:, :, 1:-1].add_(x)
    larger[:, :2, 3:9].mul_(x[:, :2, :6])
    return larger


def clipped(x: Tensor) -> Tensor:
    """Negative values replaced, by a mask."""
    y = x.clone()
    y[y < 0] = 0
    y[:, 0].relu_()
    return y * x.flip(3)


CHAINS: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "dilated": (conv(dilation=2, padding=1), conv(dilation=3, padding=3, stride=2)),
    "asymmetric": (conv(stride=(1, 3), padding=(2, 0)), conv(padding="same", dilation=(1, 2))),
    "padding beyond reach": (conv(padding=4), conv(padding=3, stride=2)),
    "ceil mode": (conv(), lambda x: F.max_pool2d(x, 3, 2, ceil_mode=True), conv()),
    "average ceil mode": (lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True), conv()),
    "pools": (
        nn.MaxPool2d(3, 2, 1, dilation=2),
        conv(padding=1),
        lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
        nn.LPPool2d(2, 2, 1),
    ),
    "adaptive": (conv(), nn.AdaptiveAvgPool2d((5, 7)), conv()),
    "adaptive divides": (nn.AdaptiveMaxPool2d((8, 6)), conv(padding=1)),
    "pad": (
        lambda x: F.pad(x, (3, 0, 1, 2)),
        conv(),
        lambda x: F.pad(x, (2, 1, 0, 3), mode="reflect"),
        conv(stride=2),
        lambda x: F.pad(x, (-1, 2, 1, -1)),
        conv(),
        lambda x: F.pad(x, (1, 2, 0, 1), mode="replicate"),
        conv(),
    ),
    "circular": (lambda x: F.pad(x, (2, 2, 1, 1), mode="circular"), conv(), conv()),
    "slices": (
        conv(padding=1),
        lambda x: x[:, :, ::2, 1:],
        conv(),
        lambda x: x[..., 1:-1, 2:9],
        lambda x: x[:, 1:, None].squeeze(2),
        lambda x: torch.cat([x, x[:, :1]], 1),
    ),
    "narrow": (
        conv(),
        lambda x: x.narrow(2, 3, 6),
        lambda x: torch.index_select(x, 3, torch.tensor([4, 1, 9])),
    ),
    "flip and roll": (conv(), lambda x: x.flip(2), conv(stride=2), lambda x: x.roll(2, 3), conv()),
    "split and stack": (
        lambda x: torch.stack([p * (i + 1) for i, p in enumerate(x.unbind(1))], 1),
        conv(),
        lambda x: torch.cat(x.split(4, dim=2)[::-1], 2),
    ),
    "shortcut of another stride": (
        lambda x: (
            F.conv2d(x, CONV.to(x.dtype), stride=2, padding=1) + F.max_pool2d(x, 2, ceil_mode=True)
        ),
        conv(),
    ),
    "transposed": (
        conv(stride=2),
        lambda x: F.conv_transpose2d(x, CONV.to(x.dtype), stride=2, padding=1),
        conv(),
        lambda x: F.conv_transpose2d(x, CONV.to(x.dtype), stride=1, padding=1, dilation=2),
    ),
    "pixel shuffle": (
        lambda x: F.pixel_unshuffle(x[..., :16, :16], 2),
        lambda x: torch.cat([x[:, ::2] + x[:, 1::2], x[:, :6:2]], 1),
        lambda x: F.conv2d(x, torch.ones(12, 9, 2, 1, dtype=x.dtype)),
        lambda x: F.pixel_shuffle(x, 2),
        conv(),
    ),
    "layer norm over the map": (conv(), lambda x: F.layer_norm(x, x.shape[1:])),
    "group norm": (conv(), lambda x: F.group_norm(x, 3), conv()),
    "instance norm": (conv(), lambda x: F.instance_norm(x), conv()),
    "local response": (conv(), lambda x: F.local_response_norm(x, 2), conv()),
    "softmax over channels": (conv(), lambda x: x.softmax(1), conv()),
    "softmax over columns": (conv(), lambda x: x.softmax(-1), conv()),
    "normalize": (conv(), F.normalize, conv()),
    "mean over rows": (conv(), lambda x: x - x.mean(2, keepdim=True), conv()),
    "coordinates": (
        lambda x: torch.cat([x, torch.linspace(0, 1, x.shape[3]).expand_as(x[:, :1])], 1)[:, :3],
        conv(),
    ),
    "channel attention": (
        conv(),
        lambda x: (
            x
            * F.conv1d(x.mean((2, 3))[:, None], CONV[:1, :1, 0].to(x.dtype), padding=1)
            .sigmoid()
            .view(len(x), -1, 1, 1)
        ),
        conv(),
    ),
    "copied into a larger one": (conv(), batched, conv(stride=2)),
    "assigned to a slice": (framed, conv(padding=1), framed, conv()),
    "assigned with a step": (conv(), spread, conv()),
    "written to a part": (conv(padding=1), patched, conv()),
    "out": (conv(), lambda x: torch.add(x, 1, out=torch.empty_like(x)), conv()),
    "copied whole": (conv(), lambda x: torch.empty_like(x).copy_(x), conv()),
    "filled": (conv(), lambda x: torch.cat([x, x.clone().zero_()], 1)[:, 1:4], conv()),
    "new zeros": (conv(), lambda x: torch.cat([x, torch.zeros_like(x)], 1)[:, 1:4], conv()),
}

RESAMPLED: dict[str, tuple[Callable[[Tensor], Tensor], ...]] = {
    "nearest": (conv(), lambda x: F.interpolate(x, scale_factor=2), conv()),
    "nearest down": (lambda x: F.interpolate(x, size=(7, 5)), conv()),
    "bilinear": (
        conv(stride=2),
        lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
        conv(),
    ),
    "bilinear corners": (
        conv(),
        lambda x: F.interpolate(x, size=(9, 17), mode="bilinear", align_corners=True),
    ),
    "bicubic": (conv(), lambda x: F.interpolate(x, scale_factor=1.5, mode="bicubic"), conv()),
    "antialias": (
        conv(),
        lambda x: F.interpolate(x, size=(6, 8), mode="bilinear", antialias=True),
        conv(),
    ),
    "upsample and add": (
        lambda x: x + F.interpolate(F.avg_pool2d(x, 2), size=x.shape[2:], mode="bilinear"),
        conv(),
    ),
}

MODELS: dict[str, Callable[[], nn.Module]] = {
    "reused": Reused,
    "in place": InPlace,
    "functional": FunctionalLeNet,
    "dict output": DictOutput,
    "shared twice": SharedTwice,
    "plain list": PlainList,
    "custom leaf": CustomLeaf,
    "parameters": Parameters,
    "skip": Skip,
    "branches": Branches,
    "shuffle": Shuffle,
    "gate": Gate,
    "channels last": ChannelsLast,
    "attention": Attention,
}


def make(name: str) -> nn.Module:
    """A model by name with seeded weights, its BatchNorm statistics off their defaults."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MODELS[name]()
        settle(model)
    return model


def settle(model: nn.Module) -> nn.Module:
    """Give BatchNorm running statistics that are not 0 and 1."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d) and module.running_mean is not None:
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    return model
