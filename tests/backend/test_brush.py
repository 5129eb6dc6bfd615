"""A brush answers what `occlude` answers, whatever was painted before, and computes little."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from models import make
from nets import globals_now, photo, same, snapshot
from torch import Tensor

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _brush, incremental
from nbcnnviz.backend.occlusion import Brush, occlude

SIDE = 32


class Recomputing:
    """What the brush needs of an engine, done the slow way; notes what it was asked."""

    incremental = True

    def __init__(self, net, x: Tensor) -> None:
        self.net, self.canvas = net, x.clone()
        self.clean = net.logits(x)
        self.areas: list[int] = []
        self.fail = False
        self.wholes = 0
        self.clock = self.window_takes = self.whole_takes = 0.0

    def rebase(self, patch: Tensor, top: int, left: int) -> Tensor:
        height, width = patch.shape[1:]
        self.areas.append(height * width)
        self.clock += self.window_takes
        # As a real engine may be, half changed when it fails.
        self.canvas[0, :, top : top + height, left : left + width] = patch
        if self.fail:
            raise KeyboardInterrupt
        return self.net.logits(self.canvas)

    def scores(self, patches: Tensor, tops: Tensor, lefts: Tensor) -> Tensor:
        assert patches.shape == self.canvas.shape and not tops.any() and not lefts.any()
        self.wholes += 1
        self.clock += self.whole_takes
        return self.net.logits(patches)

    def keep(self) -> Tensor:
        return self.canvas.clone()

    def restore(self, kept: Tensor) -> None:
        self.canvas = kept.clone()


@pytest.fixture
def net():
    return nv.Network(make("in place"), preprocess=backend.Preprocess(size=(SIDE, SIDE)))


@pytest.fixture
def slow(net, monkeypatch):
    monkeypatch.setattr(incremental, "build", Recomputing)
    return Brush(net, photo(SIDE, SIDE))


def dab(mask: Tensor, generator: np.random.Generator) -> Tensor:
    """A soft spot painted or erased somewhere; now and then everything at once."""
    made = mask.clone()
    kind = generator.random()
    if kind < 0.03:
        return torch.zeros_like(made)
    if kind < 0.06:
        return 1 - made
    y, x = generator.integers(-3, SIDE + 3, 2)
    rows, columns = torch.arange(SIDE)[:, None], torch.arange(SIDE)
    distance = ((rows - int(y)) ** 2 + (columns - int(x)) ** 2).sqrt()
    spot = (1 - distance / generator.uniform(2, 9)).clamp(0, 1)
    return torch.maximum(made, spot) if generator.random() < 0.7 else made * (1 - spot)


@pytest.mark.parametrize("engine", ["plain", "auto"])
@pytest.mark.parametrize("model", ["in place", "skip"])
def test_hundreds_of_dabs_and_undos_are_what_occlude_computes(engine, model):
    net = nv.Network(make(model), preprocess=backend.Preprocess(size=(SIDE, SIDE)))
    image, generator = photo(SIDE, SIDE), np.random.default_rng(0)
    brush = Brush(net, image, "gray", engine)
    history = [torch.zeros(SIDE, SIDE)]
    for step in range(300):
        if len(history) > 1 and generator.random() < 0.3:
            for _ in range(min(int(generator.integers(1, 6)), len(history) - 1)):
                history.pop()
        else:
            history.append(dab(history[-1], generator))
        got = brush.apply(history[-1])
        if step % 9 == 0 or step > 290:
            expected = occlude(net, image, history[-1], "gray")
            scale = float(expected.abs().max())
            torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * scale)


def test_the_slow_engine_shows_the_same_logic_right(slow, net):
    generator, masks = np.random.default_rng(1), [torch.zeros(SIDE, SIDE)]
    for _ in range(150):
        back = generator.random() < 0.3
        earlier = masks[-int(generator.integers(1, 9)) :][0]
        masks.append(earlier if back else dab(masks[-1], generator))
        expected = occlude(net, photo(SIDE, SIDE), masks[-1])
        torch.testing.assert_close(slow.apply(masks[-1]), expected, rtol=1e-5, atol=1e-6)
    assert len(slow._bases) <= 3 and len(slow._answers) <= 256


def test_a_dab_costs_its_own_window_however_much_is_painted(slow):
    mask = torch.zeros(SIDE, SIDE)
    areas = slow._engine.areas
    mask[:, :20] = 1
    slow.apply(mask)
    mask[3:9, 24:28] = 0.5
    slow.apply(mask)
    assert areas == [20 * SIDE, 6 * 4]
    # Undo and redo are remembered.
    again = mask.clone()
    again[3:9, 24:28] = 0
    slow.apply(again)
    slow.apply(mask)
    assert len(areas) == 2
    # So is the clean image, and a step from it costs that step.
    slow.apply(torch.zeros(SIDE, SIDE))
    small = torch.zeros(SIDE, SIDE)
    small[30:, 30:] = 1
    slow.apply(small)
    assert areas[2:] == [4]


def test_far_states_are_kept_and_the_oldest_goes(slow):
    masks = []
    for rows in (10, 20, 30):
        masks.append(torch.zeros(SIDE, SIDE))
        masks[-1][:rows] = 1
        slow.apply(masks[-1])
    assert [int(base.mask.sum()) // SIDE for base in slow._bases] == [0, 20, 30]
    slow._answers.clear()
    del slow._engine.areas[:]
    slow.apply(masks[1])
    assert slow._engine.areas == []


def test_after_many_steps_it_starts_from_the_clean_image(slow, monkeypatch):
    monkeypatch.setattr(_brush, "_ROLLS", 3)
    mask = torch.zeros(SIDE, SIDE)
    for row in range(5):
        mask[row, 5] = 1
        slow.apply(mask)
    assert slow._engine.areas == [1, 1, 1, 4, 1]


@pytest.mark.parametrize("window_wins", [True, False])
def test_the_faster_way_is_found_within_a_few_dabs(slow, net, window_wins, monkeypatch):
    engine = slow._engine
    engine.window_takes, engine.whole_takes = (1.0, 2.0) if window_wins else (2.0, 1.0)
    clock = SimpleNamespace(perf_counter=lambda: engine.clock)
    monkeypatch.setattr(_brush, "time", clock)
    mask = torch.zeros(SIDE, SIDE)
    for step in range(20):
        mask[step, step] = 1
        got = slow.apply(mask)
    torch.testing.assert_close(got, occlude(net, photo(SIDE, SIDE), mask))
    assert (len(engine.areas), engine.wholes) == ((15, 5) if window_wins else (5, 15))


def test_an_interrupt_half_way_does_no_harm(slow, net):
    mask = torch.zeros(SIDE, SIDE)
    mask[:9] = 1
    slow._engine.fail = True
    with pytest.raises(KeyboardInterrupt):
        slow.apply(mask)
    slow._engine.fail = False
    for wanted in (torch.zeros(SIDE, SIDE), mask):
        torch.testing.assert_close(slow.apply(wanted), occlude(net, photo(SIDE, SIDE), wanted))


@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_other_weights_give_other_answers(net, engine):
    brush = Brush(net, photo(SIDE, SIDE), engine=engine)
    mask = torch.zeros(SIDE, SIDE)
    mask[:9] = 1
    before = brush.apply(mask)
    with torch.no_grad():
        net.model.fc.bias += 1
    torch.testing.assert_close(brush.apply(mask), before + 1)


@pytest.mark.parametrize("engine", ["plain", "auto"])
def test_answers_and_masks_are_copies(net, engine):
    brush = Brush(net, photo(SIDE, SIDE), engine=engine)
    mask = torch.zeros(SIDE, SIDE)
    first = brush.apply(mask)
    first += 3
    mask[:20] = 1
    brush.apply(mask)
    mask[:] = 0
    torch.testing.assert_close(brush.apply(mask), first - 3)


@pytest.mark.parametrize("engine", ["plain", "auto"])
@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_model_and_process_stay_as_they_are(net, engine, mode):
    net.model.train()
    before, around = snapshot(net.model), globals_now()
    with mode():
        brush = Brush(net, photo(SIDE, SIDE), "noise", engine)
        brush.apply(np.ones((SIDE, SIDE), bool))
        with pytest.raises(ValueError, match="mask: 3 x 3"):
            brush.apply(np.ones((3, 3)))
    brush.apply(np.zeros((SIDE, SIDE)))
    assert same(snapshot(net.model), before) and same(globals_now(), around)


def test_bad_input(net):
    with pytest.raises(ValueError, match="engine='fast': choose one of"):
        Brush(net, photo(SIDE, SIDE), engine="fast")
    with pytest.raises(ValueError, match="fill='white'"):
        Brush(net, photo(SIDE, SIDE), fill="white")
    with pytest.raises(ValueError, match="not one score per class"):
        Brush(nv.Network(make("branches")), photo(SIDE, SIDE))
