/**
 * A transaction as the server goes through it, flight by flight, on one leased connection:
 *
 *     new -> open -> committed | rolled back | lost
 *
 * Its first flight leases the connection and takes BEGIN and the timeouts with it. What can wait for company, such
 * as a SAVEPOINT, rides in front of the next flight. Callers take turns: one flight at a time. A COMMIT whose answer
 * is lost is settled (`settlement.ts`), so that "lost" with an unknown outcome is the rare end.
 */
import { beginStatements, type TransactionSettings } from "./begin.ts";
import { changesData } from "../driver/command_tag.ts";
import type { FlightAnswer, FlightPart, Portal, Result } from "../driver/driver.ts";
import {
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  CommitRowsLostError,
  DeadlineError,
  SessionEndedError,
  StatementSkippedError,
} from "../errors.ts";
import { classify, isReplayable } from "../failures.ts";
import {
  LeasedConnection,
  type LeasedConnectionOptions,
  type LeasedConnectionSource,
} from "./leased_connection.ts";
import type { PrependedStatement } from "./rider.ts";
import type { Verdict } from "./commit_outcome.ts";
import type { UnitCounters } from "./unit_stats.ts";
import type { TransactionId } from "./xid.ts";

export type TransactionState = "new" | "open" | "committed" | "rolled back" | "lost";

/** What a transaction needs of its surroundings. */
export interface TransactionSource extends LeasedConnectionSource {
  /** Throws `ScopeError` for code that must not touch the transaction's connection. */
  assertCurrent(): void;
  /** Finds out what became of a COMMIT that was not answered. Never rejects. */
  resolveCommit(
    identity: TransactionId | undefined,
    options: { signal: AbortSignal | undefined },
  ): Promise<Verdict>;
  readonly counters: UnitCounters;
  /** Whether its unit can find out by its key what became of it, and counts that itself. */
  readonly isKeyed: boolean;
}

/** After this long in the pool a socket may have been cut without a word, so that a write goes ahead of its COMMIT. */
const TRUSTED_IDLE_MS = 1_000;

/** https://www.postgresql.org/docs/current/errcodes-appendix.html */
const NO_ACTIVE_TRANSACTION = "25P01";

export class Transaction {
  readonly settings: TransactionSettings;
  /** Whether a statement changed something that is not rolled back, by its command tag. */
  hasWritten = false;
  readonly #source: TransactionSource;
  readonly #signal: AbortSignal | undefined;
  readonly #line: LeasedConnection;
  #state: TransactionState = "new";
  #prepended: readonly PrependedStatement[] = [];
  #portals = 0;
  #firstError: Error | undefined;
  #isOutcomeUnknown = false;

  constructor(
    source: TransactionSource,
    options: LeasedConnectionOptions,
  ) {
    this.settings = options.settings;
    this.#source = source;
    this.#signal = options.signal;
    this.#line = new LeasedConnection(source, options);
  }

  get state(): TransactionState {
    return this.#state;
  }

  get hasEnded(): boolean {
    return this.#state !== "new" && this.#state !== "open";
  }

  /** Whether running the work again could do it twice. */
  get mayHaveCommitted(): boolean {
    return this.#state === "committed" || this.#isOutcomeUnknown;
  }

  /** The failure that made the transaction what it is, if it has failed. */
  get firstError(): Error | undefined {
    return this.#firstError;
  }

  /** Whether nothing can run any more, unless it is rolled back, or up to a savepoint. */
  get hasFailed(): boolean {
    return this.#state === "open" && this.#line.status === "E" &&
      !this.#prepended.some(({ recovers }) => recovers);
  }

  /** Throws `ScopeError` for code that must not touch the transaction's connection. */
  assertCurrent(): void {
    this.#source.assertCurrent();
  }

  /** A way to fetch a statement's rows in portions. */
  newPortal({ maxRows }: { maxRows: number }): Portal {
    if (!(Number.isInteger(maxRows) && maxRows >= 1 && maxRows < 2 ** 31)) {
      throw new RangeError(
        `Cannot fetch rows in portions as their size must be a whole number from 1 to 2147483647: current value is ${maxRows}`,
      );
    }
    return { name: `stream_${++this.#portals}`, maxRows };
  }

  /** Sends the part in front of the next flight, without a round trip of its own. */
  prepend(rider: PrependedStatement): void {
    this.#prepended = [...this.#prepended, rider];
  }

