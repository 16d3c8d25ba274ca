/** Finds the row of the failure table that fits an error. */
import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  ConnectError,
  ConnectionLostError,
  DeadlineError,
  PoolClosedError,
  ServerError,
} from "../errors.ts";
import {
  type Failure,
  type FailureRow,
  FAILURES,
  PERMANENT,
  type Phase,
  UNKNOWN,
} from "./failure_table.ts";

/** For errors that no connection caused: the pool's refusals, and the caller's own errors. */
const NOT_OURS: Failure = { kind: "other", ...PERMANENT, connection: "kept" };

/** What `error` means for a unit of work that was in `phase`. */
export function classify(error: unknown, phase: Exclude<Phase, "connect">): Failure {
  if (error instanceof CommitOutcomeUnknownError) {
    return { kind: "outcome_unknown", ...UNKNOWN, connection: "lost" };
  }
  if (error instanceof CommitRowsLostError) {
    return { ...UNKNOWN, kind: "rows_lost", applied: "yes", connection: "lost" };
  }
  // A deadline or a closing pool that interrupts a flight leaves it as uncertain as a lost connection. Classify by the
  // cause, and never retry.
  if (error instanceof DeadlineError || error instanceof PoolClosedError) {
    const kind = error instanceof DeadlineError ? "deadline" : "closed";
    return { ...classify(error.cause, phase), kind, transient: false };
  }
  const lost = error instanceof ConnectError || error instanceof ConnectionLostError;
  const said = lost ? error.cause : error;
  // A refused login ran nothing. After a login that broke off, the server may have run the flight that was sent with it.
  const isConnect = error instanceof ConnectError &&
    (phase === "statement" || !error.sent || said instanceof ServerError);
  const reached = error instanceof ConnectionLostError && endedBefore(error) ? "statement" : phase;
  if (!lost && !(said instanceof ServerError)) return NOT_OURS;
  const facts = {
    phase: isConnect ? "connect" : reached,
    lost,
    said: said instanceof ServerError ? said : undefined,
  } as const;
  const row = FAILURES.find((row) => fits(row, facts))!;
  const { kind, applied, transient, generation, useless } = row;
  const connection = lost ? "lost" : useless ? "useless" : "kept";
  return { kind, applied, transient, connection, generation };
}

function fits(
  { phases, lost, sqlStates, text, readOnly, useless }: FailureRow,
  { phase, lost: isLost, said }: { phase: Phase; lost: boolean; said: ServerError | undefined },
): boolean {
  return (phases === undefined || phases.includes(phase)) &&
    (lost === undefined || lost === isLost) &&
    (sqlStates === undefined || sqlStates.includes(said?.sqlState ?? "")) &&
    (text === undefined || (said !== undefined && text.test(said.message))) &&
    (readOnly === undefined || readOnly === (said?.wasReadOnly ?? false)) &&
    (useless === undefined || said?.routine !== RAISE);
}

/** PL/pgSQL's RAISE: a procedure may give its own errors any SQLSTATE and text, and none says anything of the connection. */
const RAISE = "exec_stmt_raise";

/**
 * Whether the first flight on a connection that had been idle can be sent again as it is. If the connection had died in
 * the pool, nothing of the flight ran. In any other case it may have run, which matters once it held a COMMIT. A timeout
 * that struck the flight itself would strike it again, and a full pooler needs a pause.
 */
export function isReplayable(error: unknown, { commits }: { commits: boolean }): boolean {
  if (!(error instanceof ConnectionLostError) || commits && !endedBefore(error)) return false;
  const { transient, kind } = classify(error, "statement");
  return transient && kind !== "pooler_full";
}

/**
 * Whether the connection was lost by a FATAL of PostgreSQL itself. PostgreSQL sends what it has buffered before a FATAL, so
 * that the answers to all that it had done have arrived. A FATAL that a proxy or pooler made names no `routine`.
 */
export function isEndedByServer(error: unknown): boolean {
  if (error instanceof DeadlineError || error instanceof PoolClosedError) {
    return isEndedByServer(error.cause);
  }
  return error instanceof ConnectionLostError && error.cause instanceof ServerError &&
    error.cause.routine !== undefined && error.cause.severity === "FATAL";
}

/**
 * Whether nothing of the flight ran: it was not sent, or a FATAL had ended the connection before, and no ParseComplete had
 * arrived. The FATAL of a proxy or pooler shows nothing, since COMMIT may be on its way to the server, unless the pooler
 * says it to clients alone that have no server.
 */
function endedBefore(error: ConnectionLostError): boolean {
  const { sent, begun, cause } = error;
  if (!sent) return true;
  if (begun || !(cause instanceof ServerError)) return false;
  return isEndedByServer(error) || cause.routine === undefined && saysThatItHasNoServer(cause);
}

/**
 * Whether a pooler says that the client has no server: it has passed nothing of the client's flight on, in particular no
 * COMMIT. PgBouncer links a server to each client that is in a transaction; `idle transaction timeout` strikes before the
 * next flight is passed on (`idle_tx` in its janitor.c and client.c). It passes a server's refusal of its own login on
 * to the clients that wait.
 */
function saysThatItHasNoServer({ message, sqlState }: ServerError): boolean {
  return /^(?:28|3D000|53300)/.test(sqlState) ||
    /^(?:(?:query_wait|query|client_idle|client_login)_timeout|idle transaction timeout$|(?:pooler|server) (?:is )?shutting down$|server login has been failing|pgbouncer cannot connect to server)/
      .test(message);
}

/** Whether the server cannot tell the outcome of a transaction as it has not assigned that id yet. */
export function isXidInFuture(error: Error): boolean {
  return error instanceof ServerError && error.sqlState === "22023";
}
