"""Pooling against PyTorch, to the last bit, and against slow loops where PyTorch has nothing."""

from __future__ import annotations

import doctest
import importlib
import itertools
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from nbcnnviz.backend import pooling
from nbcnnviz.backend.pooling import pool, pool_arithmetic, pool_problem

FEW = [-1.0, 0.0, -0.0, 0.5, 2.0]  # ties everywhere
ODD = [*FEW, float("nan"), float("inf"), -float("inf"), 1e30, -3e38]
ORDERS = {
    "contiguous": lambda x: x.contiguous(),
    "channels last": lambda x: (
        x.contiguous(memory_format=torch.channels_last)
        if x.ndim == 4
        else x.movedim(0, -1).contiguous().movedim(-1, 0)
    ),
    "transposed": lambda x: x.transpose(-1, -2).contiguous().transpose(-1, -2),
    "every second": lambda x: x.repeat_interleave(2, -1)[..., ::2],
}
PAIRS = st.one_of(st.integers(1, 4), st.tuples(st.integers(1, 6), st.integers(1, 6)))


@st.composite
def stacks(draw: Any, values: list[float] | None = None, dtypes: Any = None) -> Tensor:
    """Maps (C, H, W) or (N, C, H, W) in any order in memory."""
    shape = draw(st.tuples(*[st.integers(1, n) for n in (3, 9, 9)]))
    if draw(st.booleans()):
        shape = (draw(st.integers(1, 2)), *shape)
    generator = torch.Generator().manual_seed(draw(st.integers(0, 2**31)))
    few = values if values is not None else draw(st.sampled_from([FEW, ODD, None]))
    if few:
        chosen = torch.randint(len(few), shape, generator=generator)
        maps = torch.tensor(few, dtype=torch.float64)[chosen]
    else:
        maps = torch.randn(shape, generator=generator, dtype=torch.float64)
    maps = maps.to(draw(st.sampled_from(dtypes or [torch.float32] * 3 + [torch.float64])))
    return ORDERS[draw(st.sampled_from(list(ORDERS)))](maps)


@st.composite
def windows(draw: Any, dilation: bool = True, padding: bool = True) -> Any:
    """Arguments of `pool`; also some that make no sense."""
    made: dict[str, Any] = {
        "window": draw(PAIRS),
        "stride": draw(st.none() | PAIRS),
        "ceil_mode": draw(st.booleans()),
    }
    if padding:
        made["padding"] = draw(st.integers(0, 2) | st.tuples(st.integers(0, 3), st.integers(0, 3)))
    if dilation:
        made["dilation"] = draw(PAIRS)
    return made


def same(a: Tensor, b: Tensor) -> bool:
    """Equal to the last bit, but for the bits of a NaN."""
    assert a.shape == b.shape and a.dtype == b.dtype
    return bool(((a == b) & (a.signbit() == b.signbit()) | (a.isnan() & b.isnan())).all())


def torchs(options: dict[str, Any]) -> dict[str, Any]:
    """Under PyTorch's name for the window."""
    return {"kernel_size" if name == "window" else name: v for name, v in options.items()}


def lp2(maps: Tensor, options: dict[str, Any]) -> Tensor:
    return F.lp_pool2d(maps, 2.0, *(options[n] for n in ("window", "stride", "ceil_mode")))


def pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else value


def cells(
    n: int,
    axis: int,
    window: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
) -> list[list[int]]:
    """For each window the places it reads along one axis, straight from the documentation."""
    k, p, d = (pair(value)[axis] for value in (window, padding, dilation))
    s = pair(window if stride is None else stride)[axis]
    found, start = [], -p
    while True:
        last = start + d * (k - 1)
        if last >= n + p and not (ceil_mode and last + 1 < n + p + s and start < n):
            return found
        found.append([start + i * d for i in range(k)])
        start += s


def reads_padding_only(size: tuple[int, int], options: dict[str, Any]) -> bool:
    return any(
        not any(0 <= place < n for place in places)
        for axis, n in enumerate(size)
        for places in cells(n, axis, **options)
    )


# -- against PyTorch ------------------------------------------------------------------------------


def attempt(call: Any) -> Any:
    try:
        return call()
    except RuntimeError:
        return None


