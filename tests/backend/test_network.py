"""Network: what it guesses, what it takes, what it says of itself."""

from __future__ import annotations

import copy
import gc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torchvision.models as tv
from nets import photo, tiny, use
from torch import Tensor, nn

from nbcnnviz.backend.network import Network
from nbcnnviz.backend.preprocess import Preprocess

# -- what is guessed ------------------------------------------------------------------------------


def test_a_bare_module_and_what_is_guessed_about_it() -> None:
    net = Network(tiny())
    assert net.preprocess == Preprocess(resize=256)
    assert net.assumptions == (
        "The input has 3 channels, as the first convolution (conv) takes.",
        "Pictures are scaled to 256 pixels on the shorter side and cropped to 224 x 224.",
        "Pixels in 0..1 are normalised with ImageNet's mean and standard deviation.",
    )
    assert all(f"assumed: {each}" in repr(net) for each in net.assumptions)
    assert (net.name, net.source, net.labels) == ("Sequential", "nv.Network(model)", None)
    assert net.device == torch.device("cpu") and net.dtype == torch.float32
    assert net.label(17) == "class 17"
    assert net.blank().shape == (1, 3, 224, 224) and not net.blank().any()


@pytest.mark.parametrize("channels", [1, 2, 4, 12])
def test_other_numbers_of_channels(channels: int) -> None:
    net = Network(tiny(channels))
    assert net.preprocess == Preprocess(
        mean=(0.0,) * channels, std=(1.0,) * channels, channels=channels, resize=256
    )
    assert "mean 0 and deviation 1" in repr(net)
    array = np.zeros((30, 40, channels), np.uint8)
    assert net.prepare(array).shape == (1, channels, 224, 224)


class Weightless(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.mean((2, 3))


def test_a_model_without_parameters() -> None:
    net = Network(Weightless())
    assert "there is no convolution to tell" in net.assumptions[0]
    assert net.dtype == torch.float32 and net.device == torch.device("cpu")
    assert len(net.predict(photo(30, 30))) == 3


def test_nothing_is_assumed_when_all_is_given() -> None:
    net = Network(tiny(), Preprocess((32, 32)), labels=list("abcdefghij"))
    net.predict(photo(30, 30))
    assert net.assumptions == ()
    assert net.source == "nv.Network(model, preprocess=preprocess, labels=labels)"


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_precision_follows_the_model(dtype: torch.dtype) -> None:
    net = Network(tiny().to(dtype))
    assert net.dtype == dtype == net.prepare(photo(30, 30)).dtype == net.blank().dtype
    assert net.prepare(torch.zeros(3, 8, 8)).dtype == dtype
    assert abs(sum(p.probability for p in net.predict(photo(30, 30), 10)) - 1) < 1e-5


def test_dtype_and_device_follow_a_model_that_is_moved() -> None:
    model = tiny()
    net = Network(model)
    model.double()
    assert net.dtype == torch.float64
    assert Network(tiny(), device="cpu").source == "nv.Network(model, device=device)"


def _compiled(model: nn.Module) -> nn.Module:
    return torch.compile(model)  # type: ignore[return-value]


@pytest.mark.parametrize(
    "wrapped",
    [nn.DataParallel, _compiled, lambda m: nn.DataParallel(_compiled(m)), lambda m: m],
    ids=["parallel", "compiled", "both", "bare"],
)
def test_wrappers_are_taken_off(wrapped: Callable[[nn.Module], nn.Module]) -> None:
    model = tiny()
    assert Network(wrapped(model)).model is model
    assert Network.wrap(wrapped(model)).model is model


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:FutureWarning")
def test_a_scripted_model() -> None:
    scripted = torch.jit.script(tiny(2).eval())
    net = Network(scripted)
    assert net.preprocess.channels == 2
    x = torch.ones(1, 2, 30, 30)
    torch.testing.assert_close(net.logits(x), scripted(x))


class WithBuffer(nn.Module):
    def __init__(self, buffer: Tensor) -> None:
        super().__init__()
        self.register_buffer("extra", buffer)


def _quantised() -> nn.Module:
    module = tiny()
    module.fc = torch.ao.nn.quantized.Linear(6, 10)
    return module


REFUSED: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "lazy": (lambda: nn.Sequential(nn.LazyConv2d(3, 3)), ValueError, "run the model once"),
    "meta": (lambda: tiny().to("meta"), ValueError, "meta device.*to_empty"),
    "quantised module": (_quantised, ValueError, "Linear is quantised.*before quantisation"),
    "quantised tensor": (
        lambda: WithBuffer(torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8)),
        ValueError,
        "qint8 are quantised",
    ),
    "class": (lambda: tv.ResNet, TypeError, "class ResNet is not a torch.nn.Module; call it"),
    "function": (lambda: tv.resnet18, TypeError, "function is not a torch.nn.Module; call it"),
    "text": (lambda: "resnet18", TypeError, "a str is not a torch.nn.Module"),
    "nothing": (lambda: None, TypeError, "NoneType"),
    "weights": (lambda: tiny().state_dict(), TypeError, "OrderedDict"),
}


