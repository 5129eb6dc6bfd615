"""Running a network: its scores, and that everything is left as found."""

from __future__ import annotations

import copy
import threading
from collections import OrderedDict, namedtuple
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from nets import MODES, Stochastic, globals_now, photo, same, snapshot, tiny, use
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import transforms as T

from nbcnnviz.backend.network import Network

# -- running --------------------------------------------------------------------------------------

Named = namedtuple("Named", ["aux", "logits"])


class Puts(nn.Module):
    """Puts out whatever `wrap` makes of two tensors of scores."""

    def __init__(self, wrap: Callable[[Tensor, Tensor], Any]) -> None:
        super().__init__()
        self.wrap = wrap

    def forward(self, x: Tensor) -> Any:
        scores = x.flatten(1)[:, :4]
        return self.wrap(scores, scores + 100)


@pytest.mark.parametrize(
    "wrap",
    [
        lambda a, b: a,
        lambda a, b: (a, b),
        lambda a, b: [a, b],
        lambda a, b: {"aux": b, "out": a},
        lambda a, b: {"whatever": a},
        lambda a, b: OrderedDict(aux=b, logits=a),
        lambda a, b: Named(b, a),
        lambda a, b: SimpleNamespace(loss=None, logits=a),
        lambda a, b: {"features": b[:, :, None, None].expand(-1, -1, 2, 2), "x": a},
        lambda a, b: (None, {"deep": [a]}),
        lambda a, b: a[:, :, None, None],
        lambda a, b: a[:, :, None],
    ],
)
def test_outputs_of_every_kind(wrap: Callable[[Tensor, Tensor], Any]) -> None:
    x = torch.arange(24.0).view(2, 3, 2, 2)
    net = Network(Puts(wrap))
    assert torch.equal(net.logits(x), x.flatten(1)[:, :4])
    assert [p.index for p in net.predict(x[:1], 2)] == [3, 2]


@pytest.mark.parametrize(
    ("wrap", "what"),
    [
        (lambda a, b: a[:, :, None, None].expand(-1, -1, 2, 2), "a tensor 1 x 4 x 2 x 2"),
        (lambda a, b: None, "a NoneType"),
        (lambda a, b: "text", "a str"),
        (lambda a, b: {}, "a dict"),
        (lambda a, b: a[:, :0], "a tensor 1 x 0"),
        (lambda a, b: [{"boxes": a, "labels": a[0].int(), "scores": a[0]}], "a list"),
    ],
)
def test_outputs_that_are_no_scores(wrap: Callable[[Tensor, Tensor], Any], what: str) -> None:
    with pytest.raises(ValueError, match=f"^net: it puts out {what}, not one score per class"):
        Network(Puts(wrap)).predict(torch.zeros(3, 2, 2))


def test_predictions_are_the_softmax_of_plain_pytorch() -> None:
    model = tiny()
    net = Network(model, labels={3: "three"})
    x = net.prepare(photo(40, 50))
    with torch.no_grad():
        logits = copy.deepcopy(model).eval()(x)[0]
    got = net.predict(photo(40, 50), 10)
    order = logits.argsort(descending=True).tolist()
    assert [p.index for p in got] == order
    np.testing.assert_allclose([p.logit for p in got], logits[order], rtol=1e-6)
    np.testing.assert_allclose([p.probability for p in got], logits.softmax(0)[order], rtol=1e-5)
    assert len(net.predict(x, 3)) == 3 and len(net.predict(x, 99)) == 10
    assert type(got[0].index) is int and type(got[0].probability) is float


@pytest.mark.parametrize("k", [0, -1, 1.5, "5"])
def test_k(k: Any) -> None:
    with pytest.raises(ValueError, match=f"^k={k!r}: give a whole number"):
        Network(tiny()).predict(torch.zeros(3, 8, 8), k)


