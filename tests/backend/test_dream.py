"""DeepDream: octaves, tiles and shifts against slow ones, a step by hand, runs that go on."""

from __future__ import annotations

import gc
import math
import threading

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import MODES, globals_now, photo, same, snapshot, tiny
from torch import Tensor, nn
from torch.nn import functional as F

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._dream_frames import Controls, DreamFrame
from nbcnnviz.backend._dream_image import Pixels, load, resized
from nbcnnviz.backend._dream_objective import Aim, best_match, dream_layer
from nbcnnviz.backend._dream_octaves import octave_sizes, roll, spans, tiled
from nbcnnviz.backend._dream_pass import Lens
from nbcnnviz.backend._dream_plan import Plan
from nbcnnviz.backend.dream import deep_dream
from nbcnnviz.backend.network import Network


class TwoStages(nn.Module):
    """Convolutions of two strides, and a head that takes one input size only."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3, padding=1)
        self.act = nn.ReLU(inplace=True)
        self.second = nn.Conv2d(6, 8, 3, stride=2, padding=1)
        self.head = nn.Linear(8 * 20 * 20, 5)
        self.passes = 0

    def forward(self, x: Tensor) -> Tensor:
        x = self.second(self.act(self.first(x)))
        return self.head(torch.sigmoid(x).flatten(1))


def small(model: nn.Module | None = None) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = TwoStages() if model is None else model
    return nv.Network(model, preprocess=backend.Preprocess(size=(40, 40)))


def plain(net: Network, image, layer="second", **options):
    """Without shifts, softening and tiles, unless asked for."""
    options = {"jitter": 0, "smooth": 0, "octaves": 1, "tile": None, **options}
    return deep_dream(net, image, layer, **options)


IMAGE = photo(40, 56)


# -- pieces --------------------------------------------------------------------------------------


@given(st.integers(1, 700), st.integers(1, 700), st.integers(1, 6), st.floats(1.05, 3))
def test_octaves_are_rounded_fractions_of_the_size(height, width, octaves, scale):
    sizes = octave_sizes((height, width), octaves, scale)
    assert sizes[-1] == (height, width)
    assert sizes == sorted(set(sizes))
    for one in sizes[:-1]:
        assert min(one) >= 32
    expected = [(round(height / scale**k), round(width / scale**k)) for k in range(octaves) if k]
    assert set(sizes[:-1]) == {e for e in expected if min(e) >= 32} - {(height, width)}


def test_octaves_without_end_are_left_out_and_that_is_said():
    assert octave_sizes((120, 90), 5000, 1.9) == [(63, 47), (120, 90)]
    run = deep_dream(small(), photo(120, 90), "second", octaves=5000, octave_scale=1.9, size=None)
    assert run.notes == ("4998 octaves below 32 pixels were left out.",)
    one = deep_dream(small(), photo(120, 90), "second", octaves=3, octave_scale=1.9, size=None)
    assert one.notes == ("1 octave below 32 pixels was left out.",)


def test_an_image_that_is_too_small_is_named_at_once():
    digits = nv.Network.digits()
    with pytest.raises(ValueError, match="image: 1 x 1 pixels, with which the run begins, are too"):
        deep_dream(digits, photo(1, 1), "conv2", size=None)
    with pytest.raises(ValueError, match="image: 1 x 40 pixels"):
        deep_dream(digits, photo(9, 9), "conv2", size=(1, 40))
    assert next(deep_dream(digits, photo(8, 8), "conv2", size=None, steps=1)).step == 1
    # Where the network takes it, it is taken.
    assert next(deep_dream(small(), photo(1, 1), "second", size=None, steps=1)).step == 1


def test_a_frame_of_a_small_octave_is_laid_onto_the_whole_image():
    net, image = small(), photo(60, 75)
    frames = list(deep_dream(net, image, "second", **RUN, size=None))
    base = load(net, image, None)
    for frame in frames:
        own = tuple(frame.tensor.shape[2:])
        detail = frame.tensor - resized(base, own)
        laid = Pixels.of(net).clip(base + resized(detail, (60, 75)))
        assert frame.image.shape[:2] == own and frame.whole[0].shape == (60, 75, 3)
        if own != (60, 75):
            assert np.array_equal(frame.whole[0], net.picture(laid))
    assert frames[-1].whole[0] is frames[-1].image


def test_the_octaves_of_the_original():
    """4 octaves with a scale of 1.4, as in the notebook of 2015."""
    assert octave_sizes((576, 1024), 4, 1.4) == [(210, 373), (294, 522), (411, 731), (576, 1024)]


@given(st.integers(-50, 50), st.integers(-50, 50))
def test_rolling_back_is_the_identity(down, right):
    x = torch.arange(2 * 3 * 7 * 9.0).reshape(2, 3, 7, 9)
    moved = roll(x, (down, right))
    assert torch.equal(roll(moved, (-down, -right)), x)
    assert torch.equal(moved[..., down % 7, right % 9], x[..., 0, 0])


@given(st.integers(1, 300), st.integers(1, 100))
def test_pieces_cover_a_length_once(length, tile):
    pieces = spans(length, tile)
    covered = [i for start, end in pieces for i in range(start, end)]
    assert covered == list(range(length))
    assert all(0 < end - start <= tile for start, end in pieces)


def test_tiles_of_a_local_objective_add_up_to_the_whole():
    x = torch.randn(1, 3, 37, 50, generator=torch.Generator().manual_seed(0))

    def gradient(part: Tensor) -> tuple[Tensor, dict[str, float]]:
        # Of mean(x^2) / 2, to which every pixel contributes alone.
        return part / part.numel(), {"objective": float(part.square().mean() / 2)}

    whole, numbers = tiled(x, None, gradient)
    pieces, sums = tiled(x, 16, gradient)
    torch.testing.assert_close(pieces, whole)
    assert sums["objective"] == pytest.approx(numbers["objective"], rel=1e-5)


@settings(max_examples=20)
@given(st.integers(1, 6), st.integers(1, 9), st.integers(1, 9))
def test_the_best_match_is_that_of_a_loop(channels, count, others):
    generator = torch.Generator().manual_seed(channels * 100 + count * 10 + others)
    own = torch.randn(channels, count, generator=generator)
    other = torch.randn(channels, others, generator=generator)
    expected = torch.stack(
        [max(other.T, key=lambda g, i=i: float(g @ own[:, i])) for i in range(count)], 1
    )
    assert torch.equal(best_match(own, other), expected)


def test_the_range_of_colours():
    for net in (small(), nv.Network.digits(), small_with_a_function()):
        pixels = Pixels.of(net)
        channels = net.preprocess.channels
        black, white = (np.full((256, 256, channels), v, np.uint8) for v in (0, 255))
        torch.testing.assert_close(pixels.low[0, :, 0, 0], net.prepare(black)[0, :, 0, 0])
        top = pixels.low + pixels.span
        torch.testing.assert_close(top[0, :, 0, 0], net.prepare(white)[0, :, 0, 0])
        x = net.prepare(photo(60, 60, channels))
        torch.testing.assert_close(pixels.inputs(pixels.colours(x)), x)


def small_with_a_function() -> Network:
    def preprocess(image):
        values = torch.from_numpy(np.asarray(image, np.float32)).permute(2, 0, 1)
        return values[:, :40, :40] / 100 - 1

    return nv.Network(TwoStages(), preprocess=preprocess)


def test_images_are_taken_whole_at_the_size_asked_for():
    net = small()
    assert load(net, IMAGE, None).shape == (1, 3, 40, 56)
    assert load(net, IMAGE, 28).shape == (1, 3, 20, 28)
    assert load(net, IMAGE, 500).shape == (1, 3, 40, 56)
    assert load(net, photo(10, 20), 500).shape == (1, 3, 20, 40)  # the network takes 40 x 40
    assert load(net, photo(10, 20), 30).shape == (1, 3, 15, 30)
    assert load(net, photo(10, 20), None).shape == (1, 3, 10, 20)
    assert load(net, IMAGE, (30, 31)).shape == (1, 3, 30, 31)
    expected = np.asarray(IMAGE, np.float32) / 255
    got = Pixels.of(net).colours(load(net, IMAGE, None))[0].permute(1, 2, 0)
    np.testing.assert_allclose(got.numpy(), expected, atol=1e-6)
    # A tensor of floats is what the network is given.
    ready = torch.randn(1, 3, 33, 44)
    assert torch.equal(load(net, ready, None), ready)


# -- a step --------------------------------------------------------------------------------------


def by_hand(net: Network, x: Tensor, lr: float) -> Tensor:
    """One step for layer `second`, written out with PyTorch alone."""
    model = net.model
    leaf = x.clone().requires_grad_()
    activations = model.second(F.relu(model.first(leaf)))
    # "Set the gradient of the layer equal to its activations."
    (slope,) = torch.autograd.grad(activations, leaf, activations.detach())
    std = torch.tensor(net.preprocess.std)[:, None, None]
    mean = torch.tensor(net.preprocess.mean)[:, None, None]
    p = x * std + mean
    # x = (p - mean) / std
    slope = slope / std
    return ((p + lr * slope / slope.abs().mean()).clamp(0, 1) - mean) / std


@pytest.mark.parametrize("lr", [0.002, 0.05, 2.0])
def test_a_normalised_step_is_that_by_hand(lr):
    net = small()
    x = load(net, IMAGE, None)
    frame = next(plain(net, IMAGE, lr=lr))
    torch.testing.assert_close(frame.tensor, by_hand(net, x, lr), rtol=1e-4, atol=1e-5)


def test_a_shift_moves_the_image_there_and_the_step_back():
    net = small()
    x = load(net, IMAGE, None)
    frame = next(plain(net, IMAGE, lr=0.01, jitter=9))
    matches = []
    for down in range(-9, 10):
        for right in range(-9, 10):
            moved = roll(by_hand(net, roll(x, (down, right)), 0.01), (-down, -right))
            matches.append(torch.allclose(moved, frame.tensor, atol=1e-5))
    assert sum(matches) == 1


def test_without_a_step_only_the_sizes_change():
    net = small()
    x = load(net, photo(120, 90), None)
    frames = list(plain(net, x, lr=0.0, octaves=4, steps=2, jitter=5, smooth=0.5))
    assert [f.octave for f in frames] == [1, 1, 2, 2, 3, 3, 4, 4]
    assert [tuple(f.tensor.shape[2:]) for f in frames[::2]] == octave_sizes((120, 90), 4, 1.4)
    torch.testing.assert_close(frames[-1].tensor, Pixels.of(net).clip(x))


def test_octaves_carry_the_detail():
    net = small()
    image = load(net, photo(80, 64), None)
    frames = list(plain(net, image, octaves=2, octave_scale=2.0, steps=1, lr=0.03))
    low = resized(image, (40, 32))
    start = image + resized(frames[0].tensor - low, (80, 64))
    expected = by_hand(net, Pixels.of(net).clip(start), 0.03)
    torch.testing.assert_close(frames[1].tensor, expected, rtol=1e-4, atol=1e-5)


def test_softening_divides_frequencies():
    from nbcnnviz.backend._fourier import softened

    y, x = torch.meshgrid(torch.arange(32.0), torch.arange(48.0), indexing="ij")
    waves = [torch.cos(2 * torch.pi * (a * y / 32 + b * x / 48)) for a, b in ((1, 2), (8, 3))]
    mixed = (waves[0] + waves[1] + 5)[None, None]
    f = [((a / 32) ** 2 + (b / 48) ** 2) ** 0.5 for a, b in ((1, 2), (8, 3))]
    expected = sum(wave / frequency**0.7 for wave, frequency in zip(waves, f, strict=True))
    torch.testing.assert_close(softened(mixed, 0.7)[0, 0], expected, rtol=1e-4, atol=1e-4)
    assert softened(mixed, 0.0) is mixed


def test_weights_channels_and_the_objective():
    net = small()
    x = load(net, IMAGE, None)
    with torch.no_grad():
        first = F.relu(net.model.first(x))
        second = net.model.second(first)
    expected = 2 * first[:, [1, 4]].square().mean() / 2 - second[:, [1, 4]].square().mean() / 6
    frame = next(plain(net, IMAGE, {"act": 2, "second": -1 / 3}, channel=[1, 4]))
    assert frame.losses["objective"] == pytest.approx(float(expected), rel=1e-4)
    assert set(frame.losses) == {"objective", "act", "second"}


def test_a_layer_that_is_overwritten_in_place_is_seen_as_it_was():
    net = small()
    x = load(net, IMAGE, None)
    frame = next(plain(net, IMAGE, "first"))
    with torch.no_grad():
        expected = net.model.first(x).square().mean() / 2
    assert frame.losses["objective"] == pytest.approx(float(expected), rel=1e-4)


def test_the_guided_step_goes_along_the_best_matches():
    net = small()
    x = load(net, IMAGE, None)
    other = load(net, photo(24, 32), 40)
    leaf = x.clone().requires_grad_()
    own = net.model.second(F.relu(net.model.first(leaf)))[0].flatten(1)
    guide = net.model.second(F.relu(net.model.first(other)))[0].flatten(1)
    # The objective of the notebook of 2015.
    best = (own.T @ guide).argmax(1)
    (slope,) = torch.autograd.grad(own, leaf, guide[:, best].detach())
    span = Pixels.of(net).span
    slope = slope * span
    expected = Pixels.of(net).clip(x + span * 0.01 * slope / slope.abs().mean())
    frame = next(plain(net, IMAGE, lr=0.01, guide=photo(24, 32)))
    torch.testing.assert_close(frame.tensor, expected, rtol=1e-4, atol=1e-5)


# -- runs ----------------------------------------------------------------------------------------

RUN = {"octaves": 2, "octave_scale": 1.2, "steps": 3, "jitter": 4, "smooth": 0.5}


@pytest.mark.parametrize("at", [1, 2, 3, 4, 5])
def test_a_run_that_is_resumed_ends_as_if_it_had_not_been_interrupted(at):
    net = small()
    all_of_it = list(deep_dream(net, IMAGE, "second", **RUN))
    resumed = list(deep_dream(net, IMAGE, "second", **RUN, resume=all_of_it[at - 1]))
    assert [f.step for f in resumed] == list(range(at + 1, 7))
    for frame, expected in zip(resumed, all_of_it[at:], strict=True):
        assert torch.equal(frame.tensor, expected.tensor)
        assert frame.losses == expected.losses


def test_a_run_goes_on_under_another_plan():
    net = small()
    frames = list(deep_dream(net, IMAGE, "second", **RUN))
    # One step of three is done at the full size, 40 x 56.
    longer = deep_dream(net, IMAGE, "second", **{**RUN, "steps": 5}, resume=frames[3])
    assert (longer.steps, [f.step for f in longer]) == (8, [5, 6, 7, 8])
    # The first size, 33 x 47, is next to 32 x 45 of the new ones.
    other = {**RUN, "octave_scale": 1.25}
    moved = list(deep_dream(net, IMAGE, "second", **other, resume=frames[1]))
    assert [(f.step, f.octave, f.steps) for f in moved] == [
        *((step, 1, 8) for step in (3, 4, 5)),
        *((step, 2, 8) for step in (6, 7, 8)),
    ]
    assert tuple(moved[0].tensor.shape[2:]) == (32, 45)
    # And what comes out of that can be gone on from as well.
    again = list(deep_dream(net, IMAGE, "second", **other, resume=moved[2]))
    assert all(torch.equal(a.tensor, b.tensor) for a, b in zip(again, moved[3:], strict=True))
    assert list(deep_dream(net, IMAGE, "second", **{**RUN, "steps": 2}, resume=frames[-1])) == []


@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=5, unique=True),
    st.lists(st.integers(1, 60), min_size=1, max_size=5, unique=True),
    st.integers(1, 9),
    st.integers(1, 9),
    st.floats(0, 1),
)
def test_the_place_in_another_plan(sizes, others, steps, more, share):
    ours, theirs = (
        Plan(tuple((n, n) for n in (*sorted(each), 61)), count)
        for each, count in ((sizes, steps), (others, more))
    )
    place = round(share * theirs.total)
    found = ours.continued(theirs, place)
    assert 0 <= found <= ours.total
    assert theirs.continued(theirs, place) == place
    size = theirs.sizes[max(0, place - 1) // more][0]
    next_to = ours.sizes[max(0, found - 1) // steps][0] if found % steps else None
    if next_to is not None:
        assert next_to == size  # only what was done at the very size counts
    else:
        began = ours.sizes[min(found // steps, len(ours.sizes) - 1)][0]
        done = ours.sizes[max(0, found - 1) // steps][0]
        least = min(abs(math.log(n[0] / size)) for n in ours.sizes)
        assert least == pytest.approx(min(abs(math.log(n / size)) for n in (began, done)))


def test_the_generator_decides():
    net = small()

    def result(generator: torch.Generator | None) -> Tensor:
        return deep_dream(net, IMAGE, "second", **RUN, generator=generator).result().tensor

    one, again, other = (torch.Generator().manual_seed(seed) for seed in (1, 1, 2))
    assert torch.equal(result(one), result(again))
    assert not torch.equal(result(torch.Generator().manual_seed(1)), result(other))
    assert torch.equal(result(None), result(None))


def test_frames_stay_as_they_are():
    net = small()
    frames, copies = [], []
    for frame in deep_dream(net, IMAGE, "second", **RUN):
        frames.append(frame)
        copies.append(frame.tensor.clone())
    assert all(torch.equal(f.tensor, c) for f, c in zip(frames, copies, strict=True))
    assert all(f.image.dtype == np.uint8 and f.image.shape[2] == 3 for f in frames)
    assert frames[-1].finished and not frames[-2].finished


def test_settings_change_on_the_next_step():
    net = small()
    run = plain(net, IMAGE, steps=9, lr=0.01)
    one = next(run)
    run.controls.update(layer="act", channel=2, lr=0.03)
    two = next(run)
    expected = next(plain(net, one.tensor, "act", channel=2, lr=0.03))
    torch.testing.assert_close(two.tensor, expected.tensor)
    with pytest.raises(ValueError, match="channel=7: 'act' has 6 channels"):
        run.controls.channel = 7
    with pytest.raises(AttributeError, match="strength"):
        run.controls.strength = 1
    assert run.controls.channel == 2 and "lr=0.03" in repr(run.controls)


def test_a_run_is_closed_at_once_and_from_another_thread():
    run = plain(small(), IMAGE, steps=50)
    next(run)
    run.close()
    assert list(run) == []
    run = plain(small(), IMAGE, steps=10**6)
    seen = []
    worker = threading.Thread(target=lambda: seen.extend(run))
    worker.start()
    while not seen:
        pass
    run.close()
    worker.join(20)
    assert not worker.is_alive() and 0 < len(seen) < 10**6


def test_between_two_frames_the_network_is_free():
    net = small()
    run = plain(net, IMAGE, steps=3)
    next(run)
    free = []
    worker = threading.Thread(target=lambda: free.append(net.lock.acquire(timeout=5)))
    worker.start()
    worker.join()
    assert free == [True]


def test_the_head_need_not_fit_the_size():
    """The pass stops at the layer: `head` takes 40 x 40 pixels only, and this is 90 x 70."""
    frame = plain(small(), photo(90, 70), steps=2).result()
    assert frame.tensor.shape == (1, 3, 90, 70)


def test_values_that_are_not_finite_end_the_run_with_the_last_good_frame():
    net = small()
    run = plain(net, IMAGE, steps=5)
    good = next(run)
    with torch.no_grad():
        net.model.second.weight[0, 0, 0, 0] = float("nan")
    last = list(run)
    assert len(last) == 1
    assert torch.equal(last[0].tensor, good.tensor)
    assert "step 2" in last[0].stopped and "not finite" in last[0].stopped


def test_a_silent_layer_says_so():
    net = small()
    with torch.no_grad():
        net.model.first.bias.fill_(-1e4)
    frame = next(plain(net, IMAGE, "act"))
    assert torch.equal(frame.tensor, load(net, IMAGE, None))
    assert "gradient is 0" in frame.notes[-1]


def test_training_meanwhile_is_seen():
    net = small(tiny())
    run = plain(net, IMAGE, "norm", steps=3)
    next(run)
    two = next(run)
    net.model.norm.running_mean += 1
    three = next(run)
    fresh = next(plain(net, two.tensor, "norm"))
    torch.testing.assert_close(three.tensor, fresh.tensor)


# -- the model stays as it is --------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
def test_the_model_and_the_program_stay_as_they_are(mode):
    model = tiny().train()
    model.conv.weight.requires_grad_(False)
    net = small(model)
    before, around = snapshot(model), globals_now()
    with mode():
        run = deep_dream(net, IMAGE, "relu", **RUN)
        next(run)
        next(run)
        run.close()
        abandoned = deep_dream(net, IMAGE, "relu", **RUN)
        next(abandoned)
        del abandoned
    gc.collect()
    assert same(snapshot(model), before)
    assert same(globals_now(), around)


def test_the_model_stays_as_it_is_after_an_exception():
    class Bomb(nn.Module):
        armed = False

        def forward(self, x: Tensor) -> Tensor:
            if Bomb.armed:
                raise KeyError("a bug in the user's model")
            return x * 1

    model = nn.Sequential(nn.Conv2d(3, 4, 3), Bomb(), nn.Conv2d(4, 4, 3))
    net = small(model)
    before, around = snapshot(model), globals_now()
    run = plain(net, IMAGE, "2", steps=4)
    next(run)
    Bomb.armed = True
    with pytest.raises(KeyError, match="a bug"):
        next(run)
    assert list(run) == []
    assert same(snapshot(model), before) and same(globals_now(), around)
    assert net.lock.acquire(timeout=1)
    net.lock.release()


def test_a_networks_own_counters_do_not_run_on():
    """What a pass writes to its buffers is not met by the next one."""

    class Counting(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)
            self.register_buffer("calls", torch.zeros(()))

        def forward(self, x: Tensor) -> Tensor:
            self.calls += 1
            return self.conv(x) * self.calls

    net = small(Counting())
    losses = [f.losses["objective"] for f in plain(net, IMAGE, "conv", steps=4, lr=0.0)]
    assert losses == [losses[0]] * 4
    losses = [f.losses["objective"] for f in plain(net, IMAGE, "/mul#1", steps=4, lr=0.0)]
    assert losses == [losses[0]] * 4


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"layer": "secnd"}, ValueError, "did you mean 'second'"),
        ({"layer": "head"}, ValueError, "5 numbers, not maps"),
        ({"layer": 3}, TypeError, "layer=3"),
        ({"layer": []}, ValueError, "at least one"),
        ({"layer": {"second": 0.0}}, ValueError, "every weight is 0"),
        ({"layer": {"second": float("nan")}}, ValueError, "weight=nan: give a finite number$"),
        ({"channel": 8}, ValueError, "'second' has 8 channels, 0 to 7"),
        ({"channel": "red"}, TypeError, "channel='red'"),
        ({"octaves": 0}, ValueError, "octaves=0"),
        ({"octave_scale": 1.0}, ValueError, "octave_scale=1.0"),
        ({"steps": 2.5}, TypeError, "steps=2.5"),
        ({"lr": -1}, ValueError, "lr=-1"),
        ({"lr": "fast"}, TypeError, "lr='fast'"),
        ({"jitter": -2}, ValueError, "jitter=-2"),
        ({"smooth": -0.1}, ValueError, "smooth=-0.1"),
        ({"size": 0}, ValueError, "size=0"),
        ({"size": "big"}, TypeError, "size='big'"),
        ({"tile": 5}, ValueError, "tile=5"),
        ({"guide": 7}, TypeError, "guide"),
        ({"generator": 7}, TypeError, "generator=7"),
        ({"resume": 7}, TypeError, "resume=7"),
        ({"image": torch.full((1, 3, 9, 9), float("nan"))}, ValueError, "NaN"),
    ],
)
def test_bad_arguments_are_named_before_anything_runs(options, error, text):
    given_ = {"image": IMAGE, "layer": "second", **options}
    with pytest.raises(error, match=text.replace("(", r"\(")):
        deep_dream(small(), **given_)


def test_frames_of_other_runs_cannot_be_resumed():
    net = small()
    frame = next(plain(net, IMAGE, steps=3))
    with pytest.raises(ValueError, match="same image and size"):
        plain(net, IMAGE, size=(40, 50), resume=frame)
    with pytest.raises(TypeError, match="a frame of deep_dream"):
        plain(net, IMAGE, resume=DreamFrame(frame.tensor, 1, 3))


def test_a_network_that_cuts_the_gradient_says_so():
    class Detached(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 4, 3)

        def forward(self, x: Tensor) -> Tensor:
            return self.conv(x.detach())

    with pytest.raises(ValueError, match="no gradient arrives"):
        next(plain(small(Detached()), IMAGE, "conv"))


def test_controls_take_all_or_nothing():
    def read(values):
        if values["a"] > values["b"]:
            raise ValueError("a above b")
        return values["a"] + values["b"]

    controls = Controls(read, a=1, b=2)
    controls.update(a=5, b=6)
    with pytest.raises(ValueError, match="above"):
        controls.a = 7
    assert (controls.a, controls.b, controls.now) == (5, 6, 11)


# -- real networks -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "expected"),
    [("resnet18", "layer3"), ("vgg11", "features.19"), ("googlenet", "inception4c")],
)
def test_the_layer_that_is_chosen(name, expected):
    options = {"init_weights": False} if name == "googlenet" else {}
    net = Network.from_torchvision(name, weights=None, **options)
    assert dream_layer(net.layers(), net.preprocess.size).name == expected


@pytest.mark.parametrize(("image", "factor"), [("cat", 1.4), ("coffee", 1.35)])
def test_the_demo_network_sees_more_and_more(image, factor):
    net = Network.demo()
    picture = nv.sample_image(image)
    frames = list(deep_dream(net, picture, octaves=2, steps=6, size=128))
    assert "blocks.4" in frames[0].notes[0]
    x = frames[-1].tensor
    start = load(net, picture, (x.shape[2], x.shape[3]))
    aim, lens = Aim.of(net, "blocks.4", None), Lens(net)
    before, after = (float(aim.strength(lens.features(t, aim.layers))[0]) for t in (start, x))
    assert after > factor * before
    low, span = Pixels.of(net).low, Pixels.of(net).span
    assert bool((x >= low - 1e-5).all()) and bool((x <= low + span + 1e-5).all())


def test_tiles_see_nearly_what_the_whole_does():
    net = Network.demo()
    x = load(net, nv.sample_image("cat"), (160, 160))
    aim, lens = Aim.of(net, "blocks.1", None), Lens(net)

    def gradient(part: Tensor) -> tuple[Tensor, dict[str, float]]:
        return lens.gradient(part, aim.layers, aim.strength)

    whole, _ = tiled(x, None, gradient)
    pieces, _ = tiled(x, 80, gradient)
    assert float(F.cosine_similarity(whole.flatten(), pieces.flatten(), 0)) > 0.95
