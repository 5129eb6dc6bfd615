"""Top patches against a loop over whole images, their boxes against perturbed pixels; switches."""

from __future__ import annotations

import doctest
import weakref
from typing import Any

import numpy as np
import pytest
import torch
from attribution_nets import net_of
from hypothesis import given, settings
from hypothesis import strategies as st
from nets import globals_now, photo, same, snapshot
from references import Seven, case
from torch import Tensor, nn
from torch.nn import functional as F

from nbcnnviz import backend
from nbcnnviz.backend import patches as module
from nbcnnviz.backend import switches
from nbcnnviz.backend.attribution import attribute
from nbcnnviz.backend.layers import find, known_layers
from nbcnnviz.backend.patches import top_patches
from nbcnnviz.backend.switches import pool_switches


def images(count: int, seed: int = 0, side: int = 32) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(seed))


# -- top patches ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", ["conv2", "relu", "/add#1"])
@pytest.mark.parametrize("batch", [1, 4, 64])
def test_the_strongest_of_a_loop_over_whole_images(layer, batch, monkeypatch):
    monkeypatch.setattr(module, "_MOST", batch)
    net, data = net_of(), images(23)
    found = top_patches(net, data, layer, 2, k=5, reconstruct=None)
    maps = torch.stack([backend.feature_maps(net, x, layer)[2] for x in data])
    peaks = maps.flatten(1).max(1)
    order = peaks.values.argsort(descending=True)[:5].tolist()
    assert [patch.index for patch in found] == order and found.seen == 23 and found.complete
    for patch in found:
        y, x = patch.position
        assert maps[patch.index, y, x] == maps[patch.index].max()
        assert patch.activation == pytest.approx(float(maps[patch.index].max()), rel=1e-5)
        top, left, bottom, right = patch.box
        assert torch.equal(patch.values, data[patch.index, :, top:bottom, left:right])
        shown = net.picture(data[patch.index])[top:bottom, left:right]
        assert np.array_equal(patch.picture, shown) and patch.reconstruction is None


def test_nothing_outside_the_box_matters_and_something_inside_does():
    net, data = net_of(), images(6)
    for patch in top_patches(net, data, "conv3", 1, k=6, reconstruct=None):
        top, left, bottom, right = patch.box
        outside = data[patch.index].clone() + 5
        outside[:, top:bottom, left:right] = patch.values
        inside = data[patch.index].clone()
        inside[:, top:bottom, left:right] += 5
        y, x = patch.position
        cell = [
            float(backend.feature_maps(net, each, "conv3")[1, y, x]) for each in (outside, inside)
        ]
        assert cell[0] == pytest.approx(patch.activation, rel=1e-4)
        assert abs(cell[1] - patch.activation) > 1e-3


@pytest.mark.parametrize("batch", [1, 4])
def test_images_of_which_the_network_makes_nan_are_left_out(batch, monkeypatch):
    class Root(nn.Module):
        def forward(self, x):
            return x.sqrt()

    monkeypatch.setattr(module, "_MOST", batch)
    net = net_of(lambda: nn.Sequential(nn.Conv2d(3, 4, 1), Root()))
    with torch.no_grad():
        net.model[0].weight.fill_(1.0)
        net.model[0].bias.fill_(0.0)
    data = images(6).abs()
    data[1], data[4] = -data[1], -data[4]
    data[2, :, :9] *= -1  # NaN in part only
    found = top_patches(net, data, "1", 2, k=9, reconstruct=None)
    assert sorted(patch.index for patch in found) == [0, 2, 3, 5] and found.seen == 6
    assert found.notes == ("The channel is NaN throughout for 2 of 6 images, which are left out.",)
    assert all(np.isfinite(patch.activation) for patch in found)
    with pytest.raises(ValueError, match=r"channel=2: of '1' it is NaN throughout for all 6 im"):
        top_patches(net, -data.abs(), "1", 2)


