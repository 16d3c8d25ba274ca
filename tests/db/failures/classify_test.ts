import { assertEquals } from "@std/assert";
import {
  AcquireTimeoutError,
  CommitOutcomeUnknownError,
  ConnectError,
  ConnectionLostError,
  DeadlineError,
  PoolClosedError,
  PoolOverloadedError,
  type ServerError,
  SessionNotCommittedError,
} from "../../../src/db/errors.ts";
import { classify, isReplayable } from "../../../src/db/failures/classify.ts";
import { type Failure, FAILURES } from "../../../src/db/failures/failure_table.ts";
import { serverError } from "../../support/scripted_driver.ts";

type Case = readonly [
  kind: string,
  what: string,
  error: unknown,
  phase: "statement" | "commit",
  /** Applied, transient, connection, generation. */
  verdict: readonly [Failure["applied"], boolean, Failure["connection"], Failure["generation"]],
];

/** An ERROR on a connection that stays open. */
function said(sqlState: string, message = "scripted") {
  return serverError(sqlState, message);
}

function inReadOnly(error: ServerError) {
  error.wasReadOnly = true;
  return error;
}

/** FATAL on a connection that had been ready, which ends it. */
function fatal(sqlState: string, message = "scripted") {
  const cause = serverError(sqlState, message, "FATAL");
  return new ConnectionLostError("lost", { cause, begun: true });
}

/** PgBouncer's own FATAL, on a connection that had been ready. */
function pooler(message: string, { begun = true }: { begun?: boolean } = {}) {
  const cause = serverError("08P01", message, "FATAL", { routine: undefined });
  return new ConnectionLostError("lost", { cause, begun });
}

/** A server's refusal of the pooler's own login, which the pooler passes on to clients that wait for a server. */
function passedOn(sqlState: string) {
  const cause = serverError(sqlState, "scripted", "FATAL", { routine: undefined });
  return new ConnectionLostError("lost", { cause, begun: false });
}

/** FATAL instead of a login. */
function refused(sqlState: string, message = "scripted") {
  return new ConnectError("refused", { cause: serverError(sqlState, message, "FATAL") });
}

const silent = new ConnectionLostError("lost", { begun: true });

const FINAL = ["no", false, "kept", "stays"] as const;
const AGAIN = ["no", true, "kept", "stays"] as const;
const RECONNECT = ["no", true, "lost", "stays"] as const;
const REFUSED = ["no", false, "lost", "stays"] as const;
const USELESS = ["no", true, "useless", "stays"] as const;
const UNKNOWN = ["unknown", false, "lost", "stays"] as const;