@settings(max_examples=400, deadline=None)
@given(stacks(), windows())
def test_max_is_pytorchs_with_its_indices(maps, options):
    expected = attempt(lambda: F.max_pool2d(maps, **torchs(options), return_indices=True))
    size = maps.shape[-2:]
    problem = pool_problem(maps.shape, "max", **options)
    if expected is not None and reads_padding_only(size, options):
        assert "reads only padding" in problem
        assert bool(expected[0].isneginf().any())
        return
    assert (problem is None) == (expected is not None)
    if expected is None:
        with pytest.raises(ValueError, match=re.escape(problem)):
            pool(maps, "max", **options)
        return
    values, indices = pool(maps, "max", **options)
    assert same(values, expected[0])
    assert indices.dtype == torch.int64 and torch.equal(indices, expected[1])
    flat = maps.flatten(-2).gather(-1, indices.flatten(-2)).view_as(values)
    assert same(flat, values)


@settings(max_examples=300, deadline=None)
@given(
    stacks(),
    windows(dilation=False),
    st.booleans(),
    st.none() | st.sampled_from([-2, 1, 3]),
)
def test_averages_are_pytorchs(maps, options, include, divisor):
    more = {"count_include_pad": include, "divisor_override": divisor}
    expected = attempt(lambda: F.avg_pool2d(maps, **torchs(options), **more))
    problem = pool_problem(maps.shape, "avg", **options, divisor_override=divisor)
    assert (problem is None) == (expected is not None)
    if expected is not None:
        values, indices = pool(maps, "avg", **options, **more)
        assert indices is None and same(values, expected)


@settings(max_examples=200, deadline=None)
@given(stacks(), windows(dilation=False, padding=False))
def test_l2_is_pytorchs(maps, options):
    expected = attempt(lambda: lp2(maps, options))
    assert (pool_problem(maps.shape, "l2", **options) is None) == (expected is not None)
    if expected is not None:
        assert same(pool(maps, "l2", **options).values, expected)


@settings(max_examples=100, deadline=None)
@given(stacks())
def test_global_pools_are_pytorchs_adaptive_ones(maps):
    assert same(pool(maps, "global_avg").values, F.adaptive_avg_pool2d(maps, 1))
    values, indices = F.adaptive_max_pool2d(maps, 1, return_indices=True)
    made = pool(maps, "global_max", window=99, padding=7)  # which it takes no notice of
    assert same(made.values, values) and torch.equal(made.indices, indices)


@settings(max_examples=100, deadline=None)
@given(
    stacks(values=FEW, dtypes=[torch.float16, torch.bfloat16]),
    windows(dilation=False),
    st.sampled_from(["max", "avg", "global_avg", "global_max"]),
)
def test_half_precision_is_pytorchs_too(maps, options, op):
    assume(pool_problem(maps.shape, op, **options) is None)
    values = pool(maps, op, **options).values
    if op.startswith("global"):
        expected = getattr(F, f"adaptive_{op[-3:]}_pool2d")(maps, 1)
    else:
        expected = getattr(F, f"{op}_pool2d")(maps, **torchs(options))
    assert same(values, expected)


# -- against loops --------------------------------------------------------------------------------


def slow(maps: np.ndarray, op: str, options: dict[str, Any], include: bool = True) -> Any:
    """Window by window in double precision."""
    lines = [cells(n, axis, **options) for axis, n in enumerate(maps.shape[-2:])]
    height, width = maps.shape[-2:]
    k = math.prod(pair(options["window"]))
    p = pair(options.get("padding", 0))
    out = np.empty((*maps.shape[:-2], len(lines[0]), len(lines[1])))
    for *where, y, x in np.ndindex(out.shape):
        stack = maps[tuple(where)].astype(np.float64)
        places = list(itertools.product(lines[0][y], lines[1][x]))
        inside = [stack[i, j] for i, j in places if 0 <= i < height and 0 <= j < width]
        padded = sum(i < height + p[0] and j < width + p[1] for i, j in places)
        if op == "max":
            out[(*where, y, x)] = max(inside)
        elif op == "avg":
            out[(*where, y, x)] = sum(inside) / (padded if include else len(inside))
        else:
            out[(*where, y, x)] = math.sqrt(sum(v * v for v in inside) / padded * k)
    return out


