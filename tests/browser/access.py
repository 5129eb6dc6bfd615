"""What accessible means, for every widget: axe, contrast, a keyboard that reaches all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import axe_playwright_python

AXE = (Path(axe_playwright_python.__file__).parent / "axe.min.js").read_text("utf-8")

# Contrast of all text that is seen, opacity included; where colours are mixed, axe is in doubt.
CONTRAST = """(root) => {
  const canvas = new OffscreenCanvas(1, 1);
  const context = canvas.getContext("2d", { willReadFrequently: true });
  const bytes = (colours, opacity = 1) => {
    ["#fff", ...colours].forEach((colour, i) => {
      context.globalAlpha = i === colours.length ? opacity : 1;
      context.fillStyle = colour;
      context.fillRect(0, 0, 1, 1);
    });
    return [...context.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => {
    const part = (v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const found = [];
  for (const el of root.querySelectorAll("*")) {
    const own = [...el.childNodes].filter((n) => n.nodeType === 3 && n.textContent.trim());
    const texts = el.matches("input[type=text], select") ? [el.value] : own.map((n) => n.data);
    const box = el.getBoundingClientRect();
    const seen = el.checkVisibility({ visibilityProperty: true, opacityProperty: true });
    if (!texts.length || !seen || box.width < 2 || box.height < 2 || el.disabled) continue;
    const grounds = [];
    let opacity = 1;
    for (let at = el; at; at = at.parentElement) {
      const style = getComputedStyle(at);
      grounds.unshift(style.backgroundColor);
      opacity *= Number(style.opacity);
    }
    const ground = bytes(grounds);
    const text = bytes([...grounds, getComputedStyle(el).color], opacity);
    const [a, b] = [luminance(ground), luminance(text)].sort((x, y) => y - x);
    found.push([Math.round(((a + 0.05) / (b + 0.05)) * 100) / 100, texts.join(" ").slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


def check(view: Any) -> None:
    """No serious finding, no faint text."""
    result = view.root.evaluate("root => axe.run(root, { resultTypes: ['violations'] })")
    serious = [
        f"{found['id']}: {found['help']}: {node['html']}"
        for found in result["violations"]
        if found["impact"] in ("serious", "critical")
        for node in found["nodes"]
    ]
    assert not serious, "\n".join(serious)
    assert result["passes"], "axe looked at nothing"
    contrasts = view.root.evaluate(CONTRAST)
    assert len(contrasts) > 15, "the texts were not found"
    assert [each for each in contrasts if each[0] < 4.5] == []


def tab_to(view: Any, locator: Any, key: str = "Tab") -> None:
    """Go on until the part has the focus, and is seen to; a trap or a part out of reach fails."""
    for _ in range(80):
        if locator.evaluate("el => el === document.activeElement"):
            assert locator.evaluate("el => getComputedStyle(el).outlineStyle") != "none"
            return
        view.page.page.keyboard.press(key)
    raise AssertionError(f"{locator} is out of reach")


def tab_through(page: Any, most: int) -> list[str]:
    """Go through a page's widget and out of it, both ways; what is passed on the way back."""
    page.evaluate(
        """() => {
          for (const where of ["prepend", "append"]) {
            const button = document.createElement("button");
            button.textContent = button.id = where;
            document.body[where](button);
          }
        }"""
    )
    passed: list[str] = []
    for first, key, last in (("prepend", "Tab", "append"), ("append", "Shift+Tab", "prepend")):
        page.locator(f"#{first}").focus()
        passed = []
        while page.evaluate("() => document.activeElement.id") != last:
            assert len(passed) < most, passed
            page.keyboard.press(key)
            passed.append(page.evaluate("() => document.activeElement.outerHTML.slice(0, 80)"))
        assert passed
    return passed