const cases: readonly Case[] = [
  ["crash_shutdown", "within a transaction", fatal("57P02"), "statement", [
    "no",
    true,
    "lost",
    "ends",
  ]],
  ["cannot_connect_now", "at login", refused("57P03"), "statement", ["no", true, "lost", "ends"]],
  ["cannot_connect_now", "at login with COMMIT", refused("57P03"), "commit", [
    "no",
    true,
    "lost",
    "ends",
  ]],
  ["admin_shutdown", "within a transaction", fatal("57P01"), "statement", [
    "no",
    true,
    "lost",
    "suspect",
  ]],
  ["admin_shutdown", "at login", refused("57P01"), "statement", ["no", true, "lost", "suspect"]],
  ["commit_lost_in_crash", "57P02", fatal("57P02"), "commit", ["unknown", false, "lost", "ends"]],
  ["commit_lost_in_shutdown", "57P01", fatal("57P01"), "commit", [
    "unknown",
    false,
    "lost",
    "suspect",
  ]],
  ["commit_lost", "without an answer", silent, "commit", UNKNOWN],
  ["commit_lost", "to a transaction timeout", fatal("25P04"), "commit", UNKNOWN],
  ["commit_lost", "in the pooler", fatal("08P01", "server conn crashed?"), "commit", UNKNOWN],
  ["completion_unknown", "40003 to COMMIT", said("40003"), "commit", [
    "unknown",
    false,
    "kept",
    "stays",
  ]],
  ["statement_failed", "40003 to a statement", said("40003"), "statement", FINAL],
  ["resolution_unknown", "08007", said("08007"), "statement", ["unknown", false, "kept", "stays"]],
  ...[
    "Control plane request failed",
    "Couldn't connect to compute node",
    "Failed to acquire permit to connect to the database. Too many database connection attempts are currently ongoing.",
    "Too many connections attempts",
    "Too many connections to this endpoint. Please try again later.",
    "sorry, too many clients already",
    "the database system is starting up",
    "endpoint is temporarily unavailable. Check your quotas and/or contact our support",
  ].map((text): Case => ["neon_transient", text, refused("XX000", text), "statement", RECONNECT]),
  ...[
    "password authentication failed for user 'ann'",
    "The requested endpoint could not be found, or you don't have access to it. endpoint cannot be found",
    "endpoint is disabled",
    "Endpoint ID is not specified",
    "This IP address 127.0.0.1 is not allowed to connect to this endpoint.",
    "Your project has exceeded the data transfer quota.",
    "unsupported startup parameter in options: statement_timeout",
  ].map((text): Case => ["login_refused", text, refused("XX000", text), "statement", REFUSED]),
  ["login_refused", "wrong password", refused("28P01"), "statement", REFUSED],
  ["login_refused", "no such role", refused("28000"), "statement", REFUSED],
  ["login_refused", "no such database", refused("3D000"), "statement", REFUSED],
  ["login_refused", "SCRAM and a pipelined password", refused("08P01"), "statement", REFUSED],
  [
    "pooler_full",
    "at login",
    refused("08P01", "no more connections allowed (max_client_conn)"),
    "statement",
    RECONNECT,
  ],
  [
    "pooler_full",
    "in the pooler's queue",
    fatal("08P01", "query_wait_timeout"),
    "statement",
    RECONNECT,
  ],
  [
    "pooler_server_lost",
    "within a transaction",
    fatal("08P01", "server conn crashed?"),
    "statement",
    RECONNECT,
  ],
  ...["query timeout", "idle transaction timeout", "transaction timeout"].flatMap(
    (text): Case[] => [
      ["pooler_timeout", text, pooler(text), "statement", REFUSED],
      ["commit_lost", text, pooler(text), "commit", UNKNOWN],
    ],
  ),
  ...["query timeout", "transaction timeout"].map((text): Case => [
    "commit_lost",
    `${text}, nothing heard of the flight`,
    pooler(text, { begun: false }),
    "commit",
    UNKNOWN,
  ]),
  [
    "pooler_timeout",
    "idle transaction timeout, before COMMIT was passed on",
    pooler("idle transaction timeout", { begun: false }),
    "commit",
    REFUSED,
  ],
  ...[
    ["pooler_full", "query_wait_timeout"],
    ["pooler_full", "query_timeout"],
    ["pooler_server_lost", "server login has been failing, try again later (server_login_retry)"],
    [
      "pooler_server_lost",
      "server login has been failing, cached error: connect failed (server_login_retry)",
    ],
    ["pooler_server_lost", "pgbouncer cannot connect to server"],
    ["pooler_server_lost", "client_login_timeout (server down)"],
    ["pooler_shutdown", "server shutting down"],
    ["pooler_shutdown", "pooler is shutting down"],
    ["connection_lost", "client_idle_timeout"],
  ].flatMap(([kind, text]): Case[] => [
    [kind!, text!, pooler(text!, { begun: false }), "statement", RECONNECT],
    [
      kind!,
      `${text}, before COMMIT was passed on`,
      pooler(text!, { begun: false }),
      "commit",
      RECONNECT,
    ],
    ["commit_lost", `${text}, after the flight had begun`, pooler(text!), "commit", UNKNOWN],
  ]),
  ...[
    ["pooler_full", "client connections exceeded (max_user_client_connections)"],
    ["pooler_full", "bouncer resources exhaustion"],
    ["pooler_server_lost", "pgbouncer cannot connect to server"],
    ["pooler_server_lost", "client_login_timeout"],
    ["pooler_shutdown", "pooler is shutting down"],
  ].map(([kind, text]): Case => [kind!, text!, refused("08P01", text), "statement", RECONNECT]),
  ...["bouncer config error", "no such database: x", 'database "x" is disabled'].map((
    text,
  ): Case => [
    "login_refused",
    text,
    refused("08P01", text),
    "statement",
    REFUSED,
  ]),
  ["too_many_connections", "for the pooler", passedOn("53300"), "commit", RECONNECT],
  ["connection_lost", "the pooler's password", passedOn("28P01"), "commit", RECONNECT],
  [
    "pooler_full",
    "query_wait_timeout of PgBouncer before 1.16, which says ERROR",
    new ConnectionLostError("lost", { begun: false, cause: said("08P01", "query_wait_timeout") }),
    "commit",
    RECONNECT,
  ],
  ["commit_lost", "a proxy's own FATAL", passedOn("XX000"), "commit", UNKNOWN],
  [
    "connection_lost",
    "a pooler's text within another",
    fatal("XX000", "about query timeout"),
    "statement",
    RECONNECT,
  ],
  ["too_many_connections", "at login", refused("53300"), "statement", RECONNECT],
  ["out_of_resources", "memory", said("53200"), "statement", AGAIN],
  ["statement_failed", "a full disk", said("53100"), "statement", FINAL],
  ["not_reached", "a refused socket", new ConnectError("no route"), "statement", RECONNECT],
  ["not_reached", "before a COMMIT was sent", new ConnectError("no route"), "commit", RECONNECT],
  ["serialization_failure", "in a statement", said("40001"), "statement", AGAIN],
  ["serialization_failure", "at COMMIT", said("40001"), "commit", AGAIN],
  ["deadlock_detected", "in a statement", said("40P01"), "statement", AGAIN],
  ["lock_not_available", "in a statement", said("55P03"), "statement", AGAIN],
  ["query_canceled", "in a statement", said("57014"), "statement", FINAL],
  ["query_canceled", "at COMMIT", said("57014"), "commit", FINAL],
  ["too_long_in_transaction", "idle", fatal("25P03"), "statement", REFUSED],
  ["too_long_in_transaction", "busy", fatal("25P04"), "statement", REFUSED],
  ["in_failed_transaction", "25P02", said("25P02"), "statement", USELESS],
  ["read_only", "a standby, or a setting", said("25006"), "statement", USELESS],
  ["read_only", "at COMMIT", said("25006"), "commit", USELESS],
  [
    "statement_failed",
    "a write in a read-only session",
    inReadOnly(said("25006")),
    "statement",
    FINAL,
  ],
  ...[
    ["0A000", "cannot use serializable mode in a hot standby"],
    ["0A000", "cannot set transaction read-write mode during recovery"],
    [
      "55000",
      "cannot acquire lock mode ShareLock on database objects while recovery is in progress",
    ],
    ["55000", "recovery is in progress"],
    ["XX000", "cannot assign TransactionIds during recovery"],
  ].flatMap(([sqlState, text]): Case[] => [
    ["in_recovery", text!, said(sqlState!, text), "statement", USELESS],
    [
      "statement_failed",
      `${text}, in a read-only session`,
      inReadOnly(said(sqlState!, text)),
      "statement",
      FINAL,
    ],
  ]),
  [
    "stale_plan",
    "a prepared statement",
    said("0A000", "cached plan must not change result type"),
    "statement",
    USELESS,
  ],
  [
    "stale_plan",
    "a procedure",
    said(
      "42804",
      "type of parameter 4 (numeric) does not match that when preparing the plan (integer)",
    ),
    "statement",
    USELESS,
  ],
  [
    "stale_plan",
    "a type",
    said("XX000", "cache lookup failed for type 16498"),
    "statement",
    USELESS,
  ],
  [
    "stale_plan",
    "a table",
    said("XX000", "could not open relation with OID 16498"),
    "statement",
    USELESS,
  ],
  [
    "statement_failed",
    "another mismatch",
    said("42804", "column is of type integer"),
    "statement",
    FINAL,
  ],
  ["statement_failed", "another lack of support", said("0A000"), "statement", FINAL],
  ["prepared_statement", "lost", said("26000"), "statement", USELESS],
  ["prepared_statement", "another's", said("42P05"), "statement", USELESS],
  ["remote_connection", "a foreign server", said("08006"), "statement", AGAIN],
  ["database_dropped", "57P04", fatal("57P04"), "statement", REFUSED],
  ["connection_lost", "without an answer", silent, "statement", RECONNECT],
  ["connection_lost", "57P05, idle_session_timeout", fatal("57P05"), "statement", RECONNECT],
  [
    "statement_failed",
    "a pooler's text in data",
    said("22P02", "query_wait_timeout"),
    "statement",
    FINAL,
  ],
  ["statement_failed", "a unique conflict", said("23505"), "statement", FINAL],
  ["statement_failed", "a deferred constraint", said("23503"), "commit", FINAL],
  ["statement_failed", "a syntax error", said("42601"), "statement", FINAL],
  ["statement_failed", "an internal error", said("XX000"), "statement", FINAL],
  ["deadline", "in a statement", new DeadlineError("x", { cause: silent }), "statement", REFUSED],
  ["deadline", "during COMMIT", new DeadlineError("x", { cause: silent }), "commit", UNKNOWN],
  ["deadline", "answered", new DeadlineError("x", { cause: said("57014") }), "commit", FINAL],
  ["deadline", "before there was a connection", new DeadlineError("x"), "statement", FINAL],
  [
    "outcome_unknown",
    "classified before",
    new CommitOutcomeUnknownError({ xid: "1", reason: "no xid" }),
    "statement",
    UNKNOWN,
  ],
  ["other", "a full queue", new PoolOverloadedError("x", { retryAfterMs: 1 }), "statement", FINAL],
  [
    "other",
    "a wait too long",
    new AcquireTimeoutError("x", { retryAfterMs: 1 }),
    "statement",
    FINAL,
  ],
  ["closed", "a closed pool", new PoolClosedError("x"), "statement", FINAL],
  ["closed", "during COMMIT", new PoolClosedError("x", { cause: silent }), "commit", UNKNOWN],
  ["other", "a forgotten commit", new SessionNotCommittedError("x"), "statement", FINAL],
  ["other", "an error of the caller's own", new Error("x"), "statement", FINAL],
  ["other", "something that is no error", "x", "statement", FINAL],
];

