"""What stands in for hidden pixels, in the network's space and back as a picture."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from nets import photo, tiny
from torch import nn

import nbcnnviz as nv
from nbcnnviz.backend import Preprocess
from nbcnnviz.backend.fill import filled

MEAN, STD = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])


@pytest.fixture
def net():
    return nv.Network(tiny(), preprocess=Preprocess(size=(40, 32)))


def gray_net(channels=1):
    return nv.Network(
        nn.Conv2d(channels, 4, 3), preprocess=Preprocess(size=(12, 20), channels=channels)
    )


def test_mean_is_zero_in_the_networks_space(net):
    made = filled(net, photo(50, 50), "mean")
    assert made.shape == (1, 3, 40, 32) and not made.any()


@pytest.mark.parametrize(
    ("fill", "colour"),
    [
        ("black", (0, 0, 0)),
        ("gray", (0.5, 0.5, 0.5)),
        ((255, 128, 0), (1, 128 / 255, 0)),
        ((1, 1, 1), (1 / 255, 1 / 255, 1 / 255)),
        ((1.0, 0.25, 0), (1, 0.25, 0)),
        ([0.5], (0.5, 0.5, 0.5)),
        (np.array([0, 51, 255], np.uint8), (0, 0.2, 1)),
        (torch.tensor([0.0, 0.5, 1.0]), (0, 0.5, 1)),
    ],
)
def test_colours_go_through_the_normalisation(net, fill, colour):
    made = filled(net, photo(50, 50), fill)
    expected = ((torch.tensor(colour) - MEAN) / STD)[None, :, None, None].expand(1, 3, 40, 32)
    torch.testing.assert_close(made, expected)
    levels = np.round(np.float32(colour) * 255)
    assert np.abs(net.picture(made) - levels).max() <= 1


def test_one_channel_takes_luminance_and_any_number_takes_as_many():
    black_and_white = filled(gray_net(), torch.rand(1, 12, 20), (255, 0, 0))
    torch.testing.assert_close(black_and_white, torch.full((1, 1, 12, 20), 0.299))
    five = filled(gray_net(5), torch.rand(5, 12, 20), (0.0, 0.1, 0.2, 0.3, 0.4))
    torch.testing.assert_close(five[0, :, 3, 3], torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4]))
    torch.testing.assert_close(
        filled(gray_net(5), torch.rand(5, 12, 20), "gray"), torch.full((1, 5, 12, 20), 0.5)
    )


def test_blur_is_a_gaussian_with_the_border_continued(net):
    x = net.prepare(photo(50, 50))
    made = filled(net, x, "blur")
    sigma, reach = 2.0, 6
    weights = torch.exp(-(torch.arange(-reach, reach + 1.0) ** 2) / (2 * sigma**2))
    weights = torch.outer(weights, weights) / weights.sum() ** 2
    for y, column in ((20, 15), (0, 0), (39, 2)):
        rows = torch.arange(y - reach, y + reach + 1).clamp(0, 39)
        columns = torch.arange(column - reach, column + reach + 1).clamp(0, 31)
        expected = (x[0][:, rows][:, :, columns] * weights).sum((1, 2))
        torch.testing.assert_close(made[0, :, y, column], expected, rtol=1e-4, atol=1e-5)


def test_a_plain_picture_is_its_own_blur(net):
    x = torch.full((1, 3, 40, 32), 0.7)
    torch.testing.assert_close(filled(net, x, "blur"), x)


def test_noise_is_between_black_and_white_and_comes_from_the_generator(net):
    x = net.prepare(photo(50, 50))
    state = torch.get_rng_state()
    first, again = filled(net, x, "noise"), filled(net, x, "noise")
    assert torch.equal(first, again)
    levels = first[0] * STD[:, None, None] + MEAN[:, None, None]
    assert levels.min() >= -1e-6 and levels.max() <= 1 + 1e-6
    assert levels.mean() == pytest.approx(0.5, abs=0.03) and levels.std() > 0.25
    seeded = [filled(net, x, "noise", torch.Generator().manual_seed(seed)) for seed in (5, 5, 6)]
    assert torch.equal(seeded[0], seeded[1]) and not torch.equal(seeded[0], seeded[2])
    assert torch.equal(torch.get_rng_state(), state)


def test_without_a_known_normalisation_the_images_own_ends_are_black_and_white():
    def custom(picture):
        return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 32 - 4

    net = nv.Network(tiny(), preprocess=custom)
    x = net.prepare(photo(20, 20))
    assert (net.picture(filled(net, x, "black")) == 0).all()
    torch.testing.assert_close(filled(net, x, "black").unique(), x.min()[None])
    torch.testing.assert_close(filled(net, x, (255, 255, 255)).unique(), x.max()[None])
    middle = filled(net, x, "gray").unique()
    torch.testing.assert_close(middle, (x.max()[None] + x.min()) / 2)


def test_a_custom_normalisation_is_used_where_it_is_known():
    class Custom:
        mean, std = (0.1, 0.2, 0.3), (0.5, 0.5, 0.25)

        def __call__(self, picture):
            values = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
            return (values - torch.tensor(self.mean)[:, None, None]) / 0.5

    net = nv.Network(tiny(), preprocess=Custom())
    made = filled(net, photo(20, 20), "black")
    torch.testing.assert_close(made[0, :, 0, 0], torch.tensor([-0.2, -0.4, -1.2]))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_fill_has_the_networks_type(dtype):
    net = nv.Network(tiny().to(dtype), preprocess=Preprocess(size=(24, 24)))
    for fill in ("mean", "black", "blur", "noise", (255, 0, 0)):
        assert filled(net, photo(30, 30), fill).dtype == dtype


def test_fills_may_be_written_to(net):
    x = net.prepare(photo(50, 50))
    with torch.inference_mode():
        made = [filled(net, x, fill) for fill in ("mean", "black", "blur", "noise")]
    for each in made:
        each[0, :, 0, 0] = 3
        assert (each[0, :, 0, 1] != 3).any()


@pytest.mark.parametrize(
    ("fill", "error", "message"),
    [
        ("white", ValueError, "fill='white': choose one of"),
        (None, TypeError, "fill=None: choose one of"),
        (0.5, TypeError, "fill=0.5"),
        ((1, 2), ValueError, "2 values, but the network takes 3 channels; give 3 values"),
        ((), ValueError, "0 values"),
        ((256, 0, 0), ValueError, "whole numbers must be in 0..255"),
        ((-1, 0, 0), ValueError, "whole numbers must be in 0..255"),
        ((255, 0.5, 0), ValueError, "floats must be in 0..1"),
        ((float("nan"), 0.5, 0), ValueError, "floats must be in 0..1"),
        ((True, False, True), TypeError, "choose one of"),
        (("red", "green", "blue"), TypeError, "choose one of"),
        (torch.rand(3, 4), TypeError, "choose one of"),
    ],
)
def test_what_is_no_fill(net, fill, error, message):
    with pytest.raises(error, match=message):
        filled(net, photo(50, 50), fill)


def test_a_generator_is_one_of_torchs(net):
    with pytest.raises(TypeError, match=r"generator: a int; give a torch\.Generator"):
        filled(net, photo(50, 50), "noise", 3)
