"""A model, how to feed it, how to read it, and the lock under which it runs."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import _failure, _model
from ._rng_guard import quiet
from ._shadow import shadow
from .custom_preprocess import CustomPreprocess, read_preprocess
from .images import Bytes, check_size
from .preprocess import Preprocess

if TYPE_CHECKING:
    from .layers import Layer


@dataclass(frozen=True)
class Prediction:
    """One class and what the network gives it."""

    index: int
    label: str
    logit: float
    probability: float


class Network:
    """A model with how to feed it (`preprocess`), how to read it (`labels`) and a run lock.

    What is not given is guessed, and said in `assumptions` and in `repr(net)`. The model itself
    is never changed: its flags, gradients, buffers and hooks stay as they are. It runs as a copy of
    its modules that shares the weights. Your own forward hooks run there too, since they may be
    part of the computation; what they write to the module or a list they close over stays there.

    Args:
        model: any `torch.nn.Module` that takes images (N, C, H, W). `DataParallel` and
            `torch.compile` wrappers are taken off.
        preprocess: a `Preprocess`, torchvision's `weights.transforms()`, a timm or torchvision
            chain of transforms, or any function from a PIL image to a tensor (C, H, W). None: by
            the first convolution's channels, 224 x 224, ImageNet's normalisation for colour.
        labels: names of the classes: a sequence, or a mapping from index to name.
        device: where to move the model first; None: where it is.

    Raises:
        TypeError: an argument of the wrong kind.
        ValueError: a model without weights yet (lazy, meta device) or with quantised ones, or a
            device that is not there.

    Example:
        >>> net = Network(nn.Conv2d(1, 4, 3), labels=["a", "b", "c", "d"])
        >>> net.prepare(torch.zeros(1, 28, 28)).shape
        torch.Size([1, 1, 28, 28])
    """

    def __init__(
        self,
        model: nn.Module,
        preprocess: Any = None,
        labels: Sequence[str] | Mapping[int, str] | None = None,
        device: str | torch.device | None = None,
    ) -> None:
        self.model: nn.Module = _model.unwrap(model)
        """The user's module, without wrappers."""
        _model.check_weights(self.model)
        if device is not None:
            self.model.to(_model.read_device(device))
        channels, notes = _model.guess_channels(self.model)
        self._guess: Preprocess | None = None
        if preprocess is None:
            self._guess, more = _guess_preprocess(channels)
            self.preprocess, notes = self._guess, notes + more
        else:
            with quiet(self.device):
                self.preprocess, notes = read_preprocess(preprocess, channels)
        self.labels: tuple[str, ...] | None = read_labels(labels)
        """Names of the classes, if known."""
        self.name: str = type(self.model).__name__
        """What to call the network in titles."""
        given = [("preprocess", preprocess), ("labels", labels), ("device", device)]
        names = ["model", *(f"{key}={key}" for key, value in given if value is not None)]
        self.source: str = f"nv.Network({', '.join(names)})"
        """A Python expression that makes this network again."""
        self.lock = threading.RLock()
        """Held while the network runs."""
        self._notes: tuple[str, ...] = notes
        self._classes: int | None = None

    preprocess: Preprocess | CustomPreprocess
    """From a picture to a tensor (1, C, H, W), and `undo` back."""

    # -- other ways to make one -----------------------------------------------------------------

    @classmethod
    def wrap(cls, net: Network | nn.Module, argument: str = "net") -> Network:
        """The network itself, or a bare module with everything else guessed.

        Raises:
            TypeError: neither a `Network` nor a `torch.nn.Module`; `argument` names it.
        """
        if isinstance(net, Network):
            return net
        if isinstance(net, nn.Module):
            return cls(net)
        raise TypeError(
            f"{argument}: a {_model.kind(net)} is neither a Network nor a torch.nn.Module"
        )

    @classmethod
    def from_torchvision(cls, name: str, weights: Any = "DEFAULT", **options: Any) -> Network:
        """A model of torchvision with the preprocessing and labels of its weights.

        Args:
            name: as in `torchvision.models.list_models()`, for example "resnet18".
            weights: "DEFAULT", another name of weights, an entry of a weights enum, or None for
                random weights. Weights that are not on disk yet are downloaded by torchvision.
            options: handed on to torchvision.

        Raises:
            ValueError: no such model or weights; the nearest names are given.
        """
        from . import pretrained

        return pretrained.from_torchvision(cls, name, weights, options)

    @classmethod
    def from_timm(cls, name: str, pretrained: bool = True, **options: Any) -> Network:
        """A model of timm with the preprocessing of its `pretrained_cfg`.

        Args:
            name: as in `timm.list_models()`, for example "resnet18".
            pretrained: with weights (downloaded by timm if need be), else random.
            options: handed on to `timm.create_model`.

        Raises:
            ImportError: timm is not installed.
            ValueError: no such model; the nearest names are given.
        """
        from . import pretrained as loaders

        return loaders.from_timm(cls, name, pretrained, options)

    @classmethod
    def demo(cls) -> Network:
        """EfficientNet-Lite0 with ImageNet weights from an installed package: no download.

        Raises:
            ImportError: the `demo` extra is not installed.
        """
        from . import pretrained

        return pretrained.demo(cls)

    @classmethod
    def digits(cls) -> Network:
        """A small convolutional network trained on scikit-learn's digits; it comes along.

        Example:
            >>> import nbcnnviz as nv
            >>> nv.Network.digits().predict(nv.sample_image("digit"))[0].label
            '3'
        """
        from . import pretrained

        return pretrained.digits(cls)

    # -- facts ------------------------------------------------------------------------------------

    @property
    def device(self) -> torch.device:
        """Where the weights are now."""
        return next(_model.tensors(self.model), _model.NOTHING).device

    @property
    def dtype(self) -> torch.dtype:
        """Of the first floating-point parameter; float32 for a model without."""
        floats = (p.dtype for p in self.model.parameters() if p.is_floating_point())
        return next(floats, torch.float32)

    @property
    def assumptions(self) -> tuple[str, ...]:
        """What was guessed, in sentences; empty when all was given."""
        given, classes = len(self.labels or ()), self._classes
        if self.labels is None or classes is None or given == classes:
            return self._notes
        return (
            *self._notes,
            f"{given} labels were given for {classes} classes"
            + ("; the others are numbered." if given < classes else "."),
        )

    def version(self) -> int:
        """A number that changes when weights, buffers or the modules themselves change.

        Writing through `parameter.data` goes unseen, as it does for PyTorch itself.
        """
        return _model.fingerprint(self.model)

    def __repr__(self) -> str:
        height, width = self.preprocess.size
        count = sum(p.numel() for p in self.model.parameters())
        dtype = str(self.dtype).removeprefix("torch.")
        lines = [
            f"Network {self.name}: {count:,} parameters in {dtype} on {self.device}",
            f"  input: {self.preprocess.channels} x {height} x {width} by {self.preprocess!r}",
        ]
        if self.labels:
            some = ", ".join(self.labels[:3]) + (", ..." if len(self.labels) > 3 else "")
            lines.append(f"  labels: {len(self.labels)} ({some})")
        return "\n".join([*lines, *(f"  assumed: {each}" for each in self.assumptions)])

    def label(self, index: int) -> str:
        """The name of a class; "class 17" where none is known."""
        if self.labels is not None and 0 <= index < len(self.labels):
            return self.labels[index]
        return f"class {index}"

    # -- pictures and tensors -----------------------------------------------------------------

    def prepare(self, image: Any) -> Tensor:
        """What the network is given for an image: (1, C, H, W) on its device, in its dtype.

        Args:
            image: a path, a PIL image, an array or an integer tensor goes through `preprocess`
                (see `backend.load_image` for what is accepted). A tensor of floats, (C, H, W) or
                (1, C, H, W), counts as preprocessed already and is copied as it is.

        Raises:
            TypeError, ValueError: it cannot be used; the message says what to do.
        """
        if isinstance(image, Tensor) and (image.is_floating_point() or image.is_complex()):
            tensor = _ready(image, self.preprocess.channels)
        else:
            with quiet(self.device):
                tensor = self.preprocess(image)
        # Always a copy: some networks begin with an in-place operation.
        return tensor.to(self.device, self.dtype, copy=True)

    def blank(self) -> Tensor:
        """An input of the usual size without content: the mean colour, (1, C, H, W)."""
        size = (1, self.preprocess.channels, *self.preprocess.size)
        return torch.zeros(size, device=self.device, dtype=self.dtype)

    def picture(self, tensor: Tensor) -> Bytes:
        """The picture (H, W, 3), 8 bits, behind an input (C, H, W) or (1, C, H, W)."""
        return self.preprocess.undo(tensor)

    # -- running ------------------------------------------------------------------------------

    @contextmanager
    def evaluating(
        self, grad: bool = False, draws: bool = True, body: nn.Module | None = None
    ) -> Iterator[nn.Module]:
        """Hold the lock and lend a body of the model to run, hook and throw away.

        The body shares every parameter with the user's model, is in evaluation mode and may be
        hooked at will. Inside, gradients are off (on with `grad`) and autocast is off, whatever
        the caller's modes are. The global random states stay as they are: a model that draws
        random numbers even now draws the same ones in every run. `draws=False` says that an
        earlier run drew none, which saves listening for it. `body` is one that was lent before and
        is lent again; only who knows that the model has not changed meanwhile may give it.
        """
        with self.lock, torch.inference_mode(False):
            # Before anything listens to functions: cloning the buffers makes many calls.
            body = shadow(self.model) if body is None else body
            device = self.device
            with (
                quiet(device, _model.is_scripted(body), draws),
                torch.set_grad_enabled(grad),
                torch.autocast(device.type, enabled=False),
            ):
                try:
                    yield body
                except Exception as error:
                    better = _failure.explained(error, body, self._guess)
                    if better is None:
                        raise
                    raise better from error

    def logits(self, x: Tensor) -> Tensor:
        """The scores (N, classes) for inputs (N, C, H, W).

        Of a dict, a tuple or a named output the entry with the scores is taken.

        Raises:
            ValueError: the network does not put out one score per class.
        """
        with self.evaluating() as body:
            return _model.scores(body(x))

    def predict(self, image: Any, k: int = 5) -> list[Prediction]:
        """The `k` most probable classes, best first.

        Probabilities are the softmax of the scores. A single score gets its sigmoid; scores that
        are probabilities already (none negative, sum 1) stay as they are.

        Args:
            image: see `prepare`.
            k: how many classes, at least 1.

        Raises:
            ValueError: the network does not put out one score per class, or `k` is below 1.
        """
        if not isinstance(k, int) or k < 1:
            raise ValueError(f"k={k!r}: give a whole number of at least 1")
        return self.read(self.logits(self.prepare(image))[0], k)

    def read(self, logits: Tensor, k: int = 5) -> list[Prediction]:
        """The `k` most probable classes of scores (classes,), as `predict` tells them."""
        logits = logits.detach().to("cpu", torch.float32)
        self._classes = len(logits)
        probabilities = _model.probabilities(logits)
        best = probabilities.topk(min(k, len(logits)))
        return [
            Prediction(index, self.label(index), float(logits[index]), probability)
            for index, probability in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    def layers(self, image: Any = None) -> list[Layer]:
        """Every layer in the order of its call, found by one forward pass.

        Args:
            image: see `prepare`; None: an input without content.
        """
        from .layers import trace

        return trace(self, self.blank() if image is None else image)


def _ready(tensor: Tensor, channels: int) -> Tensor:
    """A preprocessed tensor as (1, C, H, W)."""
    shape = " x ".join(map(str, tensor.shape)) or "a single number"
    if not tensor.is_floating_point():
        raise TypeError(f"image: a tensor of {tensor.dtype}; give real numbers")
    if tensor.device.type == "meta" or tensor.layout != torch.strided:
        raise TypeError("image: a sparse or meta tensor; give an ordinary one")
    if tensor.ndim == 4 and tensor.shape[0] > 1:
        raise ValueError(f"image: {shape} holds {tensor.shape[0]} images; give them one by one")
    if tensor.ndim == 2 and channels == 1:
        tensor = tensor[None]
    if tensor.ndim == 3:
        tensor = tensor[None]
    if tensor.ndim != 4:
        raise ValueError(f"image: a tensor {shape}; give (C, H, W) or (1, C, H, W)")
    if tensor.shape[1] != channels:
        turned = tensor.shape[3] == channels
        fix = ".movedim(-1, -3) brings the channels first" if turned else "give as many"
        raise ValueError(
            f"image: a tensor {shape}, but the network takes {channels} channels; {fix}"
        )
    check_size(int(tensor.shape[2]), int(tensor.shape[3]), "image")
    if tensor.shape[0] != 1:
        raise ValueError(f"image: a tensor {shape} is empty; give one image")
    # A finite sum has only finite terms, and is several times as quick to tell.
    if not (bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())):
        raise ValueError("image: the tensor holds NaN or infinite values; torch.nan_to_num helps")
    return tensor.detach()


