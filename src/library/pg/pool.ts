import type { Database, RawConnection } from "../../db/mod.ts";
import { answer, type PgCallback, PgClient, type PgText } from "./client.ts";
import { Emitter } from "../emitter.ts";
import type { PgResult, PgTypes } from "./query.ts";

/** How a pool reads values, and its name. */
export interface PgPoolOptions {
  /** How values are read. `types` of node-postgres by default, where int8 is a string and a timestamp a local `Date`. */
  readonly types?: PgTypes | undefined;
  /** Names the library in the pool's views and in traces. */
  readonly label?: string | undefined;
}

/** Gets a client, and the function that releases it. */
// deno-lint-ignore no-explicit-any -- as in the declarations of node-postgres
export type ConnectCallback = (error: any, client: any, release: (error?: unknown) => void) => void;

/**
 * A pool with the methods and events of node-postgres's `Pool`, over the connections of a `Database`.
 *
 * Emits `connect` with each client whose connection is new, `acquire` with each client, `release` with an error and a
 * client, and `remove` with a client whose connection is closed. It never emits `error`: the layer handles the end of
 * idle connections.
 */
export class PgPool extends Emitter {
  /** Some libraries look for it. Minifiers rename classes. */
  static override readonly name: string = "Pool";
  /** As given to `pgPool`. */
  readonly options: PgPoolOptions;
  readonly #db: Pick<Database, "connect" | "stats">;
  readonly #clients = new Set<PgClient>();
  /** Settle when the clients of `release` have given their connections back. */
  readonly #returns = new Set<Promise<void>>();
  #allReturned: (() => void) | undefined;
  #ending: Promise<void> | undefined;
  #hasEnded = false;

  /** Use `pgPool`. */
  constructor(db: Pick<Database, "connect" | "stats">, options: PgPoolOptions) {
    super();
    this.#db = db;
    this.options = options;
  }

  /** Connections of the database, in use by this pool or not. */
  get totalCount(): number {
    const { opening, leased, idle } = this.#db.stats();
    return opening + leased + idle;
  }

  /** Those that are not in use. */
  get idleCount(): number {
    return this.#db.stats().idle;
  }

  /** Callers that wait for a connection. */
  get waitingCount(): number {
    return this.#db.stats().waiting;
  }

  /** Always 0: a connection that is too old is closed at once. */
  get expiredCount(): number {
    return 0;
  }

  /** Whether `end()` was called. */
  get ending(): boolean {
    return this.#ending !== undefined;
  }

  /** Whether all clients are released after `end()`. */
  get ended(): boolean {
    return this.#hasEnded;
  }

  /** Leases a connection until `client.release()`. Throws what `Database.connect` throws. */
  connect(): Promise<PgClient>;
  connect(callback: ConnectCallback): void;
  connect(callback?: ConnectCallback): Promise<PgClient> | void {
    const opened = this.#open();
    if (callback === undefined) return opened;
    opened.then(
      (client) => callback(undefined, client, client.release),
      (error) => callback(error, undefined, () => {}),
    );
  }

  /** Runs one query on any connection. The server commits it. See `PgClient.query`. */
  // deno-lint-ignore no-explicit-any -- as in the declarations of node-postgres
  query<Row = any>(query: PgText, values?: readonly unknown[]): Promise<PgResult<Row>>;
  query(query: PgText, values: readonly unknown[] | undefined, callback: PgCallback): void;
  query(query: PgText, callback: PgCallback): void;
  query(
    query: PgText,
    values?: readonly unknown[] | PgCallback,
    callback?: PgCallback,
  ): Promise<PgResult> | void {
    const done = this.#run(query, typeof values === "function" ? undefined : values);
    return answer(done, typeof values === "function" ? values : callback);
  }

  async #run(query: PgText, values: readonly unknown[] | undefined): Promise<PgResult> {
    const client = await this.#open();
    try {
      return await client.query(query, values);
    } finally {
      client.release();
    }
  }

  /**
   * Refuses further queries, and resolves when all clients are released. The database stays open: close it by its own
   * `close()`.
   */
  end(): Promise<void>;
  end(callback: () => void): void;
  end(callback?: () => void): Promise<void> | void {
    return answer(this.#ending ??= this.#end(), callback);
  }

  async #end(): Promise<void> {
    if (this.#clients.size > 0) {
      await new Promise<void>((resolve) => this.#allReturned = resolve);
    }
    await Promise.all(this.#returns);
    this.#hasEnded = true;
  }

  async #open(): Promise<PgClient> {
    this.#assertOpen();
    const { types, label } = this.options;
    const connection = await this.#db.connect({
      ...(label === undefined ? {} : { label }),
      onNotice: (notice) => void client.emit("notice", notice),
      onClosed: (error) => {
        client.emit("error", error);
        client.emit("end");
      },
    });
    const client: PgClient = new PgClient(connection, {
      types,
      onRelease: (error) => this.#giveBack(client, connection, error),
    });
    this.#clients.add(client);
    if (connection.isNew) this.emit("connect", client);
    this.emit("acquire", client);
    return client;
  }

  #giveBack(client: PgClient, connection: RawConnection, error: unknown): void {
    this.emit("release", error, client);
    const returned = connection.release({ close: Boolean(error) }).then(() => {
      this.#returns.delete(returned);
      if (connection.isClosed) this.emit("remove", client);
    });
    this.#returns.add(returned);
    this.#clients.delete(client);
    if (this.#clients.size === 0) this.#allReturned?.();
  }

  #assertOpen(): void {
    if (this.#ending === undefined) return;
    throw new Error(
      "Cannot use the pool as end() was called; make another one of the same database by pgPool(db)",
    );
  }
}
