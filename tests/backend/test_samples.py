"""The sample pictures and the digits network."""

from __future__ import annotations

import importlib.metadata
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import nn

import nbcnnviz as nv
from nbcnnviz.samples import _FILES, digits, sample_names, train_digits


@pytest.fixture
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **kwargs: Any) -> None:
        raise AssertionError("a sample picture was about to be fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


@pytest.mark.usefixtures("no_network")
@pytest.mark.parametrize("name", sample_names())
def test_sample_images_are_rgb_and_offline(name: str) -> None:
    image = nv.sample_image(name)
    assert image.mode == "RGB" and min(image.size) >= 8
    assert np.asarray(image).std() > 10
    image.close()


@pytest.mark.parametrize("name", _FILES)
def test_sample_images_lie_in_the_wheels(name: str) -> None:
    """Not merely in a cache that an earlier download filled."""
    package, file = _FILES[name]
    wheel = {"skimage": "scikit-image", "sklearn": "scikit-learn"}[package]
    files = importlib.metadata.files(wheel)
    assert files is not None and Path(package, file).as_posix() in {f.as_posix() for f in files}


@pytest.mark.parametrize(
    ("name", "source"), [("cat", "chelsea"), ("coffee", "coffee"), ("rocket", "rocket")]
)
def test_sample_images_are_scikit_images_own(name: str, source: str) -> None:
    import skimage.data

    assert np.array_equal(np.asarray(nv.sample_image(name)), getattr(skimage.data, source)())


@pytest.mark.parametrize("name", ["dog", "", None, "../cat"])
def test_unknown_samples(name: Any) -> None:
    with pytest.raises(ValueError, match=f"name={name!r}: no such picture; there are astronaut, "):
        nv.sample_image(name)


@pytest.mark.parametrize(
    ("name", "package", "fix"),
    [("cat", "skimage", r"nbcnnviz\[demo\]"), ("flower", "sklearn", "scikit-learn")],
)
def test_a_missing_package_is_named(
    name: str, package: str, fix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import importlib.util

    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *rest: None if name == package else find(name)
    )
    with pytest.raises(ImportError, match=f"{name}.*pip install .*{fix}"):
        nv.sample_image(name)


# -- the digits network ---------------------------------------------------------------------------

FILE = Path(digits.__file__).with_name(digits.WEIGHTS)


def test_the_shipped_weights_are_small_and_fit() -> None:
    assert FILE.stat().st_size < 200_000
    stored, own = load_file(FILE), digits.DigitsNet().state_dict()
    assert {k: v.shape for k, v in stored.items()} == {k: v.shape for k, v in own.items()}


def test_the_layers_are_as_described() -> None:
    net = nv.Network.digits()
    kinds = [type(module) for module in net.model.children()]
    block = [nn.Conv2d, nn.ReLU, nn.MaxPool2d]
    assert kinds == [*block, *block, nn.AdaptiveAvgPool2d, nn.Flatten, nn.Linear]
    assert (net.name, net.source, net.assumptions) == ("digits", "nv.Network.digits()", ())
    assert net.labels == tuple("0123456789")


def test_held_out_digits_are_read_well() -> None:
    images, targets = digits.load()
    training, held_out = digits.split(targets)
    assert not set(training) & set(held_out) and len(training) + len(held_out) == 1797
    assert len(held_out) == 599 and np.bincount(targets[held_out]).min() > 40
    net = nv.Network.digits()
    scores = net.logits(torch.cat([net.prepare(images[i]) for i in held_out]))
    share = float((scores.argmax(1) == torch.from_numpy(targets[held_out])).double().mean())
    assert share >= 0.98, f"{share:.2%} of the held-out digits"


def test_the_sample_digit_is_a_held_out_three() -> None:
    best = nv.Network.digits().predict(nv.sample_image("digit"))[0]
    assert (best.label, best.probability > 0.9) == ("3", True)
    images, targets = digits.load()
    index = int((images == np.asarray(nv.sample_image("digit"))[..., 0]).all((1, 2)).argmax())
    assert index in digits.split(targets)[1]


@pytest.fixture
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    images, targets = digits.load()
    monkeypatch.setattr(train_digits, "load", lambda: (images[:300], targets[:300]))


@pytest.mark.usefixtures("few_digits")
def test_training_learns_is_repeatable_and_leaves_the_random_state() -> None:
    before = torch.get_rng_state()
    first, share = train_digits.train(epochs=20)
    again, same_share = train_digits.train(epochs=20)
    assert torch.equal(before, torch.get_rng_state())
    assert share == same_share > 0.4
    for a, b in zip(first.parameters(), again.parameters(), strict=True):
        assert torch.equal(a, b)
    assert not first.training


@pytest.mark.usefixtures("few_digits")
def test_the_training_script_writes_what_the_network_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "weights.safetensors"
    train = train_digits.train
    monkeypatch.setattr(train_digits, "train", lambda: train(epochs=1))
    monkeypatch.setattr(sys, "argv", ["train_digits", str(file)])
    train_digits.main()
    digits.DigitsNet().load_state_dict(load_file(file))
    assert f"% of the held-out digits right; {file.stat().st_size} bytes" in capsys.readouterr().out
