import type { Sql } from "../db/mod.ts";
import { delayEvents, dropEvents, giveEventsBack, messageOf, type OutboxRow } from "./outbox.ts";
import type { Delivery } from "./transport.ts";

/** What one lane has taken, and how each of it ended. */
export class Hand {
  readonly deliveries: readonly Delivery[];
  readonly #ids: readonly string[];
  readonly #done = new Set<string>();
  readonly #delays = new Map<string, number>();

  constructor(rows: readonly OutboxRow[]) {
    this.#ids = rows.map(({ id }) => id);
    this.deliveries = rows.map((row) => ({
      id: row.id,
      body: messageOf(row),
      attempts: row.attempts,
      traceparent: row.traceparent ?? undefined,
      ack: () => void this.#done.add(row.id),
      retry: ({ delayMs }) => void this.#delays.set(row.id, delayMs),
    }));
  }

  /** Tells the outbox how it ended; what nobody has looked at goes back. Harmless if told twice. */
  settlement(): Sql[] {
    const delays = [...this.#delays].map(([id, delayMs]) => ({ id, delayMs }));
    const untouched = this.#ids.filter((id) => !this.#done.has(id) && !this.#delays.has(id));
    return [
      ...(this.#done.size > 0 ? [dropEvents([...this.#done])] : []),
      ...(delays.length > 0 ? [delayEvents(delays)] : []),
      ...(untouched.length > 0 ? [giveEventsBack(untouched)] : []),
    ];
  }
}
