/**
 * The metrics of the service. Names and units are those of OpenTelemetry's conventions; metrics that the conventions
 * do not have are named in the same style.
 */
import type { DatabaseStats, HistogramStats, PoolCounters } from "../db/mod.ts";
import { counter, gauge, histogram, type Labels } from "./prometheus.ts";

/** The state of the outbox. */
export interface QueueDepth {
  /** Events that are not delivered yet. */
  readonly depth: number;
  /** Age of the oldest of them in milliseconds; 0 if there is none. */
  readonly oldestMs: number;
  readonly deadLetters: number;
}

export interface MetricsSource {
  readonly database: DatabaseStats;
  readonly http: readonly (readonly [Labels, HistogramStats])[];
  readonly queue?: QueueDepth | undefined;
}

/**
 * The label `cause` of failed acquisitions, by counter. Some labels, here and below, keep older words than the
 * counters, so that existing dashboards and alerts keep working: see README.md.
 */
const REFUSAL_CAUSES = {
  timedOut: "timeout",
  aborted: "aborted",
  queueFull: "queue_full",
  shed: "shed",
  unreachable: "unreachable",
  holdAndWait: "held_and_waited",
} as const satisfies Partial<Record<keyof PoolCounters, string>>;

/** The label `cause` of closed connections, by counter. */
const CLOSE_CAUSES = {
  recycled: "recycled",
  staleGeneration: "outlived",
  closedWithPool: "pool_closed",
  idleClosed: "idle",
  overflowClosed: "overflow",
  broken: "broken",
  destroyed: "destroyed",
  leftState: "left_state",
  expired: "expired",
} as const satisfies Partial<Record<keyof PoolCounters, string>>;

/** The body of `/metrics`. */
export function metricsText({ database, http, queue }: MetricsSource): string {
  return poolText(database) + transactionText(database) + queueText(queue) + histogram({
    name: "http_server_request_duration_seconds",
    help: "Time from a request to the head of its response.",
    samples: http,
  });
}

/** https://opentelemetry.io/docs/specs/semconv/database/database-metrics/#connection-pools */
function poolText(stats: DatabaseStats): string {
  const { counters, opening, leased, idle, closing } = stats;
  const pool = "db_client_connection";
  const states = { used: leased, idle, opening, closing };
  return [
    gauge({
      name: `${pool}_count`,
      help: "Connections by state.",
      samples: Object.entries(states).map(([state, count]) => [
        { db_client_connection_state: state },
        count,
      ]),
    }),
    gauge(unlabelled(`${pool}_max`, "Maximum number of connections.", stats.limit)),
    gauge(
      unlabelled(`${pool}_pending_requests`, "Waiting callers.", stats.waiting),
    ),
    counter(
      unlabelled(
        `${pool}_timeouts_total`,
        "Waits that timed out.",
        counters.timedOut,
      ),
    ),
    histogram(
      unlabelled(
        `${pool}_wait_time_seconds`,
        "Time from asking for a connection to its lease.",
        stats.waitTimes,
      ),
    ),
    histogram(
      unlabelled(
        `${pool}_use_time_seconds`,
        "Time from a lease to its return.",
        stats.useTimes,
      ),
    ),
    histogram(
      unlabelled(
        `${pool}_create_time_seconds`,
        "Time from opening a connection to its login.",
        stats.connectTimes,
      ),
    ),
    counter(unlabelled(`${pool}_acquired_total`, "Connections leased.", counters.acquired)),
    counter(
      unlabelled(
        `${pool}_shared_total`,
        "Of them, those of reads that share a connection.",
        counters.shared,
      ),
    ),
    counter(
      unlabelled(
        `${pool}_moved_total`,
        "Shared reads sent again, as one in front of them took long.",
        counters.moved,
      ),
    ),
    counter(
      byCause(
        `${pool}_refusals_total`,
        "Leases refused, by cause.",
        counters,
        REFUSAL_CAUSES,
      ),
    ),
    counter(
      unlabelled(`${pool}_created_total`, "Connections opened.", counters.connected),
    ),
    counter(
      unlabelled(
        `${pool}_create_failures_total`,
        "Connects that failed.",
        counters.connectFailed,
      ),
    ),
    counter(
      byCause(`${pool}_closed_total`, "Connections closed, by cause.", counters, CLOSE_CAUSES),
    ),
    counter(
      unlabelled(
        `${pool}_leaks_total`,
        "Leases longer than DATABASE_LEAK_THRESHOLD.",
        counters.leaked,
      ),
    ),
  ].join("");
}

function transactionText(stats: DatabaseStats): string {
  const outcomes = { committed: stats.committed, rolled_back: stats.rolledBack, lost: stats.lost };
  return [
    histogram(
      unlabelled(
        "db_client_operation_duration_seconds",
        "Time from sending statements to their answer.",
        stats.statementTimes,
      ),
    ),
    histogram(
      unlabelled(
        "db_client_transaction_duration_seconds",
        "Duration of transactions, with the wait for a connection.",
        stats.transactionTimes,
      ),
    ),
    counter({
      name: "db_client_transactions_total",
      help: "Ended transactions, by outcome.",
      samples: Object.entries(outcomes).map(([outcome, count]) => [{ outcome }, count]),
    }),
    counter({
      name: "db_client_retries_total",
      help: "Retries of units of work, by the failure before them.",
      samples: Object.entries(stats.retried).map(([kind, count]) => [{ error_type: kind }, count]),
    }),
    counter(
      unlabelled(
        "db_client_retries_denied_total",
        "Retries denied by the budget.",
        stats.budgetDenied,
      ),
    ),
    counter(
      unlabelled(
        "db_client_replays_total",
        "First flights sent again, as their idle connection had died.",
        stats.replayed,
      ),
    ),
    counter({
      name: "db_client_lost_commits_total",
      help: "COMMITs whose answer was lost, by what was found out.",
      samples: [[{ outcome: "settled" }, stats.resolved], [{ outcome: "unknown" }, stats.unknown]],
    }),
  ].join("");
}

function queueText(queue: QueueDepth | undefined): string {
  if (queue === undefined) return "";
  return [
    gauge(
      unlabelled(
        "messaging_queue_depth",
        "Undelivered events in the outbox.",
        queue.depth,
      ),
    ),
    gauge(
      unlabelled(
        "messaging_queue_oldest_age_seconds",
        "Age of the oldest event in the outbox.",
        queue.oldestMs / 1_000,
      ),
    ),
    gauge(unlabelled("messaging_dead_letters", "Dead letters.", queue.deadLetters)),
  ].join("");
}

function unlabelled<Value>(name: string, help: string, value: Value) {
  return { name, help, samples: [[{}, value]] as [Labels, Value][] };
}

function byCause(
  name: string,
  help: string,
  counters: Readonly<PoolCounters>,
  causes: Readonly<Partial<Record<keyof PoolCounters, string>>>,
) {
  const samples = Object.entries(causes).map(([counter, cause]): [Labels, number] => [
    { cause },
    counters[counter as keyof PoolCounters],
  ]);
  return { name, help, samples };
}
