/**
 * Reads the transaction id (xid) and the server's incarnation along with the transaction's own statements. If the
 * answer to COMMIT is lost, the outcome is looked up by them.
 */
import type { Result, Statement } from "../driver/driver.ts";
import { SYSTEM_IDENTIFIER } from "../driver/system_identifier.ts";
import type { KnownClusters } from "./known_clusters.ts";
import type { ServerSession } from "./server_session.ts";

/** Identifies a transaction, so that the server can be asked for its outcome. */
export interface TransactionId {
  /** An xid8: 64 bits, in decimal. https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT */
  readonly xid: string;
  /** The value of `INCARNATION` when the xid was read. */
  readonly incarnation: string;
  /** The system identifier of the cluster that assigned the xid, if the server has told it. */
  readonly systemIdentifier?: string | undefined;
}

/**
 * An SQL expression that identifies one life of one server, from the start to the next restart or crash. A restart
 * changes its first time; a crash that the postmaster survives changes the second. Both have microseconds, so that no
 * other server has the same pair.
 */
export const INCARNATION = `extract(epoch from pg_postmaster_start_time()) || '/' || ` +
  `extract(epoch from pg_stat_get_bgwriter_stat_reset_time())`;

const XID = "select pg_current_xact_id_if_assigned()::text";

/** For a connection whose server's incarnation is known. */
const XID_ALONE_QUERY: Statement = { text: XID, values: [], isStatic: true, isInternal: true };

export const XID_QUERY: Statement = { ...XID_ALONE_QUERY, text: `${XID}, ${INCARNATION}` };

/** The xid query of a flight that also has to learn the server's cluster. */
export const XID_AND_CLUSTER_QUERY: Statement = {
  ...XID_QUERY,
  text: `${XID_QUERY.text}, ${SYSTEM_IDENTIFIER}`,
};

/** Keeps the xid of one transaction as the answers to its flights show it. */
export class XidTracker {
  readonly #clusters: KnownClusters;
  /** Whether the newest answer says that the transaction has no xid, and no flight was sent since. */
  #hasNoXid = false;
  #transactionId: TransactionId | undefined;

  constructor(clusters: KnownClusters) {
    this.#clusters = clusters;
  }

  /** `undefined` until the server has assigned an xid. It does so for writes, not for reads or NOTIFY. */
  get transactionId(): TransactionId | undefined {
    return this.#transactionId;
  }

  /**
   * The query that a flight needs, if any. COMMIT alone does not assign an xid, so that an earlier "no xid" still
   * holds. A transaction whose xid came from a server of an unknown cluster asks once more.
   */
  queryFor(
    { runsStatements }: { readonly runsStatements: boolean },
    { incarnation }: { readonly incarnation: string | undefined },
  ): Statement | undefined {
    if (this.#transactionId !== undefined) {
      return this.#clusters.has(this.#transactionId.incarnation)
        ? undefined
        : XID_AND_CLUSTER_QUERY;
    }
    if (!runsStatements && this.#hasNoXid) return undefined;
    if (incarnation !== undefined && this.#clusters.has(incarnation)) return XID_ALONE_QUERY;
    return this.#clusters.mustAsk ? XID_AND_CLUSTER_QUERY : XID_QUERY;
  }

  /** Reads the result of the xid query; `undefined` if the flight had none, or its answer was cut off before it. */
  read(result: Result | undefined, session: ServerSession): void {
    const [xid, told, systemIdentifier] = Object.values(result?.rows[0] ?? {});
    this.#hasNoXid = xid === null;
    if (typeof told === "string") {
      this.#clusters.hear(told, systemIdentifier as string | null | undefined);
      session.noteIncarnation(told);
    }
    const incarnation = typeof told === "string" ? told : session.incarnation;
    if (incarnation === undefined) return;
    if (typeof xid === "string") this.#transactionId ??= { xid, incarnation };
  }

  /** The first flight is sent again: what was read belongs to a transaction that no longer exists. */
  forget(): void {
    this.#hasNoXid = false;
    this.#transactionId = undefined;
  }
}
