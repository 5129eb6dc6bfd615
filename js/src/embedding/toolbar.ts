// Method and its settings, the tools, search.

import { button, select, slider, toggle } from "../lib/controls.ts";
import { fill, h } from "../lib/dom.ts";
import { box } from "../lib/small.ts";
import { WHOLE } from "./camera.ts";
import type { Feed } from "./feed.ts";
import { createFind } from "./find.ts";
import { METHODS, type Method, type Session, type Tool } from "./session.ts";

const TOOLS: Record<Tool, string> = {
  pan: "Move the map",
  lasso: "Draw around points to select them; Shift adds, Alt takes away",
  box: "Draw a box around points to select them; Shift adds, Alt takes away",
};

export function createToolbar(session: Session, feed: Feed): HTMLElement {
  const { shell, perplexity, iterations } = session;
  const { signal } = shell;
  const method = select<Method>(
    {
      label: "method",
      options: [],
      value: session.method.get(),
      onChange: (value) => {
        session.method.set(value);
        feed.run();
      },
    },
    signal,
  );
  const near = slider(
    {
      label: "perplexity",
      title: "About how many neighbours each point keeps close",
      min: 1,
      max: 100,
      value: perplexity.get(),
      onInput: (value) => perplexity.set(value),
    },
    signal,
  );
  const steps = slider(
    {
      label: "iterations",
      min: 250,
      max: 2000,
      step: 50,
      value: iterations.get(),
      onInput: (value) => iterations.set(value),
    },
    signal,
  );
  const go = button({ label: "Run", primary: true, onClick: () => feed.run() }, signal);
  const on = button(
    { label: "Go on", title: "From the map that is shown", onClick: () => feed.run("present") },
    signal,
  );
  const layer = select<string>(
    { label: "layer", options: [], value: "", onChange: feed.chooseLayer },
    signal,
  );
  const tools = (Object.keys(TOOLS) as Tool[]).map((tool) => {
    const press = (): void => {
      session.tool = tool;
      session.emit("tool");
    };
    const made = toggle({ label: tool, title: TOOLS[tool], value: false, onChange: press }, signal);
    return { tool, made };
  });
  const home = button(
    { label: "Reset view", title: "Show all (0)", onClick: () => session.look(WHOLE) },
    signal,
  );
  const pick = h("div", { class: "em-group", role: "group", "aria-label": "tool" });
  fill(pick, ...tools.map(({ made }) => made.el));
  const work = shell.needsKernel(box("em-group", layer.el, method.el, near.el, steps.el, go, on));
  session.on(["settings", "points", "run"], show);
  session.on(["tool"], showTool);
  session.layers.onLayers(show);
  session.layers.current.on(show);
  show();
  showTool();
  return box("em-tools", work, box("em-group em-hands", pick, home, createFind(session)));

  function show(): void {
    const { points, meta } = session;
    const now = session.method.get();
    const offered = (Object.keys(METHODS) as Method[]).filter(
      (key) => key !== "given" || points.given,
    );
    method.setOptions(offered.map((key) => [key, METHODS[key]] as const));
    method.value = now;
    const rows = session.layers.layers();
    layer.el.hidden = points.choices !== "given" || rows.length < 2;
    layer.setOptions(rows.map(({ name, label }) => [name, label] as const));
    layer.value = session.layers.current.get();
    // More neighbours than a third of all points t-SNE cannot keep.
    const most = Math.max(1, Math.min(100, Math.floor((points.total - 1) / 3)));
    (near.input as HTMLInputElement).max = String(most);
    near.value = perplexity.get();
    steps.value = iterations.get();
    const tuned = now === "tsne" || now === "umap";
    near.el.hidden = go.hidden = !tuned;
    steps.el.hidden = now !== "tsne";
    on.hidden = now !== "tsne" || meta?.method !== "tsne";
  }

  function showTool(): void {
    for (const { tool, made } of tools) made.value = session.tool === tool;
  }
}
