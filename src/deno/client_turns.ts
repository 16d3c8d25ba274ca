/** Shares the process among clients: one that asks for much at once waits for itself, and not the others for it. */
import { type Clock, systemClock } from "../db/mod.ts";
import { clientNetwork } from "../client_network.ts";

/**
 * Longest wait for a turn. A request then runs beside those of its client that have not finished: behind a proxy, which
 * is one client, requests to a database that hangs still reach the pool, which knows when to refuse them.
 */
export const TURN_TIMEOUT_MS = 1_000;

/**
 * Up to `max` requests of one client run at once, and up to a third of them while other clients have requests too: as
 * many of each as of three. Further ones wait, first in, first out.
 *
 * Use the pool's connections as `max`: more requests than that would only wait for one another.
 */
export class ClientTurns {
  readonly #max: number;
  readonly #clock: Clock;
  /** Clients with a running request. */
  readonly #clients = new Map<string, Client>();

  constructor({ max, clock = systemClock }: { max: number; clock?: Clock }) {
    this.#max = max;
    this.#clock = clock;
  }

  async run<T>(address: string, work: () => T | Promise<T>): Promise<T> {
    const name = clientNetwork(address);
    let client = this.#clients.get(name);
    if (client === undefined) this.#clients.set(name, client = { running: 0, waiting: new Set() });
    if (client.running < this.#share()) client.running++;
    else await this.#turn(client);
    try {
      return await work();
    } finally {
      client.running--;
      this.#wake(client);
      if (client.running === 0) this.#leave(name);
    }
  }

  #leave(name: string): void {
    this.#clients.delete(name);
    if (this.#clients.size !== 1) return;
    // Its share has tripled. Its next end would start one request only, so that it would never use the rest.
    for (const last of this.#clients.values()) this.#wake(last);
  }

  #wake(client: Client): void {
    for (const take of client.waiting) {
      if (client.running >= this.#share()) return;
      take();
    }
  }

  #share(): number {
    return this.#clients.size > 1 ? Math.ceil(this.#max / 3) : this.#max;
  }

  #turn(client: Client): Promise<void> {
    const { waiting } = client;
    const { promise, resolve } = Promise.withResolvers<void>();
    const take = () => {
      waiting.delete(take);
      cancel();
      client.running++;
      resolve();
    };
    const cancel = this.#clock.after(TURN_TIMEOUT_MS, take);
    waiting.add(take);
    return promise;
  }
}

interface Client {
  running: number;
  readonly waiting: Set<() => void>;
}
