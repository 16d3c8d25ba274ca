/**
 * A TCP address behind which the server changes, as at a blue/green switch, a fail-over, or a pooler that is re-pointed.
 */

export interface MovingAddress extends AsyncDisposable {
  readonly port: number;
  /** Leads new connections to the server on this port of 127.0.0.1. Those that are open stay where they are. */
  moveTo(server: { readonly port: number }): void;
}

/** Listens on 127.0.0.1. Disposal cuts every connection. */
export function startMovingAddress(first: { readonly port: number }): MovingAddress {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const open = new Set<Deno.TcpConn>();
  let { port: target } = first;

  async function carry(client: Deno.TcpConn): Promise<void> {
    open.add(client);
    try {
      const server = await Deno.connect({ hostname: "127.0.0.1", port: target });
      open.add(server);
      const ends = [
        client.readable.pipeTo(server.writable),
        server.readable.pipeTo(client.writable),
      ];
      await Promise.all(ends).catch(() => Promise.allSettled(ends));
      open.delete(server);
    } catch {
      // The server refuses connections, so the client gets none either.
      closeQuietly(client);
    } finally {
      open.delete(client);
    }
  }

  const running = new Set<Promise<void>>();
  const listening = (async () => {
    for await (const client of listener) {
      const done = carry(client).finally(() => running.delete(done));
      running.add(done);
    }
  })();

  return {
    port: listener.addr.port,
    moveTo: ({ port }) => void (target = port),
    async [Symbol.asyncDispose]() {
      listener.close();
      for (const connection of open) closeQuietly(connection);
      await listening;
      await Promise.all(running);
    },
  };
}

function closeQuietly(connection: Deno.TcpConn): void {
  try {
    connection.close();
  } catch {
    // Closed already.
  }
}
