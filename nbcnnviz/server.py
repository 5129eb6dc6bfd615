"""A Jupyter server extension: answers of kernels reach the browser without a wait of 40 ms.

The server sends a kernel's "busy" first and the widget's answer right behind it. On a socket
without TCP_NODELAY the second small packet waits until the browser has acknowledged the first,
and browsers take up to 40 ms for that (Nagle's algorithm, RFC 896, against delayed
acknowledgement, RFC 1122). Under a brush that is more than the network takes.

Installed with the package and on by default. To switch it off, delete
`etc/jupyter/jupyter_server_config.d/nbcnnviz.json` of the environment, or
`jupyter server extension disable nbcnnviz.server`. What it does to servers whose connections it
does not know is nothing.
"""

from __future__ import annotations

import functools
from typing import Any


def _jupyter_server_extension_points() -> list[dict[str, str]]:
    return [{"module": "nbcnnviz.server"}]


def _load_jupyter_server_extension(app: Any) -> None:
    """Let every connection between a browser and a kernel send at once."""
    settings = app.web_app.settings
    connection = settings.get("kernel_websocket_connection_class")
    if isinstance(connection, type) and hasattr(connection, "connect"):
        settings["kernel_websocket_connection_class"] = without_delay(connection)
        app.log.info("nbcnnviz: small answers of kernels are sent without delay")


@functools.cache
def without_delay(connection: type[Any]) -> type[Any]:
    """A subclass of the server's connection class that sets TCP_NODELAY before it connects."""

    async def connect(self: Any) -> Any:
        try:
            self.websocket_handler.set_nodelay(True)
        except Exception:
            # A connection of another kind: it is as good as it was.
            self.log.debug("nbcnnviz: no TCP_NODELAY here", exc_info=True)
        return await connection.connect(self)

    return type(connection.__name__, (connection,), {"connect": connect})
