/** A flight under way, and what may be sent in addition to it. */
import type {
  FlightAnswer,
  FlightOptions,
  FlightPart,
  Result,
  Statement,
} from "../driver/driver.ts";
import type { Parse } from "../driver/result_types.ts";
import type { AnswerReader } from "./answer_reader.ts";

export interface Flight {
  readonly parts: readonly FlightPart[];
  readonly parserOf: (oid: number) => Parse;
  readonly onNotice?: FlightOptions["onNotice"];
  answer: AnswerReader;
  /** Sent in front of the parts, which are sent for the second time. */
  recovery: readonly Statement[] | undefined;
  /** Whether a transaction was open when it was sent. */
  readonly beganInside: boolean;
  wasCancelled: boolean;
  /** Whether it may be sent while others are under way. */
  readonly isShared: boolean;
  /** Whether it is the driver's own, so that it keeps no caller from sending. */
  readonly isInternal: boolean;
  resolve(answer: FlightAnswer): void;
  reject(error: Error): void;
}

/** Asks whether the connection is direct: see `PreparedStatements.learn`. */
export const PROCESS_ID: Statement = {
  text: "select pg_backend_pid()",
  values: [],
  isStatic: true,
  isInternal: true,
};

export const ROLLBACK: Statement = {
  text: "rollback",
  values: [],
  isStatic: true,
  isInternal: true,
};

const ENDS_TRANSACTION: ReadonlySet<string> = new Set(["COMMIT", "ROLLBACK", "PREPARE"]);

/** Without the results of what was sent in front of the parts. */
export function resultsOf({ answer: { results }, recovery = [] }: Flight): readonly Result[] {
  return recovery.length === 0 ? results : results.slice(recovery.length);
}

/**
 * Whether a failed flight has had no effect that a rollback does not undo: it began outside a transaction, and either its
 * first part failed or it opened a transaction that nothing in it has ended. After a cancel request nothing is sent again.
 */
export function isReplayable(
  { answer: { results }, beganInside, recovery, wasCancelled }: Flight,
): boolean {
  if (beganInside || wasCancelled || recovery !== undefined) return false;
  return results.length === 0 ||
    results[0]!.command === "BEGIN" &&
      !results.some(({ command }) => ENDS_TRANSACTION.has(command));
}

/**
 * Whether no transaction is open behind the flight, whether it fails or not, so that the question can do no harm. In front
 * of a flight it would hide it from a pooler's timeout.
 */
export function endsTransaction(parts: readonly FlightPart[]): boolean {
  const last = parts.at(-1);
  return last !== undefined && "text" in last && /^(?:commit|rollback)$/i.test(last.text);
}