@pytest.mark.filterwarnings("ignore:.*deprecated")
@pytest.mark.parametrize("case", REFUSED)
def test_models_that_cannot_be_used(case: str) -> None:
    make, kind, message = REFUSED[case]
    with pytest.raises(kind, match=f"^model: .*{message}"):
        Network(make())


@pytest.mark.parametrize(
    ("device", "kind", "message"),
    [
        ("cudda", ValueError, r"device='cudda': .*; this machine has cpu"),
        ("cuda:99", ValueError, r"device='cuda:99': .*; this machine has cpu"),
        ("meta", ValueError, r"device='meta': meta holds no numbers; this machine has cpu"),
        (3.5, TypeError, r'device: a float; give "cpu", "cuda"'),
    ],
)
def test_a_device_that_is_not_there(device: Any, kind: type[Exception], message: str) -> None:
    model = tiny()
    with pytest.raises(kind, match=message):
        Network(model, device=device)
    assert next(model.parameters()).device.type == "cpu"


def test_wrap() -> None:
    net = Network(tiny())
    assert Network.wrap(net) is net
    assert Network.wrap(net.model).model is net.model
    with pytest.raises(TypeError, match=r"^teacher: a str is neither a Network nor a torch\.nn"):
        Network.wrap("resnet18", "teacher")  # type: ignore[arg-type]


# -- labels ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        (["a", "b"], ("a", "b")),
        (("a", 2), ("a", "2")),
        ({0: "a", 1: "b"}, ("a", "b")),
        ({"1": "b", "0": "a"}, ("a", "b")),
        ({2: "c"}, ("class 0", "class 1", "c")),
        (np.array(["a", "b"]), ("a", "b")),
        ([], None),
        ({}, None),
        (None, None),
    ],
)
def test_labels(given: Any, kept: Any) -> None:
    assert Network(tiny(), labels=given).labels == kept


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ("cat", TypeError, "^labels: a str; give a sequence of names"),
        (7, TypeError, "^labels: a int"),
        ({"cat": 0}, TypeError, "^labels: the keys"),
        ({-1: "cat"}, ValueError, "^labels: index -1"),
        ({10**9: "cat"}, ValueError, "^labels: index"),
    ],
)
def test_labels_that_cannot_be_used(given: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message):
        Network(tiny(), labels=given)


@pytest.mark.parametrize(
    ("count", "note"),
    [
        (4, "4 labels were given for 10 classes; the others are numbered."),
        (12, "12 labels were given for 10 classes."),
        (10, None),
    ],
)
def test_too_few_and_too_many_labels(count: int, note: str | None) -> None:
    net = Network(tiny(), Preprocess((32, 32)), labels=[f"name {i}" for i in range(count)])
    labels = {p.index: p.label for p in net.predict(photo(30, 30), 10)}
    assert labels == {i: f"name {i}" if i < count else f"class {i}" for i in range(10)}
    assert net.assumptions == ((note,) if note else ())