  /** Takes back a rider that is still waiting, and all that came after it but the ends of portals; says whether it was. */
  removePrepended(rider: PrependedStatement): boolean {
    const index = this.#prepended.indexOf(rider);
    if (index === -1) return false;
    this.#prepended = [
      ...this.#prepended.slice(0, index),
      ...this.#prepended.slice(index).filter(endsPortal),
    ];
    return true;
  }

  /** Undoes what came after a savepoint, by riders that do so, in place of those that wait. */
  undo(riders: readonly PrependedStatement[], { hadWritten }: { hadWritten: boolean }): void {
    this.#prepended = [...riders, ...this.#prepended.filter(endsPortal)];
    this.#firstError = undefined;
    this.hasWritten = hadWritten;
  }

  /** Runs the parts in one flight. Rejects with the first error; those after it are not run. */
  async run(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    this.assertUsable();
    const answer = await this.#flight(parts, { commits: false });
    if (answer.status === "I") throw this.#endedByStatement(answer);
    if (answer.error !== undefined) throw answer.error;
    return answer.results;
  }

  /**
   * Runs the parts and COMMIT in one flight. Throws `CommitRolledBackError` if the server rolled back instead,
   * `CommitOutcomeUnknownError` if its answer was lost and nobody can tell, and `CommitRowsLostError` if only the
   * parts' results are. Harmless if said twice.
   */
  async commit(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    if (this.#state === "committed" && parts.length === 0) return [];
    if (this.#state === "new" && parts.length === 0 && this.#prepended.length === 0) {
      this.#state = "committed";
      return [];
    }
    if (this.hasFailed) await this.#refuseCommit();
    this.assertUsable();
    if (await this.#mustSendAhead(parts)) {
      const results = await this.#runAhead(parts);
      await this.commit([]);
      return results;
    }
    return await this.#commitFlight(parts);
  }

  /** Undoes the work and gives the connection back. Harmless after the end; never rejects. */
  async rollback(): Promise<void> {
    if (this.hasEnded) return;
    this.#state = "rolled back";
    // The pool sends ROLLBACK where the connection's status byte asks for one.
    await this.#giveBack();
  }

  /** Throws `SessionEndedError` after the end, and `StatementSkippedError` after a failed statement. */
  assertUsable(): void {
    if (this.hasEnded) {
      throw new SessionEndedError(
        `Cannot use the session as it has ended: it was ${this.#state}; open another one`,
        { cause: this.#firstError },
      );
    }
    if (this.hasFailed) {
      throw new StatementSkippedError(
        "Cannot run the statement as an earlier one of the transaction failed; roll back, see the cause",
        { cause: this.#firstError },
      );
    }
  }

  /** Ends as a flight that held the COMMIT would, whose caller need not end a session that has said it. */
  async #runAhead(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    try {
      return await this.run(parts);
    } catch (error) {
      if (this.#state === "open") await this.rollback();
      throw error;
    }
  }

  async #commitFlight(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    let answer: FlightAnswer;
    try {
      answer = await this.#flight(parts, { commits: true });
    } catch (error) {
      if (!this.#isOutcomeUnknown) throw error;
      return await this.#settle(error as Error, parts);
    }
    const { results, error } = answer;
    const own = results.length > parts.length ? results.at(-1) : undefined;
    if (own?.notice === NO_ACTIVE_TRANSACTION) throw this.#endedByStatement(answer);
    if (own?.command === "COMMIT") {
      this.#state = "committed";
      void this.#giveBack();
      // The answer may be of no use all the same.
      if (error !== undefined) throw error;
      return results.slice(0, -1);
    }
    if (error === undefined) return await this.#refuseCommit();
    await this.rollback();
    // Behind a statement that failed, COMMIT was not run.
    if (results.length < parts.length || !this.#isUnknownAfter(error)) throw error;
    return await this.#settle(error, parts);
  }

  /** What a lost COMMIT comes to: a success, the failure that lost it, or an error that says that nobody can tell. */
  async #settle(error: Error, parts: readonly FlightPart[]): Promise<readonly Result[]> {
    this.#isOutcomeUnknown = true;
    const { heard: { sent, answered }, identity } = this.#line;
    const verdict: Verdict = answered.length === sent && isCommit(answered.at(-1))
      ? { outcome: "committed" }
      : await this.#source.resolveCommit(identity, { signal: this.#signal });
    if (verdict.outcome === "unknown") {
      const { reason } = verdict;
      if (!this.#source.isKeyed) this.#source.counters.unknown++;
      this.#endRecord();
      throw new CommitOutcomeUnknownError({ xid: identity?.xid, reason }, { cause: error });
    }
    this.#isOutcomeUnknown = false;
    this.#source.counters.resolved++;
    this.#state = verdict.outcome;
    this.#endRecord();
    if (verdict.outcome === "rolled back") throw error;
    const results = answered.slice(sent - 1 - parts.length, sent - 1);
    const { decodeError } = results.find(({ decodeError }) => decodeError !== undefined) ?? {};
    if (decodeError !== undefined) throw decodeError;
    if (results.length === parts.length) return results;
    throw new CommitRowsLostError(
      "Cannot give the rows of the statements as the connection was lost while they were committed, which they are; " +
        "read them, and do not do the work again",
      { cause: error },
    );
  }

  /** The server would answer this COMMIT with ROLLBACK, or has. */
  async #refuseCommit(): Promise<never> {
    await this.rollback();
    throw new CommitRolledBackError(
      "Cannot commit as a statement of the transaction failed, so that all of it was rolled back; see the cause",
      { cause: this.#firstError },
    );
  }

  /** A COMMIT or ROLLBACK in a statement's text, or a BEGIN that failed: what follows would run without a transaction. */
  #endedByStatement({ results, error }: FlightAnswer): Error {
    this.#state = results.some(isCommit) ? "committed" : "rolled back";
    void this.#giveBack();
    if (error !== undefined) return error;
    return this.#firstError ??= new SessionEndedError(
      "Cannot go on as a statement has ended the transaction; end it with `commit()` or `rollback()` instead",
    );
  }

  #giveBack(): Promise<void> | undefined {
    this.#endRecord();
    return this.#line.release();
  }

  #endRecord(): void {
    const state = this.#state;
    if (state !== "new" && state !== "open") this.#line.end(state, this.#firstError);
  }

  /** Whether the first flight of a write must not hold its COMMIT: on a socket that was cut in silence it could not be replayed. */
  async #mustSendAhead(parts: readonly FlightPart[]): Promise<boolean> {
    if (this.#state !== "new" || this.settings.readOnly || parts.length === 0) return false;
    try {
      const { idleMs = 0 } = await this.#line.open();
      return idleMs > TRUSTED_IDLE_MS;
    } catch (error) {
      throw this.#lost(error as Error, { commits: false });
    }
  }

  /** The answer holds the results of the parts, and of COMMIT; what rides in front of them is left out. */
  async #flight(
    parts: readonly FlightPart[],
    { commits }: { commits: boolean },
  ): Promise<FlightAnswer> {
    await this.#assertWanted();
    const riders = this.#prepended;
    const own = [...riders.map(({ part }) => part), ...parts];
    const flight = this.#line.compose(own, { commits });
    let answer: FlightAnswer;
    try {
      answer = this.#state === "new"
        ? await this.#firstFlight(flight, { commits })
        : await this.#line.send(flight);
    } catch (error) {
      throw this.#lost(error as Error, { commits });
    }
    const results = this.#line.asked(flight, answer.results);
    this.#prepended = this.#prepended.slice(riders.length);
    riders.slice(0, results.length).forEach((rider) => rider.hasRun = true);
    this.#note(answer);
    return { ...answer, results: results.slice(riders.length) };
  }

  /** Whoever has given up wants nothing sent any more, a COMMIT least of all. */
  async #assertWanted(): Promise<void> {
    if (!this.#signal?.aborted) return;
    const error = this.#firstError = new DeadlineError(
      "Cannot run the statement: the caller gave up",
      { cause: this.#signal.reason },
    );
    await this.rollback();
    throw error;
  }

  /** A connection that died while it was idle costs the caller nothing, where nothing can have happened twice. */
  async #firstFlight(
    parts: readonly FlightPart[],
    { commits }: { commits: boolean },
  ): Promise<FlightAnswer> {
    const flight = [...beginStatements(this.settings), ...parts];
    const { idleMs } = await this.#line.open();
    let answer: FlightAnswer;
    try {
      answer = await this.#line.send(flight);
    } catch (error) {
      const commitsWrites = commits && !this.settings.readOnly;
      if (idleMs === undefined || !isReplayable(error, { commits: commitsWrites })) {
        throw error;
      }
      this.#line.cut();
      this.#source.counters.replayed++;
      await this.#line.open({ fresh: true });
      answer = await this.#line.send(flight);
    }
    this.#state = "open";
    const own = answer.results.slice(flight.length - parts.length);
    return { ...answer, results: own };
  }

  #note({ results, error, status }: FlightAnswer): void {
    this.hasWritten ||= results.some(({ command }) => changesData(command));
    // An answer that cannot be read is no failure of the transaction's.
    if (status !== "T") this.#firstError ??= error;
  }

  /** No answer came: the connection is of no more use. */
  #lost(error: Error, { commits }: { commits: boolean }): Error {
    // Values that could not be sent have harmed nothing.
    if (error instanceof TypeError) return error;
    const wasSent = this.#line.cut();
    this.#state = "lost";
    this.#firstError ??= error;
    this.#isOutcomeUnknown = wasSent && commits && this.#isUnknownAfter(error);
    if (!this.#isOutcomeUnknown) this.#endRecord();
    return error;
  }

  /** After COMMIT was sent, some errors leave it open whether it took effect. */
  #isUnknownAfter(error: Error): boolean {
    return !this.settings.readOnly && classify(error, "commit").applied !== "no";
  }
}

/** Whether it has committed: outside a transaction, COMMIT is answered by COMMIT and a warning. */
function isCommit(result: Result | undefined): boolean {
  return result?.command === "COMMIT" && result.notice !== NO_ACTIVE_TRANSACTION;
}

/** Its portal may be older than the savepoint that is undone, and would keep its table in use. */
function endsPortal({ part }: PrependedStatement): boolean {
  return "close" in part;
}
