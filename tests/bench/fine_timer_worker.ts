/** The thread of `fine_timer.ts`, which sleeps as exactly as the system does. */
import { Sleep } from "./fine_timer.ts";

const thread = globalThis as unknown as {
  onmessage(event: MessageEvent<SharedArrayBuffer>): void;
  postMessage(message: null): void;
};

thread.onmessage = ({ data: memory }) => {
  const { counts, forMs } = new Sleep(memory);
  thread.postMessage(null);
  for (;;) {
    // In this order: what is asked for in between ends the wait.
    const asked = Atomics.load(counts, Sleep.ASKED);
    const sleepMs = asked === 0 ? Infinity : forMs[0]!;
    if (Atomics.wait(counts, Sleep.ASKED, asked, sleepMs) !== "timed-out") continue;
    Atomics.add(counts, Sleep.WOKEN, 1);
    Atomics.notify(counts, Sleep.WOKEN);
    Atomics.wait(counts, Sleep.ASKED, asked);
  }
};
