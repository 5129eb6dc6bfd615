"""Style transfer: losses against PyTorch's definitions, steps against torch.optim, whole runs."""

from __future__ import annotations

import itertools
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
from nbcnnviz.backend._dream_image import Pixels, load, resized
from nbcnnviz.backend._dream_pass import Lens, find_maps
from nbcnnviz.backend._fourier import Fourier
from nbcnnviz.backend._optim import LBFGS, Adam
from nbcnnviz.backend._style_colours import lightness_only, matched
from nbcnnviz.backend._style_losses import mixed
from nbcnnviz.backend._style_targets import Target, scale_sizes
from nbcnnviz.backend.network import Network
from nbcnnviz.backend.style import (
    content_loss,
    gram_matrix,
    style_layers_for,
    style_loss,
    style_transfer,
    total_variation,
)


class Stack(nn.Module):
    """Three sizes of maps, rectified in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, padding=1)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(6, 8, 3, padding=1, stride=2)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(8, 10, 3, padding=1, stride=2)
        self.relu3 = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu2(self.conv2(self.relu1(self.conv1(x))))
        return self.relu3(self.conv3(x)).mean((2, 3))


def small(model: nn.Module | None = None, dtype: torch.dtype = torch.float32) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = Stack() if model is None else model
    return nv.Network(model.to(dtype), preprocess=backend.Preprocess(size=(32, 32)))


CONTENT, STYLE = photo(32, 40), photo(50, 30)
LARGE = photo(64, 70)
"""Large enough for two scales."""
RUN = {"scales": 2, "steps": 3, "lr": 0.02}


def draw(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# -- losses --------------------------------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 80), st.integers(1, 6), st.integers(1, 6), st.booleans())
def test_the_gram_matrix_is_that_of_einsum(count, channels, height, width, last):
    maps = draw(count, channels, height, width)
    if last:
        maps = maps.to(memory_format=torch.channels_last)
    expected = torch.einsum("nchw,ndhw->ncd", maps, maps) / (height * width)
    torch.testing.assert_close(gram_matrix(maps), expected)
    # The same where it is differentiated, by another way.
    torch.testing.assert_close(gram_matrix(maps.clone().requires_grad_()).detach(), expected)


def test_the_gram_matrix_of_the_tutorial():
    """PyTorch's tutorial divides by all elements, a b c d, where we divide by c d alone."""
    maps = draw(1, 7, 5, 4)
    a, b, c, d = maps.size()
    features = maps.view(a * b, c * d)
    theirs = torch.mm(features, features.t()).div(a * b * c * d)
    torch.testing.assert_close(gram_matrix(maps)[0], theirs * b)


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 3), st.integers(1, 70), st.integers(1, 5), st.booleans())
def test_losses_and_their_gradients_are_pytorchs(count, channels, side, last):
    maps = draw(count, channels, side, side + 1)
    if last:
        maps = maps.to(memory_format=torch.channels_last)
    target, like = gram_matrix(draw(count, channels, 3, 3, seed=1)), draw(*maps.shape, seed=2)
    leaf = maps.clone().requires_grad_()
    gram = leaf.flatten(2) @ leaf.flatten(2).mT / (side * (side + 1))
    theirs = F.mse_loss(gram, target), F.mse_loss(leaf, like)
    ours = style_loss(leaf, target), content_loss(leaf, like)
    for mine, other in zip(ours, theirs, strict=True):
        torch.testing.assert_close(mine, other)
        slopes = [
            torch.autograd.grad(3 * value, leaf, retain_graph=True)[0] for value in (mine, other)
        ]
        torch.testing.assert_close(*slopes)


def test_the_style_loss_of_gatys():
    """E = 1 / (4 C^2 (H W)^2) sum (G - A)^2 of undivided Gram matrices is a quarter of ours."""
    maps, other = draw(1, 4, 5, 6), draw(1, 4, 5, 6, seed=1)
    grams = [torch.einsum("nchw,ndhw->cd", m, m) for m in (maps, other)]
    theirs = (grams[0] - grams[1]).square().sum() / (4 * 4**2 * 30**2)
    torch.testing.assert_close(style_loss(maps, gram_matrix(other)) / 4, theirs)


