/**
 * Which server a read goes to: a replica that is new enough, or the primary.
 *
 * A replica must have replayed the primary's log up to a position. It is the later one of two:
 *
 * - the position that the caller brings, so that it reads its own writes;
 * - a mark: a position that the primary had no longer ago than `maxStalenessMs`, so that no read is older than that. What a
 *   replica knows by itself cannot tell: one that has lost its primary has replayed all that it has received, and the time
 *   since its newest transaction grows while nothing is written.
 *
 * The replica tells how far it is in the same flight as the rows, and before them. It replays the log in one direction, so
 * that the statements behind, each of which has a snapshot of its own, see at least as much. That is why the level is
 * `read committed`: a transaction's one snapshot would be older than what the replica tells.
 */
import type { Result, Statement } from "../../driver/driver.ts";
import type { Lease } from "../lease.ts";
import type { OwnerScope } from "../owner_scope.ts";
import type { Pool } from "../pool.ts";
import type { PoolStats } from "../pool_stats.ts";
import type { PoolView } from "../pool_view.ts";
import type { Clock } from "../../time/clock.ts";
import { completesWithin } from "../../time/timeout.ts";
import { noFallbacks, type ReplicaFallbacks } from "./fallbacks.ts";
import { hasReached, isPosition, ONLY_PRIMARY, type Position } from "./position.ts";
import type { ReadServer } from "./read_server.ts";
import { type Mark, Replica, type ReplicaState } from "./replica.ts";
import { ReplicaRead } from "./replica_read.ts";
import { askWritten, readPosition } from "./server_position.ts";

/** The replicas of a database. */
export interface ReplicasOptions {
  /** The primary's connections. */
  readonly primary: Pool;
  /** The replicas. */
  readonly servers: readonly ReadServer[];
  /** No read is older than this. */
  readonly maxStalenessMs: number;
  /** That of the database. */
  readonly clock: Clock;
  /** At least 0 and below 1, as `Math.random`. */
  readonly random: () => number;
}

/** What is known of one replica, and the counts of its pool. */
export interface ReplicaStats extends PoolStats, ReplicaState {}

/** How many marks are made in `maxStalenessMs`. */
const MARKS = 4;

/** How soon the primary is asked again if no mark has come. */
const MARK_AGAIN_MS = 1_000;

/** Longest wait for the primary's answer. */
const MARK_TIMEOUT_MS = 5_000;

/** What a read needs of the replica that answers it. */
export interface ReplicaWish {
  /** The `Session.position` of a commit that the read must see. */
  readonly after?: Position | undefined;
}

/** What `Replicas.choose` needs to know of a transaction. */
export interface ReadSettings {
  readonly readOnly?: boolean | undefined;
  readonly isolation: string;
}

/** The replicas of a database, for its `DatabaseOptions.replicas`. */
export class Replicas {
  /** @internal Asks the primary for its position. Behind a COMMIT it gives one that has the commit. */
  readonly question: Statement = askWritten();
  readonly #primary: Pool;
  readonly #replicas: readonly Replica[];
  readonly #maxStalenessMs: number;
  readonly #clock: Clock;
  /** From old to new, all so far apart that `MARKS + 1` of them cover `maxStalenessMs`. */
  #marks: readonly Mark[] = [];
  /** What the primary has told last. */
  #newest: Mark | undefined;
  readonly #fallbacks: ReplicaFallbacks = noFallbacks();
  /** When the primary is to be asked for the next mark, if no write brings it before. */
  #markAtMs = -Infinity;
  #isAsking = false;

  /** Opens and sends nothing. */
  constructor({ primary, servers, maxStalenessMs, clock, random }: ReplicasOptions) {
    this.#primary = primary;
    this.#replicas = servers.map((server) => new Replica(server, { clock, random }));
    this.#maxStalenessMs = maxStalenessMs;
    this.#clock = clock;
  }

