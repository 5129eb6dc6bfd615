"""The server extension, against the real server: with and without it."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import subprocess
import sys
import textwrap
import time
import types
import urllib.request
from pathlib import Path

import pytest
from tornado.websocket import websocket_connect

from nbcnnviz import server

ROOT = Path(__file__).resolve().parents[1]

# Tells from the inside whether the sockets to the browser are without delay.
PROBE = """
import gc, socket
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.websocket import KernelWebsocketHandler

class Probe(JupyterHandler):
    def get(self):
        found = [
            handler.ws_connection.stream.socket.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            for handler in gc.get_objects()
            if isinstance(handler, KernelWebsocketHandler) and handler.ws_connection
        ]
        self.finish({"nodelay": [bool(value) for value in found]})

def _jupyter_server_extension_points():
    return [{"module": "probe"}]

def _load_jupyter_server_extension(app):
    app.web_app.add_handlers(".*$", [("/probe", Probe)])
"""


class Server:
    """A Jupyter server that reads only its own settings."""

    def __init__(self, folder: Path, extensions: dict[str, bool]) -> None:
        (folder / "probe.py").write_text(textwrap.dedent(PROBE))
        config = {"ServerApp": {"jpserver_extensions": {"probe": True, **extensions}}}
        (folder / "jupyter_server_config.json").write_text(json.dumps(config))
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        own = ("JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "IPYTHONDIR")
        environment = {
            **os.environ,
            **{name: str(folder) for name in own},
            "JUPYTER_NO_CONFIG": "",
            "PYTHONPATH": os.pathsep.join([str(folder), str(ROOT)]),
        }
        command = [
            *(sys.executable, "-m", "jupyter", "server", "--no-browser", "--allow-root"),
            *(f"--port={self.port}", "--ServerApp.ip=127.0.0.1", "--IdentityProvider.token="),
            f"--ServerApp.root_dir={folder}",
            "--ServerApp.disable_check_xsrf=True",
        ]
        self.log = (folder / "log").open("w+")
        self._process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=self.log, stderr=self.log
        )

    def request(self, path: str, data: dict[str, str] | None = None) -> dict[str, object]:
        body = None if data is None else json.dumps(data).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", body, 60) as answer:
            return dict(json.loads(answer.read()))

    def wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                self.request("/api/status")
            except OSError:
                self.log.seek(0)
                assert self._process.poll() is None, self.log.read()
                assert time.monotonic() < deadline, "the server did not start"
                time.sleep(0.1)
            else:
                return

    def said(self) -> str:
        self.log.seek(0)
        return self.log.read()

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(20)
        self.log.close()


async def _nodelay(started: Server) -> object:
    kernel = started.request("/api/kernels", {})["id"]
    address = f"ws://127.0.0.1:{started.port}/api/kernels/{kernel}/channels"
    connection = await websocket_connect(address)
    try:
        # The first message of the kernel: from now on all is connected.
        await asyncio.wait_for(connection.read_message(), 60)
        return await asyncio.to_thread(started.request, "/probe")
    finally:
        connection.close()
        while await connection.read_message() is not None:
            pass


@pytest.mark.parametrize("on", [True, False])
def test_sockets_are_without_delay_with_the_extension_and_only_then(tmp_path, on):
    started = Server(tmp_path, {"nbcnnviz.server": on})
    try:
        started.wait()
        assert asyncio.run(_nodelay(started)) == {"nodelay": [on]}
        assert ("sent without delay" in started.said()) == on
        assert "Traceback" not in started.said()
    finally:
        started.stop()


class App:
    """What of a server the extension looks at."""

    def __init__(self, **settings: object) -> None:
        self.web_app = types.SimpleNamespace(settings=settings)
        self.log = types.SimpleNamespace(info=lambda *_: None)


@pytest.mark.parametrize("settings", [{}, {"kernel_websocket_connection_class": None}])
def test_a_server_without_such_connections_is_left_alone(settings):
    app = App(**settings)
    server._load_jupyter_server_extension(app)
    assert app.web_app.settings == settings


class Connection:
    """A connection whose socket knows no such option."""

    websocket_handler = object()
    log = types.SimpleNamespace(debug=lambda *_, **__: None)

    async def connect(self) -> str:
        return "connected"


def test_a_connection_of_another_kind_connects_as_ever():
    app = App(kernel_websocket_connection_class=Connection)
    server._load_jupyter_server_extension(app)
    made = app.web_app.settings["kernel_websocket_connection_class"]
    assert issubclass(made, Connection)
    assert asyncio.run(made().connect()) == "connected"


def test_it_costs_the_server_no_import_of_torch():
    code = "import sys, nbcnnviz.server; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