@settings(max_examples=250, deadline=None)
@given(
    stacks(values=[*FEW, 0.125, -3.75, 11.25]),  # whose sums are exact
    windows(),
    st.sampled_from(["max", "avg", "l2"]),
    st.booleans(),
)
def test_every_window_by_hand(maps, options, op, include):
    assume(pool_problem(maps.shape, op, **options) is None)
    made = pool(maps, op, **options, count_include_pad=include).values
    expected = slow(maps.numpy(), op, options, include)
    assert made.shape == expected.shape and made.dtype == maps.dtype
    np.testing.assert_allclose(made.numpy(), expected, rtol=1e-6, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(stacks(), windows(dilation=False), st.integers(2, 4), st.booleans(), st.booleans())
def test_sums_by_hand_are_pytorchs_to_the_last_bit(maps, options, dilation, across, include):
    """Dilation along a side on which the window has one cell changes nothing."""
    window, padding = list(pair(options["window"])), list(pair(options["padding"]))
    spread = [1, 1]
    window[across], padding[across], spread[across] = 1, 0, dilation
    options |= {"window": tuple(window), "padding": tuple(padding)}
    if options["stride"] is None:
        options["stride"] = tuple(window)
    assume(pool_problem(maps.shape, "avg", **options) is None)
    expected = F.avg_pool2d(maps, **torchs(options), count_include_pad=include)
    made = pool(maps, "avg", **options, dilation=tuple(spread), count_include_pad=include)
    assert same(made.values, expected)
    if options["padding"] == (0, 0):
        expected = lp2(maps, options)
        assert same(pool(maps, "l2", **options, dilation=tuple(spread)).values, expected)


@settings(max_examples=100, deadline=None)
@given(stacks(), st.integers(1, 4), st.integers(1, 3), st.integers(1, 3))
def test_dilated_windows_are_windows_of_a_thinned_map(maps, window, stride, dilation):
    options = {"window": window, "stride": stride * dilation, "dilation": dilation}
    assume(pool_problem(maps.shape, "avg", **options) is None)
    thin = maps[..., ::dilation, ::dilation]
    expected = F.avg_pool2d(thin, window, stride)
    made = pool(maps, "avg", **options).values
    assert same(made, expected[..., : made.shape[-2], : made.shape[-1]])


def test_dilated_averages_in_half_precision_are_summed_in_single():
    maps = torch.full((1, 9, 9), 0.1, dtype=torch.float16)
    made = pool(maps, "avg", window=5, dilation=2).values
    assert made.dtype == torch.float16
    assert made.tolist() == [[[float(maps[0, 0, 0])]]]


def test_gradients_flow_as_through_pytorchs():
    maps = torch.randn(2, 7, 7, generator=torch.Generator().manual_seed(0), requires_grad=True)
    for op, ours in (("max", F.max_pool2d), ("avg", F.avg_pool2d)):
        one = torch.autograd.grad(pool(maps, op, 3, 2, 1).values.square().sum(), maps)
        other = torch.autograd.grad(ours(maps, 3, 2, 1).square().sum(), maps)
        assert torch.equal(one[0], other[0])
    dilated = pool(maps, "avg", 2, dilation=2).values
    (gradient,) = torch.autograd.grad(dilated.sum(), maps)
    assert gradient[0, 0, 0] == 0.25


def test_the_maps_are_left_alone():
    maps = torch.randn(2, 6, 6, generator=torch.Generator().manual_seed(0))
    before, version = maps.clone(), maps._version
    for op in pooling.OPS:
        for dilation in (1, 2):
            pool(maps, op, 3, 1, 1, dilation)
    assert torch.equal(maps, before) and maps._version == version


# -- the arithmetic -------------------------------------------------------------------------------


@settings(max_examples=300, deadline=None)
@given(st.tuples(st.integers(1, 12), st.integers(1, 12)), windows())
def test_the_formula_gives_what_comes_out(size, options):
    assume(pool_problem(size, "max", **options) is None)
    out = F.max_pool2d(torch.zeros(1, *size), **torchs(options)).shape
    for axis, one in enumerate(pool_arithmetic(size, "max", **options)):
        assert one.size == out[1 + axis]
        left, _, right = one.formula.partition(" = ")
        assert eval(left, {"floor": math.floor, "ceil": math.ceil}) == one.size == int(right)
        places = cells(size[axis], axis, **options)
        assert len(places) == one.size
        assert one.unread == size[axis] - len(
            {q for each in places for q in each} & set(range(size[axis]))
        )
        assert one.dropped == one.formula.endswith(f" - 1 = {one.size}")


@pytest.mark.parametrize(
    ("n", "options", "formula"),
    [
        (112, {"window": 3, "stride": 2, "padding": 1}, "floor((112 + 2*1 - 3)/2) + 1 = 56"),
        (112, {"window": 2}, "floor((112 + 2*0 - 2)/2) + 1 = 56"),
        (
            112,
            {"window": 3, "stride": 2, "padding": 1, "dilation": 2},
            "floor((112 + 2*1 - (2*(3 - 1) + 1))/2) + 1 = 55",
        ),
        (112, {"window": 3, "stride": 2, "ceil_mode": True}, "ceil((112 + 2*0 - 3)/2) + 1 = 56"),
        # The fourth window would begin at 6 - 1 = 5, beyond a map of 5: PyTorch leaves it out.
        (
            5,
            {"window": 2, "stride": 2, "padding": 1, "ceil_mode": True},
            "ceil((5 + 2*1 - 2)/2) + 1 - 1 = 3",
        ),
    ],
)
def test_formulas(n, options, formula):
    one, other = pool_arithmetic((n, n), "max", **options)
    assert one == other and one.formula == formula


def test_cells_that_no_window_reads():
    assert [a.unread for a in pool_arithmetic((7, 6), "avg", window=2)] == [1, 0]
    assert [a.unread for a in pool_arithmetic((7, 7), "avg", window=(1, 2), stride=3)] == [4, 3]
    assert [a.size for a in pool_arithmetic((64, 7, 9), "global_avg")] == [1, 1]


# -- what makes no sense --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"op": "maximum"}, "op='maximum': there is no such pooling; did you mean 'max'"),
        ({"op": "none"}, "op='none': there is no such pooling; give one of max, avg, l2, glo"),
        ({"op": "glob_max"}, "did you mean 'global_max'"),
        ({"op": 3}, "op: a int; give one of"),
        ({"window": 0}, "window=0: give at least 1"),
        ({"window": (2, 0)}, r"window=\(2, 0\): give at least 1"),
        ({"window": 2.0}, "window=2.0: give a whole number, or two of them"),
        ({"window": True}, "window=True: give a whole number"),
        ({"window": (1, 2, 3)}, r"window=\(1, 2, 3\): give a whole number, or two"),
        ({"window": "3"}, "window='3': give a whole number"),
        ({"stride": 0}, "stride=0: give at least 1"),
        ({"stride": 2**40}, "too large for PyTorch"),
        ({"dilation": 0}, "dilation=0: give at least 1"),
        ({"padding": -1}, "padding=-1: give at least 0"),
        ({"padding": 2}, "padding=2: more than half of window=2; give at most 1"),
        ({"window": 3, "padding": 2}, "give at most 1"),
        ({"window": 6}, r"window=6: larger than the maps, 5 rows with 0 of padding; give a .* 5"),
        ({"window": (5, 7)}, r"window=\(5, 7\): larger than the maps, 6 columns"),
        (
            {"window": 3, "dilation": 3},
            "window=3 with dilation=3 spans 7: larger than the maps, 5 rows .* at most 2",
        ),
        ({"divisor_override": 0}, "divisor_override=0: sums cannot be divided by it"),
        ({"divisor_override": 1.5}, "divisor_override=1.5: give a whole number or None"),
        ({"divisor_override": True}, "divisor_override=True: give a whole number or None"),
        ({"divisor_override": 2**63}, "divisor_override=9.*: too large for PyTorch; give at most"),
        ({"ceil_mode": "no"}, "ceil_mode='no': give True or False"),
        ({"ceil_mode": 1}, "ceil_mode=1: give True or False"),
        (
            {"window": (3, 2), "padding": 2},
            r"padding=2: more than half of window=\(3, 2\); give at most 1$",
        ),
        (
            {"window": (4, 2), "padding": (2, 2)},
            r"padding=2: more than half of window=\(4, 2\); give at most \(2, 1\)$",
        ),
    ],
)
def test_senseless_arguments_are_explained_and_refused(options, words):
    problem = pool_problem((5, 6), **options)
    assert problem is not None
    with pytest.raises((ValueError, TypeError), match=words) as error:
        pool(torch.zeros(1, 5, 6), **({"op": "avg"} | options))
    assert str(error.value) == problem


