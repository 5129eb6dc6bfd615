// Numbers and shapes as text, the same in every widget.

/** Three significant digits: 0.831, 2.41, 12.3, 1240, 1.24e-5, NaN, ∞. */
export function three(x: number | null | undefined): string {
  if (x === null || x === undefined || Number.isNaN(x)) return "NaN";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "-∞";
  if (x === 0) return "0";
  const size = Math.abs(x);
  const rounded = Number(size.toPrecision(3));
  if (rounded < 1e-3 || rounded >= 1e5) {
    return x.toExponential(2).replace("e+", "e");
  }
  if (rounded >= 1000) return x.toFixed(0);
  // toPrecision keeps the zeros (0.800), so columns of figures do not jump; whole numbers stay bare.
  return Number.isInteger(x) ? String(x) : x.toPrecision(3);
}

/** A shape, always as "64 x 56 x 56". */
export function shape(sides: readonly number[]): string {
  return sides.join(" x ");
}

/** A share between 0 and 1 as "2.1 %". */
export function percent(share: number | null | undefined): string {
  if (share === null || share === undefined || !Number.isFinite(share)) return "n/a";
  const value = share * 100;
  if (value !== 0 && Math.abs(value) < 0.1) return value > 0 ? "< 0.1 %" : "> -0.1 %";
  return `${Math.abs(value) >= 99.95 || value === 0 ? value.toFixed(0) : value.toFixed(1)} %`;
}

/** A size in bytes as "4.2 MB". */
export function bytes(n: number): string {
  const units = ["B", "kB", "MB", "GB", "TB"];
  let value = n;
  let unit = 0;
  while (value >= 999.5 && unit < units.length - 1) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? value : three(value)} ${units[unit]}`;
}

/** "1 channel", "3 channels". */
export function plural(n: number, one: string, many = `${one}s`): string {
  return `${n} ${n === 1 ? one : many}`;
}

/** A duration in milliseconds as "25 ms", "1.2 s", "3 min". */
export function duration(ms: number): string {
  if (!Number.isFinite(ms)) return "n/a";
  if (ms < 999.5) return `${Math.round(ms)} ms`;
  if (ms < 99950) return `${(ms / 1000).toFixed(1)} s`;
  return `${Math.round(ms / 60000)} min`;
}
