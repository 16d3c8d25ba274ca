/**
 * `Request-Timeout`: how long the client waits for its answer, in seconds. The service then stops its work, the
 * database's too, and answers 504. It only shortens: the service's own limits hold as they do without it.
 *
 * No header for this is registered for HTTP. gRPC's `grpc-timeout` and Connect's `Connect-Timeout-Ms` belong to their
 * protocols, and `Prefer: wait` (RFC 7240) takes whole seconds only. This one is in seconds, as `Retry-After` and all
 * durations of the settings are.
 */

import type { Context } from "hono";
import { DeadlineError, type TransactionRunner } from "../db/mod.ts";
import type { DatabaseVariables } from "../library/hono/mod.ts";
import { mapSessionOptions } from "../session_options.ts";
import { preview } from "../value_message.ts";
import type { Step } from "../chain.ts";
import { ProblemError } from "./problem.ts";

/** When a request's time is over. */
export interface Deadline {
  readonly signal: AbortSignal;
  /** Milliseconds; 0 if it is over. */
  leftMs(): number;
}

export interface TimeoutVariables extends DatabaseVariables {
  /** Set if the request has a `Request-Timeout`. */
  deadline?: Deadline;
}

const NAME = "Request-Timeout";
const MAX_S = 3_600;

/**
 * Middleware that gives the request's database the deadline: it ends waits for a connection, cancels the statement that
 * runs, and rolls back. A COMMIT that is under way is not cancelled by the server, so that its outcome may be unknown.
 * Needs `provideDatabase` before it. `statementTimeoutMs` is the service's own limit.
 */
export function requestTimeout(
  { statementTimeoutMs }: { readonly statementTimeoutMs: number },
): Step {
  return function limitRequest(c: Context<{ Variables: TimeoutVariables }>, next) {
    const value = c.req.header(NAME);
    if (value === undefined) return next();
    const timeoutMs = parse(value);
    const controller = new AbortController();
    const endsAtMs = performance.now() + timeoutMs;
    const deadline: Deadline = {
      signal: controller.signal,
      leftMs: () => Math.max(0, endsAtMs - performance.now()),
    };
    const timer = setTimeout(() => controller.abort(exceeded(timeoutMs)), timeoutMs);
    c.set("deadline", deadline);
    c.set("db", within(deadline, { db: c.get("db"), statementTimeoutMs }));
    return next().finally(() => clearTimeout(timer));
  };
}

/** The time that the request has left, if it has a `Request-Timeout`, and else `Infinity`. */
export function timeLeftMs(c: Context): number {
  const deadline: Deadline | undefined = c.get("deadline");
  return deadline?.leftMs() ?? Infinity;
}

/** As a decimal of RFC 9651 (section 3.3.2), with up to three digits after the point. */
function parse(value: string): number {
  const seconds = /^\d{1,4}(?:\.\d{1,3})?$/.test(value) ? Number(value) : NaN;
  if (seconds > 0 && seconds <= MAX_S) return Math.round(seconds * 1_000);
  const detail = `it must be a number of seconds above 0 and up to ${MAX_S}, with at most three ` +
    `decimals: current value is ${preview(value)}`;
  throw new ProblemError("malformed-request", {
    detail: `Cannot limit the time of the request as ${NAME} is not valid; correct it`,
    errors: [{ header: NAME, detail }],
  });
}

function exceeded(timeoutMs: number): DeadlineError {
  return new DeadlineError(`Cannot finish the request within its ${NAME} of ${timeoutMs} ms`);
}

/** The database, whose units of work end at the deadline. */
function within(
  deadline: Deadline,
  { db, statementTimeoutMs }: {
    readonly db: TransactionRunner;
    readonly statementTimeoutMs: number;
  },
): TransactionRunner {
  return mapSessionOptions(db, (options) => ({
    ...options,
    signal: options.signal === undefined
      ? deadline.signal
      : AbortSignal.any([options.signal, deadline.signal]),
    statementTimeoutMs: Math.min(
      // As in PostgreSQL, 0 is no limit.
      (options.statementTimeoutMs ?? statementTimeoutMs) || Infinity,
      serverTimeoutMs(deadline.leftMs()),
    ),
  }));
}

/**
 * The server's own limit, for a statement that no cancel request reaches, such as one that was sent by HTTP. A power of
 * two, because `db` keeps what it sends for each value.
 */
function serverTimeoutMs(leftMs: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(1, leftMs)));
}
