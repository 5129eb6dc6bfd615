"""The pooling calls of a network: which there are, what they pool, and what if they pooled else."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import _model, layers
from ._arguments import read_flag
from ._pool_calls import Heard, Maps, PoolTracer
from ._pool_compute import Pooled, compute
from ._pool_replace import Choose, PoolWalk, Reached
from ._pool_settings import Pooling, read_divisor, read_op, read_pair, shown
from .layers import Layer
from .maps import feature_maps

if TYPE_CHECKING:
    from .network import Network

_REMEMBERED = 8
"""For how many input sizes a network keeps its pooling calls."""


@dataclass(frozen=True, kw_only=True)
class PoolingLayer(Pooling):
    """One pooling call of a network, with the parameters that it was really called with."""

    layer: Layer
    """The layer that it is, as `net.layers()` lists it; its shape is what comes out."""
    shape: tuple[int, int, int]
    """(C, H, W) of the maps that go in."""
    call: str
    """The function's call: "layer1.pool#2/max_pool2d#1"."""
    axes: tuple[int, ...]
    """Where the tensor that goes in keeps rows and columns: (2, 3), (1, 2) if channels come last,
    (2,) in (1, C, H * W)."""


def pooling_layers(net: Network | nn.Module, image: Any = None) -> list[PoolingLayer]:
    """The pooling calls of a network in the order in which they run.

    Modules and functions alike: `F.max_pool2d`, `x.mean((2, 3))` and `x.amax((2, 3))` over whole
    maps, adaptive pools, those in squeeze-and-excitation blocks. Parameters are read from the
    calls, not from attributes of modules, which need not tell the truth.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`; None: an input without content.

    Raises:
        ValueError: no layer puts out maps.

    Example:
        >>> import nbcnnviz as nv
        >>> [(one.layer.name, one.op, one.window) for one in pooling_layers(nv.Network.digits())]
        [('pool1', 'max', (2, 2)), ('pool2', 'max', (2, 2)), ('gap', 'global_avg', (8, 8))]
    """
    net = layers.wrap(net)
    return list(_survey(net, prepared(net, image)))


def pool_input(net: Network | nn.Module, image: Any, layer: PoolingLayer | Layer | str) -> Tensor:
    """The maps (C, H, W) that go into a pooling call; a copy.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        layer: as `pooling_layers` or `net.layers()` gives it, or its name.

    Raises:
        ValueError: there is no such layer, or it does not pool.

    Example:
        >>> import nbcnnviz as nv
        >>> pool_input(nv.Network.digits(), nv.sample_image("digit"), "pool1").ndim
        3
    """
    net = layers.wrap(net)
    walk, _ = _run(net, prepared(net, image), name_of(layer), None)
    assert walk.input is not None
    return walk.input[0]


def pool_at(
    net: Network | nn.Module,
    image: Any,
    layer: PoolingLayer | Layer | str,
    op: str | None = None,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] | None = None,
    dilation: int | tuple[int, int] | None = None,
    ceil_mode: bool | None = None,
    *,
    count_include_pad: bool | None = None,
    divisor_override: int | None = None,
) -> Pooled:
    """Pool the maps of any layer, whatever the network does with them.

    For a layer that pools these are the maps that go into it, and what is not given is as the
    network has it. For any other layer it is its output, pooled by "max" with window 2 if nothing
    else is given.

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        layer: as `pooling_layers` or `net.layers()` gives it, or its name.
        op, window, stride, padding, dilation, ceil_mode: see `pool`; a new window moves by its own
            size where the layer has no stride of its own, as when it averages whole maps.
        count_include_pad, divisor_override: see `pool`.

    Raises:
        TypeError, ValueError: there is no such layer, it has no maps, or they cannot be pooled so.

    Example:
        >>> import nbcnnviz as nv
        >>> net, image = nv.Network.digits(), nv.sample_image("digit")
        >>> same, other = pool_at(net, image, "pool1"), pool_at(net, image, "pool1", "avg")
        >>> bool((same.values >= other.values).all())
        True
    """
    changes = Changes.read(
        *(op, window, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override)
    )
    net = layers.wrap(net)
    name = name_of(layer)
    maps, base = maps_at(net, prepared(net, image), name)
    chosen = changes.of(base, name)
    chosen.check((maps.shape[1], maps.shape[2]))
    return compute(maps, chosen)


