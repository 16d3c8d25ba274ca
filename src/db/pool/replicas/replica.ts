/** What is known of one replica: how far it was when it answered last, and whether it answers. */
import type { Statement } from "../../driver/driver.ts";
import type { Clock } from "../../time/clock.ts";
import { bytesBehind, hasReached, type Position } from "./position.ts";
import type { ReadServer, ServerAddress } from "./read_server.ts";
import { askReplayed } from "./server_position.ts";

/** A replica that has failed is left out for up to this long. Then one read tries it, and the others wait for its answer. */
const LEFT_OUT_MS = 1_000;

/** A replica that leaves all reads without an answer for this long counts as failed. */
const SILENCE_MAX_MS = 1_000;

/** How often a read tries a replica that was behind what the read needs. */
const BEHIND_MS = 100;

/** Reads that went to a replica. */
export interface ReplicaCounters {
  /** Their answers were taken. */
  reads: number;
  /** It was too far behind, so that the primary answered. */
  stale: number;
  /** It did not answer, or is no replica of the primary. */
  failed: number;
  /** It answered by an error that the primary need not have, so that the primary was asked as well. */
  errors: number;
}

/** A position that a server had at that time or later. */
export interface Mark {
  readonly position: Position;
  readonly atMs: number;
}

/** How far a replica was behind the primary, by what both have told last. */
export interface ReplicaLag {
  /** Of the primary's log. */
  readonly bytes: number;
  /** How long ago the first of the two told. */
  readonly ageMs: number;
}

/** What is known of one replica. */
export interface ReplicaState extends Readonly<ReplicaCounters> {
  /** `ReadServer.address`. */
  readonly address: ServerAddress;
  /** Whether it has failed, and has not answered since. */
  readonly isLeftOut: boolean;
  /** `undefined` before both have told, or if they are on two timelines. */
  readonly lag: ReplicaLag | undefined;
}

export class Replica {
  readonly server: ReadServer;
  readonly question: Statement = askReplayed();
  readonly counters: ReplicaCounters = { reads: 0, stale: 0, failed: 0, errors: 0 };
  readonly #clock: Clock;
  readonly #random: () => number;
  /** As its newest answer has told. */
  #replayed: Mark | undefined;
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
    const { reads, stale, failed, errors } = this.counters;
    return reads + stale + failed + errors;
  }

  /** `newest`: of the primary. */
  state(newest: Mark | undefined, nowMs: number): ReplicaState {
    return {
      ...this.counters,
      address: this.server.address,
      isLeftOut: this.#tryAtMs !== undefined || this.#isSilent(nowMs),
      lag: lagOf(this.#replayed, newest, nowMs),
    };
  }

  /** Why a read that needs this position must not go to it now. `undefined` if it may. */
  refusal(wanted: Position, nowMs: number): "unavailable" | "behind" | undefined {
    if (this.#isSilent(nowMs)) this.#tryAtMs ??= nowMs + this.#upTo(LEFT_OUT_MS);
    if (this.#tryAtMs !== undefined && nowMs < this.#tryAtMs) return "unavailable";
    return this.#has(wanted) || nowMs >= this.#askAtMs ? undefined : "behind";
  }

  #isSilent(nowMs: number): boolean {
    return this.#unanswered > 0 && nowMs - this.#heardAtMs > SILENCE_MAX_MS;
  }

  /** A read that it does not refuse goes to it. `answered` or `failed` must follow. */
  begin(wanted: Position, nowMs: number): void {
    if (this.#tryAtMs !== undefined) this.#tryAtMs = nowMs + this.#upTo(LEFT_OUT_MS);
    if (!this.#has(wanted)) this.#askAtMs = nowMs + this.#upTo(BEHIND_MS);
    if (this.#unanswered++ === 0) this.#heardAtMs = nowMs;
  }

  /** It has answered, and had replayed this much. */
  answered(replayed: Position, countAs: "reads" | "stale" | "errors"): void {
    this.#unanswered--;
    this.#heardAtMs = this.#clock.now();
    this.#tryAtMs = undefined;
    this.#replayed = { position: replayed, atMs: this.#heardAtMs };
    this.counters[countAs]++;
  }

  /** The read failed. `leavesOut`: others would fail as well. */
  failed({ leavesOut }: { leavesOut: boolean }): void {
    this.#unanswered--;
    this.counters.failed++;
    if (leavesOut) this.#tryAtMs = this.#clock.now() + this.#upTo(LEFT_OUT_MS);
  }

  #has(wanted: Position): boolean {
    return this.#replayed !== undefined && hasReached(this.#replayed.position, wanted);
  }

  /** From a half of it to the whole, so that the processes of a service do not try in the same moment. */
  #upTo(ms: number): number {
    return ms * (1 + this.#random()) / 2;
  }
}

function lagOf(
  replayed: Mark | undefined,
  written: Mark | undefined,
  nowMs: number,
): ReplicaLag | undefined {
  if (replayed === undefined || written === undefined) return undefined;
  const bytes = bytesBehind(replayed.position, written.position);
  return bytes === undefined
    ? undefined
    : { bytes, ageMs: nowMs - Math.min(replayed.atMs, written.atMs) };
}
