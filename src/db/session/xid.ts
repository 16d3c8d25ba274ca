/**
 * Reads the transaction id (xid) and the server's incarnation along with the transaction's own statements. If the answer
 * to COMMIT is lost, the outcome is looked up by them.
 */
import type { Result, Statement } from "../driver/driver.ts";

/** Where the server keeps the outcome of a transaction. */
export interface TransactionId {
  /** https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT; 64 bits, in decimal. */
  readonly xid: string;
  readonly incarnation: string;
}

/**
 * An SQL expression for one life of one server. A restart changes the first of its times; a crash that the postmaster
 * survives changes the second. Both count microseconds, so that no other server has the same pair. (The system
 * identifier would add nothing to it, and reading it costs a file read for each transaction.)
 */
export const INCARNATION = `extract(epoch from pg_postmaster_start_time()) || '/' || ` +
  `extract(epoch from pg_stat_get_bgwriter_stat_reset_time())`;

export const XID_QUERY: Statement = {
  text: `select pg_current_xact_id_if_assigned()::text, ${INCARNATION}`,
  values: [],
  isStatic: true,
  isInternal: true,
};

/** What is known of the xid of one transaction. */
export class XidTracker {
  /** Whether the newest answer says that the transaction has no xid, and nothing was sent since. */
  #hasNone = false;
  #transactionId: TransactionId | undefined;

  /** `undefined` until the server has assigned an xid, which it does for writes, not for reads or NOTIFY. */
  get transactionId(): TransactionId | undefined {
    return this.#transactionId;
  }

  /** Whether a flight has to ask. A flight of COMMIT alone cannot change an answer that the one before it got. */
  mustAsk({ runsStatements }: { runsStatements: boolean }): boolean {
    return this.#transactionId === undefined && (runsStatements || !this.#hasNone);
  }

  /**
   * Reads the answer to a flight, as far as it came. A flight that is sent again asks again: what an earlier try was
   * told belongs to a transaction that is gone.
   */
  read(result: Result | undefined, { wasAsked }: { wasAsked: boolean }): void {
    const [xid, incarnation] = Object.values(result?.rows[0] ?? {});
    this.#hasNone = xid === null;
    if (!wasAsked) return;
    this.#transactionId = typeof xid === "string" && typeof incarnation === "string"
      ? { xid, incarnation }
      : undefined;
  }
}
