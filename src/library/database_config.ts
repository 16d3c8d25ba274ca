import type { PrepareMode, ReadDepth, SessionOptions, SettingsChanges } from "../db/mod.ts";
import type { HttpMode } from "./sql_endpoint.ts";
import type { Transport } from "./transport.ts";

/** A database and its pool. Everything but the URL has a default. Durations are in milliseconds. */
export interface DatabaseConfig {
  /** `postgresql://user:password@host/database`. Contains the password: never log it. */
  readonly url: string;
  /** WebSocket relay in front of a PostgreSQL that is not Neon. */
  readonly wsProxy?: string | undefined;
  /**
   * `auto`, the default: the WebSocket for Neon and where `wsProxy` is set, else TCP. Over TCP, the URL's `sslmode` and
   * `sslrootcert` say how the connection is encrypted; Workers have no files, and check every certificate.
   */
  readonly transport?: Transport | undefined;
  /**
   * Whether a transaction that is one `commit([…])` and is read only or has a key goes as one HTTP request to Neon's SQL
   * endpoint. `auto`, the default: for Neon's hosts, in requests of a Worker that open their own connections. A relay of
   * `./testing` has such an endpoint too.
   */
  readonly http?: HttpMode | undefined;
  /** Whether the password is sent with the startup message. A server that asks for SCRAM refuses it. On for Neon's hosts over the WebSocket. */
  readonly pipelineConnect?: boolean | undefined;
  /** When statements are sent as prepared statements: see `NeonDriverOptions.prepare`. */
  readonly prepare?: PrepareMode | undefined;
  /** From opening the socket to the end of the login. */
  readonly connectTimeoutMs?: number | undefined;
  /** Most attempts for one unit of work, the first included. */
  readonly retryAttempts?: number | undefined;
  /** Bounds of the pool. */
  readonly pool?:
    | { readonly [Name in keyof PoolConfig]?: PoolConfig[Name] | undefined }
    | undefined;
  /** Settings of every transaction, where the session's own options do not replace them. */
  readonly session?: SettingsChanges | undefined;
  /** Parsers of every session, by type id. */
  readonly parsers?: SessionOptions["parsers"] | undefined;
}

/** Bounds of a pool. Durations are in milliseconds. */
export interface PoolConfig {
  /** Connections that are kept. */
  readonly size: number;
  /** Connections beyond `size`, closed after their use. */
  readonly maxOverflow: number;
  /** Longest wait for a connection. */
  readonly acquireTimeoutMs: number;
  /** Age at which a connection is replaced, less a random share of up to a tenth; 0 for after each use, `Infinity` for never. */
  readonly recycleMs: number;
  /** A connection that is idle for this long is closed; `Infinity` for never. */
  readonly idleTimeoutMs: number;
  /** Callers that may wait until another one returns its connection; further ones are refused at once. */
  readonly maxWaiters: number;
  /** A caller that would wait for longer than this and one use of a connection is refused at once; 0 for never. */
  readonly shedTargetMs: number;
  /** A lease that is held for longer is reported to `onLeak`; 0 for never. */
  readonly leakThresholdMs: number;
  /**
   * Most reads that share a connection, one behind the other; 1 for none. `auto`: 16 where no further connection may be
   * opened, and otherwise as many as the server answers within 2 ms; on a busy pool also while connections are idle, if the
   * answers come sooner so. Not in requests of a Worker, which own their sockets.
   */
  readonly readDepth: ReadDepth;
}

/** What `DatabaseConfig` leaves out. The service's settings have the same defaults. */
export const DATABASE_DEFAULTS = {
  transport: "auto",
  http: "auto",
  prepare: "auto",
  connectTimeoutMs: 15_000,
  retryAttempts: 4,
  pool: {
    size: 20,
    maxOverflow: 30,
    acquireTimeoutMs: 30_000,
    recycleMs: 3_600_000,
    idleTimeoutMs: 60_000,
    maxWaiters: 1_000,
    shedTargetMs: 500,
    leakThresholdMs: 60_000,
    readDepth: "auto",
  },
  session: {
    isolation: "read committed",
    deferrable: false,
    statementTimeoutMs: 15_000,
    idleTransactionTimeoutMs: 4_000,
    lockTimeoutMs: 5_000,
    transactionTimeoutMs: 30_000,
    locals: {},
  },
} as const satisfies Required<
  Omit<DatabaseConfig, "url" | "wsProxy" | "pipelineConnect" | "parsers">
>;

/** Streaming standbys of the database, or read replicas of Neon's. */
export interface ReplicasConfig {
  /** Of the form of `DatabaseConfig.url`. They are reached as the primary is, with the same bounds for each pool. */
  readonly urls: readonly string[];
  /** A replica that may be further behind does not answer, in milliseconds; 10 seconds by default. */
  readonly maxStalenessMs?: number | undefined;
}

/** What `ReplicasConfig` leaves out. */
export const REPLICAS_DEFAULTS = { maxStalenessMs: 10_000 } as const;
