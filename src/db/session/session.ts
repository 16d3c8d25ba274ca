/**
 * The unit of work: one transaction, as its author says it.
 *
 * Opening a session costs nothing. `commit()` is said; everything else ends in a rollback. What is asked of a session
 * is done one after the other, in the order in which it was asked for. How that becomes flights is
 * `server_transaction.ts`.
 */
import { AfterCommit } from "./after_commit.ts";
import type { TransactionSettings } from "./begin.ts";
import type { Result } from "../driver/driver.ts";
import { SessionEndedError } from "../errors.ts";
import type { TypeParsers } from "../driver/result_types.ts";
import { PrependedStatement } from "./flight_plan.ts";
import { Savepoint } from "./savepoint.ts";
import type { Transaction } from "./server_transaction.ts";
import type { Sql } from "../driver/sql.ts";
import { streamRows } from "./stream_rows.ts";
import { SerialQueue } from "./serial_queue.ts";

export interface SessionOptions extends Partial<TransactionSettings> {
  /** Gives up waiting, stops what runs on the server, and rolls back. */
  readonly signal?: AbortSignal;
  /** Who works here, for reports of leases that are held too long. */
  readonly label?: string;
  /** How to read columns, by type id, where it is not to be as usual: `{ 1700: Number }` for numeric. */
  readonly parsers?: TypeParsers;
}

/** The rows of each of several statements. */
export type RowsOf<Statements extends readonly Sql<unknown>[]> = {
  -readonly [Index in keyof Statements]: Statements[Index] extends Sql<infer Row> ? Row[] : never;
};

export interface StreamOptions {
  /** Rows fetched in one round trip, and held in memory; 1,000 unless said otherwise. */
  readonly batchSize?: number;
}

interface Surroundings {
  /** Takes over a promise that need not be waited for, its failure included. */
  readonly waitUntil: (rest: Promise<void>) => void;
}

/** What a savepoint's session shares with the one around it. */
interface Nesting {
  readonly savepoint: Savepoint;
  readonly turns: SerialQueue;
  readonly depth: number;
}

export class Session implements AsyncDisposable {
  readonly #transaction: Transaction;
  readonly #surroundings: Surroundings;
  readonly #turns: SerialQueue;
  readonly #depth: number;
  readonly #afterCommit = new AfterCommit();
  /** Of this session; the whole transaction's has none. */
  readonly #savepoint: Savepoint | undefined;
  readonly #over = Promise.withResolvers<void>();
  /** The session of the savepoint that is open in this one. */
  #inner: Session | undefined;

  constructor(transaction: Transaction, surroundings: Surroundings, nesting?: Nesting) {
    this.#transaction = transaction;
    this.#surroundings = surroundings;
    this.#turns = nesting?.turns ?? new SerialQueue(() => transaction.assertCurrent());
    this.#depth = nesting?.depth ?? 0;
    this.#savepoint = nesting?.savepoint;
  }

  /** Whether COMMIT was answered COMMIT. */
  get isCommitted(): boolean {
    return this.#transaction.state === "committed";
  }

  /** Whether running the work again could do it twice. */
  get mayHaveCommitted(): boolean {
    return this.#transaction.mayHaveCommitted;
  }

  get hasEnded(): boolean {
    return this.#transaction.hasEnded || (this.#savepoint?.hasEnded ?? false);
  }

  /** Whether a statement changed something that is not rolled back, by its command tag. */
  get hasWritten(): boolean {
    return this.#transaction.hasWritten;
  }

  /** The failure that made the transaction what it is, if it has failed. */
  get firstError(): Error | undefined {
    return this.#transaction.firstError;
  }

  /** How the transaction begins. */
  get settings(): TransactionSettings {
    return this.#transaction.settings;
  }

  /** Whether it has begun on the server and not ended. */
  get isOpen(): boolean {
    return this.#transaction.state === "open" && !this.hasEnded;
  }

  /** Resolves when nothing that was asked for is still under way. Never rejects. */
  async idle(): Promise<void> {
    await this.#turns.idle();
    while (this.#inner !== undefined) {
      await this.#inner.#over.promise;
      await this.#turns.idle();
    }
  }

  /** Runs one statement and gives its rows: one round trip. */
  async query<Row>(statement: Sql<Row>): Promise<Row[]> {
    const [rows] = await this.batch([statement]);
    return rows as Row[];
  }

  /**
   * Runs several statements in one round trip, and gives the rows of each. As with `Promise.all`, the first error is
   * the batch's. The statements after it are not run; what else was asked for meanwhile rejects with
   * `StatementSkippedError`, that error its cause.
   */
  batch<const Statements extends readonly Sql<unknown>[]>(
    statements: Statements,
  ): Promise<RowsOf<Statements>> {
    return this.#inTurn(async () =>
      rowsOf(await this.#transaction.run(statements)) as RowsOf<Statements>
    );
  }

