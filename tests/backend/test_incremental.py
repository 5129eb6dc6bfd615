"""The incremental engine gives what a plain pass over each changed image gives."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Iterator
from typing import Any

import models
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as tv
from torchvision.models.convnext import CNBlockConfig

import nbcnnviz as nv
from nbcnnviz.backend import incremental
from nbcnnviz.backend.incremental import NotExportable, build
from nbcnnviz.backend.network import Network

EXACT = 1e-10
"""Of the largest score, in double precision: no approximation could hide in that."""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Maps this small only wait for a second thread, above all on a busy machine."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shake(model: nn.Module, seed: int = 0) -> nn.Module:
    """Give batch norms and layer scales values that a mistake in folding would show."""
    generator = seeded(seed)
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
                for tensor in (module.bias, module.running_mean):
                    tensor.copy_(torch.randn(tensor.shape, generator=generator) * 0.2)
        for name, parameter in model.named_parameters():
            if name.endswith(("layer_scale", "gamma")):
                parameter.copy_(torch.rand(parameter.shape, generator=generator) * 0.5)
    return model.eval()


def pasted(x: Tensor, patches: Tensor, tops: list[int], lefts: list[int]) -> Tensor:
    images = x.repeat(len(patches), 1, 1, 1)
    h, w = patches.shape[2:]
    for image, patch, top, left in zip(images, patches, tops, lefts, strict=True):
        image[:, top : top + h, left : left + w] = patch
    return images


def places(size: tuple[int, int], h: int, w: int, count: int, seed: int) -> list[list[int]]:
    """Corners, edges, and anywhere."""
    generator, (height, width) = seeded(seed), size
    tops = torch.randint(0, height - h + 1, (count,), generator=generator).tolist()
    lefts = torch.randint(0, width - w + 1, (count,), generator=generator).tolist()
    tops[:3] = [0, height - h, height - h][: len(tops)]
    lefts[:3] = [0, width - w, 0][: len(lefts)]
    return [tops, lefts]


def check(model: nn.Module, x: Tensor, h: int, w: int, count: int = 5, bound: float = EXACT) -> Any:
    """Engine and plain passes agree; returns the engine."""
    engine = build(model, x)
    tops, lefts = places(tuple(x.shape[2:]), h, w, count, h * w)
    shape = (count, x.shape[1], h, w)
    patches = torch.randn(shape, generator=seeded(7), dtype=x.dtype)
    with torch.no_grad():
        expected, clean = model(pasted(x, patches, tops, lefts)), model(x)
    found = engine.scores(patches, tops, lefts)
    scale = bound * float(expected.abs().max())
    torch.testing.assert_close(engine.clean, clean, rtol=0, atol=scale)
    torch.testing.assert_close(found, expected, rtol=0, atol=scale)
    return engine


# -- random graphs -------------------------------------------------------------------------------

ACTIVATIONS = {
    "relu": nn.ReLU(inplace=True),
    "relu6": nn.ReLU6(),
    "leaky": nn.LeakyReLU(0.1, inplace=True),
    "prelu": nn.PReLU(),
    "elu": nn.ELU(),
    "silu": nn.SiLU(inplace=True),
    "gelu": nn.GELU(),
    "mish": nn.Mish(),
    "softplus": nn.Softplus(),
    "hardswish": nn.Hardswish(),
    "hardsigmoid": nn.Hardsigmoid(),
    "sigmoid": nn.Sigmoid(),
    "tanh": nn.Tanh(),
    "softsign": nn.Softsign(),
}
C = 4
"""Channels of every map in a random graph."""


class Function(nn.Module):
    def __init__(self, function: Any, *parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        self.parts = nn.ModuleList(parts)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x, *self.parts)


def shuffle(x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).contiguous().view(n, c, h, w)


def norm_last(x: Tensor, norm: nn.Module, linear: nn.Module) -> Tensor:
    return linear(norm(x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)


def gate(x: Tensor, fc: nn.Module) -> Tensor:
    return x * torch.sigmoid(fc(x.mean((2, 3))))[:, :, None, None]


def split_merge(x: Tensor, conv: nn.Module) -> Tensor:
    first, second = x.chunk(2, 1)
    return torch.cat([second, F.relu(conv(first))], 1)


def in_place(x: Tensor, conv: nn.Module) -> Tensor:
    y = conv(x)
    y += x
    y.mul_(0.7).clamp_(min=-1)
    return y


def add_map(x: Tensor) -> Tensor:
    row = torch.linspace(-1, 1, x.shape[3], dtype=x.dtype)
    return x * 0.5 + row.expand(x.shape[2], -1).cumsum(0) / 10


ODD = {
    "residual": lambda: Function(lambda x, f: x + f(x), nn.Conv2d(C, C, 3, padding=1)),
    "in place": lambda: Function(in_place, nn.Conv2d(C, C, 3, padding=1)),
    "difference": lambda: Function(
        lambda x, f, g: f(x) - g(x) * 0.5 + 1,
        nn.Conv2d(C, C, 1),
        nn.Conv2d(C, C, 3, padding=1),
    ),
    "product": lambda: Function(
        lambda x, f, g: f(x).sigmoid() * g(x),
        nn.Conv2d(C, C, (1, 5), padding=(0, 2)),
        nn.Conv2d(C, C, (5, 1), padding=(2, 0)),
    ),
    "inception": lambda: Function(
        lambda x, f, g: torch.cat([f(x), F.max_pool2d(x, 3, 1, 1)[:, :1], g(x)], 1),
        nn.Conv2d(C, 2, 1),
        nn.Conv2d(C, 1, 5, padding=2),
    ),
    "split": lambda: Function(split_merge, nn.Conv2d(C // 2, C // 2, 3, padding=1)),
    "shuffle": lambda: Function(shuffle),
    "norm last": lambda: Function(norm_last, nn.LayerNorm(C), nn.Linear(C, C)),
    "softmax": lambda: Function(lambda x: x.softmax(1) * 3),
    "pad": lambda: Function(lambda x: F.pad(x, (2, 0, 1, 3))),
    "pad value": lambda: Function(lambda x: F.pad(x, (1, 1, 0, 2), value=0.3)),
    "reflect": lambda: Function(lambda x: F.pad(x, (1, 1, 1, 1), mode="reflect")),
    "crop": lambda: Function(lambda x: x[:, :, 1:, 1:-1] if min(x.shape[2:]) > 4 else x),
    "every other": lambda: Function(lambda x: x[:, :, ::2, 1::2] if min(x.shape[2:]) > 6 else x),
    "constant map": lambda: Function(add_map),
    "same": lambda: nn.Conv2d(C, C, (2, 4), padding="same", dilation=(1, 2)),
    "norm": lambda: nn.Sequential(nn.MaxPool2d(2, 1, 1), nn.BatchNorm2d(C), nn.ReLU()),
    "gate": lambda: Function(gate, nn.Linear(C, C)),
    "group norm": lambda: nn.GroupNorm(2, C),
}

HEADS = {
    "mean": lambda x: x.mean((2, 3)),
    "sum": lambda x: x.sum((-1, -2)) / 9,
    "mean of all": lambda x: torch.stack([x.mean((1, 2, 3)), x.mean(dim=(1, 2, 3)) + 1], 1),
    "amax": lambda x: x.amax((2, 3)),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, 1).flatten(1),
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, 1).flatten(1),
    "pool": lambda x: F.avg_pool2d(x, x.shape[2:]).flatten(1),
    "flat": lambda x: F.adaptive_avg_pool2d(x, 2).flatten(1),
}


@st.composite
def convolutions(draw: st.DrawFn) -> nn.Module:
    kernel = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    dilation = draw(st.sampled_from([(1, 1), (1, 1), (2, 1), (2, 2)]))
    padding = draw(st.tuples(st.integers(0, 2), st.integers(0, 2)))
    stride = draw(st.sampled_from([1, 1, 1, 2, 3, (2, 1)]))
    groups = draw(st.sampled_from([1, 1, 2, C]))
    bias = draw(st.booleans())
    conv = nn.Conv2d(C, C, kernel, stride, padding, dilation, groups, bias)
    return nn.Sequential(conv, nn.BatchNorm2d(C)) if draw(st.booleans()) else conv


@st.composite
def pools(draw: st.DrawFn) -> nn.Module:
    kernel = draw(st.integers(2, 4))
    stride = draw(st.sampled_from([None, 1, 2, 3]))
    padding = draw(st.integers(0, kernel // 2))
    ceil = draw(st.booleans())
    if draw(st.booleans()):
        return nn.MaxPool2d(kernel, stride, padding, draw(st.sampled_from([1, 2])), ceil_mode=ceil)
    divisor = draw(st.sampled_from([None, None, 3]))
    return nn.AvgPool2d(kernel, stride, padding, ceil, draw(st.booleans()), divisor)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[nn.Module, Tensor]:
    torch.manual_seed(draw(st.integers(0, 1000)))
    layers: list[nn.Module] = [nn.Conv2d(3, C, 3, draw(st.integers(1, 2)), 1)]
    x = torch.randn(1, 3, draw(st.integers(9, 26)), draw(st.integers(9, 26)))
    with torch.no_grad():
        y = layers[0](x)
        for _ in range(draw(st.integers(1, 6))):
            kind = draw(st.sampled_from(["conv", "conv", "pool", "act", "odd"]))
            layer: nn.Module
            if kind == "conv":
                layer = draw(convolutions())
            elif kind == "pool":
                layer = draw(pools())
            elif kind == "act":
                layer = ACTIVATIONS[draw(st.sampled_from(sorted(ACTIVATIONS)))]
            else:
                layer = ODD[draw(st.sampled_from(sorted(ODD)))]()
            try:
                made = layer.eval()(y.clone())
            except RuntimeError:  # too small for it by now
                continue
            if min(made.shape[2:]) > 1:
                layers.append(layer)
                y = made
        head = Function(HEADS[draw(st.sampled_from(sorted(HEADS)))])
        count = head(y).shape[1]
    model = nn.Sequential(*layers, head, nn.Linear(count, 3))
    return shake(model), x


@pytest.mark.filterwarnings("ignore:Using padding=.same:UserWarning")
@settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    graph=graphs(),
    size=st.tuples(st.integers(1, 9), st.integers(1, 9)),
    limit=st.sampled_from([0.75, 2.0]),
    wide=st.booleans(),
)
def test_a_random_graph_gives_what_a_plain_pass_gives(
    graph: tuple[nn.Module, Tensor], size: tuple[int, int], limit: float, wide: bool
) -> None:
    model, x = graph
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(incremental, "_LIMIT", limit)
        if wide:
            check(model.double(), x.double(), *size)
        else:  # by other kernels, which take activations along
            check(model, x, *size, bound=1e-4)


@pytest.mark.filterwarnings("ignore:Using padding=.same:UserWarning")
@pytest.mark.parametrize("name", sorted(ODD))
def test_each_oddity(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(incremental, "_LIMIT", 2.0)
    torch.manual_seed(3)
    model = nn.Sequential(nn.Conv2d(3, C, 3), ODD[name](), nn.Conv2d(C, 5, 3, 2), Mean())
    x = torch.randn(1, 3, 21, 17)
    check(shake(model), x, 4, 3, bound=1e-5)
    check(model.double(), x.double(), 4, 3)


class Mean(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


# -- known networks -----------------------------------------------------------------------------

ARCHITECTURES = {
    "resnet18": lambda: tv.resnet18(),
    "vgg11_bn": lambda: tv.vgg11_bn(),
    "mobilenet_v2": lambda: tv.mobilenet_v2(width_mult=0.5),
    "mobilenet_v3_small": lambda: tv.mobilenet_v3_small(),
    "densenet": lambda: tv.DenseNet(8, (2, 3, 2), 16),
    "googlenet": lambda: tv.googlenet(init_weights=False),
    "shufflenet_v2": lambda: tv.shufflenet_v2_x0_5(),
    "squeezenet1_1": lambda: tv.squeezenet1_1(),
    "mnasnet0_5": lambda: tv.mnasnet0_5(),
    "efficientnet_b0": lambda: tv.efficientnet_b0(),
    "convnext": lambda: tv.ConvNeXt(
        [CNBlockConfig(16, 32, 2), CNBlockConfig(32, None, 1)], layer_scale=1.0
    ),
    "swin": lambda: tv.SwinTransformer([4, 4], 16, [1, 2], [2, 2], [4, 4], num_classes=9),
    "vit": lambda: tv.VisionTransformer(64, 16, 2, 2, 32, 64, num_classes=5),
}


def architecture(name: str) -> nn.Module:
    torch.manual_seed(0)
    model = ARCHITECTURES[name]()
    for parameter in model.parameters():
        # Some heads begin as zeros, which would hide every mistake.
        if not parameter.any() and parameter.ndim > 1:
            nn.init.normal_(parameter)
    return shake(model)


@pytest.mark.parametrize("name", sorted(ARCHITECTURES))
def test_architectures_of_torchvision(name: str) -> None:
    x = torch.randn(1, 3, 64, 64 if name in ("vit", "swin") else 80, generator=seeded(1))
    check(architecture(name), x, 8, 11, bound=1e-5)


def test_the_demo_network() -> None:
    net = nv.Network.demo()
    net.model.eval()
    engine = check(net.model, torch.randn(1, 3, 80, 80, generator=seeded(1)), 16, 16, bound=1e-5)
    assert engine.incremental
    assert engine.why == ""
    assert engine.step == 16


@pytest.mark.parametrize("name", ["ChannelsLast", "Attention", "Gate", "Shuffle", "Branches"])
def test_maps_as_scores_are_refused(name: str) -> None:
    with pytest.raises((NotExportable, ValueError), match="not one score per class"):
        build(getattr(models, name)(), torch.randn(1, 3, 24, 24))


@pytest.mark.parametrize(
    "model",
    [
        models.Reused,
        models.InPlace,
        models.FunctionalLeNet,
        models.DictOutput,
        models.SharedTwice,
        models.PlainList,
        models.CustomLeaf,
        models.Parameters,
        models.Skip,
    ],
)
def test_models_with_an_oddity(model: type[nn.Module]) -> None:
    torch.manual_seed(0)
    made = model().eval().double()
    for layer in getattr(made, "layers", ()):
        layer.double().eval()
    if hasattr(made, "by_name"):
        made.by_name["head"].double()
    x = torch.randn(1, 3, 24, 28, generator=seeded(1)).double()
    if isinstance(made, models.DictOutput):
        made = Function(lambda x, inner: inner(x)["out"], made)
    check(made, x, 5, 6)


class Flat(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3 * 12 * 12, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x.flatten(1))


def test_what_is_not_incremental_says_why() -> None:
    engine = check(Flat(), torch.randn(1, 3, 12, 12), 3, 3, bound=1e-5)
    assert not engine.incremental
    assert "flatten" in engine.why


class FixedBatch(nn.Module):
    """Writes the batch size into the graph."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, 2)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        y = y.view(int(y.shape[0]), 2, 2, *y.shape[2:]).transpose(1, 2)
        y = y.reshape(int(x.shape[0]), 4, *y.shape[3:])
        return self.fc(y.mean((2, 3)))


