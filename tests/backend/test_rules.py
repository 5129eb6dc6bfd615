"""The way back through rectifiers: each spelling, each rule, against formulas and slow loops."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from captum import attr as captum
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from nbcnnviz.backend.rules import RULES, SMOOTH, BackwardRule

# Below, at and above the ends, with incoming gradients of both signs.
VALUES = torch.tensor([-2.0, -1e-30, 0.0, 1e-30, 0.5, 3.0, 6.0, 7.0]).repeat(2)
BACK = torch.tensor([1.5] * 8 + [-2.0] * 8)

RELUS: dict[str, Callable[[Tensor], Tensor]] = {
    "F.relu": F.relu,
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "F.relu_": F.relu_,
    "torch.relu": torch.relu,
    "torch.relu_": torch.relu_,
    "x.relu()": lambda x: x.relu(),
    "x.relu_()": lambda x: x.relu_(),
    "nn.ReLU": nn.ReLU(),
    "nn.ReLU in place": nn.ReLU(inplace=True),
    "keyword": lambda x: F.relu(input=x),
    "clamp(min=0)": lambda x: x.clamp(min=0),
    "clamp(0)": lambda x: torch.clamp(x, 0),
    "clamp(tensor)": lambda x: torch.clamp(x, min=torch.tensor(0.0)),
    "clamp_(min=0)": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: x.clamp_min(0.0),
    "clamp_min_": lambda x: x.clamp_min_(0),
    "clip": lambda x: torch.clip(x, min=0),
    "threshold": lambda x: F.threshold(x, 0, 0),
    "threshold_": lambda x: F.threshold_(x, 0, 0),
    "nn.Threshold": nn.Threshold(0, 0),
    "hardtanh without end": lambda x: F.hardtanh(x, 0.0, float("inf")),
    "aten": lambda x: torch.ops.aten.relu.default(x),
}
SIXES: dict[str, Callable[[Tensor], Tensor]] = {
    "nn.ReLU6": nn.ReLU6(),
    "nn.ReLU6 in place": nn.ReLU6(inplace=True),
    "F.relu6": F.relu6,
    "hardtanh": lambda x: F.hardtanh(x, 0.0, 6.0),
    "hardtanh_": lambda x: F.hardtanh_(x, 0.0, 6.0),
    "nn.Hardtanh": nn.Hardtanh(0.0, 6.0),
    "clamp(0, 6)": lambda x: torch.clamp(x, 0, 6),
    "clamp_(max=6, min=0)": lambda x: x.clamp_(max=6, min=0),
}


def back(function: Callable[[Tensor], Tensor], rule: str, x: Tensor, g: Tensor) -> Any:
    """What a function makes of x, and what goes back for g by a rule."""
    leaf = x.clone().requires_grad_()
    with BackwardRule(rule) as mode:
        y = function(leaf * 1)
    return y.detach(), torch.autograd.grad(y, leaf, g)[0], mode


def expected(rule: str, x: Tensor, g: Tensor, high: float = float("inf")) -> Tensor:
    passes = (x > 0) & (x < high)
    return {"guided": g * passes * (g > 0), "deconvnet": g * (g > 0)}[rule]


@pytest.mark.parametrize("spelling", list(RELUS) + list(SIXES))
def test_each_spelling_follows_each_rule(spelling):
    function, high = RELUS.get(spelling), float("inf")
    if function is None:
        function, high = SIXES[spelling], 6.0
    plain = VALUES.clone().requires_grad_()
    values = function(plain * 1)
    (gradient,) = torch.autograd.grad(values, plain, BACK)
    for rule in RULES:
        y, got, mode = back(function, rule, VALUES, BACK)
        assert torch.equal(y, values) and sum(mode.applied.values()) == 1 and not +mode.passed
        # The gradient is PyTorch's own, also at the ends, where those of relu and clamp differ.
        wanted = gradient if rule == "gradient" else expected(rule, VALUES, BACK, high)
        assert torch.equal(got, wanted), rule


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (lambda x: x.clamp(min=1), None),
        (lambda x: x.clamp(max=0), None),
        (lambda x: x.clamp(-1, 1), None),
        (lambda x: x.clamp(min=torch.zeros(16)), None),  # may differ from element to element
        (lambda x: x.clamp(0, 0), None),
        (lambda x: F.threshold(x, 0.5, 0), "threshold"),
        (lambda x: F.threshold(x, 0, -1), "threshold"),
        (F.hardtanh, "hardtanh"),
        (F.silu, "silu"),
        (nn.GELU(), "gelu"),
        (nn.LeakyReLU(), "leaky_relu"),
        (lambda x: F.leaky_relu_(x), "leaky_relu"),
        (nn.PReLU(), "prelu"),
        (nn.Hardswish(), "hardswish"),
        (nn.Mish(), "mish"),
        (nn.ELU(), "elu"),
        (torch.sigmoid, "sigmoid"),
        (lambda x: x.tanh(), "tanh"),
    ],
)
@pytest.mark.parametrize("rule", ["guided", "deconvnet"])
def test_other_functions_keep_their_gradient_and_are_named(function, name, rule):
    plain = VALUES.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(function(plain * 1), plain, BACK)
    _, got, mode = back(function, rule, VALUES, BACK)
    assert torch.equal(got, gradient) and not mode.applied
    assert +mode.passed == ({name: 1} if name else {})
    notes = mode.notes(nn.Identity())
    assert (name is None) == (len(notes) == 1) and "no ReLU" in notes[-1]
    if name:
        assert notes[0].startswith(f"{name}, 1 call: keeps its ordinary gradient")
        assert ("as_relu" in notes[0]) == (name in SMOOTH)


@pytest.mark.parametrize(
    "function",
    [
        F.silu,
        lambda x: F.silu(x, inplace=True),
        nn.GELU("tanh"),
        nn.LeakyReLU(0.2, inplace=True),
        nn.PReLU(),
        nn.ELU(),
        F.hardswish,
        F.softplus,
    ],
)
def test_smooth_functions_count_as_relus_on_request(function):
    def run(rule, x, g):
        leaf = x.clone().requires_grad_()
        with BackwardRule(rule, "all") as mode:
            y = function(leaf * 1)
        assert sum(mode.applied.values()) == 1
        return y, torch.autograd.grad(y, leaf, g)[0]

    plain = VALUES.clone().requires_grad_()
    values = function(plain * 1)
    (gradient,) = torch.autograd.grad(values, plain, BACK)
    for rule in RULES:
        y, got = run(rule, VALUES, BACK)
        assert torch.equal(y, values)
        wanted = gradient if rule == "gradient" else expected(rule, VALUES, BACK)
        torch.testing.assert_close(got, wanted, rtol=1e-6, atol=0)


def test_what_is_no_rule():
    with pytest.raises(ValueError, match=r"rule='relu': choose one of \['gradient'"):
        BackwardRule("relu")
    with pytest.raises(ValueError, match=r"as_relu='tanh': choose among \['celu'"):
        BackwardRule("guided", ("tanh",))
    with pytest.raises(TypeError, match="as_relu=3: give names"):
        BackwardRule("guided", 3)


def test_one_graph_goes_back_by_every_rule():
    leaf = VALUES.clone().requires_grad_()
    with BackwardRule("gradient") as mode:
        y = (leaf * 1).relu_()
    for rule in ("deconvnet", "guided", "deconvnet"):
        mode.rule = rule
        (got,) = torch.autograd.grad(y, leaf, BACK, retain_graph=True)
        assert torch.equal(got, expected(rule, VALUES, BACK))


# -- the traps ------------------------------------------------------------------------------------


class PreReLU(nn.Module):
    """Another branch reads what the ReLU reads."""

    def __init__(self) -> None:
        super().__init__()
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        z = x * 1
        return self.relu(z) + 3 * z


@pytest.mark.parametrize(
    ("rule", "reference"), [("guided", captum.GuidedBackprop), ("deconvnet", captum.Deconvolution)]
)
def test_a_branch_that_reads_the_tensor_before_the_relu_keeps_its_gradient(rule, reference):
    _, got, _ = back(PreReLU(), rule, VALUES, BACK)
    right = expected(rule, VALUES, BACK) + 3 * BACK
    assert torch.equal(got, right)
    # captum's hook sits on the tensor, and clips or replaces the sum.
    sign = torch.zeros(16)
    sign[14] = -1.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = reference(Weighted(sign)).attribute(VALUES[None])
    assert VALUES[14] > 0 and back(PreReLU(), rule, VALUES, sign)[1][14] == -3
    assert theirs[0, 14] == 0


class Weighted(nn.Module):
    """One number out of what goes through `PreReLU`."""

    def __init__(self, weights: Tensor) -> None:
        super().__init__()
        self.inner = PreReLU()
        self.weights = weights

    def forward(self, x: Tensor) -> Tensor:
        return (self.inner(x) * self.weights).sum(1)


@pytest.mark.parametrize("rectify", [torch.relu_, lambda x: x.clamp_(min=0)])
def test_a_view_rectified_in_place(rectify):
    def function(x: Tensor) -> Tensor:
        y = x.reshape(2, 8) * 1
        rectify(y[:, 2:5])
        return y.flatten()

    y, got, mode = back(function, "guided", VALUES, BACK)
    assert torch.equal(y, function(VALUES)) and sum(mode.applied.values()) == 1
    touched = torch.zeros(2, 8, dtype=torch.bool)
    touched[:, 2:5] = True
    rectified = expected("guided", VALUES, BACK)
    assert torch.equal(got, torch.where(touched.flatten(), rectified, BACK))


def test_one_module_called_again_and_again():
    relu = nn.ReLU(inplace=True)

    def function(x: Tensor) -> Tensor:
        return relu(relu(x) - 1) * 2

    _, got, mode = back(function, "guided", VALUES, BACK)
    assert mode.applied["relu"] == 2
    inner = expected("guided", VALUES.relu() - 1, 2 * BACK)
    assert torch.equal(got, expected("guided", VALUES, inner))


def test_overlapping_pools_add_up_what_they_share():
    x = torch.zeros(1, 1, 5, 5)
    x[0, 0, 2, 2] = 1.0  # the maximum of all four windows
    _, got, _ = back(lambda x: F.max_pool2d(x.relu(), 3, 2), "deconvnet", x, torch.ones(1, 1, 2, 2))
    assert got[0, 0, 2, 2] == 4 and got.sum() == 4
    pooled, indices = F.max_pool2d(x, 3, 2, return_indices=True)
    unpooled = F.max_unpool2d(torch.ones_like(pooled), indices, 3, 2, output_size=x.shape)
    assert unpooled.sum() == 1


def test_only_the_thread_that_entered():
    inside, go = threading.Event(), threading.Event()
    found: list[Tensor] = []

    def other() -> None:
        inside.wait()
        leaf = VALUES.clone().requires_grad_()
        found.append(torch.autograd.grad(leaf.relu(), leaf, BACK)[0])
        go.set()

    thread = threading.Thread(target=other)
    thread.start()
    with BackwardRule("guided"):
        inside.set()
        assert go.wait(20)
    thread.join()
    assert torch.equal(found[0], BACK * (VALUES > 0))


def test_without_gradients_nothing_happens():
    with BackwardRule("guided") as mode:
        assert torch.equal(VALUES.relu(), VALUES.clamp(min=0))
        with torch.no_grad():
            VALUES.clone().requires_grad_().relu()
    assert not mode.applied


def test_an_exception_leaves_no_mode():
    with pytest.raises(ZeroDivisionError), BackwardRule("guided"):
        raise ZeroDivisionError
    assert torch.overrides._get_current_function_mode() is None


def test_scripted_modules_are_named():
    class Half(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return F.relu(x) - 1

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scripted = torch.jit.script(nn.Sequential(Half(), nn.ReLU()))
        linear = torch.jit.script(nn.Linear(2, 2))
    model = nn.Sequential(nn.ReLU(), scripted, linear)
    _, _, mode = back(nn.ReLU(), "guided", VALUES, BACK)
    assert mode.notes(model) == ("1 runs as TorchScript: its ReLUs keep their ordinary gradient.",)
    assert mode.notes(scripted)[0].startswith("The network runs as TorchScript")


# -- slow loops and properties --------------------------------------------------------------------


class Two(nn.Module):
    """Convolution, ReLU, max pooling, linear, ReLU, linear."""

    def __init__(self) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(0)
        self.conv = nn.Parameter(torch.randn(2, 1, 3, 3, generator=generator))
        self.first = nn.Parameter(torch.randn(4, 8, generator=generator))
        self.second = nn.Parameter(torch.randn(1, 4, generator=generator))

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(F.conv2d(x, self.conv))
        x = F.max_pool2d(x, 2)
        return F.relu(x.flatten(1) @ self.first.T) @ self.second.T


def slow(model: Two, x: list[list[float]], rule: str) -> list[list[float]]:
    """The same in plain Python, forth and back."""
    conv, first, second = (p.tolist() for p in (model.conv, model.first, model.second))
    maps = [
        [
            [
                sum(conv[k][0][i][j] * x[y + i][z + j] for i in range(3) for j in range(3))
                for z in range(4)
            ]
            for y in range(4)
        ]
        for k in range(2)
    ]
    where, pooled = [], []
    for k in range(2):
        for y in (0, 2):
            for z in (0, 2):
                cells = [
                    (max(maps[k][y + i][z + j], 0.0), k, y + i, z + j)
                    for i in range(2)
                    for j in range(2)
                ]
                best = max(cells, key=lambda cell: cell[0])
                pooled.append(best[0])
                where.append(best[1:])
    hidden = [sum(w * v for w, v in zip(row, pooled, strict=True)) for row in first]

    def rectify(g: float, before: float) -> float:
        passes = {
            "gradient": before > 0,
            "guided": before > 0 and g > 0,
            "deconvnet": g > 0,
        }[rule]
        return g if passes else 0.0

    g_hidden = [rectify(second[0][j], hidden[j]) for j in range(4)]
    g_pooled = [sum(g_hidden[j] * first[j][m] for j in range(4)) for m in range(8)]
    g_x = [[0.0] * 6 for _ in range(6)]
    for g, (k, y, z) in zip(g_pooled, where, strict=True):
        g = rectify(g, maps[k][y][z])
        for i in range(3):
            for j in range(3):
                g_x[y + i][z + j] += g * conv[k][0][i][j]
    return g_x


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("seed", range(5))
def test_two_layers_against_plain_python(rule, seed):
    model = Two()
    x = torch.randn(1, 1, 6, 6, generator=torch.Generator().manual_seed(seed))
    _, got, _ = back(model, rule, x, torch.ones(1, 1))
    wanted = torch.tensor(slow(model, x[0, 0].tolist(), rule))
    assert wanted.abs().max() > 0
    torch.testing.assert_close(got[0, 0], wanted, rtol=1e-5, atol=1e-6)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    steps=st.lists(st.sampled_from(["relu", "relu6", "linear", "in place", "skip"]), max_size=6),
    factor=st.floats(0.1, 10),
)
def test_chains_of_any_kind(seed, steps, factor):
    """Forward as ever; the three rules are one where nothing is negative; all are homogeneous."""
    generator = torch.Generator().manual_seed(seed)
    weights = [torch.randn(5, 5, generator=generator) for _ in steps]
    x = torch.randn(3, 5, generator=generator)
    g = torch.randn(3, 5, generator=generator)

    def chain(x: Tensor, weights: list[Tensor]) -> Tensor:
        x = x * 1
        for step, weight in zip(steps, weights, strict=True):
            if step == "linear":
                x = x @ weight
            elif step == "skip":
                x = x.relu() + x
            elif step == "in place":
                x = (x + 0.1).relu_()
            else:
                x = {"relu": F.relu, "relu6": F.relu6}[step](x)
        return x

    plain = x.clone().requires_grad_()
    values = chain(plain, weights)
    (gradient,) = torch.autograd.grad(values, plain, g)
    for rule in RULES:
        y, once, _ = back(lambda x: chain(x, weights), rule, x, g)
        assert torch.equal(y, values.detach())
        if rule == "gradient":
            assert torch.equal(once, gradient)
        _, scaled, _ = back(lambda x: chain(x, weights), rule, x, factor * g)
        torch.testing.assert_close(scaled, factor * once, rtol=1e-4, atol=1e-4)
    # Where inputs, weights and gradients are positive no rule stops anything.
    small = [weight.abs() * 0.1 for weight in weights]
    ways = [back(lambda x: chain(x, small), r, x.abs() * 0.1 + 0.01, g.abs())[1] for r in RULES]
    assert torch.equal(ways[0], ways[1]) and torch.equal(ways[0], ways[2])
