/** The metrics of a database with replicas, which only a service on Deno has. */
import type { ReplicaStats } from "../db/mod.ts";
import { counter } from "./prometheus.ts";

/** For `/metrics`. Replicas are named by their places in `DATABASE_REPLICA_URLS`, from 1. */
export function replicaMetrics(replicas: readonly ReplicaStats[]): string {
  return counter({
    name: "db_replica_reads_total",
    help:
      "Reads that went to a replica. The primary answers what it was too old for or has failed.",
    samples: replicas.flatMap(({ reads, stale, failed }, place) => {
      const replica = `${place + 1}`;
      return [
        [{ replica, outcome: "answered" }, reads],
        [{ replica, outcome: "stale" }, stale],
        [{ replica, outcome: "failed" }, failed],
      ] as const;
    }),
  });
}
