"""Activation maximization: objectives, lucid's coordinates, transforms, and whole runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from nets import MODES, globals_now, photo, same, snapshot, tiny
from torch import Tensor, nn
from torch.nn import functional as F

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._dream_image import generator_at, load
from nbcnnviz.backend._dream_pass import Lens, find_maps
from nbcnnviz.backend._fourier import Fourier, colour_matrix
from nbcnnviz.backend.maximization import _MARGIN, _likeness, _sampled, _transforms, maximize
from nbcnnviz.backend.network import Network


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.last = nn.Conv2d(6, 5, 3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        return self.last(self.act(self.conv(x))).mean((2, 3))


def small(model: nn.Module | None = None) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Net() if model is None else model
    return nv.Network(model, preprocess=backend.Preprocess(size=(24, 30)), labels=list("abcde"))


MEAN, STD = (
    torch.tensor(v)[:, None, None] for v in (backend.Preprocess().mean, backend.Preprocess().std)
)


def canvas(coefficients: Tensor) -> Tensor:
    """The picture with its margin, normalised, behind coefficients for 24 x 30 pixels."""
    basis = Fourier.of((24 + 2 * _MARGIN, 30 + 2 * _MARGIN), 3, torch.zeros(()))
    return (torch.sigmoid(basis.image(coefficients)) - MEAN) / STD


def middle(x: Tensor) -> Tensor:
    return x[..., _MARGIN:-_MARGIN, _MARGIN:-_MARGIN]


def still(net: Network, layer=None, channel=None, **options):
    """Without transforms."""
    return maximize(net, layer, channel, transforms=0, **options)


# -- coordinates ---------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(8, 8), (9, 12), (12, 7), (5, 5)])
def test_images_are_lucids_fft_images(size):
    """`lucid.optvis.param.spatial.fft_image`, written out with NumPy."""
    height, width = size
    basis = Fourier.of(size, 3, torch.zeros((), dtype=torch.float64))
    z = torch.randn(basis.shape(2), generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    f = np.sqrt(np.fft.fftfreq(height)[:, None] ** 2 + np.fft.rfftfreq(width)[None] ** 2)
    scale = 1 / np.maximum(f, 1 / max(height, width)) * np.sqrt(height * width)
    spectrum = (z[..., 0] + 1j * z[..., 1]).numpy() * scale
    planes = np.fft.irfft2(spectrum, size) / 4.0
    square_root = np.asarray([[0.26, 0.09, 0.02], [0.27, 0.00, -0.05], [0.27, -0.09, 0.03]])
    square_root = square_root / np.max(np.linalg.norm(square_root, axis=0))
    # Lucid has the channels last: t_flat @ correlation.T
    colours = np.einsum("nchw,dc->ndhw", planes, square_root)
    np.testing.assert_allclose(basis.image(z).numpy(), colours, atol=1e-12)
    np.testing.assert_allclose(colour_matrix().numpy(), square_root, atol=1e-15)


def test_transforms_turn_zoom_and_shift():
    p = torch.rand(1, 3, 20, 32, generator=torch.Generator().manual_seed(0))
    none = _transforms(p.shape, 0.0, generator_at(0, 0)).to(p)
    torch.testing.assert_close(_sampled(p, none), p, atol=1e-5, rtol=0)
    # A margin shows what lies around the picture, and the picture in its middle.
    grid = _transforms(p.shape, 1.0, generator_at(0, 3)).to(p)
    for margin in (4, -4):
        other = _transforms(p.shape, 1.0, generator_at(0, 3), margin).to(p)
        assert other.shape == (1, 20 + 2 * margin, 32 + 2 * margin, 2)
        small, large = sorted((other, grid), key=Tensor.numel)
        torch.testing.assert_close(large[:, 4:-4, 4:-4], small, atol=1e-5, rtol=1e-5)
    # Nothing is sheared: what is moved keeps its lengths and right angles, but for the zoom.
    grid = _transforms(p.shape, 1.0, generator_at(0, 3))[0] * torch.tensor([16.0, 10.0])
    right, down = grid[0, 1] - grid[0, 0], grid[1, 0] - grid[0, 0]
    assert float(right @ down) == pytest.approx(0, abs=1e-6)
    assert float(right.norm()) == pytest.approx(float(down.norm()), rel=1e-6)
    assert 0.9 <= float(right.norm()) <= 1.1
    assert abs(math.degrees(math.atan2(float(right[1]), float(right[0])))) <= 10
    centre = grid.mean((0, 1))
    assert float(centre.abs().max()) <= 12


# -- objectives ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "read"),
    [
        ({"layer": "last", "channel": 2}, lambda maps, scores: maps[:, 2].mean()),
        (
            {"layer": "last", "channel": 2, "position": "center"},
            lambda maps, scores: maps[0, 2, maps.shape[2] // 2, maps.shape[3] // 2],
        ),
        (
            {"layer": "last", "channel": 0, "position": (3, 1)},
            lambda maps, scores: maps[0, 0, 3, 1],
        ),
        ({"target": 4}, lambda maps, scores: scores[0, 4]),
        ({"target": "b"}, lambda maps, scores: scores[0, 1]),
    ],
)
def test_what_rises_is_what_was_asked_for(options, read):
    net = small()
    run = still(net, steps=3, **options)
    one, two = next(run), next(run)
    with torch.no_grad():
        model = net.model
        # A channel is seen with the margin, a neuron and a class are not.
        x = canvas(one.state["coefficients"])
        torch.testing.assert_close(middle(x), one.tensor, rtol=1e-4, atol=1e-5)
        x = x if options.keys() == {"layer", "channel"} else one.tensor
        maps = model.last(F.relu(model.conv(x)))
        expected = float(read(maps, maps.mean((2, 3))))
    # A frame holds what the next step begins with.
    assert two.losses["objective"] == pytest.approx(expected, rel=1e-4, abs=1e-6)


def test_one_step_by_hand():
    net = small()
    basis = Fourier.of((24 + 2 * _MARGIN, 30 + 2 * _MARGIN), 3, torch.zeros(()))
    noise = torch.randn(basis.shape(1), generator=generator_at(0, -1))
    z = (noise * 0.01).requires_grad_()
    loss = -net.model.last(F.relu(net.model.conv(canvas(z))))[:, 3].mean()
    loss.backward()
    torch.optim.Adam([z], lr=0.05).step()
    expected = middle(canvas(z.detach()))
    frame = next(still(net, "last", 3, steps=1))
    torch.testing.assert_close(frame.tensor, expected, rtol=1e-3, atol=1e-4)


def test_a_silent_rectifier_is_woken_by_what_goes_into_it():
    net = small()
    with torch.no_grad():
        net.model.conv.bias[1] = -3.0
    assert float(F.relu(net.model.conv(net.blank()))[0, 1].detach().max()) == 0
    frames = list(still(net, "act", 1, steps=60, lr=0.3))
    assert frames[0].losses["objective"] < -1  # what goes into it
    values = [f.losses["objective"] for f in frames]
    assert values[-1] > values[0]
    if max(values) > 0:
        return
    with torch.no_grad():
        before = net.model.conv(frames[-1].tensor)[0, 1].mean()
    assert float(before) > values[0]


def test_likeness_is_the_mean_cosine_of_gram_matrices():
    maps = torch.randn(3, 4, 5, 6, generator=torch.Generator().manual_seed(0))
    grams = torch.einsum("nchw,ndhw->ncd", maps, maps).flatten(1)
    pairs = [(0, 1), (0, 2), (1, 2)]
    expected = torch.stack([F.cosine_similarity(grams[a], grams[b], 0) for a, b in pairs]).mean()
    torch.testing.assert_close(_likeness(maps), expected)


def test_diversity_keeps_results_apart():
    net = Network.demo()
    layer = find_maps(net, "blocks.1")

    def like(diversity: float) -> float:
        run = maximize(net, layer, 5, count=2, steps=25, size=64, diversity=diversity)
        maps = Lens(net).features(run.result().tensor, [layer])[layer.name]
        return float(_likeness(maps))

    assert like(3.0) < like(0.0) - 0.05


# -- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{"layer": "act", "channel": 1}, {"target": 2}])
@pytest.mark.parametrize("at", [1, 4])
def test_a_run_that_is_resumed_ends_as_if_it_had_not_been_interrupted(options, at):
    net = small()
    all_of_it = list(maximize(net, **options, count=2, steps=6))
    resumed = list(maximize(net, **options, count=2, steps=6, resume=all_of_it[at - 1]))
    assert [f.step for f in resumed] == list(range(at + 1, 7))
    for frame, expected in zip(resumed, all_of_it[at:], strict=True):
        assert torch.equal(frame.tensor, expected.tensor)
        assert frame.losses == expected.losses


def test_more_and_fewer_results_go_on_from_those_there_are():
    net = small()
    frame = maximize(net, "last", 1, count=2, steps=3).result()
    more = maximize(net, "last", 1, count=3, steps=6, resume=frame)
    assert more.steps == 6
    first = next(more)
    assert (first.step, len(first.tensor)) == (4, 3)
    # One step away from what they were; the third is as faint as noise.
    moved = (first.tensor[:2] - frame.tensor).abs().mean()
    assert 0 < float(moved) < float((first.tensor[2] - frame.tensor[0]).abs().mean())
    fewer = next(maximize(net, "last", 1, count=1, steps=6, resume=frame))
    assert len(fewer.tensor) == 1
    assert list(maximize(net, "last", 1, count=2, steps=2, resume=frame)) == []
    with pytest.raises(ValueError, match="another size"):
        maximize(net, "last", 1, count=2, size=20, resume=frame)


@pytest.mark.parametrize(("layer", "channel"), [("blocks.2", 10), ("blocks.4", 50)])
def test_the_edges_are_as_dark_and_as_bright_as_the_middle(layer, channel):
    """What pads with zeros leaves spots along the edges; they are cut off."""
    frame = maximize(nv.Network.demo(), layer, channel, size=112, steps=48).result()
    picture = torch.from_numpy(frame.image).float().mean(2)
    strips = torch.stack([picture[:3], picture[-3:], picture.T[:3], picture.T[-3:]])
    inner = picture[12:-12, 12:-12]
    assert float(strips.std()) < 1.35 * float(inner.std())
    assert abs(float(strips.mean() - inner.mean())) < 0.5 * float(inner.std())


def test_classes_are_counted_once(monkeypatch):
    net, passes = small(), []
    monkeypatch.setattr(net, "logits", lambda x: passes.append(x) or Network.logits(net, x))
    run = maximize(net, target=1)
    run.controls.lr = 0.1
    run.controls.target = 2
    assert len(passes) == 1


def test_the_generator_decides():
    net = small()

    def first(seed: int | None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        return next(maximize(net, "last", 0, generator=generator)).tensor

    assert torch.equal(first(1), first(1)) and torch.equal(first(None), first(None))
    assert not torch.equal(first(1), first(2))


def test_settings_change_on_the_next_step():
    net = small()
    run = still(net, "last", 0, steps=5)
    next(run)
    two = next(run)
    run.controls.update(layer=None, channel=None, target="c")
    three = next(run)
    with torch.no_grad():
        expected = float(net.model(two.tensor)[0, 2])
    assert three.losses["objective"] == pytest.approx(expected, rel=1e-4)
    with pytest.raises(ValueError, match="not both"):
        run.controls.layer = "last"


def test_several_results_are_several_pictures():
    frame = maximize(small(), "last", 1, count=3, steps=2, size=(20, 26)).result()
    assert [p.shape for p in frame.images] == [(20, 26, 3)] * 3
    assert frame.tensor.shape == (3, 3, 20, 26)
    assert "3 results" in repr(frame)
    assert not np.array_equal(frame.images[0], frame.images[1])


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_model_and_the_program_stay_as_they_are(mode):
    model = tiny().train()
    net = small(model)
    before, around = snapshot(model), globals_now()
    with mode():
        run = maximize(net, "relu", 2, count=2)
        next(run), next(run)
        del run
        next(maximize(net, target=3))
    assert same(snapshot(model), before)
    assert same(globals_now(), around)


def test_values_that_are_not_finite_end_the_run_with_the_last_good_frame():
    net = small()
    run = maximize(net, "last", 1)
    good = next(run)
    with torch.no_grad():
        net.model.conv.weight[0, 0, 0, 0] = math.nan
    last = list(run)
    assert len(last) == 1 and torch.equal(last[0].tensor, good.tensor)
    assert "step 2" in last[0].stopped


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({}, ValueError, "give a layer and a channel of it, or target"),
        ({"layer": "lst", "channel": 0}, ValueError, "did you mean 'last'"),
        ({"layer": "last"}, TypeError, "channel=None"),
        ({"layer": "last", "channel": 5}, ValueError, "'last' has 5 channels, 0 to 4"),
        ({"layer": "last", "channel": -1}, ValueError, "channel=-1"),
        ({"target": 5}, ValueError, "there are 5 classes; give 0 to 4"),
        ({"target": "z"}, ValueError, "no class is called so.* For a channel give layer and cha"),
        ({"target": -1}, ValueError, "target=-1: there are 5 classes"),
        ({"target": ("last", 2)}, TypeError, "give layer and channel|give\nlayer and channel"),
        ({"target": 1, "layer": "last"}, ValueError, "not both"),
        ({"target": 1, "position": "center"}, ValueError, "a class has none"),
        ({"layer": "last", "channel": 1, "position": "left"}, TypeError, "position='left'"),
        ({"layer": "last", "channel": 1, "count": 0}, ValueError, "count=0"),
        ({"layer": "last", "channel": 1, "size": (9,)}, TypeError, "size=\\(9,\\)"),
        ({"layer": "last", "channel": 1, "steps": 0}, ValueError, "steps=0"),
        ({"layer": "last", "channel": 1, "lr": math.nan}, ValueError, "lr=nan"),
        ({"layer": "last", "channel": 1, "diversity": -1}, ValueError, "diversity=-1"),
        ({"layer": "last", "channel": 1, "transforms": None}, TypeError, "transforms=None"),
        ({"layer": "last", "channel": 1, "resume": 1}, TypeError, "a frame of maximize"),
    ],
)
def test_bad_arguments_are_named_before_anything_runs(options, error, text):
    with pytest.raises(error, match=text):
        maximize(small(), **options)


def test_arrays_are_numbers_too():
    plain, arrays = (
        next(maximize(small(), "last", channel, position=position, steps=1))
        for channel, position in ((1, [2, 3]), (np.int64(1), np.array([2, 3])))
    )
    assert torch.equal(plain.tensor, arrays.tensor)
    assert torch.equal(
        next(maximize(small(), target=np.int64(2), steps=1)).tensor,
        next(maximize(small(), target=2, steps=1)).tensor,
    )


def test_a_position_outside_the_maps_is_named():
    with pytest.raises(ValueError, match="the maps are 11 x 14"):
        next(maximize(small(), "last", 1, position=(11, 0)))


# -- the demo network ----------------------------------------------------------------------------


@pytest.mark.parametrize(("layer", "channel"), [("blocks.2.1", 7), ("blocks.3.1", 3)])
def test_the_result_excites_the_channel_more_than_photos_do(layer, channel):
    net = Network.demo()
    found = find_maps(net, layer)
    result = maximize(net, layer, channel, steps=40, size=96).result()
    lens = Lens(net)
    photos = [load(net, nv.sample_image(name), (96, 96)) for name in ("cat", "coffee", "palace")]
    photos.append(load(net, photo(96, 96), None))
    excited, *others = (
        float(lens.features(x, [found])[found.name][0, channel].mean())
        for x in (result.tensor, *photos)
    )
    assert excited > 3 * max(*others, 0)


def test_the_result_for_a_class_is_taken_for_it():
    net = Network.demo()
    result = maximize(net, target="daisy", steps=40, size=96).result()
    assert net.predict(result.tensor)[0].label == "daisy"