@pytest.mark.parametrize("method", ["deconvnet", "guided_backprop"])
def test_each_is_taken_back_from_its_one_activation(method):
    net, data = net_of(), images(5)
    found = top_patches(net, data, "conv2", 4, k=3, reconstruct=method)
    for patch in found:
        whole = attribute(
            net,
            data[patch.index],
            method,
            layer="conv2",
            unit=(4, patch.position),
            seed="activation",
        ).values
        top, left, bottom, right = patch.box
        assert torch.equal(patch.reconstruction, whole[:, top:bottom, left:right])
        whole[:, top:bottom, left:right] = 0
        assert not whole.any()
        assert patch.reconstruction.abs().max() > 0
    assert found.reconstruct == method and not found.notes


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    count=st.integers(1, 12),
    k=st.integers(1, 14),
    doubles=st.booleans(),
)
def test_of_equals_the_first_ones(seed, count, k, doubles):
    data = images(count, seed, 8)
    if doubles:
        data = data[torch.arange(count) // 2]
    net = net_of(lambda: nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU(), nn.Flatten()), 8)
    found = top_patches(net, list(data), "0", 1, k=k, reconstruct=None)
    peaks = [float(net.model[0](x[None])[0, 1].max().detach()) for x in data]
    order = sorted(range(count), key=lambda i: -peaks[i])[:k]
    got = [patch.index for patch in found]
    if doubles:
        assert got == sorted(got, key=lambda i: (-peaks[i // 2 * 2], i))
    else:
        assert got == order


def test_all_kinds_of_collections():
    net = net_of()
    data = images(6)
    wanted = [p.index for p in top_patches(net, data, "conv1", 0, k=3)]
    pairs = [(x, "label") for x in data]
    loader = torch.utils.data.DataLoader(
        torch.utils.data.TensorDataset(data, torch.arange(6)), batch_size=4
    )

    class Endless:
        """A data set that ends by its length alone."""

        def __len__(self) -> int:
            return 6

        def __getitem__(self, index: int) -> Any:
            return data[index % 6], 0

    for collection in (list(data), pairs, (x for x in data), loader, Endless(), iter(pairs)):
        told: list[tuple[int, int]] = []
        found = top_patches(
            net, collection, "conv1", 0, k=3, on_progress=lambda *now, to=told: to.append(now)
        )
        assert [p.index for p in found] == wanted and found.seen == 6
        total = 6 if hasattr(collection, "__len__") else 0
        assert told[-1] == (6, total)


def test_images_of_several_sizes_and_pictures():
    net = net_of()
    data = [images(1, 1, 40)[0], images(1, 2, 32)[0], photo(50, 60), images(1, 3, 32)[0]]
    found = top_patches(net, data, "conv2", 0, k=4)
    assert sorted(p.index for p in found) == [0, 1, 2, 3]
    for patch in found:
        maps = backend.feature_maps(net, data[patch.index], "conv2")[0]
        assert patch.activation == pytest.approx(float(maps.max()), rel=1e-5)


def test_it_streams(monkeypatch):
    """No more than a batch and the best are alive."""
    monkeypatch.setattr(module, "_MOST", 4)
    alive: list[Any] = []

    def source() -> Any:
        for i in range(40):
            x = images(1, i)[0]
            alive.append(weakref.ref(x))
            yield x
            del x
            assert sum(each() is not None for each in alive) <= 2

    net = net_of()
    kept: list[int] = []
    look = module._Search._look

    def counted(self: Any, batch: list[Tensor]) -> None:
        look(self, batch)
        kept.append(len(self._best))

    monkeypatch.setattr(module._Search, "_look", counted)
    found = top_patches(net, source(), "conv1", 1, k=3, reconstruct=None)
    assert found.seen == 40 and len(kept) == 10 and max(kept) == 3


def test_a_stop_keeps_the_best_of_those_seen(monkeypatch):
    monkeypatch.setattr(module, "_MOST", 4)
    net, data = net_of(), images(20)
    found = top_patches(net, data, "conv1", 0, k=3, on_progress=lambda done, total: done >= 8)
    assert found.seen == 8 and not found.complete and "stopped" in repr(found)
    wanted = top_patches(net, data[:8], "conv1", 0, k=3)
    assert [p.index for p in found] == [p.index for p in wanted]
    whole = top_patches(net, data, "conv1", 0, k=3, on_progress=lambda done, total: done >= 20)
    assert whole.complete


def test_memory_that_does_not_suffice_halves_the_batch(monkeypatch):
    net, data = net_of(), images(12)
    wanted = [p.index for p in top_patches(net, data, "conv1", 0, k=4, reconstruct=None)]
    maps, sizes = module._Search._maps, []

    def small(self: Any, batch: Tensor) -> Tensor:
        sizes.append(len(batch))
        if len(batch) > 3:
            raise torch.OutOfMemoryError("CUDA out of memory. (faked)")
        return maps(self, batch)

    monkeypatch.setattr(module._Search, "_maps", small)
    found = top_patches(net, data, "conv1", 0, k=4, reconstruct=None)
    assert [p.index for p in found] == wanted and sizes == [12, 6, 3, 3, 6, 3, 3]


def test_cells_that_are_no_number_do_not_count():
    class Odd(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return torch.where(x > 2, torch.nan, x)

    net = net_of(lambda: nn.Sequential(Odd(), nn.Flatten()), 4)
    data = torch.zeros(3, 3, 4, 4)
    data[0] = 3.0
    data[2, :, 1, 2] = 1.0
    found = top_patches(net, data, "0", 0, k=3, reconstruct=None)
    assert [p.index for p in found] == [2, 1] and found[1].activation == 0
    assert found[0].position == (1, 2) and found[0].box == (1, 2, 2, 3)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"images": []}, ValueError, "images: there are none"),
        ({"images": "folder"}, TypeError, "images: a str; give several images"),
        ({"images": 3}, TypeError, "images: a int"),
        ({"images": {"a": 1}}, TypeError, "images: a dict; give several images"),
        ({"images": np.asarray(photo(8, 9))}, ValueError, "images: 8 x 9 x 3 is one picture"),
        ({"layer": "conv9"}, ValueError, "there is no such layer; did you mean 'conv"),
        ({"layer": "fc"}, ValueError, "12 numbers and no maps"),
        ({"channel": 8}, ValueError, "channel=8: 'conv1' has 8 channels, 0 to 7"),
        ({"channel": -1}, ValueError, "channel=-1"),
        ({"channel": "1"}, TypeError, "channel='1': give a whole number"),
        ({"channel": 1.5}, TypeError, "channel=1.5: give a whole number"),
        ({"channel": True}, TypeError, "channel=True: give a whole number"),
        ({"k": 0}, ValueError, "k=0: give a whole number of at least 1"),
        ({"reconstruct": "gradcam"}, ValueError, r"reconstruct='gradcam': choose one of \['dec"),
        ({"on_progress": 1}, TypeError, "on_progress: a int cannot be called"),
    ],
)
def test_arguments_that_make_no_sense(arguments, error, message):
    given = {"images": images(2), "layer": "conv1", "channel": 0, **arguments}
    with pytest.raises(error, match=message):
        top_patches(net_of(), **given)