  /**
   * Gives the rows of a statement one by one, a round trip for every `batchSize`, so that any number of them fits into
   * memory. Other statements of the session may run in between. Whoever stops early (`break`) is done with it;
   * whoever is slower than `idleTransactionTimeoutMs` between two round trips loses the transaction.
   */
  stream<Row>(
    statement: Sql<Row>,
    { batchSize = 1_000 }: StreamOptions = {},
  ): AsyncGenerator<Row, void, void> {
    return streamRows<Row>(statement, {
      portal: this.#transaction.newPortal({ maxRows: batchSize }),
      run: (part) => this.#inTurn(async () => (await this.#transaction.run([part]))[0]!),
      close: (part) => this.#transaction.flights.prepend(new PrependedStatement(part)),
    });
  }

  /**
   * Runs `work` in a session of its own, whose statements are undone if it fails, and only they: what `work` throws is
   * thrown on, and this session can go on. Adds no round trips. While it lasts, this session itself must not be used;
   * savepoints nest, and are never open side by side.
   */
  async savepoint<T>(work: (inner: Session) => T | Promise<T>): Promise<T> {
    const inner = await this.#inTurn(() => this.#enter());
    try {
      const value = await work(inner);
      await inner.idle();
      await this.#turns.run(() => this.#release(inner));
      return value;
    } catch (error) {
      await inner.idle();
      await this.#turns.run(() => inner.#savepoint!.rollback());
      throw error;
    } finally {
      this.#inner = undefined;
      inner.#over.resolve();
    }
  }

  /**
   * Has `hook` called once the transaction is known to be committed, and in no other case: not after a rollback, also
   * not to the savepoint it belongs to, and not where COMMIT's answer was lost. Hooks are called one after the other,
   * in the order in which they were given, and nobody waits for them: their promise, and their failure, go to the
   * database's `waitUntil`.
   */
  afterCommit(hook: () => void | Promise<void>): void {
    this.#assertUsable();
    this.#afterCommit.add(hook);
  }

  /**
   * Makes the work last. With statements, they share COMMIT's round trip: a single read is `commit([select])`.
   * Throws `CommitRolledBackError` if the server rolled back instead, and `CommitOutcomeUnknownError` if its answer
   * was lost. Harmless if said twice.
   */
  commit(): Promise<void>;
  commit<const Statements extends readonly Sql<unknown>[]>(
    statements: Statements,
  ): Promise<RowsOf<Statements>>;
  commit(statements: readonly Sql<unknown>[] = []): Promise<unknown[][] | void> {
    return this.#turns.run(() => this.#commit(statements));
  }

  /** Undoes the work: of a savepoint's session, that of the savepoint. Harmless after the end. */
  rollback(): Promise<void> {
    return this.#turns.run(() =>
      this.#savepoint === undefined ? this.#transaction.rollback() : this.#savepoint.rollback()
    );
  }

  /**
   * Rolls back what is not committed and gives the connection back; where the session is read only, off the caller's
   * path. Never rejects.
   */
  async [Symbol.asyncDispose](): Promise<void> {
    const end = this.rollback().catch(() => {});
    if (this.settings.readOnly) this.#surroundings.waitUntil(end);
    else await end;
  }

  #inTurn<T>(step: () => T | Promise<T>): Promise<T> {
    return this.#turns.run(() => {
      this.#assertUsable();
      return step();
    });
  }

  async #commit(statements: readonly Sql<unknown>[]): Promise<unknown[][]> {
    if (this.#savepoint !== undefined) {
      throw new SessionEndedError(
        "Cannot commit in a savepoint, as its work lasts only if that around it does; " +
          "return from it, then commit the session that it was opened in",
      );
    }
    this.#assertOutermost();
    try {
      return rowsOf(await this.#transaction.commit(statements));
    } finally {
      if (this.isCommitted) this.#afterCommit.run(this.#surroundings);
    }
  }

  #enter(): Session {
    const depth = this.#depth + 1;
    const savepoint = new Savepoint(this.#transaction, {
      name: `savepoint_${depth}`,
      outer: this.#savepoint,
    });
    const nesting = { savepoint, turns: this.#turns, depth };
    return this.#inner = new Session(this.#transaction, this.#surroundings, nesting);
  }

  #release(inner: Session): void {
    if (inner.#savepoint!.release()) this.#afterCommit.addAll(inner.#afterCommit);
  }

  #assertUsable(): void {
    this.#assertOutermost();
    if (this.#savepoint?.hasEnded) {
      throw new SessionEndedError(
        "Cannot use the session of a savepoint as that has ended; use the session that it was opened in",
      );
    }
    this.#transaction.assertUsable();
  }

  #assertOutermost(): void {
    if (this.#inner === undefined) return;
    throw new SessionEndedError(
      "Cannot use the session while a savepoint is open in it; " +
        "use the session that the savepoint's function is given, or await the savepoint first",
    );
  }
}

function rowsOf(results: readonly Result[]): unknown[][] {
  return results.map(({ rows }) => rows);
}
