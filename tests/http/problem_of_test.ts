import { assert, assertEquals } from "@std/assert";
import { HTTPException } from "hono/http-exception";
import {
  AcquireTimeoutError,
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  CommitRowsLostError,
  ConnectError,
  ConnectionLostError,
  DeadlineError,
  PoolClosedError,
  PoolOverloadedError,
  ScopeError,
  ServerError,
  SessionEndedError,
  SessionNotCommittedError,
  StatementSkippedError,
} from "../../src/db/mod.ts";
import { createApp, type FailedRequest } from "../../src/http/app.ts";
import { problemOf } from "../../src/http/problem_of.ts";
import {
  EmailTakenError,
  UserNotFoundError,
  VersionMismatchError,
} from "../../src/users/user_errors.ts";
import { failingDatabase } from "./fake_database.ts";
import { assertProblem } from "./requests.ts";
import { withToken } from "../support/access.ts";
import { authenticator } from "./test_app.ts";

/** Text that must not reach a client. */
const SECRET = "select hunter2 from users";

function serverError(sqlState: string, severity = "ERROR"): ServerError {
  const error = new ServerError({
    message: SECRET,
    severity,
    sqlState,
    detail: SECRET,
    hint: SECRET,
    where: SECRET,
    internalQuery: SECRET,
  });
  error.statement = SECRET;
  return error;
}

function hidden(cause: unknown, depth: number): unknown {
  return depth === 0 ? cause : hidden(new Error(SECRET, { cause }), depth - 1);
}

function cyclic(): Error {
  const error = new Error(SECRET);
  error.cause = new Error(SECRET, { cause: error });
  return error;
}

