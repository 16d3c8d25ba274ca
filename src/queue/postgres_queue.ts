/**
 * The transport of a long-lived process: PostgreSQL itself, with the outbox as the queue. Any number of processes share
 * the work. Of each user only the event of the lowest version is delivered, so a user's events keep their order.
 */

import { type Clock, type Database, type Sql, systemClock } from "../db/mod.ts";
import { LeasedBatch } from "./leased_batch.ts";
import { FIRST_USER, OUTBOX_TRANSACTION, type OutboxRow, takeFirstEvents } from "./outbox.ts";
import { PRUNED_AT_ONCE, pruneSomeKeys } from "./prune.ts";
import { Signal } from "./signal.ts";
import type { Consume } from "./transport.ts";

export interface PostgresQueueOptions {
  readonly db: Pick<Database, "transaction">;
  readonly consume: Consume;
  /** Number of workers. Each processes one batch at a time, so this is also the most connections that the queue uses. */
  readonly concurrency: number;
  /** Longest pause between two polls of an idle queue, for events whose writer did not call `wake`. */
  readonly pollMs: number;
  /** Events that a worker takes in one round trip. */
  readonly batchSize?: number;
  /** Length of a lease. When it expires, the work on the batch is aborted and other workers may take its events. */
  readonly leaseMs?: number;
  /**
   * Called when the queue can no longer read or write the outbox. Not called again until a later attempt has succeeded.
   * The queue keeps trying.
   */
  readonly onFailure: (error: unknown) => void;
  readonly clock?: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

/** Many times what a message takes, even one that waits for a lock. */
const LEASE_MS = 60_000;
/** Enough to make a round trip worthwhile. Larger batches would delay the requests of the same process. */
const BATCH_SIZE = 10;
const FIRST_PAUSE_MS = 100;
const PRUNE_INTERVAL_MS = 60_000;
/** Enough to abort a statement on a server that does not answer, and to return the events over another connection. */
const RETURN_TIMEOUT_MS = 1_000;

const TRANSACTION = { ...OUTBOX_TRANSACTION, label: "queue" };

export class PostgresQueue {
  readonly #options: PostgresQueueOptions;
  readonly #clock: Clock;
  readonly #workSignal = new Signal();
  readonly #workers: readonly Promise<void>[];
  /** The next batch starts above this user id: the highest one of the last batch, if that was full. */
  #after = FIRST_USER;
  #pauseMs = FIRST_PAUSE_MS;
  #cancelPoll: (() => void) | undefined;
  #pruneAtMs: number;
  #isFailing = false;
  #isStopping = false;
  /** Aborts the running batches, and the exchanges with the outbox between them. */
  readonly #stopWork = new AbortController();
  /** Aborts the return of events to the outbox. */
  readonly #stopReturn = new AbortController();

  /** Starts to take events at once. */
  constructor(options: PostgresQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#pruneAtMs = this.#clock.now() + PRUNE_INTERVAL_MS;
    this.#workers = Array.from(
      { length: options.concurrency },
      (_, index) => this.#runWorker(index === 0),
    );
  }

  /** Call this when there may be a new event. */
  wake(): void {
    this.#pollSoon();
    this.#workSignal.notify();
  }

