/** In which order the channels of a layer are shown: as the kernel would, from the statistics. */

export type Sort = "index" | "mean" | "max" | "variance" | "sparsity";

export interface ChannelStatistics {
  mean: Float32Array;
  minimum: Float32Array;
  maximum: Float32Array;
  variance: Float32Array;
  sparsity: Float32Array;
  nan: Int32Array;
  dead: Uint8Array;
}

/** Index ascending, everything else descending with ties by index; dead channels left out. */
export function orderChannels(stats: ChannelStatistics, sort: Sort, hideDead: boolean): Int32Array {
  const keys: Record<Sort, Float32Array | null> = {
    index: null,
    mean: stats.mean,
    max: stats.maximum,
    variance: stats.variance,
    sparsity: stats.sparsity,
  };
  const all = Int32Array.from(stats.dead.keys());
  const kept = hideDead ? all.filter((channel) => !stats.dead[channel]) : all;
  const key = keys[sort];
  if (key) kept.sort((a, b) => (key[b] as number) - (key[a] as number) || a - b);
  return kept;
}
