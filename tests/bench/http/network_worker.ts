/** The thread of `network.ts`. */
import { connect, createServer, type Socket } from "node:net";
import { startRelay } from "../../../src/library/testing/relay/relay.ts";

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
  const tcpPort = latencyMs === 0 ? port : await delayed(port, latencyMs);
  const relay = await startRelay({ targets: [{ hostname: "127.0.0.1", port: tcpPort }] });
  thread.postMessage({ tcpPort, relay: relay.url });
};

/** Passes all bytes on after the delay, in both directions, as a longer cable would. */
function delayed(port: number, latencyMs: number): Promise<number> {
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: "127.0.0.1", port, noDelay: true });
    passOn(near, far, latencyMs);
    passOn(far, near, latencyMs);
  });
  return new Promise((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
}

function passOn(from: Socket, to: Socket, latencyMs: number): void {
  from.on("data", (bytes) => setTimeout(() => to.write(bytes), latencyMs));
  from.on("end", () => setTimeout(() => to.end(), latencyMs));
  from.on("error", () => to.destroy());
  from.on("close", () => setTimeout(() => to.destroy(), 2 * latencyMs));
}
