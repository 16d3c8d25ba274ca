/**
 * What a transaction learns of itself while it can, so that its COMMIT can be settled should the answer be lost: the
 * id under which the server keeps its outcome, and which life of which server that was.
 */
import type { FlightPart, Result, Statement } from "../driver/driver.ts";

/** Where the server keeps the outcome of a transaction. */
export interface TransactionId {
  /** https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT; 64 bits, in decimal. */
  readonly xid: string;
  readonly incarnation: string;
}

/**
 * An SQL expression for the server's life. A restart changes the first of its times; a crash that the postmaster
 * outlives, the second. Both count microseconds, so that no other server shares them. (The system identifier would
 * say that once more, at the price of reading a file for each transaction.)
 */
export const INCARNATION = `extract(epoch from pg_postmaster_start_time()) || '/' || ` +
  `extract(epoch from pg_stat_get_bgwriter_stat_reset_time())`;

const XID_QUERY: Statement = {
  text: `select pg_current_xact_id_if_assigned()::text, ${INCARNATION}`,
  values: [],
  isStatic: true,
  isInternal: true,
};

export class XidTracker {
  /** Whether the newest answer says that nothing of the transaction has an id, and nothing was sent since. */
  #hasNone = false;
  #identity: TransactionId | undefined;

  /** What a lost COMMIT can be settled by; a server gives an id to what writes, not to what reads or notifies. */
  get identity(): TransactionId | undefined {
    return this.#identity;
  }

  /** The parts with the question behind them, as long as its answer is not known. */
  behind(parts: readonly FlightPart[]): readonly FlightPart[] {
    const isNeeded = this.#identity === undefined && !(this.#hasNone && parts.length === 0);
    return isNeeded ? [...parts, XID_QUERY] : parts;
  }

  /** Reads the answer, where one came: a flight that is sent again asks again, and what was said before is void. */
  hear(flight: readonly FlightPart[], results: readonly Result[]): void {
    const index = flight.indexOf(XID_QUERY);
    const [xid, incarnation] = Object.values(results[index]?.rows[0] ?? {});
    this.#hasNone = xid === null;
    if (index === -1) return;
    this.#identity = typeof xid === "string" && typeof incarnation === "string"
      ? { xid, incarnation }
      : undefined;
  }

  /** What there is one of for each part of the flight, without the witness's. */
  without<T>(flight: readonly FlightPart[], each: readonly T[]): readonly T[] {
    const index = flight.indexOf(XID_QUERY);
    return index === -1 ? each : each.filter((_, at) => at !== index);
  }
}
