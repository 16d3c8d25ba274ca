/** The schema of all variables, with their defaults. */

import * as v from "valibot";
import { ISOLATION_LEVELS, PREPARE_MODES } from "../db/mod.ts";
import { DATABASE_DEFAULTS, REPLICAS_DEFAULTS } from "../library/database_config.ts";
import { HTTP_MODES } from "../library/sql_endpoint.ts";
import { TRANSPORTS } from "../library/transport.ts";
import { databaseUrl, databaseUrls } from "./database_url.ts";
import { LOG_LEVELS } from "./log_level.ts";
import { origins } from "./origins.ts";
import { relayUrl } from "./relay_url.ts";
import { apiTokens, issuerUrl, jwksUrl } from "./access.ts";
import {
  headerName,
  oneOf,
  quota,
  seconds,
  secondsOrNever,
  secretToken,
  text,
  wholeNumber,
  wholeNumberOr,
} from "./variable.ts";

/** https://developers.cloudflare.com/durable-objects/reference/data-location/#provide-a-location-hint */
const OBJECT_LOCATIONS = [
  "wnam",
  "enam",
  "sam",
  "weur",
  "eeur",
  "apac",
  "oc",
  "afr",
  "me",
] as const;
/** One of the regions. */
export type ObjectLocation = (typeof OBJECT_LOCATIONS)[number];

const HTTP_SERVERS = ["guarded", "plain"] as const;

const HOUR_S = 3_600;
const WEEK_S = 7 * 24 * HOUR_S;

/** A window above an hour would outlive most isolates, which keep the counts. */
const QUOTA_MAX = { maxRequests: 1_000_000, maxSeconds: HOUR_S };

const { pool: POOL, session: SESSION } = DATABASE_DEFAULTS;

/** A default as it is written in the environment. */
const inSeconds = (ms: number) => String(ms / 1_000);

/** For users of SQLAlchemy, where 0 or -1 means "no limit". */
const BOUNDED = "write digits only; there is no value for no limit, because every limit is finite";

