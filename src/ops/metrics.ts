/** What a service tells Prometheus. Names and units as OpenTelemetry has them, and else in its manner. */
import type { DatabaseStats, HistogramStats, PoolCounters } from "../db/mod.ts";
import { counter, gauge, histogram, type Labels } from "./prometheus.ts";

/** A queue as its consumer's database sees it. */
export interface QueueDepth {
  /** Messages that nobody has taken yet. */
  readonly depth: number;
  /** Age of the oldest of them in milliseconds; 0 without any. */
  readonly oldestMs: number;
  readonly deadLetters: number;
}

export interface MetricsSource {
  readonly database: DatabaseStats;
  readonly http: readonly (readonly [Labels, HistogramStats])[];
  readonly queue?: QueueDepth | undefined;
}

/** Why `acquire` sent somebody away. */
const REFUSALS = {
  timedOut: "timeout",
  aborted: "aborted",
  queueFull: "queue_full",
  shed: "shed",
  unreachable: "unreachable",
  holdAndWait: "held_and_waited",
} as const satisfies Partial<Record<keyof PoolCounters, string>>;

/** Why a connection was closed. */
const CLOSINGS = {
  recycled: "recycled",
  staleGeneration: "outlived",
  closedWithPool: "pool_closed",
  idleClosed: "idle",
  overflowClosed: "overflow",
  broken: "broken",
  destroyed: "destroyed",
  expired: "expired",
} as const satisfies Partial<Record<keyof PoolCounters, string>>;

/** The text that `/metrics` answers. */
export function metricsText({ database, http, queue }: MetricsSource): string {
  return poolText(database) + unitText(database) + queueText(queue) + histogram({
    name: "http_server_request_duration_seconds",
    help: "Requests from their arrival to the head of their answer.",
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
    gauge(one(`${pool}_max`, "Connections that there may be at once.", stats.limit)),
    gauge(one(`${pool}_pending_requests`, "Who waits for a connection.", stats.waiting)),
    counter(one(`${pool}_timeouts_total`, "Waits that ran out of time.", counters.timedOut)),
    histogram(one(`${pool}_wait_time_seconds`, "From asking to having one.", stats.waitTimes)),
    histogram(one(`${pool}_use_time_seconds`, "From having one to its return.", stats.useTimes)),
    histogram(
      one(`${pool}_create_time_seconds`, "From opening one to its readiness.", stats.connectTimes),
    ),
    counter(one(`${pool}_acquired_total`, "Connections given out.", counters.acquired)),
    counter(byCause(`${pool}_refusals_total`, "Who was sent away, by cause.", counters, REFUSALS)),
    counter(one(`${pool}_created_total`, "Connections that became ready.", counters.connected)),
    counter(
      one(`${pool}_create_failures_total`, "Connections that did not.", counters.connectFailed),
    ),
    counter(byCause(`${pool}_closed_total`, "Connections closed, by cause.", counters, CLOSINGS)),
    counter(
      one(`${pool}_leaks_total`, "Connections in use for longer than allowed.", counters.leaked),
    ),
  ].join("");
}

function unitText(stats: DatabaseStats): string {
  const outcomes = { committed: stats.committed, rolled_back: stats.rolledBack, lost: stats.lost };
  return [
    histogram(
      one(
        "db_client_operation_duration_seconds",
        "From sending statements to their answer.",
        stats.statementTimes,
      ),
    ),
    histogram(
      one(
        "db_client_transaction_duration_seconds",
        "Transactions, with the wait for their connection.",
        stats.transactionTimes,
      ),
    ),
    counter({
      name: "db_client_transactions_total",
      help: "Transactions that have ended, by how they did.",
      samples: Object.entries(outcomes).map(([outcome, count]) => [{ outcome }, count]),
    }),
    counter({
      name: "db_client_retries_total",
      help: "Repeated units of work, by the kind of failure before.",
      samples: Object.entries(stats.retried).map(([kind, count]) => [{ error_type: kind }, count]),
    }),
    counter(
      one("db_client_retries_denied_total", "Retries beyond the budget.", stats.budgetDenied),
    ),
    counter(
      one(
        "db_client_replays_total",
        "First statements sent again, as an idle connection had died.",
        stats.replayed,
      ),
    ),
    counter({
      name: "db_client_lost_commits_total",
      help: "COMMITs whose answer was lost, by what is known of them.",
      samples: [[{ outcome: "settled" }, stats.resolved], [{ outcome: "unknown" }, stats.unknown]],
    }),
  ].join("");
}

function queueText(queue: QueueDepth | undefined): string {
  if (queue === undefined) return "";
  return [
    gauge(one("messaging_queue_depth", "Messages that nobody has taken yet.", queue.depth)),
    gauge(
      one(
        "messaging_queue_oldest_age_seconds",
        "Age of the oldest of them.",
        queue.oldestMs / 1_000,
      ),
    ),
    gauge(one("messaging_dead_letters", "Messages given up.", queue.deadLetters)),
  ].join("");
}

function one<Value>(name: string, help: string, value: Value) {
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
