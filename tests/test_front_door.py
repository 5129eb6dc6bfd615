"""Importing the package is cheap: proven in fresh processes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import nbcnnviz
from nbcnnviz import backend

ROOT = Path(nbcnnviz.__file__).parents[1]
HEAVY = (
    "torchvision timm PIL matplotlib sklearn skimage scipy openTSNE safetensors ray umap pandas"
).split()


def fresh(code: str) -> Any:
    """The JSON that a new Python prints."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_importing_costs_next_to_nothing_above_torch_and_anywidget() -> None:
    seconds, loaded = fresh(
        "import json, sys, time, torch, anywidget\n"
        "before = set(sys.modules); start = time.perf_counter()\n"
        "import nbcnnviz\n"
        "seconds = time.perf_counter() - start\n"
        "print(json.dumps([seconds, sorted(set(sys.modules) - before)]))"
    )
    assert seconds < 0.3
    assert [name for name in loaded if not name.startswith("nbcnnviz")] == []


@pytest.mark.parametrize("name", ["nbcnnviz", "nbcnnviz.backend", "nbcnnviz.samples"])
def test_importing_loads_nothing_heavy(name: str) -> None:
    loaded = fresh(f"import json, sys, {name}; print(json.dumps(sorted(sys.modules)))")
    tops = {each.partition(".")[0] for each in loaded}
    assert tops & {*HEAVY, "ipywidgets", "IPython"} == set()


def test_a_network_needs_neither_torchvision_nor_widgets() -> None:
    loaded = fresh(
        "import json, sys, numpy, torch, nbcnnviz as nv\n"
        "net = nv.Network(torch.nn.Conv2d(1, 2, 3))\n"
        "net.logits(net.blank()[..., :3, :3]); net.prepare(numpy.zeros((8, 8), numpy.uint8))\n"
        "print(json.dumps(sorted(sys.modules)))"
    )
    tops = {each.partition(".")[0] for each in loaded}
    assert tops & {*HEAVY, "anywidget", "ipywidgets", "IPython"} == {"PIL"}


@pytest.mark.parametrize("module", [nbcnnviz, backend], ids=lambda m: m.__name__)
def test_names(module: ModuleType) -> None:
    assert module.__all__ == sorted(module.__all__)
    assert len(set(module.__all__)) == len(module.__all__)
    for name in module.__all__:
        value = getattr(module, name)
        assert name == "__version__" or value.__name__.rpartition(".")[2] == name
        assert name in dir(module)
    with pytest.raises(AttributeError, match=f"module '{module.__name__}' has no attribute 'nope'"):
        module.nope  # noqa: B018


@pytest.mark.parametrize("module", ["nbcnnviz", "nbcnnviz.backend"])
def test_every_name_works_as_the_first_one(module: str) -> None:
    names = fresh(f"import json, {module} as m; print(json.dumps(m.__all__))")
    code = "import importlib, json, sys\nout = []\n"
    code += f"for name in {names!r}:\n"
    code += "    for each in [n for n in sys.modules if n.startswith('nbcnnviz')]:\n"
    code += "        del sys.modules[each]\n"
    code += f"    out.append(getattr(importlib.import_module({module!r}), name) is not None)\n"
    code += "print(json.dumps(out))"
    assert fresh(code) == [True] * len(names)


def test_every_widget_is_at_the_front_door() -> None:
    files = (ROOT / "nbcnnviz" / "widgets").glob("[!_]*.py")
    widgets = {"".join(map(str.capitalize, file.stem.split("_"))) for file in files}
    assert widgets <= set(nbcnnviz.__all__)
