/** Clients in a thread of their own, so that their work is not counted as the service's. */

export interface HttpLoad {
  readonly url: string;
  readonly requests: number;
  /** Requests under way at any time. */
  readonly atOnce: number;
}

export interface HttpClients extends Disposable {
  /** Resolves when all is answered. Rejects if an answer was none of success. */
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
