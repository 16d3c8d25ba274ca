/** In milliseconds. */
export interface Latencies {
  readonly count: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
}

export function latenciesOf(values: readonly number[]): Latencies {
  const sorted = values.toSorted((one, other) => one - other);
  // The nearest rank, https://en.wikipedia.org/wiki/Percentile
  const rank = (share: number) => sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
  return { count: sorted.length, p50: rank(0.5), p99: rank(0.99), max: sorted.at(-1) ?? 0 };
}