for (const [kind, what, error, phase, verdict] of cases) {
  Deno.test(`classify() of ${kind} (${what}) in phase ${phase}: ${verdict.join(", ")}`, () => {
    const [applied, transient, connection, generation] = verdict;
    assertEquals(classify(error, phase), { kind, applied, transient, connection, generation });
  });
}

Deno.test("each row of the table has its test and names its source", async () => {
  const tested = new Set(cases.map(([kind]) => kind));
  assertEquals(FAILURES.filter(({ kind }) => !tested.has(kind)), []);
  assertEquals(new Set(FAILURES.map(({ kind }) => kind)).size, FAILURES.length);
  const table = new URL("../../../src/db/failures/failure_table.ts", import.meta.url);
  const sourced = [...(await Deno.readTextFile(table)).matchAll(/kind: "(\w+)",\n +\/\/ \w.{10}/g)];
  assertEquals(sourced.map(([, kind]) => kind), FAILURES.map(({ kind }) => kind));
});

Deno.test("a first flight is sent again if it held no COMMIT, or if the backend had ended before it", () => {
  const cause = serverError("57P01", "terminating", "FATAL");
  const transactionTimeout = serverError("25P04", "terminating", "FATAL");
  const unsaid = new ConnectionLostError("x", { begun: false });
  const dead = new ConnectionLostError("x", { begun: false, cause });
  const killed = new ConnectionLostError("x", { begun: true, cause });
  const pooled = new ConnectionLostError("x", {
    begun: false,
    cause: serverError("08P01", "server conn crashed?", "FATAL", { routine: undefined }),
  });
  const timedOut = new ConnectionLostError("x", { begun: true, cause: transactionTimeout });
  const [idle, full, slow] = ["client_idle_timeout", "query_wait_timeout", "query timeout"].map(
    (text) => pooler(text, { begun: false }),
  );
  const answers = (commits: boolean) =>
    [unsaid, dead, killed, pooled, idle, full, slow, timedOut, new ConnectError("x")].map((error) =>
      isReplayable(error, { commits })
    );
  const [again, never] = [true, false];
  assertEquals(answers(false), [again, again, again, again, again, never, never, never, never]);
  assertEquals(answers(true), [never, again, never, never, again, never, never, never, never]);
});
