"""Recorded maps equal those of plain hooks, bit for bit, and nothing is left behind."""

from __future__ import annotations

import copy
import gc
import threading
import weakref
from collections import OrderedDict
from typing import Any

import pytest
import torch
import torchvision
from models import Perceptron, Steps, conv, make
from torch import Tensor, nn
from torch.nn import functional as F

from nbcnnviz.backend._random import Quiet
from nbcnnviz.backend._shadow import shadow
from nbcnnviz.backend.attribution import attribute
from nbcnnviz.backend.layers import trace
from nbcnnviz.backend.maps import kernels
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.randomisation import weight_randomisation
from nbcnnviz.backend.recorder import Activation, Recorder, record

X = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(0))


def plain_hooks(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """What every module puts out, by plain hooks on a fresh copy; later calls as "name#2"."""
    model = copy.deepcopy(model).eval()
    outputs: dict[str, Tensor] = {}

    def note(name: str, output: Any) -> None:
        if isinstance(output, Tensor):
            call = 1 + sum(key.partition("#")[0] == name for key in outputs)
            outputs[name if call == 1 else f"{name}#{call}"] = output.detach().clone()

    for name, module in model.named_modules():
        module.register_forward_hook(lambda module, args, output, name=name: note(name, output))
    with torch.no_grad():
        model(x)
    return outputs


ARCHITECTURES = {
    "alexnet": 64,
    "vgg11_bn": 32,
    "resnet18": 64,
    "densenet121": 64,
    "googlenet": 64,
    "mobilenet_v2": 64,
    "mobilenet_v3_small": 64,
    "efficientnet_b0": 64,
    "convnext_tiny": 64,
    "squeezenet1_1": 64,
    "shufflenet_v2_x0_5": 64,
}


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_maps_equal_plain_hooks_bit_for_bit(name: str) -> None:
    options = {"init_weights": False} if name in ("googlenet", "vgg11_bn") else {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(7)
        model = getattr(torchvision.models, name)(weights=None, **options)
        x = torch.randn(1, 3, ARCHITECTURES[name], ARCHITECTURES[name])
    expected = plain_hooks(model, x)
    net = Network(model)
    layers = [one for one in trace(net, x) if one.spatial and "/" not in one.name]
    assert len(layers) > 10
    maps = record(net, x, layers)
    for layer in layers:
        reference = expected[layer.name][0]
        if layer.channels_last:
            reference = reference.permute(2, 0, 1)
        assert torch.equal(maps[layer.name], reference), layer.name
    last = layers[-1].name
    assert torch.equal(record(Network(model), x, last)[last], maps[last])  # traced meanwhile


def test_the_first_recording_and_the_next_ones_agree() -> None:
    net = Network(make("in place"))
    names = ["conv1", "bn", "relu", "conv2", "/add#1", "/relu#1", "/mul#1"]
    first = dict(record(net, X, names))
    assert net._trace_cache
    again = dict(record(net, X, names))
    assert all(torch.equal(first[name], again[name]) for name in names)


def test_what_is_kept_is_not_overwritten_by_the_next_layer() -> None:
    maps = record(Network(make("in place")), X, ["bn", "relu", "conv2", "/add#1", "/relu#1"])
    assert maps["bn"].min() < 0 <= maps["relu"].min()
    assert torch.equal(maps["bn"].relu(), maps["relu"])
    assert torch.equal(maps["conv2"] + maps["relu"], maps["/add#1"])
    assert torch.equal((2 * maps["/add#1"]).relu(), maps["/relu#1"])


def test_calls_of_a_reused_module_are_told_apart() -> None:
    model = make("reused")
    maps = record(Network(model), X, ["conv1", "relu", "conv2", "relu#2"])
    for before, after in (("conv1", "relu"), ("conv2", "relu#2")):
        assert torch.equal(maps[before].relu(), maps[after])


def test_functions_are_recorded_by_their_number() -> None:
    maps = record(Network(make("functional")), X, ["conv1", "/relu#1", "/max_pool2d#2", "conv2"])
    assert torch.equal(maps["conv1"].relu(), maps["/relu#1"])
    assert torch.equal(F.max_pool2d(maps["conv2"].relu(), 2), maps["/max_pool2d#2"])


def test_maps_in_channels_last_order_come_with_channels_first() -> None:
    model = make("channels last")
    for _ in range(2):
        maps = record(Network(model), X, ["norm", "fc1"])
        assert maps["fc1"].shape == (8, 8, 8)
        assert torch.equal(model.fc1(maps["norm"].permute(1, 2, 0)).permute(2, 0, 1), maps["fc1"])


def test_layers_in_plain_lists_are_recorded() -> None:
    maps = record(Network(make("plain list")), X, ["layers.0", "layers.1"])
    assert torch.equal(maps["layers.0"].relu(), maps["layers.1"])


def test_a_layer_will_do_for_its_name() -> None:
    net = Network(make("channels last"))
    layers = {one.name: one for one in trace(net, X)}
    maps = record(net, X, (layers["norm"], "fc1"))
    assert list(maps) == ["norm", "fc1"]
    assert layers["fc1"] in maps and layers["conv"] not in maps and 3 not in maps
    assert maps[layers["norm"]] is maps["norm"]
    assert torch.equal(record(net, X, layers["norm"])["norm"], maps["norm"])
    with net.evaluating() as body, Recorder(body, [layers["norm"]]) as recorder:
        recorder.run(X)
    assert torch.equal(recorder[layers["norm"]][0], maps["norm"])


class Explodes(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        raise AssertionError("the pass should have ended before")


def test_the_pass_ends_after_the_last_layer() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), Explodes())
    with Recorder(shadow(model), ["1", "0"]) as recorder:
        assert recorder.run(X) is None
    assert torch.equal(recorder["0"].relu(), recorder["1"])
    with Recorder(shadow(model), ["0"]) as recorder:
        recorder.root(X)  # without `run` the block ends here
        raise AssertionError
    with pytest.raises(AssertionError, match="should have ended"):
        Recorder(shadow(model), ["0"], stop_early=False).__enter__().run(X)


def test_a_network_that_catches_exceptions_cannot_stop_the_stop() -> None:
    class Catching(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.bad = Explodes()

        def forward(self, x: Tensor) -> Tensor:
            try:
                x = self.conv(x)
            except Exception as error:
                raise AssertionError("it caught the end of the pass") from error
            return self.bad(x)

    with Recorder(shadow(Catching()), ["conv"]) as recorder:
        recorder.run(X)
    assert recorder["conv"].shape == (1, 4, 14, 14)


def test_the_whole_output_is_returned_without_stopping() -> None:
    model = make("skip").eval()
    with Recorder(shadow(model), ["conv1"], stop_early=False) as recorder:
        output = recorder.run(X)
    with torch.no_grad():
        assert torch.equal(output, model(X))


def test_batches_keep_their_first_dimension() -> None:
    model, batch = make("skip").eval(), torch.randn(5, 3, 16, 16)
    with Recorder(shadow(model), ["conv1", "fc"]) as recorder:
        recorder.run(batch)
    assert recorder["conv1"].shape == (5, 6, 4, 4) and recorder["fc"].shape == (5, 5)


def test_hooks_are_there_only_inside_and_only_where_needed() -> None:
    body = shadow(make("in place"))
    recorder = Recorder(body, ["relu"])
    assert hooks(body) == 0
    with recorder:
        assert hooks(body) == 2 and len(body.relu._forward_hooks) == 1
        assert torch.overrides._get_current_function_mode() is None
    assert hooks(body) == 0
    with Recorder(body, ["/relu#1"]):
        assert torch.overrides._get_current_function_mode() is not None
    assert torch.overrides._get_current_function_mode() is None and hooks(body) == 0


def hooks(model: nn.Module) -> int:
    return sum(len(m._forward_hooks) + len(m._forward_pre_hooks) for m in model.modules())


def test_an_exception_leaves_no_hook_and_no_mode() -> None:
    body = shadow(nn.Sequential(nn.Conv2d(3, 4, 3), Explodes(), nn.ReLU()))
    for names in (["2"], ["/relu#1"]):
        with pytest.raises(AssertionError, match="ended"), Recorder(body, names) as recorder:
            recorder.run(X)
        assert hooks(body) == 0
        assert torch.overrides._get_current_function_mode() is None


def test_half_an_entry_is_undone() -> None:
    body = shadow(make("in place"))
    body.bn.register_forward_hook = None  # cannot be called
    with pytest.raises(TypeError):
        Recorder(body, ["conv1", "relu", "bn"]).__enter__()
    assert hooks(body) == 0


def test_only_the_thread_that_entered_is_recorded() -> None:
    body = shadow(make("functional"))
    other = torch.zeros(1, 3, 16, 16)
    with Recorder(body, ["conv1", "/relu#1"], stop_early=False) as recorder:
        thread = threading.Thread(target=lambda: body(other))
        thread.start()
        thread.join()
        assert recorder._kept == {}
        recorder.run(X)
        kept = recorder["conv1"].clone()
        thread = threading.Thread(target=lambda: body(other))
        thread.start()
        thread.join()
        assert torch.equal(recorder["conv1"], kept)


def test_an_unknown_layer_is_refused_with_the_nearest_names() -> None:
    net = Network(make("in place"))
    for _ in range(2):  # found by the same pass, then known before it
        with pytest.raises(ValueError, match="layer='conv3': there is no such layer; did you mean"):
            dict(record(net, X, ["conv3"]))
        with pytest.raises(ValueError, match="layer='/relu#7': there is no such layer"):
            dict(record(net, X, ["/relu#7"]))
        with pytest.raises(ValueError, match="layer='fc': it puts out 5 numbers, not maps"):
            dict(record(net, X, ["conv1", "fc"]))
    with pytest.raises(ValueError, match=r"layer='conv': .* did you mean 'conv[12]'"):
        Recorder(shadow(net.model), ["conv"])
    with pytest.raises(TypeError, match="layers=3: give a layer"):
        record(net, X, [3])
    missing = pytest.raises(ValueError, match="the network did not call it for this input")
    with Recorder(shadow(net.model), ["/gelu#1"]) as recorder, missing:
        recorder.run(X)
    with pytest.raises(ValueError, match="none of its layers puts out maps"):
        dict(record(Network(Perceptron()), X, ["net.1"]))


def test_a_network_that_takes_another_way_is_traced_again() -> None:
    class Fork(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Conv2d(3, 4, 3)
            self.b = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.a(x) if x.mean() > 0 else self.b(x)

    net = Network(Fork())
    light, dark = X.abs(), -X.abs()
    assert record(net, light, ["a"])["a"].shape == (4, 14, 14)
    with pytest.raises(ValueError, match="layer='b': there is no such layer"):
        dict(record(net, light, ["b"]))
    with pytest.raises(ValueError, match="layer='a': there is no such layer"):
        dict(record(net, dark, ["a"]))
    assert record(net, dark, ["b"])["b"].shape == (4, 14, 14)
    net.model.b.stride = (2, 2)
    assert record(net, dark, ["b"])["b"].shape == (4, 7, 7)


def test_a_recording_runs_when_read_and_lets_go_when_left() -> None:
    calls = []

    class Noted(nn.Conv2d):
        def forward(self, x: Tensor) -> Tensor:
            calls.append(1)
            return super().forward(x)

    recording = record(Network(nn.Sequential(Noted(3, 4, 3))), X, "0")
    assert list(recording) == ["0"] and len(recording) == 1 and not calls
    with recording as maps:
        kept = weakref.ref(maps["0"])
        assert maps["0"] is maps["0"] and len(calls) == 1
    gc.collect()
    assert kept() is None
    with pytest.raises(ValueError, match="closed at the end of its `with`"):
        recording["0"]
    with pytest.raises(KeyError):
        record(Network(nn.Sequential(Noted(3, 4, 3))), X, "0")["1"]


GRAPHS = {
    "conv1": lambda m, x: m.conv1(x),
    "bn": lambda m, x: m.bn(m.conv1(x)),
    "relu": lambda m, x: F.relu(m.bn(m.conv1(x))),
}


@pytest.mark.parametrize("name", [*GRAPHS, "conv2", "/add#1", "/relu#1"])
def test_gradients_survive_what_is_done_in_place_later(name: str) -> None:
    model = make("in place").eval()
    with Recorder(shadow(model), [name], keep_graph=True, stop_early=False) as recorder:
        output = recorder.run(X)
    kept = recorder[name]
    assert isinstance(kept, Activation)
    got = kept.gradient(output[0, 3], retain_graph=True)

    # The same network written without a single in-place operation
    steps: dict[str, Tensor] = {}

    def keep(key: str, value: Tensor) -> Tensor:
        steps[key] = value
        return value

    x = X.clone().requires_grad_()
    a = keep("relu", F.relu(keep("bn", model.bn(keep("conv1", model.conv1(x))))))
    b = keep("/relu#1", F.relu(keep("/add#1", keep("conv2", model.conv2(a)) + a) * 2))
    score = model.fc(b.mean((2, 3)))[0, 3]
    (expected,) = torch.autograd.grad(score, steps[name])
    torch.testing.assert_close(got, expected)
    torch.testing.assert_close(kept.values, steps[name])
    assert all(p.grad is None for p in model.parameters())


def test_a_unit_of_a_layer_can_be_traced_back_to_the_image() -> None:
    model, x = make("in place").eval(), X.clone().requires_grad_()
    with Recorder(shadow(model), ["conv2"], keep_graph=True) as recorder:
        recorder.run(x)
    (got,) = torch.autograd.grad(recorder["conv2"].values[0, 1, 5, 5], x)
    y = X.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model.conv2(F.relu(model.bn(model.conv1(y))))[0, 1, 5, 5], y)
    torch.testing.assert_close(got, expected)


def test_frozen_networks_have_gradients_too() -> None:
    model = make("in place").requires_grad_(False)
    with Recorder(shadow(model), ["relu"], keep_graph=True, stop_early=False) as recorder:
        output = recorder.run(X)
    assert recorder["relu"].gradient(output[0, 0]).shape == (1, 4, 16, 16)


def test_an_image_that_is_changed_in_place_stays_as_it_is() -> None:
    model = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(3, 4, 3))
    before = X.clone()
    record(Network(model), X, "0")["0"]
    with Recorder(shadow(model), ["1"], keep_graph=True) as recorder:
        recorder.run(X)
    assert torch.equal(X, before)


def test_networks_that_draw_random_numbers_do_so_reproducibly() -> None:
    model = Steps(
        conv(),
        lambda x: F.dropout(x, 0.5),
        lambda x: x + torch.randn_like(x) + torch.rand(x.shape) + torch.zeros_like(x).normal_(),
        lambda x: F.dropout2d(x, 0.5) + F.alpha_dropout(x, 0.1, training=True),
        lambda x: F.rrelu(x, training=True) + torch.bernoulli(x.sigmoid()),
    )
    net, state = Network(model), torch.get_rng_state()
    last = [one.name for one in trace(net, X) if one.spatial][-1]
    assert torch.equal(record(net, X, last)[last], record(net, X, last)[last])
    assert torch.equal(torch.get_rng_state(), state)


def test_own_random_numbers_have_the_right_distribution() -> None:
    x = torch.ones(4, 50, 30, 30)
    with Quiet():
        dropped = F.dropout(x, 0.25)
        by_channel = F.dropout2d(x, 0.5)
        noise = torch.randn_like(x)
        in_place = F.dropout(x.clone(), 0.5, inplace=True)
        assert torch.equal(F.dropout(x, 0.5, training=False), x)
        assert torch.equal(F.dropout(x, 1.0), torch.zeros_like(x))
    assert dropped.unique().tolist() == pytest.approx([0, 4 / 3])
    assert float((dropped == 0).float().mean()) == pytest.approx(0.25, abs=0.01)
    assert torch.equal(by_channel.amax((2, 3)), by_channel.amin((2, 3)))
    assert float((in_place == 0).float().mean()) == pytest.approx(0.5, abs=0.01)
    assert float(noise.std()) == pytest.approx(1, abs=0.02)


class TestNamesOfOtherFrameworks:
    """Modules' names may hold "/" and "#", as those of layers' functions and calls do."""

    NAMES = ("block/conv", "block/relu#1", "1#x/y", "#", "mean/pool#2")

    @pytest.fixture
    def net(self):
        parts = (nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3), nn.ReLU(), nn.AvgPool2d(2))
        layers = OrderedDict(zip(self.NAMES, parts, strict=True))
        head = {"flatten": nn.Flatten(), "fc": nn.Linear(5 * 36, 3)}
        return Network(nn.Sequential(OrderedDict(layers, **head)))

    def test_maps_are_those_of_plain_hooks(self, net):
        assert [layer.name for layer in net.layers(X)] == [*self.NAMES, "fc"]
        seen = {}
        for name, module in dict(net.model.named_children()).items():
            module.register_forward_hook(lambda m, a, out, n=name: seen.update({n: out}))
        net.model(X)
        for wanted in ([*self.NAMES], [layer for layer in net.layers(X) if layer.spatial]):
            with record(net, X, wanted) as maps:
                for name in self.NAMES:
                    assert torch.equal(maps[name], seen[name][0].detach())

    def test_attributions_kernels_and_random_weights(self, net):
        for layer in net.layers(X)[:5]:
            found = attribute(net, X, "gradcam", 1, layer)
            assert found.layer == layer.name
            convolution = layer.name in ("block/conv", "1#x/y")
            assert (kernels(net, layer, 0) is not None) == convolution
        found = weight_randomisation(net, X, "gradient", 1)
        assert found.layers == ("fc", "1#x/y", "block/conv")