def test_the_style_loss_passes_gradcheck():
    target = gram_matrix(draw(2, 3, 4, 4, seed=1))
    leaf = draw(2, 3, 4, 5).requires_grad_()
    assert torch.autograd.gradcheck(lambda m: style_loss(m, target), (leaf,))


def test_total_variation_is_that_of_a_loop():
    p = draw(1, 2, 4, 5)
    down = [
        (p[0, c, y + 1, x] - p[0, c, y, x]) ** 2
        for c in range(2)
        for y in range(3)
        for x in range(5)
    ]
    right = [
        (p[0, c, y, x + 1] - p[0, c, y, x]) ** 2
        for c in range(2)
        for y in range(4)
        for x in range(4)
    ]
    expected = torch.stack(down).mean() + torch.stack(right).mean()
    torch.testing.assert_close(total_variation(p), expected)
    assert float(total_variation(p[..., :1, :1])) == 0


def test_a_relative_loss_of_one_is_as_bad_as_nothing():
    target = draw(1, 3, 4, 4)
    assert float(content_loss(torch.zeros_like(target), target) / Target.of(target).scale) == 1


def test_the_mixed_target_is_where_the_weighted_losses_are_least():
    grams = [gram_matrix(draw(1, 3, 5, 5, seed=i)) for i in range(3)]
    weights = (0.5, 0.2, 0.3)
    leaf = mixed(grams, weights).requires_grad_()
    total = sum(w * (leaf - g).square().sum() for w, g in zip(weights, grams, strict=True))
    (slope,) = torch.autograd.grad(total, leaf)
    assert float(slope.abs().max()) < 1e-12


# -- coordinates and optimisers ------------------------------------------------------------------


@given(st.integers(1, 12), st.integers(1, 12), st.sampled_from([1, 3, 4]))
def test_the_adjoint_is_autograds(height, width, channels):
    basis = Fourier.of((height, width), channels, draw(1))
    z = draw(*basis.shape(2)).requires_grad_()
    slope = draw(2, channels, height, width, seed=1)
    (expected,) = torch.autograd.grad(basis.image(z), z, slope)
    torch.testing.assert_close(basis.adjoint(slope), expected)


@pytest.mark.parametrize("steps", [1, 7])
def test_adam_is_torchs_and_overwrites_nothing(steps):
    value = draw(5, 3).requires_grad_()
    ours, state = value.detach().clone(), Adam(betas=(0.8, 0.99))
    optimiser = torch.optim.Adam([value], lr=0.1, betas=(0.8, 0.99))
    states = []
    for step in range(steps):
        value.grad = draw(5, 3, seed=step + 1)
        change, state = state.step(value.grad, 0.1)
        ours = ours + change
        optimiser.step()
        states.append((state, state.mean.clone(), state.square.clone()))
    torch.testing.assert_close(ours, value.detach())
    assert all(torch.equal(s.mean, m) and torch.equal(s.square, q) for s, m, q in states)


def test_lbfgs_finds_the_least_of_a_valley_and_can_go_back():
    def evaluate(z: Tensor) -> tuple[Tensor, Tensor]:
        leaf = z.clone().requires_grad_()
        with torch.enable_grad():  # Rosenbrock's
            loss = (1 - leaf[0]) ** 2 + 100 * (leaf[1] - leaf[0] ** 2) ** 2
        return loss.detach(), torch.autograd.grad(loss, leaf)[0]

    states = [LBFGS(torch.tensor([-1.2, 1.0], dtype=torch.float64))]
    for _ in range(40):
        states.append(states[-1].step(evaluate, 1.0))
    assert float(evaluate(states[-1].value)[0]) < 1e-12
    again = states[10]
    for expected in states[11:]:
        again = again.step(evaluate, 1.0)
        assert torch.equal(again.value, expected.value)


