"""Occlusion against captum and against slow loops, on both engines."""

from __future__ import annotations

import math
import threading

import numpy as np
import pytest
import torch
from captum.attr import Occlusion
from models import make
from nets import MODES, globals_now, photo, same, snapshot, tiny
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision import models as zoo

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend import _occluders
from nbcnnviz.backend._pace import Pace
from nbcnnviz.backend._sweep import Grid
from nbcnnviz.backend.fill import filled
from nbcnnviz.backend.incremental import Engine
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.occlusion import Brush, Sweep, occlude, occlusion_sweep

ENGINES = ("plain", "auto")
ARCHITECTURES = {
    "alexnet": 64,
    "vgg11_bn": 32,
    "resnet18": 64,
    "mobilenet_v3_small": 64,
    "densenet": 64,
    "googlenet": 64,
    "squeezenet1_1": 64,
    "shufflenet_v2_x1_0": 64,
    "convnext_tiny": 64,
}


def architecture(name: str) -> Network:
    """With seeded random weights, and activations of about the size that trained ones have."""
    options = {"init_weights": False} if name == "googlenet" else {}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if name == "densenet":  # 121 layers would take long to export
            model = zoo.DenseNet(8, (2, 2, 2, 2), 16, num_classes=12)
        else:
            model = zoo.get_model(name, weights=None, num_classes=12, **options)
        model.train()
        with torch.no_grad():
            for module in model.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.momentum = None
            side = ARCHITECTURES[name]
            model(torch.randn(8, 3, side, side))
    return nv.Network(model.eval(), preprocess=backend.Preprocess(size=(side, side)))


def captum_drop(net: Network, x: Tensor, window, stride, target: int, baseline=0) -> Tensor:
    """(H, W): of captum's channels, which are all alike, the first."""
    with net.evaluating() as body:
        drop = Occlusion(body).attribute(
            x,
            sliding_window_shapes=(x.shape[1], *window),
            strides=(x.shape[1], *stride),
            baselines=baseline,
            target=target,
            perturbations_per_eval=8,
        )
    assert torch.equal(drop[0, 0], drop[0, -1])
    return drop[0, 0]


def slow(net: Network, x: Tensor, fill: Tensor, window, stride) -> tuple[Tensor, Tensor]:
    """Logits (ny, nx, classes) and the drop (classes, H, W), one position after another."""
    height, width = x.shape[2:]
    clean = net.logits(x)[0]
    rows = range(0, height - window[0] + stride[0], stride[0])
    columns = range(0, width - window[1] + stride[1], stride[1])
    logits = torch.zeros(len(rows), len(columns), len(clean))
    total, count = torch.zeros(len(clean), height, width), torch.zeros(height, width)
    for i, top in enumerate(rows):
        for j, left in enumerate(columns):
            hidden = x.clone()
            cut = (..., slice(top, top + window[0]), slice(left, left + window[1]))
            hidden[cut] = fill[cut]
            logits[i, j] = net.logits(hidden)[0]
            total[cut] += (clean - logits[i, j])[:, None, None]
            count[cut] += 1
    return logits, total / count


def small(height: int = 24, width: int = 24, channels: int = 3, name: str = "in place") -> Network:
    model = tiny(channels) if channels != 3 or name == "tiny" else make(name)
    size = backend.Preprocess(size=(height, width), channels=channels)
    return nv.Network(model, preprocess=size)


def close(got: Tensor, expected: Tensor, baseline: float) -> None:
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4 * abs(baseline))


