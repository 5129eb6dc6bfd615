"""What every page of the browser tests has: a guard over what it does, and eyes for the stage."""

from __future__ import annotations

import hashlib
import re
import time
from collections.abc import Callable
from typing import Any

from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Error, Locator, Page

TIMEOUT = 60
"""Seconds: far more than anything takes, on a machine that does something else too."""

NOISE = (
    # (message, address or stack): what an empty notebook does without us.
    # Notebook 7's shortcuts may hear of another plugin's settings before their own are loaded.
    (re.compile(r"reading 'schema'"), re.compile(r"/static/notebook/notebook_core\.")),
)

_CANVAS = """(root) => {
  const canvas = root.matches("canvas") ? root : root.querySelector("canvas[data-role=stage]");
  return canvas && canvas.width && canvas.height ? canvas.toDataURL() : null;
}"""

_PAINTED = """(root) => {
  const canvas = root.matches("canvas") ? root : root.querySelector("canvas[data-role=stage]");
  if (!canvas || !canvas.width || !canvas.height) return false;
  const small = document.createElement("canvas");
  small.width = small.height = 64;
  const context = small.getContext("2d", { willReadFrequently: true });
  context.drawImage(canvas, 0, 0, 64, 64);
  const pixels = new Uint32Array(context.getImageData(0, 0, 64, 64).data.buffer);
  return new Set(pixels).size > 8;
}"""


class Watch:
    """What a page must not do: errors on the console, dialogs, requests to elsewhere."""

    def __init__(self, context: BrowserContext, page: Page) -> None:
        self.page = page
        self.errors: list[str] = []
        self.dialogs: list[str] = []
        self.outside: list[str] = []
        context.route(re.compile(r"^(https?|wss?)://(?!127\.0\.0\.1[:/])"), self._refuse)
        page.on("console", self._console)
        page.on("pageerror", self._uncaught)
        page.on("dialog", self._dialog)

    def _refuse(self, route: Any) -> None:
        self.outside.append(route.request.url)
        route.abort()

    def _console(self, message: ConsoleMessage) -> None:
        if message.type == "error":
            self._error(message.text, message.location.get("url", ""))

    def _uncaught(self, error: Error) -> None:
        self._error(f"uncaught: {error.message}", error.stack or "")

    def _error(self, text: str, where: str) -> None:
        if not any(a.search(text) and b.search(where) for a, b in NOISE):
            self.errors.append(f"{text} ({where})")

    def _dialog(self, dialog: Dialog) -> None:
        self.dialogs.append(dialog.message)
        dialog.dismiss()

    def check(self) -> None:
        """Fail when the page did what it must not do."""
        assert not self.errors, "errors on the browser's console:\n" + "\n".join(self.errors)
        assert not self.dialogs, f"the page opened dialogs: {self.dialogs}"
        assert not self.outside, f"requests beyond 127.0.0.1: {self.outside}"

    # -- what is drawn, in a notebook and on a static page alike ------------------------------

    def widget(self, stem: str, nth: int = 0) -> Locator:
        """The nth widget of a kind on the page, once it is painted and idle."""
        root = self.page.locator(f'.nbcnnviz[data-widget="{stem}"]').nth(nth)
        self.until(lambda: self._visible(root), f"widget {nth} of {stem} is there")
        self.painted(root)
        self.until(lambda: root.get_attribute("data-state") == "idle", "the widget is idle")
        return root

    def _visible(self, root: Locator) -> bool:
        # No use in waiting for what has just failed.
        assert not self.errors, "errors on the browser's console:\n" + "\n".join(self.errors)
        return root.is_visible()

    def painted(self, root: Locator) -> None:
        """Wait until the stage (of a widget, or a canvas) shows more than a few flat colours."""
        self.until(lambda: root.evaluate(_PAINTED), "the stage is painted")

    def pixels(self, root: Locator) -> str:
        """A hash of the stage's pixels."""
        data = root.evaluate(_CANVAS)
        assert data is not None, "there is no stage, or it has no size"
        return hashlib.sha256(data.encode()).hexdigest()[:16]

    def until(self, condition: Callable[[], Any], what: str = "the condition") -> None:
        """Wait until `condition()` is true."""
        deadline = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < deadline, f"{what}: not after {TIMEOUT} s"
            self.page.wait_for_timeout(50)
