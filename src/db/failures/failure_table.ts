/**
 * What each failure means for a unit of work: one table. Only this folder compares SQLSTATEs or matches error texts.
 *
 * Is it safe to run the unit again? That depends on the phase: what was sent, and what was answered. Is it worth it? That
 * depends on the kind of failure. The first row of the table that fits decides. Rows for a server's errors rest on
 * PostgreSQL's list of SQLSTATEs, https://www.postgresql.org/docs/current/errcodes-appendix.html.
 */

/** Where a unit of work was when it failed. `commit`: COMMIT had been sent. `connect`: nothing had been sent. */
export type Phase = "connect" | "statement" | "commit";

/** What a failure means for the unit of work that it ended, for its connection and for the pool. */
export interface Failure {
  /** A short name, for counters. */
  readonly kind: string;
  /** Whether the unit's effects are in the database. Only "no" is safe to repeat. */
  readonly applied: "no" | "unknown" | "yes";
  /** Whether the same work may succeed if it is done again. */
  readonly transient: boolean;
  /**
   * `lost`: it is gone. `useless`: it is alive, and its own state made the statement fail, so that it is closed and the
   * next attempt gets a fresh one.
   */
  readonly connection: "kept" | "useless" | "lost";
  /** Whether all connections of this life of the server are gone too: `suspect` if it happens twice within a second. */
  readonly generation: "ends" | "suspect" | "stays";
}

/** A row of the table. A condition that is left out fits everything. */
export interface FailureRow extends Omit<Failure, "connection"> {
  /** Whether the connection is useless, though alive. */
  readonly useless?: true;
  readonly phases?: readonly Phase[];
  /** Whether the connection ended with it. */
  readonly lost?: boolean;
  readonly sqlStates?: readonly string[];
  readonly text?: RegExp;
  /** Whether the session had asked to be read only. */
  readonly readOnly?: boolean;
}

export const PERMANENT = { applied: "no", transient: false, generation: "stays" } as const;
/** Another connection may run the statement. Not the generation's end: the other idle ones may serve reads as before. */
const USELESS = {
  applied: "no",
  transient: true,
  generation: "stays",
  lost: false,
  useless: true,
} as const;
const TRANSIENT = { applied: "no", transient: true, generation: "stays" } as const;
export const UNKNOWN = { applied: "unknown", transient: false, generation: "stays" } as const;

/**
 * Each row names where its meaning comes from, in a comment, so that a deployed bundle holds no prose:
 *
 * - ERRCODES: https://www.postgresql.org/docs/current/errcodes-appendix.html
 * - PROTOCOL: https://www.postgresql.org/docs/current/protocol-flow.html
 * - RETRIES: https://www.postgresql.org/docs/current/mvcc-serialization-failure-handling.html
 * - POSTGRES: github.com/postgres/postgres, src/backend
 * - PGBOUNCER: github.com/pgbouncer/pgbouncer, disconnect_client() in src; all its own errors are FATAL 08P01
 * - NEON: github.com/neondatabase/neon, proxy/src; all its own errors are XX000
 */
