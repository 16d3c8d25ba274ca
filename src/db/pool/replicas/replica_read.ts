import type { FlightAnswer, Result, Statement } from "../../driver/driver.ts";
import { PoolOverloadedError, ServerError } from "../../errors.ts";
import { classify } from "../../failures/classify.ts";
import type { Position } from "./position.ts";
import type { Replica } from "./replica.ts";
import type { ReadServer } from "./replicas.ts";
import { readPosition } from "./server_position.ts";

/** A read on a replica. Either `accepts` or `isForPrimary` must be called, once. */
export class ReplicaRead {
  readonly #replica: Replica;
  readonly #wanted: Position;

  constructor(replica: Replica, wanted: Position) {
    this.#replica = replica;
    this.#wanted = wanted;
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
      return false;
    }
    return this.#replica.answered(replayed, this.#wanted) &&
      !(error instanceof ServerError && maySucceedElsewhere(error));
  }

  /** Whether a read without an answer is for the primary: not if its caller gave up, or it took too long. */
  isForPrimary(error: unknown, signal: AbortSignal | undefined): boolean {
    const isOver = signal?.aborted === true;
    // A full pool refuses by itself, and recovers by itself.
    this.#replica.failed({ leavesOut: !isOver && !(error instanceof PoolOverloadedError) });
    return !isOver && maySucceedElsewhere(error);
  }
}

function maySucceedElsewhere(error: unknown): boolean {
  const { kind } = classify(error, "statement");
  return kind !== "deadline" && kind !== "query_canceled" && kind !== "too_long_in_transaction";
}
