import type { Sql } from "../db/mod.ts";
import { dropEvents, messageOf, type OutboxRow, returnEvents } from "./outbox.ts";
import type { Delivery } from "./transport.ts";

/** What one lane has taken, and how each of it ended. */
export class Hand {
  readonly deliveries: readonly Delivery[];
  readonly #rows: readonly OutboxRow[];
  readonly #done = new Set<string>();
  readonly #delays = new Map<string, number>();
  #isOver = false;

  constructor(rows: readonly OutboxRow[]) {
    this.#rows = rows;
    this.deliveries = rows.map((row) => ({
      id: row.id,
      body: messageOf(row),
      attempts: row.attempts,
      traceparent: row.traceparent ?? undefined,
      ack: () => void this.#done.add(row.id),
      retry: ({ delayMs }) => void this.#delays.set(row.id, delayMs),
    }));
  }

  /** Its time is over: what is not done comes again by itself, and counts as tried, whoever was too slow. */
  expire(): void {
    this.#isOver = true;
  }

  /** Tells the outbox how it ended; what nobody has looked at goes back. Harmless if told twice. */
  settlement(): Sql[] {
    const left = this.#rows.filter(({ id }) => !this.#done.has(id));
    const returned = this.#isOver ? [] : left.map((row) => {
      const delayMs = this.#delays.get(row.id);
      return delayMs === undefined
        ? { ...row, attempts: row.attempts - 1, delayMs: 0 }
        : { ...row, delayMs };
    });
    return [
      ...(this.#done.size > 0 ? [dropEvents([...this.#done])] : []),
      ...(returned.length > 0 ? [returnEvents(returned)] : []),
    ];
  }
}
