/** The thread of `relay_thread.ts`. */
import { startRelay } from "../../src/library/testing/relay/relay.ts";
import { startFaultRelay } from "../support/fault_relay.ts";

export interface RelayWish {
  /** Port of the PostgreSQL server. */
  readonly port: number;
  /** Delay in each direction. */
  readonly latencyMs: number;
}

const thread = globalThis as unknown as {
  onmessage(event: MessageEvent<RelayWish>): void;
  postMessage(url: string): void;
};

thread.onmessage = async ({ data: { port, latencyMs } }) => {
  const targets = [{ hostname: "127.0.0.1", port }];
  // The fault relay parses every message. That is cheap only in comparison with a latency.
  if (latencyMs === 0) return thread.postMessage((await startRelay({ targets })).url);
  const relay = await startFaultRelay({ targets });
  relay.latencyMs.toServer = relay.latencyMs.toClient = latencyMs;
  thread.postMessage(relay.url);
};
