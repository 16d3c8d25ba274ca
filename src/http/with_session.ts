/** Database sessions for the handlers of any Hono app. */

import type { Context, Env, MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { Session, TransactionOptions, TransactionRunner } from "../db/mod.ts";
import { captureResponseState } from "./response_state.ts";

/** The variables that `provideDatabase` sets, for the `Env` of an app. */
export interface DatabaseVariables {
  db: TransactionRunner;
}

/** A database of which each request gets its own view. */
interface RequestDatabase<View> {
  /** See `Database.forRequest`. */
  forRequest(): View;
}

/**
 * Middleware that sets `c.var.db` for the handlers behind it: the database's view of the request, which refuses a unit
 * that would wait while another one of the request holds a connection. On Workers, where sockets belong to one request,
 * pass a function that returns the database of that request.
 */
export function provideDatabase<View extends TransactionRunner>(
  db: RequestDatabase<View> | ((c: Context) => RequestDatabase<View>),
): MiddlewareHandler<{ Variables: { db: View } }> {
  return async function provideDatabase(c, next) {
    c.set("db", (typeof db === "function" ? db(c) : db).forRequest());
    await next();
  };
}

/** How to run a handler's unit of work, and how to read the request before it. */
export interface WithSessionOptions<E extends Env, Input> extends TransactionOptions {
  /** Reads and validates the request. Runs once, before the session is opened. Its error goes to `app.onError`. */
  readonly parse?: (c: Context<E>) => Input | Promise<Input>;
}

/**
 * Makes a handler that is one unit of work. `handler` gets a session and calls `commit()` or `rollback()` on it. After
 * a transient failure it runs again; status, headers and variables that the failed run has set on `c` are dropped.
 * Read the request's body in `parse`, because it can be read only once. A streamed body is written after the session
 * has ended and must not use it; use `withStreamingSession` for that.
 *
 * This is a wrapper and not a middleware because Hono's `await next()` never rejects: a middleware would commit failed
 * requests. Errors go to `app.onError`; a thrown value that is not an `Error` is wrapped in one.
 *
 * `c.req.raw.signal` does not abort the session, because on Deno it also aborts after every successful response.
 */
export function withSession<
  E extends { Variables: DatabaseVariables },
  R extends Response,
  Input = void,
>(
  options: WithSessionOptions<E, Input>,
  handler: (c: Context<E>, session: Session, input: Input) => R | Promise<R>,
): (c: Context<E>) => Promise<R> {
  const { parse, ...transactionOptions } = options;
  return async function runInSession(c) {
    let dropFailedRun = () => {};
    try {
      const input = await parse?.(c) as Input;
      const restore = captureResponseState(c);
      return await databaseOf(c).transaction(async (session) => {
        dropFailedRun();
        dropFailedRun = restore;
        return await handler(c, session, input);
      }, { label: `${c.req.method} ${routePath(c)}`, ...transactionOptions });
    } catch (thrown) {
      dropFailedRun();
      throw asError(thrown);
    }
  };
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