def test_everything_is_left_as_found_also_after_a_failure():
    net = net_of()
    before, around = snapshot(net.model), globals_now()
    top_patches(net, images(5), "conv2", 0, k=2)

    def broken() -> Any:
        yield images(1)[0]
        raise KeyError("a bug in the data set")

    with pytest.raises(KeyError):
        top_patches(net, broken(), "conv2", 0)
    with pytest.raises(ZeroDivisionError):
        top_patches(net, images(5), "conv2", 0, on_progress=lambda *now: 1 / 0)
    assert same(snapshot(net.model), before) and same(globals_now(), around)
    assert net.lock.acquire(blocking=False)
    net.lock.release()


# -- switches -------------------------------------------------------------------------------------


def slow_switches(
    x: Tensor, back: Tensor, window: int, stride: int, padding: int
) -> dict[Any, float]:
    """(channel, y, x) of each maximum with what goes back through it, window by window."""
    found: dict[Any, float] = {}
    for c, y, z in (back != 0).nonzero().tolist():
        rows = [
            r
            for r in range(y * stride - padding, y * stride - padding + window)
            if 0 <= r < x.shape[1]
        ]
        columns = [
            r
            for r in range(z * stride - padding, z * stride - padding + window)
            if 0 <= r < x.shape[2]
        ]
        cells = [(float(x[c, i, j]), -i, -j) for i in rows for j in columns]
        _, i, j = max(cells)
        key = (c, -i, -j)
        found[key] = found.get(key, 0.0) + float(back[c, y, z])
    return found