def test_a_batch_size_that_was_written_down() -> None:
    check(FixedBatch().double(), torch.randn(1, 3, 20, 20).double(), 4, 4)


# -- the target ----------------------------------------------------------------------------------


def test_totals_of_a_layer_and_of_one_of_its_channels() -> None:
    model = architecture("resnet18")
    x = torch.randn(1, 3, 64, 64, generator=seeded(1))
    patches = torch.zeros(2, 3, 9, 9)
    maps = []
    hook = model.layer2.register_forward_hook(lambda *given: maps.append(given[2].sum((2, 3))))
    with torch.no_grad():
        model(x)
        model(pasted(x, patches, [0, 31], [50, 20]))
    hook.remove()
    engine = build(model, x, "layer2")
    bound = 1e-5 * float(maps[0].abs().max())
    torch.testing.assert_close(engine.clean, maps[0], rtol=0, atol=bound)
    found = engine.scores(patches, [0, 31], [50, 20])
    torch.testing.assert_close(found, maps[1], rtol=0, atol=bound)
    one = build(model, x, layer="layer2", channel=5)
    torch.testing.assert_close(one.clean, engine.clean[:, 5:6])
    torch.testing.assert_close(one.scores(patches, [0, 31], [50, 20]), found[:, 5:6])


def test_a_function_call_as_the_layer() -> None:
    net = nv.Network(models.FunctionalLeNet())
    x = torch.randn(1, 3, 28, 28, generator=seeded(1))
    name = next(layer.name for layer in net.layers(x) if "max_pool2d" in layer.name)
    assert build(net, x, name).clean.shape == (1, 6)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "nowhere"}, "did you mean"),
        ({"layer": "fc"}, "not maps"),
        ({"channel": 5}, "there are 5"),
        ({"channel": True}, "channel=True"),
        ({"precision": "float16"}, "bfloat16"),
        ({"memory": 0}, "positive"),
    ],
)
def test_options_that_make_no_sense(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(models.Reused(), torch.zeros(1, 3, 12, 12), **options)


@pytest.mark.parametrize(
    ("shape", "tops", "lefts", "message"),
    [
        ((1, 3, 4, 4), [9], [0], "row 9, column 0 reaches"),
        ((1, 3, 4, 4), [0], [-1], "cut it at the edge"),
        ((1, 1, 4, 4), [0], [0], r"give \(B, 3, h, w\)"),
        ((2, 3, 4, 4), [0], [0], "for each of 2 patches"),
        ((1, 3, 0, 4), [0], [0], "at least 1 x 1"),
    ],
)
def test_patches_that_make_no_sense(
    shape: tuple[int, ...], tops: list[int], lefts: list[int], message: str
) -> None:
    engine = build(models.Reused(), torch.zeros(1, 3, 12, 12))
    with pytest.raises(ValueError, match=message):
        engine.scores(torch.zeros(shape), tops, lefts)
    with pytest.raises(ValueError, match="x: give one image"):
        build(models.Reused(), torch.zeros(3, 12, 12))


# -- many windows --------------------------------------------------------------------------------


def small() -> tuple[nn.Module, Tensor]:
    torch.manual_seed(5)
    model = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False),
        nn.BatchNorm2d(8),
        nn.ReLU(inplace=True),
        nn.MaxPool2d(3, 2, 1),
        nn.Conv2d(8, 8, 3, padding=1),
        nn.ReLU(inplace=True),
        nn.Conv2d(8, 8, 3, 2, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(8, 4),
    )
    return shake(model), torch.randn(1, 3, 80, 72, generator=seeded(2))


