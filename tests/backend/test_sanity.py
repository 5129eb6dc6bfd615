"""Deletion and insertion curves against slow loops; weights randomised in a copy of the modules."""

from __future__ import annotations

import doctest
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from attribution_nets import net_of
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import globals_now, photo, same, snapshot, tiny
from references import case
from torch import Tensor, nn

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _attr_pass, randomisation, sanity
from nbcnnviz.backend._saliency_mask import saliency_mask
from nbcnnviz.backend.attribution import attribute
from nbcnnviz.backend.fill import filled
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.patches import top_patches
from nbcnnviz.backend.randomisation import weight_randomisation
from nbcnnviz.backend.sanity import Curve, deletion_curve, insertion_curve
from nbcnnviz.backend.switches import pool_switches


def heat(seed: int, side: int = 32) -> Tensor:
    return torch.rand(side, side, generator=torch.Generator().manual_seed(seed))


# -- curves ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("score", ["probability", "logit"])
@pytest.mark.parametrize(("curve", "fill"), [(deletion_curve, "mean"), (insertion_curve, "blur")])
def test_a_curve_is_a_slow_loops(curve, fill, score):
    net = net_of()
    x = net.prepare(photo(32, 32))
    order = heat(1)
    found = curve(net, x, order, 3, steps=7, score=score)
    places = sorted(range(32 * 32), key=lambda i: -float(order.flatten()[i]))
    other = filled(net, x, fill)
    before, after = (x, other) if curve is deletion_curve else (other, x)
    wanted = []
    for step in range(8):
        image = before.clone().flatten(2)
        chosen = places[: round(step * 1024 / 7)]
        image[..., chosen] = after.flatten(2)[..., chosen]
        logits = net.logits(image.reshape(x.shape))[0]
        wanted.append(float(logits[3] if score == "logit" else logits.softmax(0)[3]))
    torch.testing.assert_close(found.scores, torch.tensor(wanted), rtol=1e-4, atol=1e-6)
    shares = torch.tensor([round(i * 1024 / 7) / 1024 for i in range(8)])
    torch.testing.assert_close(found.fractions, shares)
    assert found.complete and found.score_name == score and found.target.index == 3


@settings(max_examples=40, deadline=None)
@given(values=st.lists(st.floats(0, 1), min_size=2, max_size=30))
def test_the_area_is_petsiuks(values):
    scores = torch.tensor(values)
    target = backend.Target("thing", index=0)
    count = len(values)
    curve = Curve("deletion", target, "probability", torch.linspace(0, 1, count), scores)
    # From the code beside the paper: RISE, evaluation.py, auc.
    wanted = (scores.sum() - scores[0] / 2 - scores[-1] / 2) / (count - 1)
    assert curve.auc == pytest.approx(float(wanted), rel=1e-4, abs=1e-6)


class Weighing(nn.Module):
    """The score of class 0 is a weighted sum of pixels."""

    def __init__(self, side: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, side, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(1)


def test_no_order_is_better_than_the_true_one():
    net = net_of(lambda: Weighing(12), 12)
    x = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(0))
    true = attribute(net, x, "input_x_gradient", 0)
    true_area = deletion_curve(net, x, true, steps=144, score="logit", reduce="sum").auc
    insertion = insertion_curve(net, x, true, steps=144, score="logit", reduce="sum", fill="mean")
    for seed in range(10):
        assert true_area < deletion_curve(net, x, heat(seed, 12), 0, 144, score="logit").auc
        other = insertion_curve(net, x, heat(seed, 12), 0, 144, "mean", score="logit")
        assert insertion.auc > other.auc


def test_the_target_is_that_of_the_attribution():
    net, image = nv.Network.digits(), nv.sample_image("digit")
    found = attribute(net, image, "gradient", "8")
    assert deletion_curve(net, image, found, steps=3).target.name == "8"
    assert deletion_curve(net, image, found, "5", steps=3).target.name == "5"
    assert deletion_curve(net, image, heat(0), steps=3).target.name == "3"
    assert deletion_curve(net, image, heat(0), lambda s: s[1], steps=3).scores.shape == (4,)


