/**
 * The parts of one flight, and the results that belong to each:
 *
 *     BEGIN and settings | prepended statements | the caller's statements | the xid query | COMMIT | question
 *
 * A shared read may need neither BEGIN nor COMMIT: `mayOmitBegin`.
 */
import type { FlightPart, Result, Statement } from "../driver/driver.ts";
import type { LastingState } from "./lasting_state.ts";
import type { ServerSession } from "./server_session.ts";
import { mayEnd, returnsToSavepoint } from "./transaction_control.ts";

const COMMIT: Statement = { text: "commit", values: [], isStatic: true, isInternal: true };
/**
 * COMMIT behind a Flush: the server sends the rows and the transaction id before it runs COMMIT, so they arrive even if
 * the answer to COMMIT does not.
 */
const COMMIT_BEHIND_FLUSH: Statement = { ...COMMIT, flushesBefore: true };

/** COMMIT behind a Sync: it ends the transaction after an error too, so that the next flight finds none open. */
const COMMIT_BEHIND_SYNC: Statement = { ...COMMIT, syncsBefore: true };

/**
 * Is sent at the front of the transaction's next flight, so that it needs no round trip of its own, such as SAVEPOINT.
 */
export class PrependedStatement {
  readonly part: FlightPart;
  /** Whether a failed transaction becomes usable again after it. */
  readonly recovers: boolean;
  /** Whether the server has run it. */
  hasRun = false;

  constructor(part: FlightPart, { recovers = false }: { recovers?: boolean } = {}) {
    this.part = part;
    this.recovers = recovers;
  }
}

export interface FlightPlanOptions {
  readonly prepended: readonly PrependedStatement[];
  /** The caller's statements. */
  readonly own: readonly FlightPart[];
  readonly commits: boolean;
  /** Whether the transaction may write, so that its outcome matters if the answer to COMMIT is lost. */
  readonly mayWrite: boolean;
}

/** What a flight needs besides, which depends on its connection. */
export interface Surroundings {
  /** Empty once the transaction has begun on the server. */
  readonly begin: readonly Statement[];
  readonly xidQuery: Statement | undefined;
  /** Is asked behind COMMIT. Its failure is none of the transaction's. */
  readonly question?: Statement | undefined;
  /** Whether the flights of others follow on the connection. */
  readonly isShared: boolean;
  /** Without BEGIN and COMMIT: the flight's Sync ends the transaction. */
  readonly isImplicit: boolean;
}

export class FlightPlan {
  /** Whether it is on its way to the server. */
  wasSent = false;
  readonly #options: FlightPlanOptions;
  #parts: readonly FlightPart[] = [];
  #asksXid = false;
  #isImplicit = false;
  #ownAt = 0;
  #ownEnd = 0;

  constructor(options: FlightPlanOptions) {
    this.#options = options;
  }

  /** All parts, in the order in which they are sent. Empty before `surround`. */
  get parts(): readonly FlightPart[] {
    return this.#parts;
  }

  /** Whether it runs more than BEGIN and COMMIT. */
  get runsStatements(): boolean {
    const { own, prepended } = this.#options;
    return own.length + prepended.length > 0;
  }

  /** Makes the parts, for the connection that the flight is sent on next. */
  surround({ begin, xidQuery, question, isShared, isImplicit }: Surroundings): void {
    const { prepended, own, commits, mayWrite } = this.#options;
    this.#asksXid = xidQuery !== undefined;
    this.#isImplicit = isImplicit;
    this.#ownAt = begin.length + prepended.length;
    this.#ownEnd = this.#ownAt + own.length;
    const needsFlush = mayWrite && this.runsStatements;
    const commit = isShared ? COMMIT_BEHIND_SYNC : needsFlush ? COMMIT_BEHIND_FLUSH : COMMIT;
    const parts: FlightPart[] = [...begin];
    for (const { part } of prepended) parts.push(part);
    parts.push(...own);
    if (xidQuery !== undefined) parts.push(xidQuery);
    if (commits && !isImplicit) parts.push(commit);
    if (commits && question !== undefined) parts.push(question);
    this.#parts = parts;
  }

  /** Whether it holds COMMIT, or a statement of the caller's that may commit by its own text. */
  get mayCommit(): boolean {
    return this.#mayCommitAt !== -1;
  }

