"""A real JupyterLab or Notebook 7 in a real Chromium, for the browser tests.

    def test_channel_follows_python(lab):
        nb = lab.open(
            "import nbcnnviz as nv; net = nv.Network.digits()",
            "w = nv.FeatureMaps(net, nv.sample_image('cat')); w",
        )
        nb.run(0)                                   # an error in a cell fails the test
        nb.run(1)
        widget = nb.widget("feature_maps")          # a Playwright locator, painted and idle
        before = nb.pixels(widget)                  # hash of the stage
        nb.execute("w.channel = 3")                 # in the kernel, without a cell
        nb.until(lambda: nb.pixels(widget) != before)
        assert nb.value("w.channel") == 3           # any JSON value of the kernel
        nb.page.keyboard.press("Escape")            # nb.page is Playwright's page

What a notebook can do: `run`, `run_all`, `start` (a cell without waiting), `outputs`, `execute`,
`value`, `widget`, `painted`, `pixels`, `until`, `theme`, `interrupt`, `restart`, `save`,
`saved` (the notebook on disk), `save_widget_state`, `reopen`, `shutdown`.

When the test ends the notebook is checked: no error on the browser's console, no page error, no
dialog, no request beyond 127.0.0.1. A test that provokes one empties the list it is in:
`nb.errors.clear()`, `nb.dialogs.clear()`, `nb.outside.clear()`.

Fixtures (conftest.py): `lab` and `notebook7` open notebooks in one server each for the whole
session; `chromium` is the executable, `browser` the running browser; `static_page` (see
static_page.py) draws a widget without Jupyter, much faster. Every test has its own browser
context and its own kernel.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Browser, BrowserContext, Page
from watch import TIMEOUT, Watch

ROOT = Path(__file__).resolve().parents[2]
FLAGS = (
    # Also as root, in a container, and with a WebGL made in software.
    "--no-sandbox",
    "--disable-dev-shm-usage",
    # As browsers do without a graphics card: pages are put together without WebGL.
    "--disable-gpu",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    # No request of the browser's own.
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)

WIDGETS = "@jupyter-widgets/jupyterlab-manager"
SETTINGS: dict[str, dict[str, Any]] = {
    f"{WIDGETS}:plugin": {"saveState": False},
    "@jupyterlab/apputils-extension:notification": {
        "checkForUpdates": False,
        "fetchNews": "false",
    },
    "@jupyterlab/apputils-extension:themes": {"theme": "JupyterLab Light"},
    # Autosave would race with tests about saving.
    "@jupyterlab/docmanager-extension:plugin": {"autosave": False},
}

_PANEL = "const panel = window.jupyterapp?.shell?.currentWidget;"

_READY = f"""() => {{
  {_PANEL}
  return panel?.context?.isReady && panel.sessionContext?.isReady
    && panel.sessionContext.session?.kernel?.status === "idle"
    && document.querySelectorAll(".jp-Dialog").length === 0;
}}"""

_RUN = f"""async (index) => {{
  {_PANEL}
  panel.content.activeCellIndex = index;
  await window.jupyterapp.commands.execute("notebook:run-cell");
}}"""

_OUTPUTS = f"""(index) => {{
  {_PANEL}
  return panel.content.widgets[index].model.outputs.toJSON();
}}"""

_EXECUTE = f"""async (code) => {{
  {_PANEL}
  const kernel = panel.sessionContext.session.kernel;
  const future = kernel.requestExecute({{ code, store_history: false, stop_on_error: false }});
  let text = "";
  let error = null;
  future.onIOPub = ({{ header, content }}) => {{
    if (header.msg_type === "stream" && content.name === "stdout") text += content.text;
    if (header.msg_type === "error") error = content.traceback.join("\\n");
  }};
  await future.done;
  return {{ text, error }};
}}"""


class Notebook(Watch):
    """A notebook open in a browser tab, with its kernel."""

    def __init__(self, server: Server, context: BrowserContext, page: Page, path: Path) -> None:
        super().__init__(context, page)
        self.server, self.context, self.path = server, context, path
        self._load()

    def _load(self) -> None:
        self.page.goto(self.server.address(self.path.name))
        self.page.wait_for_function(_READY)

    # -- cells and kernel ---------------------------------------------------------------------

    def run(self, index: int) -> list[dict[str, Any]]:
        """Run a cell to its end and return its outputs; an error in it fails the test."""
        self.page.evaluate(_RUN, index)
        outputs = self.outputs(index)
        for output in outputs:
            if output["output_type"] == "error":
                raise AssertionError(plain("\n".join(output["traceback"])))
        return outputs

    def run_all(self) -> None:
        """Run every cell, one after the other."""
        for index in range(len(self.saved()["cells"])):
            self.run(index)

    def start(self, index: int) -> None:
        """Start a cell and do not wait for it."""
        self.page.evaluate(f"(index) => void ({_RUN})(index)", index)

    def outputs(self, index: int) -> list[dict[str, Any]]:
        """The outputs of a cell as the notebook format has them."""
        return list(self.page.evaluate(_OUTPUTS, index))

    def execute(self, code: str) -> str:
        """Run code in the kernel without a cell and return what it prints."""
        result = self.page.evaluate(_EXECUTE, code)
        if result["error"]:
            raise AssertionError(plain(result["error"]))
        return str(result["text"])

    def value(self, expression: str) -> Any:
        """The value of an expression in the kernel, as JSON carries it."""
        return json.loads(self.execute(f"import json; print(json.dumps({expression}))"))

    def interrupt(self) -> None:
        """Press the stop key."""
        self.command("notebook:interrupt-kernel")

    def restart(self) -> None:
        """Restart the kernel as a user does, and wait until it is idle."""
        self.page.evaluate(
            "() => { window.restarted ="
            " window.jupyterapp.commands.execute('notebook:restart-kernel'); }"
        )
        self.page.locator(".jp-Dialog .jp-mod-accept").click()
        self.page.evaluate("() => window.restarted")
        self.page.wait_for_function(_READY)

    def shutdown(self) -> None:
        """End the kernel; the page stays."""
        self.page.evaluate(f"async () => {{ {_PANEL} await panel.sessionContext.shutdown(); }}")

    # -- the page -----------------------------------------------------------------------------

    def command(self, name: str, **arguments: Any) -> None:
        """Execute a command of JupyterLab and wait for its end."""
        self.page.evaluate(
            "([name, given]) => window.jupyterapp.commands.execute(name, given).then(() => null)",
            [name, arguments],
        )

    def theme(self, kind: str) -> None:
        """Change the colours of JupyterLab: "light" or "dark"."""
        self.command("apputils:change-theme", theme=f"JupyterLab {kind.capitalize()}")
        light = str(kind == "light").lower()
        self.page.wait_for_selector(f'body[data-jp-theme-light="{light}"]', state="attached")

    def save_widget_state(self, on: bool) -> None:
        """Switch "Save Widget State Automatically"."""
        self.page.evaluate(
            """async ([name, on]) => {
              const { commands } = window.jupyterapp;
              if (commands.isToggled(name) !== on) await commands.execute(name);
            }""",
            [f"{WIDGETS}:saveWidgetState", on],
        )

    def save(self) -> Path:
        """Save the notebook and return where it is."""
        self.command("docmanager:save")
        return self.path

    def saved(self) -> dict[str, Any]:
        """The notebook as it is on disk."""
        return dict(json.loads(self.path.read_text("utf-8")))

    def reopen(self, *, keep_kernel: bool = False) -> None:
        """Load the page anew, from disk; with a fresh kernel unless `keep_kernel`."""
        if not keep_kernel:
            self.shutdown()
        # Unsaved changes would ask whether to leave.
        self.page.goto("about:blank")
        self._load()

    def close(self) -> None:
        """End the kernel and close the tab."""
        with contextlib.suppress(Exception):
            self.shutdown()
        self.context.close()


class Server:
    """A Jupyter server of its own, with nothing of the user's settings, on 127.0.0.1.

    Args:
        kind: "lab" or "notebook".
        folder: an empty folder for all it writes.
        browser: a running Chromium.
    """

    def __init__(self, kind: str, folder: Path, browser: Browser) -> None:
        self.kind, self.folder, self.browser = kind, folder, browser
        self.root = folder / "notebooks"
        self.log = folder / "server.log"
        self._open: list[Notebook] = []
        for name in ("notebooks", "config", "data", "runtime", "settings", "ipython"):
            (folder / name).mkdir()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        with self.log.open("w") as log:
            self._process = subprocess.Popen(
                self._command(), stdout=log, stderr=log, cwd=self.root, env=self._environment()
            )
        try:
            self._wait()
        except BaseException:
            self.stop()
            raise

    def _command(self) -> list[str]:
        application = {"lab": "LabApp", "notebook": "JupyterNotebookApp"}[self.kind]
        return [
            sys.executable,
            *("-m", "jupyter", self.kind, "--no-browser", "--allow-root"),
            f"--port={self.port}",
            "--ServerApp.port_retries=0",
            "--ServerApp.ip=127.0.0.1",
            "--IdentityProvider.token=",
            f"--ServerApp.root_dir={self.root}",
            f"--{application}.expose_app_in_browser=True",
        ]

    def _environment(self) -> dict[str, str]:
        mine = {
            "JUPYTER_CONFIG_DIR": "config",
            "JUPYTER_DATA_DIR": "data",
            "JUPYTER_RUNTIME_DIR": "runtime",
            "JUPYTERLAB_SETTINGS_DIR": "settings",
            "JUPYTERLAB_WORKSPACES_DIR": "settings/workspaces",
            "IPYTHONDIR": "ipython",
        }
        self._kernelspec()
        path = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        return {
            **os.environ,
            **{key: str(self.folder / name) for key, name in mine.items()},
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": os.pathsep.join(path),
            # Else a kernel of the same name elsewhere would come first.
            "JUPYTER_PREFER_ENV_PATH": "0",
        }

    def _kernelspec(self) -> None:
        folder = self.folder / "data" / "kernels" / "python3"
        folder.mkdir(parents=True)
        argv = [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        spec = {"argv": argv, "display_name": "Python 3 (ipykernel)", "language": "python"}
        (folder / "kernel.json").write_text(json.dumps(spec))

    def _wait(self) -> None:
        deadline = time.monotonic() + TIMEOUT
        while True:
            alive = self._process.poll() is None
            if not alive or time.monotonic() > deadline:
                raise AssertionError(f"jupyter {self.kind} did not start:\n{self.log.read_text()}")
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api", timeout=5).close()
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
            else:
                return

    def address(self, name: str) -> str:
        """Where the browser finds a notebook of the server's folder."""
        way = "lab/tree" if self.kind == "lab" else "notebooks"
        return f"http://127.0.0.1:{self.port}/{way}/{name}?reset"

    def open(
        self,
        *cells: str,
        notebook: Path | None = None,
        size: tuple[int, int] = (1300, 1000),
        settings: dict[str, dict[str, Any]] | None = None,
    ) -> Notebook:
        """Open a new notebook of code cells, or a copy of `notebook`, with a kernel running."""
        self._settings({**SETTINGS, **(settings or {})})
        path = self.root / f"notebook-{len(list(self.root.glob('*.ipynb')))}.ipynb"
        if notebook is None:
            write_notebook(path, cells)
        else:
            shutil.copyfile(notebook, path)
        width, height = size
        context = self.browser.new_context(viewport={"width": width, "height": height})
        context.set_default_timeout(TIMEOUT * 1000)
        try:
            opened = Notebook(self, context, context.new_page(), path)
        except BaseException:
            context.close()
            raise
        self._open.append(opened)
        return opened

    def _settings(self, settings: dict[str, dict[str, Any]]) -> None:
        for plugin, values in settings.items():
            extension, name = plugin.split(":")
            file = self.folder / "settings" / extension / f"{name}.jupyterlab-settings"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(values))

    def finish(self) -> None:
        """Close the notebooks of a test, then fail if one of them did what it must not do."""
        opened, self._open = self._open, []
        for notebook in opened:
            notebook.close()
        for notebook in opened:
            notebook.check()

    def stop(self) -> None:
        """End the server and, with it, its kernels."""
        self._process.terminate()
        try:
            self._process.wait(20)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def write_notebook(path: Path, cells: tuple[str, ...]) -> None:
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(c) for c in cells])
    # Without one, a dialog asks for a kernel.
    notebook.metadata["kernelspec"] = {
        "name": "python3",
        "display_name": "Python 3 (ipykernel)",
        "language": "python",
    }
    nbformat.write(notebook, path)


def plain(text: str) -> str:
    """A traceback without its colours."""
    return re.sub(r"\x1b\[[0-9;]*m", "", text)
