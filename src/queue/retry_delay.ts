/** https://developers.cloudflare.com/queues/platform/limits/: at most 24 hours. */
const LONGEST_DELAY_MS = 15 * 60_000;
const FIRST_DELAY_MS = 1_000;

/** Twice as long after each attempt, at least half of it for certain, so that those who failed together spread. */
export function retryDelayMs(
  attempts: number,
  { random = Math.random }: { random?: (() => number) | undefined } = {},
): number {
  const bound = Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempts - 1));
  return bound * (1 + random()) / 2;
}