def test_the_order_of_the_answers_is_that_of_the_questions() -> None:
    model, x = small()
    engine = build(model, x)
    grid = [(t, s) for t in range(0, 73, 5) for s in range(0, 65, 7)]
    tops, lefts = [t for t, _ in grid], [s for _, s in grid]
    patch = torch.full((3, 8, 8), 0.5)
    with torch.no_grad():
        expected = model(pasted(x, patch.expand(len(grid), -1, -1, -1), tops, lefts))
    for _ in range(2):
        found = engine.scores(patch, torch.tensor(tops), torch.tensor(lefts))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert engine.scores(patch, [], []).shape == (0, 4)


def test_positions_come_coarse_to_fine() -> None:
    engine = build(*small())
    assert engine.step == 8
    tops = [0, 4, 8, 2, 6, 0]
    order = engine.order(tops, [0] * 6).tolist()
    assert sorted(order) == list(range(6))
    assert [tops[i] for i in order] == [0, 0, 8, 4, 2, 6]


def test_the_whole_image_as_a_patch() -> None:
    model, x = small()
    y = torch.randn(2, 3, 80, 72, generator=seeded(4))
    found = build(model, x).scores(y, [0, 0], [0, 0])
    torch.testing.assert_close(found, model(y).detach(), rtol=0, atol=1e-5)