def test_one_step_of_adam_by_hand():
    net = small(dtype=torch.float64)
    x, style = (load(net, image, None) for image in (CONTENT, STYLE))
    frame = next(
        style_transfer(
            net,
            CONTENT,
            STYLE,
            "relu2",
            {"relu1": 3, "relu3": 1},
            0.5,
            2.0,
            0.25,
            scales=1,
            steps=1,
            lr=0.01,
            size=None,
            init=photo(33, 33),
        )
    )
    model, pixels = net.model, Pixels.of(net)
    start = load(net, photo(33, 33), (32, 40))

    def maps(x: Tensor) -> list[Tensor]:
        one = F.relu(model.conv1(x))
        two = F.relu(model.conv2(one))
        return [one, two, F.relu(model.conv3(two))]

    def gram(m: Tensor) -> Tensor:
        return torch.einsum("nchw,ndhw->ncd", m, m) / m[0, 0].numel()

    # As many pixels as the content has, never more.
    factor = (32 * 40 / (50 * 30)) ** 0.5
    style = resized(style, (round(50 * factor), round(30 * factor)))
    with torch.no_grad():
        wanted, painted = maps(x)[1], [gram(m) for m in maps(style)]
    z = torch.zeros(Fourier.of((32, 40), 3, x).shape(1), dtype=x.dtype, requires_grad=True)
    p = pixels.colours(start) + Fourier.of((32, 40), 3, x).image(z)
    seen = maps(pixels.inputs(p))
    content = F.mse_loss(seen[1], wanted) / wanted.square().mean()
    style_ = sum(
        share * F.mse_loss(gram(seen[i]), painted[i]) / painted[i].square().mean()
        for share, i in ((0.75, 0), (0.25, 2))
    )
    tv = (p[..., 1:, :] - p[..., :-1, :]).square().mean()
    tv = tv + (p[..., 1:] - p[..., :-1]).square().mean()
    total = 0.5 * content + 2 * style_ + 0.25 * tv
    total.backward()
    torch.optim.Adam([z], lr=0.01).step()
    with torch.no_grad():
        moved = pixels.colours(start) + Fourier.of((32, 40), 3, x).image(z)
    expected = pixels.inputs(moved.clamp(0, 1))
    torch.testing.assert_close(frame.tensor, expected, rtol=1e-9, atol=1e-9)
    for name, value in {"total": total, "content": content, "style": style_, "tv": tv}.items():
        assert frame.losses[name] == pytest.approx(float(value.detach()), rel=1e-9)


# -- layers and scales ---------------------------------------------------------------------------


def test_in_vgg_the_layers_are_those_of_gatys():
    net = Network.from_torchvision("vgg19", weights=None)
    found = style_layers_for(net)
    # relu1_1, relu2_1, relu3_1, relu4_1, relu5_1 and relu4_2
    assert found.style == tuple(f"features.{i}" for i in (1, 6, 11, 20, 29))
    assert found.content == "features.22"


@pytest.mark.parametrize("name", ["resnet18", "densenet121", "squeezenet1_1", "convnext_tiny"])
def test_in_other_networks_every_stage_has_one(name):
    net = Network.from_torchvision(name, weights=None)
    found = style_layers_for(net)
    shapes = {layer.name: layer.shape for layer in net.layers()}
    sizes = [shapes[layer][1:] for layer in found.style]
    assert sizes == sorted(set(sizes), reverse=True) and len(sizes) >= 3
    assert found.content in shapes


def test_a_network_without_maps_is_refused():
    net = small(nn.Sequential(nn.Conv2d(3, 4, 32), nn.ReLU()))
    with pytest.raises(ValueError, match="more than one cell"):
        style_layers_for(net)


@given(st.integers(1, 900), st.integers(1, 900), st.integers(1, 5000))
def test_scales_double(height, width, scales):
    sizes = scale_sizes((height, width), scales)
    assert sizes[-1] == (height, width) and len(sizes) <= scales
    assert all(min(size) >= 32 for size in sizes[:-1])
    assert len(sizes) == scales or min(sizes[0]) < 65
    for (h, w), (taller, wider) in itertools.pairwise(sizes):
        assert abs(2 * h - taller) <= 1 or h == 1
        assert abs(2 * w - wider) <= 1 or w == 1


