"""The functions that a network may call, by name: what they are and how sight goes through them."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from . import _moves as moves
from . import _rules as rules
from . import _writes as writes
from ._rules import Call, Rule
from ._state import Bounds


@dataclass(frozen=True)
class Function:
    """What is known of a function."""

    name: str
    """Without the underscores that mark in-place and reflected operators: "relu", "add"."""
    kind: str = "other"
    rule: Rule = rules.unknown
    moves: bool = False
    """Only rearranges, selects or converts values; such a call is no layer."""
    asks: bool = False
    """Returns no tensor, or changes none: `shape`, `size()`; nothing to follow."""


_KINDS: dict[str, tuple[str, Rule, str]] = {
    "conv": ("conv", rules.convolution, "conv2d"),
    "conv transposed": ("conv", rules.transposed_convolution, "conv_transpose2d"),
    "conv other": ("conv", rules.unknown, "conv1d conv3d conv_transpose1d conv_transpose3d"),
    "act": (
        "act",
        rules.elementwise,
        "relu relu6 leaky_relu prelu rrelu elu selu celu gelu silu mish hardswish hardsigmoid "
        "hardtanh sigmoid logsigmoid tanh softplus softsign hardshrink softshrink tanhshrink "
        "threshold clamp clip clamp_min clamp_max",
    ),
    "softmax": ("act", rules.along, "softmax log_softmax softmin gumbel_softmax"),
    "glu": ("act", rules.unknown, "glu"),
    "batch norm": ("norm", rules.batch_norm, "batch_norm"),
    "instance norm": ("norm", rules.instance_norm, "instance_norm"),
    "group norm": ("norm", rules.everywhere, "group_norm"),
    "layer norm": ("norm", rules.layer_norm, "layer_norm rms_norm"),
    "local norm": ("norm", rules.across_channels, "local_response_norm"),
    "normalize": ("norm", rules.along, "normalize"),
    "max pool": ("pool", rules.max_pool, "max_pool2d max_pool2d_with_indices"),
    "average pool": ("pool", rules.average_pool, "avg_pool2d"),
    "power pool": ("pool", rules.power_pool, "lp_pool2d"),
    "adaptive pool": (
        "pool",
        rules.adaptive_pool,
        "adaptive_avg_pool2d adaptive_max_pool2d adaptive_max_pool2d_with_indices",
    ),
    "pool other": ("pool", rules.unknown, "max_unpool2d fractional_max_pool2d"),
    "mean": ("pool", rules.reduction, "mean amax"),
    "reduce": (
        "other",
        rules.reduction,
        "sum amin max min prod std var norm logsumexp argmax argmin all any count_nonzero",
    ),
    "along": ("other", rules.along, "cumsum cumprod sort renorm"),
    "linear": ("linear", rules.linear, "linear"),
    "products": ("linear", rules.unknown, "matmul bmm mm addmm baddbmm einsum bilinear tensordot"),
    "attention": (
        "other",
        rules.unknown,
        "scaled_dot_product_attention multi_head_attention_forward",
    ),
    "cat": ("merge", moves.concatenation, "cat"),
    "stack": ("merge", moves.stacking, "stack"),
    "arithmetic": (
        "other",
        rules.elementwise,
        "add sub rsub mul div rdiv floor_divide remainder fmod pow rpow neg abs exp log log2 sqrt "
        "rsqrt reciprocal square sign round floor ceil sin cos erf maximum minimum lerp addcmul "
        "addcdiv where masked_fill fma expm1 log1p nan_to_num",
    ),
    "resize": ("resize", rules.interpolation, "interpolate upsample"),
    "shuffle": ("resize", moves.reindexing, "pixel_shuffle"),
    "unshuffle": ("resize", moves.unshuffling, "pixel_unshuffle"),
    "grid": ("resize", rules.unknown, "grid_sample affine_grid"),
    "pad": ("other", moves.padding, "pad"),
    "reindex": (
        "other",
        moves.reindexing,
        "roll flip fliplr flipud rot90 channel_shuffle repeat tile repeat_interleave unfold fold",
    ),
}

DATA = frozenset({"tensor", "as_tensor", "asarray", "frombuffer", "from_numpy"})
"""Functions that make a tensor of numbers of which nobody can tell where they came from."""

_MOVES: dict[Rule, str] = {
    rules.converted: "contiguous to type type_as float double half bfloat16 clone detach cpu "
    "cuda data alias positive real",
    rules.elementwise: "dropout dropout1d dropout2d dropout3d alpha_dropout "
    "feature_dropout feature_alpha_dropout "
    "gt lt ge le eq ne isnan isfinite isinf logical_not logical_and logical_or bool int long "
    "bernoulli",
    moves.permutation: "permute transpose swapaxes swapdims movedim moveaxis t T mT H mH adjoint",
    moves.reshaping: "view reshape flatten unflatten squeeze unsqueeze view_as reshape_as ravel "
    "atleast_2d atleast_3d",
    moves.expansion: "expand expand_as broadcast_to",
    moves.slicing: "getitem",
    moves.reindexing: "narrow slice select index_select take_along_dim diagonal",
    rules.nothing: "zeros_like ones_like empty_like full_like rand_like randn_like randint_like "
    "new_zeros new_ones new_empty new_full new_tensor",
    rules.data: " ".join(DATA),
    writes.copied: "copy fill zero",
    writes.assigned: "setitem",
    writes.scattered: "index_copy index_add index_put scatter scatter_add masked_scatter",
    rules.unknown: "meshgrid topk bucketize nonzero unique",
}

PARTS = frozenset({"chunk", "split", "tensor_split", "unbind", "split_with_sizes", "hsplit"})
"""Functions that return the slices of a tensor along one dimension, in order."""

_ASKS = frozenset(
    "shape size dim ndim numel nelement len device dtype is_cuda requires_grad grad grad_fn "
    "is_leaf layout stride data_ptr storage_offset is_contiguous is_floating_point item tolist "
    "bool_ is_nested is_sparse is_quantized is_meta is_mkldnn names element_size untyped_storage "
    "retain_grad requires_grad_ register_hook is_complex get_device format repr hash iter "
    "_set_grad_enabled _version is_shared is_inference numpy is_pinned itemsize nbytes "
    "has_names is_neg is_conj contains set_".split()
)

_SPELLINGS = {
    "truediv": "div",
    "true_divide": "div",
    "divide": "div",
    "multiply": "mul",
    "subtract": "sub",
    "concat": "cat",
    "concatenate": "cat",
    "radd": "add",
    "rmul": "mul",
    "iadd": "add",
    "isub": "sub",
    "imul": "mul",
    "itruediv": "div",
    "ipow": "pow",
    "rmatmul": "matmul",
    "hardsigmoid_": "hardsigmoid",
}


def _table() -> dict[str, Function]:
    table: dict[str, Function] = {}
    for kind, rule, names in _KINDS.values():
        table.update({n: Function(n, kind, rule) for n in names.split()})
    for rule, names in _MOVES.items():
        table.update({n: Function(n, "other", rule, moves=True) for n in names.split()})
    for name in PARTS:
        table[name] = Function(name, "other", rules.unknown, moves=True)
    for name in _ASKS:
        table[name] = Function(name, asks=True)
    return table


_TABLE = _table()


@functools.lru_cache(maxsize=1024)
def describe(function: Any) -> Function:
    """What is known of a function that a `TorchFunctionMode` was handed."""
    raw = getattr(function, "__name__", type(function).__name__)
    if raw == "__get__":
        raw = function.__self__.__name__
        if raw not in _TABLE:
            return Function(raw, asks=True)
    elif raw in ("__set__", "__delete__", "__bool__", "__int__", "__float__", "__len__"):
        return Function(raw, asks=True)
    raw = raw.partition(".")[0]  # exported programs call "conv2d.default"
    plain = raw if raw in _TABLE else raw.strip("_")
    plain = _SPELLINGS.get(plain, plain)
    return _TABLE.get(plain) or Function(plain)


def bounds(call: Call) -> Bounds | None:
    """Where an activation is flat; zero at the lower end is an ordinary ReLU's business."""
    find = _BOUNDS.get(call.name)
    return find(call) if find else None


def _of_limits(low: Any, high: Any) -> Bounds | None:
    numbers = [
        None if v is None or not isinstance(v, int | float) else float(v) for v in (low, high)
    ]
    if numbers[0] == 0:
        numbers[0] = None
    return Bounds(numbers[0], numbers[1]) if numbers != [None, None] else None


_BOUNDS: dict[str, Callable[[Call], Bounds | None]] = {
    "relu6": lambda call: Bounds(None, 6.0),
    "hardtanh": lambda c: _of_limits(c.arg(1, "min_val", -1.0), c.arg(2, "max_val", 1.0)),
    "clamp": lambda c: _of_limits(c.arg(1, "min"), c.arg(2, "max")),
    "clip": lambda c: _of_limits(c.arg(1, "min"), c.arg(2, "max")),
    "clamp_max": lambda c: _of_limits(None, c.arg(1, "max")),
    "hardsigmoid": lambda call: Bounds(0.0, 1.0),
    # Smooth ones never get there: within a hundredth counts.
    "sigmoid": lambda call: Bounds(0.01, 0.99),
    "tanh": lambda call: Bounds(-0.99, 0.99),
}
