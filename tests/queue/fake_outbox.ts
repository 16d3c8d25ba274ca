/** An outbox without a database: the test says what each exchange of a queue returns, and sees what it asked for. */
import type { Database, Sql } from "../../src/db/mod.ts";
import type { OutboxRow } from "../../src/queue/outbox.ts";

export interface Exchange {
  /** The user above whom events were wanted. */
  readonly after: string | undefined;
  /** Whether it deleted old message keys, too. */
  readonly prunes: boolean;
  readonly statements: number;
}

export interface FakeOutboxOptions {
  /** The users whose events each exchange returns, in this order; none afterwards. */
  readonly users?: readonly (readonly string[])[];
  /** How many keys each exchange that prunes deletes; none afterwards. */
  readonly pruned?: readonly number[];
}

export class FakeOutbox {
  readonly exchanges: Exchange[] = [];
  readonly #users: (readonly string[])[];
  readonly #pruned: number[];
  #events = 0;

  constructor({ users = [], pruned = [] }: FakeOutboxOptions = {}) {
    this.#users = [...users];
    this.#pruned = [...pruned];
  }

  get db(): Pick<Database, "transaction"> {
    const commit = (statements: readonly Sql[]) => Promise.resolve(this.#exchange(statements));
    const transaction = async (work: (session: { commit: typeof commit }) => Promise<unknown>) =>
      await work({ commit });
    return { transaction: transaction as unknown as Database["transaction"] };
  }

  #exchange(statements: readonly Sql[]): unknown[][] {
    const prune = statements.findIndex(({ text }) => text.includes("transaction_keys"));
    const isUser = (value: unknown) => typeof value === "string" && /^[\da-f-]{36}$/.test(value);
    this.exchanges.push({
      after: statements.at(-1)?.values.find(isUser) as string | undefined,
      prunes: prune !== -1,
      statements: statements.length,
    });
    return statements.map((_, index) => {
      if (index === prune) return Array(this.#pruned.shift() ?? 0).fill({});
      return index === statements.length - 1 ? (this.#users.shift() ?? []).map(this.#row) : [];
    });
  }

  readonly #row = (userId: string): OutboxRow => ({
    tenant: "default",
    id: String(++this.#events),
    userId,
    version: 1,
    type: "user.created",
    data: {},
    occurredAt: new Date(0),
    attempts: 1,
    traceparent: null,
    lease: "2026-01-01 00:00:00+00",
  });
}
