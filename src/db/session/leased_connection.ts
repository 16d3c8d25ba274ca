/**
 * The connection of one transaction: leased with the first flight, sent over with a deadline, given back once.
 */
import type { FlightAnswer, Result, TransactionStatus } from "../driver/driver.ts";
import { ConnectionLostError } from "../errors.ts";
import type { Lease } from "../pool/lease.ts";
import type { FlightPlan } from "./flight_plan.ts";
import type { TransactionOutcome } from "./observer.ts";
import { sendWithDeadline } from "./send_with_deadline.ts";
import type { TransactionContext, TransactionRequest } from "./transaction_context.ts";
import { TransactionRecord } from "./unit_stats.ts";

/** How long this side waits beyond the server's own timeouts, before it takes silence for one. */
const ANSWER_GRACE_MS = 1_000;

export class LeasedConnection {
  readonly #context: TransactionContext;
  readonly #request: TransactionRequest;
  #lease: Lease | undefined;
  #record: TransactionRecord | undefined;
  #endsAt = Infinity;
  /** A cancel request may be on its way to the connection. It must not reach a statement of the next lease. */
  #mayBeCancelled = false;
  #lastResults: readonly Result[] = [];

  constructor(context: TransactionContext, request: TransactionRequest) {
    this.#context = context;
    this.#request = request;
  }

  /** Of the connection; `undefined` without one. */
  get status(): TransactionStatus | undefined {
    return this.#lease?.connection.status;
  }

  /** Of the newest flight, as far as its answer came. */
  get lastResults(): readonly Result[] {
    return this.#lastResults;
  }

  /** Leases a connection, if there is none yet. `fresh`: one that was never used. */
  async open({ fresh = false }: { fresh?: boolean } = {}): Promise<Lease> {
    return this.#lease ??= await this.#acquire({ fresh });
  }

  #acquire({ fresh }: { fresh: boolean }): Promise<Lease> {
    const { pool, scope, metrics, clock, observer } = this.#context;
    const { settings, signal, label, attempt } = this.#request;
    this.#record ??= new TransactionRecord(
      metrics,
      clock,
      observer?.transaction({ label, attempt, settings }),
    );
    const holdMs = (settings.transactionTimeoutMs || Infinity) + ANSWER_GRACE_MS;
    return pool.acquire({ scope, label, signal, fresh, holdMs });
  }

  async send(plan: FlightPlan): Promise<FlightAnswer> {
    const { signal, parsers } = this.#request;
    const observed = plan.observedParts;
    try {
      const answer = await this.#record!.flight(
        observed,
        () =>
          sendWithDeadline({ lease: this.#lease!, parts: plan.parts, parsers }, {
            clock: this.#context.clock,
            signal,
            timeoutMs: () => this.#answerTimeoutMs(observed.length),
            onCancel: () => this.#mayBeCancelled = true,
          }),
      );
      this.#lastResults = answer.results;
      return answer;
    } catch (error) {
      this.#lastResults = answeredBefore(error);
      throw error;
    }
  }

  /** Gives the connection back. */
  release(): Promise<void> | undefined {
    const lease = this.#lease;
    this.#lease = undefined;
    return this.#mayBeCancelled ? lease?.destroy() : lease?.release();
  }

  /** Closes the connection. Says whether there was one. */
  destroy(): boolean {
    const lease = this.#lease;
    this.#lease = undefined;
    void lease?.destroy();
    return lease !== undefined;
  }

  /** The transaction has ended. Counts once. */
  end(outcome: TransactionOutcome, error: Error | undefined): void {
    this.#record?.end(outcome, error);
  }

  /** How long to wait for a flight: the server's own timeouts, and a grace for its answer. */
  #answerTimeoutMs(statements: number): number {
    const { settings } = this.#request;
    // To PostgreSQL, 0 is no timeout.
    const statementTimeoutMs = settings.statementTimeoutMs || Infinity;
    const transactionTimeoutMs = settings.transactionTimeoutMs || Infinity;
    const nowMs = this.#context.clock.now();
    if (this.#endsAt === Infinity) this.#endsAt = nowMs + transactionTimeoutMs;
    const leftMs = Math.max(0, this.#endsAt - nowMs);
    return ANSWER_GRACE_MS + Math.min(statementTimeoutMs * statements, leftMs);
  }
}

/** The results that had come when the answer broke off. */
function answeredBefore(error: unknown): readonly Result[] {
  for (let depth = 0; depth < 3 && error instanceof Error; depth++, error = error.cause) {
    if (error instanceof ConnectionLostError) return error.answered;
  }
  return [];
}