def test_batches_keep_to_the_memory_they_are_given() -> None:
    model, x = small()
    sizes = [build(model, x, memory=memory).batch_size(16, 16) for memory in (1, 1 << 18, 1 << 28)]
    assert sizes[0] == 1
    assert sizes == sorted(sizes)
    assert sizes[1] < sizes[2]
    engine = build(model, x, memory=2 << 20)
    seen = []
    run = engine._run

    def watch(entry: Any, bases: Any, batch: int, *rest: Any) -> Tensor:
        seen.append(batch)
        return run(entry, bases, batch, *rest)

    engine._run = watch  # type: ignore[method-assign]
    engine.scores(torch.zeros(3, 16, 16), [8 * (i % 8) for i in range(64)], [0] * 64)
    assert max(seen) <= max(engine._tuners[16, 16].largest, 1)


def test_maps_that_are_not_needed_are_let_go() -> None:
    model, x = small()
    engine = build(model, x)
    kept = sum(base.bytes() for base in engine._bases.values())
    # The image, the two maps before a sliding operation, and the last one for its mean.
    assert len(engine._bases) == 5
    assert kept < 1.5 * 4 * (3 * 80 * 72 + 8 * 40 * 36 + 2 * 8 * 20 * 18 + 8 * 10 * 9)


