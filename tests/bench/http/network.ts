/** The way from the contenders to PostgreSQL, in a thread of this process: a relay for WebSockets, and a delay. */
import type { NetworkAddresses, NetworkWish } from "./network_worker.ts";

export type { NetworkAddresses };

export type Network = NetworkAddresses & Disposable;

export async function network(wish: NetworkWish): Promise<Network> {
  const worker = new Worker(new URL("./network_worker.ts", import.meta.url), { type: "module" });
  const addresses = await new Promise<NetworkAddresses>((resolve, reject) => {
    worker.onmessage = ({ data }) => resolve(data);
    worker.onerror = (event) => reject(new Error(`Cannot start the relay: ${event.message}`));
    worker.postMessage(wish);
  });
  return { ...addresses, [Symbol.dispose]: () => worker.terminate() };
}
