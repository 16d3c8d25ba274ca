import { SessionEndedError, StatementSkippedError } from "../errors.ts";
import { PrependedStatement } from "./flight_plan.ts";
import type { FlightMarks } from "./flights.ts";
import type { Transaction } from "./server_transaction.ts";

export const SAVEPOINT_IS_OPEN = "Cannot use the session as a savepoint is open in it; " +
  "use the savepoint's own session, or end the savepoint first";

export const SIDE_BY_SIDE =
  "Cannot open the savepoint as another one is open in the session, and they cannot be open side by side; " +
  "end the savepoint that is open, or open this one in that savepoint's own session";

/**
 * A point to which a transaction can be rolled back. Its statements take no round trips of their own. SAVEPOINT is sent
 * with the first statement inside it, or never if there is none. RELEASE and ROLLBACK TO are sent with the next
 * statement or COMMIT. The server runs all statements in the caller's order. Only their time differs: a rolled-back
 * savepoint keeps its locks until the next flight.
 *
 * https://www.postgresql.org/docs/current/sql-rollback-to.html
 */
export class Savepoint {
  readonly #transaction: Transaction;
  readonly #name: string;
  readonly #begin: PrependedStatement;
  readonly #outer: Savepoint | undefined;
  #before: FlightMarks = { hasWritten: false, leavesState: false };
  #hasEnded = false;
  /** Why it did not begin. */
  #refusal: unknown;

  constructor(
    transaction: Transaction,
    { name, outer }: { name: string; outer: Savepoint | undefined },
  ) {
    this.#outer = outer;
    this.#transaction = transaction;
    this.#name = name;
    this.#begin = this.#statement("savepoint");
  }

  /** Throws what `assertMayBegin` throws, and so does every later use of the savepoint. */
  begin(assertMayBegin: () => void): void {
    try {
      assertMayBegin();
    } catch (error) {
      this.#hasEnded = true;
      this.#refusal = error;
      throw error;
    }
    this.#before = this.#transaction.flights.marks;
    this.#transaction.flights.prepend(this.#begin);
  }

  /** Throws `SessionEndedError` after its end, or what kept it from beginning. */
  assertOpen(): void {
    if (this.#refusal !== undefined) throw this.#refusal;
    if (!this.hasEnded) return;
    throw new SessionEndedError(
      "Cannot use the session as its savepoint has ended; use the session in which the savepoint was opened",
    );
  }

  /** A savepoint ends with the one around it. */
  get hasEnded(): boolean {
    return this.#hasEnded || (this.#outer?.hasEnded ?? false);
  }

  /**
   * Keeps the work of the savepoint. Returns false if it has ended before, such as by a rollback. If a statement of it
   * failed, rolls back to it and throws `StatementSkippedError`. Throws `SessionEndedError` if the transaction has
   * ended.
   */
  release(): boolean {
    if (this.hasEnded) return false;
    this.#hasEnded = true;
    if (this.#transaction.flights.removePrepended(this.#begin)) return true;
    if (this.#transaction.hasFailed) {
      const cause = this.#transaction.firstError;
      this.#undo();
      throw new StatementSkippedError(
        "Cannot keep the work of the savepoint as a statement in it failed and it was rolled back; see the cause",
        { cause },
      );
    }
    this.#transaction.assertUsable();
    this.#transaction.flights.prepend(this.#statement("release savepoint"));
    return true;
  }

  /** Undoes the work of the savepoint only. Does nothing after the end of the savepoint or of the transaction. */
  rollback(): void {
    if (this.hasEnded) return;
    this.#hasEnded = true;
    if (!this.#transaction.flights.removePrepended(this.#begin)) this.#undo();
  }

  #undo(): void {
    // If SAVEPOINT was sent and did not run, a statement before it failed: the failure is the transaction's.
    if (this.#transaction.hasEnded || !this.#begin.hasRun) return;
    this.#transaction.undo(
      // ROLLBACK TO leaves the savepoint in place; RELEASE removes it.
      [
        this.#statement("rollback to savepoint", { recovers: true }),
        this.#statement("release savepoint"),
      ],
      this.#before,
    );
  }

  #statement(command: string, options?: { recovers: boolean }): PrependedStatement {
    return new PrependedStatement({ text: `${command} ${this.#name}`, values: [] }, options);
  }
}
