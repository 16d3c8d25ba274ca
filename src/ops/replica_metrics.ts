/** The metrics of a database with replicas, which only a service on Deno has. */
import type { DatabaseStats, ReplicaStats } from "../db/mod.ts";
import { counter, gauge, type Labels } from "./prometheus.ts";

/**
 * For `/metrics`; empty without replicas. Replicas are named by their places in `DATABASE_REPLICA_URLS`, from 1:
 * `db_replica_info` says where each is.
 */
export function replicaMetrics(
  { replicas, replicaFallbacks }: Pick<DatabaseStats, "replicas" | "replicaFallbacks">,
): string {
  if (replicas === undefined || replicaFallbacks === undefined) return "";
  const ofEach = (labelled: (replica: ReplicaStats) => readonly (readonly [Labels, number])[]) =>
    replicas.flatMap((replica, index) =>
      labelled(replica).map(([labels, value]) =>
        [{ replica: `${index + 1}`, ...labels }, value] as const
      )
    );
  return [
    gauge({
      name: "db_replica_info",
      help: "Where each replica is.",
      samples: ofEach(({ address: { host, port } }) => [[{
        server_address: host,
        ...port !== undefined && { server_port: `${port}` },
      }, 1]]),
    }),
    gauge({
      name: "db_replica_left_out",
      help: "1 for a replica that has failed, and has not answered since.",
      samples: ofEach(({ isLeftOut }) => [[{}, Number(isLeftOut)]]),
    }),
    gauge({
      name: "db_replica_lag_bytes",
      help: "Log that the replica had not replayed, by what it and the primary have told last.",
      samples: ofEach(({ lag }) => lag === undefined ? [] : [[{}, lag.bytes]]),
    }),
    gauge({
      name: "db_replica_lag_age_seconds",
      help: "Time since the first of the two told.",
      samples: ofEach(({ lag }) => lag === undefined ? [] : [[{}, lag.ageMs / 1_000]]),
    }),
    counter({
      name: "db_replica_reads_total",
      help: "Reads that went to a replica. The primary was asked for all but those answered.",
      samples: ofEach(({ reads, stale, failed, errors }) => [
        [{ outcome: "answered" }, reads],
        [{ outcome: "stale" }, stale],
        [{ outcome: "failed" }, failed],
        [{ outcome: "error" }, errors],
      ]),
    }),
    counter({
      name: "db_replica_fallbacks_total",
      help: "Reads that the primary answered in place of a replica, by reason.",
      samples: Object.entries(replicaFallbacks).map(([reason, count]) => [{ reason }, count]),
    }),
    gauge({
      name: "db_replica_connection_count",
      help: "Connections to the replica by state.",
      samples: ofEach(({ leased, idle, opening, closing }) =>
        Object.entries({ used: leased, idle, opening, closing }).map(([state, count]) => [
          { db_client_connection_state: state },
          count,
        ])
      ),
    }),
    gauge({
      name: "db_replica_connection_max",
      help: "Maximum number of connections to the replica.",
      samples: ofEach(({ limit }) => [[{}, limit]]),
    }),
    gauge({
      name: "db_replica_connection_pending_requests",
      help: "Callers that wait for a connection to the replica.",
      samples: ofEach(({ waiting }) => [[{}, waiting]]),
    }),
  ].join("");
}
