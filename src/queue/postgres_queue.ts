/**
 * The transport where a process lives on: PostgreSQL itself, the outbox being the queue. Any number of processes share
 * the work. Of each user only the first event that is left is handed out, so that their order is kept.
 */

import { type Clock, type Database, type Sql, systemClock } from "../db/mod.ts";
import { Bell } from "./bell.ts";
import { Hand } from "./hand.ts";
import { pruneInbox } from "./inbox.ts";
import { FIRST_USER, type OutboxRow, takeFirstEvents } from "./outbox.ts";
import type { Consume } from "./transport.ts";

export interface PostgresQueueOptions {
  readonly db: Pick<Database, "transaction">;
  readonly consume: Consume;
  /** Messages under way at once, and so the most connections that the queue ever uses. */
  readonly concurrency: number;
  /** Longest pause between two looks for work that nobody here was told of. */
  readonly pollMs: number;
  /** Events taken in one round trip by one lane. */
  readonly batchSize?: number;
  /** After this long, what is in hand is given to others as well. */
  readonly leaseMs?: number;
  /** Told when events could not be taken or given back; they will be. */
  readonly onFailure: (error: unknown) => void;
  readonly clock?: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random?: () => number;
}

const FIRST_PAUSE_MS = 100;
const PRUNE_EVERY_MS = 60_000;

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
  #isStopping = false;

  /** Begins to take events at once. */
  constructor(options: PostgresQueueOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#pruneAtMs = this.#clock.now();
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

  /** Takes no more, finishes the messages under way, and gives back the rest. Never rejects. */
  async stop(): Promise<void> {
    this.#isStopping = true;
    this.#cancelPoll?.();
    this.#bell.ringForAll();
    await Promise.all(this.#lanes);
  }

  /** One message after the other, so that it uses one connection at most. */
  async #lane(isFirst: boolean): Promise<void> {
    let hand = new Hand([]);
    // The others begin when there is more than one of them can do.
    if (!isFirst) await this.#bell.heard();
    while (!this.#isStopping) {
      try {
        hand = await this.#exchange(hand);
      } catch (error) {
        // What is in hand is told next time.
        this.#options.onFailure(error);
        await this.#pause();
        continue;
      }
      if (hand.deliveries.length > 0) await this.#work(hand);
      else if (this.#after === FIRST_USER) await this.#pause();
      else this.#after = FIRST_USER;
    }
    await this.#settle(hand.settlement()).catch(this.#options.onFailure);
  }

  async #work({ deliveries }: Hand): Promise<void> {
    this.#lookSoon();
    // Where there are so many, there may be more.
    if (deliveries.length === this.#batchSize) this.#bell.ring();
    for (const delivery of deliveries) {
      if (this.#isStopping) return;
      await this.#options.consume(delivery);
    }
  }

  /** Tells how it went with what was in hand, and takes more, in one round trip. */
  async #exchange(hand: Hand): Promise<Hand> {
    const { db, leaseMs = 60_000 } = this.#options;
    const take = takeFirstEvents({ limit: this.#batchSize, leaseMs, after: this.#after });
    // What is told first may let a user's next event be taken.
    const statements = [...hand.settlement(), ...this.#pruning(), take];
    const answers = await db.transaction(
      (session) => session.commit(statements),
      { label: "queue" },
    );
    const rows = answers.at(-1) as OutboxRow[];
    // All users in turn, so that none waits for those before it forever.
    const users = rows.map(({ userId }) => userId).sort();
    if (rows.length > 0) this.#after = rows.length < this.#batchSize ? FIRST_USER : users.at(-1)!;
    return new Hand(rows);
  }

  async #settle(statements: readonly Sql[]): Promise<void> {
    if (statements.length === 0) return;
    await this.#options.db.transaction((session) => session.commit(statements), { label: "queue" });
  }

  #pruning(): Sql[] {
    if (this.#clock.now() < this.#pruneAtMs) return [];
    this.#pruneAtMs = this.#clock.now() + PRUNE_EVERY_MS;
    return [pruneInbox()];
  }

  get #batchSize(): number {
    return this.#options.batchSize ?? 20;
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
