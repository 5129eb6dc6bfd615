"""A change of contrast with 256 maps of 56 x 56 in sight: painted in one frame, nothing asked."""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from _paired import report
from playwright.sync_api import sync_playwright
from torch import nn

import nbcnnviz as nv

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "scripts")]

import find_chromium  # noqa: E402
from lab import FLAGS  # noqa: E402
from static_page import Site  # noqa: E402

# Frames are timed from outside; reading one pixel back makes work that was put off count too.
CHANGES = """async (root) => {
  const times = [], stage = root.querySelector('canvas[data-role=stage]');
  const own = window.requestAnimationFrame.bind(window);
  window.requestAnimationFrame = (paint) => own((now) => {
    const begin = performance.now();
    paint(now);
    stage.getContext('2d').getImageData(0, 0, 1, 1);
    times.push(performance.now() - begin);
  });
  const contrast = [...root.querySelectorAll('label')]
    .find((label) => label.textContent.startsWith('contrast'));
  const slider = contrast.querySelector('input') ?? document.getElementById(contrast.htmlFor);
  for (let value = 1; value <= 60; value++) {
    slider.value = value;
    slider.dispatchEvent(new Event('input'));
    await new Promise((done) => setTimeout(done, 40));
  }
  return times;
}"""


def main() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 256, 8, 4, 2), nn.ReLU())
    picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)
    widget = nv.FeatureMaps(model, picture, layer="1")
    executable = find_chromium.find()
    if executable is None:
        raise SystemExit(find_chromium.ADVICE)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        site = Site(Path(folder), browser)
        try:
            page = site.live(widget)
            page.page.set_viewport_size({"width": 1400, "height": 900})
            root = page.widget("feature_maps")
            root.get_by_label("size").fill("32")
            page.page.wait_for_timeout(1000)
            asked = len(page.sent("ask"))
            times = root.evaluate(CHANGES)
            more = len(page.sent("ask")) - asked
        finally:
            site.stop()
            browser.close()
    median, high = statistics.median(times), sorted(times)[int(0.95 * len(times))]
    report(
        f"{len(times)} repaints of 256 maps of 56 x 56: median (95 %)",
        f"{median:.1f} ({high:.1f}) ms",
        "median < 16 ms",
        median < 16,
    )
    report("questions to the kernel meanwhile", str(more), "0", more == 0)


if __name__ == "__main__":
    main()
