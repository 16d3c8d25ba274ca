/**
 * What one flight of a transaction is made of, and which of its results is whose:
 *
 *     BEGIN and settings | prepended statements | the author's own | the xid query | COMMIT
 */
import type { FlightPart, Result, Statement } from "../driver/driver.ts";
import { XID_QUERY } from "./xid.ts";

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const NO_ACTIVE_TRANSACTION = "25P01";

const COMMIT: Statement = { text: "commit", values: [], isStatic: true, isInternal: true };
/**
 * COMMIT behind a Flush: the server sends the rows and the transaction id before it runs COMMIT, so they arrive even if
 * the answer to COMMIT does not.
 */
const COMMIT_BEHIND_FLUSH: Statement = { ...COMMIT, flushesBefore: true };

/** What is sent in front of the next flight of the transaction, such as a SAVEPOINT: it needs no round trip of its own. */
export class PrependedStatement {
  readonly part: FlightPart;
  /** Whether a failed transaction can go on behind it. */
  readonly recovers: boolean;
  hasRun = false;

  constructor(part: FlightPart, { recovers = false }: { recovers?: boolean } = {}) {
    this.part = part;
    this.recovers = recovers;
  }
}

export interface FlightPlanOptions {
  /** Of a transaction that has not begun on the server. */
  readonly begin: readonly Statement[];
  readonly prepended: readonly PrependedStatement[];
  readonly own: readonly FlightPart[];
  readonly asksXid: boolean;
  readonly commits: boolean;
  /** Whether the answer to COMMIT may be missed, as there is something to lose with it. */
  readonly mayWrite: boolean;
}

export class FlightPlan {
  /** All of it, in the order in which it is sent. */
  readonly parts: readonly FlightPart[];
  readonly #options: FlightPlanOptions;
  readonly #ownAt: number;
  readonly #ownEnd: number;

  constructor(options: FlightPlanOptions) {
    const { begin, prepended, own, asksXid, commits, mayWrite } = options;
    this.#options = options;
    this.#ownAt = begin.length + prepended.length;
    this.#ownEnd = this.#ownAt + own.length;
    const needsFlush = mayWrite && this.#ownEnd > begin.length;
    this.parts = [
      ...begin,
      ...prepended.map(({ part }) => part),
      ...own,
      ...(asksXid ? [XID_QUERY] : []),
      ...(commits ? [needsFlush ? COMMIT_BEHIND_FLUSH : COMMIT] : []),
    ];
  }

  get asksXid(): boolean {
    return this.#options.asksXid;
  }

  get prepended(): readonly PrependedStatement[] {
    return this.#options.prepended;
  }

  get commits(): boolean {
    return this.#options.commits;
  }

  /** Without the xid query, which is this layer's own bookkeeping: for observers and for the deadline. */
  get observedParts(): readonly FlightPart[] {
    return this.asksXid ? this.parts.toSpliced(this.#ownEnd, 1) : this.parts;
  }

  /** Of the author's statements; fewer than there are if one failed, or if the answer broke off. */
  ownResults(results: readonly Result[]): readonly Result[] {
    return results.slice(this.#ownAt, this.#ownEnd);
  }

  /** Whether each of the author's statements has a result. */
  hasAllOwn(results: readonly Result[]): boolean {
    return results.length >= this.#ownEnd;
  }

  xidResult(results: readonly Result[]): Result | undefined {
    return this.asksXid ? results[this.#ownEnd] : undefined;
  }

  /** Of the COMMIT that the plan itself holds. */
  commitResult(results: readonly Result[]): Result | undefined {
    const { asksXid, commits } = this.#options;
    return commits ? results[this.#ownEnd + (asksXid ? 1 : 0)] : undefined;
  }

  /** Marks the prepended statements that have a result. */
  markPrepended(results: readonly Result[]): void {
    const { begin, prepended } = this.#options;
    const count = Math.max(0, results.length - begin.length);
    for (const statement of prepended.slice(0, count)) statement.hasRun = true;
  }
}

/** Whether the result is of a COMMIT that found a transaction: without one the server answers COMMIT and a warning. */
export function isCommit(result: Result | undefined): boolean {
  return result?.command === "COMMIT" && !foundNoTransaction(result);
}

/** Whether COMMIT stood outside any transaction, as a statement of the author's had ended it. */
export function foundNoTransaction(result: Result | undefined): boolean {
  return result?.notice === NO_ACTIVE_TRANSACTION;
}
