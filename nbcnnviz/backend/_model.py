"""What can be said of a bare module: its wrappers, weights, input channels and scores."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

NOTHING = torch.empty(0, device="cpu")
"""Stands in for the weights of a model that has none."""

_QUANTISED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized", "torch.nn.quantized")
_SCORES = ("logits", "out", "output", "outputs", "scores", "preds", "predictions")


def unwrap(model: Any) -> nn.Module:
    """The module inside `DataParallel`, `DistributedDataParallel` and `torch.compile`.

    Raises:
        TypeError: not a module.
    """
    if not isinstance(model, nn.Module):
        hint = "; call it to make a model" if isinstance(model, type) or callable(model) else ""
        raise TypeError(f"model: a {kind(model)} is not a torch.nn.Module{hint}")
    parallel = (nn.DataParallel, nn.parallel.DistributedDataParallel)
    while True:
        inner: Any = model.module if isinstance(model, parallel) else None
        if type(model).__name__ == "OptimizedModule":
            inner = model._modules.get("_orig_mod")
        if not isinstance(inner, nn.Module):
            break
        model = inner
    plain: nn.Module = model
    return plain


def kind(value: Any) -> str:
    """A value's type, or a class's or function's own name, for error messages."""
    if isinstance(value, type):
        return f"class {value.__name__}"
    return type(value).__name__


def modules(root: nn.Module) -> list[nn.Module]:
    """`root.modules()`, several times as quick; in the same order."""
    found: dict[int, nn.Module] = {}
    waiting: list[nn.Module | None] = [root]
    while waiting:
        module = waiting.pop()
        if module is not None and id(module) not in found:
            found[id(module)] = module
            waiting.extend(reversed(module._modules.values()))
    return list(found.values())


def is_scripted(model: nn.Module) -> bool:
    """Whether TorchScript runs any of it, out of Python's sight."""
    return any(isinstance(module, torch.jit.ScriptModule) for module in modules(model))


def tensors(model: nn.Module) -> Iterator[Tensor]:
    """Parameters, then buffers."""
    return itertools.chain(model.parameters(), model.buffers())


def check_weights(model: nn.Module) -> None:
    """Refuse models whose weights hold no ordinary numbers.

    Raises:
        ValueError: lazy, on the meta device, or quantised.
    """
    for module in model.modules():
        if type(module).__module__.startswith(_QUANTISED):
            raise ValueError(
                f"model: {type(module).__name__} is quantised, and its activations cannot be "
                "shown; give the model before quantisation"
            )
    for tensor in tensors(model):
        if torch.nn.parameter.is_lazy(tensor):
            raise ValueError(
                "model: a lazy layer has not seen an input yet and has no weights; "
                "run the model once on a batch, then pass it again"
            )
        if tensor.device.type == "meta":
            raise ValueError(
                "model: its weights are on the meta device and hold no numbers; "
                "use model.to_empty(device=...) and load weights first"
            )
        if tensor.is_quantized:
            raise ValueError(
                f"model: weights of {tensor.dtype} are quantised; "
                "give the model before quantisation"
            )


def read_device(device: Any) -> torch.device:
    """A device that can be computed on.

    Raises:
        TypeError, ValueError: no device, or none of this machine; those that are there are named.
    """
    if not isinstance(device, (str, torch.device)):
        raise TypeError(f'device: a {kind(device)}; give "cpu", "cuda", "mps" or a torch.device')
    there = ["cpu"]
    there += [f"cuda:{i}" for i in range(torch.cuda.device_count())]
    there += ["mps"] if torch.backends.mps.is_available() else []
    try:
        made = torch.device(device)
        if made.type == "meta":
            raise RuntimeError("meta holds no numbers")
        torch.empty(0, device=made)
    except (RuntimeError, AssertionError) as error:  # PyTorch without CUDA asserts
        reason = str(error).partition("\n")[0].rstrip(".")
        raise ValueError(
            f"device={str(device)!r}: {reason}; this machine has {' and '.join(there)}"
        ) from None
    return made


def guess_channels(model: nn.Module) -> tuple[int, tuple[str, ...]]:
    """Input channels by the first convolution, and a sentence that says so."""
    for name, module in model.named_modules():
        scripted = getattr(module, "original_name", "") == "Conv2d"
        if isinstance(module, nn.Conv2d) or scripted:
            # A scripted convolution may keep its groups to itself; first ones have a single one.
            count = getattr(module, "in_channels", None) or int(module.weight.shape[1])
            where = f" ({name})" if name else ""
            many = "channel" if count == 1 else "channels"
            return count, (f"The input has {count} {many}, as the first convolution{where} takes.",)
    return 3, ("The input has 3 channels; there is no convolution to tell.",)


def fingerprint(model: nn.Module) -> int:
    """A number below 2**53 that changes with every in-place write and every exchanged part."""
    facts: list[int | torch.dtype | torch.Size] = []
    for module in modules(model):
        facts.append(id(module))
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is None:
                continue
            try:
                facts += (tensor.data_ptr(), tensor._version, tensor.dtype, tensor.shape)
            except RuntimeError:
                facts += (_address(tensor), _version(tensor), tensor.dtype, tensor.shape)
    return hash(tuple(facts)) & (2**53 - 1)


def _version(tensor: Tensor) -> int:
    # Tensors made in inference mode count no versions; they cannot be trained either.
    return -1 if tensor.is_inference() else tensor._version


def _address(tensor: Tensor) -> int:
    try:
        return tensor.data_ptr()
    except RuntimeError:
        # Tensor subclasses, sparse ones among them, may have no storage of their own.
        return id(tensor)


def scores(output: Any) -> Tensor:
    """The tensor (N, classes) in whatever a model puts out.

    Raises:
        ValueError: there is none.
    """
    found = _find_scores(output)
    if found is None:
        raise ValueError(
            f"net: it puts out {_describe(output)}, not one score per class; "
            "its layers can be looked at, its predictions cannot"
        )
    return found


def _find_scores(output: Any) -> Tensor | None:
    if isinstance(output, Tensor):
        if output.ndim > 2 and output.shape[2:].numel() == 1:
            output = output.flatten(1)
        if output.ndim == 1:
            # One score for each image, squeezed.
            output = output[:, None]
        usable = output.ndim == 2 and output.shape[1] > 0 and not output.is_complex()
        return output if usable else None
    if isinstance(output, Mapping):
        if "boxes" in output:
            return None  # its scores are those of the things it found
        names = [key for key in _SCORES if key in output]
        entries = [output[key] for key in names] or list(output.values())
    elif isinstance(output, Sequence) and not isinstance(output, (str, bytes)):
        named = [getattr(output, key) for key in _SCORES if key in getattr(output, "_fields", ())]
        entries = named or list(output)
    else:
        entries = [getattr(output, key) for key in _SCORES if hasattr(output, key)]
    return next((found for found in map(_find_scores, entries) if found is not None), None)


def _describe(output: Any) -> str:
    if isinstance(output, Tensor):
        return "a tensor " + " x ".join(map(str, output.shape))
    return f"a {type(output).__name__}"


def probabilities(logits: Tensor) -> Tensor:
    """Softmax of (..., classes), as `Network.predict` says."""
    if logits.shape[-1] == 1:
        return logits.sigmoid()
    sums = logits.sum(-1, keepdim=True)
    already = (logits >= 0).all(-1, keepdim=True) & ((sums - 1).abs() < 1e-4)
    return torch.where(already, logits, logits.softmax(-1))
