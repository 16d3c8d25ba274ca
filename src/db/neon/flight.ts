/** A flight under way, and what may be sent in addition to it. */
import type {
  FlightAnswer,
  FlightPart,
  Result,
  Statement,
  TransactionStatus,
} from "../driver/driver.ts";
import type { AnswerOptions, AnswerReader } from "./answer_reader.ts";

export interface Flight {
  readonly parts: readonly FlightPart[];
  readonly options: AnswerOptions;
  answer: AnswerReader;
  /** Sent in front of the parts, which are sent for the second time. */
  recovery: readonly Statement[] | undefined;
  /** Whether a transaction was open when it was sent. */
  readonly beganInside: boolean;
  wasCancelled: boolean;
  /** Whether it may be sent while others are under way. */
  readonly isShared: boolean;
  /** The place of `PROCESS_ID` among what is sent; `undefined` if it is not asked. */
  asksAt: number | undefined;
  resolve(answer: FlightAnswer): void;
  reject(error: Error): void;
}

/** Asks whether the connection is direct: see `PreparedStatements.learn`. */
export const PROCESS_ID: Statement = {
  text: "select pg_catalog.pg_backend_pid()",
  values: [],
  prepare: false,
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

/** The results of the parts, without those of what was sent in addition. */
export function resultsOf(
  { answer: { results }, recovery = [], asksAt }: Flight,
): readonly Result[] {
  if (asksAt !== undefined) return results.toSpliced(asksAt, 1);
  return recovery.length === 0 ? results : results.slice(recovery.length);
}

/**
 * Whether a failed flight has had no effect that a rollback does not undo: it began outside a transaction, and either its
 * first part failed or it opened a transaction that nothing in it has ended; or it only reads, as a shared one does. After a
 * cancel request nothing is sent again.
 */
export function isReplayable(
  { answer: { results }, beganInside, recovery, wasCancelled, isShared }: Flight,
): boolean {
  if (beganInside || wasCancelled || recovery !== undefined) return false;
  return isShared || results.length === 0 ||
    results[0]!.command === "BEGIN" &&
      !results.some(({ command }) => ENDS_TRANSACTION.has(command));
}

/**
 * Where a flight has room for `PROCESS_ID`: in front of the end of its transaction. Outside the transaction a pooler could
 * have lent the server connection on before the answer came, and would give the answer to the next client. Behind BEGIN it
 * would take the transaction's snapshot before a lock of the caller's. After an error no part up to the Sync is run.
 */
export function questionAt(
  parts: readonly FlightPart[],
  status: TransactionStatus | undefined,
): number | undefined {
  const last = parts.at(-1);
  const ends = last !== undefined && "text" in last && /^(?:commit|rollback)$/i.test(last.text);
  return ends && status !== "E" ? parts.length - 1 : undefined;
}

/** The answer to `PROCESS_ID`; `undefined` if there is none, since a part in front of it has failed. */
export function processIdIn({ answer: { results }, asksAt }: Flight): string | undefined {
  const row = asksAt === undefined ? undefined : results[asksAt]?.rows[0];
  return row === undefined ? undefined : String(Object.values(row)[0]);
}
