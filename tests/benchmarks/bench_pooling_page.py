"""Pooling in the page: a channel of 112 x 112 under the mouse and under the sliders.

Each hover and each move of a slider is one frame of work, timed from the event to the painted
canvas; nothing is asked of the kernel.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import torch
from _paired import report
from playwright.sync_api import sync_playwright
from torchvision import models

import nbcnnviz as nv

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "scripts")]

import find_chromium  # noqa: E402
from lab import FLAGS  # noqa: E402
from static_page import Site  # noqa: E402

# What an event's handlers do, and what they leave for the next frame; reading a pixel back makes
# work that was put off count too.
TIMED = """async ([root, kind]) => {
  const times = [], stage = root.querySelector("canvas[data-role=stage]");
  const own = window.requestAnimationFrame.bind(window);
  let begun = null;
  window.requestAnimationFrame = (paint) => own((now) => {
    const begin = performance.now();
    paint(now);
    stage.getContext("2d").getImageData(0, 0, 1, 1);
    if (begun !== null) times.push(begun + performance.now() - begin);
    begun = null;
  });
  const box = stage.getBoundingClientRect();
  const slider = [...root.querySelectorAll("input[type=range]")]
    .find((input) => (input.getAttribute("aria-label") ?? input.labels[0]?.textContent ?? "")
      .trim().startsWith("window"));
  for (let i = 1; i <= 80; i += 1) {
    const begin = performance.now();
    if (kind === "hover") {
      const at = { clientX: box.x + box.width * (0.03 + 0.9 * (i % 20) / 20),
        clientY: box.y + box.height * (0.03 + 0.9 * (i / 80)) };
      stage.dispatchEvent(new PointerEvent("pointermove", { ...at, bubbles: true,
        pointerType: "mouse", isPrimary: true }));
    } else {
      slider.value = String(2 + (i % 5));
      slider.dispatchEvent(new Event("input", { bubbles: true }));
    }
    begun = performance.now() - begin;
    await new Promise((done) => setTimeout(done, 40));
    if (begun !== null) { times.push(begun); begun = null; }
  }
  window.requestAnimationFrame = own;
  return times;
}"""


def main() -> None:
    torch.manual_seed(0)
    widget = nv.Pooling(nv.Network(models.resnet18(weights=None)), nv.sample_image("cat"))
    executable = find_chromium.find()
    if executable is None:
        raise SystemExit(find_chromium.ADVICE)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        site = Site(Path(folder), browser)
        try:
            page = site.live(widget)
            page.page.set_viewport_size({"width": 1400, "height": 1000})
            root = page.widget("pooling")
            page.page.wait_for_timeout(1500)
            asked = len(page.sent("ask"))
            for kind in ("hover", "slider"):
                times = page.page.evaluate(TIMED, [root.element_handle(), kind])
                median, high = statistics.median(times), sorted(times)[int(0.95 * len(times))]
                report(
                    f"{kind}, {len(times)} times over 112 x 112: median (95 %)",
                    f"{median:.1f} ({high:.1f}) ms",
                    "median < 16 ms",
                    median < 16,
                )
            more = len(page.sent("ask")) - asked
        finally:
            site.stop()
            browser.close()
    report("questions to the kernel meanwhile", str(more), "0", more == 0)


if __name__ == "__main__":
    main()
