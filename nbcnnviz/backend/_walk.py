"""Following one forward pass: which module is running, which call of it, which functions it calls.

A call of a module is named by the module's path, later calls of the same one "path#2"; a call of
a function is named "<module call>/<function>#<n>", counted within that call of the module.
"""

from __future__ import annotations

import functools
import threading
from collections import Counter
from collections.abc import Container, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.jit import ScriptModule
from torch.overrides import TorchFunctionMode

from ._functions import Function, describe

_CONTAINERS = ("torch.nn.modules.container", "torch.nn.modules.transformer")


@dataclass(eq=False)
class Frame:
    """One running call of a module."""

    module: nn.Module
    name: str
    """Path and call number: "layer1.0.relu#2"; empty for the network itself."""
    leaf: bool
    """It has no submodules."""
    builtin: bool
    """PyTorch's own: the functions it calls are its inner business."""
    calls: Counter[str] = field(default_factory=Counter)
    """How often it called each function so far."""
    memory: dict[str, Any] = field(default_factory=dict)
    """For whoever follows the pass."""


def call_name(path: str, call: int) -> str:
    """ "relu", "relu#2", ..."""
    return path if call == 1 else f"{path}#{call}"


def split_call(name: str) -> tuple[str, int]:
    """The path and the call: `call_name` turned round."""
    # A module's own name may hold "#" too: only a number at the end is ours.
    path, _, number = name.rpartition("#")
    return (path, int(number)) if path and number.isdecimal() else (name, 1)


def module_path(name: str, known: Container[str]) -> str | None:
    """Of the modules with these paths the one that a layer is, or whose function it is.

    Example:
        >>> module_path("block/conv#2/add#1", ["", "block/conv", "block"])
        'block/conv'
    """
    # A module's own name may hold "/" too: what is known as a whole is no function.
    called, slash, _ = name.rpartition("/")
    inside = (called, split_call(called)[0]) if slash else ()
    return next((p for p in (name, split_call(name)[0], *inside) if p in known), None)


