/** Asks the server again and again how many connections the service has to it. */
import { sleep } from "../../../src/db/time/timeout.ts";
import type { WorkerHost } from "../../support/worker_host.ts";

const INTERVAL_MS = 50;

export class BackendWatch implements AsyncDisposable {
  /** The most of one answer. */
  most = 0;
  readonly #host: WorkerHost;
  readonly #stop = new AbortController();
  readonly #done: Promise<void>;

  constructor(host: WorkerHost) {
    this.#host = host;
    this.#done = this.#watch();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#stop.abort();
    await this.#done;
  }

  async #watch(): Promise<void> {
    do {
      this.most = Math.max(this.most, (await this.#host.backends()).length);
    } while (await sleep(INTERVAL_MS, this.#stop));
  }
}
