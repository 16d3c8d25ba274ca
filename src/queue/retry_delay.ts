/** https://developers.cloudflare.com/queues/platform/limits/ allows at most 24 hours. */
const MAX_DELAY_MS = 15 * 60_000;
const FIRST_DELAY_MS = 1_000;

/**
 * Delay in milliseconds before the next attempt. The bound doubles with each attempt. Half of it is fixed and half is
 * random, so that messages that failed together do not come back together.
 */
export function retryDelayMs(
  attempts: number,
  { random = Math.random }: { random?: (() => number) | undefined } = {},
): number {
  const bound = Math.min(MAX_DELAY_MS, FIRST_DELAY_MS * 2 ** (attempts - 1));
  return bound * (1 + random()) / 2;
}
