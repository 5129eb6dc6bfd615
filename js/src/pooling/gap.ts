// Where a network ends with global average pooling and a linear layer: one class's score as a sum
// over channels, in the kernel's figures.

import { floats } from "./maps.ts";
import type { Session } from "./session.ts";

/** What lane "gap" answers. */
export interface Contributions {
  /** The layer whose maps are averaged; null if it is no layer's output as it stands. */
  layer: string | null;
  /** The layer that averages. */
  pool: string;
  label: string;
  bias: number;
  logit: number;
  total: number;
  agrees: boolean;
  gap: Float32Array;
  weights: Float32Array;
  products: Float32Array;
}

export type Gap = ReturnType<typeof createGap>;

export function createGap(session: Session) {
  const { channel, error } = session.shell;
  let asked = false;
  const self = {
    found: null as Contributions | null,
    /** Labels of all classes. */
    names: [] as string[],
    /** Why there is none, in the kernel's words. */
    refusal: null as string | null,
    choose,
    /** The contributions, if the maps that are shown are the ones that are averaged. */
    get here(): Contributions | null {
      const { found } = self;
      const layer = session.layer.get();
      return found && (found.layer === layer || found.pool === layer) ? found : null;
    },
  };
  channel.on("gap", ({ blob, status, message }) => {
    if (blob) {
      const [gap, weights, products] = ["gap", "weights", "products"].map((name) =>
        floats(blob, name),
      );
      self.found = { ...blob.meta, gap, weights, products } as Contributions;
      self.names = blob.meta.names ?? self.names;
      self.refusal = null;
    } else if (status !== "cancelled") {
      self.refusal = message;
      // The reason stands there and not below.
      error(null);
    }
    session.emit("tiles");
  });
  session.on(["view"], () => {
    if (session.view === "vector" && !asked) choose(null);
  });
  return self;

  /** Another class; null: the predicted one. */
  function choose(index: number | null): void {
    asked = true;
    channel.ask("gap", { index }, { replace: true });
  }
}

/** A part of the sum: one channel, all the others of its sign, or the bias. */
export interface Part {
  label: string;
  value: number;
  channel?: number;
}

/** The largest contributions of one sign by themselves, the others summed. */
export function partsOf(products: Float32Array, sign: 1 | -1, most = 4): Part[] {
  const value = (channel: number) => products[channel] as number;
  const order = [...products.keys()].filter((channel) => sign * value(channel) > 0);
  order.sort((a, b) => sign * (value(b) - value(a)));
  const rest = order.splice(most);
  const parts: Part[] = order.map((channel) => ({
    label: `channel ${channel}`,
    value: value(channel),
    channel,
  }));
  const sum = rest.reduce((all, channel) => all + value(channel), 0);
  return rest.length ? [...parts, { label: `${rest.length} others`, value: sum }] : parts;
}
