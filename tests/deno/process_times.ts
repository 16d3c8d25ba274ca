import type { ProcessTimes } from "../../src/deno/loop_limit.ts";
import type { Clock } from "../../src/db/mod.ts";

/** Of a process in which no turn of the event loop is long. It uses a whole processor, or none if it is idle. */
export function processTimes(
  clock: Clock,
  { isBusy = () => false }: { isBusy?: () => boolean } = {},
): ProcessTimes {
  return {
    now: () => clock.now(),
    after: (timeMs, callback) => clock.after(timeMs, callback),
    cpuMs: () => isBusy() ? clock.now() : 0,
    atTurnEnd: () => {},
  };
}
