/** A dashboard for Grafana, as its JSON model: https://grafana.com/docs/grafana/latest/dashboards/build-dashboards/view-dashboard-json-model/ */

/** One plot. `curves` are PromQL expressions by legend, in which `{{label}}` stands for a label's value. */
interface Plot {
  readonly title: string;
  readonly unit: "reqps" | "s" | "short" | "ops";
  readonly curves: Readonly<Record<string, string>>;
}

const JOB = 'job=~"$job"';
const PATHS = `${JOB}, http_route!~"/healthz|/readyz|/metrics|/ops.*"`;

function quantile(share: number, metric: string, selector = JOB): string {
  return `histogram_quantile(${share}, sum by (le) (rate(${metric}_bucket{${selector}}[$__rate_interval])))`;
}

function rate(metric: string, { by, selector = JOB }: { by?: string; selector?: string } = {}) {
  const sum = by === undefined ? "sum" : `sum by (${by})`;
  return `${sum} (rate(${metric}{${selector}}[$__rate_interval]))`;
}

/** In reading order: what clients see, what the pool does, what the database does, the queue. */
export const PLOTS: readonly Plot[] = [
  {
    title: "Requests by status",
    unit: "reqps",
    curves: {
      "{{http_response_status_code}}": rate("http_server_request_duration_seconds_count", {
        by: "http_response_status_code",
        selector: PATHS,
      }),
    },
  },
  {
    title: "Duration of requests",
    unit: "s",
    curves: {
      p50: quantile(0.5, "http_server_request_duration_seconds", PATHS),
      p99: quantile(0.99, "http_server_request_duration_seconds", PATHS),
    },
  },
  {
    title: "Connections",
    unit: "short",
    curves: {
      "{{db_client_connection_state}}":
        `sum by (db_client_connection_state) (db_client_connection_count{${JOB}})`,
      maximum: `sum (db_client_connection_max{${JOB}})`,
      "waiting callers": `sum (db_client_connection_pending_requests{${JOB}})`,
    },
  },
  {
    title: "Wait for a connection, and its use",
    unit: "s",
    curves: {
      "wait p99": quantile(0.99, "db_client_connection_wait_time_seconds"),
      "use p99": quantile(0.99, "db_client_connection_use_time_seconds"),
      "connect p99": quantile(0.99, "db_client_connection_create_time_seconds"),
    },
  },
  {
    title: "Requests for a connection that failed",
    unit: "ops",
    curves: {
      "{{cause}}": rate("db_client_connection_refusals_total", { by: "cause" }),
      "could not connect": rate("db_client_connection_create_failures_total"),
    },
  },
  {
    title: "Connections closed",
    unit: "ops",
    curves: { "{{cause}}": rate("db_client_connection_closed_total", { by: "cause" }) },
  },
  {
    title: "Transactions by outcome",
    unit: "ops",
    curves: {
      "{{outcome}}": rate("db_client_transactions_total", { by: "outcome" }),
      "lost commit, {{outcome}}": rate("db_client_lost_commits_total", { by: "outcome" }),
    },
  },
  {
    title: "Statements and transactions",
    unit: "s",
    curves: {
      "statements p99": quantile(0.99, "db_client_operation_duration_seconds"),
      "transactions p99": quantile(0.99, "db_client_transaction_duration_seconds"),
    },
  },
  {
    title: "Retries",
    unit: "ops",
    curves: {
      "{{error_type}}": rate("db_client_retries_total", { by: "error_type" }),
      "denied by the budget": rate("db_client_retries_denied_total"),
      "replayed on a new connection": rate("db_client_replays_total"),
    },
  },
  {
    title: "Events that wait, and dead letters",
    unit: "short",
    curves: {
      waiting: `max (messaging_queue_depth{${JOB}})`,
      "dead letters": `max (messaging_dead_letters{${JOB}})`,
    },
  },
  {
    title: "Age of the oldest event",
    unit: "s",
    curves: { age: `max (messaging_queue_oldest_age_seconds{${JOB}})` },
  },
  {
    title: "Instances that answer",
    unit: "short",
    curves: { up: `sum (up{${JOB}})` },
  },
];

const COLUMNS = 2;
const WIDTH = 12;
const HEIGHT = 8;

/** The JSON model. Grafana asks for the data source when it is imported. */
export function dashboard(): Record<string, unknown> {
  const datasource = { type: "prometheus", uid: "${datasource}" };
  return {
    uid: "user-service",
    title: "user-service",
    tags: ["user-service"],
    schemaVersion: 39,
    refresh: "30s",
    time: { from: "now-1h", to: "now" },
    templating: {
      list: [
        { name: "datasource", type: "datasource", query: "prometheus" },
        {
          name: "job",
          type: "query",
          datasource,
          query: "label_values(db_client_connection_max, job)",
          includeAll: true,
          multi: true,
          current: { text: "user-service", value: "user-service" },
        },
      ],
    },
    panels: PLOTS.map(({ title, unit, curves }, index) => ({
      id: index + 1,
      type: "timeseries",
      title,
      datasource,
      gridPos: {
        x: (index % COLUMNS) * WIDTH,
        y: Math.floor(index / COLUMNS) * HEIGHT,
        w: WIDTH,
        h: HEIGHT,
      },
      fieldConfig: { defaults: { unit, min: 0 }, overrides: [] },
      options: { legend: { displayMode: "list", placement: "bottom" }, tooltip: { mode: "multi" } },
      targets: Object.entries(curves).map(([legendFormat, expr], target) => ({
        refId: String.fromCharCode("A".charCodeAt(0) + target),
        datasource,
        expr,
        legendFormat,
      })),
    })),
  };
}
