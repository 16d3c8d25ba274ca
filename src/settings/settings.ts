/** Parses environment variables into one frozen value, or throws one error that lists every problem. */

import * as v from "valibot";
import type { AccessConfig } from "../access/identity.ts";
import type { IsolationLevel, PrepareMode } from "../db/mod.ts";
import type { PoolConfig, ReplicasConfig } from "../library/database_config.ts";
import type { HttpMode } from "../library/sql_endpoint.ts";
import { pipelinesByDefault, type Transport } from "../library/transport.ts";
import { chosenTransport, contradictions, type Runtime } from "./contradictions.ts";
import type { LogLevel } from "./log_level.ts";
import { type ObjectLocation, type Values, variables } from "./schema.ts";

/** The settings of the service. Durations are in milliseconds. */
export interface Settings {
  /** Port to listen on; 0 takes any free one. */
  readonly port: number;
  readonly logLevel: LogLevel;
  readonly shutdownTimeoutMs: number;
  /** `plain`, for a service behind a proxy, leaves connections to the proxy. Deno only. */
  readonly httpServer: Values["HTTP_SERVER"];
  /** Bounds of the HTTP server's connections. Without them, derived from the limit on open files. Deno only. */
  readonly connections: {
    readonly max?: number;
    readonly maxPerClient?: number;
  };
  /** What one client may ask for. Without a limit, none is set. */
  readonly fairUse: {
    readonly perAddress?: Quota;
    readonly perToken?: Quota;
    /** Requests of one token that run at once. */
    readonly maxAtOnce?: number;
    /** The header in which a proxy names the client's address. */
    readonly addressHeader?: string;
  };
  /** Origins whose pages may read the responses; `*` is any. */
  readonly corsOrigins: readonly string[];
  /** Who may send requests. */
  readonly access: AccessConfig;
  /** Gives operators access to `/metrics` and `/ops`. A secret: never log it. */
  readonly opsToken?: string;
  /** Whether a change of a user without `If-Match` is refused. */
  readonly requiresIfMatch: boolean;
  readonly database: {
    /** Contains the password: never log it. */
    readonly url: string;
    /** WebSocket relay in front of a PostgreSQL that is not Neon. */
    readonly wsProxy?: string;
    /** What `DATABASE_TRANSPORT` has chosen or `auto` stands for. */
    readonly transport: Exclude<Transport, "auto">;
    readonly http: HttpMode;
    readonly pipelineConnect: boolean;
    readonly prepare: PrepareMode;
    readonly connectTimeoutMs: number;
    readonly retryAttempts: number;
    readonly pool: PoolConfig;
    /** Servers that answer reads. Deno only. */
    readonly replicas?: ReplicasConfig;
    readonly session: {
      readonly isolation: IsolationLevel;
      readonly statementTimeoutMs: number;
      readonly idleTransactionTimeoutMs: number;
      readonly lockTimeoutMs: number;
      readonly transactionTimeoutMs: number;
    };
  };
  /** The consumer of events. */
  readonly queue: {
    /** Batches at once. 0: a Deno process consumes no events. */
    readonly concurrency: number;
    readonly pollMs: number;
  };
  /** Durable Objects that keep pools between requests. Workers only. */
  readonly objects: {
    /** 0: each request opens its own connections. */
    readonly shards: number;
    /** Region in which they are created. Without it, Cloudflare creates each near its first request. */
    readonly location?: ObjectLocation;
  };
}

/** So many requests in each window. */
export interface Quota {
  readonly requests: number;
  readonly windowMs: number;
}

/** The settings are invalid. The message lists every problem, without the password. */
export class SettingsError extends Error {
  override readonly name = "SettingsError";
  /** One sentence per problem. */
  readonly problems: readonly string[];

  constructor(problems: readonly string[]) {
    super(
      `Cannot start with these settings as they have ${problems.length} problem(s); correct them:\n` +
        problems.map((problem) => `- ${problem}`).join("\n"),
    );
    this.problems = problems;
  }
}

/** The names of all variables. */
export const VARIABLES: ReadonlySet<string> = new Set(Object.keys(variables.entries));

/**
 * Parses the settings from `env`: `Deno.env.toObject()`, or a Worker's bindings. An empty string counts as unset. Names
 * that are not in `VARIABLES` are ignored. Throws `SettingsError`.
 */