def maps_at(net: Network, x: Tensor, name: str) -> tuple[Tensor, Pooling]:
    """The maps (C, H, W) that `pool_at` pools at a layer, and what with if nothing is changed."""
    pools = any(one.layer.name == name for one in _known(net, x))
    if not pools and any(layer.name == name for layer in layers.known_layers(net, x)):
        return feature_maps(net, x, name), Pooling("max", (2, 2), None)
    walk, _ = _run(net, x, name, None)
    assert walk.input is not None and walk.pooling is not None
    return walk.input[0], walk.pooling


def replace_pooling(
    net: Network | nn.Module,
    image: Any,
    layer: PoolingLayer | Layer | str,
    op: str | None = None,
    window: int | tuple[int, int] | None = None,
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] | None = None,
    dilation: int | tuple[int, int] | None = None,
    ceil_mode: bool | None = None,
    *,
    count_include_pad: bool | None = None,
    divisor_override: int | None = None,
) -> Tensor:
    """The class scores (classes,) when one pooling call pools differently.

    The model stays as it is; what is not given is as the network has it. Of a module that is
    called several times only the call named changes ("pool" the first, "pool#2" the second).

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        layer: as `pooling_layers` or `net.layers()` gives it, or its name.
        op, window, stride, padding, dilation, ceil_mode: see `pool`; a new window moves by its own
            size where the call has no stride of its own, as when it averages whole maps.
        count_include_pad, divisor_override: see `pool`.

    Raises:
        TypeError, ValueError: there is no such layer or it does not pool; its maps cannot be
            pooled so; what comes out no longer fits a later layer, which is named.

    Example:
        >>> import nbcnnviz as nv
        >>> net, image = nv.Network.digits(), nv.sample_image("digit")
        >>> replace_pooling(net, image, "pool2", "avg").shape
        torch.Size([10])
    """
    changes = Changes.read(
        *(op, window, stride, padding, dilation, ceil_mode, count_include_pad, divisor_override)
    )
    net = layers.wrap(net)
    name = name_of(layer)
    walk, scores = _run(net, prepared(net, image), name, lambda old: changes.of(old, name))
    if walk.problem:
        raise ValueError(walk.problem)
    assert scores is not None
    return scores[0]


@dataclass(frozen=True)
class Changes:
    """Parameters that shall be others than those of a call; None: as they are."""

    op: str | None
    window: tuple[int, int] | None
    stride: tuple[int, int] | None
    padding: tuple[int, int] | None
    dilation: tuple[int, int] | None
    ceil_mode: bool | None
    count_include_pad: bool | None
    divisor_override: int | None

    @classmethod
    def read(
        cls,
        op: Any,
        window: Any,
        stride: Any,
        padding: Any,
        dilation: Any,
        ceil_mode: Any,
        count_include_pad: Any = None,
        divisor_override: Any = None,
    ) -> Changes:
        """From what a user gives.

        Raises:
            TypeError, ValueError: one that makes no sense, by name.
        """
        return cls(
            None if op is None else read_op(op),
            None if window is None else read_pair(window, "window"),
            None if stride is None else read_pair(stride, "stride"),
            None if padding is None else read_pair(padding, "padding"),
            None if dilation is None else read_pair(dilation, "dilation"),
            None if ceil_mode is None else read_flag("ceil_mode", ceil_mode),
            None
            if count_include_pad is None
            else read_flag("count_include_pad", count_include_pad),
            read_divisor(divisor_override),
        )

    def of(self, old: Pooling, layer: str) -> Pooling:
        """A call's parameters with these changes.

        Raises:
            ValueError: a window is missing, or there is none to change.
        """
        given = {f.name: v for f in fields(self) if (v := getattr(self, f.name)) is not None}
        made = replace(Pooling(**{f.name: getattr(old, f.name) for f in fields(Pooling)}), **given)
        if made.op == "fractional_max":
            raise ValueError(f"op: {layer!r} pools windows of random sizes; give op='max'")
        if made.whole:
            if self.op is None and given:
                name, value = next(iter(given.items()))
                value = shown(value) if isinstance(value, tuple) else value
                raise ValueError(
                    f"{name}={value}: {layer!r} pools whole maps ({old.op}) and has no such "
                    f"parameter; give op={old.op[-3:]!r} as well"
                )
            return made
        if made.window is None:
            raise ValueError(f"window: {layer!r} has windows of several sizes ({old.op}); give one")
        # A stride of 7 belongs to the window of 7 that was the whole map.
        return replace(made, stride=self.stride) if old.whole and self.window else made


