/** A relay in a thread of its own, so that its work is not measured as that of its clients. */
import type { RelayWish } from "./relay_worker.ts";

export interface RelayThread extends Disposable {
  /** A value for `DATABASE_WS_PROXY`. */
  readonly url: string;
}

export async function relayThread(wish: RelayWish): Promise<RelayThread> {
  const worker = new Worker(new URL("./relay_worker.ts", import.meta.url), { type: "module" });
  const url = await new Promise<string>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(`Cannot start the relay: ${event.message}`));
    worker.postMessage(wish);
  });
  return { url, [Symbol.dispose]: () => worker.terminate() };
}