# -- against captum -----------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(ARCHITECTURES))
def test_the_drop_is_captums(name):
    net = architecture(name)
    side = ARCHITECTURES[name]
    x = net.prepare(photo(side, side))
    window, stride = (side // 2, side // 2), (side // 4, 3 * side // 8)
    expected = None
    for engine in ENGINES:
        sweep = occlusion_sweep(net, x, window, stride, engine=engine)
        if expected is None:
            expected = captum_drop(net, x, window, stride, sweep.target.index)
        close(sweep.drop, expected, sweep.baseline)


def test_the_drop_is_captums_on_the_demo_network():
    net = nv.Network.demo()
    x = F.interpolate(net.prepare(nv.sample_image("cat")), size=(112, 112), mode="area")
    window, stride = (56, 56), (28, 37)
    expected = None
    for engine in ENGINES:
        sweep = occlusion_sweep(net, x, window, stride, engine=engine)
        assert "cat" in sweep.target.name
        if expected is None:
            expected = captum_drop(net, x, window, stride, sweep.target.index)
        close(sweep.drop, expected, sweep.baseline)


def test_the_drop_is_captums_in_full_size():
    """The size and the window of the benchmarks, side by side rather than overlapping."""
    net = architecture("resnet18")
    x = F.interpolate(net.prepare(photo(224, 224)), size=(224, 224), mode="bilinear")
    sweep = occlusion_sweep(net, x, 16, 16, engine="incremental")
    assert sweep.scores.shape == (14, 14)
    expected = captum_drop(net, x, (16, 16), (16, 16), sweep.target.index)
    close(sweep.drop, expected, sweep.baseline)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("fill", ["mean", "black", "noise", (255, 0, 0)])
def test_the_drop_is_captums_on_digits_with_any_fill(engine, fill):
    net, image = nv.Network.digits(), nv.sample_image("digit")
    if isinstance(fill, tuple):
        fill = fill[:1]
    sweep = occlusion_sweep(net, image, 9, 4, fill=fill, engine=engine)
    x = net.prepare(image)
    baseline = filled(net, x, fill)
    expected = captum_drop(net, x, (9, 9), (4, 4), sweep.target.index, baseline)
    close(sweep.drop, expected, sweep.baseline)


# -- against a slow loop --------------------------------------------------------------------------

GEOMETRIES = [
    # height, width, window, stride
    (24, 24, 8, 4),
    (23, 31, 7, 5),  # odd sizes, the stride divides nothing
    (23, 31, (9, 4), (2, 3)),
    (20, 26, (20, 26), 3),  # the window is the image
    (20, 26, (20, 5), (1, 5)),
    (17, 17, 16, 16),  # a sliver at the edge
    (7, 9, 1, 1),
]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("height", "width", "window", "stride"), GEOMETRIES)
def test_any_geometry_is_the_slow_loops(engine, height, width, window, stride):
    net = small(height, width)
    x = net.prepare(photo(height, width))
    sweep = occlusion_sweep(net, x, window, stride, fill="blur", engine=engine)
    pairs = [v if isinstance(v, tuple) else (v, v) for v in (window, stride)]
    logits, drops = slow(net, x, filled(net, x, "blur"), *pairs)
    assert sweep.complete and sweep.logits.shape == logits.shape
    torch.testing.assert_close(sweep.logits, logits, rtol=1e-4, atol=1e-5)
    index = sweep.target.index
    torch.testing.assert_close(sweep.scores, logits[..., index], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(sweep.drop, drops[index], rtol=1e-3, atol=1e-5)
    assert torch.equal(sweep.predicted, sweep.logits.argmax(2))
    assert torch.equal(sweep.flips, sweep.predicted != sweep.prediction)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("channels", [1, 5])
def test_any_number_of_channels(engine, channels):
    net = small(19, 22, channels)
    x = torch.randn(channels, 19, 22, generator=torch.Generator().manual_seed(0))
    sweep = occlusion_sweep(net, x, 6, 5, fill="black", engine=engine)
    logits, _ = slow(net, net.prepare(x), filled(net, x, "black"), (6, 6), (5, 5))
    torch.testing.assert_close(sweep.logits, logits, rtol=1e-4, atol=1e-5)


# -- which engine ---------------------------------------------------------------------------------


class Viewing(nn.Module):
    """Its maps must be in memory in the usual order."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).view(len(x), 4, -1).mean(2)


def test_plain_batches_come_in_the_order_that_the_network_can_take():
    net = nv.Network(Viewing(), preprocess=backend.Preprocess(size=(24, 24)))
    x = net.prepare(photo(24, 24))
    sweep = occlusion_sweep(net, x, 9, 7, engine="plain")
    logits, _ = slow(net, x, torch.zeros_like(x), (9, 9), (7, 7))
    torch.testing.assert_close(sweep.logits, logits, rtol=1e-4, atol=1e-6)


class Stubborn(nn.Module):
    """Looks at values to decide what to do, so that no graph describes it."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        x = self.conv(x)
        return x.mean((2, 3)) if x.sum() > 0 else x.amax((2, 3))


def test_what_cannot_be_taken_apart_runs_in_plain_batches():
    net = nv.Network(Stubborn(), preprocess=backend.Preprocess(size=(24, 24)))
    sweep = occlusion_sweep(net, photo(24, 24), 12, 6)
    assert sweep.engine == "plain" and "Plain batches, since torch.export" in sweep.note
    assert Brush(net, photo(24, 24)).engine == "plain"
    message = r'engine="incremental": .*engine="plain" runs it'
    with pytest.raises(ValueError, match=message):
        occlusion_sweep(net, photo(24, 24), 12, 12, engine="incremental")
    with pytest.raises(ValueError, match=message):
        Brush(net, photo(24, 24), engine="incremental")


def test_what_can_be_taken_apart_is(no_pause):
    net, frames = nv.Network.digits(), []
    sweep = occlusion_sweep(net, nv.sample_image("digit"), 5, 3, on_frame=frames.append)
    assert sweep.engine == "incremental" and not sweep.note
    assert {frame.sweep.engine for frame in frames} <= {"plain", "incremental"}
    asked = occlusion_sweep(net, nv.sample_image("digit"), 5, 4, engine="incremental")
    assert asked.engine == "incremental"
    few = occlusion_sweep(nv.Network.digits(), nv.sample_image("digit"), 16, 16)
    assert few.engine == "plain" and "So few positions" in few.note
    plain = occlusion_sweep(net, nv.sample_image("digit"), 5, 4, engine="plain")
    assert plain.engine == "plain" and not plain.note


def test_units_that_are_no_totals_are_measured_in_plain_batches():
    net, image = nv.Network.digits(), nv.sample_image("digit")
    assert occlusion_sweep(net, image, 16, 8, target=("conv2", 3)).engine == "incremental"
    sweep = occlusion_sweep(net, image, 16, 8, target=("conv2", 3, "max"))
    assert sweep.engine == "plain" and "only totals" in sweep.note
    with pytest.raises(ValueError, match=r'only totals .* engine="plain" measures any unit'):
        occlusion_sweep(net, image, 16, target=("conv2", 3, (0, 0)), engine="incremental")


# -- masks ----------------------------------------------------------------------------------------


def test_a_mask_blends_image_and_fill():
    net = small()
    x = net.prepare(photo(24, 24))
    mask = torch.rand(24, 24, generator=torch.Generator().manual_seed(0))
    for fill in ("mean", "gray", "blur", "noise"):
        expected = net.logits(x * (1 - mask) + filled(net, x, fill) * mask)[0]
        got = occlude(net, photo(24, 24), mask, fill)
        torch.testing.assert_close(got, expected)
        torch.testing.assert_close(occlude(net, x, mask.numpy(), fill), got)
        torch.testing.assert_close(
            occlude(net, x, mask.double().numpy()[:, ::-1], fill).shape, got.shape
        )


def test_one_hides_and_zero_shows():
    net = small()
    x = net.prepare(photo(24, 24))
    all_, none = torch.ones(24, 24), torch.zeros(24, 24, dtype=torch.bool)
    torch.testing.assert_close(occlude(net, x, none), net.logits(x)[0])
    torch.testing.assert_close(occlude(net, x, all_, "gray"), net.logits(filled(net, x, "gray"))[0])
    half = (np.arange(24) < 12)[:, None].repeat(24, 1)
    torch.testing.assert_close(occlude(net, x, half), occlude(net, x, half.tolist()))
    torch.testing.assert_close(occlude(net, x, half), occlude(net, x, half.astype(np.float32)))


@pytest.mark.parametrize("engine", ENGINES)
def test_one_window_of_a_sweep_is_a_mask_and_a_window_of_captums(engine):
    net = small(24, 30)
    x = net.prepare(photo(24, 30))
    sweep = occlusion_sweep(net, x, (10, 12), (8, 9), engine=engine)
    assert sweep.positions.tolist()[-1] == [16, 18, 8, 12]
    for number, (top, left, high, wide) in enumerate(sweep.positions.tolist()):
        mask = torch.zeros(24, 30)
        mask[top : top + high, left : left + wide] = 1
        logits = occlude(net, x, mask)
        torch.testing.assert_close(sweep.logits.flatten(0, 1)[number], logits, rtol=1e-4, atol=1e-5)
    # A window of captum's that is the whole image: its attribution is one difference.
    whole = occlusion_sweep(net, x, (24, 30), (24, 30), engine=engine)
    expected = captum_drop(net, x, (24, 30), (24, 30), whole.target.index)
    difference = net.logits(x)[0] - occlude(net, x, torch.ones(24, 30))
    torch.testing.assert_close(expected[3, 3], difference[whole.target.index])
    torch.testing.assert_close(whole.drop, expected)


def test_the_callers_mask_and_image_stay_as_they_are():
    net = small(name="tiny")
    x, mask = torch.randn(1, 3, 24, 24), torch.rand(24, 24)
    before = x.clone(), mask.clone()
    occlude(net, x, mask, "blur")
    occlusion_sweep(net, x, 12, 12)
    assert torch.equal(x, before[0]) and torch.equal(mask, before[1])


@pytest.mark.parametrize(
    ("mask", "error", "message"),
    [
        (torch.zeros(24, 25), ValueError, "mask: 24 x 25, but the network sees 24 x 24"),
        (torch.zeros(1, 24, 24), ValueError, "mask: 1 x 24 x 24"),
        (torch.tensor(1.0), ValueError, "a single number"),
        (torch.zeros(24, 24, dtype=torch.uint8), TypeError, "torch.uint8; give bool"),
        (np.zeros((24, 24), np.int64), TypeError, "int64; give bool \\(mask > 0\\)"),
        (torch.full((24, 24), torch.nan), ValueError, "holds NaN"),
        (torch.full((24, 24), torch.inf), ValueError, "NaN or infinite"),
        (torch.full((24, 24), 1.5), ValueError, "from 1.5 to 1.5; give 0"),
        (torch.full((24, 24), -0.1), ValueError, "from -0.1 to -0.1"),
        ("left half", TypeError, "mask: a str; give an array"),
        (None, TypeError, "mask: a NoneType"),
        ([["a"]], TypeError, "mask: values of <U1"),
    ],
)
def test_what_is_no_mask(mask, error, message):
    with pytest.raises(error, match=message):
        occlude(small(), photo(24, 24), mask)


# -- targets --------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_another_target_of_a_sweep_is_a_sweep_of_that_target(engine):
    net, image = nv.Network.digits(), nv.sample_image("digit")
    first = occlusion_sweep(net, image, 10, 7, engine=engine)
    assert first.target.name == "3"
    for value, score in ((8, "logit"), ("5", "probability"), (lambda s: s[3] - s[8], "logit")):
        expected = occlusion_sweep(net, image, 10, 7, target=value, score=score, engine=engine)
        got = first.for_target(value, score=score)
        assert got.target == expected.target and got.score == score
        for name in ("scores", "drop", "predicted", "flips"):
            torch.testing.assert_close(getattr(got, name), getattr(expected, name))
        assert got.baseline == pytest.approx(expected.baseline)
    assert first.for_target(8, "probability").for_target(2).score == "probability"


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("unit", [("conv2", 3), ("conv2", 3, "max"), ("relu1", 1, (2, 5))])
def test_a_units_map_is_its_activation_at_each_position(engine, unit):
    net, image = nv.Network.digits(), nv.sample_image("digit")
    sweep = occlusion_sweep(net, image, 12, 9, target=unit, engine=engine)
    x = net.prepare(image)
    target = backend.Target.of(net, unit)
    expected = []
    for top, left, high, wide in sweep.positions.tolist():
        hidden = x.clone()
        hidden[:, :, top : top + high, left : left + wide] = 0
        expected.append(target.activations(backend.feature_maps(net, hidden, unit[0])[None]))
    expected = torch.cat(expected).reshape(sweep.scores.shape)
    torch.testing.assert_close(sweep.scores, expected, rtol=1e-4, atol=1e-4)
    clean = target.activations(backend.feature_maps(net, x, unit[0])[None])
    assert sweep.baseline == pytest.approx(float(clean), rel=1e-4)
    # The classes came along.
    classes = sweep.for_target(None)
    torch.testing.assert_close(
        classes.scores, occlusion_sweep(net, image, 12, 9).scores, rtol=1e-4, atol=1e-4
    )
    assert torch.equal(sweep.predicted, classes.predicted)
    assert torch.equal(classes.for_target(unit).scores, sweep.scores)
    with pytest.raises(ValueError, match="have to be measured"):
        sweep.for_target(("conv2", 4))


@pytest.mark.parametrize("engine", ENGINES)
def test_a_unit_of_a_network_without_classes(engine):
    net = nv.Network(make("branches"))
    x = torch.randn(3, 16, 16, generator=torch.Generator().manual_seed(0))
    sweep = occlusion_sweep(net, x, 8, 8, target=("b5", 1), engine=engine)
    assert sweep.scores.isfinite().all() and sweep.logits.shape == (2, 2, 0)
    assert sweep.prediction == -1 and not sweep.flips.any() and (sweep.predicted == -1).all()
    with pytest.raises(ValueError, match="puts out no class scores"):
        sweep.for_target(0)
    with pytest.raises(ValueError, match="not one score per class"):
        occlusion_sweep(net, x, 8, 8, engine=engine)


def test_probabilities_of_a_single_score():
    net = nv.Network(tiny(classes=1), preprocess=backend.Preprocess(size=(20, 20)))
    sweep = occlusion_sweep(net, photo(20, 20), 10, 5, score="probability")
    torch.testing.assert_close(sweep.scores, sweep.logits[..., 0].sigmoid())


# -- coarse to fine, progress, stop ---------------------------------------------------------------


@pytest.mark.parametrize(("ny", "nx"), [(27, 27), (13, 13), (1, 1), (3, 3), (1, 40), (7, 22)])
def test_the_first_level_is_a_whole_map_and_all_levels_are_all_positions(ny, nx):
    grid = Grid((ny + 3, nx + 3), (4, 4), (1, 1))
    assert grid.shape == (ny, nx)
    levels = grid.levels()
    assert sorted(n for level in levels for n in level) == list(range(ny * nx))
    assert len(levels[0]) <= max(4, 0.0075 * ny * nx)
    known = torch.zeros(ny, nx, dtype=torch.bool)
    known.view(-1)[levels[0]] = True
    nearest = grid.nearest(known)
    assert (nearest >= 0).all()
    # None is a whole step away from a known one.
    y, x = nearest // nx, nearest % nx
    away = torch.maximum((y - torch.arange(ny)[:, None]).abs(), (x - torch.arange(nx)).abs())
    assert away.max() < grid.steps[0] or ny * nx <= 4
    for level in levels[1:]:
        known.view(-1)[level] = True
    assert torch.equal(grid.nearest(known), torch.arange(ny * nx).reshape(ny, nx))
    assert (grid.nearest(torch.zeros_like(known)) == -1).all()


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr("nbcnnviz.backend.occlusion._PAUSE", 0)
    monkeypatch.setattr("nbcnnviz.backend.occlusion._SHARE", math.inf)


@pytest.mark.parametrize("engine", ENGINES)
def test_frames_grow_into_the_sweep(engine, no_pause):
    net, frames = small(), []
    x = net.prepare(photo(24, 24))
    sweep = occlusion_sweep(net, x, 5, 1, engine=engine, on_frame=frames.append)
    done = [frame.done for frame in frames]
    assert done == sorted(set(done)) and done[-1] == frames[0].total == 400
    first = next(f for f in frames if f.done == len(sweep.grid.levels()[0]))
    assert first.done <= 40 and not first.sweep.complete and first.left > 0
    for frame in frames:
        known = frame.sweep.known
        assert int(known.sum()) == frame.done
        assert torch.equal(frame.scores[known], sweep.scores[known])
        assert frame.scores[~known].isnan().all() and (frame.sweep.predicted[~known] == -1).all()
        assert not frame.sweep.flips[~known].any()
    preview = first.sweep.preview()
    assert not preview.complete and preview.scores.isfinite().all() and preview.known.all()
    assert preview.drop.isfinite().all()
    assert torch.equal(preview.scores[first.sweep.known], first.scores[first.sweep.known])
    assert frames[-1].sweep.complete and frames[-1].sweep.preview() is frames[-1].sweep
    assert torch.equal(frames[-1].sweep.drop, sweep.drop)


def test_frames_come_a_few_times_a_second(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("nbcnnviz.backend.occlusion.time.perf_counter", lambda: now[0])
    plain = _occluders.Plain._run

    def run(self, batch):
        now[0] += 0.01 * len(batch)  # so that larger batches are no better
        return plain(self, batch)

    monkeypatch.setattr(_occluders.Plain, "_run", run)
    times, net = [], small(name="tiny")
    occlusion_sweep(
        net, photo(24, 24), 5, 1, on_frame=lambda f: times.append(now[0]), engine="plain"
    )
    gaps = np.diff(times)
    # Beside these, a map of each level comes when it is there.
    levels = len(Grid((24, 24), (5, 5), (1, 1)).steps)
    assert len(gaps) > 9 and (gaps < 0.2 - 1e-9).sum() <= 2 * levels


@pytest.mark.parametrize("engine", ENGINES)
def test_a_stop_keeps_what_is_there(engine, no_pause):
    net = small()
    x = net.prepare(photo(24, 24))
    whole = occlusion_sweep(net, x, 5, 1, engine=engine)
    sweep = occlusion_sweep(net, x, 5, 1, engine=engine, on_frame=lambda frame: frame.done > 40)
    known = sweep.known
    assert 40 < known.sum() < 400 and not sweep.complete
    torch.testing.assert_close(sweep.scores[known], whole.scores[known], rtol=1e-4, atol=1e-5)
    assert sweep.scores[~known].isnan().all()
    assert f"20 x 20 positions, {int(known.sum())} of them done" in repr(sweep)
    assert "of them" not in repr(whole) and f"engine {whole.engine}" in repr(whole)
    assert sweep.for_target(1).scores[known].isfinite().all()
    # Where a pixel lies under known windows, their mean; elsewhere nothing is claimed.
    covered = whole.grid.spread(torch.where(known, whole.baseline - whole.scores, torch.nan))
    torch.testing.assert_close(sweep.drop, covered, rtol=1e-3, atol=1e-5, equal_nan=True)


def test_only_true_stops(no_pause):
    sweep = occlusion_sweep(small(), photo(24, 24), 8, 8, on_frame=lambda frame: frame)
    assert sweep.complete


@pytest.mark.parametrize("engine", ENGINES)
def test_the_lock_is_free_between_batches(engine, no_pause):
    net, free = small(), []

    def try_lock():
        got = net.lock.acquire(blocking=False)
        free.append(got)
        if got:
            net.lock.release()

    def on_frame(frame):
        thread = threading.Thread(target=try_lock)
        thread.start()
        thread.join()

    occlusion_sweep(net, photo(24, 24), 5, 1, engine=engine, on_frame=on_frame)
    assert len(free) > 2 and all(free)


# -- memory ---------------------------------------------------------------------------------------


SEEN: list[int] = []
"""Sizes of batches that `Hungry` was given."""


class Hungry(nn.Module):
    """Has memory for so many images at a time."""

    def __init__(self, most, error):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.most, self.error = most, error

    def forward(self, x):
        SEEN.append(len(x))
        if len(x) > self.most:
            raise self.error
        return self.conv(x).mean((2, 3))


NO_MEMORY = [
    torch.OutOfMemoryError("CUDA out of memory"),
    RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    RuntimeError("MPS backend out of memory"),
]


@pytest.mark.parametrize("error", NO_MEMORY)
def test_batches_are_halved_when_memory_runs_out(error):
    SEEN.clear()
    net = nv.Network(Hungry(3, error), preprocess=backend.Preprocess(size=(24, 24)))
    x = net.prepare(photo(24, 24))
    sweep = occlusion_sweep(net, x, 5, 2, engine="plain")
    logits, _ = slow(net, x, torch.zeros_like(x), (5, 5), (2, 2))
    torch.testing.assert_close(sweep.logits, logits, rtol=1e-4, atol=1e-6)
    # After the first failure no batch is too large again.
    assert sum(size > 3 for size in SEEN) == 1


def test_the_incremental_engine_is_given_halves_too(monkeypatch):
    scores, failed = Engine.scores, []

    def hungry(self, patches, tops, lefts):
        if len(patches) > 5:
            failed.append(len(patches))
            raise NO_MEMORY[0]
        return scores(self, patches, tops, lefts)

    net = small()
    expected = occlusion_sweep(net, photo(24, 24), 5, 2, engine="incremental")
    monkeypatch.setattr(Engine, "scores", hungry)
    sweep = occlusion_sweep(net, photo(24, 24), 5, 2, engine="incremental")
    torch.testing.assert_close(sweep.logits, expected.logits, rtol=1e-4, atol=1e-6)
    assert failed


def test_no_memory_for_one_image_and_other_errors_are_told():
    for error, most in ((NO_MEMORY[0], 0), (RuntimeError("boom"), 2), (KeyError("boom"), 2)):
        net = nv.Network(Hungry(most, error), preprocess=backend.Preprocess(size=(24, 24)))
        with pytest.raises(type(error)):
            occlusion_sweep(net, photo(24, 24), 5, 1, engine="plain")


def test_the_size_of_batches_is_found_by_measuring():
    pace = Pace(256)
    costs = {4: 8.0, 8: 10.0, 16: 14.0, 32: 40.0}
    sizes = []
    for _ in range(8):
        sizes.append(pace.size)
        pace.told(pace.size, costs[pace.size])
    assert sizes == [4, 8, 16, 32, 32, 16, 16, 16]
    pace.told(3, 0.0)  # the rest of a level tells nothing
    pace.limit(2)
    assert pace.size == 2
    assert Pace(1).size == 1


class Rows(nn.Module):
    """One row whatever the batch, or the mean of the batch in every row, or no batch at all."""

    def __init__(self, how):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.how = how

    def forward(self, x):
        if self.how == "none":
            x = x.view(1, 3, 24, 24)
        x = self.conv(x)
        if self.how == "mean":
            x = x - x.mean((0, 2, 3), keepdim=True) * 0.5
        return x.mean((0, 2, 3))[None] if self.how == "one row" else x.mean((2, 3))


@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("one row", "the network takes no batches"),
        ("none", "the network takes no batches"),
        ("mean", "its scores depend on what else is in the batch"),
    ],
)
def test_networks_that_mix_up_a_batch_see_one_image_at_a_time(how, why):
    net = nv.Network(Rows(how), preprocess=backend.Preprocess(size=(24, 24)))
    x = net.prepare(photo(24, 24))
    sweep = occlusion_sweep(net, x, 8, 4, engine="plain")
    logits, _ = slow(net, x, torch.zeros_like(x), (8, 8), (4, 4))
    torch.testing.assert_close(sweep.logits, logits, rtol=1e-4, atol=1e-6)
    assert sweep.note == f"One image at a time, since {why}."


