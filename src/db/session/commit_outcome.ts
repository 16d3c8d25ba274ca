/**
 * What became of a transaction whose COMMIT was sent and not answered. Asked of the server itself, on another
 * connection: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
 */
import type { Clock } from "../time/clock.ts";
import type { FlightAnswer, Statement } from "../driver/driver.ts";
import { PoolClosedError, ScopeError, ServerError, type UnknownReason } from "../errors.ts";
import { classify, isXidInFuture } from "../failures.ts";
import type { Lease } from "../pool/lease.ts";
import { retry, type RetryOptions } from "../time/retry.ts";
import { sendWithDeadline } from "./send_with_deadline.ts";
import { INCARNATION, type TransactionId } from "./xid.ts";

export type Verdict =
  | { readonly outcome: "committed" | "rolled back" }
  | { readonly outcome: "unknown"; readonly reason: UnknownReason };

/** Finds out what became of a transaction. Never rejects. */
export type ResolveCommit = (
  identity: TransactionId | undefined,
  surroundings: ResolveCommitOptions,
) => Promise<Verdict>;

export interface ResolveCommitOptions {
  /** A connection to the same primary. */
  acquire(options: { signal: AbortSignal }): Promise<Lease>;
  /** The caller's, whose end ends the search. */
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  readonly random: () => number;
}

/** For how long a server is looked for that may just be starting again, or that is still at it. */
const RESOLVE_TIMEOUT_MS = 10_000;
const QUERY_TIMEOUT_MS = 5_000;

/** Bounded by time; this only keeps the loop from being one without an end. */
const ATTEMPTS_MAX = 1_000;

class UndecidedError extends Error {}

export const resolveCommit: ResolveCommit = async (
  identity,
  { acquire, signal, clock, random },
) => {
  if (identity === undefined) return unknown("no xid");
  const timeUp = new AbortController();
  const disarm = clock.after(RESOLVE_TIMEOUT_MS, () => timeUp.abort());
  const bound = signal === undefined ? timeUp.signal : AbortSignal.any([signal, timeUp.signal]);
  const pace: Pace = {
    attempts: ATTEMPTS_MAX,
    baseMs: 20,
    capMs: 250,
    signal: bound,
    clock,
    random,
  };
  try {
    return await retry(() => askOnce(identity, { acquire, pace }), {
      ...pace,
      isRetryable: (error) => !(error instanceof PoolClosedError || error instanceof ScopeError),
    });
  } catch (error) {
    if (signal?.aborted) return unknown("gave up");
    return unknown(error instanceof UndecidedError ? "in progress" : "unreachable");
  } finally {
    disarm();
  }
};

interface Pace extends Omit<RetryOptions, "isRetryable"> {
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** On one connection, until the server can tell. */
async function askOnce(
  identity: TransactionId,
  { acquire, pace }: { acquire: ResolveCommitOptions["acquire"]; pace: Pace },
): Promise<Verdict> {
  const lease = await acquire({ signal: pace.signal });
  try {
    return await retry(() => ask(identity, { lease, pace }), {
      ...pace,
      isRetryable: (error) => error instanceof UndecidedError || error instanceof ServerError,
    });
  } finally {
    void lease.release();
  }
}

async function ask(
  identity: TransactionId,
  { lease, pace: { clock, signal } }: { lease: Lease; pace: Pace },
): Promise<Verdict> {
  const answer = await sendWithDeadline({ lease, parts: questions(identity) }, {
    clock,
    signal,
    timeoutMs: () => QUERY_TIMEOUT_MS,
    // A cancel request that comes late would hit the next one's statement.
    onCancel: () => void lease.destroy(),
  });
  return verdictOf(answer, identity);
}

/** One flight: who it is that answers, the end of whoever could still commit, and then the outcome. */
function questions({ xid, incarnation }: TransactionId): readonly Statement[] {
  return [
    {
      text: `select pg_is_in_recovery() as "isRecovering", ${INCARNATION} as incarnation`,
      values: [],
    },
    // A backend whose client is gone may still have the COMMIT before it. After a restart, the id can be another's.
    // One that only waits for a standby to have it would, ended, count as committed without:
    // https://www.postgresql.org/docs/current/warm-standby.html#SYNCHRONOUS-REPLICATION
    {
      text: `select pg_terminate_backend(pid) from pg_stat_activity
        where backend_xid = $1::xid8::xid and usename = current_user and ${INCARNATION} = $2
          and wait_event is distinct from 'SyncRep'`,
      values: [xid, incarnation],
    },
    { text: "select pg_xact_status($1::xid8) as status", values: [xid] },
  ];
}

function verdictOf({ results, error }: FlightAnswer, identity: TransactionId): Verdict {
  const isAhead = error !== undefined && isXidInFuture(error);
  if (error !== undefined && !isAhead) {
    if (classify(error, "statement").transient) throw error;
    return unknown("not told");
  }
  const [server, , outcome] = results.map(({ rows }) => rows[0]);
  // A standby has not heard of everything.
  if (server?.["isRecovering"] !== false) return unknown("in recovery");
  // The server has not come to that id (yet, again): nothing of the transaction reached its log.
  if (isAhead) return { outcome: "rolled back" };
  switch (outcome?.["status"]) {
    case "aborted":
      return { outcome: "rolled back" };
    case "committed":
      // After a crash, the same id may have been given to somebody else's transaction.
      return server["incarnation"] === identity.incarnation
        ? { outcome: "committed" }
        : unknown("restarted");
    case "in progress":
      throw new UndecidedError("the transaction is still in progress");
    default:
      return unknown("not told");
  }
}

function unknown(reason: UnknownReason): Verdict {
  return { outcome: "unknown", reason };
}
