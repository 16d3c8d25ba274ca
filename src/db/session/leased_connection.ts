/** The connection of one transaction: leased for the first flight, used under a deadline, given back once. */
import type { Endpoint, FlightAnswer, Result, TransactionStatus } from "../driver/driver.ts";
import { ConnectionLostError, DeadlineError, ServerError } from "../errors.ts";
import { classify } from "../failures/classify.ts";
import { Lease } from "../pool/lease.ts";
import type { Pool } from "../pool/pool.ts";
import type { AcquireOptions } from "../pool/pool_options.ts";
import type { ReadServer } from "../pool/replicas/read_server.ts";
import type { FlightPlan } from "./flight_plan.ts";
import type { TransactionOutcome } from "./observer.ts";
import { sendWithDeadline } from "./send_with_deadline.ts";
import type { TransactionContext, TransactionRequest } from "./transaction_context.ts";
import { TransactionRecord } from "./unit_stats.ts";

/** How long the client waits beyond the server's own timeouts before it gives up on the answer. */
export const ANSWER_GRACE_MS = 1_000;

/** What a flight needs of its connection. */
export interface ConnectionWish extends Pick<AcquireOptions, "fresh" | "shares" | "again"> {
  /** The flight is the whole transaction, so that the database's endpoint may run it. */
  readonly isWhole?: boolean;
  /** Of the replica that is to answer. The primary by default. */
  readonly server?: ReadServer;
}

export class LeasedConnection {
  readonly #context: TransactionContext;
  readonly #request: TransactionRequest;
  #lease: Lease | undefined;
  /** Set if it is a replica's. */
  #replica: ReadServer | undefined;
  #record: TransactionRecord | undefined;
  /** On the clock: the server's transaction timeout, counted from the first flight. */
  #endsAt = Infinity;
  /**
   * The connection must not be used again: its own state made a statement fail, or a cancel request may be in flight, which
   * must not hit the next lease's statement.
   */
  #isSpoiled = false;
  #wasStale = false;
  #isRemote = false;
  #lastResults: readonly Result[] = [];
  /** When the newest flight was answered; `undefined` if it was not. */
  #answeredAtMs: number | undefined;

  constructor(context: TransactionContext, request: TransactionRequest) {
    this.#context = context;
    this.#request = request;
  }

  /** The status byte of the connection; `undefined` without a connection. */
  get status(): TransactionStatus | undefined {
    return this.#lease?.connection.status;
  }

  /** `undefined` while none is leased. */
  get lease(): Lease | undefined {
    return this.#lease;
  }

  /** Whether it had been idle in the pool, and turned out to be useless. */
  get wasStale(): boolean {
    return this.#wasStale;
  }

  /** The results of the newest flight that have arrived. */
  get lastResults(): readonly Result[] {
    return this.#lastResults;
  }

  /** Whether the database's endpoint runs the transaction. */
  get isRemote(): boolean {
    return this.#isRemote;
  }