def name_of(layer: Any) -> str:
    """The name of a layer that was given as one, as a pooling call or by name.

    Raises:
        TypeError: it is none of these.
    """
    return layers.name_of(layer.layer if isinstance(layer, PoolingLayer) else layer)


def prepared(net: Network, image: Any) -> Tensor:
    with torch.inference_mode(False), torch.no_grad():
        return net.blank() if image is None else net.prepare(image)


class _Survey(PoolTracer):
    """Lists the calls that pool."""

    def __init__(self, root: nn.Module, image: Tensor) -> None:
        super().__init__(root, image)
        self.calls: list[tuple[str, str, Pooling, Maps]] = []

    def pooled(self, heard: Heard) -> None:
        self.calls.append((heard.name, heard.module, heard.pooling, heard.maps))


def _survey(net: Network, x: Tensor) -> tuple[PoolingLayer, ...]:
    with net.evaluating() as body:
        image = x.clone()  # some networks begin with an in-place operation
        tracer = _Survey(body, image)
        with tracer:
            body(image)
    known = {layer.name: layer for layer in layers.remember(net, x.shape, tracer)}
    made = tuple(
        PoolingLayer(
            **{f.name: getattr(pooling, f.name) for f in fields(Pooling)},
            layer=known[name],
            shape=maps.shape,
            call=call,
            axes=maps.axes,
        )
        for call, module, pooling, maps in tracer.calls
        if (name := tracer.layer_name(call, module)) in known
    )
    cache = _cache(net)
    cache[layers._key(net, x.shape)] = made
    while len(cache) > _REMEMBERED:
        cache.pop(next(iter(cache)), None)
    return made


def _cache(net: Network) -> dict[Any, tuple[PoolingLayer, ...]]:
    cache: dict[Any, tuple[PoolingLayer, ...]] = net.__dict__.setdefault("_pooling_cache", {})
    return cache


def _known(net: Network, x: Tensor) -> tuple[PoolingLayer, ...]:
    """Which calls pool; their parameters may be of an earlier pass."""
    kept = _cache(net).get(layers._key(net, x.shape))
    return _survey(net, x) if kept is None else kept


def _find(net: Network, pools: Sequence[PoolingLayer], x: Tensor, name: str) -> PoolingLayer:
    found = next((one for one in pools if one.layer.name == name), None)
    if found is not None:
        return found
    layer = layers.find(layers.known_layers(net, x), name)
    names = ", ".join(repr(one.layer.name) for one in pools)
    instead = f"it pools in {names}" if names else "it pools nowhere"
    raise ValueError(
        f"layer={name!r}: a layer of the kind {layer.kind!r} and no pooling call of the network; "
        f"{instead}. backend.pool_at pools the maps of any layer"
    )


def _run(
    net: Network, x: Tensor, name: str, choose: Choose | None
) -> tuple[PoolWalk, Tensor | None]:
    """One pass, up to the call or with the call changed; the scores (1, classes) if it ended."""
    place = next((one for one in _known(net, x) if one.layer.name == name), None)
    walk, scores = _try(net, x, place, choose) if place is not None else (None, None)
    if walk is None or not walk.met:
        # The network may take another way for this image, or have been rebuilt.
        walk, scores = _try(net, x, _find(net, _survey(net, x), x, name), choose)
    if not walk.met:
        raise ValueError(f"layer={name!r}: the network does not call it every time")
    return walk, scores


def _try(
    net: Network, x: Tensor, place: PoolingLayer, choose: Choose | None
) -> tuple[PoolWalk, Tensor | None]:
    maps = Maps(place.shape, place.axes)
    with net.evaluating(draws=layers.draws(net, x.shape)) as body:
        walk = PoolWalk(body, place.call, maps, place.layer.name, choose)
        try:
            with walk:
                scores = _model.scores(body(x.clone()))
        except Reached:
            return walk, None
        except Exception as error:
            text = walk.misfit(error)
            if not text:
                raise
            raise ValueError(text) from error
        if scores.shape[0] != 1 and walk.misfit(None):
            raise ValueError(walk.misfit(None))
        return walk, scores
