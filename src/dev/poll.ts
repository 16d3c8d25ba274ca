/** Asks `isDone` until it says yes (true) or `deadlineMs` has passed (false). */
export async function pollUntil(
  isDone: () => boolean | Promise<boolean>,
  { deadlineMs, intervalMs }: { deadlineMs: number; intervalMs: number },
): Promise<boolean> {
  const endsAtMs = performance.now() + deadlineMs;
  while (!await isDone()) {
    if (performance.now() > endsAtMs) return false;
    await new Promise((resolve) => setTimeout(resolve, intervalMs));
  }
  return true;
}