def test_a_stop_keeps_the_beginning(monkeypatch):
    monkeypatch.setattr(_attr_pass, "_PIXELS", {"cpu": 4 * 32 * 32, "cuda": 1})
    net = net_of()
    x = net.prepare(photo(32, 32))
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> bool:
        told.append((done, total))
        return done >= 10

    found = deletion_curve(net, x, heat(0), 3, steps=50, on_progress=progress)
    assert not found.complete and len(found.scores) == told[-1][0] < 51 == told[-1][1]
    whole = deletion_curve(net, x, heat(0), 3, steps=50)
    torch.testing.assert_close(found.scores, whole.scores[: len(found.scores)])
    assert 0 <= found.auc <= 1


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"attribution": "map"}, TypeError, "attribution: a str; give an Attribution"),
        ({"attribution": heat(0, 8)}, ValueError, "attribution: 8 x 8, but the network sees 32"),
        ({"attribution": heat(0) * torch.nan}, ValueError, "NaN or infinite"),
        ({"steps": 0}, ValueError, "steps=0: give a whole number"),
        ({"target": ("conv1", 2)}, ValueError, "the curves are of class scores"),
        ({"target": 12}, ValueError, "there are 12 classes"),
        ({"score": "odds"}, ValueError, "score='odds'"),
        ({"fill": "no"}, ValueError, "fill='no'"),
    ],
)
def test_arguments_that_make_no_sense(arguments, error, message):
    net = net_of()
    given = {"image": photo(32, 32), "attribution": heat(0), **arguments}
    with pytest.raises(error, match=message):
        deletion_curve(net, **given)


# -- randomised weights ----------------------------------------------------------------------------


def ranks(values: np.ndarray) -> np.ndarray:
    """Of equal values the mean of their places."""
    order = np.sort(values)
    return np.array(
        [(np.searchsorted(order, v) + np.searchsorted(order, v, "right")) / 2 for v in values]
    )


def test_rank_correlation_is_that_of_the_ranks():
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 9, 60).astype(np.float32), rng.normal(size=60).astype(np.float32)
    wanted = np.corrcoef(ranks(a), ranks(b))[0, 1]
    got = randomisation._rank_correlation(torch.from_numpy(a), torch.from_numpy(b))
    assert got == pytest.approx(wanted, rel=1e-6)
    assert np.isnan(randomisation._rank_correlation(torch.zeros(5), torch.rand(5)))


def test_layers_are_randomised_from_the_scores_down(monkeypatch):
    net, image = nv.Network.digits(), nv.sample_image("digit")
    seen: list[list[bool]] = []
    real = randomisation.attribute

    def spied(other: Network, *args: Any, **kwargs: Any) -> Any:
        pairs = zip(net.model.parameters(), other.model.parameters(), strict=True)
        seen.append([torch.equal(a, b) for a, b in pairs])
        return real(other, *args, **kwargs)

    monkeypatch.setattr(randomisation, "attribute", spied)
    for cascading, wanted in [
        (True, ["111111", "111100", "110000", "000000"]),
        (False, ["111111", "111100", "110011", "001111"]),
    ]:
        seen.clear()
        found = weight_randomisation(net, image, "gradient", cascading=cascading)
        assert found.layers == ("fc", "conv2", "conv1") and found.complete
        assert ["".join("01"[same] for same in row) for row in seen] == wanted
        assert len(found.similarity) == len(found.similarity_signed) == 3
        assert found.remaining == found.similarity[-1]


def test_what_stays_the_same_is_similar(monkeypatch):
    monkeypatch.setattr(randomisation, "_randomise", lambda module, generator: None)
    net = net_of()
    found = weight_randomisation(net, photo(32, 32), "guided_backprop", 3)
    assert all(value == pytest.approx(1) for value in found.similarity + found.similarity_signed)


def test_the_random_weights_have_the_mean_and_deviation_of_the_others():
    layer = nn.Linear(200, 100)
    with torch.no_grad():
        layer.weight.mul_(3).add_(0.7)
    before = layer.weight.detach().clone()
    randomisation._randomise(layer, torch.Generator().manual_seed(0))
    after = layer.weight.detach()
    assert float(after.mean()) == pytest.approx(float(before.mean()), abs=0.01)
    assert float(after.std()) == pytest.approx(float(before.std()), rel=0.02)
    assert abs(np.corrcoef(before.flatten(), after.flatten())[0, 1]) < 0.03


def test_guided_backpropagation_notices_less_than_the_gradient():
    """Adebayo et al.: with the upper layers random its picture is still much the same."""
    net, image = nv.Network.demo(), nv.sample_image("cat")
    first = {
        method: weight_randomisation(net, image, method, most=3).similarity[0]
        for method in ("gradient", "guided_backprop")
    }
    assert first["gradient"] < 0.5 < 0.7 < first["guided_backprop"]


