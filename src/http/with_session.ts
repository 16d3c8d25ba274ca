/** Sessions in the handlers of any Hono app. */

import type { Context, Env, MiddlewareHandler } from "hono";
import { routePath } from "hono/route";
import type { Session, TransactionOptions, TransactionRunner } from "../db/mod.ts";
import { captureResponseState } from "./response_state.ts";

/** What `provideDatabase` sets, for the `Env` of an app. */
export interface DatabaseVariables {
  db: TransactionRunner;
}

/**
 * Middleware that gives the handlers behind it their database, as `c.var.db`. On Workers, where sockets belong to the
 * request, give a function that makes one for each.
 */
export function provideDatabase<Db extends TransactionRunner>(
  db: Db | ((c: Context) => Db),
): MiddlewareHandler<{ Variables: { db: Db } }> {
  return async function provideDatabase(c, next) {
    c.set("db", typeof db === "function" ? db(c) : db);
    await next();
  };
}

/** How to run a handler's unit of work, and what to read of the request before it. */
export interface WithSessionOptions<E extends Env, Input> extends TransactionOptions {
  /** Reads and validates the request, once and before there is a session. What it throws is the handler's error. */
  readonly parse?: (c: Context<E>) => Input | Promise<Input>;
}

/**
 * A handler that is one unit of work: `handler` runs with a session, says `commit()` or `rollback()`, and may run
 * again after a transient failure; what a failed run has set on `c` is dropped. The request's body can be read once
 * only: read it in `parse`. A streamed body is written after the session's end and must not use it: for that there is
 * `withStreamingSession`.
 *
 * Wraps the handler, since Hono's `await next()` never rejects: a middleware would commit failed requests.
 * Errors travel on to `app.onError`, as `Error` objects whatever was thrown.
 *
 * `c.req.raw.signal` is not the session's signal: on Deno it aborts after every successful response, too.
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

/** The request's database. Throws `TypeError` where none was provided. */
export function databaseOf(c: Context): TransactionRunner {
  const db: TransactionRunner | undefined = c.get("db");
  if (db !== undefined) return db;
  throw new TypeError(
    "Cannot open a session as c.var.db is not set: current value is undefined; " +
      "put app.use(provideDatabase(db)) before the route",
  );
}

/** Hono hands only `Error` objects to `onError`. */
export function asError(thrown: unknown): Error {
  return thrown instanceof Error
    ? thrown
    : new Error("Cannot go on as something that is no Error was thrown; see its cause", {
      cause: thrown,
    });
}
