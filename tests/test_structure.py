"""The seams that keep the package small pieces: what may import what, and how long things get."""

from __future__ import annotations

import ast
import importlib
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import nbcnnviz

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "nbcnnviz"
PYTHON = sorted(PACKAGE.rglob("*.py"))
SCORECARD = ROOT / "tests" / "README.md"
TYPESCRIPT = sorted((ROOT / "js" / "src").rglob("*.ts"))
STEMS = sorted(p.stem for p in (PACKAGE / "widgets").glob("*.py") if not p.stem.startswith("_"))

MODULE_LINES = 400
FUNCTION_LINES = 50
TRAITS = 15

WIDGET_LIBRARIES = {"anywidget", "comm", "ipykernel", "IPython", "ipywidgets", "traitlets"}
GENERATED = {"tables.ts"}


def named(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imports(path: Path) -> Iterator[str]:
    """Absolute dotted names of everything a module imports, also within functions."""
    package = path.relative_to(ROOT).with_suffix("").parts[:-1]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else ()
            module = [*base, *filter(None, [node.module])]
            yield from (".".join([*module, alias.name]) for alias in node.names)


def code_lines(function: ast.FunctionDef | ast.AsyncFunctionDef, source: list[str]) -> int:
    """Lines of a function that are neither docstring, comment nor blank."""
    body = function.body
    if isinstance(body[0], ast.Expr) and isinstance(body[0].value, ast.Constant):
        body = body[1:]
    if not body:
        return 0
    lines = source[body[0].lineno - 1 : function.end_lineno]
    return sum(1 for line in lines if line.strip() and not line.strip().startswith("#"))


@pytest.mark.parametrize("path", sorted((PACKAGE / "backend").rglob("*.py")), ids=named)
def test_the_backend_knows_no_widgets(path):
    found = [
        name
        for name in imports(path)
        if name.split(".")[0] in WIDGET_LIBRARIES or name.startswith("nbcnnviz.widgets")
    ]
    assert not found


def test_the_backend_runs_without_the_widget_libraries():
    code = (
        "import sys\n"
        f"for name in {sorted(WIDGET_LIBRARIES)!r}: sys.modules[name] = None\n"
        "import nbcnnviz as nv\n"
        "net = nv.Network.digits()\n"
        "layer = net.layers()[0].name\n"
        "print(nv.backend.feature_maps(net, nv.sample_image('cat'), layer).ndim)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.stdout.strip() == "3", done.stderr


@pytest.mark.parametrize("path", sorted((PACKAGE / "widgets").rglob("*.py")), ids=named)
def test_widgets_do_no_tensor_arithmetic(path):
    found = [name for name in imports(path) if name.startswith("torch.nn.functional")]
    used = [
        ast.unparse(node)
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Attribute) and ast.unparse(node).endswith("nn.functional")
    ]
    assert not found + used


# The training script is run by hand, in a process of its own.
@pytest.mark.parametrize("path", [p for p in PYTHON if p.name != "train_digits.py"], ids=named)
def test_random_numbers_of_the_user_stay_as_they_are(path):
    seeds = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
        and ast.unparse(node.func) in {"torch.manual_seed", "np.random.seed", "random.seed"}
    ]
    assert not seeds


@pytest.mark.parametrize("stem", STEMS)
def test_one_stem_names_a_widget_everywhere(stem):
    assert (ROOT / "js" / "src" / "widgets" / f"{stem}.ts").is_file()
    assert (ROOT / "tests" / "widgets" / f"test_{stem}.py").is_file()
    assert list((ROOT / "tests" / "browser").glob(f"test_{stem}*.py"))
    assert (ROOT / "notebooks" / f"{stem}.ipynb").is_file()


def test_every_bundle_has_its_widget():
    assert sorted(p.stem for p in (ROOT / "js" / "src" / "widgets").glob("*.ts")) == STEMS


@pytest.mark.parametrize("path", PYTHON + TYPESCRIPT, ids=named)
def test_modules_are_short(path):
    lines = len(path.read_text("utf-8").splitlines())
    assert path.name in GENERATED or lines <= MODULE_LINES


@pytest.mark.parametrize("path", PYTHON, ids=named)
def test_functions_fit_a_screen(path):
    text = path.read_text("utf-8")
    source = text.splitlines()
    long = {
        node.name: code_lines(node, source)
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and code_lines(node, source) > FUNCTION_LINES
    }
    assert not long


def widget_class(stem: str) -> type:
    module = importlib.import_module(f"nbcnnviz.widgets.{stem}")
    found = [
        c for c in vars(module).values() if isinstance(c, type) and vars(c).get("stem") == stem
    ]
    assert len(found) == 1
    return found[0]


@pytest.mark.parametrize("stem", STEMS)
def test_a_widget_syncs_few_traits(stem):
    synced = widget_class(stem)._synced()
    assert 0 < len(synced) <= TRAITS


@pytest.mark.parametrize("stem", STEMS)
def test_a_widget_is_at_the_front_door(stem):
    name = widget_class(stem).__name__
    assert name in nbcnnviz.__all__
    assert getattr(nbcnnviz, name) is widget_class(stem)


def test_the_front_door_is_sorted_and_complete():
    assert list(nbcnnviz.__all__) == sorted(nbcnnviz.__all__)
    assert all(getattr(nbcnnviz, name) is not None for name in nbcnnviz.__all__)


def test_importing_loads_nothing_heavy():
    code = "import sys, nbcnnviz; print(*(m for m in sys.argv[1:] if m in sys.modules))"
    heavy = ["torchvision", "sklearn", "openTSNE", "matplotlib", "timm", "scipy", "skimage"]
    done = subprocess.run(
        [sys.executable, "-c", code, *heavy], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == []


def test_the_scorecard_names_tests_that_exist():
    text = SCORECARD.read_text("utf-8")
    rows = re.findall(r"^\| (\d+) \|", text, re.MULTILINE)
    assert rows == [str(number) for number in range(1, 25)]
    tests = re.findall(r"`([\w./]+\.(?:py|ts|mjs))(?:::(\w+))?`", text)
    assert tests
    for file, test in tests:
        path = SCORECARD.parent / file
        assert path.is_file(), file
        assert not test or f"def {test}(" in path.read_text("utf-8"), f"{file}::{test}"
