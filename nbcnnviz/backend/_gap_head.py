"""Networks whose scores are a linear function of the mean of each map: found out by their calls.

Such a network computes score_c = sum_k w_ck mean(A_k) + b_c. That makes its scores sums over
channels, and over positions: the class activation maps of Zhou et al. 2016,
https://arxiv.org/abs/1512.04150.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from . import _model, layers
from ._functions import Function
from ._gap_linear import Gap, Linear, after
from ._pool_calls import Heard, PoolTracer, title
from ._rules import Call
from ._tracer import Found, _tensors_in, version
from ._walk import Frame, first_tensor

if TYPE_CHECKING:
    from .network import Network


class NoGapHeadError(ValueError):
    """The scores are no linear function of the means of maps; the message says why."""


@dataclass(frozen=True, eq=False)
class GapHead:
    """scores = weight @ gap + bias, with gap = maps.mean((1, 2)), for one image."""

    layer: str | None
    """The layer whose output is averaged; None if it is no layer's output as it stands."""
    pool: str
    """The layer that averages: "avgpool", "/mean#1"."""
    linear: str
    """The last layer of the linear part: "fc", "classifier.1"; empty if the means themselves
    are the scores, one map per class (`weight` is the identity then)."""
    after: str
    """softmax, log_softmax, sigmoid or log_sigmoid if the network goes on with it, else empty."""
    maps: Tensor
    """(C, H, W), what is averaged; a copy."""
    gap: Tensor
    """(C,), the means as the network computed them."""
    weight: Tensor
    """(classes, C), a copy."""
    bias: Tensor
    """(classes,), a copy."""
    scores: Tensor
    """(classes,), as the network computed them, before `after`."""


def gap_head(net: Network | nn.Module, image: Any) -> GapHead:
    """The linear function of averaged maps that a network ends with, from one pass.

    Dropout, reshaping, batch normalisation and constant factors may come between, also several
    linear layers in a row; 1 x 1 convolutions of the means count as linear layers.

    Args:
        net: a `Network` or a bare module; it is left as it was.
        image: anything image-like, see `Network.prepare`.

    Raises:
        NoGapHeadError: the network ends otherwise; what stands in the way is named.

    Example:
        >>> import nbcnnviz as nv
        >>> head = gap_head(nv.Network.digits(), nv.sample_image("digit"))
        >>> head.layer, head.pool, head.linear, head.weight.shape
        ('pool2', 'gap', 'fc', torch.Size([10, 24]))
    """
    net = layers.wrap(net)
    with torch.inference_mode(False), torch.no_grad():
        x = net.prepare(image)
    with net.evaluating() as body:
        tracer = _HeadTracer(body, x)
        with torch.no_grad(), tracer:
            tag = tracer.tag_of(_model.scores(body(x)))
        layers.remember(net, x.shape, tracer)
        return tracer.head(tag)


@dataclass(frozen=True)
class _Lost:
    """A vector that is no linear function of averages."""

    why: str


_Tag = Linear | _Lost