  /** Leases a connection if there is none yet, or takes one of the endpoint's. */
  open(wish: ConnectionWish): Promise<Lease> {
    if (this.#lease !== undefined) return Promise.resolve(this.#lease);
    const { pool, endpoint } = wish.server ?? this.#context;
    const remote = wish.isWhole && this.#mayBeRemote ? endpoint : undefined;
    this.#isRemote = remote !== undefined;
    this.#startRecord();
    this.#endsAt = Infinity;
    this.#isSpoiled = this.#wasStale = false;
    this.#lastResults = [];
    this.#replica = wish.server;
    if (remote === undefined) return this.#acquire(pool, wish);
    return Promise.resolve(this.#lease = endpointLease(remote));
  }

  /**
   * Whether the endpoint may run the transaction. Only one whose outcome matters little or can be found without the
   * connection: one that is read only or has a key. Behind its COMMIT nothing can be asked.
   */
  get #mayBeRemote(): boolean {
    const { settings, isKeyed, onNotice } = this.#request;
    if (onNotice !== undefined) return false;
    // The endpoint cannot say READ WRITE to a role whose default is read only.
    return settings.readOnly ?? (isKeyed && this.#context.replicas === undefined);
  }

  #acquire(
    pool: Pool,
    { fresh = this.#request.fresh, shares = false, again = false }: ConnectionWish,
  ): Promise<Lease> {
    const { scope, holder } = this.#context;
    const { settings, signal, label } = this.#request;
    const holdMs = (settings.transactionTimeoutMs || Infinity) + ANSWER_GRACE_MS;
    const options = { scope, holder, label, signal, fresh, shares, again, holdMs };
    return pool.acquire(options).then((lease) => {
      this.#record?.leased(lease);
      return this.#lease = lease;
    });
  }

  #startRecord(): void {
    const { metrics, clock, observer } = this.#context;
    const { settings, label, attempt } = this.#request;
    this.#record ??= new TransactionRecord(
      metrics,
      clock,
      observer?.transaction({ label, attempt, settings, isRemote: this.#isRemote }),
    );
  }

  /** Rejects if the server gave no whole answer. `nowMs` is the time. */
  async send(plan: FlightPlan, nowMs: number): Promise<FlightAnswer> {
    const { signal, parsers, onNotice } = this.#request;
    const { clock, deadlines } = this.#context;
    const observed = plan.observedParts;
    // Checked here, because the signal may have aborted while the transaction waited for its connection.
    if (signal?.aborted) throw abortedError(signal);
    plan.wasSent = true;
    const end = this.#record!.beginFlight(observed, nowMs, this.#replica?.address);
    try {
      const flight = { lease: this.#lease!, parts: plan.parts, parsers, onNotice };
      const answer = await sendWithDeadline(flight, {
        clock: deadlines,
        nowMs,
        signal,
        timeoutMs: (nowMs) => this.#answerTimeoutMs(observed.length, nowMs),
        onCancel: () => this.#isSpoiled = true,
      });
      end(this.#answeredAtMs = clock.now(), answer.error);
      this.#lastResults = answer.results;
      if (answer.error !== undefined) this.#noteError(answer.error);
      return answer;
    } catch (error) {
      this.#answeredAtMs = undefined;
      end(clock.now(), error);
      this.#lastResults = answeredBefore(error);
      throw error;
    }
  }

  #noteError(error: Error): void {
    if (error instanceof ServerError && this.#request.settings.readOnly) error.wasReadOnly = true;
    if (classify(error, "statement").connection !== "useless") return;
    this.#isSpoiled = true;
    this.#wasStale = this.#lease?.idleMs !== undefined;
  }

  /** Gives the connection back to the pool, or closes it if it must not be used again. */
  release(): Promise<void> | undefined {
    const lease = this.#lease;
    this.#lease = undefined;
    return this.#isSpoiled ? lease?.destroy() : lease?.giveBack();
  }

  /** Closes the connection. Resolves when its permit is free. */
  destroy(cause?: "leftState"): Promise<void> | undefined {
    const lease = this.#lease;
    this.#lease = undefined;
    return lease?.destroy(cause);
  }

  /** Records the end of the transaction. Only the first call counts. */
  end(outcome: TransactionOutcome, error: Error | undefined): void {
    // The answer to COMMIT has just come.
    const nowMs = outcome === "committed" ? this.#answeredAtMs : undefined;
    this.#record?.end(outcome, error, nowMs);
  }

  /** How long to wait for the answer to a flight: the server's timeouts, plus a grace period. */
  #answerTimeoutMs(statements: number, nowMs: number): number {
    const { settings } = this.#request;
    // PostgreSQL takes 0 as no timeout.
    const statementTimeoutMs = settings.statementTimeoutMs || Infinity;
    const transactionTimeoutMs = settings.transactionTimeoutMs || Infinity;
    if (this.#endsAt === Infinity) this.#endsAt = nowMs + transactionTimeoutMs;
    const leftMs = Math.max(0, this.#endsAt - nowMs);
    return ANSWER_GRACE_MS + Math.min(statementTimeoutMs * statements, leftMs);
  }
}

/** Takes no permit. */
function endpointLease(endpoint: Endpoint): Lease {
  const connection = endpoint.connect();
  const close = () => connection.close({ timeoutMs: 0 });
  const onReturn = { release: close, destroy: close };
  return new Lease(connection, { idleMs: undefined, number: 1, onReturn });
}

/** Nothing was sent. */
export function abortedError({ reason }: AbortSignal): DeadlineError {
  return new DeadlineError("Cannot run the statement: the caller gave up", { cause: reason });
}

/** The results that arrived before the connection was lost. */
function answeredBefore(error: unknown): readonly Result[] {
  for (let depth = 0; depth < 3 && error instanceof Error; depth++, error = error.cause) {
    if (error instanceof ConnectionLostError) return error.answered;
  }
  return [];
}