# -- runs ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize("at", [1, 3, 5])
def test_a_run_that_is_resumed_ends_as_if_it_had_not_been_interrupted(optimizer, at):
    net = small()
    options = {**RUN, "lr": None, "optimizer": optimizer, "init": "noise"}
    all_of_it = list(style_transfer(net, LARGE, STYLE, **options))
    assert [f.step for f in all_of_it] == list(range(1, 7))
    assert [f.octave for f in all_of_it] == [1, 1, 1, 2, 2, 2]
    resumed = list(style_transfer(net, LARGE, STYLE, **options, resume=all_of_it[at - 1]))
    assert len(resumed) == 6 - at
    for frame, expected in zip(resumed, all_of_it[at:], strict=True):
        assert torch.equal(frame.tensor, expected.tensor)
        assert frame.losses == expected.losses


def test_a_run_goes_on_under_another_plan():
    net = small()
    options = {**RUN, "lr": None, "init": "noise"}
    frames = list(style_transfer(net, LARGE, STYLE, **options))
    frame = frames[3]
    longer = style_transfer(net, LARGE, STYLE, **{**options, "steps": 5}, resume=frame)
    assert longer.steps == 8
    made = next(longer)
    assert made.step == 5 and torch.equal(made.tensor, frames[4].tensor)
    # With the content's colours from now on.
    kept = {**options, "keep_colours": True}
    made = next(style_transfer(net, LARGE, STYLE, **kept, resume=frame))
    pixels = Pixels.of(net)
    own, now = (pixels.colours(x) for x in (load(net, LARGE, 384), made.tensor))
    inside = ((now > 0) & (now < 1)).all(1)
    change = (now - own).movedim(1, -1)[inside]
    torch.testing.assert_close(change, change[:, :1].expand(-1, 3), atol=1e-5, rtol=0)
    again = next(style_transfer(net, LARGE, STYLE, **{**options, "scales": 1}, resume=frame))
    assert again.octave == 1 and again.octaves == 1 and again.step == 5


def test_a_frame_of_a_small_scale_is_shown_in_full():
    net = small()
    frames = list(style_transfer(net, LARGE, STYLE, **RUN))
    assert all(frame.whole[0].shape == (64, 70, 3) for frame in frames)
    assert frames[-1].whole[0] is frames[-1].image
    x = frames[0].tensor
    assert tuple(x.shape[2:]) == (32, 35) and frames[0].image.shape == (32, 35, 3)
    expected = net.picture(Pixels.of(net).clip(resized(x, (64, 70))))
    assert np.array_equal(frames[0].whole[0], expected)
    kept = next(style_transfer(net, LARGE, STYLE, **RUN, keep_colours=True))
    change = np.ptp(kept.whole[0].astype(int) - net.picture(load(net, LARGE, 384)), axis=2)
    # But for what was clipped, only the lightness is another one.
    assert np.median(change) <= 1


def test_small_scales_are_left_out_and_that_is_said():
    net = small()
    run = style_transfer(net, LARGE, STYLE, **{**RUN, "scales": 20})
    assert run.steps == 6
    assert run.notes[-1] == next(run).notes[-1] == "18 scales below 32 pixels were left out."
    digit = nv.sample_image("digit")
    run = style_transfer(nv.Network.digits(), digit, STYLE, scales=20, steps=1)
    assert run.result().step == run.steps


def test_a_content_that_is_too_small_is_named_at_once():
    deep = nn.Sequential(*[nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU()) for _ in range(3)])
    net = small(deep)
    with pytest.raises(ValueError, match="content: 1 x 1 pixels, with which the run begins, are t"):
        style_transfer(net, photo(1, 1), STYLE, size=None)
    assert next(style_transfer(net, photo(9, 9), STYLE, size=None)).step == 1


