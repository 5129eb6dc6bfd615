"""Find a Chromium for the browser tests, or get one.

    python scripts/find_chromium.py             print where it is; exit 1 with advice if nowhere
    python scripts/find_chromium.py --install   get one first if there is none

An installed browser comes first, then the one of Playwright. To get one: Playwright's own
download, then Debian's package where this is Debian and we are root.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
ADVICE = (
    "no Chromium was found for the browser tests: run `make chromium`, or install the package "
    "chromium of your system, or name an executable in NBCNNVIZ_CHROMIUM"
)
DOWNLOAD_SECONDS = 300


def find() -> str | None:
    """The path of an executable, or None."""
    named = os.environ.get("NBCNNVIZ_CHROMIUM")
    if named:
        if shutil.which(named) is None:
            sys.exit(f"NBCNNVIZ_CHROMIUM={named!r} is not an executable")
        return named
    for name in NAMES:
        path = shutil.which(name)
        # Ubuntu's chromium-browser may be a stub that only tells how to get the snap.
        if path is not None and starts(path):
            return path
    return of_playwright()


def starts(path: str) -> bool:
    try:
        done = subprocess.run([path, "--version"], capture_output=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def of_playwright() -> str | None:
    """The browser that Playwright has downloaded, if it has."""
    # In a process of its own: Playwright leaves an event loop behind.
    code = (
        "from playwright.sync_api import sync_playwright as s\n"
        "with s() as p: print(p.chromium.executable_path)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    path = done.stdout.strip()
    return path if path and Path(path).exists() else None


def install() -> None:
    """Try the ways there are, until one leaves a browser."""
    ways = [[sys.executable, "-m", "playwright", "install", "chromium"]]
    if shutil.which("apt-get") and os.geteuid() == 0:
        ways += [
            ["apt-get", "-qq", "update"],
            ["apt-get", "-qq", "-y", "install", "--no-install-recommends", "chromium"],
        ]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for command in ways:
        print("$", " ".join(command), file=sys.stderr, flush=True)
        try:
            # Output goes to stderr: stdout is for the path.
            subprocess.run(
                command,
                stdout=sys.stderr,
                stdin=subprocess.DEVNULL,
                env=environment,
                timeout=DOWNLOAD_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            print(f"gave up after {DOWNLOAD_SECONDS} s", file=sys.stderr)
        if find():
            return


def main() -> None:
    if "--install" in sys.argv[1:] and find() is None:
        install()
    path = find()
    if path is None:
        sys.exit(ADVICE)
    print(path)


if __name__ == "__main__":
    main()
