/** The data of the pool page, as the service sends it in JSON. */
import type { ConnectionView, DatabaseStats, DatabaseView, WaiterView } from "../db/mod.ts";
import { diagnose, type Diagnostic } from "./diagnostics.ts";
import type { RecentFailure } from "./recent_failures.ts";
import {
  connectionsOf,
  replicasOf,
  type ReplicaSummary,
  type ServerConnection,
} from "./servers.ts";
import { sanitised } from "./statement.ts";

/**
 * One point on the page's plots. The bucket counts are totals since the start: the page subtracts two samples to get
 * the counts between them.
 */
export interface Sample {
  /** In milliseconds since 1970. */
  readonly timeMs: number;
  readonly leased: number;
  readonly idle: number;
  readonly waiting: number;
  /** Counts by the buckets of `Snapshot.boundsMs`, like the two below. */
  readonly waitTimes: readonly number[];
  readonly useTimes: readonly number[];
  readonly statementTimes: readonly number[];
}

/** Sizes, samples and waiters are those of the primary's pool. */
export interface Snapshot {
  readonly sample: Sample;
  /** Upper bounds of the buckets of durations; the last bucket has none. */
  readonly boundsMs: readonly number[];
  readonly limit: number;
  readonly opening: number;
  readonly closing: number;
  readonly diagnostics: readonly Diagnostic[];
  readonly connections: readonly ServerConnection[];
  /** Empty where the service has none. */
  readonly replicas: readonly ReplicaSummary[];
  readonly waiters: readonly WaiterView[];
  /** The counters in groups, by the labels that the page shows. */
  readonly counts: Readonly<Record<string, Readonly<Record<string, number>>>>;
  readonly retried: Readonly<Record<string, number>>;
  readonly failures: readonly RecentFailure[];
}

export function sampleOf(stats: DatabaseStats, timeMs: number): Sample {
  const { leased, idle, waiting, waitTimes, useTimes, statementTimes } = stats;
  return {
    timeMs,
    leased,
    idle,
    waiting,
    waitTimes: waitTimes.counts,
    useTimes: useTimes.counts,
    statementTimes: statementTimes.counts,
  };
}

export function takeSnapshot(
  { stats, view, failures }: {
    readonly stats: DatabaseStats;
    readonly view: DatabaseView;
    readonly failures: readonly RecentFailure[];
  },
  timeMs: number,
): Snapshot {
  const { limit, opening, closing, retried } = stats;
  const replicas = replicasOf(stats, view);
  const connections = connectionsOf(view);
  return {
    sample: sampleOf(stats, timeMs),
    boundsMs: stats.waitTimes.boundsMs,
    limit,
    opening,
    closing,
    diagnostics: diagnose(stats, view, { connections, replicas }),
    connections: connections.map(sanitisedView),
    replicas,
    waiters: view.waiters,
    counts: countsOf(stats),
    retried,
    failures,
  };
}

/** The connection, whose statement shows no values. */
export function sanitisedView<View extends ConnectionView>(connection: View): View {
  const { running } = connection;
  return running === undefined
    ? connection
    : { ...connection, running: { ...running, text: sanitised(running.text) } };
}

/** The page shows the groups and the counters in this order. */
function countsOf(stats: DatabaseStats): Snapshot["counts"] {
  const { counters, replicaFallbacks: fallbacks } = stats;
  return {
    "Transactions": {
      "committed": stats.committed,
      "rolled back": stats.rolledBack,
      "ended without an answer": stats.lost,
      "lost COMMITs resolved": stats.resolved,
      "lost COMMITs with unknown outcome": stats.unknown,
      "replayed on another connection": stats.replayed,
      "retries denied by the retry budget": stats.budgetDenied,
    },
    "Waits for a connection": {
      "leased": counters.acquired,
      "of them shared with other reads": counters.shared,
      "moved from behind a slow read": counters.moved,
      "timed out": counters.timedOut,
      "aborted by the caller": counters.aborted,
      "refused, queue full": counters.queueFull,
      "refused, wait too long": counters.shed,
      "refused, database unreachable": counters.unreachable,
      "refused, request held one already": counters.holdAndWait,
    },
    "Connections": {
      "opened": counters.connected,
      "failed to open": counters.connectFailed,
      "closed for age or server restart": counters.recycled + counters.staleGeneration,
      "closed when idle": counters.idleClosed,
      "closed as overflow": counters.overflowClosed,
      "closed, a transaction left state": counters.leftState,
      "closed as broken, destroyed or expired": counters.broken + counters.destroyed +
        counters.expired,
      "leaks reported": counters.leaked,
    },
    ...fallbacks && {
      "Reads that no replica answered": {
        "replicas too far behind": fallbacks.behind,
        "replicas failed": fallbacks.unavailable,
        "replica answered by an error": fallbacks.error,
        "no newer position of the primary known": fallbacks.unmarked,
        "position of the caller unknown to replicas": fallbacks.position,
        "isolation level": fallbacks.isolation,
      },
    },
  };
}