class _HeadTracer(PoolTracer):
    """Keeps for every vector what it has to do with the average of maps."""

    def __init__(self, root: nn.Module, image: Tensor) -> None:
        super().__init__(root, image)
        self._tags: dict[int, tuple[weakref.ref[Tensor], int, _Tag]] = {}
        self._makers: dict[int, tuple[weakref.ref[Tensor], int, list[Found]]] = {}

    # -- which layer made a tensor ---------------------------------------------------------------

    def _add(self, found: Found, output: Tensor) -> None:
        super()._add(found, output)
        makers = self._makers_of(output)
        if not makers:
            self._makers[id(output)] = weakref.ref(output), version(output), makers
        makers.append(found)

    def _makers_of(self, tensor: Tensor) -> list[Found]:
        entry = self._makers.get(id(tensor))
        if entry is None or entry[0]() is not tensor or entry[1] != version(tensor):
            return []
        return entry[2]

    # -- what a vector is ------------------------------------------------------------------------

    def tag_of(self, tensor: Tensor) -> _Tag | None:
        """None: nothing is known of it."""
        entry = self._tags.get(id(tensor))
        if entry is None or entry[0]() is not tensor:
            return None
        return entry[2] if entry[1] == version(tensor) else _Lost("they are changed in place")

    def _tag(self, tensor: Tensor, tag: _Tag) -> None:
        key = id(tensor)
        # The callback frees the copies of maps that squeeze-and-excitation blocks average.
        reference = weakref.ref(tensor, lambda _: self._tags.pop(key, None))
        self._tags[key] = reference, version(tensor), tag

    def pooled(self, heard: Heard) -> None:
        maps, out = heard.maps, heard.output
        before = self.tag_of(heard.input)
        if maps.size == (1, 1) and isinstance(before, Linear):
            self._tag(out, before)  # nothing left to average
        elif heard.pooling.averages_whole(maps.size):
            values = out.detach().clone().flatten()
            copy = maps.first(heard.input).detach().clone()[0]
            makers = self._makers_of(heard.input)
            gap = Gap(heard.name, heard.module, heard.title, copy, values, makers)
            self._tag(out, Linear(gap, values))
        elif out.numel() == maps.shape[0]:
            how = "maximum" if "max" in heard.pooling.op else f"pooling ({heard.pooling.op})"
            why = (
                f"{heard.title} makes one number of each map by {how}, not by the mean of all of it"
            )
            self._tag(out, _Lost(why))

    def called(
        self,
        frame: Frame,
        function: Function,
        raw: Any,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        tensors = _tensors_in(args, kwargs)
        # Before the call, which may write in place.
        tags = {id(t): tag for t in tensors if (tag := self.tag_of(t)) is not None}
        makers = self._makers_of(tensors[0]) if tensors and function.moves else []
        result = super().called(frame, function, raw, args, kwargs)
        out = first_tensor(result)
        if out is None:
            return result
        with torch._C.DisableTorchFunction():
            if makers and not self._makers_of(out) and out.numel() == tensors[0].numel():
                self._makers[id(out)] = weakref.ref(out), version(out), makers
            vector = max(out.shape, default=0) == out.numel()
            # Maps again: a squeeze-and-excitation block ends there.
            if vector and (id(out) in tags or self.tag_of(out) is None):
                states = [self._state(t) for t in tensors]
                call = Call(function.name, raw, args, kwargs, out, tensors, states)
                self._follow_vector(frame, function, call, tags)
        return result

    def _follow_vector(
        self, frame: Frame, function: Function, call: Call, tags: dict[int, _Tag]
    ) -> None:
        name = f"{frame.name}/{function.name}#{frame.calls[function.name]}"
        shown = title(frame, name)
        lost = next((tag for tag in tags.values() if isinstance(tag, _Lost)), None)
        if lost is not None:
            self._tag(call.out, lost)
        elif tags:
            tag = next(iter(tags.values()))
            assert isinstance(tag, Linear)
            made = after(function, call, tag) if len(tags) == 1 else None
            if made is None:
                mean = tag.gap.title
                why = f"{shown} comes after the mean, {mean}, and is no linear step that is known"
                self._tag(call.out, _Lost(why))
            elif made is tag or made.after:
                self._tag(call.out, made)
            else:
                values = call.out.detach().clone().flatten()
                made = replace(made, where=(name, frame.name), values=values)
                self._tag(call.out, made)
        elif function.kind == "linear" and any(call.states):
            taken = next(t for t, s in zip(call.tensors, call.states, strict=True) if s is not None)
            count = taken.shape[-1]
            why = f"{shown} takes {count} numbers, and no call makes them as means of whole maps"
            self._tag(call.out, _Lost(why))

    # -- the result ------------------------------------------------------------------------------

    def head(self, tag: _Tag | None) -> GapHead:
        """See `gap_head`."""
        if not isinstance(tag, Linear):
            why = tag.why if tag else "they do not come from a mean over whole maps"
            raise NoGapHeadError(
                f"net: its scores are no linear function of global averages: {why}. Choose a "
                "network that ends with global average pooling and one linear layer"
            )
        gap, values = tag.gap.values, tag.values
        weight = torch.eye(len(gap)).to(gap) if tag.weight is None else tag.weight.detach().clone()
        bias = torch.zeros(len(weight)).to(gap) if tag.bias is None else tag.bias.detach().clone()
        if not bool(gap.isfinite().all() & values.isfinite().all()):
            raise NoGapHeadError(
                "net: for this image its means or scores are NaN or infinite, which are no sums of "
                "products; nv.backend.layer_stats tells in which layer that begins"
            )
        if not _agrees(weight, gap, bias, values):
            raise NoGapHeadError(
                "net: its scores differ from the linear function of global averages that its calls "
                "seem to compute; an operation out of sight takes part"
            )
        names = {found.name for found in self.found if not found.noop}
        makers = [found.name for found in tag.gap.makers if found.name in names]
        return GapHead(
            layer=makers[0] if makers else None,
            pool=self.layer_name(tag.gap.name, tag.gap.module) or tag.gap.name,
            linear=next((name for name in tag.where if name in names), ""),
            after=tag.after,
            maps=tag.gap.maps,
            gap=gap,
            weight=weight,
            bias=bias,
            scores=values,
        )


def _agrees(weight: Tensor, gap: Tensor, bias: Tensor, values: Tensor) -> bool:
    """Whether the linear function gives what the network computed, as far as its precision goes."""
    # Half precision rounds after each call, some of which cancel others.
    allowed = max(1e-3, 4 * torch.finfo(values.dtype).eps)
    if values.dtype in (torch.float16, torch.bfloat16):
        weight, gap, bias, values = (each.float() for each in (weight, gap, bias, values))
    size = (weight.abs() @ gap.abs() + bias.abs()).max()
    return bool(((weight @ gap + bias - values).abs() <= allowed * size + 1e-30).all())
