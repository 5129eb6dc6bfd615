"""Extraction on a real Ray cluster of several workers, against the same on this machine."""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from nets import photo, tiny
from torch import nn
from torch.utils.data import DataLoader, Dataset

import nbcnnviz as nv
from nbcnnviz import backend
from nbcnnviz.backend._embed_parts import Parts
from nbcnnviz.backend.distributed import _part_size, _Plan
from nbcnnviz.backend.embedding import extract, extraction

# Ray starts processes and threads of its own, and leaves sockets to the operating system.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::DeprecationWarning", "ignore::FutureWarning"
)


class Images(Dataset):
    """Random ones; each worker leaves its number where it was."""

    def __init__(self, count: int, folder: Path, seconds: float = 0.0):
        self.count, self.folder, self.seconds = count, folder, seconds

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        (self.folder / str(os.getpid())).touch()
        time.sleep(self.seconds)
        if index == 5:
            raise OSError("gone")
        return torch.randn(3, 12, 12, generator=torch.Generator().manual_seed(index)), index


class Local(nn.Module):
    """A class that no worker can import."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3))


def net_of(model=None):
    return nv.Network(model or tiny(), preprocess=backend.Preprocess((12, 12)))


@pytest.fixture(scope="module")
def cluster():
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
        patch.setenv("RAY_AUTH_MODE", "disabled")
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        ray = importlib.import_module("ray")
        ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
        ray.init(
            num_cpus=3,
            object_store_memory=200 * 2**20,
            include_dashboard=False,
            log_to_driver=False,
        )
        yield ray
        ray.shutdown()


def test_rows_are_those_of_this_machine_in_the_same_order(cluster, tmp_path):
    parquet = importlib.import_module("pyarrow.parquet")
    net, data = net_of(), Images(61, tmp_path)
    here = extraction(net, data, ["conv", "fc"])
    seen: list[tuple[int, int]] = []
    out = tmp_path / "features"
    there = extraction(
        net,
        data,
        ["conv", "fc"],
        batch_size=4,
        engine="ray",
        out=out,
        concurrency=2,
        on_progress=lambda *a: seen.append(a),
    )
    for name, rows in here.layers.items():
        assert there.layers[name].dtype == np.float32
        np.testing.assert_allclose(there.layers[name], rows, atol=1e-5)
    assert there.failures == here.failures and there.failures[0].index == 5
    assert there.complete and seen[-1] == (61, 61) and len(seen) > 4
    tables = [parquet.read_table(path) for path in sorted(out.glob("*.parquet"))]
    images = np.concatenate([table.column("image").to_numpy() for table in tables])
    assert images.tolist() == list(range(61))
    assert set(tables[0].column_names) == {"image", "error", "conv", "fc"}
    # All is there: nothing is run again.
    again = extraction(net, data, ["conv", "fc"], engine="ray", out=out)
    assert again.resumed == 61
    np.testing.assert_array_equal(again.features, there.features)
    with pytest.raises(ValueError, match="was begun with layers"):
        extraction(net, data, "conv", engine="ray", out=out)


def test_a_killed_worker_loses_nothing(cluster, tmp_path):
    net, data = net_of(), Images(80, tmp_path, seconds=0.02)
    killed: list[int] = []

    def kill(done, total):
        workers = [int(p.name) for p in tmp_path.iterdir() if p.name.isdigit()]
        workers = [pid for pid in workers if pid != os.getpid()]
        if not killed and len(workers) == 2 and done < total / 2:
            os.kill(workers[0], signal.SIGKILL)
            killed.append(workers[0])

    out = tmp_path / "features"
    found = extraction(net, data, "conv", 4, engine="ray", concurrency=2, out=out, on_progress=kill)
    assert killed and found.complete
    data.seconds = 0
    here = extraction(net, data, "conv")
    np.testing.assert_allclose(found.features, here.features, atol=1e-5)
    assert found.failures == here.failures
    parts = Parts(out, ["conv"]).there()
    assert sum(b - a for a, b in parts) == 80 and not Parts(out, ["conv"]).missing(80)


def test_a_stopped_run_is_resumed(cluster, tmp_path):
    net, data = net_of(Local()), Images(64, tmp_path, seconds=0.005)
    out = tmp_path / "features"
    first = extraction(
        net, data, "conv", 4, "ray", concurrency=2, out=out, on_progress=lambda d, n: True
    )
    assert not first.complete and 0 < len(first.features) < 64
    second = extraction(net, data, "conv", 4, "ray", concurrency=(1, 2), out=out)
    assert second.complete and second.resumed >= len(first.features)
    here = extraction(net, data, "conv")
    np.testing.assert_allclose(second.features, here.features, atol=1e-5)
    np.testing.assert_allclose(first.features, here.features[: len(first.features)], atol=1e-5)


def test_arrays_files_and_functions(cluster, tmp_path):
    net = net_of(Local())
    for i in range(9):
        photo(20 + i, 30).save(tmp_path / f"{i}.png")
    (tmp_path / "4.png").write_bytes(b"no picture")
    here = extraction(net, tmp_path, "/relu#1")
    there = extraction(net, tmp_path, "/relu#1", 2, "ray", concurrency=1)
    np.testing.assert_allclose(there.features, here.features, atol=1e-5)
    assert there.failures == here.failures and there.failures[0].name.endswith("4.png")
    array = np.random.default_rng(0).integers(0, 256, (9, 14, 14, 3), np.uint8)
    found = extract(net, array, "conv", engine="ray", concurrency=1, spatial="flatten")
    np.testing.assert_allclose(found, extract(net, array, "conv", spatial="flatten"), atol=1e-5)


# -- without a cluster ----------------------------------------------------------------------------


def test_without_the_extra_it_says_which_one(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ImportError, match=r'pip install "nbcnnviz\[ray\]"'):
        extract(net_of(), torch.zeros(2, 3, 12, 12), "conv", engine="ray")


def test_more_than_this_machine_has_is_refused():
    ray = SimpleNamespace(cluster_resources=lambda: {"CPU": 2.0})
    plan = _Plan(32, "gap", None, 1, 1)
    with pytest.raises(ValueError, match=r"num_gpus=1: this machine has 0"):
        plan.check(ray, True)
    with pytest.raises(ValueError, match=r"num_cpus=4: this machine has 2"):
        _Plan(32, "gap", None, 0, 4).check(ray, True)
    plan.check(ray, False)
    assert _Plan(32, "gap", None, 0, 1).workers(ray, 9) == (2, 2)
    assert _Plan(32, "gap", None, 0, 1).workers(ray, 1) == (1, 1)
    assert plan.workers(ray, 9) == (1, 1)
    assert _Plan(32, "gap", (1, 3), 0, 1).workers(ray, 9) == (1, 3)


@pytest.mark.parametrize(
    ("options", "error", "said"),
    [
        ({"images": iter([1])}, TypeError, "asks for images by number"),
        ({"images": DataLoader(torch.zeros(2, 3, 12, 12))}, TypeError, "its `dataset`"),
        ({"layer": "nope"}, ValueError, "layer='nope': there is no such layer"),
        ({"concurrency": 0}, ValueError, "concurrency=0"),
        ({"concurrency": (3, 2)}, ValueError, r"concurrency=\(3, 2\)"),
        ({"num_gpus": -1}, ValueError, "num_gpus=-1"),
        ({"num_cpus": "all"}, ValueError, "num_cpus='all'"),
    ],
)
def test_wrong_options_are_refused_before_anything_starts(options, error, said):
    arguments = {"net": net_of(), "images": torch.zeros(2, 3, 12, 12), "layer": "conv"}
    with pytest.raises(error, match=said):
        extract(**{**arguments, "engine": "ray", **options})


def test_parts_are_whole_batches_of_sensible_size():
    assert _part_size(61, 2, 4) == 4
    assert _part_size(10**6, 4, 32) == 4096
    assert _part_size(100_000, 4, 32) % 32 == 0
    assert _part_size(3, 8, 32) == 32


def test_parts_know_what_is_missing_and_give_up_what_kills(tmp_path):
    parts = Parts(tmp_path, ["a"])
    assert parts.missing(10) == [(0, 10)]
    rows = np.ones((2, 3), np.float32)
    parts.write((2, 4), {"a": [(0, rows)]}, {})
    parts.write((4, 5), {"a": []}, {4: "gone"})
    assert parts.missing(10) == [(0, 2), (5, 10)]
    (tmp_path / "part-000000000007-000000000009.123.new").write_bytes(b"half")
    assert parts.missing(10) == [(0, 2), (5, 10)]
    parts.write((0, 2), {"a": [(0, rows + 1)]}, {})
    values, failures, done = parts.collect(10)
    assert failures == {4: "gone"} and done == 5
    np.testing.assert_array_equal(values["a"][:4], [[2] * 3] * 2 + [[1] * 3] * 2)
    assert np.isnan(values["a"][4]).all() and len(values["a"]) == 5
    for _ in range(4):
        parts.attempt((5, 10))
    with pytest.raises(RuntimeError, match="images 5 to 9: 4 workers died"):
        parts.attempt((5, 10))
    parts.tidy()
    assert len(list(tmp_path.iterdir())) == 3
    parts.attempt((5, 10))
    parts.write((5, 10), {"a": [(0, np.ones((5, 4), np.float32))]}, {})
    assert not list(tmp_path.glob("*.attempts"))
    with pytest.raises(ValueError, match=r"3 features for some images and 4 for others"):
        parts.collect(10)
