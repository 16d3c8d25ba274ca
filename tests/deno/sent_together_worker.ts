/**
 * Sends requests while the thread that started it is blocked, each on a connection of its own, so that they wait for the
 * listener of that thread. Posts what it has received once all connections have ended.
 */
export interface SentTogether {
  readonly port: number;
  readonly requests: readonly string[];
  /** Set to 1 when all requests are sent. */
  readonly areSent: Int32Array;
}

const worker = self as unknown as Worker;

worker.onmessage = async ({ data }: MessageEvent<SentTogether>) => {
  const { port, requests, areSent } = data;
  const encoder = new TextEncoder();
  const connections = await Promise.all(requests.map(async (request) => {
    const connection = await Deno.connect({ hostname: "127.0.0.1", port });
    await connection.write(encoder.encode(request));
    return connection;
  }));
  Atomics.store(areSent, 0, 1);
  Atomics.notify(areSent, 0);
  worker.postMessage(await Promise.all(connections.map(answerOf)));
};

/** What the server sends until it closes the connection. */
async function answerOf({ readable }: Deno.Conn): Promise<string> {
  try {
    return await new Response(readable).text();
  } catch (error) {
    return String(error);
  }
}