def named_modules(root: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Like `root.named_modules()`, and also what lies in plain lists, tuples and dicts.

    Without scripted modules, which take no hooks.
    """
    waiting = [(p, m) for p, m in root.named_modules() if not isinstance(m, ScriptModule)]
    seen = {id(module) for _, module in waiting}
    while waiting:
        path, module = waiting.pop(0)
        yield path, module
        if is_builtin(module):
            continue  # holds numbers and weights
        for key, value in module.__dict__.items():
            if key.startswith("_") or type(value) in _PLAIN:
                continue
            for name, hidden in _inside(value, f"{path}.{key}" if path else key, 3):
                for inner, part in hidden.named_modules():
                    if id(part) not in seen and not isinstance(part, ScriptModule):
                        seen.add(id(part))
                        waiting.append((f"{name}.{inner}" if inner else name, part))


_PLAIN = frozenset({int, bool, float, str, type(None), Tensor, torch.dtype, torch.device})


def _inside(value: Any, name: str, depth: int) -> Iterator[tuple[str, nn.Module]]:
    if isinstance(value, nn.Module):
        yield name, value
    elif not depth or type(value) in _PLAIN:
        return
    elif isinstance(value, list | tuple | dict):
        # A long one is data; nobody keeps layers in it.
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        for key, item in pairs if len(value) <= 10_000 else ():
            if type(item) not in _PLAIN:
                yield from _inside(item, f"{name}.{key}", depth - 1)
    elif type(value).__module__.partition(".")[0] not in ("torch", "builtins", "functools"):
        for key, item in getattr(value, "__dict__", {}).items():
            if isinstance(item, nn.Module | list | tuple | dict):
                yield from _inside(item, f"{name}.{key}", depth - 1)


def is_leaf(module: nn.Module) -> bool:
    """No submodules, or only those that `torch.nn.utils.parametrize` put there."""
    return all(name == "parametrizations" for name in module._modules)


def is_builtin(module: nn.Module) -> bool:
    """A layer of PyTorch's own, also when its weights are parametrised."""
    return _is_builtin(cast(Any, type(module)))


@functools.lru_cache(maxsize=512)
def _is_builtin(kind: type) -> bool:
    if kind.__module__ == "torch.nn.utils.parametrize" and kind.__name__.startswith("Param"):
        kind = kind.__mro__[1]
    home = kind.__module__
    return home.startswith("torch.nn.") and home not in _CONTAINERS


def first_tensor(output: Any) -> Tensor | None:
    """The first tensor of what a module returned: itself, or in a tuple, list, dict."""
    if isinstance(output, Tensor):
        return output
    if isinstance(output, dict):
        output = list(output.values())
    elif not isinstance(output, list | tuple):
        output = list(vars(output).values()) if hasattr(output, "__dataclass_fields__") else ()
    return next((t for t in map(first_tensor, output) if t is not None), None)


class Walk:
    """Calls back for every module call and, if asked for, every function call of a forward pass.

    Nothing is attached before `with`; leaving it detaches everything. Only the thread that
    entered is listened to.
    """

    def __init__(self, root: nn.Module) -> None:
        self.root = root
        self._stack = ExitStack()
        self._frames: list[Frame] = []
        self._finished: Counter[int] = Counter()
        self._thread = 0

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        """Path and module of those to listen to."""
        return named_modules(self.root)

    functions = True
    """Whether function calls are listened to."""

    def entered(self, frame: Frame, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        """A module is about to run."""

    def left(self, frame: Frame, output: Any) -> None:
        """A module has run."""

    def called(
        self,
        frame: Frame,
        function: Function,
        raw: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        """A function is called: run it and return what it returned."""
        return raw(*args, **kwargs)

    def __enter__(self) -> Walk:
        self._thread = threading.get_ident()
        self._finished.clear()
        self._frames = [Frame(self.root, "", False, False)]
        with ExitStack() as stack:
            for path, module in self.modules():
                self._listen(stack, path, module)
            if self.functions:
                stack.enter_context(_Listener(self))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> bool | None:
        self._frames = []
        self._stack.close()
        return None

    def _listen(self, stack: ExitStack, path: str, module: nn.Module) -> None:
        # The network itself is no layer, thus the functions it calls are.
        leaf, builtin = (is_leaf(module), is_builtin(module)) if path else (False, False)

        def enter(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if threading.get_ident() == self._thread and self._frames:
                call = self._finished[id(module)] + 1
                frame = Frame(module, call_name(path, call), leaf, builtin)
                self._frames.append(frame)
                with torch._C.DisableTorchFunction():  # what we do ourselves is not listened to
                    self.entered(frame, args, kwargs)

        def leave(module: nn.Module, args: Any, output: Any) -> None:
            if threading.get_ident() == self._thread and self._frames:
                # A module whose exception the network caught never left.
                while self._frames[-1].module is not module:
                    self._frames.pop()
                frame = self._frames[-1]
                self._finished[id(module)] += 1
                with torch._C.DisableTorchFunction():
                    self.left(frame, output)
                self._frames.pop()

        stack.enter_context(module.register_forward_pre_hook(enter, with_kwargs=True))
        stack.enter_context(module.register_forward_hook(leave))

    def _heard(self, raw: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        function = describe(raw)
        if function.asks or not self._frames:
            return raw(*args, **kwargs)
        frame = self._frames[-1]
        frame.calls[function.name] += 1
        return self.called(frame, function, raw, args, kwargs)


class _Listener(TorchFunctionMode):
    """Hands every function call to a `Walk`. A mode is bound to the thread that entered it."""

    def __init__(self, walk: Walk) -> None:
        super().__init__()
        self._walk = walk

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        return self._walk._heard(func, args, kwargs or {})
