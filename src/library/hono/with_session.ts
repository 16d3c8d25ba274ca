/** Database sessions for the handlers of any Hono app. */

import type { Context, Input, MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type {
  KeyedTransactionOptions,
  Session,
  TransactionOptions,
  TransactionRunner,
} from "../../db/mod.ts";
import { captureResponseState } from "./response_state.ts";

/** The variables that `provideDatabase` sets, for the `Env` of an app. */
export interface DatabaseVariables {
  /** The request's database. */
  db: TransactionRunner;
}

/** The environment of an app behind `provideDatabase`. */
export interface DatabaseEnv {
  /** What `c.var` has. */
  Variables: DatabaseVariables;
}

/** A database of which each request gets its own view. */
export interface RequestDatabase<View> {
  /** See `Database.forRequest`. */
  forRequest(): View;
}

/** A database whose sockets outlive the request, or a function that returns the database of one request. */
export type DatabaseSource<View extends TransactionRunner = TransactionRunner> =
  | RequestDatabase<View>
  | ((c: Context) => RequestDatabase<View>);

/**
 * Middleware that sets `c.var.db` for the handlers behind it: the database's view of the request, which refuses a unit
 * that would wait while another one of the request holds a connection. It answers no request itself. On Workers, where
 * sockets belong to one request, pass a function that returns the database of that request.
 */
export function provideDatabase<View extends TransactionRunner>(
  db: DatabaseSource<View>,
): MiddlewareHandler<{ Variables: { db: View } }, string, Record<never, never>, never> {
  return function provideDatabase(c, next) {
    c.set("db", (typeof db === "function" ? db(c) : db).forRequest());
    return next();
  };
}

/**
 * Runs `work` as one unit of work of a handler, and returns its result. `work` gets a session and calls `commit()` or
 * `rollback()` on it. After a transient failure it runs again; status, headers and variables that the failed run has set
 * on `c` are dropped.
 *
 * ```ts
 * app.post("/users", validator("json", parseUser), (c) => {
 *   const user = c.req.valid("json");
 *   return withSession(c, async (session) => {
 *     await session.commit([sql`insert into users (id, name) values (${user.id}, ${user.name})`]);
 *     return c.json(user, 201);
 *   });
 * });
 * ```
 *
 * Read the request before: its body can be read only once. A streamed body is written after the session has ended and
 * must not use it; use `withStreamingSession` for that. It is no middleware because Hono's `await next()` never rejects: a
 * middleware would commit failed requests. `c.req.raw.signal` does not abort the session, because on Deno it also aborts
 * after every successful response.
 *
 * Throws what `Database.transaction` throws, for `app.onError`; a thrown value that is not an `Error` is wrapped in one.
 * Throws `TypeError` if `provideDatabase` did not run.
 */
export async function withSession<E extends DatabaseEnv, P extends string, I extends Input, T>(
  c: Context<E, P, I>,
  work: (session: Session) => T | Promise<T>,
  options: TransactionOptions | KeyedTransactionOptions<T> = {},
): Promise<T> {
  let dropFailedRun = () => {};
  try {
    const restore = captureResponseState(c as Context);
    return await databaseOf(c as Context).transaction((session) => {
      dropFailedRun();
      dropFailedRun = restore;
      return Promise.resolve(work(session));
    }, {
      label: `${c.req.method} ${routePath(c as Context)}`,
      ...options,
      ...("loadResult" in options && {
        loadResult: (session: Session) => {
          dropFailedRun();
          return options.loadResult(session);
        },
      }),
    });
  } catch (thrown) {
    dropFailedRun();
    throw asError(thrown);
  }
}

/** The request's database. Throws `TypeError` if `provideDatabase` did not run. */
export function databaseOf(c: Context): TransactionRunner {
  const db: TransactionRunner | undefined = c.get("db");
  if (db !== undefined) return db;
  throw new TypeError(
    "Cannot open a session as c.var.db is not set: current value is undefined; " +
      "put app.use(provideDatabase(db)) before the route",
  );
}

/** `thrown`, or an `Error` that has it as its cause: Hono passes only `Error` objects to `onError`. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error("Cannot continue as a value that is not an Error was thrown; see the cause", {
      cause: thrown,
    });
}
