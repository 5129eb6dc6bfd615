// What stands in for hidden pixels: by name, or a colour.

import { type Choice, select } from "../lib/controls.ts";
import { h, on } from "../lib/dom.ts";
import { box } from "../lib/small.ts";
import { fromHex, toHex } from "./blend.ts";
import type { Session } from "./session.ts";

const FILLS: readonly Choice<string>[] = ["mean", "black", "gray", "blur", "noise", "colour"];

export function createFill(session: Session): HTMLElement {
  const { shell, fill } = session;
  const { signal } = shell;
  const colour = h("input", {
    type: "color",
    value: "#ff8000",
    title: "The colour that hides",
    "aria-label": "fill colour",
  });
  const take = (): void => session.setFill(fromHex(colour.value));
  const named = select<string>(
    {
      label: "fill",
      title: "What hidden pixels become",
      options: FILLS,
      value: "mean",
      onChange: (value) => (value === "colour" ? take() : session.setFill(value)),
    },
    signal,
  );
  // While the colour is being chosen the picture alone follows.
  on(colour, "input", () => session.preview(fromHex(colour.value)), signal);
  on(colour, "change", take, signal);
  session.on(["fill"], () => {
    const now = fill.get();
    named.value = Array.isArray(now) ? "colour" : now;
    // The swatch shows what hides, as far as that is one colour.
    if (session.hidden.data.length === 3) colour.value = toHex([...session.hidden.data]);
  });
  return shell.needsKernel(box("nbc-control", named.el, colour));
}
