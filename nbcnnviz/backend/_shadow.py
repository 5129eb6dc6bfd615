"""A second body for a model: the same tensors, but flags and hooks of its own.

Whatever this package hooks, and every module it puts in evaluation mode, belongs to the shadow.
The user's modules are never touched, so there is nothing to restore after an exception, and
another thread may train the model meanwhile.
"""

from __future__ import annotations

import copy
import functools
import sys
import types
import weakref
from collections import OrderedDict, deque
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, cast

import torch
from torch import nn
from torch.nn.modules.lazy import LazyModuleMixin

from ._model import modules

# What no copy can tell from the original; most attributes of a module are of these types.
_ATOMS = frozenset(
    {
        int,
        float,
        complex,
        bool,
        str,
        bytes,
        type(None),
        type(Ellipsis),
        type,
        slice,
        range,
    }
    | {torch.Tensor, nn.Parameter, torch.device, torch.dtype, torch.Size, torch.layout}
    | {
        types.BuiltinFunctionType,
        types.ModuleType,
        torch.memory_format,
        torch.Generator,
    }
)
# A tensor may be the alias of a buffer.
_PLAIN = _ATOMS - {torch.Tensor}
# Hooks that run only while gradients flow or state is saved. They cannot change an output, and
# backward hooks make in-place operations fail, so the shadow goes without them.
_LEFT_OUT = frozenset({"_backward_hooks", "_backward_pre_hooks"})
_IDLE = frozenset(
    {"_state_dict_hooks", "_state_dict_pre_hooks"}
    | {"_load_state_dict_pre_hooks", "_load_state_dict_post_hooks"}
)
# What is said of single hooks, by their numbers, of which no two are equal: one will do for all.
_BY_HANDLE = frozenset(
    {"_forward_hooks_with_kwargs", "_forward_hooks_always_called"}
    | {"_forward_pre_hooks_with_kwargs"}
)
_EMPTY = frozenset({dict, OrderedDict, set})
# A list of a million words is data; nobody keeps layers in it.
_LONGEST = 10_000
# An object of the user's that holds an object that holds a module; deeper lies a framework.
_DEEPEST = 2
_FOREIGN = frozenset({"numpy", "torch", "PIL"}) | sys.stdlib_module_names


def shadow(model: nn.Module) -> nn.Module:
    """A copy of the module tree in evaluation mode that shares every parameter.

    It takes about a millisecond for ResNet-18. Make a new one for each run rather than keep one:
    buffers are cloned (a forward pass may write to them, and another thread's training may), and
    parameters or submodules that are replaced later are not seen.

    Copied: modules, also those in plain lists, tuples, dicts, dataclasses and helper objects;
    bound methods, partials and closures over them (`self.forward = self._forward_impl`);
    forward hooks and pre-hooks, since they may be part of the computation (weight norm,
    pruning); a hook that records into a global variable goes on doing so. Backward hooks are
    left out. Scripted modules are copied by TorchScript. Everything else is shared.

    `train()` and `eval()` are never called: some libraries merge weights in them.

    Raises:
        ValueError: a lazy module has not seen its first input yet.
    """
    with torch.no_grad():
        body: nn.Module = _Copier().run(model)
    return body


