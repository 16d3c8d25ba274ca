/** How a development task ends: in order at the first signal, at once at the second. */
import { listenForSignals } from "../deno/signals.ts";
import type { Stack } from "./stack.ts";

/** What a second signal needs to reach, whatever the first one is waiting for. */
export interface Running {
  stack?: Stack;
  child?: { kill(): void };
}

/** Runs the task, and ends the process with the exit code that it gives. `ending` resolves at the first signal. */
export async function untilSignalled(
  develop: (ending: Promise<void>, running: Running) => Promise<number>,
): Promise<never> {
  const running: Running = {};
  try {
    const ending = Promise.withResolvers<void>();
    const onFirst = () => {
      console.log("Ending; a second Ctrl-C ends it at once");
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
  // Without a server, or when it won't stop: the guardian looks after that.
  Promise.resolve(stopped).catch(() => {}).finally(() => Deno.exit(130));
}
