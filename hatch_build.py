"""Puts the built JavaScript into the wheel and the sdist, building it only when it must.

What is already in nbcnnviz/static and no older than its sources is used as it is: an sdist
carries it, so that installing one needs no Node. Else it is built with npm.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

NO_NODE = (
    "nbcnnviz: the JavaScript in nbcnnviz/static is not built and npm was not found: "
    "install Node 20 or later and try again, or install a released wheel or sdist."
)
NO_SOURCES = (
    "nbcnnviz: the JavaScript in nbcnnviz/static is not built and its sources in js/ are "
    "missing: build from a full clone, or install a released wheel or sdist."
)


class BuiltJavaScript(BuildHookInterface):  # type: ignore[type-arg]
    """Runs before a wheel (editable too) or an sdist is put together."""

    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        root = Path(self.root)
        built = oldest(root)
        stale = built is not None and newest(root / "js") > built
        if built is not None and not stale:
            return
        npm = shutil.which("npm")
        if npm is not None and (root / "js" / "package.json").exists():
            build(npm, root / "js")
        elif built is None:
            # One plain sentence instead of a traceback.
            sys.exit(NO_NODE if npm is None else NO_SOURCES)
        else:
            self.app.display_warning("nbcnnviz/static is older than js/, and npm was not found")


def oldest(root: Path) -> float | None:
    """When the oldest bundle was built; None when a widget's is missing."""
    static = root / "nbcnnviz" / "static"
    entries = {path.stem for path in (root / "js" / "src" / "widgets").glob("*.ts")}
    if any(not (static / f"{stem}.js").exists() for stem in entries | {"standalone"}):
        return None
    return min(path.stat().st_mtime for path in static.glob("*.js"))


def newest(js: Path) -> float:
    """When the newest of the files that a bundle is made of was changed."""
    sources = [*js.glob("*.mjs"), *js.glob("package*.json"), *js.glob("src/**/*")]
    return max((path.stat().st_mtime for path in sources if path.is_file()), default=0.0)


def build(npm: str, js: Path) -> None:
    """Install the locked tools unless they are there, and bundle."""
    if not (js / "node_modules" / ".package-lock.json").exists():
        run([npm, "ci", "--no-audit", "--no-fund"], js)
    run([npm, "run", "build"], js)


def run(command: list[str], folder: Path) -> None:
    done = subprocess.run(command, cwd=folder, stdout=sys.stderr, check=False)
    if done.returncode:
        sys.exit(f"nbcnnviz: `{' '.join(command[1:])}` failed in {folder}; see above.")