# -- left as found --------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", list(MODES))
@pytest.mark.parametrize("engine", ENGINES)
def test_model_and_process_stay_as_they_are(engine, mode):
    model = make("in place").train()
    net = nv.Network(model, preprocess=backend.Preprocess(size=(24, 24)))
    image = photo(24, 24)
    before, around = snapshot(model), globals_now()

    def fails(frame):
        raise InterruptedError

    with MODES[mode]():
        occlude(net, image, np.ones((24, 24), bool), "noise")
        occlusion_sweep(net, image, 8, 6, fill="noise", engine=engine)
        occlusion_sweep(net, image, 8, 6, target=("conv2", 1), engine=engine)
        with pytest.raises(InterruptedError):
            occlusion_sweep(net, image, 8, 6, engine=engine, on_frame=fails)
        with pytest.raises(ValueError, match="99"):
            occlusion_sweep(net, image, 8, 6, target=99, engine=engine)
    assert same(snapshot(model), before) and same(globals_now(), around)
    assert net.lock.acquire(blocking=False)
    net.lock.release()


def test_an_exception_in_the_model_leaves_nothing_behind():
    model = Hungry(2, KeyError("a bug"))
    model.train()
    net = nv.Network(model, preprocess=backend.Preprocess(size=(24, 24)))
    before, around = snapshot(model), globals_now()
    with pytest.raises(KeyError):
        occlusion_sweep(net, photo(24, 24), 5, 1, engine="plain")
    assert same(snapshot(model), before) and same(globals_now(), around)