def test_one_pixel_has_no_neighbours():
    """A network that takes it is not stopped by the total variation."""
    for run in (RUN, {**RUN, "optimizer": "lbfgs"}):
        frame = next(style_transfer(small(), photo(1, 1), STYLE, **run, size=None))
        assert frame.step == 1 and frame.losses["tv"] == 0


def test_gram_matrices_may_be_asked_for_by_any_thread():
    """At two sizes, of which one is kept: no thread gets the other's."""
    net = small()
    frames = style_transfer(net, LARGE, STYLE, **RUN)
    some = [next(frames), frames.result()]
    layers = ["relu1", "relu2"]
    expected = {(i, layer): frames.grams(some[i], layer) for i in (0, 1) for layer in layers}
    found, errors = [], []

    def ask(i: int, layer: str) -> None:
        try:
            found.extend(((i, layer), frames.grams(some[i], layer)) for _ in range(40))
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=ask, args=key) for key in expected]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors and len(found) == 160
    for key, pair in found:
        assert all(map(torch.equal, pair, expected[key]))


def test_it_may_begin_with_a_file(tmp_path):
    path = tmp_path / "begin.png"
    STYLE.save(path)
    made = [
        next(style_transfer(small(), CONTENT, STYLE, **RUN, init=init)).tensor
        for init in (path, str(path), STYLE)
    ]
    assert torch.equal(made[0], made[1]) and torch.equal(made[0], made[2])


def test_the_generator_decides_on_the_noise():
    net = small()

    def first(seed: int | None) -> Tensor:
        generator = None if seed is None else torch.Generator().manual_seed(seed)
        run = style_transfer(net, CONTENT, STYLE, **RUN, init="noise", generator=generator)
        return next(run).tensor

    assert torch.equal(first(1), first(1)) and torch.equal(first(None), first(None))
    assert not torch.equal(first(1), first(2))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
@pytest.mark.parametrize(
    ("weights", "left_out"),
    [
        ({"style_weight": 0, "tv_weight": 0}, "style"),
        ({"content_weight": 0, "tv_weight": 0}, "content"),
    ],
)
def test_content_alone_and_style_alone(optimizer, weights, left_out):
    net = small()
    run = style_transfer(
        net, CONTENT, STYLE, init="noise", optimizer=optimizer, scales=1, steps=40, **weights
    )
    frames = list(run)
    assert left_out not in frames[-1].losses
    first, last = frames[0].losses["total"], frames[-1].losses["total"]
    assert last < first / (2.5 if left_out == "style" else 5)
    x = frames[-1].tensor
    low, span = Pixels.of(net).low, Pixels.of(net).span
    assert bool((x >= low - 1e-5).all()) and bool((x <= low + span + 1e-5).all())


def test_content_alone_begun_with_the_content_stays():
    net = small()
    frames = style_transfer(
        net, CONTENT, STYLE, style_weight=0, tv_weight=0, scales=1, size=None, init="content"
    )
    assert next(frames).losses == {"total": 0.0, "content": 0.0}


def test_recoloured_begins_with_the_colours_of_the_heaviest_style():
    net = small()
    flat = np.zeros((30, 30, 3), np.uint8)
    flat[::2, :, 0], flat[:, ::2, 2] = 90, 60  # reddish and blue, no green
    run = style_transfer(
        net, CONTENT, [STYLE, flat], style_weights=[1, 3], scales=1, steps=1, lr=1e-9, size=None
    )
    p = Pixels.of(net).colours(next(run).tensor)
    torch.testing.assert_close(
        p.mean((0, 2, 3)), torch.tensor([45, 0, 30]) / 255, atol=0.02, rtol=0
    )
    own = Pixels.of(net).colours(load(net, CONTENT, None)).mean(1)
    likeness = torch.corrcoef(torch.stack([own.flatten(), p.mean(1).flatten()]))[0, 1]
    assert float(likeness) > 0.5


