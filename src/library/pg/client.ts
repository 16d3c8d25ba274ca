import type { RawConnection } from "../../db/mod.ts";
import { escapeIdentifier, escapeLiteral } from "../../db/neon/pg_types.ts";
import { Emitter } from "../emitter.ts";
import {
  type PgQuery,
  type PgResult,
  type PgTypes,
  queryOf,
  resultOf,
  statementsOf,
} from "./query.ts";

/** Gets the error, or the result. */
// deno-lint-ignore no-explicit-any -- as in the declarations of node-postgres
export type PgCallback = (error: any, result: any) => void;

/** What `query` takes for its text: a string, or an object with one. */
export type PgText = string | PgQuery;

/**
 * A leased connection with the methods of node-postgres's client. `PgPool.connect` makes it. Its queries run one after
 * the other, BEGIN and COMMIT too.
 *
 * Emits `error` when the connection ends by itself, `notice` with the server's warnings, and `end`.
 */
export class PgClient extends Emitter {
  readonly #connection: RawConnection;
  readonly #types: PgTypes | undefined;
  readonly #onRelease: (error: unknown) => void;
  #isReleased = false;

  /** Use `PgPool.connect`. */
  constructor(
    connection: RawConnection,
    { types, onRelease }: {
      types: PgTypes | undefined;
      onRelease: (error: unknown) => void;
    },
  ) {
    super();
    this.#connection = connection;
    this.#types = types;
    this.#onRelease = onRelease;
  }

  /** The backend's process id; `null` before the login has ended. */
  get processID(): number | null {
    return this.#connection.processId ?? null;
  }

  /**
   * Runs one query, or without values several statements, for which it resolves with an array of results. Throws what
   * `RawConnection.run` throws: the errors of the server have `code`, `detail`, `constraint` as node-postgres has them.
   */
  // deno-lint-ignore no-explicit-any -- as in the declarations of node-postgres
  query<Row = any>(query: PgText, values?: readonly unknown[]): Promise<PgResult<Row>>;
  query(query: PgText, values: readonly unknown[] | undefined, callback: PgCallback): void;
  query(query: PgText, callback: PgCallback): void;
  query(
    query: PgText,
    values?: readonly unknown[] | PgCallback,
    callback?: PgCallback,
  ): Promise<PgResult> | void {
    const done = this.#run(query, values);
    return answer(done, typeof values === "function" ? values : callback);
  }

  async #run(query: unknown, values: unknown): Promise<PgResult> {
    const config = queryOf(query, values);
    const timeoutMs = config.query_timeout;
    const statements = statementsOf(config, this.#types);
    // Several statements give several results, which node-postgres does not declare either.
    return resultOf(await this.#connection.run(statements, { timeoutMs })) as PgResult;
  }

  /**
   * Gives the connection back after the queries before this call. With an error or `true` it is closed. Throws for a
   * second call, as node-postgres does.
   */
  readonly release = (error?: unknown): void => {
    if (this.#isReleased) {
      throw new Error(
        "Cannot release the client as it was released before; call release() once for each connect()",
      );
    }
    this.#isReleased = true;
    this.#onRelease(error);
  };

  /** Quotes a name. */
  escapeIdentifier(name: string): string {
    return escapeIdentifier(name);
  }

  /** Quotes a text. */
  escapeLiteral(text: string): string {
    return escapeLiteral(text);
  }
}

/** Gives the answer to the callback, if there is one, else as a promise. */
export function answer<T>(
  done: Promise<T>,
  callback: ((error: unknown, result: T) => void) | undefined,
): Promise<T> | void {
  if (callback === undefined) return done;
  done.then((result) => callback(null, result), (error) => callback(error, undefined as T));
}