def _guess_preprocess(channels: int) -> tuple[Preprocess, tuple[str, ...]]:
    made = Preprocess(channels=channels, resize=256)
    how = "ImageNet's mean and standard deviation" if channels == 3 else "mean 0 and deviation 1"
    return made, (
        "Pictures are scaled to 256 pixels on the shorter side and cropped to 224 x 224.",
        f"Pixels in 0..1 are normalised with {how}.",
    )


def read_labels(labels: Any) -> tuple[str, ...] | None:
    if labels is None:
        return None
    if hasattr(labels, "tolist"):
        labels = labels.tolist()
    if isinstance(labels, (str, bytes)) or not isinstance(labels, (Sequence, Mapping)):
        raise TypeError(
            f"labels: a {type(labels).__name__}; give a sequence of names or a mapping "
            "from index to name"
        )
    if not isinstance(labels, Mapping):
        return tuple(map(str, labels)) or None
    try:
        by_index = {int(key): str(name) for key, name in labels.items()}
    except (TypeError, ValueError) as error:
        raise TypeError("labels: the keys of the mapping must be class indices") from error
    if min(by_index, default=0) < 0 or max(by_index, default=0) > 10_000_000:
        raise ValueError(f"labels: index {min(by_index)} to {max(by_index)}; indices begin at 0")
    count = max(by_index, default=-1) + 1
    return tuple(by_index.get(i, f"class {i}") for i in range(count)) or None
