"""Recording what chosen layers put out during a forward pass."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import GradientEdge, get_gradient_edge
from torch.jit import ScriptModule

from . import _tracer, layers
from ._functions import Function
from ._tracer import Found, as_maps
from ._walk import Frame, Walk, first_tensor, module_path, named_modules, split_call
from .layers import Layer, name_of, wrap

if TYPE_CHECKING:
    from typing_extensions import Self

    from .network import Network


@dataclass(frozen=True, eq=False)
class Activation:
    """A layer's output with its place in the graph, also when it was overwritten in place later.

    `torch.autograd.grad(score, activation.edge)` is the gradient with respect to the output.
    """

    values: Tensor
    """(N, C, H, W), a copy that is part of the graph: a score may be made of it."""
    edge: GradientEdge
    channels_last: bool

    def gradient(self, score: Tensor, retain_graph: bool = False) -> Tensor:
        """The gradient of a number with respect to the output, in the shape of `values`."""
        (gradient,) = torch.autograd.grad(score, self.edge, retain_graph=retain_graph)
        return as_maps(gradient, self.channels_last)


class _Enough(BaseException):
    """Every layer that was asked for has run. Not an `Exception`: networks may catch those."""


class Recorder(Walk):
    """Records the outputs of chosen layers while it is entered, on the thread that entered it.

    Nothing is attached before `with`. Only the modules asked for are hooked; function calls are
    followed only if some are asked for.

    Args:
        module: what `Network.evaluating()` lends. Any module will do, but its hooks are shared.
        names: layers, or their names. Only a `Layer` tells whether its channels come last in
            memory; outputs of mere names are returned as they are.
        keep_graph: record with gradients, as `Activation`s.
        stop_early: break the pass off after the last of the layers.

    Raises:
        ValueError: there is no such module; the nearest names are given.

    Example:
        >>> net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(inplace=True))
        >>> with Recorder(net, ["0"]) as recorder:
        ...     _ = recorder.run(torch.zeros(1, 1, 5, 5))
        >>> recorder["0"].shape
        torch.Size([1, 2, 3, 3])
    """

    def __init__(
        self,
        module: nn.Module,
        names: Sequence[Layer | str],
        keep_graph: bool = False,
        stop_early: bool = True,
    ) -> None:
        super().__init__(module)
        self._last = {n.name: n.channels_last for n in names if isinstance(n, Layer)}
        self.names = [name_of(n) for n in names]
        self._keep_graph = keep_graph
        self._stop_early = stop_early
        self._kept: dict[str, Tensor | Activation] = {}
        quick = all(isinstance(n, Layer) for n in names) and not any("/" in n for n in self.names)
        known = _registered(module, {split_call(n)[0] for n in self.names}) if quick else None
        self._known = known = dict(named_modules(module)) if known is None else known
        self._paths: set[str] = set()
        self.functions = False
        for name in self.names:
            path = module_path(name, known) if name else None
            if path is None:
                head = name.partition("/")[0].partition("#")[0]
                raise ValueError(f"layer={name!r}: {layers.no_such_layer(head, list(known)[1:])}")
            self._paths.add(path)
            self.functions = self.functions or "/" in name[len(path) :]

    def modules(self) -> Iterator[tuple[str, nn.Module]]:
        for path, module in self._known.items():
            # Whose functions are called can only be told by following every module.
            if self.functions or path in self._paths:
                yield path, module

    def left(self, frame: Frame, output: Any) -> None:
        if frame.name in self.names:
            self._keep(frame.name, first_tensor(output))

    def called(
        self,
        frame: Frame,
        function: Function,
        raw: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        name = f"{frame.name}/{function.name}#{frame.calls[function.name]}"
        result = raw(*args, **kwargs)
        if name in self.names:
            self._keep(name, first_tensor(result))
        return result

    def _keep(self, name: str, output: Tensor | None) -> None:
        if output is None:
            return
        last = self._last.get(name, False)
        # A copy, since the next layer may work in place.
        if self._keep_graph and output.requires_grad:
            edge = get_gradient_edge(output)
            self._kept[name] = Activation(as_maps(output.clone(), last), edge, last)
        else:
            self._kept[name] = as_maps(output.detach().clone(), last)
        if self._stop_early and len(self._kept) == len(set(self.names)):
            raise _Enough

    def run(self, x: Tensor) -> Any:
        """Run the module on a batch (N, C, H, W) and return its output, None if broken off.

        Raises:
            ValueError: a layer that was asked for did not run.
        """
        self._kept.clear()
        self._finished.clear()
        try:
            with torch.set_grad_enabled(self._keep_graph):
                if x.is_inference():  # such a tensor could not be worked on in place
                    x = x.clone()
                if self._keep_graph:
                    x = x if x.requires_grad else x.detach().requires_grad_()
                    # The network may begin with an in-place operation, which a leaf forbids.
                    x = x.clone()
                output = self.root(x)
        except _Enough:
            output = None
            self._frames[1:] = []
        missing = [name for name in self.names if name not in self._kept]
        if missing:
            raise ValueError(f"layer={missing[0]!r}: the network did not call it for this input")
        return output

    def __getitem__(self, layer: Layer | str) -> Any:
        """What a layer put out: a tensor, an `Activation` with `keep_graph`."""
        return self._kept[name_of(layer)]

    def __enter__(self) -> Self:
        super().__enter__()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> bool:
        super().__exit__(kind, error, trace)
        return isinstance(error, _Enough)


def _registered(root: nn.Module, paths: set[str]) -> dict[str, nn.Module] | None:
    """The modules at these paths, quicker than by `named_modules`; None if one is not there."""
    try:
        found = {path: root.get_submodule(path) for path in paths}
    except AttributeError:  # it may lie in a plain list
        return None
    return None if any(isinstance(m, ScriptModule) for m in found.values()) else found


class Recording(Mapping[str, Tensor]):
    """Maps (C, H, W) by layer name. The network runs when it is first read or entered.

    A `Layer` will do for its name: `maps[layer]`, `layer in maps`.
    """

    def __init__(self, net: Network, image: Any, names: Sequence[str]) -> None:
        self._net = net
        self._image = image
        self._names = list(dict.fromkeys(names))
        self._maps: dict[str, Tensor] | None = None
        self._closed = False

    def __getitem__(self, layer: Layer | str) -> Tensor:
        name = layer.name if isinstance(layer, Layer) else layer
        if name not in self._names:
            raise KeyError(name)
        return self._run()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __enter__(self) -> Recording:
        self._run()
        return self

    def __exit__(self, *exc: object) -> None:
        """Let go of the maps."""
        self._maps, self._closed = {}, True
        self._image = None

    def _run(self) -> dict[str, Tensor]:
        if self._closed:
            raise ValueError("recording: it was closed at the end of its `with`; record again")
        if self._maps is None:
            self._maps = _record(self._net, self._net.prepare(self._image), self._names)
            self._image = None
        return self._maps


def record(
    net: Network | nn.Module, image: Any, layers: Layer | str | Sequence[Layer | str]
) -> Recording:
    """What layers put out for an image, as (C, H, W).

    The pass is broken off after the last of the layers, and each map is a copy. The first time
    that a network sees an input of this size, the same pass finds its layers and runs to the end.
    Forward hooks of your own run as well, on a copy of the modules (see `Network`).

    Args:
        net: a `Network` or a bare module.
        image: anything image-like, see `Network.prepare`.
        layers: one or several, as `net.layers()` gives them or by name.

    Raises (when read or entered):
        ValueError: no such layer (the nearest names are given), or one without maps.

    Example:
        >>> import nbcnnviz as nv
        >>> with record(nv.Network.digits(), nv.sample_image("digit"), ["conv1"]) as maps:
        ...     maps["conv1"].ndim
        3
    """
    chosen = [layers] if isinstance(layers, Layer | str) else layers
    return Recording(wrap(net), image, [name_of(each, "layers") for each in chosen])


def record_prepared(net: Network, x: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    """Maps (C, H, W) by layer name, for what `net.prepare` made; it is left as it is."""
    # Some networks begin with an in-place operation.
    return _record(net, x.clone(), names)


def _record(net: Network, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    cached = layers.cached(net, image.shape)
    if cached is None:
        return _record_and_trace(net, image, names)
    known, draws = cached
    wanted = [_with_maps(layers.find(known, name)) for name in names]
    try:
        maps = _replay(net, image, wanted, draws)
    except _ChangedError:
        # The network took another way for this image, or was rebuilt in place.
        return _record_and_trace(net, image, names)
    return maps


class _ChangedError(Exception):
    """What ran is not what was found before."""


def _replay(net: Network, image: Tensor, wanted: Sequence[Layer], draws: bool) -> dict[str, Tensor]:
    with net.evaluating(draws=draws) as body:
        try:
            recorder = Recorder(body, wanted)
        except ValueError as error:
            raise _ChangedError from error
        with recorder:
            try:
                recorder.run(image)
            except ValueError as error:
                if "did not call it" in str(error):
                    raise _ChangedError from error
                raise
    maps = {layer.name: recorder[layer.name][0] for layer in wanted}
    if any(tuple(maps[layer.name].shape) != layer.shape for layer in wanted):
        raise _ChangedError
    return maps


def _record_and_trace(net: Network, image: Tensor, names: Sequence[str]) -> dict[str, Tensor]:
    maps: dict[str, Tensor] = {}

    def keep(found: Found, output: Tensor) -> None:
        if found.name in names and found.state.maps:
            maps[found.name] = as_maps(output.detach().clone(), found.state.channels_last)[0]

    with net.evaluating() as body:
        found = layers.remember(net, image.shape, _tracer.run(body, image, keep))
    for name in names:
        _with_maps(layers.find(found, name))
    return {name: maps[name] for name in names}


def _with_maps(layer: Layer) -> Layer:
    if not layer.spatial:
        raise ValueError(
            f"layer={layer.name!r}: it puts out {layer.shape[0]} numbers, not maps (C, H, W); "
            "choose a layer with `spatial` true, as net.layers() lists them"
        )
    return layer


__all__ = ["Activation", "Recorder", "Recording", "record"]