  /** As `Pool.close`, for the connections of all replicas. */
  async close(options: { timeoutMs: number }): Promise<void> {
    await Promise.all(this.#replicas.map(({ server }) => server.pool.close(options)));
  }

  /** What is known of each replica, in the order of the options. */
  stats(): readonly ReplicaStats[] {
    const nowMs = this.#clock.now();
    return this.#replicas.map((replica) => ({
      ...replica.server.pool.stats(),
      ...replica.state(this.#newest, nowMs),
    }));
  }

  /** The reads that the primary has answered instead. */
  fallbacks(): Readonly<ReplicaFallbacks> {
    return { ...this.#fallbacks };
  }

  /** Every connection and waiter of each replica's pool, in the order of the options. */
  inspect(): readonly PoolView[] {
    return this.#replicas.map(({ server }) => server.pool.inspect());
  }

  /**
   * @internal A replica for a read. `undefined`: the primary must answer. Throws `TypeError` for a transaction that may write, and for
   * what is no position.
   */
  choose(
    { after }: ReplicaWish,
    scope: OwnerScope,
    { readOnly, isolation }: ReadSettings,
  ): ReplicaRead | undefined {
    if (readOnly !== true) {
      throw new TypeError(
        `Cannot let a replica answer as the session may write: current readOnly is ${readOnly}; set it to true`,
      );
    }
    if (after !== undefined && !isPosition(after)) {
      throw new TypeError(
        "Cannot read after a commit as 'after' is no position; pass the position of a session that has committed",
      );
    }
    if (isolation !== "read committed") return this.#fallBack("isolation");
    const nowMs = this.#clock.now();
    if (nowMs >= this.#markAtMs && !this.#isAsking) void this.#askForMark(scope);
    const mark = this.#marks.find(({ atMs }) => nowMs - atMs <= this.#maxStalenessMs)?.position;
    if (mark === undefined) return this.#fallBack("unmarked");
    const wanted = laterOf(mark, after);
    if (wanted === undefined) return this.#fallBack("position");
    let chosen: Replica | undefined;
    let reason: "unavailable" | "behind" = "unavailable";
    for (const replica of this.#replicas) {
      const refusal = replica.refusal(wanted, nowMs);
      if (refusal === "behind") reason = refusal;
      if (refusal !== undefined) continue;
      if (chosen === undefined || replica.isLessLoaded(chosen)) chosen = replica;
    }
    if (chosen === undefined) return this.#fallBack(reason);
    chosen.begin(wanted, nowMs);
    return new ReplicaRead(chosen, wanted, this.#fallbacks);
  }

  #fallBack(reason: keyof ReplicaFallbacks): undefined {
    this.#fallbacks[reason]++;
  }

  /**
   * Asks the primary on its own, so that no caller's read has to go there for it: the primary may be out of reach while the
   * replicas are not. Never rejects.
   */
  async #askForMark(scope: OwnerScope): Promise<void> {
    let lease: Lease | undefined;
    this.#isAsking = true;
    this.#markAtMs = this.#clock.now() + Math.min(MARK_AGAIN_MS, this.#everyMs);
    try {
      lease = await this.#primary.acquire({ scope, label: "position for replicas" });
      const { connection } = lease;
      const askedAtMs = this.#clock.now();
      const answer = connection.flight([this.question]);
      answer.catch(() => {});
      if (await completesWithin(answer, MARK_TIMEOUT_MS, this.#clock)) {
        this.note((await answer).results[0], askedAtMs);
      } else void lease.destroy();
    } catch {
      // Without a mark the primary answers the reads, or tells its failure.
    } finally {
      this.#isAsking = false;
      void lease?.release();
    }
  }

  /** @internal The primary has answered the question, which was sent at `atMs`. Returns its position. */
  note(answer: Result | undefined, atMs: number): Position {
    const position = readPosition(answer);
    if (position === undefined) return ONLY_PRIMARY;
    if (this.#newest === undefined || atMs >= this.#newest.atMs) this.#newest = { position, atMs };
    const newest = this.#marks.at(-1);
    if (newest === undefined || atMs >= newest.atMs + this.#everyMs) {
      this.#marks = [...this.#marks, { position, atMs }].slice(-MARKS - 1);
      this.#markAtMs = atMs + this.#everyMs;
    }
    return position;
  }

  get #everyMs(): number {
    return this.#maxStalenessMs / MARKS;
  }
}

/** `undefined` if their order has no meaning. */
function laterOf(mark: Position, after: Position | undefined): Position | undefined {
  if (after === undefined || hasReached(mark, after)) return mark;
  return hasReached(after, mark) ? after : undefined;
}
