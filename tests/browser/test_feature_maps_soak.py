"""FeatureMaps used for long: memory of the page stays flat."""

from __future__ import annotations

import pytest
from maps_page import MapsPage, noise, small_widget

ROUNDS = 1000

# One round is what a user does in seconds: another layer, pointing, a map large, and back. Each
# step waits for its picture, so that all of them are really done.
USE = """async ([rounds, warm]) => {
  const { model } = window.running;
  const root = document.querySelector(".nbcnnviz");
  const grid = root.querySelector("[role=grid]");
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  const idle = async () => {
    for (let i = 0; i < 3 || root.dataset.state !== "idle"; i += 1) await frame();
  };
  const layers = ["conv", "relu"];
  const looks = ["viridis", "gray", "RdBu_r"];
  for (let round = 0; round < rounds; round += 1) {
    const box = grid.getBoundingClientRect();
    const at = { clientX: box.x + 8 + (round * 37) % 500, clientY: box.y + 8 + (round * 17) % 60 };
    const kind = round % 5;
    if (kind === 0) model.set("layer", layers[(round / 5) % 2]);
    if (kind === 1) model.set("image_index", (round >> 1) % 3);
    if (kind === 2) grid.dispatchEvent(new PointerEvent("pointermove", { ...at, bubbles: true }));
    if (kind === 3) model.set("channel", round % 6);
    if (kind === 4) { model.set("channel", null); model.set("colormap", looks[round % 3]); }
    await (kind < 2 ? idle() : frame());
  }
  for (let i = 0; i < 10; i += 1) await idle();
}"""


def measure(session):
    """Bytes of the JavaScript heap after a collection, nodes and listeners."""
    for _ in range(3):
        session.send("HeapProfiler.collectGarbage")
    values = {m["name"]: m["value"] for m in session.send("Performance.getMetrics")["metrics"]}
    return {key: values[key] for key in ("JSHeapUsedSize", "Nodes", "JSEventListeners")}


@pytest.mark.timeout(240)
def test_a_thousand_updates_leave_nothing_behind(static_page):
    widget, _ = small_widget(images=noise(3))
    page = static_page.live(widget)
    MapsPage(page)
    # The stub keeps every message for other tests; here that alone would be growth.
    page.page.evaluate(
        "() => { const { sent } = window.running.model; sent.push = () => (window.count ??= 0, "
        "window.count += 1); }"
    )
    session = page.page.context.new_cdp_session(page.page)
    session.send("Performance.enable")
    page.page.evaluate(USE, [100, True])
    before = measure(session)
    page.page.evaluate(USE, [ROUNDS, False])
    after = measure(session)
    assert page.page.evaluate("() => window.count") > 200, "the kernel was asked"
    assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] < 5e6
    assert after["Nodes"] <= before["Nodes"] + 100
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 10


def test_a_view_that_goes_takes_everything_with_it(static_page):
    widget, _ = small_widget(images=noise(3))
    page = static_page.live(widget)
    MapsPage(page)
    session = page.page.context.new_cdp_session(page.page)
    session.send("Performance.enable")
    again = """async (times) => {
      const address = document.querySelector("link[rel=stylesheet]").href.replace(".css", ".js");
      const module = await import(address);
      const name = location.pathname.replace(".html", ".json");
      const page = await (await fetch(name)).json();
      for (let i = 0; i < times; i += 1) {
        window.running.end();
        const respond = window.kernel && (async (message, answer) => {
          for (const [content, blob] of await window.kernel(message))
            answer(content, blob && Uint8Array.from(atob(blob), (c) => c.charCodeAt(0)));
        });
        const here = document.getElementById("here");
        window.running = await nbcnnviz.start(here, page, module, respond);
        const root = document.querySelector(".nbcnnviz");
        for (let f = 0; f < 4; f += 1) await new Promise((go) => requestAnimationFrame(go));
        root.querySelector("[role=grid]").focus();
        window.running.model.set("channel", i % 6);
        for (let f = 0; f < 8; f += 1) await new Promise((go) => requestAnimationFrame(go));
      }
    }"""
    page.page.evaluate(again, 3)
    before = measure(session)
    page.page.evaluate(again, 20)
    after = measure(session)
    assert page.page.locator(".nbcnnviz").count() == 1
    assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] < 5e6
    assert after["Nodes"] <= before["Nodes"] + 100
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 10
