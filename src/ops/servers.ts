/** The primary and its replicas, as an operator sees them. */
import type {
  ConnectionView,
  DatabaseStats,
  DatabaseView,
  ReplicaLag,
  ServerAddress,
} from "../db/mod.ts";

/** A connection of the primary's pool, or of a replica's. */
export interface ServerConnection extends ConnectionView {
  /** `ReplicaSummary.number`; `undefined` for the primary. */
  readonly replica?: number;
}

/** A replica, with the counts of its pool. */
export interface ReplicaSummary {
  /** Its place in `DATABASE_REPLICA_URLS`, from 1. */
  readonly number: number;
  /** Host and port, or the path of a Unix socket. */
  readonly server: string;
  /** Whether it has failed, and has not answered since. */
  readonly isLeftOut: boolean;
  readonly lastConnectError: string | undefined;
  readonly lag: ReplicaLag | undefined;
  readonly leased: number;
  readonly idle: number;
  readonly limit: number;
  readonly waiting: number;
  /** The four are counts of reads that went to it: see `ReplicaCounters`. */
  readonly reads: number;
  readonly stale: number;
  readonly failed: number;
  readonly errors: number;
}

/** Those of all servers. */
export function connectionsOf({ connections, replicas = [] }: DatabaseView): ServerConnection[] {
  return [
    ...connections,
    ...replicas.flatMap((replica, index) =>
      replica.connections.map((connection) => ({ ...connection, replica: index + 1 }))
    ),
  ];
}

export function replicasOf({ replicas = [] }: DatabaseStats, view: DatabaseView): ReplicaSummary[] {
  return replicas.map((stats, index) => {
    const { isLeftOut, lag, leased, idle, limit, waiting, reads, stale, failed, errors } = stats;
    return {
      number: index + 1,
      server: nameOf(stats.address),
      isLeftOut,
      lastConnectError: view.replicas?.[index]?.lastConnectError?.message,
      lag,
      leased,
      idle,
      limit,
      waiting,
      reads,
      stale,
      failed,
      errors,
    };
  });
}

function nameOf({ host, port }: ServerAddress): string {
  if (port === undefined) return host;
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