const TABLE: readonly [
  name: string,
  error: unknown,
  status: number,
  kind: string,
  retryAfter?: string,
][] = [
  [
    "AcquireTimeoutError",
    new AcquireTimeoutError(SECRET, { retryAfterMs: 1_200 }),
    503,
    "overloaded",
    "2",
  ],
  [
    "PoolOverloadedError",
    new PoolOverloadedError(SECRET, { retryAfterMs: 3 }),
    503,
    "overloaded",
    "1",
  ],
  [
    "PoolOverloadedError without a wait",
    new PoolOverloadedError(SECRET, { retryAfterMs: 0 }),
    503,
    "overloaded",
    "1",
  ],
  [
    "PoolOverloadedError of an unreachable database",
    new PoolOverloadedError(SECRET, { retryAfterMs: 1_200, isUnreachable: true }),
    503,
    "database-unreachable",
    "2",
  ],
  ["PoolClosedError", new PoolClosedError(SECRET), 503, "shutting-down", "1"],
  ["ConnectError", new ConnectError(SECRET), 503, "database-unreachable", "1"],
  [
    "ConnectError over a wrong password",
    new ConnectError(SECRET, { cause: serverError("28P01") }),
    503,
    "database-unreachable",
    "1",
  ],
  [
    "ConnectionLostError",
    new ConnectionLostError(SECRET, { begun: true }),
    503,
    "database-unreachable",
    "1",
  ],
  ["too_many_connections", serverError("53300"), 503, "database-unreachable", "1"],
  ["admin_shutdown", serverError("57P01", "FATAL"), 503, "database-unreachable", "1"],
  ["serialization_failure", serverError("40001"), 503, "contention", "1"],
  ["deadlock_detected", serverError("40P01"), 503, "contention", "1"],
  ["lock_not_available", serverError("55P03"), 503, "contention", "1"],
  ["DeadlineError", new DeadlineError(SECRET), 504, "deadline-exceeded"],
  ["query_canceled", serverError("57014"), 504, "deadline-exceeded"],
  ["transaction_timeout", serverError("25P04", "FATAL"), 504, "deadline-exceeded"],
  ["idle_in_transaction_session_timeout", serverError("25P03", "FATAL"), 504, "deadline-exceeded"],
  ["unique_violation", serverError("23505"), 409, "conflict"],
  ["foreign_key_violation", serverError("23503"), 409, "conflict"],
  ["exclusion_violation", serverError("23P01"), 409, "conflict"],
  ["EmailTakenError", new EmailTakenError(), 409, "email-taken"],
  ["UserNotFoundError", new UserNotFoundError(), 404, "user-not-found"],
  ["VersionMismatchError", new VersionMismatchError(7), 412, "version-mismatch"],
  ["CommitRowsLostError", new CommitRowsLostError(SECRET), 500, "rows-lost"],
  [
    "CommitOutcomeUnknownError",
    new CommitOutcomeUnknownError({ xid: SECRET, reason: "no xid" }),
    500,
    "outcome-unknown",
  ],
  [
    "CommitRolledBackError over its cause",
    new CommitRolledBackError(SECRET, { cause: serverError("23505") }),
    409,
    "conflict",
  ],
  [
    "StatementSkippedError over its cause",
    new StatementSkippedError(SECRET, { cause: serverError("57014") }),
    504,
    "deadline-exceeded",
  ],
  [
    "CommitOutcomeUnknownError of db.run",
    new CommitOutcomeUnknownError({ xid: undefined, reason: "no transaction" }),
    500,
    "outcome-unknown",
  ],
  ["a statement that needs db.run", serverError("25001"), 500, "internal"],
  ["CommitRolledBackError without a cause", new CommitRolledBackError(SECRET), 500, "internal"],
  ["SessionNotCommittedError", new SessionNotCommittedError(SECRET), 500, "internal"],
  ["SessionEndedError", new SessionEndedError(SECRET), 500, "internal"],
  ["ScopeError", new ScopeError(SECRET), 500, "internal"],
  ["undefined_table", serverError("42P01"), 500, "internal"],
  [
    "a library's error over a ServerError",
    new Error(SECRET, { cause: serverError("23505") }),
    409,
    "conflict",
  ],
  [
    "library's errors over a PoolOverloadedError",
    hidden(new PoolOverloadedError(SECRET, { retryAfterMs: 2_000 }), 8),
    503,
    "overloaded",
    "2",
  ],
  [
    "an AggregateError over a CommitOutcomeUnknownError",
    new AggregateError([
      new Error(SECRET),
      new CommitOutcomeUnknownError({ xid: SECRET, reason: "no xid" }),
    ]),
    500,
    "outcome-unknown",
  ],
  [
    "a SuppressedError over a DeadlineError",
    new SuppressedError(new Error(SECRET), new DeadlineError(SECRET)),
    504,
    "deadline-exceeded",
  ],
  [
    "SessionEndedError over a lost connection",
    new SessionEndedError(SECRET, { cause: new ConnectionLostError(SECRET, { begun: true }) }),
    503,
    "database-unreachable",
    "1",
  ],
  [
    "SessionEndedError over a conflict",
    new SessionEndedError(SECRET, { cause: serverError("23505") }),
    500,
    "internal",
  ],
  [
    "SessionNotCommittedError over a conflict",
    new SessionNotCommittedError(SECRET, { cause: serverError("23505") }),
    500,
    "internal",
  ],
  ["a cycle of causes", cyclic(), 500, "internal"],
  [
    "an error whose cause throws",
    Object.defineProperty(new Error(SECRET), "cause", {
      get() {
        throw new Error(SECRET);
      },
    }),
    500,
    "internal",
  ],
  ["Error", new Error(SECRET), 500, "internal"],
  ["TypeError", new TypeError(SECRET), 500, "internal"],
  ["HTTPException with status 500", new HTTPException(500, { message: SECRET }), 500, "internal"],
  ["a string", SECRET, 500, "internal"],
  ["undefined", undefined, 500, "internal"],
  ["null", null, 500, "internal"],
  ["an event", new Event("error"), 500, "internal"],
];

for (const [name, error, status, kind, retryAfter] of TABLE) {
  Deno.test(`problemOf() maps ${name} to ${status} ${kind}`, async () => {
    const failures: FailedRequest[] = [];
    // Not `testApp`: most of these errors cannot happen to a list, and the document does not have them.
    const app = createApp({
      authenticator,
      db: failingDatabase(error),
      onFailure: (it) => failures.push(it),
    });
    const response = await app.request("/users", withToken());
    assertEquals(response.headers.get("Retry-After"), retryAfter ?? null);
    const text = await response.clone().text();
    assert(!text.includes("hunter2"), text);
    await assertProblem(response, status, kind);
    assertEquals(failures.length, status >= 500 ? 1 : 0);
    assert(failures.every((failure) => failure.error instanceof Error));
  });
}

Deno.test("problemOf() adds the current version as ETag to a version mismatch", () => {
  assertEquals(problemOf(new VersionMismatchError(7)).headers, { ETag: '"7"' });
});

Deno.test("problemOf() keeps the headers of an HTTPException of Hono's middleware, but not its message", () => {
  const res = new Response(SECRET, { status: 401, headers: { "WWW-Authenticate": "Bearer" } });
  const { headers, status, ...rest } = problemOf(new HTTPException(401, { res, message: SECRET }));
  assertEquals(status, 401);
  assertEquals(headers, { "www-authenticate": "Bearer" });
  assert(!JSON.stringify(rest).includes("hunter2"));
});
