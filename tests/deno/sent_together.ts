/** Requests that are all there before this thread's listener sees the first of them. */
import { assertEquals } from "@std/assert";
import type { SentTogether } from "./sent_together_worker.ts";

export interface ClientsTogether extends Disposable {
  /** What each has received until the server closed its connection. */
  readonly answers: Promise<string[]>;
}

/** Blocks this thread until all are sent, each on a connection of its own. */
export function sentTogether(port: number, requests: readonly string[]): ClientsTogether {
  const worker = new Worker(new URL("sent_together_worker.ts", import.meta.url), {
    type: "module",
  });
  const answers = new Promise<string[]>((resolve) =>
    worker.onmessage = ({ data }) => resolve(data)
  );
  const areSent = new Int32Array(new SharedArrayBuffer(4));
  const sent: SentTogether = { port, requests, areSent };
  worker.postMessage(sent);
  assertEquals(Atomics.wait(areSent, 0, 0, 10_000), "ok");
  return { answers, [Symbol.dispose]: () => worker.terminate() };
}
