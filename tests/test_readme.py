"""What the README tells a newcomer to type works, in order, as it stands."""

from __future__ import annotations

import re
from pathlib import Path

import ipywidgets
import torch

import nbcnnviz as nv

README = Path(__file__).resolve().parent.parent / "README.md"


def blocks():
    return re.findall(r"```python\n(.*?)```", README.read_text("utf-8"), re.S)


def run(code, scope):
    exec(compile(code, str(README), "exec"), scope)


def test_the_code_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    quick_start, own_module, occlusion, pooling, attribution, embedding, dream, backend = blocks()
    # The only change: weights would be downloaded.
    assert 'weights="DEFAULT"' in quick_start
    scope = {}
    run(quick_start.replace('weights="DEFAULT"', "weights=None"), scope)
    assert scope["w"].maps.shape == torch.Size([128, 28, 28])
    assert (tmp_path / "resnet18.html").stat().st_size > 100_000
    run(pooling, scope)
    assert scope["w"].op == "avg" and scope["w"].layer == "maxpool"
    run(embedding, scope)
    assert scope["w"].features.shape == (36, 512) and scope["w"].coordinates.shape == (36, 2)
    run(dream, scope)
    assert scope["w"].state == "done" and scope["w"].result.size == (451, 300)
    run(backend, scope)
    run(own_module, {})
    named = nv.Network(scope["net"].model, labels=nv.Network.demo().labels)
    scope = {"nv": nv, "net": named, "cat": scope["cat"]}
    run(attribution, scope)
    assert scope["w"].unit == (17, "max") and scope["w"].mask.any()
    # With weights that know an espresso when they see one.
    scope = {"nv": nv, "net": nv.Network.demo()}
    run(occlusion, scope)
    assert scope["w"].sweep.complete
    assert scope["w"].target.name == "espresso"
    ipywidgets.Widget.close_all()


def test_the_picture_and_the_links_of_the_readme_are_there():
    for path in re.findall(r"\]\(([^)#]+)\)", README.read_text("utf-8")):
        assert path.startswith("http") or (README.parent / path).exists(), path
