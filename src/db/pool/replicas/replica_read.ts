import type { FlightAnswer, Result, Statement } from "../../driver/driver.ts";
import {
  AcquireTimeoutError,
  ConnectError,
  ConnectionLostError,
  DeadlineError,
  ServerError,
} from "../../errors.ts";
import { classify } from "../../failures/classify.ts";
import type { Lease } from "../lease.ts";
import type { ReplicaFallbacks } from "./fallbacks.ts";
import { hasReached, type Position } from "./position.ts";
import type { ReadServer } from "./read_server.ts";
import type { Replica } from "./replica.ts";
import { readPosition } from "./server_position.ts";

/** A read on a replica. Either `accepts` or `isForPrimary` must be called, once. */
export class ReplicaRead {
  readonly #replica: Replica;
  readonly #wanted: Position;
  readonly #fallbacks: ReplicaFallbacks;

  /** Counts in `fallbacks` if the read is for the primary. */
  constructor(replica: Replica, wanted: Position, fallbacks: ReplicaFallbacks) {
    this.#replica = replica;
    this.#wanted = wanted;
    this.#fallbacks = fallbacks;
  }

  get server(): ReadServer {
    return this.#replica.server;
  }

  /** To be asked before the read's own statements. */
  get question(): Statement {
    return this.#replica.question;
  }

  /**
   * Whether the server is a replica and new enough, and the answer is what the primary would give. What has failed may name
   * what the replica does not have yet, or conflict with what it replays.
   */
  accepts({ error }: FlightAnswer, told: Result | undefined): boolean {
    const replayed = readPosition(told);
    if (replayed === undefined) {
      this.#replica.failed({ leavesOut: true });
      this.#fallbacks.unavailable++;
      return false;
    }
    if (!hasReached(replayed, this.#wanted)) {
      this.#replica.answered(replayed, "stale");
      this.#fallbacks.behind++;
      return false;
    }
    if (error instanceof ServerError && maySucceedElsewhere(error)) {
      this.#replica.answered(replayed, "errors");
      this.#fallbacks.error++;
      return false;
    }
    this.#replica.answered(replayed, "reads");
    return true;
  }

  /**
   * Whether a read without an answer is for the primary: not if its caller gave up, or it took too long. `lease`: on which it
   * was sent, if it got one.
   */
  isForPrimary(
    error: unknown,
    { signal, lease }: { signal: AbortSignal | undefined; lease: Lease | undefined },
  ): boolean {
    const isOver = signal?.aborted === true;
    this.#replica.failed({ leavesOut: !isOver && showsFailure(error, lease) });
    const isForPrimary = !isOver && maySucceedElsewhere(error);
    if (isForPrimary) this.#fallbacks.unavailable++;
    return isForPrimary;
  }
}

/**
 * Whether the error shows that the server is out of reach. A connection that had been idle, or that others use, may have
 * been lost for a reason of its own.
 */
function showsFailure(error: unknown, lease: Lease | undefined): boolean {
  return error instanceof ConnectError || error instanceof AcquireTimeoutError ||
    error instanceof DeadlineError ||
    error instanceof ConnectionLostError && lease?.idleMs === undefined;
}

function maySucceedElsewhere(error: unknown): boolean {
  const { kind } = classify(error, "statement");
  return kind !== "deadline" && kind !== "query_canceled" && kind !== "too_long_in_transaction";
}
