/**
 * Reads the transaction id (xid) and the server's incarnation along with the transaction's own statements. If the
 * answer to COMMIT is lost, the outcome is looked up by them.
 */
import type { Result, Statement } from "../driver/driver.ts";

/** Identifies a transaction, so that the server can be asked for its outcome. */
export interface TransactionId {
  /** An xid8: 64 bits, in decimal. https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT */
  readonly xid: string;
  /** The value of `INCARNATION` when the xid was read. */
  readonly incarnation: string;
}

/**
 * An SQL expression that identifies one life of one server, from the start to the next restart or crash. A restart
 * changes its first time; a crash that the postmaster survives changes the second. Both have microseconds, so that no
 * other server has the same pair. (The system identifier would add nothing, and PostgreSQL reads a file for it in each
 * transaction.)
 */
export const INCARNATION = `extract(epoch from pg_postmaster_start_time()) || '/' || ` +
  `extract(epoch from pg_stat_get_bgwriter_stat_reset_time())`;

export const XID_QUERY: Statement = {
  text: `select pg_current_xact_id_if_assigned()::text, ${INCARNATION}`,
  values: [],
  isStatic: true,
  isInternal: true,
};

/** Keeps the xid of one transaction as the answers to its flights show it. */
export class XidTracker {
  /** Whether the newest answer says that the transaction has no xid, and no flight was sent since. */
  #hasNoXid = false;
  #transactionId: TransactionId | undefined;

  /** `undefined` until the server has assigned an xid. It does so for writes, not for reads or NOTIFY. */
  get transactionId(): TransactionId | undefined {
    return this.#transactionId;
  }

  /**
   * Whether a flight needs the xid query. COMMIT alone does not assign an xid, so that an earlier "no xid" still holds.
   */
  mustAsk({ runsStatements }: { runsStatements: boolean }): boolean {
    return this.#transactionId === undefined && (runsStatements || !this.#hasNoXid);
  }

  /**
   * Reads the result of the xid query from a flight's answer, which may be cut off. If the flight is sent again, its
   * second answer replaces the first one, which belongs to a transaction that no longer exists.
   */
  read(result: Result | undefined, { wasAsked }: { wasAsked: boolean }): void {
    const [xid, incarnation] = Object.values(result?.rows[0] ?? {});
    this.#hasNoXid = xid === null;
    if (!wasAsked) return;
    this.#transactionId = typeof xid === "string" && typeof incarnation === "string"
      ? { xid, incarnation }
      : undefined;
  }
}
