/**
 * The state of one transaction on one leased connection:
 *
 *     new -> open -> committed | rolled back | lost
 *
 * The first flight leases the connection and carries BEGIN and the timeouts. Statements that need no answer of their
 * own, such as SAVEPOINT, are prepended to the next flight. Flights do not overlap: the session sends one at a time. If
 * the answer to COMMIT is lost, `commit_outcome.ts` finds the outcome. The state is `lost` if it cannot be found, if
 * the connection was lost before COMMIT, or if there was no connection.
 */
import type { FlightAnswer, FlightPart, Result } from "../driver/driver.ts";
import { CommitOutcomeUnknownError, SessionEndedError, StatementSkippedError } from "../errors.ts";
import type { TransactionSettings } from "./transaction_settings.ts";
import {
  commitRolledBackError,
  endedByStatementError,
  isUnknownAfterLoss,
  outcomeOf,
  readCommitAnswer,
  resultsOfCommitted,
  rowsUnreadableError,
} from "./commit.ts";
import type { FlightPlan, PrependedStatement } from "./flight_plan.ts";
import type { Position } from "../pool/replicas/position.ts";
import { type FlightMarks, Flights } from "./flights.ts";
import type { TransactionContext, TransactionRequest } from "./transaction_context.ts";
import { prepare } from "./transaction_control.ts";

export type TransactionState = "new" | "open" | "committed" | "rolled back" | "lost";

export class Transaction {
  readonly #context: TransactionContext;
  readonly #request: TransactionRequest;
  readonly flights: Flights;
  #state: TransactionState = "new";
  #firstError: Error | undefined;
  #isOutcomeUnknown = false;
  #isAborted = false;

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

  /** Whether the work could take effect twice if it were run again. */
  get mayHaveCommitted(): boolean {
    return this.#state === "committed" || this.#isOutcomeUnknown;
  }

  /** Whether it ended by the loss of its connection or by an abort, and not by commit or rollback. */
  get isLost(): boolean {
    return this.#state === "lost" || this.#isAborted;
  }

  /** The error that made the transaction fail. Later errors, such as 25P02, only follow from it. */
  get firstError(): Error | undefined {
    return this.#firstError;
  }

  /**
   * Whether the transaction changed data or locked rows: by a command tag, or because the server has assigned it an xid,
   * which it does for a SELECT over a writing function too.
   */
  get hasWritten(): boolean {
    return this.flights.hasWritten;
  }

  /** Whether the server refuses every statement except ROLLBACK and ROLLBACK TO. */
  get hasFailed(): boolean {
    return this.#state === "open" && this.flights.status === "E" &&
      !this.flights.prepended.some(({ recovers }) => recovers);
  }

  /** See `Session.position`. */
  get position(): Position | undefined {
    return this.#state === "committed" ? this.flights.position : undefined;
  }

