/** Calls `isDone` every `intervalMs` until it returns true, then returns true; returns false after `deadlineMs`. */
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
