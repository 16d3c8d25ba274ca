/** What the pool page shows, as the JSON that it is sent. */
import type { ConnectionView, DatabaseStats, PoolView, WaiterView } from "../db/mod.ts";
import { type Finding, findingsOf } from "./findings.ts";
import type { RecentFailure } from "./recent_failures.ts";
import { sanitised } from "./statement.ts";

/** One moment on the page's plots. Counts of times grow from one to the next: their differences are what was between. */
export interface Sample {
  /** In milliseconds since 1970. */
  readonly timeMs: number;
  readonly leased: number;
  readonly idle: number;
  readonly waiting: number;
  /** By the classes of `Snapshot.boundsMs`. */
  readonly waitTimes: readonly number[];
  readonly useTimes: readonly number[];
  readonly statementTimes: readonly number[];
}

export interface Snapshot {
  readonly sample: Sample;
  /** Upper bounds of the classes of times; the last class has none. */
  readonly boundsMs: readonly number[];
  readonly limit: number;
  readonly opening: number;
  readonly closing: number;
  readonly findings: readonly Finding[];
  readonly connections: readonly ConnectionView[];
  readonly waiters: readonly WaiterView[];
  /** How often each has happened, by what the page calls it, in groups. */
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

export function snapshotOf(
  { stats, view, failures }: {
    readonly stats: DatabaseStats;
    readonly view: PoolView;
    readonly failures: readonly RecentFailure[];
  },
  timeMs: number,
): Snapshot {
  const { limit, opening, closing, retried } = stats;
  return {
    sample: sampleOf(stats, timeMs),
    boundsMs: stats.waitTimes.boundsMs,
    limit,
    opening,
    closing,
    findings: findingsOf(stats, view),
    connections: view.connections.map(sanitisedView),
    waiters: view.waiters,
    counts: countsOf(stats),
    retried,
    failures,
  };
}

function sanitisedView(connection: ConnectionView): ConnectionView {
  const { running } = connection;
  return running === undefined
    ? connection
    : { ...connection, running: { ...running, text: sanitised(running.text) } };
}

/** In the order in which the page shows them. */
function countsOf(stats: DatabaseStats): Snapshot["counts"] {
  const { counters } = stats;
  return {
    "Transactions": {
      "committed": stats.committed,
      "rolled back": stats.rolledBack,
      "ended without an answer": stats.lost,
      "lost COMMITs settled": stats.resolved,
      "lost COMMITs unknown": stats.unknown,
      "replayed on another connection": stats.replayed,
      "retries denied by the budget": stats.budgetDenied,
    },
    "Waits": {
      "connections given out": counters.acquired,
      "timed out": counters.timedOut,
      "gave up": counters.aborted,
      "refused, queue full": counters.queueFull,
      "refused, queue slow": counters.shed,
      "refused, database unreachable": counters.unreachable,
      "refused, held one already": counters.holdAndWait,
    },
    "Connections": {
      "opened": counters.connected,
      "failed to open": counters.connectFailed,
      "closed for their age": counters.recycled + counters.staleGeneration,
      "closed when idle": counters.idleClosed,
      "closed as overflow": counters.overflowClosed,
      "closed as broken": counters.broken + counters.destroyed + counters.expired,
      "leaks reported": counters.leaked,
    },
  };
}