  /** Throws `ScopeError` for code of another owner, which must not use the transaction's connection. */
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
        "Cannot run the statement as an earlier one of the transaction failed, see the cause; roll back",
        { cause: this.#firstError },
      );
    }
  }

  /** Rolls back to a savepoint by `statements`. They replace the statements that were prepended and not sent. */
  undo(statements: readonly PrependedStatement[], before: FlightMarks): void {
    this.flights.undo(statements, before);
    this.#firstError = undefined;
  }

  /** Runs the parts in one flight. Rejects with the first error; the parts after it are not run. */
  async run(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    const { results, error } = await this.#runFlight(prepare(parts));
    if (error !== undefined) throw error;
    return results;
  }

  async #runFlight(parts: readonly FlightPart[]): Promise<FlightAnswer> {
    this.assertUsable();
    const plan = this.flights.plan(parts, { commits: false });
    const answer = await this.#send(plan);
    if (answer.status === "I" || plan.endByStatement(answer.results) !== undefined) {
      throw this.#noteEndedByStatement(plan, answer);
    }
    return { ...answer, results: plan.ownResults(answer.results) };
  }

  /**
   * Runs the parts and COMMIT in one flight. Throws `CommitRolledBackError` if the server rolled back instead,
   * `CommitOutcomeUnknownError` if the answer was lost and the outcome cannot be found, and `CommitRowsLostError` if
   * the transaction is committed and only the parts' results are lost. Does nothing if called again after a commit.
   */
  commit(parts: readonly FlightPart[]): Promise<readonly Result[]> {
    // Not async, as an async function that waits keeps its frame.
    if (this.#state === "committed" && parts.length === 0) return Promise.resolve([]);
    if (this.#state === "new" && parts.length === 0 && this.flights.prepended.length === 0) {
      this.#state = "committed";
      void this.#releaseConnection();
      return Promise.resolve([]);
    }
    const own = prepare(parts);
    if (this.hasFailed) return this.#rollBackFailedCommit();
    this.assertUsable();
    if (this.#state === "new") this.flights.beginWhole(own);
    return this.settings.readOnly ? this.#commitFlight(own) : this.#commitWrite(own);
  }

  async #commitWrite(own: readonly FlightPart[]): Promise<readonly Result[]> {
    if (!await this.#mustSendBeforeCommit(own)) return await this.#commitFlight(own);
    const { results, error, status } = await this.#runFlight(own);
    if (error !== undefined && status !== "T") {
      // As a flight with COMMIT would: after `commit` the caller need not end the session.
      await this.rollback();
      throw error;
    }
    await this.commit([]);
    if (error !== undefined) throw rowsUnreadableError(error);
    return results;
  }

  /** Rolls back and gives the connection back. Does nothing after the end. Never rejects. */
  async rollback(): Promise<void> {
    if (this.hasEnded) return;
    this.#state = "rolled back";
    // The pool sends ROLLBACK if the connection's status byte shows an open transaction.
    await this.#releaseConnection();
  }

  async #mustSendBeforeCommit(parts: readonly FlightPart[]): Promise<boolean> {
    if (parts.length === 0) return false;
    try {
      return await this.flights.mustSendBeforeCommit();
    } catch (error) {
      throw this.#noteLost(error as Error);
    }
  }

  async #commitFlight(parts: readonly FlightPart[]): Promise<readonly Result[]> {
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
        throw this.#noteEndedByStatement(plan, answer);
      case "committed":
        this.#state = "committed";
        void this.#releaseConnection();
        // The transaction is committed, and a parser may still have failed on a row.
        // What has failed is the question behind COMMIT.
        if (results.length < plan.parts.length) return resultsOfCommitted(plan, results, error!);
        if (error !== undefined) throw this.settings.readOnly ? error : rowsUnreadableError(error);
        return plan.ownResults(results);
      case "not replicated":
        this.#state = "committed";
        void this.#releaseConnection();
        throw this.#noteUnknown("not replicated", answer.interruption);
      case "rolled back":
        return await this.#rollBackFailedCommit();
      case "failed":
        await this.rollback();
        throw error;
      case "unknown":
        await this.rollback();
        return await this.#resolveCommit(plan, error!);
    }
  }

  /**
   * If committed, returns the results. If rolled back, throws `cause`. Otherwise throws `CommitOutcomeUnknownError`.
   */
  async #resolveCommit(plan: FlightPlan, cause: Error): Promise<readonly Result[]> {
    this.#isOutcomeUnknown = true;
    const { lastResults, transactionId } = this.flights;
    const verdict = plan.hasCommitted(lastResults)
      ? { outcome: "committed" } as const
      : await outcomeOf(transactionId, this.#context, this.#request);
    if (verdict.outcome === "unknown") throw this.#noteUnknown(verdict.reason, cause);
    this.#isOutcomeUnknown = false;
    this.#context.metrics.counters.resolved++;
    this.#state = verdict.outcome;
    this.#endRecord();
    if (verdict.outcome === "rolled back") throw cause;
    return resultsOfCommitted(plan, lastResults, cause);
  }

  #noteUnknown(
    reason: CommitOutcomeUnknownError["reason"],
    cause: Error | undefined,
  ): CommitOutcomeUnknownError {
    this.#isOutcomeUnknown = true;
    if (!this.#request.isKeyed) this.#context.metrics.counters.unknown++;
    const xid = this.flights.transactionId?.xid;
    const error = new CommitOutcomeUnknownError({ xid, reason }, { cause });
    this.#firstError = error;
    this.#endRecord();
    return error;
  }

  async #rollBackFailedCommit(): Promise<never> {
    await this.rollback();
    throw commitRolledBackError(this.#firstError);
  }

  #noteEndedByStatement(plan: FlightPlan, { results, error }: FlightAnswer): Error {
    const end = plan.endByStatement(results);
    this.#state = end ?? "rolled back";
    this.#endRecord();
    // The server commits statements behind the one that ended the transaction on their own.
    this.#isOutcomeUnknown ||= end !== undefined;
    void this.flights.release({ isCommitted: true });
    if (error !== undefined) return error;
    return this.#firstError ??= endedByStatementError();
  }

  #releaseConnection(): Promise<void> | undefined {
    this.#endRecord();
    return this.flights.release({ isCommitted: this.#state === "committed" });
  }

  #endRecord(): void {
    const state = this.#state;
    if (state !== "new" && state !== "open") this.flights.end(state, this.#firstError);
  }

  #send(plan: FlightPlan): Promise<FlightAnswer> {
    return this.flights.send(plan).then(
      (answer) => this.#noteAnswer(answer),
      (error) => this.#noteFailure(error, plan),
    );
  }

  #noteAnswer(answer: FlightAnswer): FlightAnswer {
    this.#state = "open";
    // With status T the transaction is intact: only a parser failed on the answer.
    if (answer.status !== "T") this.#firstError ??= answer.error;
    return answer;
  }

  async #noteFailure(error: Error, plan: FlightPlan): Promise<never> {
    if (plan.wasSent || !this.#request.signal?.aborted) throw this.#noteLost(error, plan);
    // Nothing is sent after an abort, in particular no COMMIT. The connection is intact.
    this.#firstError = error;
    this.#isAborted = true;
    await this.rollback();
    throw error;
  }

  /** A flight got no connection or no whole answer: closes the connection. Returns the error for the caller. */
  #noteLost(error: Error, plan?: FlightPlan): Error {
    this.flights.destroy();
    const end = plan?.endByStatement(this.flights.lastResults);
    this.#state = end === "committed" ? "committed" : "lost";
    this.#firstError ??= error;
    this.#isOutcomeUnknown = plan !== undefined &&
      isUnknownAfterLoss(error, plan, this.flights.lastResults, this.settings);
    if (!this.#isOutcomeUnknown) this.#endRecord();
    return error;
  }
}
