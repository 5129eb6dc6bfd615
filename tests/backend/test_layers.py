"""The list of layers: names, order, numbering, kinds, shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import timm
import torch
import torchvision
from models import MODELS, Perceptron, Steps, conv, make
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models import detection

from nbcnnviz.backend.layers import Layer, default_layer, find, trace
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.recorder import record

X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def named(model: nn.Module, image: Any = X, **options: Any) -> list[tuple[str, str]]:
    return [(layer.name, layer.kind) for layer in trace(Network(model), image, **options)]


def test_a_module_called_three_times_is_three_layers() -> None:
    layers = trace(Network(make("reused")), X)
    relus = [layer for layer in layers if layer.module == "ReLU"]
    assert [layer.name for layer in relus] == ["relu", "relu#2", "relu#3"]
    assert [layer.label for layer in relus] == [f"relu (call {n} of 3)" for n in (1, 2, 3)]
    assert [(layer.call, layer.calls) for layer in relus] == [(1, 3), (2, 3), (3, 3)]
    assert [layer.shape for layer in relus] == [(4, 16, 16), (4, 16, 16), (4,)]


NAMES = {
    "in place": [
        ("conv1", "conv"),
        ("bn", "norm"),
        ("relu", "act"),
        ("conv2", "conv"),
        ("/add#1", "merge"),
        ("/mul#1", "other"),
        ("/relu#1", "act"),
        ("/adaptive_avg_pool2d#1", "pool"),
        ("fc", "linear"),
    ],
    "functional": [
        ("conv1", "conv"),
        ("/relu#1", "act"),
        ("/max_pool2d#1", "pool"),
        ("conv2", "conv"),
        ("/relu#2", "act"),
        ("/max_pool2d#2", "pool"),
        ("/amax#1", "other"),
        ("fc", "linear"),
    ],
    "dict output": [
        ("pair.a", "conv"),
        ("pair.b", "conv"),
        ("pair", "block"),
        ("/mean#1", "pool"),
        ("head", "linear"),
    ],
    "shared twice": [
        ("first", "conv"),
        ("/relu#1", "act"),
        ("first#2", "conv"),
        ("/mean#1", "pool"),
        ("fc", "linear"),
    ],
    "plain list": [
        ("stem", "conv"),
        ("layers.0", "norm"),
        ("layers.1", "act"),
        ("layers.2.0", "conv"),
        ("layers.2", "block"),
        ("/mean#1", "pool"),
        ("by_name.head", "linear"),
    ],
    "custom leaf": [
        ("conv/conv2d#1", "conv"),
        ("conv", "conv"),
        ("act/sigmoid#1", "act"),
        ("act", "other"),
        ("/mean#1", "pool"),
        ("fc", "linear"),
    ],
    "parameters": [
        ("/conv2d#1", "conv"),
        ("/relu#1", "act"),
        ("/max_pool2d#1", "pool"),
        ("/mean#1", "pool"),
        ("/matmul#1", "linear"),
    ],
    "gate": [
        ("conv", "conv"),
        ("/mean#1", "pool"),
        ("fc1", "linear"),
        ("/relu#1", "act"),
        ("fc2", "linear"),
        ("/sigmoid#1", "act"),
        ("/mul#1", "merge"),
    ],
    "channels last": [
        ("conv", "conv"),
        ("norm", "norm"),
        ("fc1", "linear"),
        ("act", "act"),
        ("fc2", "linear"),
        ("/mul#1", "other"),
        ("/add#1", "merge"),
        ("last", "conv"),
    ],
}


@pytest.mark.parametrize("name", list(NAMES))
def test_names_and_kinds_in_call_order(name: str) -> None:
    expected = [
        # A mean over both image axes pools; the largest value of each map is a number likewise.
        (layer, "pool" if layer in ("/mean#1", "/amax#1") else kind)
        for layer, kind in NAMES[name]
    ]
    assert named(make(name)) == expected


def test_what_changes_nothing_is_listed_on_request_only() -> None:
    model = make("custom leaf")
    some, every = named(model), named(model, noops=True)
    assert [name for name, _ in every if (name, _) not in some] == ["same", "drop"]
    flatten = nn.Sequential(nn.Conv2d(3, 2, 3), nn.Flatten(), nn.Dropout(), nn.Linear(392, 2))
    assert [name for name, _ in named(flatten)] == ["0", "3"]
    assert [name for name, _ in named(flatten, noops=True)] == ["0", "1", "2", "3"]


def test_shapes_equal_those_of_plain_hooks() -> None:
    model = torchvision.models.resnet18(weights=None).eval()
    shapes: dict[str, tuple[int, ...]] = {}

    def note(name: str, output: Tensor) -> None:
        shapes.setdefault(name, tuple(output.shape[1:]))

    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, args, output, name=name: note(name, output))
    x = torch.randn(1, 3, 64, 64)
    with torch.no_grad():
        model(x)
    layers = {layer.name: layer for layer in trace(Network(model), x)}
    for name, module in model.named_modules():
        if name:
            assert layers[name].shape == shapes[name]
            assert layers[name].parameters == sum(p.numel() for p in module.parameters())
            assert layers[name].leaf == (not list(module.children()))


def test_maps_in_channels_last_order_are_reported_with_channels_first() -> None:
    layers = {layer.name: layer for layer in trace(Network(make("channels last")), X)}
    assert [(n, layers[n].shape, layers[n].channels_last) for n in ("conv", "norm", "fc1")] == [
        ("conv", (4, 8, 8), False),
        ("norm", (4, 8, 8), True),
        ("fc1", (8, 8, 8), True),
    ]
    assert not layers["/add#1"].channels_last


def test_functions_inside_a_block_that_is_called_twice_carry_its_number() -> None:
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 3, 3, padding=1)

        def forward(self, x: Tensor) -> Tensor:
            return F.relu(self.conv(x)) + x

    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.block = Block()

        def forward(self, x: Tensor) -> Tensor:
            return self.block(self.block(x))

    assert [name for name, _ in named(Twice())] == [
        *("block.conv", "block/relu#1", "block/add#1", "block"),
        *("block.conv#2", "block#2/relu#1", "block#2/add#1", "block#2"),
    ]


def test_a_single_layer_is_a_network_too() -> None:
    layers = trace(Network(nn.Conv2d(3, 4, 3, padding=1)), X)
    assert [(one.name, one.shape) for one in layers] == [("/conv2d#1", (4, 16, 16))]
    assert layers[0].field.size == (3, 3) and layers[0].parameters == 112


def test_a_normalisation_with_an_activation_inside_is_one_layer_without_it() -> None:
    norm = timm.layers.BatchNormAct2d
    model = nn.Sequential(norm(3), nn.Conv2d(3, 4, 3), norm(4, apply_act=False))
    assert named(model) == [
        ("0/batch_norm#1", "norm"),
        ("0.act", "act"),
        ("0", "block"),
        ("1", "conv"),
        ("2", "norm"),
    ]


def test_functions_on_weights_are_no_layers() -> None:
    class Standardised(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
            return F.conv2d(F.pad(x, (1, 1, 1, 1)), weight / weight.std(), self.bias)

    assert named(nn.Sequential(Standardised(3, 4, 3))) == [("0", "conv")]


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x * 2


class Doubled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return Double.apply(x)


def test_autograd_functions_are_seen_through() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), Doubled(), nn.Conv2d(4, 2, 3))
    layers = trace(Network(model), X)
    assert [(one.name, one.field.exact) for one in layers] == [
        ("0", True),
        ("1", True),
        ("2", True),
    ]


@pytest.mark.filterwarnings("ignore:.*deprecated.*")
def test_what_runs_out_of_sight_is_followed_all_the_same() -> None:
    scripted = torch.jit.script(nn.Sequential(nn.ReLU(), nn.Conv2d(4, 4, 3)))
    model = nn.Sequential(nn.Conv2d(3, 4, 3), scripted, nn.Conv2d(4, 2, 3))
    layers = trace(Network(model), X)
    # Scripted modules take no hooks.
    assert [(one.name, one.kind, one.shape, one.field.exact) for one in layers] == [
        ("0", "conv", (4, 14, 14), True),
        ("2", "conv", (2, 10, 10), False),
    ]
    assert layers[1].field.rows.tolist() == [[0, 16]] * 10
    # A scripted function, not even a module: its result is met by a function, then by a module.
    direct = Steps(conv(), torch.jit.script(squared), torch.relu, conv())
    assert [one.name for one in trace(Network(direct), X)] == ["/conv2d#1", "/conv2d#2"]


@pytest.mark.parametrize("name", ["in place", "functional", "skip", "channels last"])
def test_exported_programs_have_the_layers_of_their_source(name: str) -> None:
    model = make(name).eval()
    program = torch.export.export(model, (X,)).module()
    layers = [one for one in trace(Network(program), X) if one.leaf]
    source = [one for one in trace(Network(model), X) if one.leaf]
    # A module's place is lost, but not what it does.
    assert [one.shape for one in layers] == [one.shape for one in source]
    for one, other in zip(layers, source, strict=True):
        assert (one.field is None) == (other.field is None)
        if one.field is not None:
            assert one.field.exact and one.field.rows.tolist() == other.field.rows.tolist()
    last = [one for one in layers if one.spatial][-1]
    assert record(Network(program), X, last)[last].shape == last.shape


def squared(x: Tensor) -> Tensor:
    return x * x


def test_constants_out_of_nowhere_are_no_image() -> None:
    mean = torch.tensor([0.5, 0.4, 0.3])
    layers = trace(Network(Steps(lambda x: x - mean.view(1, 3, 1, 1), conv())), X)
    assert all(layer.field.exact for layer in layers)
    assert layers[-1].field.size == (3, 3)


OBSCURE: dict[str, Callable[[Tensor], Tensor]] = {
    "list": lambda x: torch.tensor(x.tolist()),
    "numpy": lambda x: torch.from_numpy(x.numpy() * 2),
    "parts": lambda x: torch.stack([torch.tensor(part.tolist()) for part in x.unbind(1)], 1),
    "scattered": lambda x: x.new_zeros(x.shape).index_copy_(1, torch.arange(3), x),
    "indices": lambda x: assigned(x, (slice(None), torch.tensor([2, 0, 1]))),
    "an older view": lambda x: viewed(x),
}


def assigned(x: Tensor, index: Any) -> Tensor:
    blank = torch.zeros_like(x)
    blank[index] = x
    return blank


def viewed(x: Tensor) -> Tensor:
    blank = torch.zeros_like(x[0])
    view = blank[None]
    blank.copy_(x[0])
    return view


@pytest.mark.parametrize("name", list(OBSCURE))
def test_where_the_image_is_lost_sight_of_layers_are_listed_with_an_upper_bound(name: str) -> None:
    model = Steps(conv(padding=1), OBSCURE[name], nn.MaxPool2d(2), conv())
    layers = trace(Network(model), X)
    assert [one.kind for one in layers] == ["conv", "pool", "conv"]
    assert [one.field.exact for one in layers] == [True, False, False]
    assert layers[-1].field.rows.tolist() == [[0, 16]] * 6


DETECTION: dict[str, Callable[[], nn.Module]] = {
    "faster r-cnn": lambda: detection.fasterrcnn_mobilenet_v3_large_320_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=96
    ),
    "retinanet": lambda: detection.retinanet_resnet50_fpn(
        weights=None, weights_backbone=None, num_classes=3, min_size=64, max_size=96
    ),
    "ssdlite": lambda: detection.ssdlite320_mobilenet_v3_large(
        weights=None, weights_backbone=None, num_classes=3
    ),
}


@pytest.mark.parametrize("name", list(DETECTION))
def test_detection_networks(name: str) -> None:
    """Their images are copied into a larger tensor before the first convolution."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = DETECTION[name]()
    net, image = Network(model), torch.rand(3, 64, 80)
    layers = {one.name: one for one in trace(net, image)}
    convolutions = {path for path, m in model.named_modules() if isinstance(m, nn.Conv2d)}
    assert len(convolutions) > 50 and convolutions <= {path.partition("#")[0] for path in layers}
    maps = [one for one in layers.values() if one.spatial]
    assert all(one.field.exact for one in maps)
    last = [one for one in maps if one.name.startswith("backbone")][-1]
    assert record(net, image, last)[last].shape == last.shape