def test_several_styles_share_by_weight():
    net = small()
    styles = [STYLE, photo(44, 44)]
    only = [next(style_transfer(net, CONTENT, s, **RUN)).tensor for s in styles]
    for weights, expected in (((1, 0), only[0]), ((0, 2), only[1])):
        got = next(style_transfer(net, CONTENT, styles, style_weights=weights, **RUN))
        torch.testing.assert_close(got.tensor, expected)
    as_list, as_array = (
        next(style_transfer(net, CONTENT, styles, style_weights=weights, **RUN)).tensor
        for weights in ([2, 1], np.array([2, 1]))
    )
    assert torch.equal(as_list, as_array)
    both = next(style_transfer(net, CONTENT, styles, **RUN)).tensor
    assert not torch.allclose(both, only[0]) and not torch.allclose(both, only[1])


def test_settings_change_on_the_next_step():
    net = small()
    run = style_transfer(net, CONTENT, STYLE, scales=1, steps=9, size=None)
    one = next(run)
    run.controls.update(style_weight=0.0, content_layer="relu1", tv_weight=0)
    two = next(run)
    with torch.no_grad():
        own, wanted = (F.relu(net.model.conv1(x)) for x in (one.tensor, load(net, CONTENT, None)))
    expected = float(F.mse_loss(own, wanted) / wanted.square().mean())
    assert two.losses == {
        "total": pytest.approx(expected, rel=1e-4),
        "content": two.losses["total"],
    }
    with pytest.raises(ValueError, match="did you mean"):
        run.controls.style_layers = ["relu9"]


def test_lbfgs_forgets_its_curvature_when_the_loss_changes():
    net = small()
    run = style_transfer(net, CONTENT, STYLE, scales=1, steps=9, optimizer="lbfgs", size=None)
    next(run), next(run)
    run.controls.style_weight = 1.0
    three = next(run)
    assert three.state["state"].lbfgs.memory["n_iter"] == 1


