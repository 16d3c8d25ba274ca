/**
 * The transport where a process lives on: PostgreSQL itself, the outbox being the queue. Any number of processes share
 * the work. Of each user only the first event that is left is handed out, so that their order is kept.
 */

import { type Clock, type Database, type Sql, systemClock } from "../db/mod.ts";
import { Bell } from "./bell.ts";
import { Hand } from "./hand.ts";
import { FIRST_USER, OUTBOX_UNIT, type OutboxRow, takeFirstEvents } from "./outbox.ts";
import { PRUNED_AT_ONCE, pruneSomeKeys } from "./prune.ts";
import type { Consume } from "./transport.ts";

export interface PostgresQueueOptions {
  readonly db: Pick<Database, "transaction">;
  readonly consume: Consume;
  /** Lanes, each with a batch under way, and so the most connections that the queue ever uses. */
  readonly concurrency: number;
  /** Longest pause between two looks for work that nobody here was told of. */
  readonly pollMs: number;
  /** Events taken in one round trip by one lane. */
  readonly batchSize?: number;
  /** After this long, the work on what is in hand is cut, and others are given it. */
  readonly leaseMs?: number;
  /** Told when events cannot be taken or given back any more, not again until they can; they will be. */
  readonly onFailure: (error: unknown) => void;
  readonly clock?: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

/** Many times what a message takes, also one that waits for a lock. */
const LEASE_MS = 60_000;
/** As many as a round trip is worth; more would hold up the requests of the same process. */
const BATCH_SIZE = 10;
const FIRST_PAUSE_MS = 100;
const PRUNE_EVERY_MS = 60_000;

const UNIT = { ...OUTBOX_UNIT, label: "queue" };

export class PostgresQueue {
  readonly #options: PostgresQueueOptions;
  readonly #clock: Clock;
  readonly #bell = new Bell();
  readonly #lanes: readonly Promise<void>[];
  /** The last user who has had a turn. */
  #after = FIRST_USER;
  #pauseMs = FIRST_PAUSE_MS;
  #cancelPoll: (() => void) | undefined;
  #pruneAtMs: number;
  #isFailing = false;
  #isStopping = false;
  readonly #cutting = new AbortController();

  /** Begins to take events at once. */
  constructor(options: PostgresQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#pruneAtMs = this.#clock.now() + PRUNE_EVERY_MS;
    this.#lanes = Array.from(
      { length: options.concurrency },
      (_, index) => this.#lane(index === 0),
    );
  }

  /** To be called when there may be a new event. */
  wake(): void {
    this.#lookSoon();
    this.#bell.ring();
  }

  /**
   * Takes no more, lets the batches under way finish, and gives back the rest. After `timeoutMs` they are cut, and what
   * was not done is given back. Never rejects.
   */
  async stop({ timeoutMs }: { timeoutMs: number }): Promise<void> {
    this.#isStopping = true;
    this.#cancelPoll?.();
    this.#bell.ringForAll();
    const cancelCut = this.#clock.after(timeoutMs, () => this.#cutting.abort());
    await Promise.all(this.#lanes);
    cancelCut();
  }

  /** One batch after the other, so that it uses one connection at most. */
  async #lane(isFirst: boolean): Promise<void> {
    let hand = new Hand([]);
    // The others begin when there is more than one of them can do.
    if (!isFirst) await this.#bell.heard();
    while (!this.#isStopping) {
      try {
        hand = await this.#exchange(hand);
        this.#isFailing = false;
      } catch (error) {
        // What is in hand is told next time.
        this.#tellFailure(error);
        await this.#pause();
        continue;
      }
      if (hand.deliveries.length > 0) await this.#work(hand);
      else if (this.#after === FIRST_USER) await this.#pause();
      else this.#after = FIRST_USER;
    }
    await this.#settle(hand.settlement()).catch((error) => this.#tellFailure(error));
  }

  async #work(hand: Hand): Promise<void> {
    if (this.#isStopping) return;
    this.#lookSoon();
    // Where there are so many, there may be more.
    if (hand.deliveries.length === this.#batchSize) this.#bell.ring();
    const lease = new AbortController();
    const cancelEnd = this.#clock.after(this.#leaseMs, () => {
      hand.expire();
      lease.abort();
    });
    const signal = AbortSignal.any([lease.signal, this.#cutting.signal]);
    await this.#options.consume(hand.deliveries, { signal }).finally(cancelEnd);
  }

  /** Tells how it went with what was in hand, and takes more, in one round trip. */
  async #exchange(hand: Hand): Promise<Hand> {
    const take = takeFirstEvents({
      limit: this.#batchSize,
      leaseMs: this.#leaseMs,
      after: this.#after,
    });
    const isPruning = this.#clock.now() >= this.#pruneAtMs;
    // What is told first may let a user's next event be taken.
    const statements = [...hand.settlement(), ...(isPruning ? [pruneSomeKeys()] : []), take];
    const { db } = this.#options;
    const answers = await db.transaction((session) => session.commit(statements), UNIT);
    // Where all that it may was pruned, there may be more.
    if (isPruning && answers.at(-2)!.length < PRUNED_AT_ONCE) {
      this.#pruneAtMs = this.#clock.now() + PRUNE_EVERY_MS;
    }
    const rows = answers.at(-1) as OutboxRow[];
    // All users in turn, so that none waits for those before it forever.
    const users = rows.map(({ userId }) => userId).sort();
    if (rows.length > 0) this.#after = rows.length < this.#batchSize ? FIRST_USER : users.at(-1)!;
    return new Hand(rows);
  }

  async #settle(statements: readonly Sql[]): Promise<void> {
    if (statements.length === 0) return;
    await this.#options.db.transaction((session) => session.commit(statements), UNIT);
  }

  #tellFailure(error: unknown): void {
    if (!this.#isFailing) this.#options.onFailure(error);
    this.#isFailing = true;
  }

  get #leaseMs(): number {
    return this.#options.leaseMs ?? LEASE_MS;
  }

  get #batchSize(): number {
    return this.#options.batchSize ?? BATCH_SIZE;
  }

  #lookSoon(): void {
    this.#pauseMs = FIRST_PAUSE_MS;
    this.#cancelPoll?.();
    this.#cancelPoll = undefined;
  }

  /** Until there may be work: somebody says so, or it is time to look. However many lanes are idle, one looks. */
  async #pause(): Promise<void> {
    if (this.#isStopping) return;
    const { pollMs, random = Math.random } = this.#options;
    this.#cancelPoll ??= this.#clock.after(this.#pauseMs * (1 + random()) / 2, () => {
      this.#cancelPoll = undefined;
      this.#pauseMs = Math.min(pollMs, this.#pauseMs * 2);
      this.#bell.ring();
    });
    await this.#bell.heard();
  }
}