@pytest.mark.parametrize("engine", ENGINES)
def test_noise_is_the_same_every_time_unless_a_generator_says_otherwise(engine):
    net = small()
    x = net.prepare(photo(24, 24))

    def scores(generator=None):
        sweep = occlusion_sweep(net, x, 8, 8, "noise", engine=engine, generator=generator)
        return sweep.scores

    assert torch.equal(scores(), scores())
    seeded = [scores(torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(seeded[0], seeded[1]) and not torch.equal(seeded[0], seeded[2])


# -- what is said, and bad input ------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_a_preview_says_so_and_is_near(engine):
    net, image = nv.Network.digits(), nv.sample_image("digit")
    exact = occlusion_sweep(net, image, 8, 8, engine=engine)
    preview = occlusion_sweep(net, image, 8, 8, engine=engine, precision="bfloat16")
    assert preview.precision == "bfloat16" and "preview" in preview.note
    assert exact.precision == "float32"
    error = (preview.logits - exact.logits).abs().max() / exact.logits.abs().max()
    assert 0 < error < 0.02
    # The image itself is what the network says it is, to the last digit.
    torch.testing.assert_close(preview.clean, net.logits(net.prepare(image))[0], rtol=0, atol=1e-5)
    torch.testing.assert_close(preview.clean, exact.clean, rtol=0, atol=1e-4)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_preview_explains_the_class_that_the_network_predicts(engine):
    class Tie(torch.nn.Module):
        """Two classes closer to each other than bfloat16 tells apart."""

        def __init__(self):
            super().__init__()
            self.conv = torch.nn.Conv2d(1, 1, 3, padding=1, bias=False)
            self.conv.weight.data.fill_(1.0)

        def forward(self, x):
            mean = self.conv(x).mean((2, 3))
            return torch.cat([mean, mean * 1.0001, mean * 0.5], 1)

    net = nv.Network(Tie(), preprocess=backend.Preprocess(size=(24, 24), channels=1))
    x = torch.rand(1, 1, 24, 24, generator=torch.Generator().manual_seed(0))
    preview = occlusion_sweep(net, x, 8, 8, engine=engine, precision="bfloat16")
    assert preview.target.index == preview.prediction == 1
    assert not preview.flips.any()


def test_double_precision_stays_double():
    net = nv.Network(make("in place").double(), preprocess=backend.Preprocess(size=(24, 24)))
    sweep = occlusion_sweep(net, photo(24, 24), 8, 8)
    assert sweep.scores.dtype == sweep.drop.dtype == torch.float64


def test_a_bare_module_will_do():
    x = torch.randn(3, 20, 20)
    sweep = backend.occlusion_sweep(tiny(), x, 10, 10)
    assert isinstance(sweep, Sweep) and sweep.size == (20, 20)
    assert backend.occlude(tiny(), x, torch.zeros(20, 20)).shape == (10,)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"window": 25}, ValueError, "window=25: larger than what the network sees, 24 x 24"),
        ({"window": (8, 25)}, ValueError, "window=\\(8, 25\\)"),
        ({"window": 0}, ValueError, "window=0: give at least 1 pixel"),
        ({"window": -3}, ValueError, "window=-3"),
        ({"window": 8.0}, TypeError, "window=8.0: give a whole number"),
        ({"window": True}, TypeError, "window=True"),
        ({"window": (8, 8, 8)}, TypeError, "window=\\(8, 8, 8\\)"),
        ({"window": "8"}, TypeError, "window='8'"),
        ({"stride": 0}, ValueError, "stride=0: give at least 1 pixel"),
        ({"stride": 9}, ValueError, "stride=9: larger than window=8"),
        ({"stride": (4, 9)}, ValueError, "stride=\\(4, 9\\)"),
        ({"engine": "fast"}, ValueError, "engine='fast': choose one of"),
        ({"precision": "float16"}, ValueError, "precision='float16': choose one of"),
        ({"score": "softmax"}, ValueError, "score='softmax': choose one of"),
        ({"score": "probability", "target": ("conv1", 0)}, ValueError, "has an activation"),
        ({"fill": "white"}, ValueError, "fill='white'"),
        ({"generator": 3}, TypeError, "generator: a int"),
        ({"on_frame": 3}, TypeError, "on_frame: a int cannot be called"),
        ({"target": 5}, ValueError, "target=5: there are 5 classes; give 0 to 4"),
        ({"target": ("conf1", 0)}, ValueError, "did you mean 'conv1'"),
        ({"target": ("conv1", 4)}, ValueError, "it has 4 channels"),
        ({"target": lambda s: s}, ValueError, "return one number"),
        ({"image": torch.full((3, 24, 24), torch.nan)}, ValueError, "NaN or infinite"),
        ({"image": "nowhere.png"}, ValueError, "no such file"),
        ({"net": "resnet18"}, TypeError, "net: a str is neither"),
    ],
)
def test_bad_input(options, error, message):
    options = {"net": small(), "image": photo(24, 24), "window": 8, "stride": 4, **options}
    with pytest.raises(error, match=message):
        occlusion_sweep(**options)
