/**
 * A transaction as the server goes through it, flight by flight, on one leased connection:
 *
 *     new -> open -> committed | rolled back | lost
 *
 * Its first flight leases the connection and takes BEGIN and the timeouts with it. Statements that need no answer of
 * their own, such as SAVEPOINT, are prepended to the next flight. Flights do not overlap: the session sends one at a
 * time. If the answer to COMMIT is lost, its outcome is looked up (`commit_outcome.ts`): a transaction that ends as
 * `lost` with an unknown outcome is rare.
 */
import { changesData } from "../driver/command_tag.ts";
import type { FlightAnswer, FlightPart, Portal, Result } from "../driver/driver.ts";
import {
  CommitOutcomeUnknownError,
  DeadlineError,
  SessionEndedError,
  StatementSkippedError,
} from "../errors.ts";
import type { TransactionSettings } from "./begin.ts";
import {
  commitRolledBackError,
  endedByStatementError,
  isUnknownAfter,
  outcomeOf,
  readCommitAnswer,
  resultsOfCommitted,
} from "./commit.ts";
import type { Verdict } from "./commit_outcome.ts";
import { type FlightPlan, isCommit, type PrependedStatement } from "./flight_plan.ts";
import { Flights } from "./flights.ts";
import type { TransactionContext, TransactionRequest } from "./transaction_context.ts";

export type TransactionState = "new" | "open" | "committed" | "rolled back" | "lost";

export class Transaction {
  /** Whether a statement changed something that is not rolled back, by its command tag. */
  hasWritten = false;
  readonly #context: TransactionContext;
  readonly #request: TransactionRequest;
  readonly flights: Flights;
  #state: TransactionState = "new";
  #portals = 0;
  #firstError: Error | undefined;
  #isOutcomeUnknown = false;

  constructor(context: TransactionContext, request: TransactionRequest) {
    this.#context = context;
    this.#request = request;
    this.flights = new Flights(context, request);
  }

