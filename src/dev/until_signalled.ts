/** How a development task ends: the first signal starts a graceful shutdown, the second ends it at once. */
import { listenForSignals } from "../deno/signals.ts";
import type { Stack } from "./stack.ts";

/** What the second signal has to stop, while the graceful shutdown may still be waiting. */
export interface Running {
  stack?: Stack;
  child?: { kill(): void };
}

/** Runs the task and exits with the code that it resolves to. `ending` resolves at the first signal. */
export async function untilSignalled(
  develop: (ending: Promise<void>, running: Running) => Promise<number>,
): Promise<never> {
  const running: Running = {};
  try {
    const ending = Promise.withResolvers<void>();
    const onFirst = () => {
      console.log("Shutting down; press Ctrl-C again to stop at once");
      ending.resolve();
    };
    listenForSignals({ onFirst, onSecond: () => exitAtOnce(running) });
    Deno.exit(await develop(ending.promise, running));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}

function exitAtOnce({ stack, child }: Running): void {
  child?.kill();
  const stopped = stack?.postgres?.stop({ deadlineMs: 1_000, immediately: true });
  // Exit even if the server did not stop: its watchdog stops it then.
  Promise.resolve(stopped).catch(() => {}).finally(() => Deno.exit(130));
}