export function parseSettings(
  env: Readonly<Record<string, unknown>>,
  runtime: Runtime = { hasFiles: true },
): Settings {
  const given: Record<string, unknown> = {};
  for (const name of VARIABLES) {
    const value = env[name];
    if (value !== undefined && value !== "") given[name] = value;
  }
  const result = v.safeParse(variables, given);
  const invalid = new Map(
    (result.issues ?? []).map((issue) => [v.getDotPath(issue), issue.message]),
  );
  const problems = [...invalid].map(([name, message]) => `Cannot use ${name} as ${message}`);
  // Also checked if a variable is invalid, so that one run shows every problem.
  const values = result.output as Values;
  const isInvalid = (name: string) =>
    [...invalid.keys()].some((each) => each === name || each?.startsWith(`${name}.`));
  problems.push(...contradictions(values, { given, isInvalid, runtime }));
  if (problems.length > 0) throw new SettingsError(problems);
  return deepFreeze(settingsOf(values));
}

function settingsOf(values: Values): Settings {
  const transport = chosenTransport(values);
  const { DATABASE_PIPELINE_CONNECT: pipeline } = values;
  const { AUTH_JWKS_URL: jwksUrl, AUTH_ISSUER: issuer, AUTH_AUDIENCE: audience } = values;
  return {
    port: values.PORT,
    httpServer: values.HTTP_SERVER,
    logLevel: values.LOG_LEVEL,
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT,
    access: {
      tokens: values.API_TOKENS ?? [],
      ...(jwksUrl === undefined ? {} : { jwt: { jwksUrl, issuer: issuer!, audience: audience! } }),
    },
    ...membersOf({ opsToken: values.OPS_TOKEN }),
    fairUse: membersOf({
      perAddress: values.RATE_LIMIT_PER_ADDRESS,
      perToken: values.RATE_LIMIT_PER_TOKEN,
      maxAtOnce: values.MAX_REQUESTS_PER_TOKEN,
      addressHeader: values.CLIENT_ADDRESS_HEADER,
    }),
    corsOrigins: values.CORS_ORIGINS ?? [],
    connections: membersOf({
      max: values.MAX_CONNECTIONS,
      maxPerClient: values.MAX_CONNECTIONS_PER_CLIENT,
    }),
    requiresIfMatch: values.REQUIRE_IF_MATCH === "on",
    database: {
      url: values.DATABASE_URL,
      ...membersOf({ wsProxy: values.DATABASE_WS_PROXY }),
      transport,
      http: values.DATABASE_HTTP,
      pipelineConnect: pipeline === "auto"
        ? pipelinesByDefault(values.DATABASE_URL, transport)
        : pipeline === "on",
      prepare: values.DATABASE_PREPARE,
      connectTimeoutMs: values.DATABASE_CONNECT_TIMEOUT,
      retryAttempts: values.DATABASE_RETRY_ATTEMPTS,
      pool: {
        size: values.DATABASE_POOL_SIZE,
        maxOverflow: values.DATABASE_MAX_OVERFLOW,
        acquireTimeoutMs: values.DATABASE_POOL_TIMEOUT,
        recycleMs: values.DATABASE_POOL_RECYCLE,
        idleTimeoutMs: values.DATABASE_POOL_IDLE_TIMEOUT,
        maxWaiters: values.DATABASE_POOL_MAX_WAITERS,
        shedTargetMs: values.DATABASE_POOL_SHED_TARGET,
        leakThresholdMs: values.DATABASE_LEAK_THRESHOLD,
        readDepth: values.DATABASE_READ_DEPTH,
      },
      ...membersOf({
        replicas: values.DATABASE_REPLICA_URLS && {
          urls: values.DATABASE_REPLICA_URLS,
          maxStalenessMs: values.DATABASE_REPLICA_MAX_STALENESS,
        },
      }),
      session: {
        isolation: values.DATABASE_ISOLATION_LEVEL,
        statementTimeoutMs: values.DATABASE_STATEMENT_TIMEOUT,
        idleTransactionTimeoutMs: values.DATABASE_IDLE_TRANSACTION_TIMEOUT,
        lockTimeoutMs: values.DATABASE_LOCK_TIMEOUT,
        transactionTimeoutMs: values.DATABASE_TRANSACTION_TIMEOUT,
      },
    },
    queue: {
      concurrency: values.QUEUE_CONCURRENCY,
      pollMs: values.QUEUE_POLL_INTERVAL,
    },
    objects: {
      shards: values.DATABASE_OBJECT_SHARDS,
      ...membersOf({ location: values.DATABASE_OBJECT_LOCATION }),
    },
  };
}

/** The members that are set. */
function membersOf<T extends object>(values: T): { [Name in keyof T]?: NonNullable<T[Name]> } {
  const set = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(set) as { [Name in keyof T]?: NonNullable<T[Name]> };
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === "object" && part !== null) deepFreeze(part);
  }
  return Object.freeze(value);
}