export const FAILURES: readonly FailureRow[] = [
  // A server that ends a connection may be ending all of them.
  {
    kind: "crash_shutdown",
    // ERRCODES: 57P02; every backend of the server ends
    phases: ["connect", "statement"],
    sqlStates: ["57P02"],
    ...TRANSIENT,
    generation: "ends",
  },
  {
    kind: "cannot_connect_now",
    // ERRCODES: 57P03; the server starts up, shuts down or recovers
    phases: ["connect", "statement"],
    sqlStates: ["57P03"],
    ...TRANSIENT,
    generation: "ends",
  },
  {
    kind: "admin_shutdown",
    // ERRCODES: 57P01; a single pg_terminate_backend, or the whole server
    phases: ["connect", "statement"],
    sqlStates: ["57P01"],
    ...TRANSIENT,
    generation: "suspect",
  },

  // Once COMMIT was sent, only an ERROR in answer to it, on a connection that stays open, shows that it had no effect.
  {
    kind: "commit_lost_in_crash",
    // PROTOCOL: FATAL in answer to COMMIT may come after it took effect
    phases: ["commit"],
    lost: true,
    sqlStates: ["57P02", "57P03"],
    ...UNKNOWN,
    generation: "ends",
  },
  {
    kind: "commit_lost_in_shutdown",
    // PROTOCOL: FATAL in answer to COMMIT may come after it took effect
    phases: ["commit"],
    lost: true,
    sqlStates: ["57P01"],
    ...UNKNOWN,
    generation: "suspect",
  },
  {
    kind: "commit_lost",
    // PROTOCOL: without an answer to COMMIT nothing is known
    phases: ["commit"],
    lost: true,
    ...UNKNOWN,
  },
  {
    kind: "completion_unknown",
    // ERRCODES: 40003, statement_completion_unknown
    phases: ["commit"],
    sqlStates: ["40003"],
    ...UNKNOWN,
  },
  {
    kind: "resolution_unknown",
    // ERRCODES: 08007, transaction_resolution_unknown
    sqlStates: ["08007"],
    ...UNKNOWN,
  },

  // Refusals of a login. All refusals of Neon's proxy have one SQLSTATE, so that their texts decide.
  {
    kind: "neon_transient",
    // NEON: a compute that starts, or a limit that passes
    phases: ["connect"],
    text:
      /^Control plane request failed|Couldn't connect to compute node|Failed to acquire permit to connect|Too many connections attempts|Too many connections to this endpoint|endpoint is temporarily unavailable|sorry, too many clients already|remaining connection slots are reserved|the database system is (?:starting up|shutting down|not yet accepting|in recovery)/,
    ...TRANSIENT,
  },
  {
    kind: "pooler_timeout",
    // PGBOUNCER; as 57014, 25P03 and 25P04: the next run would take as long
    phases: ["statement"],
    lost: true,
    text: /^(?:query|idle transaction|transaction) timeout$/,
    ...PERMANENT,
  },
  {
    kind: "pooler_full",
    // PGBOUNCER: too many clients, or a client that waited for too long
    phases: ["connect", "statement"],
    lost: true,
    text:
      /^(?:no more connections allowed|client connections exceeded|bouncer resources exhaustion|query_(?:wait_)?timeout$)/,
    ...TRANSIENT,
  },
  {
    kind: "pooler_server_lost",
    // PGBOUNCER: its own connection to the server broke, or cannot be opened
    phases: ["connect", "statement"],
    lost: true,
    text:
      /^(?:server conn crashed\?|server login has been failing|pgbouncer cannot connect to server|client_login_timeout)/,
    ...TRANSIENT,
  },
  {
    kind: "pooler_shutdown",
    // PGBOUNCER: it ends, and another one may take its place
    phases: ["connect", "statement"],
    lost: true,
    text: /^(?:pooler|server) (?:is )?shutting down$/,
    ...TRANSIENT,
  },
  {
    kind: "too_many_connections",
    // ERRCODES: 53300; a slot may come free
    phases: ["connect", "statement"],
    sqlStates: ["53300"],
    ...TRANSIENT,
  },
  {
    kind: "out_of_resources",
    // ERRCODES: 53000, 53200; memory may come free, a full disk (53100) will not
    sqlStates: ["53000", "53200"],
    ...TRANSIENT,
  },
  {
    kind: "login_refused",
    // ERRCODES: class 28, 3D000, 08P01, and Neon's quotas and unknown endpoints
    phases: ["connect"],
    text: /./,
    ...PERMANENT,
  },
  {
    kind: "not_reached",
    // no answer from a server: a refused or broken socket, a deadline, an ErrorEvent
    phases: ["connect"],
    ...TRANSIENT,
  },

  // Errors by a connection's own state, whatever the statement. States that a unit leaves behind (a role, a search path, a
  // temporary table) are not here: their errors are the same as those of a wrong statement, and such a connection is closed.
  // Nor is what all connections of the server share: memory, disks, files, roles.
  {
    kind: "read_only",
    // ERRCODES: 25006; a standby, a setting, or a full disk, where the session asked to write
    sqlStates: ["25006"],
    readOnly: false,
    ...USELESS,
  },
  {
    kind: "in_recovery",
    // POSTGRES, RecoveryInProgress(): a standby, where the session asked to write
    sqlStates: ["0A000", "55000", "XX000"],
    text: /\bin a hot standby$|\bduring recovery$|\brecovery is in progress$/,
    readOnly: false,
    ...USELESS,
  },
  {
    kind: "stale_plan",
    // POSTGRES: a plan that the connection has kept, of a table or type that has changed
    sqlStates: ["0A000", "42804", "XX000"],
    text:
      /^cached plan must not change result type$|does not match that when preparing the plan \(|^cache lookup failed for |^could not open relation with OID /,
    ...USELESS,
  },
  {
    kind: "prepared_statement",
    // ERRCODES: 26000, 42P05; the connection lacks a prepared statement, or has another's
    sqlStates: ["26000", "42P05"],
    ...USELESS,
  },
  {
    kind: "in_failed_transaction",
    // ERRCODES: 25P02; a session sends nothing after its own first error, so that the connection had failed before
    sqlStates: ["25P02"],
    ...USELESS,
  },

  // Errors of a statement or of COMMIT, on a connection that stays open: the transaction is rolled back.
  {
    kind: "serialization_failure",
    // RETRIES: 40001
    sqlStates: ["40001"],
    ...TRANSIENT,
  },
  {
    kind: "deadlock_detected",
    // RETRIES: 40P01
    sqlStates: ["40P01"],
    ...TRANSIENT,
  },
  {
    kind: "lock_not_available",
    // ERRCODES: 55P03; lock_timeout or NOWAIT, and locks are given back
    sqlStates: ["55P03"],
    ...TRANSIENT,
  },
  {
    kind: "query_canceled",
    // ERRCODES: 57014; a timeout or a cancel request; the next run would take as long
    sqlStates: ["57014"],
    ...PERMANENT,
  },
  {
    kind: "too_long_in_transaction",
    // ERRCODES: 25P03, 25P04; the next run would take as long
    sqlStates: ["25P03", "25P04"],
    ...PERMANENT,
  },
  {
    kind: "remote_connection",
    // ERRCODES: class 08 as an ERROR; a foreign server's connection
    lost: false,
    sqlStates: ["08000", "08001", "08003", "08004", "08006"],
    ...TRANSIENT,
  },
  {
    kind: "database_dropped",
    // ERRCODES: 57P04
    sqlStates: ["57P04"],
    ...PERMANENT,
  },

  {
    kind: "connection_lost",
    // PROTOCOL: a session that ends before COMMIT is rolled back
    lost: true,
    ...TRANSIENT,
  },
  {
    kind: "statement_failed",
    // ERRCODES: classes 22, 23, 42 and the rest, deferred constraints at COMMIT included
    ...PERMANENT,
  },
];
