/** The way to a database: a delay in each direction, as a longer cable has, and the round trips of handshakes. */
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { FineTimer } from "./fine_timer.ts";

export interface DistanceOptions {
  readonly port: number;
  /** In each direction. */
  readonly latencyMs: number;
  /** Before the first byte: 1 for TCP, and 1 for TLS 1.3 (https://www.rfc-editor.org/rfc/rfc8446#section-2). */
  readonly handshakes?: number;
}

export interface Distance extends AsyncDisposable {
  /** Where the way begins: the database's own port, at no distance. */
  readonly port: number;
}

export async function distance(
  { port, latencyMs, handshakes = 0 }: DistanceOptions,
): Promise<Distance> {
  if (latencyMs === 0) return { port, [Symbol.asyncDispose]: () => Promise.resolve() };
  const timer = await FineTimer.start();
  const sockets = new Set<Socket>();
  const server = createServer({ noDelay: true }, (near) => {
    const far = connect({ host: "127.0.0.1", port, noDelay: true });
    for (const socket of [near, far]) sockets.add(socket);
    passOn(near, far, { timer, latencyMs, firstMs: handshakes * 2 * latencyMs });
    passOn(far, near, { timer, latencyMs, firstMs: 0 });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      for (const socket of sockets) socket.destroy();
      await closed;
      timer[Symbol.dispose]();
    },
  };
}

function passOn(
  from: Socket,
  to: Socket,
  { timer, latencyMs, firstMs }: { timer: FineTimer; latencyMs: number; firstMs: number },
): void {
  // What comes first waits for the handshakes, and what follows it stays behind it.
  const opensAt = performance.now() + firstMs;
  const after = (work: () => void, delayMs = latencyMs) =>
    timer.after(delayMs + Math.max(0, opensAt - performance.now()), work);
  from.on("data", (bytes) => after(() => to.write(bytes)));
  from.on("end", () => after(() => to.end()));
  from.on("error", () => to.destroy());
  // Later than the end, so that what was sent before it is written.
  from.on("close", () => after(() => to.destroy(), 2 * latencyMs));
}