def test_bfloat16_is_near() -> None:
    model, x = small()
    exact, near = build(model, x), build(model, x, precision="bfloat16")
    patch = torch.zeros(3, 16, 16)
    one, other = (e.scores(patch, [0, 30], [9, 16]) for e in (exact, near))
    assert other.dtype == torch.float32
    torch.testing.assert_close(other, one, rtol=0, atol=0.02 * float(one.abs().max()))


# -- a base that moves ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["small", "shufflenet_v2"])
def test_fifty_dabs_are_one_image(name: str) -> None:
    model, x = small() if name == "small" else (architecture(name), torch.randn(1, 3, 64, 64))
    engine = build(model, x)
    image, generator = x.clone(), seeded(9)
    for _ in range(50):
        h, w = torch.randint(1, 20, (2,), generator=generator).tolist()
        top = int(torch.randint(0, x.shape[2] - h + 1, (), generator=generator))
        left = int(torch.randint(0, x.shape[3] - w + 1, (), generator=generator))
        patch = torch.randn(3, h, w, generator=generator)
        image[0, :, top : top + h, left : left + w] = patch
        found = engine.rebase(patch, top, left)
    with torch.no_grad():
        expected = model(image)
        bound = 1e-5 * float(expected.abs().max())
        torch.testing.assert_close(found, expected, rtol=0, atol=bound)
        torch.testing.assert_close(engine.clean, found)
        patches = torch.zeros(2, 3, 7, 7)
        expected = model(pasted(image, patches, [0, 40], [50, 3]))
    torch.testing.assert_close(
        engine.scores(patches, [0, 40], [50, 3]), expected, rtol=0, atol=bound
    )


