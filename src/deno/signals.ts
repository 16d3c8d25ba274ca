/** On Ctrl-C this process gets SIGINT from the terminal and again from `deno task`. Within this time they count as one. */
const SAME_PRESS_MS = 300;

/** Calls `onFirst` at the first SIGINT or SIGTERM, and `onSecond` at every later one, with which a user ends the wait. */
export function listenForSignals(
  { onFirst, onSecond }: { onFirst: () => void; onSecond: () => void },
): void {
  let firstAtMs: number | undefined;
  const onSignal = () => {
    if (firstAtMs === undefined) {
      firstAtMs = performance.now();
      return onFirst();
    }
    if (performance.now() - firstAtMs > SAME_PRESS_MS) onSecond();
  };
  Deno.addSignalListener("SIGINT", onSignal);
  // Windows has no SIGTERM.
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", onSignal);
}