def test_the_colours_of_the_content_are_kept():
    net = small()
    run = style_transfer(
        net, CONTENT, STYLE, scales=1, steps=4, size=None, keep_colours=True, init="noise"
    )
    pixels = Pixels.of(net)
    wanted = pixels.colours(load(net, CONTENT, None))
    frame = run.result()
    got = pixels.colours(frame.tensor)
    free = ((got > 1e-4) & (got < 1 - 1e-4)).all(1)[0]  # a channel that is clipped moves alone
    hue, expected = ((p - p.mean(1, keepdim=True))[0][:, free] for p in (got, wanted))
    assert free.float().mean() > 0.5
    torch.testing.assert_close(hue, expected, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(got, wanted, atol=0.01)


def test_matched_colours_have_the_mean_and_the_covariance():
    mix = draw(3, 3, seed=5)
    p = (mix @ draw(1, 3, 20, 30).flatten(2)[0]).reshape(1, 3, 20, 30)
    like = draw(1, 3, 9, 9, seed=1) * 0.2 + 0.4
    got = matched(p, like).flatten(2)[0]
    torch.testing.assert_close(got.mean(1), like.flatten(2)[0].mean(1))
    theirs = torch.cov(like.flatten(2)[0], correction=0)
    torch.testing.assert_close(torch.cov(got, correction=0), theirs, atol=3e-5, rtol=1e-3)
    plain = matched(torch.full((1, 3, 4, 4), 0.5), like)
    assert bool(torch.isfinite(plain).all())
    assert torch.equal(lightness_only(torch.ones(1, 3, 2, 2)), torch.ones(1, 3, 2, 2))


@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_values_that_are_not_finite_end_the_run_with_the_last_good_frame(optimizer):
    net = small()
    run = style_transfer(net, CONTENT, STYLE, scales=1, steps=6, optimizer=optimizer)
    good = next(run)
    with torch.no_grad():
        net.model.conv1.weight[0, 0, 0, 0] = math.nan
    last = list(run)
    assert len(last) == 1 and torch.equal(last[0].tensor, good.tensor)
    assert "step 2" in last[0].stopped and last[0].step == 1


def test_targets_are_computed_once(monkeypatch):
    calls = []
    looked = Lens.features
    monkeypatch.setattr(
        Lens,
        "features",
        lambda self, x, layers: calls.append(len(layers)) or looked(self, x, layers),
    )
    style_transfer(small(), CONTENT, STYLE, scales=1, steps=5).result()
    assert sorted(calls) == [1, 3]  # the content's layer; the style's


# -- the model stays as it is --------------------------------------------------------------------


@pytest.mark.parametrize("mode", MODES.values(), ids=MODES)
@pytest.mark.parametrize("optimizer", ["adam", "lbfgs"])
def test_the_model_and_the_program_stay_as_they_are(mode, optimizer):
    model = tiny().train()
    net = small(model)
    before, around = snapshot(model), globals_now()
    with mode():
        run = style_transfer(net, CONTENT, STYLE, "relu", ["conv"], optimizer=optimizer, **RUN)
        next(run)
        next(run)
        del run
    assert same(snapshot(model), before)
    assert same(globals_now(), around)


# -- errors --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "error", "text"),
    [
        ({"content_layer": "relu7"}, ValueError, "content_layer='relu7'.*did you mean"),
        ({"style_layers": ["relu1", "nowhere"]}, ValueError, "style_layers='nowhere'"),
        ({"style_layers": []}, ValueError, "style_layers: there is none"),
        ({"style_layers": 5}, TypeError, "style_layers=5"),
        ({"style_layers": {"relu1": 0}}, ValueError, "every weight is 0"),
        ({"style_weight": -1}, ValueError, "style_weight=-1"),
        ({"content_weight": "much"}, TypeError, "content_weight='much'"),
        ({"style_weight": 0, "content_weight": 0}, ValueError, "nothing is left"),
        ({"tv_weight": math.inf}, ValueError, "tv_weight=inf"),
        ({"style": []}, ValueError, "style: there is none"),
        ({"style_weights": [1, 2]}, ValueError, "give 1, one for each style"),
        ({"init": "dark"}, ValueError, "init='dark'.*'noise', 'style'.*there is no such file"),
        ({"optimizer": "sgd"}, ValueError, "optimizer='sgd'"),
        ({"scales": 0}, ValueError, "scales=0"),
        ({"steps": 0}, ValueError, "steps=0"),
        ({"lr": 0}, ValueError, "lr=0"),
        ({"keep_colours": "yes"}, TypeError, "keep_colours='yes'"),
        ({"size": -3}, ValueError, "size=-3"),
        ({"resume": 3}, TypeError, "a frame of style_transfer"),
        ({"generator": 3}, TypeError, "generator=3"),
    ],
)
def test_bad_arguments_are_named_before_anything_runs(options, error, text):
    given_ = {"content": CONTENT, "style": STYLE, **options}
    with pytest.raises(error, match=text):
        style_transfer(small(), **given_)


# -- real networks -------------------------------------------------------------------------------


@pytest.mark.parametrize(("content", "style"), [("palace", "gravel"), ("cat", "coffee")])
def test_the_demo_network_takes_over_the_style(content, style):
    net = Network.demo()
    frames = list(
        style_transfer(
            net,
            nv.sample_image(content),
            nv.sample_image(style),
            scales=1,
            steps=30,
            size=112,
            init="content",
        )
    )
    assert "blocks.3.1.bn1.act" in frames[0].notes[0]
    assert frames[-1].losses["total"] < frames[0].losses["total"] / 3
    assert frames[-1].losses["style"] < frames[0].losses["style"] / 5
    layer = find_maps(net, "bn1.act")
    grams = [
        gram_matrix(Lens(net).features(x, [layer])[layer.name])
        for x in (
            load(net, nv.sample_image(style), 112),
            frames[0].tensor,
            frames[-1].tensor,
        )
    ]
    near, far = (float((grams[0] - g).square().mean()) for g in (grams[2], grams[1]))
    assert near < far / 3
    assert np.ptp(frames[-1].image) > 100