def test_the_same_numbers_each_time_or_those_of_a_generator():
    net = net_of()
    image = photo(32, 32)
    before = globals_now()
    runs = [weight_randomisation(net, image, "gradcam", 3, "conv2", relu=False) for _ in range(2)]
    assert runs[0] == runs[1] and same(globals_now(), before)
    other = torch.Generator().manual_seed(7)
    assert (
        weight_randomisation(net, image, "gradcam", 3, "conv2", generator=other, relu=False)
        != (runs[0])
    )


@pytest.mark.parametrize("method", ["cam", "gradcam", "guided_gradcam", "smoothgrad"])
def test_any_method(method):
    c = case("one ReLU in place")
    options = {"samples": 2} if method == "smoothgrad" else {}
    found = weight_randomisation(c.net, c.x, method, 3, most=2, **options)
    assert len(found.layers) == 2 and found.layers[-1] == "conv1"


def test_normalisations_go_with_the_layer_before_them():
    c = case("ResNet-18")
    groups = randomisation._groups(c.net, c.x)
    assert groups[0] == ("fc", ["fc"])
    assert groups[-1][0] == "conv1" and set(groups[-1][1]) == {"conv1", "bn1"}
    held = [path for _, paths in groups for path in paths]
    wanted = {p for p, m in c.net.model.named_modules() if any(True for _ in m.parameters(False))}
    assert len(held) == len(set(held)) and set(held) == wanted


def test_parametrised_and_plain_weights():
    def make() -> nn.Module:
        parametrised = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 4, 3))

        class Plain(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.randn(5, 4))

            def forward(self, x: Tensor) -> Tensor:
                return x.mean((2, 3)) @ self.weight.T

        return nn.Sequential(parametrised, nn.ReLU(), Plain())

    net = net_of(make, 16)
    before = snapshot(net.model)
    found = weight_randomisation(net, photo(16, 16), "gradient", 1)
    assert found.layers == ("2", "0") and same(snapshot(net.model), before)
    assert all(abs(value) < 0.99 for value in found.similarity)


def test_a_stop_keeps_the_layers_that_are_done():
    net = net_of()
    told: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> bool:
        told.append((done, total))
        return done == 2

    found = weight_randomisation(net, photo(32, 32), "gradient", 3, on_progress=progress)
    assert told == [(1, 4), (2, 4)] and found.layers == ("fc", "conv3") and not found.complete


@pytest.mark.parametrize(("count", "most", "shown"), [(10, 3, {2, 6, 9}), (3, 8, {0, 1, 2})])
def test_layers_are_spread_evenly(count, most, shown):
    assert randomisation._spread(count, most) == shown
    assert randomisation._spread(count, None) == set(range(count))
    assert randomisation._spread(count, 1) == {count - 1}


def test_what_cannot_be_randomised():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        net = net_of(lambda: nn.Sequential(torch.jit.script(nn.Conv2d(3, 4, 3)), nn.Flatten()), 8)
    with pytest.raises(ValueError, match="TorchScript runs a part of it"):
        weight_randomisation(net, photo(8, 8), "gradient", 1)
    without = net_of(lambda: nn.Sequential(nn.MaxPool2d(2), nn.Flatten()), 8)
    with pytest.raises(ValueError, match="none of its layers has weights"):
        weight_randomisation(without, photo(8, 8), "gradient", 1)
    net = net_of()
    with pytest.raises(ValueError, match="method='no'"):
        weight_randomisation(net, photo(32, 32), "no")
    with pytest.raises(ValueError, match="most=0"):
        weight_randomisation(net, photo(32, 32), "gradient", most=0)
    with pytest.raises(TypeError, match="generator: a int"):
        weight_randomisation(net, photo(32, 32), "gradient", generator=3)


