"""Random numbers for networks that draw some even in evaluation mode.

The global random state belongs to the user, whose training may be using it in another thread at
this very moment: saving and restoring it would play that thread the same numbers twice. So such
calls get a generator of their own, with a fixed seed.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

_TAKES_GENERATOR = frozenset(
    "rand randn randint randperm bernoulli multinomial normal poisson uniform_ normal_ "
    "exponential_ random_ bernoulli_ cauchy_ log_normal_ geometric_".split()
)
_LIKE = {"rand_like": torch.rand, "randn_like": torch.randn}
_DROPOUTS = {"dropout": 0, "dropout_": 0, "dropout1d": 2, "dropout2d": 2, "dropout3d": 2}
"""How many leading dimensions share a decision with all that follow; 0: none."""
_OTHERS = frozenset(
    "alpha_dropout feature_dropout feature_alpha_dropout gumbel_softmax rrelu randint_like "
    "fractional_max_pool2d fractional_max_pool2d_with_indices".split()
)
RANDOM = _TAKES_GENERATOR | set(_LIKE) | set(_DROPOUTS) | _OTHERS


class OwnRandomness:
    """Runs functions that draw random numbers without touching the global random state."""

    def __init__(self) -> None:
        self._generators: dict[torch.device, torch.Generator] = {}

    def call(self, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The function's result; the same on every run."""
        if not draws(function, args, kwargs):
            return function(*args, **kwargs)
        name = function.__name__
        device = _device(args, kwargs)
        if name in _TAKES_GENERATOR:
            # nn.init and others pass generator=None on.
            return function(*args, **{**kwargs, "generator": self._generator(device)})
        if name in _LIKE:
            like: Tensor = kwargs.pop("input", None) if "input" in kwargs else args[0]
            own = {"generator": self._generator(device)}
            options = {"dtype": like.dtype, "device": like.device, **kwargs, **own}
            return _LIKE[name](like.shape, **options)
        if name in _DROPOUTS:
            return self._dropout(_DROPOUTS[name], *args, **kwargs)
        # These take no generator. The moment between saving and restoring is short.
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices):
            return function(*args, **kwargs)

    def _dropout(
        self,
        shared: int,
        input: Tensor,  # noqa: A002  (F.dropout's name, by which it may be passed)
        p: float = 0.5,
        training: bool = True,
        inplace: bool = False,
        train: bool = True,
    ) -> Tensor:
        shape = input.shape[:shared] + (1,) * (input.dim() - shared) if shared else input.shape
        keep = torch.empty(shape, dtype=input.dtype, device=input.device)
        keep.bernoulli_(1 - p, generator=self._generator(input.device))
        keep = keep / (1 - p) if p < 1 else keep
        return input.mul_(keep) if inplace else input * keep

    def _generator(self, device: torch.device) -> torch.Generator:
        if device not in self._generators:
            self._generators[device] = torch.Generator(device).manual_seed(0)
        return self._generators[device]


class Quiet(TorchFunctionMode):
    """A network run under this mode leaves the global random state alone."""

    def __init__(self) -> None:
        super().__init__()
        self.randomness = OwnRandomness()

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return self.randomness.call(func, args, kwargs or {})


def draws(function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether this call takes numbers from the global random state."""
    name = getattr(function, "__name__", "")
    return name in RANDOM and _draws(name, args, kwargs)


def _draws(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    if kwargs.get("generator") is not None:
        return False
    if name in ("gumbel_softmax", "randint_like") or "fractional" in name:
        return True
    if name in _DROPOUTS or name in _OTHERS:
        place = 4 if name == "rrelu" else 2
        default = name != "rrelu"
        training = kwargs.get("training", kwargs.get("train"))
        if training is None:
            training = args[place - (name == "rrelu")] if len(args) > 3 - (place == 2) else default
        return bool(training)
    return True


def _device(args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.device:
    if kwargs.get("device") is not None:
        return torch.device(kwargs["device"])
    tensor = next((a for a in (*args, *kwargs.values()) if isinstance(a, Tensor)), None)
    return tensor.device if tensor is not None else torch.get_default_device()
