/** Quantiles of the durations between two samples, estimated from the buckets of a histogram. */

/** A value of "now" covers this many samples. */
export const WINDOW = 5;

/**
 * @param {readonly number[]} counts by bucket
 * @param {readonly number[]} boundsMs upper bounds; the last bucket has none
 * @param {number} share from 0 to 1
 * @returns {number | null} in milliseconds; null if all counts are 0
 */
export function quantileMs(counts, boundsMs, share) {
  const total = counts.reduce((sum, count) => sum + count, 0);
  if (total === 0) return null;
  let rank = share * total;
  for (let index = 0; index < counts.length; index++) {
    const count = counts[index];
    if (rank <= count && count > 0) {
      const from = index === 0 ? 0 : boundsMs[index - 1];
      const to = boundsMs[index] ?? from * 2;
      return from + (to - from) * rank / count;
    }
    rank -= count;
  }
  return null;
}

/** The counts in the window that ends with sample `index`. */
export function countsBetween(samples, index, name) {
  const now = samples[index][name];
  const before = samples[Math.max(0, index - WINDOW)][name];
  return now.map((count, bucket) => Math.max(0, count - before[bucket]));
}

/** For each sample the quantile of its window. */
export function quantiles(samples, name, { boundsMs, share }) {
  return samples.map((_, index) =>
    quantileMs(countsBetween(samples, index, name), boundsMs, share)
  );
}

/** A duration in the unit that suits it. */
export function formatDuration(timeMs) {
  if (timeMs === null || timeMs === undefined) return "–";
  if (timeMs < 10) return `${timeMs.toFixed(1)} ms`;
  if (timeMs < 1_000) return `${timeMs.toFixed(0)} ms`;
  const seconds = timeMs / 1_000;
  if (seconds < 60) return `${seconds.toFixed(1)} s`;
  return seconds < 3_600
    ? `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`
    : `${(seconds / 3_600).toFixed(1)} h`;
}