def test_how_padding_counts_is_a_flag():
    for wrong in ("no", 0, None):
        with pytest.raises(TypeError, match=r"count_include_pad=.*: give True or False"):
            pool(torch.zeros(1, 4, 4), "avg", count_include_pad=wrong)


def test_one_row_is_one_row():
    assert pool_problem((1, 9)) == (
        "window=2: larger than the maps, 1 row with 0 of padding; give a window of at most 1"
    )


def test_windows_that_are_mostly_padding_are_counted_at_once():
    """Which cells are read is a matter of the map, not of the window."""
    window = 2**30
    one, _ = pool_arithmetic((5, 5), "max", window, 2, window // 2)
    assert (one.size, one.unread) == (3, 0)


def test_following_the_advice_helps():
    """What was refused is accepted then, or refused for another reason."""
    followed = 0
    for window, padding, dilation in itertools.product(range(1, 9), range(5), range(1, 4)):
        problem = pool_problem((5, 5), "max", window, 1, padding, dilation)
        if problem is None or "at most" not in problem:
            continue
        followed += 1
        better = int(problem.rpartition(" ")[2])
        if problem.startswith("padding"):
            again = pool_problem((5, 5), "max", window, 1, better, dilation)
            more = pool_problem((5, 5), "max", window, 1, better + 1, dilation)
            assert again is None or not again.startswith("padding")
            assert more is not None and more.startswith("padding")
        else:
            again = pool_problem((5, 5), "max", better, 1, padding, dilation)
            more = pool_problem((5, 5), "max", better + 1, 1, padding, dilation)
            assert again is None or not again.startswith("window")
            assert more is not None
    assert followed > 50


def test_a_window_that_reads_only_padding_is_refused():
    """PyTorch returns index 12 of a map of 9 cells."""
    _, indices = F.max_pool2d(torch.zeros(1, 3, 3), 2, 1, 1, 4, return_indices=True)
    assert int(indices) == 12
    with pytest.raises(ValueError, match="dilation=4: with padding=1 a window reads only padding"):
        pool(torch.zeros(1, 3, 3), "max", 2, 1, 1, 4)


@pytest.mark.parametrize(
    ("maps", "kind", "words"),
    [
        (np.zeros((1, 4, 4), np.float32), TypeError, "maps: a ndarray; give a tensor"),
        (torch.zeros(1, 4, 4, dtype=torch.int64), TypeError, r"torch.int64; .* maps.float\(\)"),
        (torch.zeros(1, 4, 4, dtype=torch.uint8), TypeError, "torch.uint8"),
        (torch.zeros(1, 4, 4, dtype=torch.bool), TypeError, "torch.bool"),
        (torch.zeros(1, 4, 4, dtype=torch.complex64), TypeError, "torch.complex64"),
        (torch.zeros(1, 4, 4).to_sparse(), TypeError, r"a sparse tensor; .* maps.to_dense\(\)"),
        (torch.zeros(4, 4), ValueError, r"maps: 4 x 4; give .* maps\[None\] makes a stack"),
        (torch.zeros(1, 1, 1, 4, 4), ValueError, "maps: 1 x 1 x 1 x 4 x 4"),
        (torch.zeros(()), ValueError, "maps: a single number"),
        (torch.zeros(0, 4, 4), ValueError, "maps: 0 x 4 x 4 holds no values"),
        (torch.zeros(2, 0, 4), ValueError, "holds no values"),
        (torch.zeros(0, 2, 4, 4), ValueError, "holds no values"),
    ],
)
def test_what_is_no_stack_of_maps_is_refused(maps, kind, words):
    for op in pooling.OPS:
        with pytest.raises(kind, match=words):
            pool(maps, op)


def test_problems_of_empty_maps_and_missing_sizes():
    assert pool_problem((0, 4)) == "maps: 0 x 4 holds no values; give maps of at least 1 x 1"
    assert pool_problem((0, 4), "global_avg") is not None
    for wrong in ((3,), 5, "ab", (2.5, 3)):
        with pytest.raises(ValueError, match=r"size=.*: give \(H, W\) of the maps"):
            pool_arithmetic(wrong)
    with pytest.raises(ValueError, match="padding=2: more than half"):
        pool_arithmetic((5, 5), "max", 2, padding=2)


def test_the_integers_of_numpy_and_torch_will_do():
    maps = torch.rand(1, 6, 6, generator=torch.Generator().manual_seed(0))
    made = pool(maps, "max", np.int64(3), torch.tensor(2), [np.uint8(1), 0])
    assert torch.equal(made.values, F.max_pool2d(maps, 3, 2, (1, 0)))
    made = pool(maps, "avg", ceil_mode=np.bool_(True), divisor_override=np.int64(3))
    assert torch.equal(made.values, F.avg_pool2d(maps, 2, ceil_mode=True, divisor_override=3))


@pytest.mark.parametrize(
    "module", ["pooling", "_pool_layers", "_pool_shift", "_gap_head", "_gap_contributions"]
)
def test_examples_in_docstrings(module):
    found = doctest.testmod(importlib.import_module(f"nbcnnviz.backend.{module}"))
    assert found.attempted and not found.failed
