/**
 * For a pool whose acquire cannot be cancelled: the caller stops waiting, and releases a connection that comes too late.
 * The waiter stays in the pool's queue.
 */
export function raceSignal<Held>(
  asked: Promise<Held>,
  signal: AbortSignal,
  release: (held: Held) => void,
): Promise<Held> {
  return new Promise((resolve, reject) => {
    const giveUp = () => reject(signal.reason);
    signal.addEventListener("abort", giveUp);
    asked.then((held) => {
      if (signal.aborted) return release(held);
      signal.removeEventListener("abort", giveUp);
      resolve(held);
    }, reject);
  });
}
