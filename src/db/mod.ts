/**
 * The public names of the connection layer: a bounded pool of PostgreSQL connections, one session for each unit of
 * work, and retry that asks the server for the outcome of a COMMIT whose answer was lost.
 */
export {
  ISOLATION_LEVELS,
  type IsolationLevel,
  type SettingsChanges,
  type TransactionSettings,
} from "./session/transaction_settings.ts";
export { arrayOf } from "./driver/array_text.ts";
export { type Clock, systemClock } from "./time/clock.ts";
export { Database, type TransactionRunner } from "./database/database.ts";
export type {
  ConnectOptions,
  DatabaseOptions,
  DatabaseOwner,
  DatabaseStats,
  DatabaseTotals,
  DatabaseView,
  KeyedTransactionOptions,
  RunOptions,
  TransactionOptions,
} from "./database/database_options.ts";
export type {
  Close,
  Column,
  Connection,
  ConnectionState,
  Driver,
  Endpoint,
  Fetch,
  FlightAnswer,
  FlightOptions,
  FlightPart,
  Notice,
  Portal,
  Result,
  RowOptions,
  Statement,
  TransactionModes,
  TransactionStatus,
} from "./driver/driver.ts";
export {
  AcquireTimeoutError,
  CommitOutcomeUnknownError,
  CommitRolledBackError,
  CommitRowsLostError,
  ConnectError,
  ConnectionLostError,
  DatabaseLayerError,
  DeadlineError,
  PoolClosedError,
  type PoolCounts,
  PoolOverloadedError,
  PoolRefusal,
  type PoolState,
  RowCountError,
  ScopeError,
  ServerError,
  SessionEndedError,
  SessionNotCommittedError,
  StatementSkippedError,
  type UnknownReason,
} from "./errors.ts";
export { classify } from "./failures/classify.ts";
export { databaseErrorIn } from "./failures/database_error.ts";
export type { Failure, Phase } from "./failures/failure_table.ts";
export { isStatementFault } from "./failures/statement_fault.ts";
export type { JsonValue } from "./driver/json_value.ts";
export { Lease } from "./pool/lease.ts";
export { HttpEndpoint, type HttpEndpointOptions } from "./neon/http_endpoint.ts";
export { NeonDriver, type NeonDriverOptions } from "./neon/neon_driver.ts";
export { isNeonHost } from "./neon/neon_host.ts";
export { PREPARE_MODES, type PrepareMode } from "./neon/prepared_statements.ts";
export { Histogram, type HistogramStats } from "./time/histogram.ts";
export type { Leak, LeakOptions } from "./pool/leak_watch.ts";
export type {
  Observer,
  TransactionBegun,
  TransactionObserver,
  TransactionOutcome,
} from "./session/observer.ts";
export { Pool } from "./pool/pool.ts";
export type { AcquireOptions, PoolOptions } from "./pool/pool_options.ts";
export type { ReadDepth } from "./pool/read_times.ts";
export { isPosition, ONLY_PRIMARY, type Position } from "./pool/replicas/position.ts";
export type { ReplicaFallbacks } from "./pool/replicas/fallbacks.ts";
export type { ReadServer, ServerAddress } from "./pool/replicas/read_server.ts";
export type { ReplicaCounters, ReplicaLag, ReplicaState } from "./pool/replicas/replica.ts";
export {
  Replicas,
  type ReplicasOptions,
  type ReplicaStats,
  type ReplicaWish,
} from "./pool/replicas/replicas.ts";
export type { PoolCounters, PoolStats, PoolTotals } from "./pool/pool_stats.ts";
export { type ConnectionView, type PoolView, textOf, type WaiterView } from "./pool/pool_view.ts";
export type { Parse, TypeParsers } from "./driver/type_parsers.ts";
export { OwnerScope } from "./pool/owner_scope.ts";
export type { RawConnection, RawRunOptions } from "./session/raw_connection.ts";
export type { Session } from "./session/session.ts";
export type {
  ExecuteOptions,
  QueryResult,
  RowsOf,
  SessionOptions,
  StreamOptions,
} from "./session/session_options.ts";
export type { UnitCounters, UnitStats } from "./session/unit_stats.ts";
export { Sql, sql, trustedSql } from "./driver/sql.ts";
export {
  deleteOldKeys,
  insertKeys,
  type KeyInsert,
  TRANSACTION_KEYS_INDEX,
  TRANSACTION_KEYS_TABLE,
} from "./session/transaction_key.ts";