class _Copier:
    def __init__(self) -> None:
        self.memo: dict[int, Any] = {}
        self.alive: list[Any] = []
        """Originals that were made on the way, so that no id in `memo` is used twice."""
        self.nothing: OrderedDict[int, Any] = OrderedDict()
        """One for all modules: nobody saves or loads the weights of a shadow."""
        self.by_handle = {key: OrderedDict[int, bool]() for key in _BY_HANDLE}
        self.modules_met = 0
        self.depth = 0

    def run(self, model: nn.Module) -> Any:
        # Empty bodies first, so that cycles and weak references find their target.
        shells = [(m, self.shell(m)) for m in modules(model) if id(m) not in self.memo]
        for original, body in shells:
            self.fill(original, body)
        return self.memo[id(model)]

    def shell(self, module: nn.Module) -> Any:
        inner = module._modules.get("_orig_mod") if _is_compiled(module) else None
        if inner is not None:
            body = self.memo[id(inner)] if id(inner) in self.memo else self.shell(inner)
            if body is not None:
                self.fill_later(inner, body)
        elif isinstance(module, torch.jit.ScriptModule):
            body = _copy_scripted(module)
        else:
            _refuse_lazy(module)
            body = object.__new__(type(module))
        self.memo[id(module)] = body
        return body

    def fill_later(self, module: nn.Module, body: Any) -> None:
        """A compiled wrapper's inner module: `run` meets it again, but its shell exists."""
        if not body.__dict__:
            self.fill(module, body)

    def fill(self, module: nn.Module, body: Any) -> None:
        if isinstance(module, torch.jit.ScriptModule) or body.__dict__:
            return
        target = body.__dict__
        target.update(module.__dict__)
        for key, value in module.__dict__.items():
            kind = type(value)
            if kind in _PLAIN or (kind is tuple and _PLAIN.issuperset(map(type, value))):
                continue
            if key in _IDLE:
                target[key] = self.nothing
            elif key in _BY_HANDLE and not value:
                target[key] = self.by_handle[key]
            elif (kind in _EMPTY and not value and key[0] == "_") or key in _LEFT_OUT:
                target[key] = kind()
            elif key == "_buffers":
                target[key] = {name: self.buffer(b) for name, b in value.items()}
            elif key == "_parameters":
                target[key] = dict(value)
            else:
                target[key] = self.value(value)
        target["training"] = False
        target["_compiled_call_impl"] = None
        target["_is_full_backward_hook"] = None
        for name in _slots(cast(Any, type(module))):
            if hasattr(module, name):
                object.__setattr__(body, name, self.value(getattr(module, name)))

    def buffer(self, tensor: torch.Tensor | None) -> torch.Tensor | None:
        if tensor is None:
            return None
        made: torch.Tensor | None = self.memo.get(id(tensor))
        if made is None:
            # Without gradients, since `shadow` has switched them off.
            self.memo[id(tensor)] = made = tensor.clone()
        return made

    def value(self, value: Any) -> Any:
        kind = type(value)
        if kind in _ATOMS:
            # A plain attribute may alias a buffer, which has a clone here.
            return self.memo.get(id(value), value) if kind is torch.Tensor else value
        if id(value) in self.memo:
            self.modules_met += isinstance(value, nn.Module)
            return self.memo[id(value)]
        if isinstance(value, nn.Module):
            self.modules_met += 1
            body = self.shell(value)
            self.fill(value, body)
            return body
        handler = _HANDLERS.get(kind)
        if handler is not None:
            return handler(self, value)
        if isinstance(value, tuple):
            return self.copy_tuple(value)
        return self.copy_thing(value)

    def copy_list(self, value: list[Any]) -> list[Any]:
        if len(value) > _LONGEST:
            return value
        made: list[Any] = []
        self.memo[id(value)] = made
        made.extend(map(self.value, value))
        return made

    def copy_dict(self, value: dict[Any, Any]) -> Any:
        if len(value) > _LONGEST:
            return value
        made: Any = type(value)()
        self.memo[id(value)] = made
        for key, item in value.items():
            made[self.value(key)] = self.value(item)
        return made

    def copy_set(self, value: Any) -> Any:
        if len(value) > _LONGEST:
            return value
        return type(value)(map(self.value, value))

    def copy_deque(self, value: deque[Any]) -> deque[Any]:
        return deque(map(self.value, value), value.maxlen)

    def copy_tuple(self, value: tuple[Any, ...]) -> Any:
        if len(value) > _LONGEST:
            return value
        items = [self.value(item) for item in value]
        if all(map(_same, items, value)):
            return value
        make = getattr(type(value), "_make", type(value))
        return make(items)

    def copy_method(self, value: types.MethodType) -> Any:
        owner, function = self.value(value.__self__), self.value(value.__func__)
        if owner is value.__self__ and function is value.__func__:
            return value
        return types.MethodType(function, owner)

    def copy_partial(self, value: functools.partial[Any]) -> Any:
        function, args = self.value(value.func), self.copy_tuple(value.args)
        keywords = {k: self.value(v) for k, v in value.keywords.items()}
        made = functools.partial(function, *args, **keywords)
        made.__dict__.update({k: self.value(v) for k, v in value.__dict__.items()})
        return made

    def copy_function(self, value: types.FunctionType) -> Any:
        """A closure over `self`, or one with `self` among its defaults, closes over the copy.

        So does one over a list or a dict, which keeps a recording hook out of the user's own.
        """
        if not value.__closure__ and not value.__defaults__ and not value.__kwdefaults__:
            return value
        cells = tuple(map(self.copy_cell, value.__closure__ or ()))
        defaults = self.copy_tuple(value.__defaults__ or ())
        keywords = {k: self.value(v) for k, v in (value.__kwdefaults__ or {}).items()}
        pairs = zip(
            (*cells, *defaults, *keywords.values()),
            (
                *(value.__closure__ or ()),
                *(value.__defaults__ or ()),
                *(value.__kwdefaults__ or {}).values(),
            ),
            strict=True,
        )
        if all(a is b for a, b in pairs):
            return value
        made = types.FunctionType(
            value.__code__,
            value.__globals__,
            value.__name__,
            defaults or None,
            cells or None,
        )
        self.memo[id(value)] = made
        made.__kwdefaults__ = keywords or None
        made.__dict__.update(value.__dict__)
        return made

    def copy_cell(self, cell: types.CellType) -> types.CellType:
        """The cell itself when its content needs no copy: functions may share a variable."""
        if id(cell) in self.memo:
            return cast(types.CellType, self.memo[id(cell)])
        try:
            content = cell.cell_contents
        except ValueError:  # the variable is not bound yet
            return cell
        # Before its content, which may be the very function that closes over it.
        self.memo[id(cell)] = made = types.CellType()
        made.cell_contents = self.value(content)
        if made.cell_contents is content:
            self.memo[id(cell)] = made = cell
        return made

    def copy_reference(self, value: weakref.ref[Any]) -> Any:
        target = self.memo.get(id(value()))
        return value if target is None else weakref.ref(target)

    def copy_thing(self, value: Any) -> Any:
        """An object of some class: copied only when it leads to a module."""
        kind = type(value)
        root = getattr(kind, "__module__", "").partition(".")[0]
        inside = getattr(value, "__dict__", None)
        collection = isinstance(value, (Mapping, list))
        known = isinstance(value, (type, Enum, torch.Tensor)) or root in _FOREIGN
        plain = collection or (isinstance(inside, dict) and _is_python(cast(Any, kind)))
        if known or self.depth >= _DEEPEST or not plain:
            return value
        before, size = self.modules_met, len(self.memo)
        self.depth += 1
        try:
            made = self.replaced(value, inside or {})
        finally:
            self.depth -= 1
        if self.modules_met == before:
            self.forget(size)
            return value
        return made

    def replaced(self, value: Any, inside: Mapping[str, Any]) -> Any:
        if isinstance(value, (list, Mapping)):
            made = copy.copy(value)
        else:
            made = object.__new__(type(value))
        self.memo[id(value)] = made
        if isinstance(made, list):
            made[:] = map(self.value, value)
        elif isinstance(made, dict):
            items = [(self.value(k), self.value(v)) for k, v in value.items()]
            made.clear()
            made.update(items)
        for key, item in inside.items():
            made.__dict__[key] = self.value(item)
        return made

    def forget(self, size: int) -> None:
        """Drop what was copied since `memo` had this size: it belonged to a discarded copy."""
        while len(self.memo) > size:
            self.memo.popitem()


