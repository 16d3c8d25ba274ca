import { StatementSkippedError } from "../errors.ts";
import { PrependedStatement } from "./flight_plan.ts";
import type { Transaction } from "./server_transaction.ts";

/**
 * A point to which a transaction can be rolled back. None of its statements takes a round trip of its own: SAVEPOINT
 * rides with the first statement behind it, and is never sent if there is none; what ends it rides with the statement
 * or the COMMIT that follows. The server runs them all in the order in which they were said, so that only the moment
 * is another: until the next flight a rolled-back savepoint keeps its locks.
 *
 * https://www.postgresql.org/docs/current/sql-rollback-to.html
 */
export class Savepoint {
  readonly #transaction: Transaction;
  readonly #name: string;
  readonly #begin: PrependedStatement;
  readonly #hadWritten: boolean;
  readonly #outer: Savepoint | undefined;
  #hasEnded = false;

  /** Throws where no statement could run. */
  constructor(
    transaction: Transaction,
    { name, outer }: { name: string; outer: Savepoint | undefined },
  ) {
    transaction.assertUsable();
    this.#outer = outer;
    this.#transaction = transaction;
    this.#name = name;
    this.#begin = this.#rider("savepoint");
    this.#hadWritten = transaction.hasWritten;
    transaction.flights.prepend(this.#begin);
  }

  /** The end of the one around it is its own. */
  get hasEnded(): boolean {
    return this.#hasEnded || (this.#outer?.hasEnded ?? false);
  }

  /**
   * Makes its work the transaction's; false if it was rolled back before. Throws `StatementSkippedError`, and rolls
   * back, if a statement of it failed, and `SessionEndedError` if the transaction has ended.
   */
  release(): boolean {
    if (this.hasEnded) return false;
    this.#hasEnded = true;
    if (this.#transaction.flights.removePrepended(this.#begin)) return true;
    if (this.#transaction.hasFailed) {
      const cause = this.#transaction.firstError;
      this.#undo();
      throw new StatementSkippedError(
        "Cannot keep the work of the savepoint as a statement of it failed, so that it was rolled back; see the cause",
        { cause },
      );
    }
    this.#transaction.assertUsable();
    this.#transaction.flights.prepend(this.#rider("release savepoint"));
    return true;
  }

  /** Undoes its work, and nothing else. Harmless after its end, and the transaction's. */
  rollback(): void {
    if (this.hasEnded) return;
    this.#hasEnded = true;
    if (!this.#transaction.flights.removePrepended(this.#begin)) this.#undo();
  }

  #undo(): void {
    // One that was sent and did not run stood behind the failure, which is not its own.
    if (this.#transaction.hasEnded || !this.#begin.hasRun) return;
    this.#transaction.undo(
      // Rolled back to, it is still there.
      [this.#rider("rollback to savepoint", { recovers: true }), this.#rider("release savepoint")],
      { hadWritten: this.#hadWritten },
    );
  }

  #rider(command: string, options?: { recovers: boolean }): PrependedStatement {
    return new PrependedStatement({ text: `${command} ${this.#name}`, values: [] }, options);
  }
}
