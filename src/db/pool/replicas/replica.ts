/** What is known of one replica: how far it was when it answered last, and whether it answers. */
import type { Statement } from "../../driver/driver.ts";
import type { Clock } from "../../time/clock.ts";
import { hasReached, type Position } from "./position.ts";
import type { ReadServer } from "./replicas.ts";
import { askReplayed } from "./server_position.ts";

/** A replica that has failed is left out for up to this long. Then one read tries it, and the others wait for its answer. */
const LEFT_OUT_MS = 1_000;

/** A replica that leaves all reads without an answer for this long counts as failed. */
const SILENCE_MAX_MS = 1_000;

/** How often a read tries a replica that was behind what the read needs. */
const BEHIND_MS = 100;

/** Reads that went to a replica. */
export interface ReplicaCounters {
  /** It has answered them, and was new enough. */
  reads: number;
  /** It was too far behind, so that the primary answered. */
  stale: number;
  /** It did not answer, or is no replica of the primary. */
  failed: number;
}

export class Replica {
  readonly server: ReadServer;
  readonly question: Statement = askReplayed();
  readonly counters: ReplicaCounters = { reads: 0, stale: 0, failed: 0 };
  readonly #clock: Clock;
  readonly #random: () => number;
  /** As its newest answer has told. */
  #replayed: Position | undefined;
  /** Reads that have no answer yet. */
  #unanswered = 0;
  /** When it answered last, or since when it owes an answer. */
  #heardAtMs = 0;
  /** Set while it is left out: when a read may try it. */
  #tryAtMs: number | undefined;
  /** When a read may try it that needs more than it had replayed. */
  #askAtMs = 0;

  constructor(server: ReadServer, { clock, random }: { clock: Clock; random: () => number }) {
    this.server = server;
    this.#clock = clock;
    this.#random = random;
  }

  /** The replica with the least load is next: by reads without an answer, then by all that it has had. */
  isLessLoaded(than: Replica): boolean {
    return this.#unanswered < than.#unanswered ||
      this.#unanswered === than.#unanswered && this.#total < than.#total;
  }

  get #total(): number {
    const { reads, stale, failed } = this.counters;
    return reads + stale + failed;
  }

  /** Whether a read that needs this position may go to it now. */
  admits(wanted: Position, nowMs: number): boolean {
    if (this.#unanswered > 0 && nowMs - this.#heardAtMs > SILENCE_MAX_MS) {
      this.#tryAtMs ??= nowMs + this.#upTo(LEFT_OUT_MS);
    }
    if (this.#tryAtMs !== undefined && nowMs < this.#tryAtMs) return false;
    return this.#has(wanted) || nowMs >= this.#askAtMs;
  }

  /** A read that it admits goes to it. `answered` or `failed` must follow. */
  begin(wanted: Position, nowMs: number): void {
    if (this.#tryAtMs !== undefined) this.#tryAtMs = nowMs + this.#upTo(LEFT_OUT_MS);
    if (!this.#has(wanted)) this.#askAtMs = nowMs + this.#upTo(BEHIND_MS);
    if (this.#unanswered++ === 0) this.#heardAtMs = nowMs;
  }

  /** It has answered, and had replayed this much. Returns whether that is what the read needs. */
  answered(replayed: Position, wanted: Position): boolean {
    this.#unanswered--;
    this.#heardAtMs = this.#clock.now();
    this.#tryAtMs = undefined;
    this.#replayed = replayed;
    const isEnough = hasReached(replayed, wanted);
    this.counters[isEnough ? "reads" : "stale"]++;
    return isEnough;
  }

  /** The read failed. `leavesOut`: others would fail as well. */
  failed({ leavesOut }: { leavesOut: boolean }): void {
    this.#unanswered--;
    this.counters.failed++;
    if (leavesOut) this.#tryAtMs = this.#clock.now() + this.#upTo(LEFT_OUT_MS);
  }

  #has(wanted: Position): boolean {
    return this.#replayed !== undefined && hasReached(this.#replayed, wanted);
  }

  /** From a half of it to the whole, so that the processes of a service do not try in the same moment. */
  #upTo(ms: number): number {
    return ms * (1 + this.#random()) / 2;
  }
}
