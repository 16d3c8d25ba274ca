/**
 * Database connections for the edge: a bounded pool, a session for each unit of work, and retry that never guesses
 * about a lost COMMIT.
 */
export { ISOLATION_LEVELS, type IsolationLevel, type TransactionSettings } from "./begin.ts";
export { arrayOf } from "./array_text.ts";
export { type Clock, systemClock } from "./clock.ts";
export {
  Database,
  type DatabaseOptions,
  type DatabaseStats,
  type TransactionOptions,
} from "./database.ts";
export type {
  Close,
  Connection,
  Driver,
  Fetch,
  FlightAnswer,
  FlightOptions,
  FlightPart,
  Portal,
  Result,
  Statement,
  TransactionStatus,
} from "./driver.ts";
export {
  AcquireTimeoutError,
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  ConnectError,
  ConnectionLostError,
  DatabaseLayerError,
  DeadlineError,
  PoolClosedError,
  PoolOverloadedError,
  type PoolState,
  ScopeError,
  ServerError,
  SessionEndedError,
  SessionNotCommittedError,
  StatementSkippedError,
} from "./errors.ts";
export { type Failure, judge, type Phase } from "./failures.ts";
export { Lease } from "./lease.ts";
export { NeonDriver, type NeonDriverOptions } from "./neon_driver.ts";
export type { HistogramStats } from "./histogram.ts";
export type { Leak, LeakOptions } from "./leak_watch.ts";
export { Pool } from "./pool.ts";
export type { AcquireOptions, PoolOptions } from "./pool_options.ts";
export type { PoolCounters, PoolCounts, PoolStats } from "./pool_stats.ts";
export { RetryBudget } from "./retry.ts";
export type { Parse, TypeParsers } from "./result_types.ts";
export { OwnerScope } from "./scope.ts";
export { type RowsOf, type Session, type SessionOptions, type StreamOptions } from "./session.ts";
export { identifier, Sql, sql, trustedSql } from "./sql.ts";
