import type { Clock } from "../time/clock.ts";
import type { TypeParsers } from "../driver/result_types.ts";
import type { OwnerScope } from "../pool/owner_scope.ts";
import type { Pool } from "../pool/pool.ts";
import type { TransactionSettings } from "./begin.ts";
import type { ResolveCommit } from "./commit_outcome.ts";
import type { Observer } from "./observer.ts";
import type { UnitMetrics } from "./unit_stats.ts";

/** What all transactions of one database share. */
export interface TransactionContext {
  readonly pool: Pool;
  readonly scope: OwnerScope;
  readonly clock: Clock;
  /** From 0 up to 1, as `Math.random`. */
  readonly random: () => number;
  readonly metrics: UnitMetrics;
  readonly observer: Observer | undefined;
  readonly resolveCommit: ResolveCommit;
}

/** What one transaction is asked to be. */
export interface TransactionRequest {
  readonly settings: TransactionSettings;
  /** Gives up waiting, stops what runs on the server, and rolls back. */
  readonly signal: AbortSignal | undefined;
  readonly parsers: TypeParsers | undefined;
  /** For reports and traces, in the caller's words. */
  readonly label: string | undefined;
  /** 1 for the first try of a unit of work. */
  readonly attempt: number;
  /** Whether the unit finds out by its key what became of it, and counts that itself. */
  readonly isKeyed: boolean;
}
