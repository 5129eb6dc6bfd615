"""A layer switch in JupyterLab, key press to painted canvas, against matplotlib for the same maps.

The reference draws the same 64 maps as matplotlib subplots and encodes the PNG, in the same
kernel; what the browser then needs to show that PNG is given to it for free.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
from pathlib import Path

from _paired import report
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / "browser"), str(ROOT / "scripts")]

import find_chromium  # noqa: E402
from lab import FLAGS, Server  # noqa: E402

SETUP = """
import io, time, torch, numpy as np, nbcnnviz as nv
from matplotlib.figure import Figure
from nbcnnviz.widgets._cache import shared
from torchvision import models
torch.manual_seed(0)
net = nv.Network(models.resnet18(weights=None))
picture = np.random.default_rng(0).integers(0, 256, (224, 224, 3), np.uint8)


def forget():
    shared.drop(w._epoch)
    w._held = None


def with_matplotlib():
    begin = time.perf_counter()
    maps = nv.backend.feature_maps(net, picture, w.layer)
    figure = Figure(figsize=(8, 8))
    for axis, one in zip(figure.subplots(8, 8).ravel(), maps):
        axis.imshow(one)
        axis.axis("off")
    figure.savefig(io.BytesIO(), format="png")
    return time.perf_counter() - begin
"""
# A ReLU follows: its maps look different, while those of a normalisation alone need not.
SHOW = "w = nv.FeatureMaps(net, picture, layer='layer1.0.bn1')\nw"

SWITCH = """async (root) => {
  const ribbon = root.querySelector('[data-role=ribbon]');
  const stage = root.querySelector('canvas[data-role=stage]');
  const look = () => stage.getContext('2d').getImageData(0, 0, 64, 64).data.join();
  const frame = () => new Promise(requestAnimationFrame);
  const before = look();
  const begin = performance.now();
  ribbon.dispatchEvent(new KeyboardEvent('keydown', {key: 'ArrowRight', bubbles: true}));
  while (look() === before) {
    if (performance.now() - begin > 20000) throw new Error('the canvas stays as it is');
    await frame();
  }
  return performance.now() - begin;
}"""

ROUNDS = 9


def main() -> None:
    executable = find_chromium.find()
    if executable is None:
        raise SystemExit(find_chromium.ADVICE)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        server = Server("lab", Path(folder), browser)
        try:
            measure(server)
        finally:
            server.stop()
            browser.close()


def measure(server: Server) -> None:
    notebook = server.open(SETUP, SHOW)
    notebook.run(0)
    notebook.run(1)
    root = notebook.widget("feature_maps")
    new, cached, reference = [], [], []
    for number in range(ROUNDS + 1):
        notebook.execute("w.layer = 'layer1.0.bn1'; forget()")
        notebook.until(lambda: root.get_attribute("data-state") == "idle")
        notebook.page.wait_for_timeout(600)  # what is saved after a while is not to be in it
        times = [root.evaluate(SWITCH) / 1e3]
        notebook.page.wait_for_timeout(600)
        notebook.execute("w.layer = 'layer1.0.bn1'")
        notebook.page.wait_for_timeout(600)
        times.append(root.evaluate(SWITCH) / 1e3)
        times.append(notebook.value("with_matplotlib()"))
        if number:  # the first round is warm-up
            for list_, value in zip((new, cached, reference), times, strict=True):
                list_.append(value)
    for what, ours in (("new", new), ("cached", cached)):
        ratio = statistics.median(b / a for a, b in zip(ours, reference, strict=True))
        mine, theirs = statistics.median(ours), statistics.median(reference)
        report(
            f"switch to a {what} layer, 64 maps of 56 x 56 / matplotlib",
            f"{mine * 1e3:.0f} / {theirs * 1e3:.0f} ms: {ratio:.1f} x faster",
            ">= 5 x faster",
            ratio >= 5,
        )
    server.finish()


if __name__ == "__main__":
    main()