  /**
   * Takes no more events and lets the running batches finish; aborts what is unfinished after `timeoutMs`. Events without
   * an outcome go back to the outbox and are due at once. Resolves within a second of `timeoutMs`, whatever the database or
   * the consumer does; events that could not be returned by then are due when their leases expire. Never rejects.
   */
  async stop({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    this.#isStopping = true;
    this.#cancelPoll?.();
    this.#workSignal.notifyAll();
    const tooLate = Promise.withResolvers<void>();
    let cancel = this.#clock.after(timeoutMs, () => {
      this.#stopWork.abort();
      cancel = this.#clock.after(RETURN_TIMEOUT_MS, () => {
        this.#stopReturn.abort();
        tooLate.resolve();
      });
    });
    await Promise.race([Promise.all(this.#workers), tooLate.promise]);
    cancel();
  }

  /** Processes one batch after the other, so it uses one connection at most. */
  async #runWorker(isFirst: boolean): Promise<void> {
    let batch = new LeasedBatch([]);
    // The other workers start when there is more work than one can do.
    if (!isFirst) await this.#workSignal.wait();
    while (!this.#isStopping) {
      try {
        batch = await this.#ackAndTake(batch);
        this.#isFailing = false;
      } catch (error) {
        // `batch` still holds its outcomes; the next call sends them.
        if (this.#isStopping) break;
        this.#reportFailure(error);
        await this.#pause();
        continue;
      }
      if (batch.deliveries.length > 0) await this.#process(batch);
      else if (this.#after === FIRST_USER) await this.#pause();
      else this.#after = FIRST_USER;
    }
    await this.#sendOutcomes(batch).catch((error) => this.#reportFailure(error));
  }

  async #process(batch: LeasedBatch): Promise<void> {
    if (this.#isStopping) return;
    this.#pollSoon();
    // A full batch suggests more work: wake another worker.
    if (batch.deliveries.length === this.#batchSize) this.#workSignal.notify();
    const lease = new AbortController();
    const cancelExpiry = this.#clock.after(this.#leaseMs, () => {
      batch.expire();
      lease.abort();
    });
    const signal = AbortSignal.any([lease.signal, this.#stopWork.signal]);
    await this.#options.consume(batch.deliveries, { signal }).finally(cancelExpiry);
  }

  /** Sends the outcomes of the last batch and takes the next one, in one round trip. */
  async #ackAndTake(last: LeasedBatch): Promise<LeasedBatch> {
    const take = takeFirstEvents({
      limit: this.#batchSize,
      leaseMs: this.#leaseMs,
      after: this.#after,
    });
    const isPruning = this.#clock.now() >= this.#pruneAtMs;
    // Outcomes first: an ack makes the user's next event available to `take`.
    const statements = [
      ...last.outcomeStatements(),
      ...(isPruning ? [pruneSomeKeys()] : []),
      take,
    ];
    const options = { ...TRANSACTION, signal: this.#stopWork.signal };
    const answers = await this.#options.db.transaction(
      (session) => session.commit(statements),
      options,
    );
    // If the limit was reached, expired keys may be left: prune again with the next batch.
    if (isPruning && answers.at(-2)!.length < PRUNED_AT_ONCE) {
      this.#pruneAtMs = this.#clock.now() + PRUNE_INTERVAL_MS;
    }
    const rows = answers.at(-1) as OutboxRow[];
    // Round robin over the users: events of low user ids cannot starve the others.
    const users = rows.map(({ userId }) => userId).sort();
    if (rows.length > 0) this.#after = rows.length < this.#batchSize ? FIRST_USER : users.at(-1)!;
    return new LeasedBatch(rows);
  }

  async #sendOutcomes(batch: LeasedBatch): Promise<void> {
    const statements: Sql[] = batch.outcomeStatements();
    if (statements.length === 0) return;
    const options = { ...TRANSACTION, signal: this.#stopReturn.signal };
    await this.#options.db.transaction((session) => session.commit(statements), options);
  }

  #reportFailure(error: unknown): void {
    if (!this.#isFailing) this.#options.onFailure(error);
    this.#isFailing = true;
  }

  get #leaseMs(): number {
    return this.#options.leaseMs ?? LEASE_MS;
  }

  get #batchSize(): number {
    return this.#options.batchSize ?? BATCH_SIZE;
  }

  #pollSoon(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#cancelPoll?.();
    this.#cancelPoll = undefined;
  }

  /**
   * Waits for `wake` or for the next poll. The pause doubles with each poll of an idle queue, up to `pollMs`. All idle
   * workers share one poll timer, which wakes one of them.
   */
  async #pause(): Promise<void> {
    if (this.#isStopping) return;
    const { pollMs, random = Math.random } = this.#options;
    this.#cancelPoll ??= this.#clock.after(this.#pauseMs * (1 + random()) / 2, () => {
      this.#cancelPoll = undefined;
      this.#pauseMs = Math.min(pollMs, this.#pauseMs * 2);
      this.#workSignal.notify();
    });
    await this.#workSignal.wait();
  }
}
