/** The heap of a Worker's isolate, by workerd's inspector. */

/** As miniflare names a Worker without a name. */
const ISOLATE = "core:user:";

/** In MiB, after a garbage collection. `inspector` is the URL that miniflare tells. */
export async function heapOf(inspector: string): Promise<number> {
  await using session = await Session.open(new URL(`/${ISOLATE}`, inspector));
  await session.call("HeapProfiler.enable");
  // It collects garbage first. workerd does not answer HeapProfiler.collectGarbage.
  await session.call("HeapProfiler.takeHeapSnapshot");
  const { usedSize } = await session.call("Runtime.getHeapUsage") as { usedSize: number };
  return usedSize / 1_048_576;
}

/** https://chromedevtools.github.io/devtools-protocol/v8/ */
class Session implements AsyncDisposable {
  readonly #socket: WebSocket;
  readonly #answers = new Map<number, (result: unknown) => void>();
  #calls = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => {
      // The chunks of the snapshot have no id.
      const { id, result } = JSON.parse(data) as { id?: number; result: unknown };
      if (id !== undefined) this.#answers.get(id)?.(result);
    };
  }

  static async open(url: URL): Promise<Session> {
    const socket = new WebSocket(url);
    await new Promise((resolve, reject) => {
      socket.onopen = resolve;
      socket.onerror = (event) => reject((event as ErrorEvent).error);
    });
    return new Session(socket);
  }

  call(method: string): Promise<unknown> {
    const id = ++this.#calls;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    this.#answers.set(id, resolve);
    this.#socket.send(JSON.stringify({ id, method }));
    return promise;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#socket.onclose = () => resolve();
    this.#socket.close();
    await promise;
  }
}
