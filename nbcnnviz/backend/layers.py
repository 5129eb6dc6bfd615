"""The layers of a network in the order in which they run, and what each of them can see."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from torch import nn

from . import _tracer
from ._model import modules
from ._tracer import Found, Tracer
from ._walk import split_call
from .receptive_field import ReceptiveField

if TYPE_CHECKING:
    from .network import Network

_REMEMBERED = 8
"""How many traces a network keeps: one per input size, as a rule a single one."""


@dataclass(frozen=True)
class Layer:
    """One call of a module, or of a function such as `F.relu`, during a forward pass."""

    name: str
    """Dotted path; later calls "relu#2"; functions "layer1.0/add#1", "/max_pool2d#1"."""
    kind: str
    """conv, act, norm, pool, linear, merge (add, cat, mul), resize, block or other."""
    module: str
    """Class or function name."""
    call: int
    """The how manieth call of the same module, or function within its module."""
    calls: int
    """Of how many."""
    shape: tuple[int, ...]
    """(C, H, W), whatever the order in memory; (D,) when there are no maps."""
    parameters: int
    """Numbers that are learnt, those of submodules included."""
    leaf: bool
    """Not a block of other layers."""
    field: ReceptiveField | None
    """What its cells see of the image; None without maps."""
    channels_last: bool
    """In memory it is (N, H, W, C)."""

    @property
    def spatial(self) -> bool:
        """Whether it puts out maps."""
        return len(self.shape) == 3

    @property
    def label(self) -> str:
        """For people: "layer1.0.relu (call 2 of 2)"."""
        path, _ = split_call(self.name)
        text = self.name if path == self.name else path.strip("/")
        return f"{text} (call {self.call} of {self.calls})" if self.calls > 1 else text


def trace(net: Network | nn.Module, image: Any = None, *, noops: bool = False) -> list[Layer]:
    """All layers in call order, found by one forward pass.

    A block stands behind the layers it consists of. Functions that a layer of PyTorch's own calls
    inside are not listed, nor is one that computes just what its custom layer returns. Neither is
    what goes on inside scripted modules, which take no hooks. The tokens (N, H * W, C) of a
    transformer are listed, but not as maps: nothing says which of them lies where in the image.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`; None: an input without content.
        noops: list also what changes nothing: Identity, dropout, flatten.

    Raises:
        ValueError: no layer puts out maps.

    Example:
        >>> import nbcnnviz as nv
        >>> [layer.name for layer in trace(nv.Network.digits())][:3]
        ['conv1', 'relu1', 'pool1']
    """
    return known_layers(wrap(net), image, noops=noops)


def wrap(net: Network | nn.Module) -> Network:
    """A bare module as a `Network`."""
    from .network import Network

    return Network.wrap(net)


def known_layers(net: Network, image: Any = None, *, noops: bool = False) -> list[Layer]:
    """Like `trace`; a network whose structure and input size are known is not run again."""
    prepared = net.blank() if image is None else net.prepare(image)
    kept = _cache(net).get(_key(net, prepared.shape))
    if kept is None:
        with net.evaluating() as body:
            remember(net, prepared.shape, _tracer.run(body, prepared))
        kept = _cache(net)[_key(net, prepared.shape)]
    return list(kept.all if noops else kept.layers)


@dataclass(frozen=True)
class _Kept:
    layers: tuple[Layer, ...]
    all: tuple[Layer, ...]
    """No-ops included."""
    draws: bool
    """The network drew random numbers."""


def _cache(net: Network) -> dict[Any, _Kept]:
    cache: dict[Any, _Kept] = net.__dict__.setdefault("_trace_cache", {})
    return cache


def _key(net: Network, shape: Sequence[int]) -> Any:
    """What the list of layers depends on: the modules and the size of the input."""
    return tuple(shape), tuple(map(id, modules(net.model)))


def cached(net: Network, shape: Sequence[int]) -> tuple[list[Layer], bool] | None:
    """The layers for inputs of this shape, if a pass has found them already.

    And whether the network drew random numbers in that pass.
    """
    kept = _cache(net).get(_key(net, shape))
    return None if kept is None else (list(kept.layers), kept.draws)


def draws(net: Network, shape: Sequence[int]) -> bool:
    """Whether the network may draw random numbers for a batch of inputs (N, C, H, W).

    False only if a pass over one of this size was followed and drew none.
    """
    kept = _cache(net).get(_key(net, (1, *shape[1:])))
    return kept is None or kept.draws


def remember(net: Network, shape: Sequence[int], tracer: Tracer) -> list[Layer]:
    """Make layers of what a pass has met and keep them with the network.

    Raises:
        ValueError: there are no maps among them.
    """
    made = make_layers(tracer.found)
    if not any(layer.spatial for layer, _ in made):
        raise ValueError(
            "net: none of its layers puts out maps (C, H, W), so there is nothing to look at; "
            "give a network with convolutions, as a module rather than a scripted whole"
        )
    cache = _cache(net)
    kept = tuple(layer for layer, noop in made if not noop)
    every = tuple(layer for layer, _ in made)
    cache[_key(net, shape)] = _Kept(kept, every, tracer.draws)
    while len(cache) > _REMEMBERED:
        cache.pop(next(iter(cache)))
    return list(kept)


def make_layers(found: Sequence[Found]) -> list[tuple[Layer, bool]]:
    """Each layer, and whether it changes nothing."""
    calls: dict[int | str, int] = {}
    for f in found:
        calls[f.owner] = max(f.call, calls.get(f.owner, 0))
    return [(_layer(f, calls[f.owner]), f.noop) for f in found]


def _layer(found: Found, calls: int) -> Layer:
    state = found.state
    field = None
    if state.maps:
        seen = state.sight
        field = ReceptiveField.of(seen.rows, seen.columns, state.exact)
    return Layer(
        found.name,
        found.kind,
        found.module,
        found.call,
        calls,
        _tracer.shape_of(state),
        found.parameters,
        found.leaf,
        field,
        state.channels_last,
    )


def find(layers: Sequence[Layer], name: Any, argument: str = "layer") -> Layer:
    """The layer of this name.

    Raises:
        TypeError: `name` is neither a string nor a `Layer`.
        ValueError: there is none; the nearest names are given.
    """
    example = f", for example {default_layer(layers).name!r}"
    name = name_of(name, argument, example)
    for layer in layers:
        if layer.name == name:
            return layer
    raise ValueError(f"{argument}={name!r}: {no_such_layer(name, [one.name for one in layers])}")


def name_of(layer: Any, argument: str = "layer", example: str = "") -> str:
    """The name of a layer that was given itself or by name.

    Raises:
        TypeError: it is neither; `argument` names it.
    """
    if isinstance(layer, Layer):
        return layer.name
    if not isinstance(layer, str):
        raise TypeError(f"{argument}={layer!r}: give a layer of net.layers() or its name{example}")
    return layer


def no_such_layer(name: str, names: Sequence[str]) -> str:
    """Half a sentence that says so and names the nearest ones."""
    near = [n for n in names if n.endswith(f".{name}") or n.startswith((f"{name}.", f"{name}/"))]
    near += difflib.get_close_matches(name, names, 3, 0.5)
    hint = (
        " or ".join(map(repr, list(dict.fromkeys(near))[:3]))
        or f"one of {', '.join(names[:5])}, ..."
    )
    return f"there is no such layer; did you mean {hint}? net.layers() lists all"


def default_layer(layers: Sequence[Layer]) -> Layer:
    """The layer to begin with: the first activation with maps, for that is where edges show.

    Without one the first layer with maps that is not a block.
    """
    maps = [one for one in layers if one.spatial and max(one.shape[1:]) > 1]
    maps = maps or [one for one in layers if one.spatial]
    for kinds in (("act",), ("conv", "norm", "pool")):
        for layer in maps:
            if layer.kind in kinds and layer.leaf:
                return layer
    return maps[0]


__all__ = ["Layer", "default_layer", "find", "trace"]
