"""A widget on a page of its own, with the built bundle and no Jupyter: a browser test in a second.

    def test_escape_goes_back(static_page):
        w = nv.FeatureMaps(nv.Network.digits(), nv.sample_image("cat"), channel=3)
        page = static_page.live(w)                  # the widget's own Python answers
        widget = page.widget("feature_maps")
        page.page.keyboard.press("Escape")
        page.until(lambda: page.trait("channel") is None)
        assert page.sent("ask")[-1]["lane"] == "layer"

    static_page.scripted("feature_maps", traits, kernel)   # kernel(message) -> [(content, blob)]
    static_page.file(path)                                 # a file:// page, e.g. of save_html

The page has `widget`, `painted`, `pixels`, `until` and the checks of `lab.py`.
"""

from __future__ import annotations

import base64
import functools
import http.server
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lab import ROOT
from playwright.sync_api import Browser
from watch import TIMEOUT, Watch

STATIC = ROOT / "nbcnnviz" / "static"

Message = dict[str, Any]
Answers = list[tuple[Message, bytes | None]]
Kernel = Callable[..., Answers]
"""Of a message and, where it has one, its blob."""

_HTML = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{stem}</title>
<link rel="icon" href="data:,"><link rel="stylesheet" href="/static/{stem}.css">
<style>:root {{ color-scheme: light dark; }} body {{ margin: 16px; }}</style></head>
<body><main id="here"></main>
<script src="/static/standalone.js"></script>
<script type="module">
import * as widget from "/static/{stem}.js";
const bytes = (text) => Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
const text = (bytes) => btoa(String.fromCharCode(...bytes));
const respond = async (message, answer, blob) => {{
  for (const [content, back] of await window.kernel(message, blob ? text(blob) : null))
    answer(content, back === null ? undefined : bytes(back));
}};
const here = document.getElementById("here");
const page = await (await fetch("{name}.json")).json();
window.running = await nbcnnviz.start(here, page, widget, window.kernel && respond);
</script></body></html>
"""


class StaticPage(Watch):
    """A browser tab with one widget; `window.running.model` is its stub model."""

    def trait(self, name: str) -> Any:
        """A trait's value in the browser."""
        return self.page.evaluate("(name) => window.running.model.get(name)", name)

    def set(self, **traits: Any) -> None:
        """Set traits as if the kernel had."""
        self.page.evaluate(
            "(traits) => { for (const [name, value] of Object.entries(traits))"
            " window.running.model.set(name, value); }",
            traits,
        )

    def sent(self, kind: str | None = None) -> list[Message]:
        """The messages that the widget sent, of one type or all."""
        messages = self.page.evaluate("() => window.running.model.sent")
        return [message for message in messages if kind in (None, message["type"])]

    def receive(self, content: Message) -> None:
        """Hand the widget a message from the kernel."""
        self.page.evaluate("(content) => window.running.model.receive(content)", content)


class Site:
    """Serves pages on 127.0.0.1 and opens them, each in a browser context of its own."""

    def __init__(self, folder: Path, browser: Browser) -> None:
        self.folder, self.browser = folder, browser
        (folder / "static").symlink_to(STATIC, target_is_directory=True)
        handler = functools.partial(_Quiet, directory=str(folder))
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()
        self._count = 0
        self._open: list[StaticPage] = []

    def scripted(
        self, stem: str, traits: dict[str, Any], kernel: Kernel | None = None, **options: Any
    ) -> StaticPage:
        """A widget from its traits (bytes are blobs); `kernel` answers its messages.

        Without a kernel the page is a saved one. Options: size=(width, height), scheme="dark".
        """
        self._count += 1
        name = f"page-{self._count}"
        blobs = {key: value for key, value in traits.items() if isinstance(value, bytes)}
        page = {
            "module": stem,
            "traits": {key: value for key, value in traits.items() if key not in blobs},
            "blobs": {key: base64.b64encode(value).decode() for key, value in blobs.items()},
        }
        (self.folder / f"{name}.json").write_text(json.dumps(page), "utf-8")
        (self.folder / f"{name}.html").write_text(_HTML.format(stem=stem, name=name), "utf-8")
        port = self._server.server_address[1]
        return self._visit(f"http://127.0.0.1:{port}/{name}.html", kernel, **options)

    def live(self, widget: Any, **options: Any) -> StaticPage:
        """A Python widget of this process, drawn and answered without Jupyter."""
        traits = {name: getattr(widget, name) for name in type(widget)._synced()}
        return self.scripted(widget.stem, traits, WidgetKernel(widget), **options)

    def file(self, path: Path, **options: Any) -> StaticPage:
        """A page from disk."""
        return self._visit(path.resolve().as_uri(), None, **options)

    def _visit(
        self,
        address: str,
        kernel: Kernel | None,
        size: tuple[int, int] = (1200, 1000),
        scheme: str = "light",
    ) -> StaticPage:
        width, height = size
        context = self.browser.new_context(
            viewport={"width": width, "height": height},
            color_scheme="dark" if scheme == "dark" else "light",
        )
        context.set_default_timeout(TIMEOUT * 1000)
        page = StaticPage(context, context.new_page())
        self._open.append(page)
        if kernel is not None:
            page.page.expose_function("kernel", functools.partial(_encoded, kernel))
        page.page.goto(address)
        return page

    def finish(self) -> None:
        """Close the pages of a test, then fail if one of them did what it must not do."""
        opened, self._open = self._open, []
        for page in opened:
            page.page.context.close()
        for page in opened:
            page.check()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class WidgetKernel:
    """Hands messages to a widget's own handler and gives back what it sends, in order."""

    def __init__(self, widget: Any) -> None:
        self._widget = widget
        self._sent: Answers = []
        widget.comm.publish_msg = self._record

    def _record(self, kind: str, data: Any = None, buffers: Any = None, **_: Any) -> None:
        if kind == "comm_msg" and data["method"] == "custom":
            self._sent.append((data["content"], bytes(buffers[0]) if buffers else None))

    def __call__(self, message: Message, blob: bytes | None = None) -> Answers:
        data = {"method": "custom", "content": message}
        buffers = [] if blob is None else [blob]
        self._widget.comm.handle_msg({"content": {"data": data}, "buffers": buffers})
        assert self._widget._endpoint.worker.join(TIMEOUT), "the worker did not finish"
        sent, self._sent = self._sent, []
        return sent


def _encoded(
    kernel: Kernel, message: Message, blob: str | None = None
) -> list[tuple[Message, str | None]]:
    came = () if blob is None else (base64.b64decode(blob),)
    return [
        (content, None if back is None else base64.b64encode(back).decode())
        for content, back in kernel(message, *came)
    ]


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        """Say nothing: the browser's console tells what failed."""