/** Every variable that the service reads, with its default as written in the environment. README.md lists them too. */
export const variables = v.object({
  DATABASE_URL: databaseUrl(),
  DATABASE_REPLICA_URLS: v.optional(databaseUrls()),
  DATABASE_REPLICA_MAX_STALENESS: v.optional(
    seconds({ min: 0.1, max: WEEK_S }),
    inSeconds(REPLICAS_DEFAULTS.maxStalenessMs),
  ),
  DATABASE_POOL_SIZE: v.optional(
    wholeNumber({ min: 1, max: 10_000, wayOut: BOUNDED }),
    String(POOL.size),
  ),
  DATABASE_MAX_OVERFLOW: v.optional(
    wholeNumber({ min: 0, max: 10_000, wayOut: BOUNDED }),
    String(POOL.maxOverflow),
  ),
  DATABASE_POOL_TIMEOUT: v.optional(
    seconds({ min: 0.001, max: HOUR_S }),
    inSeconds(POOL.acquireTimeoutMs),
  ),
  DATABASE_POOL_RECYCLE: v.optional(
    secondsOrNever({ min: 1, max: WEEK_S }),
    inSeconds(POOL.recycleMs),
  ),
  DATABASE_POOL_IDLE_TIMEOUT: v.optional(
    seconds({ min: 0.001, max: WEEK_S }),
    inSeconds(POOL.idleTimeoutMs),
  ),
  DATABASE_POOL_MAX_WAITERS: v.optional(
    wholeNumber({ min: 0, max: 1_000_000, wayOut: BOUNDED }),
    String(POOL.maxWaiters),
  ),
  DATABASE_POOL_SHED_TARGET: v.optional(
    seconds({ min: 0, max: HOUR_S }),
    inSeconds(POOL.shedTargetMs),
  ),
  DATABASE_READ_DEPTH: v.optional(
    wholeNumberOr("auto", { min: 1, max: 64 }),
    DATABASE_DEFAULTS.pool.readDepth,
  ),
  DATABASE_LEAK_THRESHOLD: v.optional(
    seconds({ min: 0, max: HOUR_S }),
    inSeconds(POOL.leakThresholdMs),
  ),
  DATABASE_CONNECT_TIMEOUT: v.optional(
    seconds({ min: 0.001, max: HOUR_S }),
    inSeconds(DATABASE_DEFAULTS.connectTimeoutMs),
  ),
  DATABASE_PIPELINE_CONNECT: v.optional(oneOf(["auto", "on", "off"]), "auto"),
  DATABASE_PREPARE: v.optional(oneOf(PREPARE_MODES), DATABASE_DEFAULTS.prepare),
  DATABASE_STATEMENT_TIMEOUT: v.optional(
    seconds({ min: 0.001, max: HOUR_S }),
    inSeconds(SESSION.statementTimeoutMs),
  ),
  DATABASE_IDLE_TRANSACTION_TIMEOUT: v.optional(
    seconds({ min: 0.001, max: HOUR_S }),
    inSeconds(SESSION.idleTransactionTimeoutMs),
  ),
  DATABASE_LOCK_TIMEOUT: v.optional(
    seconds({ min: 0.001, max: HOUR_S }),
    inSeconds(SESSION.lockTimeoutMs),
  ),
  DATABASE_TRANSACTION_TIMEOUT: v.optional(
    seconds({ min: 0.001, max: HOUR_S }),
    inSeconds(SESSION.transactionTimeoutMs),
  ),
  DATABASE_ISOLATION_LEVEL: v.optional(oneOf(ISOLATION_LEVELS), SESSION.isolation),
  DATABASE_RETRY_ATTEMPTS: v.optional(
    wholeNumber({ min: 1, max: 20 }),
    String(DATABASE_DEFAULTS.retryAttempts),
  ),
  DATABASE_WS_PROXY: v.optional(relayUrl()),
  DATABASE_TRANSPORT: v.optional(oneOf(TRANSPORTS), DATABASE_DEFAULTS.transport),
  DATABASE_HTTP: v.optional(oneOf(HTTP_MODES), DATABASE_DEFAULTS.http),
  DATABASE_OBJECT_SHARDS: v.optional(wholeNumber({ min: 0, max: 1_000 }), "0"),
  DATABASE_OBJECT_LOCATION: v.optional(oneOf(OBJECT_LOCATIONS)),
  QUEUE_CONCURRENCY: v.optional(wholeNumber({ min: 0, max: 1_000 }), "1"),
  QUEUE_POLL_INTERVAL: v.optional(seconds({ min: 0.1, max: HOUR_S }), "5"),
  API_TOKENS: v.optional(apiTokens()),
  AUTH_JWKS_URL: v.optional(jwksUrl()),
  AUTH_ISSUER: v.optional(issuerUrl()),
  AUTH_AUDIENCE: v.optional(text()),
  REQUIRE_IF_MATCH: v.optional(oneOf(["on", "off"]), "off"),
  PORT: v.optional(wholeNumber({ min: 0, max: 65_535 }), "8000"),
  HTTP_SERVER: v.optional(oneOf(HTTP_SERVERS), "guarded"),
  MAX_CONNECTIONS: v.optional(wholeNumber({ min: 1, max: 1_000_000, wayOut: BOUNDED })),
  MAX_CONNECTIONS_PER_CLIENT: v.optional(wholeNumber({ min: 1, max: 1_000_000, wayOut: BOUNDED })),
  RATE_LIMIT_PER_ADDRESS: v.optional(quota(QUOTA_MAX)),
  RATE_LIMIT_PER_TOKEN: v.optional(quota(QUOTA_MAX)),
  MAX_REQUESTS_PER_TOKEN: v.optional(wholeNumber({ min: 1, max: 1_000_000, wayOut: BOUNDED })),
  CLIENT_ADDRESS_HEADER: v.optional(headerName()),
  CORS_ORIGINS: v.optional(origins()),
  LOG_LEVEL: v.optional(oneOf(LOG_LEVELS), "info"),
  OPS_TOKEN: v.optional(secretToken({ minLength: 16 })),
  SHUTDOWN_TIMEOUT: v.optional(seconds({ min: 0, max: HOUR_S }), "5"),
}, "it is required: current value is none; set it, see .env.example");

/** The values of all variables, parsed. */
export type Values = v.InferOutput<typeof variables>;
