/** `deno task` passes on a Ctrl-C that we have had from the terminal already. */
const samePressMs = 300;

/**
 * Calls `onFirst` at SIGINT or SIGTERM, and `onSecond` at every later one, for people who do not
 * want to wait.
 */
export function listenForSignals(
  { onFirst, onSecond }: { onFirst: () => void; onSecond: () => void },
): void {
  let firstAtMs: number | undefined;
  const onSignal = () => {
    if (firstAtMs === undefined) {
      firstAtMs = performance.now();
      return onFirst();
    }
    if (performance.now() - firstAtMs > samePressMs) onSecond();
  };
  Deno.addSignalListener("SIGINT", onSignal);
  // Windows has no SIGTERM.
  if (Deno.build.os !== "windows") Deno.addSignalListener("SIGTERM", onSignal);
}
