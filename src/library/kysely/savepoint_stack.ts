import { AbortedTransactionError } from "kysely";
import { CommitRolledBackError, type Session, StatementSkippedError } from "../../db/mod.ts";

interface OpenSavepoint {
  /** None for a transaction of Kysely. */
  readonly name: string | undefined;
  readonly session: Session;
}

/**
 * The savepoints that are open in a session, each in the one before it. A name may be used again; it then means the
 * newest one. https://www.postgresql.org/docs/current/sql-savepoint.html
 */
export class SavepointStack {
  readonly #outermost: Session;
  readonly #open: OpenSavepoint[] = [];

  constructor(outermost: Session) {
    this.#outermost = outermost;
  }

  /** The session that may be used: that of the innermost savepoint. */
  get session(): Session {
    return this.#open.at(-1)?.session ?? this.#outermost;
  }

  open(name?: string): void {
    this.#open.push({ name, session: this.session.savepoint() });
  }

  /** Undoes what was done since the savepoint, which stays open. */
  async rollbackTo(name: string): Promise<void> {
    await this.#undo(this.#indexOf(name));
    this.open(name);
  }

  /** Keeps the work of the savepoint, and of those in it. Throws `StatementSkippedError` if a statement in it failed. */
  async release(name: string): Promise<void> {
    await this.#keep(this.#indexOf(name));
  }

  /** As `release`, for all of them. */
  releaseAll(): Promise<void> {
    return this.#keep(0);
  }

  /** Undoes and ends all of them. */
  rollbackAll(): Promise<void> {
    return this.#undo(0);
  }

  async #keep(index: number): Promise<void> {
    await this.session.idle();
    const cause = this.session.firstError;
    if (cause === undefined) {
      for (const { session } of this.#open.splice(index).reverse()) await session.release();
      return;
    }
    await this.#undo(index);
    throw new StatementSkippedError(
      "Cannot keep the work of the savepoint as a statement in it failed and it was rolled back; see the cause",
      { cause },
    );
  }

  async #undo(index: number): Promise<void> {
    const [outermost] = this.#open.splice(index);
    // Unlike `rollback()`, this says that an error may be leaving the savepoint, for which the unit may be run again.
    await outermost?.session[Symbol.asyncDispose]();
  }

  #indexOf(name: string): number {
    const index = this.#open.findLastIndex((savepoint) => savepoint.name === name);
    if (index !== -1) return index;
    throw new Error(
      `Cannot use the savepoint as none of its name is open: current value is ${
        JSON.stringify(name)
      }; call savepoint(${JSON.stringify(name)}) first`,
    );
  }
}

/** Kysely's own error for a commit that became a rollback; then it does not roll back again. */
export async function orAborted(end: () => Promise<void>): Promise<void> {
  try {
    await end();
  } catch (cause) {
    if (!(cause instanceof CommitRolledBackError || cause instanceof StatementSkippedError)) {
      throw cause;
    }
    throw new AbortedTransactionError({ cause });
  }
}
