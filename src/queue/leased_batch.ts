import type { Sql } from "../db/mod.ts";
import { dropEvents, messageOf, type OutboxRow, returnEvents } from "./outbox.ts";
import type { Delivery } from "./transport.ts";

/** The events that one worker has leased, and the outcome of each. */
export class LeasedBatch {
  readonly deliveries: readonly Delivery[];
  readonly #rows: readonly OutboxRow[];
  readonly #acked = new Set<string>();
  readonly #retries = new Map<string, Parameters<Delivery["retry"]>[0]>();
  #isExpired = false;

  constructor(rows: readonly OutboxRow[]) {
    this.#rows = rows;
    this.deliveries = rows.map((row) => ({
      id: row.id,
      body: messageOf(row),
      attempts: row.attempts,
      traceparent: row.traceparent ?? undefined,
      ack: () => void this.#acked.add(row.id),
      retry: (options) => void this.#retries.set(row.id, options),
    }));
  }

  /** The lease expired. Events without an ack become due again by themselves and keep their attempt count. */
  expire(): void {
    this.#isExpired = true;
  }

  /**
   * Statements that write the outcomes to the outbox. An event with neither `ack` nor `retry` becomes due now, as one
   * that was not tried. Running the statements twice is harmless.
   */
  outcomeStatements(): Sql[] {
    const acked = this.#rows.filter(({ id }) => this.#acked.has(id));
    const unacked = this.#rows.filter(({ id }) => !this.#acked.has(id));
    const returned = this.#isExpired ? [] : unacked.map((row) => {
      const retry = this.#retries.get(row.id) ?? { delayMs: 0, wasTried: false };
      const { delayMs, wasTried = true } = retry;
      return { ...row, attempts: row.attempts - (wasTried ? 0 : 1), delayMs };
    });
    return [
      ...(acked.length > 0 ? [dropEvents(acked)] : []),
      ...(returned.length > 0 ? [returnEvents(returned)] : []),
    ];
  }
}
