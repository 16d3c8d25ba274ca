/**
 * Finds the outcome of a transaction whose COMMIT was sent and not answered. Asks the server for the status of its xid,
 * on another connection: https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
 */
import type { Clock } from "../time/clock.ts";
import type { FlightAnswer, Statement } from "../driver/driver.ts";
import { SYSTEM_IDENTIFIER } from "../driver/system_identifier.ts";
import { PoolClosedError, ScopeError, ServerError, type UnknownReason } from "../errors.ts";
import { classify, isXidInFuture } from "../failures/classify.ts";
import type { Lease } from "../pool/lease.ts";
import { retry, type RetryLimits } from "../time/retry.ts";
import { sendWithDeadline } from "./send_with_deadline.ts";
import { INCARNATION, type TransactionId } from "./xid.ts";

/** What could be shown about the COMMIT. `UnknownReason` says why nothing could. */
export type Verdict =
  | { readonly outcome: "committed" | "rolled back" }
  | { readonly outcome: "unknown"; readonly reason: UnknownReason };

/**
 * Finds the outcome of a COMMIT whose answer was lost. `transactionId` is `undefined` if the server had not assigned or
 * not sent an xid. Never rejects: gives the outcome `unknown`, with a reason, if nothing can be shown.
 */
export type ResolveCommit = (
  transactionId: TransactionId | undefined,
  options: ResolveCommitOptions,
) => Promise<Verdict>;

export interface ResolveCommitOptions {
  /** Leases a new connection to the same primary. */
  acquire(options: { signal: AbortSignal }): Promise<Lease>;
  /** Called if a primary answers that is another server than the transaction's, or a later life of the same one. */
  readonly onOtherServer?: (() => void) | undefined;
  /** The caller's signal. An abort ends the search with the outcome `unknown`. */
  readonly signal: AbortSignal | undefined;
  readonly clock: Clock;
  /** At least 0 and below 1, as `Math.random`. */
  readonly random: () => number;
}

/** Longest search. The server may be restarting, or may still be running the COMMIT. */
const RESOLVE_TIMEOUT_MS = 10_000;
/** Longest wait for the answer to one flight of the search. */
const QUERY_TIMEOUT_MS = 5_000;

/** `RESOLVE_TIMEOUT_MS` ends the search long before this. */
const ATTEMPTS_MAX = 1_000;

class StillInProgressError extends Error {}

/** Asks the server, for up to 10 seconds. The steps are in this folder's README. */
export const resolveCommit: ResolveCommit = async (
  transactionId,
  { acquire, onOtherServer, signal, clock, random },
) => {
  if (transactionId === undefined) return unknown("no xid");
  const timeout = new AbortController();
  const stopTimer = clock.after(RESOLVE_TIMEOUT_MS, () => timeout.abort());
  const either = signal === undefined ? timeout.signal : AbortSignal.any([signal, timeout.signal]);
  const timing: RetryTiming = {
    attempts: ATTEMPTS_MAX,
    baseMs: 20,
    capMs: 250,
    signal: either,
    clock,
    random,
  };
  try {
    const search = { acquire, onOtherServer, timing };
    return await retry(() => resolveOnOneConnection(transactionId, search), timing, {
      isRetryable: (error) => !(error instanceof PoolClosedError || error instanceof ScopeError),
    });
  } catch (error) {
    if (signal?.aborted) return unknown("gave up");
    return unknown(error instanceof StillInProgressError ? "in progress" : "unreachable");
  } finally {
    stopTimer();
  }
};

interface Search extends Pick<ResolveCommitOptions, "acquire" | "onOtherServer"> {
  readonly timing: RetryTiming;
}

interface RetryTiming extends RetryLimits {
  readonly signal: AbortSignal;
  readonly clock: Clock;
}

