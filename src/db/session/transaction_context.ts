import type { Clock } from "../time/clock.ts";
import type { Endpoint, Notice } from "../driver/driver.ts";
import type { TypeParsers } from "../driver/type_parsers.ts";
import type { LeaseHolder } from "../pool/lease_holder.ts";
import type { OwnerScope } from "../pool/owner_scope.ts";
import type { Pool } from "../pool/pool.ts";
import type { Replicas, ReplicaWish } from "../pool/replicas/replicas.ts";
import type { Timeouts, TransactionSettings } from "./transaction_settings.ts";
import type { ResolveCommit } from "./commit_outcome.ts";
import type { KnownClusters } from "./known_clusters.ts";
import type { Observer } from "./observer.ts";
import type { UnitMetrics } from "./unit_stats.ts";

/** The parts that all transactions of one database share. */
export interface TransactionContext {
  readonly pool: Pool;
  /** Takes transactions that are one flight: see `LeasedConnection.open`. */
  readonly endpoint: Endpoint | undefined;
  readonly replicas: Replicas | undefined;
  readonly scope: OwnerScope;
  /** The request that the transactions belong to, where several share the scope. */
  readonly holder: LeaseHolder | undefined;
  readonly clock: Clock;
  /** The same clock, for the deadlines of flights. They share one timer of the scope. */
  readonly deadlines: Clock;
  /** At least 0 and below 1, as `Math.random`. */
  readonly random: () => number;
  readonly metrics: UnitMetrics;
  readonly observer: Observer | undefined;
  readonly resolveCommit: ResolveCommit;
  readonly clusters: KnownClusters;
  /** The timeouts of a transaction whose options do not replace them. */
  readonly defaults: Timeouts;
}

/** The options of one transaction. */
export interface TransactionRequest {
  readonly settings: TransactionSettings;
  /** An abort ends the wait for a connection, cancels the running statement, and rolls back. */
  readonly signal: AbortSignal | undefined;
  readonly parsers: TypeParsers | undefined;
  /** Receives the server's notices. Must not throw. */
  readonly onNotice: ((notice: Notice) => void) | undefined;
  /** Names the caller in reports and traces. */
  readonly label: string | undefined;
  /** The attempt of the unit of work, counted from 1. */
  readonly attempt: number;
  /** Whether it needs a connection that was never used: the last attempt's was of no use, and the idle ones may be alike. */
  readonly fresh: boolean;
  /** Whether the unit of work has a key. It then finds an unknown outcome by the key, and counts it itself. */
  readonly isKeyed: boolean;
  /** Set if a replica may answer. */
  readonly replica?: ReplicaWish | undefined;
}