@pytest.mark.parametrize("memory", [640 << 20, 100_000])
def test_undo_and_redo(memory: int) -> None:
    model, x = small()
    engine = build(model, x, memory=memory)
    states, scores, images = [engine.keep()], [engine.clean], [x]
    for step in range(6):
        image = images[-1].clone()
        for place in (3 * step, 20 + step):
            image[:, :, place : place + 9, place : place + 9] = step
            engine.rebase(torch.full((3, 9, 9), float(step)), place, place)
        images.append(image)
        states.append(engine.keep())
        scores.append(engine.clean)
    for i in (2, 5, 0, 6, 1):
        torch.testing.assert_close(engine.restore(states[i]), scores[i])
        torch.testing.assert_close(engine.clean, model(images[i]).detach(), rtol=0, atol=1e-5)
        # What is done after going back leaves the state that was gone back to.
        engine.rebase(torch.ones(1, 3, 30, 30), 10, 10)
        engine.restore(states[i])
        found = engine.scores(torch.zeros(1, 3, 5, 5), [30], [30])
        expected = model(pasted(images[i], torch.zeros(1, 3, 5, 5), [30], [30])).detach()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


def test_an_interrupt_while_pasting_leaves_a_whole_base(monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = small()
    engine = build(model, x)
    with monkeypatch.context() as patch:
        calls = []

        def interrupted(self: Any, value: Any, copy: bool) -> Any:
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return changed(self, value, copy)

        changed = incremental.Base.changed
        patch.setattr(incremental.Base, "changed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            engine.rebase(torch.ones(3, 9, 9), 4, 4)
    found = engine.scores(torch.zeros(1, 3, 5, 5), [0], [0])
    expected = model(pasted(x, torch.zeros(1, 3, 5, 5), [0], [0])).detach()
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)


# -- what is left behind -------------------------------------------------------------------------


def facts(model: nn.Module) -> Any:
    return (
        [
            (name, module.training, len(module._forward_hooks))
            for name, module in model.named_modules()
        ],
        [sorted(module.__dict__) for module in model.modules()],
        [(p.requires_grad, p._version, p.data_ptr()) for p in model.parameters()],
        [p.grad is None or p.grad.clone() for p in model.parameters()],
        [b.clone() for b in model.buffers()],
        torch.random.get_rng_state().tolist(),
        torch.is_grad_enabled(),
    )


def test_the_model_is_left_as_it_was_found() -> None:
    model, x = small()
    model.train()
    model[4].weight.requires_grad_(False)
    before = facts(model)
    engine = build(model, x)
    engine.scores(torch.zeros(2, 3, 8, 8), [0, 9], [0, 9])
    engine.rebase(torch.zeros(3, 8, 8), 0, 0)
    assert str(facts(model)) == str(before)
    model(torch.zeros(2, 3, 80, 72)).sum().backward()


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3)) if x.mean() > 0 else x.sum((2, 3))


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5, True).mean((2, 3))