  get settings(): TransactionSettings {
    return this.#request.settings;
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

  /** Whether the server refuses all statements but a rollback, of the transaction or to a savepoint. */
  get hasFailed(): boolean {
    return this.#state === "open" && this.flights.status === "E" &&
      !this.flights.prepended.some(({ recovers }) => recovers);
  }

  /** Throws `ScopeError` for code that must not touch the transaction's connection. */
  assertCurrent(): void {
    this.#context.scope.assertCurrent();
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

  /** A way to fetch a statement's rows in portions. */
  newPortal({ maxRows }: { maxRows: number }): Portal {
    if (!(Number.isInteger(maxRows) && maxRows >= 1 && maxRows < 2 ** 31)) {
      throw new RangeError(
        `Cannot fetch rows in portions as their size must be a whole number from 1 to 2147483647: current value is ${maxRows}`,
      );
    }
    return { name: `stream_${++this.#portals}`, maxRows };
  }

  /** Undoes what came after a savepoint: sends the statements that do so in place of those that are still to be sent. */
  undo(statements: readonly PrependedStatement[], { hadWritten }: { hadWritten: boolean }): void {
    this.flights.replacePrepended(statements);
    this.#firstError = undefined;
    this.hasWritten = hadWritten;
  }

  /** Runs the parts in one flight. Rejects with the first error; those after it are not run. */
  async run(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    this.assertUsable();
    await this.#assertWanted();
    const plan = this.flights.plan(parts, { commits: false });
    const answer = await this.#send(plan);
    if (answer.status === "I") throw this.#endByStatement(answer);
    if (answer.error !== undefined) throw answer.error;
    return plan.ownResults(answer.results);
  }

  /**
   * Runs the parts and COMMIT in one flight. Throws `CommitRolledBackError` if the server rolled back instead,
   * `CommitOutcomeUnknownError` if the answer was lost and the outcome cannot be found out, and `CommitRowsLostError` if
   * only the parts' results are lost. Harmless if said twice.
   */
  async commit(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    if (this.#state === "committed" && parts.length === 0) return [];
    if (this.#state === "new" && parts.length === 0 && this.flights.prepended.length === 0) {
      this.#state = "committed";
      return [];
    }
    if (this.hasFailed) return await this.#refuseCommit();
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

  async #mustSendAhead(parts: readonly FlightPart[]): Promise<boolean> {
    if (parts.length === 0) return false;
    try {
      return await this.flights.mustSendAheadOfCommit();
    } catch (error) {
      throw this.#lose(error as Error, { commits: false });
    }
  }

  /** Rolls back on failure, as a flight with COMMIT would: a caller that has said `commit` need not end the session. */
  async #runAhead(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    try {
      return await this.run(parts);
    } catch (error) {
      if (this.#state === "open") await this.rollback();
      throw error;
    }
  }

  async #commitFlight(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    await this.#assertWanted();
    const plan = this.flights.plan(parts, { commits: true });
    let answer: FlightAnswer;
    try {
      answer = await this.#send(plan);
    } catch (error) {
      if (!this.#isOutcomeUnknown) throw error;
      return await this.#resolveCommit(plan, error as Error);
    }
    const { results, error } = answer;
    switch (readCommitAnswer(plan, answer, this.settings)) {
      case "no transaction":
        throw this.#endByStatement(answer);
      case "committed":
        this.#state = "committed";
        void this.#giveBack();
        // A parser may have failed on the rows all the same.
        if (error !== undefined) throw error;
        return plan.ownResults(results);
      case "rolled back":
        return await this.#refuseCommit();
      case "failed":
        await this.rollback();
        throw error;
      case "unknown":
        await this.rollback();
        return await this.#resolveCommit(plan, error!);
    }
  }

  /** A lost COMMIT becomes a success, the failure that lost it, or `CommitOutcomeUnknownError`. */
  async #resolveCommit(plan: FlightPlan, cause: Error): Promise<readonly Result[]> {
    this.#isOutcomeUnknown = true;
    const { counters } = this.#context.metrics;
    const { transactionId, lastResults } = this.flights;
    const verdict: Verdict = isCommit(plan.commitResult(lastResults))
      ? { outcome: "committed" }
      : await outcomeOf(transactionId, this.#context, this.#request);
    if (verdict.outcome === "unknown") {
      const { reason } = verdict;
      if (!this.#request.isKeyed) counters.unknown++;
      this.#endRecord();
      throw new CommitOutcomeUnknownError({ xid: transactionId?.xid, reason }, { cause });
    }
    this.#isOutcomeUnknown = false;
    counters.resolved++;
    this.#state = verdict.outcome;
    this.#endRecord();
    if (verdict.outcome === "rolled back") throw cause;
    return resultsOfCommitted(plan, lastResults, cause);
  }

  async #refuseCommit(): Promise<never> {
    await this.rollback();
    throw commitRolledBackError(this.#firstError);
  }

  #endByStatement({ results, error }: FlightAnswer): Error {
    this.#state = results.some(isCommit) ? "committed" : "rolled back";
    void this.#giveBack();
    if (error !== undefined) return error;
    return this.#firstError ??= endedByStatementError();
  }

  #giveBack(): Promise<void> | undefined {
    this.#endRecord();
    return this.flights.release();
  }

  #endRecord(): void {
    const state = this.#state;
    if (state !== "new" && state !== "open") this.flights.end(state, this.#firstError);
  }

  /**
   * If the caller's signal has aborted, rolls back and throws `DeadlineError`. Nothing is sent after an abort, in
   * particular no COMMIT.
   */
  async #assertWanted(): Promise<void> {
    const { signal } = this.#request;
    if (!signal?.aborted) return;
    const error = this.#firstError = new DeadlineError(
      "Cannot run the statement: the caller gave up",
      { cause: signal.reason },
    );
    await this.rollback();
    throw error;
  }

  async #send(plan: FlightPlan): Promise<FlightAnswer> {
    let answer: FlightAnswer;
    try {
      answer = await this.flights.send(plan);
    } catch (error) {
      throw this.#lose(error as Error, plan);
    }
    const { results, error, status } = answer;
    this.#state = "open";
    this.hasWritten ||= results.some(({ command }) => changesData(command));
    // An answer that cannot be read is no failure of the transaction's.
    if (status !== "T") this.#firstError ??= error;
    return answer;
  }

  /** No answer came: the connection is of no more use. */
  #lose(error: Error, { commits }: { commits: boolean }): Error {
    // Values that could not be sent have harmed nothing.
    if (error instanceof TypeError) return error;
    const wasSent = this.flights.destroy();
    this.#state = "lost";
    this.#firstError ??= error;
    this.#isOutcomeUnknown = wasSent && commits && isUnknownAfter(error, this.settings);
    if (!this.#isOutcomeUnknown) this.#endRecord();
    return error;
  }
}