  /** Whether all parts before the first one that may commit have results. */
  mayHaveReachedCommit(results: readonly Result[]): boolean {
    return results.length >= this.#mayCommitAt;
  }

  /** The place of the first part that may commit, or -1. */
  get #mayCommitAt(): number {
    const { own, commits } = this.#options;
    const ownEnding = own.findIndex(mayEnd);
    if (ownEnding !== -1) return this.#ownAt + ownEnding;
    return commits ? this.#commitAt : -1;
  }

  get #commitAt(): number {
    return this.#ownEnd + (this.#asksXid ? 1 : 0);
  }

  /**
   * How a caller's statement has ended the transaction by its own text; `undefined` if none has. The server would also
   * warn of the COMMIT that follows outside a transaction, but a role can switch its warnings off.
   */
  endByStatement(results: readonly Result[]): "committed" | "rolled back" | undefined {
    const end = Math.min(results.length, this.#ownEnd);
    for (let at = this.#ownAt; at < end; at++) {
      const { command } = results[at]!;
      if (command === "COMMIT") return "committed";
      if (command === "ROLLBACK" && !returnsToSavepoint(this.parts[at]!)) return "rolled back";
    }
    return undefined;
  }

  get asksXid(): boolean {
    return this.#asksXid;
  }

  get prepended(): readonly PrependedStatement[] {
    return this.#options.prepended;
  }

  get commits(): boolean {
    return this.#options.commits;
  }

  /** The parts without the xid query, which is internal. Observers see these, and the deadline counts these. */
  get observedParts(): readonly FlightPart[] {
    return this.asksXid ? this.parts.toSpliced(this.#ownEnd, 1) : this.parts;
  }

  /** The results of the caller's statements: fewer than the statements if one failed or the answer was cut off. */
  ownResults(results: readonly Result[]): readonly Result[] {
    return results.slice(this.#ownAt, this.#ownEnd);
  }

  /** Tells the state on the connection of the caller's statements that ran. */
  markLasting(state: LastingState, results: readonly Result[]): void {
    const end = Math.min(results.length, this.#ownEnd);
    for (let at = this.#ownAt; at < end; at++) state.note(this.parts[at]!, results[at]!);
  }

  /** Tells the server's session of the caller's statements. */
  noteIn(session: ServerSession, results: readonly Result[]): void {
    for (let at = this.#ownAt; at < this.#ownEnd; at++) session.note(this.parts[at]!, results[at]);
    if (this.hasCommitted(results)) session.noteCommit();
  }

  /** Whether the COMMIT at the end of this plan has committed the transaction, or the Sync where there is no COMMIT. */
  hasCommitted(results: readonly Result[]): boolean {
    if (this.#isImplicit) return this.hasAllOwn(results);
    return isCommit(this.commitResult(results)) && this.endByStatement(results) === undefined;
  }

  /** Whether each of the caller's statements has a result. */
  hasAllOwn(results: readonly Result[]): boolean {
    return results.length >= this.#ownEnd;
  }

  xidResult(results: readonly Result[]): Result | undefined {
    return this.asksXid ? results[this.#ownEnd] : undefined;
  }

  /** See `Surroundings.isImplicit`. */
  get isImplicit(): boolean {
    return this.#isImplicit;
  }

  /** The result of the COMMIT at the end of this plan. A COMMIT in the text of a caller's statement does not count. */
  commitResult(results: readonly Result[]): Result | undefined {
    return this.commits ? results[this.#commitAt] : undefined;
  }

  /** The result of the last statement of `Surroundings.begin`. */
  beginResult(results: readonly Result[]): Result | undefined {
    return results[this.#ownAt - this.prepended.length - 1];
  }

  /** The answer to the question behind COMMIT. */
  answer(results: readonly Result[]): Result | undefined {
    return results[this.#commitAt + 1];
  }

  /** Sets `hasRun` on the prepended statements that have a result. */
  markPrepended(results: readonly Result[]): void {
    const { prepended } = this.#options;
    const count = Math.max(0, results.length - (this.#ownAt - prepended.length));
    for (const statement of prepended.slice(0, count)) statement.hasRun = true;
  }
}

/** Whether a COMMIT was answered. In a failed transaction the server answers COMMIT with ROLLBACK. */
export function isCommit(result: Result | undefined): boolean {
  return result?.command === "COMMIT";
}
