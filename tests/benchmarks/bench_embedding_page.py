"""Embedding in the page: a hundred thousand points under the hand, a million to load and select.

WebGL in software, as browsers do without a graphics card: with one, frames are far cheaper. A frame
is timed from the event to the painted canvas, of which a pixel is read back. Next to it stands the
painter that a browser without WebGL gets.
"""

from __future__ import annotations

import base64
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from _paired import report
from matplotlib.path import Path as Outline
from playwright.sync_api import sync_playwright

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "tests" / name) for name in ("browser", "")]
sys.path.insert(0, str(ROOT / "scripts"))

import find_chromium  # noqa: E402
from embedding_page import (  # noqa: E402
    NO_WEBGL,
    EmbeddingPage,
    decoded_map,
    made_up,
    made_up_points,
    plain_traits,
)
from lab import FLAGS  # noqa: E402
from static_page import Site  # noqa: E402

from nbcnnviz.widgets._codec import pack, unpack  # noqa: E402
from nbcnnviz.widgets._embedding_record import indices_of  # noqa: E402

PAN = """async () => {
  const root = document.querySelector(".nbcnnviz");
  const [stage, top] = [root.querySelector("[data-role=stage]"), root.querySelector(".em-over")];
  const { x, y, width, height } = top.getBoundingClientRect();
  const send = (type, u, v) => top.dispatchEvent(new PointerEvent(type, { bubbles: true,
    button: 0, pointerId: 1, isPrimary: true, clientX: x + u * width, clientY: y + v * height }));
  top.setPointerCapture = () => {};
  const frame = () => new Promise((done) => requestAnimationFrame(done));
  send("pointerdown", 0.5, 0.5);
  send("pointermove", 0.52, 0.5);
  for (let i = 0; i < 3; i += 1) await frame();
  const begin = performance.now();
  const frames = 30;
  for (let i = 0; i < frames; i += 1) {
    send("pointermove", 0.5 + 0.2 * Math.sin(i / 3), 0.5 + 0.1 * Math.cos(i / 3));
    await frame();
    stage.getContext("2d").getImageData(0, 0, 1, 1);
  }
  const spent = performance.now() - begin;
  send("pointerup", 0.5, 0.5);
  return frames / (spent / 1000);
}"""
HOVER = """async () => {
  const top = document.querySelector(".em-over");
  const { x, y, width, height } = top.getBoundingClientRect();
  const times = [];
  for (let i = 0; i < 60; i += 1) {
    const at = { clientX: x + width * (0.2 + 0.6 * ((i * 7) % 60) / 60),
      clientY: y + height * (0.2 + 0.6 * ((i * 13) % 60) / 60) };
    const begin = performance.now();
    top.dispatchEvent(new PointerEvent("pointermove", { ...at, bubbles: true, pointerId: 1 }));
    times.push(performance.now() - begin);
    await new Promise((done) => setTimeout(done, 10));
  }
  return times;
}"""
# What the view sends with its next selection, as base64.
SELECTED = """() => {
  const { model } = window.running;
  const own = model.send.bind(model);
  window.selected = null;
  model.send = (content, callbacks, buffers) => {
    if (content.lane !== "select") return own(content, callbacks, buffers);
    window.selected = btoa(Array.from(buffers[0], (b) => String.fromCharCode(b)).join(""));
  };
}"""
SAMPLE = 30_000


def places(count: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(10, 2)) * 3
    return centres[np.arange(count) % 10] + rng.normal(size=(count, 2)) * 0.6


class Kernel:
    """Has all points of a sampled widget."""

    def __init__(self, count: int) -> None:
        xy = places(count)
        index = np.sort(np.random.default_rng(1).choice(count, SAMPLE, replace=False))
        self.traits = plain_traits(
            _points=made_up_points(count, index=index),
            _map=made_up(xy[index], run=1, sample=True, method="pca"),
        )
        about, arrays = unpack(made_up(xy, run=1, method="pca"))
        meta, columns = unpack(made_up_points(count))
        self.map = decoded_map(pack({}, arrays))
        self.whole = pack({**meta, "map": about}, {**columns, **arrays})

    def __call__(self, message: dict[str, Any], blob: bytes | None = None) -> list[Any]:
        if message["type"] == "hello":
            return [({"type": "hello", "view": message["view"], "epoch": "e1"}, None)]
        if message["type"] != "ask":
            return []
        about = {key: message[key] for key in ("view", "epoch", "seq", "lane")}
        answer = self.whole if message["lane"] == "points" else pack({}, {})
        reply = {"type": "reply", **about, "status": "ok", "ms": 1, "message": "", "all": False}
        return [({"type": "ack", **about, "all": False, "waits": ""}, None), (reply, answer)]


def pans(site: Site, count: int, before: str | None) -> float:
    """Frames a second of panning."""
    traits = plain_traits(_points=made_up_points(count), _map=made_up(places(count)))
    page = site.scripted("embedding", traits, lambda message, blob=None: [], size=(1200, 900))
    if before:
        page.page.add_init_script(before)
        page.page.reload()
    view = EmbeddingPage(page, state=None)
    view.until_data(points=count)
    page.painted(view.stage)
    page.page.wait_for_timeout(1500)
    found = float(page.page.evaluate(PAN))
    page.page.context.close()
    site._open.remove(page)
    return found


def million(site: Site) -> None:
    count = 1_000_000
    kernel = Kernel(count)
    begin = time.perf_counter()
    page = site.scripted("embedding", kernel.traits, kernel, size=(1200, 900))
    view = EmbeddingPage(page, kernel, state=None)
    view.until_data(points=count)
    page.painted(view.stage)
    took = time.perf_counter() - begin
    report("a million points: loaded, with a kernel's answer", f"{took:.1f} s", "loads", True)
    page.page.wait_for_timeout(3000)
    hovers = view.page.page.evaluate(HOVER)
    times = [float(each) for each in hovers]
    median, high = statistics.median(times), max(times)
    words = f"{median:.2f} ms, at most {high:.1f} ms"
    report("a million points: answer to the pointer", words, "< 16 ms", high < 16)
    page.page.mouse.move(5, 5)
    page.page.evaluate(SELECTED)
    view.tool("lasso")
    begin = time.perf_counter()
    view.drag([(0.3, 0.2), (0.7, 0.25), (0.6, 0.8), (0.35, 0.7)])
    page.until(lambda: page.page.evaluate("() => window.selected"))
    took = time.perf_counter() - begin
    bits = unpack(base64.b64decode(page.page.evaluate("() => window.selected")))[1]["bits"]
    wanted = np.flatnonzero(Outline(view.polygon()).contains_points(kernel.map))
    same = np.array_equal(indices_of(bits, count), wanted)
    words = f"{len(wanted)} points in {took:.1f} s, the drag included"
    report("a million points: lasso", words, "equal to matplotlib.path", same)


def main() -> None:
    executable = find_chromium.find()
    if executable is None:
        raise SystemExit(find_chromium.ADVICE)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        site = Site(Path(folder), browser)
        try:
            for count in (10_000, 100_000):
                webgl, flat = (pans(site, count, before) for before in (None, NO_WEBGL))
                words = f"{webgl:.1f} frames/s (without WebGL {flat:.1f})"
                report(f"panning {count} points, WebGL in software", words, ">= 5", webgl >= 5)
            million(site)
        finally:
            site.stop()
            browser.close()


if __name__ == "__main__":
    main()