def test_a_single_score_gets_its_sigmoid_and_probabilities_stay() -> None:
    one = Network(Puts(lambda a, b: a[:, 0]))
    assert one.predict(torch.full((3, 2, 2), 2.0))[0].probability == pytest.approx(0.880797)
    soft = Network(Puts(lambda a, b: a.softmax(1)))
    want = torch.arange(4.0).softmax(0)
    assert soft.predict(torch.arange(12.0).view(3, 2, 2))[0].probability == pytest.approx(want[3])


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("model", ["tiny", "mixed", "stochastic", "failing"])
def test_everything_is_left_as_found(model: str, mode: str) -> None:
    made = {"tiny": tiny, "mixed": tiny, "stochastic": Stochastic}.get(
        model, lambda: Stochastic(fail=True)
    )()
    if model == "mixed":
        made.train()
        made[1].eval()
        made[0].weight.requires_grad_(False)
        made[6](torch.ones(1, 6)).sum().backward()
    net = Network(
        made, T.Compose([T.RandomCrop(24), T.ToTensor(), T.Normalize([0.1] * 3, [0.3] * 3)])
    )
    x = torch.zeros(1, 3, 8, 8)
    with MODES[mode]():
        before, around = snapshot(made), globals_now()
        if model == "failing":
            with pytest.raises(RuntimeError, match="boom"):
                net.logits(x)
        else:
            use(net)
        assert same(around, globals_now())
        assert same(before, snapshot(made))


def test_grad_mode_inside() -> None:
    model = tiny()
    net = Network(model)
    x = torch.ones(1, 3, 8, 8, requires_grad=True)
    with torch.inference_mode(), net.evaluating(grad=True) as body:
        assert torch.is_grad_enabled()
        (gradient,) = torch.autograd.grad(body(x)[0, 0], x)
    assert gradient.abs().sum() > 0 and all(p.grad is None for p in model.parameters())
    with torch.enable_grad(), net.evaluating() as body:
        assert not torch.is_grad_enabled() and not body(x).requires_grad
        assert body is not model and not any(m.training for m in body.modules())


def test_the_answer_does_not_depend_on_the_callers_modes() -> None:
    net = Network(tiny().train())
    x = torch.ones(1, 3, 8, 8)
    want = net.logits(x)
    for mode in MODES.values():
        with mode():
            assert torch.equal(net.logits(x), want)


def test_another_threads_random_numbers_are_not_rewound() -> None:
    """The worker's run ends after the main thread has drawn: both see their own numbers."""
    begun, go_on = threading.Event(), threading.Event()

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            begun.set()
            assert go_on.wait(10)
            return F.dropout(x).mean((2, 3))

    torch.manual_seed(0)
    want = torch.rand(4)
    torch.manual_seed(0)
    thread = threading.Thread(target=lambda: Network(Slow()).logits(torch.zeros(1, 3, 4, 4)))
    thread.start()
    assert begun.wait(10)
    first = torch.rand(2)
    np.random.rand()
    legacy = np.random.get_state()
    go_on.set()
    thread.join()
    assert torch.equal(torch.cat([first, torch.rand(2)]), want)
    assert same(legacy, np.random.get_state())


def test_a_run_on_the_main_thread_does_not_rewind_another_threads_numbers() -> None:
    drawn: list[Tensor] = []

    class Meanwhile(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            thread = threading.Thread(target=lambda: drawn.append(torch.rand(2)))
            thread.start()
            thread.join()
            return F.dropout(x).mean((2, 3))

    torch.manual_seed(0)
    want = torch.rand(4)
    torch.manual_seed(0)
    Network(Meanwhile()).logits(torch.zeros(1, 3, 4, 4))
    assert torch.equal(torch.cat([drawn[0], torch.rand(2)]), want)


def test_the_lock_is_held_while_the_network_runs() -> None:
    net = Network(tiny())
    free: list[bool] = []

    def attempt() -> None:
        free.append(net.lock.acquire(blocking=False))
        if free[-1]:
            net.lock.release()

    def elsewhere() -> None:
        thread = threading.Thread(target=attempt)
        thread.start()
        thread.join()

    with net.evaluating(), net.evaluating():
        elsewhere()
    elsewhere()
    assert free == [False, True]
