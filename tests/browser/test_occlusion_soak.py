"""Occlusion used for long: memory of the page stays flat."""

from __future__ import annotations

import pytest
from occlusion_page import FakeKernel, OcclusionPage
from test_feature_maps_soak import measure

# A round is a stroke, an undo now and then, another tool, another fill, a sweep. Each waits until
# its answer is shown, so that all of them are really done.
USE = """async (rounds) => {
  const { model } = window.running;
  const root = document.querySelector(".nbcnnviz");
  const stage = root.querySelector("canvas[data-role=stage]");
  const frame = () => new Promise((go) => requestAnimationFrame(go));
  const idle = async () => {
    for (let i = 0; i < 3 || root.dataset.state !== "idle"; i += 1) await frame();
  };
  const button = (name) => [...root.querySelectorAll("button")]
    .find((each) => (each.getAttribute("aria-label") ?? each.textContent).trim() === name);
  const press = (key, more) => stage.dispatchEvent(
    new KeyboardEvent("keydown", { key, bubbles: true, cancelable: true, ...more }));
  const box = stage.getBoundingClientRect();
  const fire = (type, x, y, buttons) => stage.dispatchEvent(new PointerEvent(type, {
    pointerId: 1, pointerType: "mouse", isPrimary: true, button: 0, buttons, bubbles: true,
    cancelable: true, clientX: box.x + x * box.width, clientY: box.y + y * box.height }));
  for (let round = 0; round < rounds; round += 1) {
    const x = 0.1 + 0.8 * ((round * 37) % 100) / 100, y = 0.1 + 0.8 * ((round * 17) % 100) / 100;
    fire("pointerdown", x, y, 1);
    fire("pointermove", Math.min(0.95, x + 0.1), y, 1);
    fire("pointerup", x, y, 0);
    if (round % 4 === 1) press("z", { ctrlKey: true });
    if (round % 7 === 3) model.set("fill", ["mean", "black", "gray"][round % 3]);
    if (round % 25 === 9) button("Run").click();
    await (round % 3 ? frame() : idle());
  }
  for (let i = 0; i < 10; i += 1) await idle();
}"""


@pytest.mark.timeout(240)
def test_a_thousand_strokes_leave_nothing_behind(static_page):
    kernel = FakeKernel()
    page = kernel.open(static_page)
    view = OcclusionPage(page, kernel)
    # Whoever counts for other tests would count as growth here.
    page.page.evaluate("() => { window.running.model.sent.push = () => 0; }")
    session = page.page.context.new_cdp_session(page.page)
    session.send("Performance.enable")
    page.page.evaluate(USE, 100)
    before, asked = measure(session), len(kernel.asked)
    page.page.evaluate(USE, 1000)
    after = measure(session)
    assert len(kernel.asked) - asked > 300, "the kernel was asked"
    assert any(each["lane"] == "sweep" for each in kernel.asked)
    assert after["JSHeapUsedSize"] - before["JSHeapUsedSize"] < 5e6
    assert after["Nodes"] <= before["Nodes"] + 100
    assert after["JSEventListeners"] <= before["JSEventListeners"] + 10
    assert view.root.get_attribute("data-state") == "idle"