def test_the_model_is_left_as_found_also_after_a_failure():
    net = net_of(tiny, 16)
    before, around = snapshot(net.model), globals_now()
    image = photo(16, 16)
    weight_randomisation(net, image, "guided_backprop", 3)
    with pytest.raises(ZeroDivisionError):
        weight_randomisation(net, image, "gradient", 3, on_progress=lambda *now: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        deletion_curve(net, image, heat(0, 16), on_progress=lambda *now: 1 / 0)
    assert same(snapshot(net.model), before) and same(globals_now(), around)
    assert net.lock.acquire(blocking=False)
    net.lock.release()


# -- all of it -------------------------------------------------------------------------------------


def test_the_evidence_of_a_picture():
    net, image = nv.Network.digits(), nv.sample_image("digit")
    found = attribute(net, image, "gradcam", "3")
    told: list[tuple[int, int]] = []
    got = sanity.sanity_checks(
        net, image, found, steps=6, on_progress=lambda *now: told.append(now)
    )
    alone = deletion_curve(net, image, found, steps=6)
    assert torch.equal(got.deletion.scores, alone.scores)
    assert got.deletion.target.name == got.insertion_by_chance.target.name == "3"
    assert (got.insertion.kind, got.deletion_by_chance.kind) == ("insertion", "deletion")
    assert got.randomisation.layers == ("fc", "conv2", "conv1") and not got.notes
    dones = [done for done, _ in told]
    assert dones == sorted(dones) and dones[-1] == 4 * 7 + 3 and told[-1][1] == 31
    # The picture is better than chance.
    assert got.deletion.auc < got.deletion_by_chance.auc
    assert got.insertion.auc > got.insertion_by_chance.auc


def test_randomised_weights_answer_the_question_of_the_picture():
    net, image = nv.Network.digits(), nv.sample_image("digit")
    noise = torch.Generator().manual_seed(1)
    for method, score, options in [
        ("gradient", "probability", {}),
        ("smoothgrad", "logit", {"samples": 2, "generator": noise}),
    ]:
        found = attribute(net, image, method, "3", score=score, **options)
        got = sanity.sanity_checks(net, image, found, steps=2, most=2).randomisation
        options.pop("generator", None)
        own = torch.Generator().manual_seed(0)
        torch.rand(found.size, generator=own)  # the order by chance, which is drawn first
        more = {"score": score, "most": 2, "generator": own, **options}
        assert got == weight_randomisation(net, image, method, "3", **more)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"steps": "a"}, ValueError, "steps='a': give a whole number"),
        ({"steps": None}, ValueError, "steps=None: give a whole number"),
        ({"most": 0}, ValueError, "most=0: give a whole number"),
        ({"generator": 3}, TypeError, "generator: a int; give a torch.Generator"),
        ({"on_progress": 3}, TypeError, "on_progress: a int cannot be called"),
    ],
)
def test_checks_that_make_no_sense(arguments, error, message):
    net, image = nv.Network.digits(), nv.sample_image("digit")
    found = attribute(net, image, "gradient")
    with pytest.raises(error, match=message):
        sanity.sanity_checks(net, image, found, **{"steps": 2, **arguments})


def test_a_default_device_of_the_users_changes_nothing():
    net, image = nv.Network.digits(), nv.sample_image("digit")
    found = attribute(net, image, "gradcam", "3")
    wanted = sanity.sanity_checks(net, image, found, steps=3)
    with torch.device("meta"):
        got = sanity.sanity_checks(net, image, found, steps=3)
        patches = top_patches(net, [image], "conv1", 0)
        (switches,) = pool_switches(net, image, ("conv2", 0, "max"))
        mask = saliency_mask(found, method="graph_cut", image=net.picture(net.prepare(image)))
    assert torch.equal(got.insertion.scores, wanted.insertion.scores)
    assert repr(got.randomisation) == repr(wanted.randomisation)  # NaN among them
    tensors = (patches[0].reconstruction, switches.points, switches.values, mask.mask)
    assert {tensor.device.type for tensor in tensors} == {"cpu"}


def test_of_a_unit_there_are_no_curves():
    net = net_of()
    found = attribute(net, photo(32, 32), "guided_backprop", ("conv2", 1, "max"))
    got = sanity.sanity_checks(net, photo(32, 32), found, steps=4, most=2)
    assert got.deletion is got.insertion_by_chance is None
    assert got.notes[0].startswith("No curves: conv2, channel 1")
    assert len(got.randomisation.layers) == 2


def test_a_stop_leaves_out_what_is_not_begun(monkeypatch):
    monkeypatch.setattr(_attr_pass, "_PIXELS", {"cpu": 4 * 32 * 32, "cuda": 1})
    net = net_of()
    found = attribute(net, photo(32, 32), "gradient", 3)
    got = sanity.sanity_checks(
        net, photo(32, 32), found, steps=6, on_progress=lambda done, total: done > 7
    )
    assert got.deletion.complete and not got.insertion.complete
    assert got.deletion_by_chance is got.randomisation is None
    with pytest.raises(TypeError, match="attribution: a Tensor; give what `attribute` returned"):
        sanity.sanity_checks(net, photo(32, 32), heat(0))


@pytest.mark.parametrize("module", [sanity, randomisation])
def test_the_examples_in_the_documentation(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
