"""What is shipped: a wheel and an sdist with the built JavaScript, installed without Node.

The heavy dependencies come from this environment through a .pth file, so that an environment of
its own takes seconds; nbcnnviz itself comes from the wheel alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

import nbcnnviz

ROOT = Path(__file__).resolve().parents[1]
BUNDLES = {
    f"nbcnnviz/static/{stem}.{kind}"
    for stem in ("feature_maps", "occlusion")
    for kind in ("js", "css")
} | {"nbcnnviz/static/standalone.js"}
SHIPPED = BUNDLES | {
    "nbcnnviz/__init__.py",
    "nbcnnviz/py.typed",
    "nbcnnviz/samples/digits.safetensors",
}

DISPLAY = """
import json
import nbcnnviz as nv
w = nv.FeatureMaps(nv.Network.digits(), nv.sample_image("flower"))
data = w._repr_mimebundle_()[0]
print(json.dumps({"file": nv.__file__, "version": nv.__version__, "mimes": sorted(data),
                  "esm": len(w._esm), "css": len(w._css)}))
"""


def run(
    *command: str | Path, cwd: Path, path: str | None = None
) -> subprocess.CompletedProcess[str]:
    """Run a command; with `path`, nothing outside that folder is found."""
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "PIP_REQUIRE")}
    if path is not None:
        environment["PATH"] = path
    return subprocess.run(
        list(map(str, command)),
        cwd=cwd,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def built(*command: str | Path, cwd: Path, path: str | None = None) -> None:
    done = run(*command, cwd=cwd, path=path)
    assert done.returncode == 0, done.stdout + done.stderr


def build(source: Path, kind: str, out: Path, path: str | None = None) -> Path:
    """Build a wheel or an sdist and return it."""
    command = (sys.executable, "-m", "build", "--no-isolation", f"--{kind}", "--outdir", out)
    built(*command, source, cwd=source, path=path)
    (found,) = out.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return found


def without_node(folder: Path) -> str:
    """A PATH with no program at all, let alone npm."""
    folder.mkdir(exist_ok=True)
    return str(folder)


def environment(folder: Path, package: Path, path: str | None = None) -> Path:
    """A new virtual environment with one package installed; returns its Python."""
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    purelib = run(
        python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder
    ).stdout.strip()
    links = {sysconfig.get_path("purelib"), sysconfig.get_path("platlib")}
    Path(purelib, "dependencies.pth").write_text("\n".join(sorted(links)))
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--no-index", "--no-deps")
    # An editable nbcnnviz in the linked folder must not pass for the one to install.
    offline = ("--no-build-isolation", "--ignore-installed", "--disable-pip-version-check")
    built(*pip, *offline, package, cwd=folder, path=path)
    return python


def displayed(python: Path, folder: Path) -> dict[str, object]:
    """Make a widget in a Python of its own, in an empty folder, and tell what it shows."""
    done = run(python, "-W", "error", "-c", DISPLAY, cwd=folder)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


@pytest.fixture(scope="module")
def sdist(tmp_path_factory):
    return build(ROOT, "sdist", tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def tree(sdist, tmp_path_factory):
    """The sdist unpacked: a source tree with the JavaScript built."""
    folder = tmp_path_factory.mktemp("tree")
    # Python before 3.11.4 has no filters; later ones warn without.
    safe = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, **safe)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="module")
def wheel(tree, tmp_path_factory):
    """The wheel, built from the sdist where there is no Node."""
    nothing = without_node(tmp_path_factory.mktemp("nothing") / "bin")
    return build(tree, "wheel", tmp_path_factory.mktemp("wheel"), path=nothing)


def names(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_sdist_carries_the_javascript_and_its_sources(tree):
    files = {path.relative_to(tree).as_posix() for path in tree.rglob("*") if path.is_file()}
    assert files >= SHIPPED
    assert files >= {"LICENSE", "README.md", "hatch_build.py", "js/package-lock.json"}
    assert "js/src/widgets/feature_maps.ts" in files
    assert not [name for name in files if "node_modules" in name or name.endswith(".pyc")]


def test_the_wheel_carries_the_javascript_and_the_samples(wheel):
    found = names(wheel)
    assert found >= SHIPPED
    assert {name.split("/")[0].split("-")[0] for name in found} == {"nbcnnviz"}
    assert not [name for name in found if name.endswith((".ts", ".pyc", ".map"))]


def test_every_file_of_the_package_is_in_the_wheel(wheel):
    ours = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "nbcnnviz").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert {name for name in names(wheel) if name.startswith("nbcnnviz/")} == ours


def test_the_wheel_displays_in_an_environment_of_its_own(wheel, tmp_path):
    python = environment(tmp_path / "venv", wheel)
    shown = displayed(python, tmp_path)
    assert Path(str(shown["file"])).is_relative_to(tmp_path / "venv")
    assert shown["version"] == nbcnnviz.__version__
    assert {"application/vnd.jupyter.widget-view+json", "image/png"} <= set(shown["mimes"])
    assert shown["esm"] > 1000 and shown["css"] > 100


def test_the_server_extension_is_on_where_the_wheel_is_installed(wheel, tmp_path):
    environment(tmp_path / "venv", wheel)
    settings = tmp_path / "venv/etc/jupyter/jupyter_server_config.d/nbcnnviz.json"
    extensions = json.loads(settings.read_text())["ServerApp"]["jpserver_extensions"]
    assert extensions == {"nbcnnviz.server": True}


def test_the_sdist_installs_without_node(sdist, tmp_path):
    nothing = without_node(tmp_path / "nothing")
    python = environment(tmp_path / "venv", sdist, path=nothing)
    assert displayed(python, tmp_path)["esm"] > 1000


def test_sources_without_javascript_and_without_node_say_what_to_do(tree, tmp_path):
    bare = tmp_path / "bare"
    for name in ("nbcnnviz", "js", "etc"):
        for path in (tree / name).rglob("*"):
            if path.is_file() and "static" not in path.parts:
                copy = bare / path.relative_to(tree)
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(path.read_bytes())
    for name in ("pyproject.toml", "hatch_build.py", "README.md", "LICENSE"):
        (bare / name).write_bytes((tree / name).read_bytes())
    done = run(
        *(sys.executable, "-m", "pip", "install", "--no-index", "--no-deps"),
        *("--no-build-isolation", "--target", tmp_path / "target", bare),
        cwd=tmp_path,
        path=without_node(tmp_path / "nothing"),
    )
    assert done.returncode != 0
    said = done.stdout + done.stderr
    assert "npm was not found: install Node 20 or later" in said
    assert "Traceback" not in said