/** Asks on one connection until the server gives an outcome. Rejects if the connection fails. */
async function resolveOnOneConnection(
  transactionId: TransactionId,
  search: Search,
): Promise<Verdict> {
  const { acquire, timing } = search;
  const lease = await acquire({ signal: timing.signal });
  try {
    return await retry(() => queryOutcome(transactionId, lease, search), timing, {
      isRetryable: (error) => error instanceof StillInProgressError || error instanceof ServerError,
    });
  } finally {
    void lease.release();
  }
}

async function queryOutcome(
  transactionId: TransactionId,
  lease: Lease,
  { onOtherServer, timing: { clock, signal } }: Search,
): Promise<Verdict> {
  // The signal may have aborted while the search waited for its connection.
  signal.throwIfAborted();
  const answer = await sendWithDeadline({ lease, parts: outcomeStatements(transactionId) }, {
    clock,
    signal,
    timeoutMs: () => QUERY_TIMEOUT_MS,
    // A late cancel request must not reach a statement of the connection's next holder.
    onCancel: () => void lease.destroy(),
  });
  const [server] = answer.results[0]?.rows ?? [];
  const isOther = server !== undefined && server["incarnation"] !== transactionId.incarnation;
  if (isOther && server["isRecovering"] === false) onOtherServer?.();
  return verdictOf(answer, transactionId);
}

/** One flight: identifies the server, terminates the transaction's backend, and reads the outcome. */
function outcomeStatements({ xid, incarnation }: TransactionId): readonly Statement[] {
  return [
    {
      text: `select pg_is_in_recovery() as "isRecovering", ${INCARNATION} as incarnation,
        ${SYSTEM_IDENTIFIER} as "systemIdentifier",
        exists (select from pg_replication_origin) as "isSubscriber"`,
      values: [],
    },
    // The backend of the lost connection may still run the COMMIT later. After a restart the xid can be another
    // transaction's: hence the incarnation. A backend in SyncRep has committed and waits for the standby. If it were
    // terminated, the transaction would count as committed although the standby does not have it:
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

function verdictOf({ results, error }: FlightAnswer, transactionId: TransactionId): Verdict {
  const isAhead = error !== undefined && isXidInFuture(error);
  if (error !== undefined && !isAhead) {
    if (classify(error, "statement").transient) throw error;
    return unknown("not told");
  }
  const [server, , outcome] = results.map(({ rows }) => rows[0]);
  // A standby may not have received the COMMIT.
  if (server?.["isRecovering"] !== false) return unknown("in recovery");
  const doubt = doubtAboutCluster(server, transactionId);
  if (doubt !== undefined) return unknown(doubt);
  // The server has not assigned this xid, or not again after a crash: nothing of the transaction is in its log.
  if (isAhead) return { outcome: "rolled back" };
  switch (outcome?.["status"]) {
    case "aborted":
      return { outcome: "rolled back" };
    case "committed":
      // After a crash the server may have assigned the same xid to another transaction.
      return server["incarnation"] === transactionId.incarnation
        ? { outcome: "committed" }
        : unknown("restarted");
    case "in progress":
      throw new StillInProgressError("the transaction is still in progress");
    default:
      return unknown("not told");
  }
}

/**
 * Why the server's answer may be about another cluster's transaction. Another cluster can have the unit's rows by logical
 * replication, under an xid of its own.
 */
function doubtAboutCluster(
  server: Readonly<Record<string, unknown>>,
  { incarnation, systemIdentifier }: TransactionId,
): UnknownReason | undefined {
  if (server["incarnation"] === incarnation) return undefined;
  const answering = server["systemIdentifier"];
  if (systemIdentifier === undefined || typeof answering !== "string") return "cluster unknown";
  if (answering !== systemIdentifier) return "other cluster";
  // A copy of the data directory keeps the identifier, and can be made a subscriber afterwards. Subscriptions have
  // origins: https://www.postgresql.org/docs/current/replication-origins.html
  return server["isSubscriber"] === false ? undefined : "cluster unknown";
}

function unknown(reason: UnknownReason): Verdict {
  return { outcome: "unknown", reason };
}
