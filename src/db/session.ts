/**
 * The unit of work: one transaction on one leased connection.
 *
 *     new -> open -> committed | rolled back | lost
 *
 * Opening a session costs nothing. Its first statement leases a connection and takes BEGIN and the timeouts with it
 * in the same flight. `commit()` is said; everything else ends in a rollback, which the pool does as it takes the
 * connection back. Statements of one session run one after the other, in the order in which they were asked for.
 */
import { beginStatements, type TransactionSettings } from "./begin.ts";
import type { Clock } from "./clock.ts";
import { changesData } from "./command_tag.ts";
import type { FlightAnswer, Result, Statement } from "./driver.ts";
import {
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  SessionEndedError,
  StatementSkippedError,
} from "./errors.ts";
import { isReplayable, judge } from "./failures.ts";
import type { Lease } from "./lease.ts";
import type { Sql } from "./sql.ts";
import { watchedFlight } from "./watched_flight.ts";

export interface SessionOptions extends Partial<TransactionSettings> {
  /** Gives up waiting, stops what runs on the server, and rolls back. */
  readonly signal?: AbortSignal;
  /** Who works here, for reports of leases that are held too long. */
  readonly label?: string;
}

/** What a session needs of its surroundings. */
export interface SessionSource {
  readonly clock: Clock;
  acquire(
    options: { signal: AbortSignal | undefined; fresh: boolean; holdMs: number },
  ): Promise<Lease>;
  /** Throws `ScopeError` for code that must not touch the session's connection. */
  assertCurrent(): void;
  /** Told of each first flight that is sent again, as its connection had died while it was idle. */
  onReplay(): void;
}

/** The rows of each of several statements. */
export type RowsOf<Statements extends readonly Sql<unknown>[]> = {
  -readonly [Index in keyof Statements]: Statements[Index] extends Sql<infer Row> ? Row[] : never;
};

/** The server's own answer to its timeouts is waited for this long, before its silence counts as one. */
const ANSWER_GRACE_MS = 1_000;
/** After this long in the pool a socket may have been cut without a word, so that a write goes ahead of its COMMIT. */
const TRUSTED_IDLE_MS = 1_000;

const COMMIT: Statement = { text: "commit", values: [] };

export class Session implements AsyncDisposable {
  readonly #source: SessionSource;
  readonly #settings: TransactionSettings;
  readonly #signal: AbortSignal | undefined;
  #state: "new" | "open" | "committed" | "rolled back" | "lost" = "new";
  #lease: Lease | undefined;
  #turn: Promise<unknown> = Promise.resolve();
  #transactionEndsAt = Infinity;
  #firstError: Error | undefined;
  #wrote = false;
  #isOutcomeUnknown = false;
  /** A cancel request is, or was, on its way to the connection: it must not reach the next one's statement. */
  #mayBeCancelled = false;

  constructor(
    source: SessionSource,
    settings: TransactionSettings,
    { signal }: { signal?: AbortSignal | undefined } = {},
  ) {
    this.#source = source;
    this.#settings = settings;
    this.#signal = signal;
  }

  /** Whether COMMIT was answered COMMIT. */
  get isCommitted(): boolean {
    return this.#state === "committed";
  }

  /** Whether running the work again could do it twice. */
  get mayHaveCommitted(): boolean {
    return this.isCommitted || this.#isOutcomeUnknown;
  }

  get hasEnded(): boolean {
    return this.#state !== "new" && this.#state !== "open";
  }

  /** Whether a statement changed something, by its command tag. */
  get hasWritten(): boolean {
    return this.#wrote;
  }

  /** The failure that made the transaction what it is, if it has failed. */
  get firstError(): Error | undefined {
    return this.#firstError;
  }

