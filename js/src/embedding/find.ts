// Search: points whose name, label or other word contains a text are lit; Enter selects them.

import { search } from "../lib/controls.ts";
import { h, on, text } from "../lib/dom.ts";
import { plural } from "../lib/format.ts";
import { box, take } from "../lib/small.ts";
import type { Session } from "./session.ts";

const WAIT_MS = 150;

export function createFind(session: Session): HTMLElement {
  const { signal, channel } = session.shell;
  const said = h("output", { class: "nbc-muted", "data-role": "found" });
  let timer: ReturnType<typeof setTimeout> | undefined;
  const field = search(
    {
      label: "find",
      quiet: true,
      placeholder: "find a label or name",
      title: "Lights what it finds; Enter selects it",
      onInput: () => {
        clearTimeout(timer);
        timer = setTimeout(look, WAIT_MS);
      },
    },
    signal,
  );
  on(field.input, "keydown", enter, signal);
  signal.addEventListener("abort", () => clearTimeout(timer), { once: true });
  channel.on("find", ({ blob }) => {
    if (!blob || !wanted()) return;
    const here = (blob.meta.indices as number[]).map(session.placeOf).filter((i) => i >= 0);
    tell(here, blob.meta.total);
  });
  return box("em-find", field.el, said);

  function wanted(): string {
    return field.value.trim().toLowerCase();
  }

  function look(): void {
    const { points } = session;
    const sought = wanted();
    if (!sought) {
      text(said, "");
      session.search(null);
      return;
    }
    // Names that are not here the kernel looks through, as long as there is one.
    const here = points.names !== null && !points.sample;
    if (!here && !channel.saved && !channel.state.offline) channel.ask("find", { text: sought });
    else tell(...local(sought));
  }

  function local(sought: string): [found: number[], total: number] {
    const { points } = session;
    const words = points.columns
      .filter(({ codes, key }) => codes && key !== "correct")
      .map(({ codes, values }) => ({
        codes,
        hits: new Set([...values.keys()].filter((k) => values[k]?.toLowerCase().includes(sought))),
      }));
    const found: number[] = [];
    for (let i = 0; i < points.count; i++) {
      const name = points.names?.[session.number(i)]?.toLowerCase();
      const hit = words.some(({ codes, hits }) => hits.has(codes?.[i] as number));
      if (hit || name?.includes(sought)) found.push(i);
    }
    return [found, found.length];
  }

  function tell(found: number[], total: number): void {
    const part = total > found.length ? `first ${found.length} of ` : "";
    text(said, total ? `${part}${plural(total, "point")}` : "nothing found");
    session.search(found.length ? session.flags(found) : null);
  }

  function enter(event: KeyboardEvent): void {
    if (event.key !== "Enter" || !session.found) return;
    take(event);
    const { found } = session;
    session.search(null);
    field.value = "";
    session.select(found);
  }
}
