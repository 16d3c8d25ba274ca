/** HTTP clients in a thread of their own, so that their work is not measured as the service's. */

export interface HttpLoad {
  readonly url: string;
  readonly requests: number;
  /** Concurrent requests. */
  readonly atOnce: number;
  /** Whether each request creates a user, by POST. */
  readonly creates?: boolean;
}

export interface HttpClients extends Disposable {
  /** Resolves when every request is answered. Rejects if an answer is not a success. */
  ask(load: HttpLoad): Promise<void>;
}

export function httpClients(): HttpClients {
  const worker = new Worker(new URL("./http_load_worker.ts", import.meta.url), { type: "module" });
  return {
    async ask(load) {
      const failure = await new Promise<string>((resolve, reject) => {
        worker.onmessage = ({ data }) => resolve(data);
        worker.onerror = ({ message }) => reject(new Error(`Cannot ask the service: ${message}`));
        worker.postMessage(load);
      });
      if (failure !== "") throw new Error(`Cannot count the requests as ${failure}`);
    },
    [Symbol.dispose]: () => worker.terminate(),
  };
}