  /** Resolves when nothing that was asked for is still under way. Never rejects. */
  async settled(): Promise<void> {
    for (let turn; turn !== this.#turn;) await (turn = this.#turn);
  }

  /** Runs one statement and gives its rows: one round trip. */
  async query<Row>(statement: Sql<Row>): Promise<Row[]> {
    const [rows] = await this.batch([statement]);
    return rows as Row[];
  }

  /** Runs several statements in one round trip. Rejects with the first error; those after it are not run. */
  batch<const Statements extends readonly Sql<unknown>[]>(
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    return this.#inTurn(() => this.#run(statements)) as Promise<RowsOf<Statements>>;
  }

  /**
   * Makes the work last. With statements, they share COMMIT's round trip: a single read is `commit([select])`.
   * Throws `CommitRolledBackError` if the server rolled back instead, and `CommitOutcomeUnknownError` if its answer
   * was lost. Harmless if said twice.
   */
  commit(): Promise<void>;
  commit<const Statements extends readonly Sql<unknown>[]>(
    statements: Statements,
  ): Promise<RowsOf<Statements>>;
  commit(statements: readonly Sql<unknown>[] = []): Promise<unknown[][] | void> {
    return this.#inTurn(() => this.#commit(statements));
  }

  /** Undoes the work. Harmless after the end. */
  rollback(): Promise<void> {
    return this.#inTurn(() => this.#rollback());
  }

  /** Rolls back what is not committed and gives the connection back. Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.rollback().catch(() => {});
  }

  #inTurn<T>(step: () => Promise<T>): Promise<T> {
    try {
      // Another request's promises may never settle here, so that this comes first.
      this.#source.assertCurrent();
    } catch (error) {
      return Promise.reject(error);
    }
    const done = this.#turn.then(step);
    this.#turn = done.catch(() => {});
    return done;
  }

  async #run(statements: readonly Statement[]): Promise<unknown[][]> {
    this.#assertUsable();
    const answer = await this.#flight(statements, { commits: false });
    if (answer.error !== undefined) throw this.#failed(answer.error);
    if (answer.status === "I") throw this.#endedByStatement();
    return rowsOf(answer.results);
  }

  /** A COMMIT or ROLLBACK in a statement's text: what follows would run without a transaction. */
  #endedByStatement(): SessionEndedError {
    this.#state = "rolled back";
    this.#giveBack();
    return this.#failed(
      new SessionEndedError(
        "Cannot go on as a statement has ended the transaction; end it with `commit()` or `rollback()` instead",
      ),
    );
  }

  async #commit(statements: readonly Statement[]): Promise<unknown[][] | void> {
    if (this.#state === "committed" && statements.length === 0) return;
    if (this.#state === "new" && statements.length === 0) {
      this.#state = "committed";
      return;
    }
    if (this.#lease?.connection.status === "E") await this.#refuseCommit();
    this.#assertUsable();
    if (await this.#mustSendAhead(statements)) {
      const rows = await this.#run(statements);
      await this.#commit([]);
      return rows;
    }
    return await this.#commitFlight(statements);
  }

  async #commitFlight(statements: readonly Statement[]): Promise<unknown[][]> {
    const answer = await this.#flight(statements, { commits: true });
    const isDone = answer.results.length > statements.length &&
      answer.results.at(-1)?.command === "COMMIT";
    if (isDone) {
      this.#state = "committed";
      void this.#giveBack();
      // The answer may be of no use all the same.
      if (answer.error !== undefined) throw this.#failed(answer.error);
      return rowsOf(answer.results.slice(0, -1));
    }
    if (answer.error === undefined) return await this.#refuseCommit();
    const error = this.#failed(answer.error);
    await this.#rollback();
    throw this.#ifUnknown(error);
  }

  /** The server would answer this COMMIT with ROLLBACK. */
  async #refuseCommit(): Promise<never> {
    await this.#rollback();
    throw new CommitRolledBackError(
      "Cannot commit as a statement of the transaction failed, so that all of it was rolled back; see the cause",
      { cause: this.#firstError },
    );
  }

  async #rollback(): Promise<void> {
    if (this.hasEnded) return;
    this.#state = "rolled back";
    // The pool sends ROLLBACK where the connection's status byte asks for one.
    await this.#giveBack();
  }

  #giveBack(): Promise<void> | undefined {
    const lease = this.#lease;
    this.#lease = undefined;
    return this.#mayBeCancelled ? lease?.destroy() : lease?.release();
  }

  /** Whether the first flight of a write must not hold its COMMIT: on a socket that was cut in silence it could not be replayed. */
  async #mustSendAhead(statements: readonly Statement[]): Promise<boolean> {
    if (this.#state !== "new" || this.#settings.readOnly || statements.length === 0) return false;
    try {
      const { idleMs = 0 } = this.#lease ??= await this.#acquire({ fresh: false });
      return idleMs > TRUSTED_IDLE_MS;
    } catch (error) {
      throw this.#lost(error as Error, { commits: false });
    }
  }

  async #flight(
    statements: readonly Statement[],
    { commits }: { commits: boolean },
  ): Promise<FlightAnswer> {
    const flight = commits ? [...statements, COMMIT] : statements;
    try {
      const answer = this.#state === "new"
        ? await this.#firstFlight(flight, { commits })
        : await this.#send(flight);
      this.#note(answer);
      return answer;
    } catch (error) {
      throw this.#lost(error as Error, { commits });
    }
  }

  /** A connection that died while it was idle costs the caller nothing, where nothing can have happened twice. */
  async #firstFlight(
    statements: readonly Statement[],
    { commits }: { commits: boolean },
  ): Promise<FlightAnswer> {
    const flight = [...beginStatements(this.#settings), ...statements];
    const lease = this.#lease ??= await this.#acquire({ fresh: false });
    let answer: FlightAnswer;
    try {
      answer = await this.#send(flight);
    } catch (error) {
      const commitsWrites = commits && !this.#settings.readOnly;
      if (lease.idleMs === undefined || !isReplayable(error, { commits: commitsWrites })) {
        throw error;
      }
      void lease.destroy();
      this.#source.onReplay();
      this.#lease = await this.#acquire({ fresh: true });
      answer = await this.#send(flight);
    }
    this.#state = "open";
    const own = answer.results.slice(flight.length - statements.length);
    return { ...answer, results: own };
  }

  #acquire({ fresh }: { fresh: boolean }): Promise<Lease> {
    const holdMs = this.#settings.transactionTimeoutMs + ANSWER_GRACE_MS;
    return this.#source.acquire({ signal: this.#signal, fresh, holdMs });
  }

  #send(statements: readonly Statement[]): Promise<FlightAnswer> {
    return watchedFlight({ lease: this.#lease!, statements }, {
      clock: this.#source.clock,
      signal: this.#signal,
      timeoutMs: () => this.#answerTimeoutMs(statements.length),
      onCancel: () => this.#mayBeCancelled = true,
    });
  }

  /** How long to wait for a flight: the server's own timeouts, and a little for its answer. */
  #answerTimeoutMs(statements: number): number {
    const { statementTimeoutMs, transactionTimeoutMs } = this.#settings;
    const nowMs = this.#source.clock.now();
    if (this.#transactionEndsAt === Infinity) {
      this.#transactionEndsAt = nowMs + transactionTimeoutMs;
    }
    const leftMs = Math.max(0, this.#transactionEndsAt - nowMs);
    return ANSWER_GRACE_MS + Math.min(statementTimeoutMs * statements, leftMs);
  }

  #note({ results }: FlightAnswer): void {
    this.#wrote ||= results.some(({ command }) => changesData(command));
  }

  #failed<E extends Error>(error: E): E {
    this.#firstError ??= error;
    return error;
  }

  /** No answer came: the connection is of no more use. */
  #lost(error: Error, { commits }: { commits: boolean }): Error {
    // Values that could not be sent have harmed nothing.
    if (error instanceof TypeError) return error;
    const lease = this.#lease;
    this.#lease = undefined;
    this.#state = "lost";
    this.#failed(error);
    void lease?.destroy();
    return lease !== undefined && commits ? this.#ifUnknown(error) : error;
  }

  /** After COMMIT was sent, some errors leave it open whether it took effect. */
  #ifUnknown(error: Error): Error {
    if (this.#settings.readOnly || judge(error, "commit").applied === "no") return error;
    this.#isOutcomeUnknown = true;
    return new CommitOutcomeUnknownError(
      "Cannot tell whether the transaction was committed, as COMMIT was sent and its answer did not come; " +
        "look for its effects before doing it again",
      { cause: error },
    );
  }

  #assertUsable(): void {
    if (this.hasEnded) {
      throw new SessionEndedError(
        `Cannot use the session as it has ended: it was ${this.#state}; open another one`,
        { cause: this.#firstError },
      );
    }
    if (this.#lease?.connection.status === "E" && this.#state === "open") {
      throw new StatementSkippedError(
        "Cannot run the statement as an earlier one of the transaction failed; roll back, see the cause",
        { cause: this.#firstError },
      );
    }
  }
}

function rowsOf(results: readonly Result[]): unknown[][] {
  return results.map(({ rows }) => rows);
}
