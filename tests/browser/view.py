"""One widget on a page, as the tests of every widget use it."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

_SET = """([name, text]) => {
  const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
  window.running.model.set(name, new DataView(bytes.buffer));
}"""


class View:
    """What all widgets have in common: a root that says its state, controls with names, canvases.

    A subclass sets `page`, `root` and `stage`; `kernel` where the test plays it.
    """

    page: Any
    root: Any
    stage: Any
    kernel: Any = None
    mode = "RGB"
    """Of `pixels`."""

    def wait(self, state: str) -> None:
        """Wait until the widget is in this state."""
        self.page.until(
            lambda: self.root.get_attribute("data-state") == state, f"the widget is {state}"
        )

    def button(self, name: str) -> Any:
        return self.root.get_by_role("button", name=name, exact=True)

    def slider(self, label: str) -> Any:
        return self.root.get_by_role("slider", name=label, exact=True)

    def choose(self, label: str, value: str) -> None:
        self.root.get_by_role("combobox", name=label, exact=True).select_option(value)

    def slide(self, label: str, value: float) -> None:
        self.slider(label).fill(str(value))

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.page.keyboard.press(key)

    def until_asked(self, lane: str, **args: Any) -> dict[str, Any]:
        """Wait for a question of this lane with these arguments; the question."""

        def found() -> list[dict[str, Any]]:
            asked = [each for each in self.kernel.asked if each["lane"] == lane]
            return [each for each in asked if all(each.get(name) == args[name] for name in args)]

        self.page.until(found, f"{lane} is asked with {args}")
        return found()[-1]

    def give(self, name: str, blob: bytes) -> None:
        """Set a trait of bytes as if the kernel had."""
        self.page.page.evaluate(_SET, [name, base64.b64encode(blob).decode()])

    def pixels(self, canvas: Any = None) -> np.ndarray:
        """All that a canvas (the stage) holds, (height, width, channels)."""
        data = (canvas or self.stage).evaluate("canvas => canvas.toDataURL()")
        with Image.open(io.BytesIO(base64.b64decode(data.partition(",")[2]))) as image:
            return np.asarray(image.convert(self.mode)).astype(int)
