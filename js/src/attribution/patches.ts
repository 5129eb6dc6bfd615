// What excites a channel most in a data set: pieces of pictures, and what the channel saw in them.

import { fill, h, on, text } from "../lib/dom.ts";
import { three } from "../lib/format.ts";
import { rgbCanvas } from "../lib/picture.ts";
import { span } from "../lib/small.ts";
import type { Session } from "./session.ts";

export function createPatches(session: Session): HTMLElement | false {
  const { shell } = session;
  const { dataset } = shell.trait<{ dataset?: number }>("_about").get() ?? {};
  if (dataset === undefined) return false;
  const summary = h("summary");
  const list = h("ul", { class: "at-patches", "data-role": "patches" });
  const element = h("details", { class: "at-panel" }, summary, list);
  const ask = () => element.open && session.askFor("patches");
  const name = () => text(summary, `top patches of channel ${session.channel}`);
  on(element, "toggle", ask, shell.signal);
  session.on(["question", "map"], name);
  session.on(["patches"], show);
  return element;

  function show(): void {
    const { patches } = session.got;
    const cut = (name: string): HTMLCanvasElement | null => {
      const found = patches?.arrays[name];
      const [height = 1, width = 1] = found?.shape ?? [];
      return found ? rgbCanvas(found.data as Uint8Array, width, height) : null;
    };
    const rows = (patches?.meta.patches ?? []) as Array<{ image: number; activation: number }>;
    const one = ({ image, activation }: (typeof rows)[number], i: number): HTMLElement => {
      const words = span("nbc-muted", `image ${image}: ${three(activation)}`);
      return h("li", null, cut(`picture${i}`), cut(`rebuilt${i}`), words);
    };
    fill(list, ...rows.map(one));
  }
}