_HANDLERS: dict[type, Callable[[_Copier, Any], Any]] = {
    list: _Copier.copy_list,
    dict: _Copier.copy_dict,
    OrderedDict: _Copier.copy_dict,
    set: _Copier.copy_set,
    frozenset: _Copier.copy_set,
    deque: _Copier.copy_deque,
    tuple: _Copier.copy_tuple,
    types.MethodType: _Copier.copy_method,
    types.FunctionType: _Copier.copy_function,
    functools.partial: _Copier.copy_partial,
    weakref.ref: _Copier.copy_reference,
}


def _same(a: Any, b: Any) -> bool:
    return a is b


def _is_compiled(module: nn.Module) -> bool:
    return type(module).__name__ == "OptimizedModule" and "_orig_mod" in module._modules


@functools.lru_cache(maxsize=512)
def _slots(kind: type) -> tuple[str, ...]:
    names: list[str] = []
    for base in kind.__mro__:
        declared = base.__dict__.get("__slots__", ())
        names.extend([declared] if isinstance(declared, str) else declared)
    return tuple(name for name in names if name not in ("__dict__", "__weakref__"))


@functools.lru_cache(maxsize=512)
def _is_python(kind: type) -> bool:
    """Whether an empty body can be made: not of an exception, a string, an array."""
    try:
        object.__new__(kind)
    except TypeError:
        return False
    return True


def _refuse_lazy(module: nn.Module) -> None:
    if isinstance(module, LazyModuleMixin) and module.has_uninitialized_params():
        raise ValueError(
            f"model: a {type(module).__name__} has not seen an input yet and has no weights; "
            "run the model once on a batch, then pass it again"
        )


def _copy_scripted(module: torch.jit.ScriptModule) -> Any:
    wrap: Callable[[Any], Any] = torch.jit._recursive.wrap_cpp_module
    body = wrap(_copy_cpp(module._c))
    for key in ("_forward_hooks", "_forward_pre_hooks"):
        getattr(body, key).update(getattr(module, key))
    return body


def _copy_cpp(module: Any) -> Any:
    """TorchScript's own shallow copy, carried through the submodules and the buffers."""
    made = copy.copy(module)
    buffers: Any = torch._C.BufferDict(module)
    for name, buffer in buffers.items():
        made.setattr(name, buffer.clone())
    children: Any = torch._C.ModuleDict(module)
    for name, child in children.items():
        made.setattr(name, _copy_cpp(child))
    if made.hasattr("training"):
        made.setattr("training", False)
    return made