@pytest.mark.parametrize("rule", ["gradient", "guided", "deconvnet"])
def test_switches_are_the_maxima_that_something_goes_back_through(rule):
    net = net_of()
    x = net.prepare(photo(32, 32))
    (found,) = pool_switches(net, x, ("conv2", 3, (4, 5)), rule)
    assert found.layer == "pool" and found.count == len(found.values)
    pooled_from = backend.feature_maps(net, x, "relu")
    # What goes back to the pooling's output, by hand: one convolution above it.
    back = torch.zeros(8, 16, 16)
    back[:, 3:6, 4:7] = net.model.conv2.weight[3].detach()
    wanted = slow_switches(pooled_from, back, 3, 2, 1)
    got = {
        (int(c), *map(int, cell)): float(v)
        for c, cell, v in zip(found.channels, found.cells, found.values, strict=True)
    }
    wanted = {key: value for key, value in wanted.items() if value}
    assert set(got) == set(wanted)
    assert all(got[key] == pytest.approx(wanted[key], rel=1e-4, abs=1e-6) for key in wanted)
    sizes = found.values.abs()
    assert (sizes[:-1] >= sizes[1:]).all()


def test_points_are_the_middle_of_what_a_cell_sees():
    c = case("AlexNet")
    layers = known_layers(c.net, c.x)
    found = pool_switches(c.net, c.x, ("features.10", 7, "max"), limit=20)
    assert [each.layer for each in found] == ["features.2", "features.5"]
    for each, before in zip(found, ("features.1", "features.4"), strict=True):
        field = find(layers, before).field
        assert len(each.values) <= 20 <= each.count
        for (y, x), point in zip(each.cells.tolist(), each.points.tolist(), strict=True):
            middles = [
                field.offset[i] + cell * field.stride[i] + (field.size[i] - 1) / 2
                for i, cell in enumerate((y, x))
            ]
            assert point == middles


def test_functional_poolings_have_switches_too():
    net = net_of(Seven)
    x = net.prepare(photo(32, 32))
    found = pool_switches(net, x, 3)
    assert [each.layer for each in found] == ["/max_pool2d#1", "/max_pool2d#2"]
    maps = backend.feature_maps(net, x, "/relu#1")
    indices = F.max_pool2d(maps, 2, return_indices=True)[1].flatten(1)
    for channel, (y, z) in zip(found[0].channels.tolist(), found[0].cells.tolist(), strict=True):
        assert y * maps.shape[2] + z in indices[channel]


MAXIMA = {
    "adaptive_max_pool2d": lambda x: F.adaptive_max_pool2d(x, 1).flatten(1),
    "amax": lambda x: x.amax((2, 3)),
    "max": lambda x: x.flatten(2).max(2).values,
}


@pytest.mark.parametrize("name", MAXIMA)
def test_maxima_without_switches_are_named(name, recwarn):
    class Pools(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.pool, self.fc = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), nn.Linear(4, 5)

        def forward(self, x):
            return self.fc(MAXIMA[name](self.pool(self.conv(x))))

    net = net_of(Pools)
    x = net.prepare(photo(32, 32))
    with pytest.warns(UserWarning, match=rf"^no switches are given of /{name}: only those of"):
        (found,) = pool_switches(net, x, 3, "gradient")
    assert found.layer == "pool"
    # Below them nothing goes through.
    recwarn.clear()
    assert pool_switches(net, x, ("pool", 1, (3, 3)), "gradient")[0].layer == "pool"
    assert not recwarn.list


def test_a_unit_below_every_pooling_has_none():
    net = net_of()
    assert pool_switches(net, images(1), ("conv1", 0, (3, 3))) == ()
    with pytest.raises(ValueError, match="rule='relu'"):
        pool_switches(net, images(1), 3, "relu")
    with pytest.raises(ValueError, match="limit=0"):
        pool_switches(net, images(1), 3, limit=0)
    with pytest.raises(ValueError, match="no such layer"):
        pool_switches(net, images(1), ("conv8", 3))


@pytest.mark.parametrize("module", [module, switches])
def test_the_examples_in_the_documentation(module):
    found = doctest.testmod(module)
    assert found.attempted and not found.failed
