/**
 * A leased connection on which statements run as they are said, BEGIN and COMMIT too. For libraries that bring their own
 * transactions: nothing is sent twice, and a lost COMMIT is not looked up.
 */
import type { Connection, FlightPart, Notice, Result, Statement } from "../driver/driver.ts";
import { encodePart } from "../driver/encoded_part.ts";
import { isInternal } from "../driver/own_parts.ts";
import type { TypeParsers } from "../driver/type_parsers.ts";
import { assertStatements } from "../driver/sql.ts";
import { CommitOutcomeUnknownError, ScopeError, SessionEndedError } from "../errors.ts";
import { classify } from "../failures/classify.ts";
import type { Lease } from "../pool/lease.ts";
import type { TransactionSettings } from "./transaction_settings.ts";
import { isUnknownAfter } from "./commit.ts";
import { LastingState } from "./lasting_state.ts";
import { abortedError, ANSWER_GRACE_MS } from "./leased_connection.ts";
import { type DeadlineOptions, sendWithDeadline } from "./send_with_deadline.ts";
import { takeReset } from "./server_session.ts";
import { SerialQueue } from "./serial_queue.ts";
import type { TransactionContext } from "./transaction_context.ts";
import { leavesState, mayBegin, mayEnd } from "./transaction_control.ts";
import { TransactionRecord } from "./unit_stats.ts";

export interface RawConnectionRequest {
  /** Its timeouts hold on this connection; the isolation level and the rest are what the statements say. */
  readonly settings: TransactionSettings;
  readonly signal: AbortSignal | undefined;
  readonly label: string | undefined;
  readonly parsers: TypeParsers | undefined;
  /** Receives the server's notices. Must not throw. */
  readonly onNotice: ((notice: Notice) => void) | undefined;
  /** Called if the connection ends by itself before it is given back. Must not throw. */
  readonly onClosed: ((error: Error) => void) | undefined;
}

/** A connection outlives its holders, so that they must not each wait for its end: their callbacks would pile up. */
const holders = new WeakMap<Connection, { onClosed: RawConnectionRequest["onClosed"] }>();

function watch(connection: Connection, onClosed: RawConnectionRequest["onClosed"]): void {
  const holder = holders.get(connection);
  if (holder !== undefined) holder.onClosed = onClosed;
  else if (onClosed !== undefined) {
    const first: { onClosed: RawConnectionRequest["onClosed"] } = { onClosed };
    holders.set(connection, first);
    connection.closed.then((error) => error && first.onClosed?.(error));
  }
}

/** How to run statements on a `RawConnection`. */
export interface RawRunOptions {
  /** Longest wait for the answer to each statement; 0 for no limit. The database's `statementTimeoutMs` by default. */
  readonly timeoutMs?: number | undefined;
}

/** A leased connection. `Database.connect` makes it. It must be given back by `release()`, or by `await using`. */
export class RawConnection implements AsyncDisposable {
  readonly #context: TransactionContext;
  readonly #request: RawConnectionRequest;
  readonly #lease: Lease;
  readonly #record: TransactionRecord;
  readonly #queue: SerialQueue;
  readonly #lasting = new LastingState();
  /** The connection must not be used for another lease. */
  #isSpoiled = false;
  #error: Error | undefined;
  #released: Promise<void> | undefined;
  /** Calls of `run` that have not ended. */
  #pending = 0;

  /** Use `RawConnection.open`. */
  constructor(
    context: TransactionContext,
    request: RawConnectionRequest,
    leased: { lease: Lease; record: TransactionRecord },
  ) {
    this.#context = context;
    this.#request = request;
    this.#lease = leased.lease;
    this.#record = leased.record;
    this.#queue = new SerialQueue(() => this.#assertUsable());
    watch(leased.lease.connection, request.onClosed);
  }

  /** Throws what `Pool.acquire` throws. */
  static async open(
    context: TransactionContext,
    request: RawConnectionRequest,
  ): Promise<RawConnection> {
    const { pool, scope, holder, clock, metrics, observer } = context;
    const { settings, label, signal } = request;
    const begun = { label, attempt: 1, settings: undefined, isRemote: false };
    const record = new TransactionRecord(metrics, clock, observer?.transaction(begun));
    try {
      const holdMs = (settings.transactionTimeoutMs || Infinity) + ANSWER_GRACE_MS;
      const lease = await pool.acquire({ scope, holder, label, signal, holdMs });
      return new RawConnection(context, request, { lease, record });
    } catch (error) {
      record.end("lost", error as Error);
      throw error;
    }
  }

  /** Whether nothing has used the connection before. */
  get isNew(): boolean {
    return this.#lease.idleMs === undefined;
  }

  /** The backend's process id; `undefined` before the login has ended. */
  get processId(): number | undefined {
    return this.#lease.connection.processId;
  }

  /** Whether it has ended, by itself or by `release`. */
  get isClosed(): boolean {
    return this.#lease.connection.state === "closed";
  }

