/**
 * Opens connections while the thread that started it is blocked, so that they wait for the listener of that thread. Each
 * sends a request. Posts what they have received once all have ended.
 */
export interface WaitingClients {
  readonly port: number;
  readonly count: number;
  /** Set to 1 when all requests are sent. */
  readonly areSent: Int32Array;
}

const worker = self as unknown as Worker;

worker.onmessage = async ({ data }: MessageEvent<WaitingClients>) => {
  const { port, count, areSent } = data;
  const open = () => Deno.connect({ hostname: "127.0.0.1", port });
  const connections = await Promise.all(Array.from({ length: count }, open));
  const request = new TextEncoder().encode("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
  await Promise.all(connections.map((connection) => connection.write(request)));
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