# -- tensors --------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(3, 9, 11), (1, 3, 9, 11)])
@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64, torch.bfloat16])
def test_tensors_are_taken_as_they_are(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    given = torch.randn(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    got = Network(tiny()).prepare(given)
    assert got.shape == (1, 3, 9, 11) and got.dtype == torch.float32
    assert torch.equal(got.view(shape), given.float())


def test_a_tensor_is_copied_and_detached() -> None:
    given = torch.ones(1, 3, 8, 8, requires_grad=True)
    got = Network(tiny()).prepare(given)
    assert not got.requires_grad and got.data_ptr() != given.data_ptr()
    net = Network(nn.Sequential(nn.ReLU(inplace=True), nn.Flatten()))
    given = torch.full((1, 3, 2, 2), -1.0)
    net.predict(given)
    assert (given == -1).all()


def test_two_dimensions_for_one_channel() -> None:
    assert Network(tiny(1)).prepare(torch.zeros(8, 9)).shape == (1, 1, 8, 9)


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        (torch.zeros(2, 3, 8, 8), ValueError, "2 x 3 x 8 x 8 holds 2 images; give them one by"),
        (torch.zeros(8, 8, 3), ValueError, r"takes 3 channels; .movedim\(-1, -3\)"),
        (torch.zeros(1, 8, 8), ValueError, "1 x 8 x 8, but the network takes 3 channels|takes 3"),
        (torch.zeros(8, 8), ValueError, r"8 x 8; give \(C, H, W\)"),
        (torch.tensor(1.0), ValueError, "a single number"),
        (torch.zeros(3, 0, 8), ValueError, "0 x 8 has no pixels"),
        (torch.zeros(0, 3, 8, 8), ValueError, "is empty"),
        (torch.full((3, 8, 8), float("nan")), ValueError, "NaN or infinite"),
        (torch.zeros(3, 8, 8, dtype=torch.complex64), TypeError, "give real numbers"),
        (torch.zeros(3, 8, 8, device="meta"), TypeError, "sparse or meta"),
        (torch.zeros(3, 8, 8).to_sparse(), TypeError, "sparse or meta"),
        (None, TypeError, "NoneType"),
        ("no.png", ValueError, "no such file"),
    ],
)
def test_tensors_that_cannot_be_used(given: Any, kind: Any, message: str) -> None:
    with pytest.raises(kind, match=message) as caught:
        Network(tiny()).prepare(given)
    assert str(caught.value).startswith("image")


def test_a_guessed_size_that_does_not_fit_is_explained() -> None:
    model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 26 * 26, 10))
    fix = r"224 x 224 was only guessed.*Preprocess\(size=\(height, width\), channels=1\)\)"
    with pytest.raises(ValueError, match=fix):
        Network(model).predict(photo(28, 28, 1))
    net = Network(model, Preprocess((28, 28), channels=1))
    assert len(net.predict(photo(28, 28, 1))) == 5
    with pytest.raises(RuntimeError, match=r"'2' \(Linear\) failed on 1 x 1568: mat1"):
        net.predict(torch.zeros(1, 30, 30))


# -- version --------------------------------------------------------------------------------------


def _train_step(model: Any) -> None:
    optimizer = torch.optim.SGD(model.parameters(), 0.1)
    model(torch.ones(2, 3, 8, 8)).sum().backward()
    optimizer.step()


def _assign(model: Any) -> None:
    model.conv.weight = nn.Parameter(model.conv.weight.detach().clone())


def _scale(model: Any) -> None:
    with torch.no_grad():
        model.fc.bias.mul_(2)


def _other_data(model: Any) -> None:
    model.fc.weight.data = model.fc.weight.data.clone()


def _other_module(model: Any) -> None:
    model.relu = nn.GELU()


@pytest.mark.parametrize(
    "change",
    [
        _train_step,
        _scale,
        _assign,
        _other_data,
        _other_module,
        lambda m: m.load_state_dict(copy.deepcopy(m.state_dict())),
        lambda m: m.norm.running_mean.add_(1),
        lambda m: m.double(),
    ],
)
def test_version_changes_with_the_model(change: Callable[[Any], Any]) -> None:
    model = tiny()
    net = Network(model)
    before = net.version()
    use(net)
    model.eval()
    model.train()
    assert net.version() == before and 0 <= before < 2**53
    change(model)
    assert net.version() != before


@pytest.mark.filterwarnings("ignore:.*torch.jit.*deprecated:FutureWarning")
def test_version_of_odd_models() -> None:
    scripted = Network(torch.jit.script(tiny().eval()))
    assert scripted.version() == scripted.version()
    with torch.inference_mode():
        model = tiny()
    assert Network(model).version() == Network(model).version()


def test_a_network_goes_when_it_is_dropped() -> None:
    model = tiny()
    net = Network(model)
    net.predict(photo(30, 30))
    gone = weakref.ref(model), weakref.ref(net)
    del model, net
    gc.collect()
    assert [each() for each in gone] == [None, None]