  /**
   * Runs the statements in one round trip, and resolves with a result for each. Outside a transaction the server commits
   * them together. Calls run one after the other, and nothing is sent twice.
   *
   * Throws `ServerError` for an ERROR of the server; `DeadlineError` if they were stopped after the timeout or an abort;
   * `ConnectionLostError` or `ConnectError` if the connection ended in a transaction, and `CommitOutcomeUnknownError` if
   * it ended where the statements may have been committed; `TypeError` for a value that cannot be sent or read;
   * `SessionEndedError` after `release()`; `ScopeError` for code of another owner.
   */
  run(statements: readonly Statement[], { timeoutMs }: RawRunOptions = {}): Promise<Result[]> {
    return this.#queue.run(async () => {
      this.#pending++;
      try {
        assertStatements(statements);
        const { statementTimeoutMs } = this.#request.settings;
        return await this.#send(statements.map(encodePart), timeoutMs ?? statementTimeoutMs);
      } finally {
        this.#pending--;
      }
    });
  }

  async #send(own: readonly FlightPart[], timeoutMs: number): Promise<Result[]> {
    const { signal, parsers, onNotice } = this.#request;
    const parts = own.flatMap((part) => mayBegin(part) ? [part, ...this.#timeouts()] : [part]);
    if (signal?.aborted) throw abortedError(signal);
    await this.#resetSession();
    const mayCommit = this.#mayCommit(own);
    try {
      const { results, error } = await this.#record.flight(
        own,
        () =>
          sendWithDeadline(
            { lease: this.#lease, parts, parsers, onNotice },
            this.#deadline(timeoutMs * own.length),
          ),
      );
      results.forEach((result, index) => this.#note(parts[index]!, result));
      if (error !== undefined) throw error;
      return results.filter((_, index) => !isInternal(parts[index]!));
    } catch (error) {
      throw this.#noteError(error as Error, { mayCommit });
    }
  }

  /** The timeouts of the transactions that had the connection before must not stop a statement that may take longer. */
  async #resetSession(): Promise<void> {
    const reset = takeReset(this.#lease.connection);
    if (reset === undefined) return;
    try {
      const { error } = await sendWithDeadline(
        { lease: this.#lease, parts: [reset] },
        this.#deadline(this.#request.settings.statementTimeoutMs),
      );
      if (error !== undefined) throw error;
    } catch (error) {
      this.#isSpoiled = true;
      throw this.#noteError(error as Error, { mayCommit: false });
    }
  }

  #deadline(timeoutMs: number): DeadlineOptions {
    return {
      clock: this.#context.clock,
      signal: this.#request.signal,
      timeoutMs: () => this.#answerTimeoutMs(timeoutMs),
      onCancel: () => this.#isSpoiled = true,
    };
  }

  /** Inside a transaction the server's own timeout comes first. */
  #answerTimeoutMs(timeoutMs: number): number {
    const graceMs = this.#lease.connection.status === "I" ? 0 : ANSWER_GRACE_MS;
    return (timeoutMs || Infinity) + graceMs;
  }

  /** Whether the answer to these statements tells of a commit. */
  #mayCommit(parts: readonly FlightPart[]): boolean {
    if (parts.some(mayEnd)) return true;
    const status = this.#lease.connection.status ?? "I";
    return status === "I" && !(parts[0] !== undefined && mayBegin(parts[0]));
  }

  /** For a transaction that the statements begin. SET LOCAL, unlike a query, may come before SET TRANSACTION. */
  #timeouts(): readonly FlightPart[] {
    const { statementTimeoutMs, lockTimeoutMs, idleTransactionTimeoutMs } = this.#request.settings;
    return Object.entries({
      statement_timeout: statementTimeoutMs,
      lock_timeout: lockTimeoutMs,
      idle_in_transaction_session_timeout: idleTransactionTimeoutMs,
    }).map(([name, ms]) => ({
      text: `set local ${name} = ${Math.ceil(ms)}`,
      values: [],
      isInternal: true,
    }));
  }

  #note(part: FlightPart, result: Result): void {
    this.#lasting.note(part, result);
    if (leavesState(part)) this.#lasting.ifCommitted = true;
  }

  #noteError(error: Error, { mayCommit }: { mayCommit: boolean }): Error {
    if (classify(error, "statement").connection === "useless") this.#isSpoiled = true;
    const isLost = mayCommit && !isUnreadable(error) &&
      isUnknownAfter(error, { readOnly: false });
    if (isLost) this.#context.metrics.counters.unknown++;
    const reason = this.#lease.connection.status === "I" ? "no transaction" : "no xid";
    const said = isLost
      ? new CommitOutcomeUnknownError({ xid: undefined, reason }, { cause: error })
      : error;
    this.#error ??= said;
    return said;
  }

  /**
   * Gives the connection back once the statements before this call have ended. The pool rolls an open transaction back.
   * It closes a connection on which state is left that outlives a transaction (SET, LISTEN, PREPARE, temporary tables,
   * advisory locks), and with `close` any connection. Never rejects. A second call does nothing.
   */
  release({ close = false }: { close?: boolean } = {}): Promise<void> {
    return this.#released ??= this.#release(close);
  }

  async #release(close: boolean): Promise<void> {
    // Without a wait, so that the caller's next lease finds the connection.
    if (this.#pending > 0) await this.#queue.idle();
    const { state, status } = this.#lease.connection;
    watch(this.#lease.connection, undefined);
    const outcome = state === "closed" ? "lost" : status === "I" ? "committed" : "rolled back";
    this.#record.end(outcome, this.#error);
    if (this.#lasting.ifCommitted) await this.#lease.destroy("leftState");
    else if (close || this.#isSpoiled) await this.#lease.destroy();
    else await this.#lease.giveBack();
  }

  /** The same as `release()`. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.release();
  }

  #assertUsable(): void {
    if (!this.#context.scope.isCurrent()) throw ScopeError.foreign();
    if (this.#released === undefined) return;
    throw new SessionEndedError(
      "Cannot run the statement as its connection was given back; run it before release()",
    );
  }
}

/** The statements ran, and a parser failed on their rows. */
function isUnreadable(error: Error): boolean {
  return error instanceof TypeError;
}
