/** Clients that each send one request after the other: reads, creates and updates of their own users. */
import { jsonRequest, type SendRequest, uniqueEmail } from "../../http/requests.ts";
import { latenciesOf } from "../report.ts";
import { ErrorTally } from "../report.ts";
import type { Random } from "../random.ts";

/** A request that hangs fails after this time. */
const TIMEOUT_MS = 30_000;

/** Shares of the requests. The rest are reads. */
const SHARES = { creates: 0.2, updates: 0.2 };

export class Clients {
  /** Answers, by what was asked. */
  readonly answers = { read: 0, created: 0, updated: 0 };
  /** Answers that are none of a success, and requests without an answer. */
  readonly errors = new ErrorTally();
  failed = 0;
  readonly #request: SendRequest;
  readonly #random: Random;
  readonly #times: number[] = [];

  constructor(request: SendRequest, random: Random) {
    this.#request = request;
    this.#random = random;
  }

  /** Resolves when each client has the answer to its last request. */
  async run({ clients, seconds }: { clients: number; seconds: number }): Promise<void> {
    const endsAt = performance.now() + seconds * 1_000;
    await Promise.all(Array.from({ length: clients }, async () => {
      let id: string | undefined;
      while (performance.now() < endsAt) id = await this.#step(id) ?? id;
    }));
  }

  get latencies() {
    return latenciesOf(this.#times);
  }

  /** Returns the id of the user that it has created. */
  async #step(id: string | undefined): Promise<string | undefined> {
    const chance = this.#random();
    if (id === undefined || chance < SHARES.creates) {
      const user = { email: uniqueEmail(), name: "Ada" };
      const created = await this.#ask("created", "/users", jsonRequest("POST", user));
      return created?.id;
    }
    if (chance < SHARES.creates + SHARES.updates) {
      const name = crypto.randomUUID();
      await this.#ask("updated", `/users/${id}`, jsonRequest("PATCH", { name }));
    } else await this.#ask("read", `/users/${id}`, {});
    return undefined;
  }

  async #ask(
    kind: keyof Clients["answers"],
    path: string,
    init: RequestInit,
  ): Promise<{ id: string } | undefined> {
    const startedMs = performance.now();
    try {
      const response = await this.#request(path, {
        ...init,
        signal: AbortSignal.timeout(TIMEOUT_MS),
      });
      const text = await response.text();
      if (!response.ok) return this.#fail(`${kind}: ${response.status}`, text);
      this.answers[kind]++;
      this.#times.push(performance.now() - startedMs);
      return JSON.parse(text);
    } catch (error) {
      return this.#fail(`${kind}: ${(error as Error).name}`, (error as Error).message);
    }
  }

  #fail(kind: string, message: string): undefined {
    this.failed++;
    this.errors.add(kind, message);
  }
}