class BatchStatistics(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(3, track_running_stats=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x).amax((2, 3))


class NoImage(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.weight.relu()


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        (Branching, "torch.export cannot take Branching"),
        (Noisy, "random numbers"),
        (BatchStatistics, "images of a batch"),
        (NoImage, "do not depend"),
    ],
)
def test_what_cannot_be_exported_says_so_and_leaves_nothing(
    kind: type[nn.Module], message: str
) -> None:
    model = kind()
    before = facts(model)
    with pytest.raises(NotExportable, match=message):
        build(model, torch.randn(1, 3, 12, 12, generator=seeded(0)))
    assert str(facts(model)) == str(before)


def test_an_engine_goes_with_its_network() -> None:
    model, x = small()
    net = nv.Network(model)
    engine = build(net, x)
    references = [weakref.ref(model), weakref.ref(engine)]
    del model, net, engine
    gc.collect()
    assert [reference() for reference in references] == [None, None]


def test_new_weights_make_a_new_graph() -> None:
    model, x = small()
    net = nv.Network(model)
    first = build(net, x).clean
    with torch.no_grad():
        model[4].weight.mul_(2)
        model[1].running_mean.add_(1)
    second = build(net, x).clean
    assert not torch.allclose(first, second)
    torch.testing.assert_close(second, model(x).detach(), rtol=0, atol=1e-5)


class DependsOnValues(nn.Module):
    """Control flow that no fixed graph has."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x).mean((2, 3))
        return y * 2 if y.mean() > 0 else y


def test_a_refused_network_leaves_no_trace_on_the_page_and_is_not_tried_twice(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    net, x = Network(DependsOnValues()), torch.randn(1, 3, 16, 16)
    before = sys.stderr
    with pytest.raises(NotExportable, match="cannot take DependsOnValues"):
        incremental.build(net, x)
    assert sys.stderr is before
    assert capfd.readouterr().err == ""
    monkeypatch.setattr(torch.export, "export", None)
    with pytest.raises(NotExportable, match="cannot take DependsOnValues"):
        incremental.build(net, x)