def test_a_tensor_without_channels_is_followed() -> None:
    model = Steps(conv(), lambda x: torch.cat([x, x[:, :0]], 1), lambda x: x[:, :0], torch.relu)
    assert trace(Network(model), X)[-1].shape == (0, 14, 14)


def test_hooks_of_the_tracer_leave_no_trace_of_their_own() -> None:
    layers = trace(Network(make("plain list")), X)
    assert len({layer.name for layer in layers}) == len(layers) == 7


def test_a_network_without_maps_is_refused() -> None:
    with pytest.raises(ValueError, match="none of its layers puts out maps"):
        trace(Network(Perceptron()), X)


@pytest.mark.filterwarnings("ignore:.*deprecated.*")
def test_a_scripted_network_is_refused() -> None:
    model = torch.jit.script(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    with pytest.raises(ValueError, match="as a module rather than a scripted whole"):
        trace(Network(model), X)


def test_an_unknown_name_gets_the_nearest_ones() -> None:
    layers = trace(Network(make("in place")), X)
    with pytest.raises(
        ValueError, match=r"layer='conv3': .* did you mean 'conv[12]' or 'conv[12]'"
    ):
        find(layers, "conv3")
    block = trace(Network(nn.Sequential(nn.Conv2d(3, 3, 1), make("skip"))), X)
    with pytest.raises(ValueError, match=r"did you mean '1\.conv1' or"):
        find(block, "conv1")
    match = r"layer=3: give a layer of net.layers\(\) or its name, for example 'relu'"
    with pytest.raises(TypeError, match=match):
        find(layers, 3)
    assert find(layers, layers[2]) is find(layers, "relu") is layers[2]


def test_the_default_is_the_first_activation_with_maps() -> None:
    assert default_layer(trace(Network(make("in place")), X)).name == "relu"
    assert default_layer(trace(Network(make("branches")), X)).name == "b1"
    assert default_layer(trace(Network(make("functional")), X)).name == "/relu#1"


def test_layers_are_found_once_for_each_size_and_structure() -> None:
    model = make("in place")
    net = Network(model)
    calls = []
    model.conv1.register_forward_pre_hook(Counting(calls))
    first = trace(net, X)
    assert trace(net, X) == first and len(calls) == 1
    assert trace(net, torch.zeros(1, 3, 12, 12))[0].shape == (4, 12, 12) and len(calls) == 2
    model.conv2 = nn.Conv2d(4, 4, 1)
    assert trace(net, X)[3].parameters == 20 and len(calls) == 3


class Counting:
    """A hook with an identity: the shadow shares it."""

    def __init__(self, calls: list[int]) -> None:
        self.calls = calls

    def __call__(self, module: nn.Module, args: Any) -> None:
        self.calls.append(1)


def test_without_an_image_a_blank_one_of_the_usual_size_is_used() -> None:
    layers = Network(make("skip")).layers()
    assert isinstance(layers[0], Layer) and layers[0].shape == (4, 112, 112)


TORCHVISION = {
    "vgg11": (64, "features.0"),
    "resnet18": (64, "layer1.0.conv1"),
    "densenet121": (64, "features.denseblock1.denselayer2/cat#1"),
    "googlenet": (64, "inception3a.branch2.1.conv"),
    "inception_v3": (96, "Mixed_5b.branch5x5_1.conv"),
    "mobilenet_v2": (64, "features.2.conv.0.0"),
    "mobilenet_v3_small": (64, "features.1.block.1/mul#1"),
    "efficientnet_b0": (64, "features.1.0.block.1.scale_activation"),
    "convnext_tiny": (64, "features.1.0.block.2"),
    "squeezenet1_1": (64, "features.3/cat#1"),
    "shufflenet_v2_x0_5": (64, "stage2.1/cat#1"),
    "swin_t": (64, "features.1.0.attn"),
}


@pytest.mark.parametrize("name", list(TORCHVISION))
def test_torchvision_architectures(name: str) -> None:
    side, layer = TORCHVISION[name]
    options = {"init_weights": False} if name in ("googlenet", "inception_v3", "vgg11") else {}
    model = getattr(torchvision.models, name)(weights=None, **options)
    layers = trace(Network(model), torch.zeros(1, 3, side, side))
    names = [one.name for one in layers]
    assert layer in names and len(set(names)) == len(names)
    # Every leaf that ran and does something is there.
    idle = (nn.Dropout, nn.Identity, nn.Flatten, torchvision.ops.StochasticDepth)
    skipped = (*idle, torchvision.ops.Permute, nn.ReLU if name == "densenet121" else nn.Identity)
    for path, module in model.named_modules():
        leaf = not list(module.children()) and not path.startswith(("aux", "AuxLogits"))
        if leaf and not isinstance(module, skipped) and type(module) is not nn.Sequential:
            # Window attention reads the weights of its linear layers itself.
            assert path in names or ".attn." in path, path
    if name != "swin_t":
        assert all(one.field.exact for one in layers if one.spatial)
    # The last conv or block has small maps, and every map has a field of its size.
    for one in layers:
        if one.spatial:
            assert (len(one.field.rows), len(one.field.columns)) == one.shape[1:]


@pytest.mark.parametrize(
    "name",
    ["tf_efficientnet_lite0", "resnet18", "convnext_atto", "mobilenetv3_small_050", "regnety_002"],
)
def test_timm_architectures(name: str) -> None:
    layers = trace(Network(timm.create_model(name, pretrained=False)), torch.zeros(1, 3, 64, 64))
    assert layers[-1].shape == (1000,)
    assert all(layer.field.exact for layer in layers if layer.spatial)
    assert len({layer.name for layer in layers}) == len(layers)
    assert not {"Identity", "Dropout", "DropPath", "Flatten"} & {one.module for one in layers}


@pytest.mark.parametrize("name", list(MODELS))
def test_a_float64_model_is_traced_as_well(name: str) -> None:
    model = make(name)
    single = [(one.name, one.shape) for one in trace(Network(model), X)]
    if name != "plain list":  # `double()` does not find its layers
        assert [(one.name, one.shape) for one in trace(Network(model.double()), X)] == single
