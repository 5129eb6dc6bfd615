"""Painting in JupyterLab: from the pointer to the score in the page.

The limit is what a bare answer of the kernel takes in the same page (an echo) plus 1.15 x the
best of many single forward passes of the bare model. Each round is one dab somewhere else.

    python tests/benchmarks/bench_brush.py                 the demo network and VGG-16
    python tests/benchmarks/bench_brush.py resnet18        others of torchvision, random weights
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
from lab import FLAGS, Notebook, Server  # noqa: E402

SETUP = """
import time, torch, numpy as np, nbcnnviz as nv
torch.manual_seed(0)
if {name!r} == "demo":
    net = nv.Network.demo()
else:
    from torchvision import models
    net = nv.Network(getattr(models, {name!r})(weights=None))
x = net.prepare(nv.sample_image("coffee"))
w = nv.Occlusion(net, x)


def forward():
    "Seconds of the best of some single passes of the bare model, in either memory format."
    best = 9.0
    with torch.inference_mode():
        for form in (torch.contiguous_format, torch.channels_last):
            image = x.to(memory_format=form)
            for _ in range(6):
                begin = time.perf_counter()
                net.model(image)
                best = min(best, time.perf_counter() - begin)
    return best


net.model.eval()
"""

# From each stroke's first event to the frame in which its first answer is in the page.
WATCH = """(root) => {
  const stage = root.querySelector("canvas[data-role=stage]");
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  window.took = [];
  let began = null;
  for (const type of ["pointerdown", "pointermove"]) {
    stage.addEventListener(type, (event) => { if (event.buttons) began ??= event.timeStamp; },
      { capture: true });
  }
  kernel.anyMessage.connect((_, { msg, direction }) => {
    const content = msg.content?.data?.content;
    if (direction !== "recv" || content?.type !== "reply" || content.lane !== "scores") return;
    if (began === null) return;
    const from = began;
    began = null;
    // Message handlers run before the next frame; the one after that shows what they wrote.
    requestAnimationFrame(() => setTimeout(() => window.took.push(performance.now() - from)));
  });
}"""

# The way there and back of a message that costs the kernel nothing.
ECHO = """async ([comm, rounds]) => {
  const { kernel } = window.jupyterapp.shell.currentWidget.sessionContext.session;
  const took = [];
  for (let i = 0; i < rounds; i += 1) {
    const view = `echo${i}`;
    const heard = new Promise((resolve) => {
      const hear = (_, { msg }) => {
        if (msg.content?.data?.content?.view !== view || msg.channel !== "iopub") return;
        kernel.anyMessage.disconnect(hear);
        resolve();
      };
      kernel.anyMessage.connect(hear);
    });
    const begin = performance.now();
    const content = { comm_id: comm, data: { method: "custom", content: { type: "hello", view } } };
    const session = kernel.clientId;
    const header = { msg_id: `${session}-${view}`, msg_type: "comm_msg", session,
      username: "", version: "5.2", date: new Date().toISOString() };
    kernel.sendShellMessage({ header, parent_header: {}, metadata: {}, channel: "shell",
      content, buffers: [] }, false, true);
    await heard;
    took.push(performance.now() - begin);
    await new Promise((go) => setTimeout(go, 30));
  }
  return took;
}"""

ROUNDS = 25


def main() -> None:
    executable = find_chromium.find()
    if executable is None:
        raise SystemExit(find_chromium.ADVICE)
    with sync_playwright() as playwright, tempfile.TemporaryDirectory() as folder:
        browser = playwright.chromium.launch(executable_path=executable, args=list(FLAGS))
        server = Server("lab", Path(folder), browser)
        try:
            for name in sys.argv[1:] or ["demo", "vgg16"]:
                measure(server, name)
        finally:
            server.stop()
            browser.close()


def measure(server: Server, name: str) -> None:
    notebook = server.open(SETUP.format(name=name), "w", size=(1500, 1300))
    notebook.run(0)
    notebook.run(1)
    root = notebook.widget("occlusion")
    notebook.until(lambda: not notebook.value("w._endpoint.worker.busy"))
    root.evaluate(WATCH)
    latency = dabs(notebook, root)
    echo = statistics.median(notebook.page.evaluate(ECHO, [notebook.value("w.model_id"), ROUNDS]))
    forward = 1e3 * min(notebook.value("forward()") for _ in range(3))
    median, limit = statistics.median(latency), echo + 1.15 * forward
    report(
        f"{name}: pointer to score / (echo + 1.15 x forward)",
        f"{median:.0f} / ({echo:.0f} + 1.15 x {forward:.0f}) ms: {median / limit:.2f}",
        "<= 1",
        median <= limit,
    )
    server.finish()


def dabs(notebook: Notebook, root: object) -> list[float]:
    """Press the mouse, drag it from place to place, and read how long each score took."""
    stage = root.locator("canvas[data-role=stage]")  # type: ignore[attr-defined]
    stage.scroll_into_view_if_needed()
    notebook.page.wait_for_timeout(500)
    box = stage.bounding_box()
    root.get_by_role("slider", name="size").fill("32")  # type: ignore[attr-defined]
    mouse = notebook.page.mouse
    took: list[float] = []
    for number in range(ROUNDS):
        u, v = 0.15 + 0.7 * (number * 7 % ROUNDS) / ROUNDS, 0.15 + 0.7 * number / ROUNDS
        mouse.move(box["x"] + u * box["width"], box["y"] + v * box["height"])
        mouse.down()
        notebook.until(lambda: notebook.page.evaluate("() => window.took.length") > 0)
        mouse.up()
        notebook.page.wait_for_timeout(700)  # what is saved after a while is not to be in it
        # The first is the dab; the others are of the end of the stroke.
        took.append(notebook.page.evaluate("() => window.took.splice(0)")[0])
    return took


if __name__ == "__main__":
    main()
