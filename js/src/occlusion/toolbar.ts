// The tools, what they are like, what stands in for hidden pixels; undo, redo, invert, clear.

import { button, slider } from "../lib/controls.ts";
import { h, on } from "../lib/dom.ts";
import { panel } from "../lib/menu.ts";
import { box, span, uniqueId } from "../lib/small.ts";
import { createFill } from "./fill.ts";
import { HELP } from "./keys.ts";
import { type Session, TOOLS, type Tool } from "./session.ts";

const TIPS: Record<Tool, string> = {
  brush: "Paint with a round brush (B)",
  rectangle: "Draw a rectangle (R)",
  stamp: "A patch of the sweep's window that follows the mouse while it is pressed (S)",
  eraser: "Show again what is hidden (E)",
};

export function createToolbar(session: Session) {
  const { signal } = session.shell;
  const { history } = session;
  const size = slider(
    {
      label: "size",
      title: "Diameter of the brush in pixels of the network's input (+ and −)",
      min: 1,
      max: session.largest,
      value: session.brushSize,
      unit: " px",
      onInput: (brushSize) => session.setBrush({ brushSize }),
    },
    signal,
  );
  const hardness = slider(
    {
      label: "hardness",
      title: "Soft or hard edge of the brush",
      min: 0,
      max: 100,
      step: 5,
      value: 100,
      bare: true,
      unit: " %",
      onInput: (value) => session.setBrush({ hardness: value / 100 }),
    },
    signal,
  );
  const act = (label: string, glyph: string, title: string, onClick: () => void) =>
    button({ label, glyph, title, onClick }, signal);
  const undo = act("undo", "↶", "Undo (U or Ctrl+Z)", () => session.travel("undo"));
  const redo = act("redo", "↷", "Redo (Shift+Ctrl+Z)", () => session.travel("redo"));
  const invert = act("invert", "◐", "Hide what is seen, show what is hidden (I)", session.invert);
  const clear = act("clear", "×", "Show the whole picture (Delete)", session.clear);
  session.on(["steps"], () => {
    undo.disabled = !history.canUndo;
    redo.disabled = !history.canRedo;
  });
  session.on(["tool"], () => {
    size.value = session.brushSize;
    // The stamp is as large as the window of the sweep; edges of boxes are sharp.
    const { tool } = session;
    (size.input as HTMLInputElement).disabled = tool === "stamp";
    (hardness.input as HTMLInputElement).disabled = tool === "stamp" || tool === "rectangle";
  });
  const help = createHelp(signal);
  const element = box(
    "oc-tools",
    createTools(session),
    box("oc-brush", size.el, hardness.el, createFill(session)),
    box("oc-steps", undo, redo, invert, clear, help.button),
  );
  return { element, help: help.panel };
}

/** One choice among the tools, native radio buttons under their looks. */
function createTools(session: Session): HTMLElement {
  const { signal } = session.shell;
  const name = uniqueId();
  const inputs = TOOLS.map((tool) => {
    const input = h("input", { type: "radio", name, value: tool, checked: tool === session.tool });
    on(input, "change", () => session.setTool(tool), signal);
    return input;
  });
  session.on(["tool"], () => {
    for (const input of inputs) input.checked = input.value === session.tool;
  });
  const labels = inputs.map((input, i) => {
    const tool = TOOLS[i] as Tool;
    const icon = h("i", { "data-tool": tool });
    return h("label", { class: "oc-tool", title: TIPS[tool] }, input, icon, span("", tool));
  });
  return h("div", { class: "oc-choice", role: "radiogroup", "aria-label": "tool" }, ...labels);
}

/** A button that opens the list of keys. */
function createHelp(signal: AbortSignal) {
  const over = panel(signal);
  const rows = HELP.flatMap(([keys, what]) => [h("dt", null, keys), h("dd", null, what)]);
  const show = (): void =>
    over.show("Mouse and keyboard", h("dl", { class: "oc-keys", tabindex: 0 }, ...rows));
  const opener = button({ label: "Mouse and keyboard", glyph: "?", onClick: show }, signal);
  opener.setAttribute("aria-haspopup", "dialog");
  return { panel: over.el, button: opener };
}
