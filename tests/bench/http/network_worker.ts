/** The thread of `network.ts`. */
import { startRelay } from "../../../src/library/testing/relay/relay.ts";
import { distance } from "../distance.ts";

export interface NetworkWish {
  /** Port of the PostgreSQL server. */
  readonly port: number;
  /** Delay in each direction. */
  readonly latencyMs: number;
}

export interface NetworkAddresses {
  /** Where TCP connections go: the server itself, unless there is a delay. */
  readonly tcpPort: number;
  /** A value for `DATABASE_WS_PROXY`. It leads to `tcpPort` alone. */
  readonly relay: string;
}

const thread = globalThis as unknown as {
  onmessage(event: MessageEvent<NetworkWish>): void;
  postMessage(addresses: NetworkAddresses): void;
};

thread.onmessage = async ({ data: { port, latencyMs } }) => {
  const { port: tcpPort } = await distance({ port, latencyMs });
  const relay = await startRelay({ targets: [{ hostname: "127.0.0.1", port: tcpPort }] });
  thread.postMessage({ tcpPort, relay: relay.url });
};
