/** Parses environment variables into one frozen value, or throws one error that lists every problem. */

import * as v from "valibot";
import {
  isNeonHost,
  ISOLATION_LEVELS,
  type IsolationLevel,
  PREPARE_MODES,
  type PrepareMode,
} from "../db/mod.ts";
import { DATABASE_DEFAULTS, type PoolConfig } from "../library/database_config.ts";
import {
  pipelinesByDefault,
  type Transport,
  transportOf,
  transportProblem,
  TRANSPORTS,
} from "../library/transport.ts";
import { databaseUrl } from "./database_url.ts";
import { LOG_LEVELS, type LogLevel } from "./log_level.ts";
import { relayUrl } from "./relay_url.ts";
import { oneOf, seconds, secondsOrNever, secretToken, wholeNumber } from "./variable.ts";

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
export type ObjectLocation = (typeof OBJECT_LOCATIONS)[number];

const HTTP_SERVERS = ["guarded", "plain"] as const;

/** The settings of the service. Durations are in milliseconds. */
export interface Settings {
  /** Port to listen on; 0 takes any free one. */
  readonly port: number;
  readonly logLevel: LogLevel;
  readonly shutdownTimeoutMs: number;
  /** `plain`, for a service behind a proxy, leaves connections to the proxy. Deno only. */
  readonly httpServer: (typeof HTTP_SERVERS)[number];
  /** Bounds of the HTTP server's connections. Without them, derived from the limit on open files. Deno only. */
  readonly connections: {
    readonly max?: number;
    readonly maxPerClient?: number;
  };
  /** Gives operators access to `/metrics` and `/ops`. A secret: never log it. */
  readonly opsToken?: string;
  readonly database: {
    /** Contains the password: never log it. */
    readonly url: string;
    /** WebSocket relay in front of a PostgreSQL that is not Neon. */
    readonly wsProxy?: string;
    /** What `DATABASE_TRANSPORT` has chosen or `auto` stands for. */
    readonly transport: Exclude<Transport, "auto">;
    readonly pipelineConnect: boolean;
    readonly prepare: PrepareMode;
    readonly connectTimeoutMs: number;
    readonly retryAttempts: number;
    readonly pool: PoolConfig;
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

const HOUR_S = 3_600;
const WEEK_S = 7 * 24 * HOUR_S;

const { pool: POOL, session: SESSION } = DATABASE_DEFAULTS;

/** A default as it is written in the environment. */
const inSeconds = (ms: number) => String(ms / 1_000);

/** For users of SQLAlchemy, where 0 or -1 means "no limit". */
const BOUNDED = "write digits only; there is no value for no limit, because every limit is finite";

/** Every variable that the service reads, with its default as written in the environment. README.md lists them too. */
export const variables = v.object({
  DATABASE_URL: databaseUrl(),
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
  DATABASE_OBJECT_SHARDS: v.optional(wholeNumber({ min: 0, max: 1_000 }), "0"),
  DATABASE_OBJECT_LOCATION: v.optional(oneOf(OBJECT_LOCATIONS)),
  QUEUE_CONCURRENCY: v.optional(wholeNumber({ min: 0, max: 1_000 }), "1"),
  QUEUE_POLL_INTERVAL: v.optional(seconds({ min: 0.1, max: HOUR_S }), "5"),
  PORT: v.optional(wholeNumber({ min: 0, max: 65_535 }), "8000"),
  HTTP_SERVER: v.optional(oneOf(HTTP_SERVERS), "guarded"),
  MAX_CONNECTIONS: v.optional(wholeNumber({ min: 1, max: 1_000_000, wayOut: BOUNDED })),
  MAX_CONNECTIONS_PER_CLIENT: v.optional(wholeNumber({ min: 1, max: 1_000_000, wayOut: BOUNDED })),
  LOG_LEVEL: v.optional(oneOf(LOG_LEVELS), "info"),
  OPS_TOKEN: v.optional(secretToken({ minLength: 16 })),
  SHUTDOWN_TIMEOUT: v.optional(seconds({ min: 0, max: HOUR_S }), "5"),
}, "it is required: current value is none; set it, see .env.example");

type Values = v.InferOutput<typeof variables>;

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

/**
 * Parses the settings from `env`: `Deno.env.toObject()`, or a Worker's bindings. An empty string counts as unset. Names
 * that are not in `variables` are ignored. `hasTcp`: whether the runtime can reach a database over TCP, as Workers
 * cannot. Throws `SettingsError`.
 */
export function parseSettings(
  env: Readonly<Record<string, unknown>>,
  runtime: Runtime = { hasTcp: true },
): Settings {
  const given: Record<string, unknown> = {};
  for (const name of Object.keys(variables.entries)) {
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
  problems.push(...contradictions(values, given, (name) => invalid.has(name)));
  if (
    !["DATABASE_URL", "DATABASE_WS_PROXY", "DATABASE_TRANSPORT"].some((name) => invalid.has(name))
  ) {
    problems.push(...transportProblems(values, runtime));
  }
  if (problems.length > 0) throw new SettingsError(problems);
  return deepFreeze(settingsOf(values, runtime));
}

interface Runtime {
  readonly hasTcp: boolean;
}

/** In each pair the first timeout can never take effect if it is longer than the second. */
const SHORTER_FIRST = [
  ["DATABASE_LOCK_TIMEOUT", "DATABASE_STATEMENT_TIMEOUT"],
  ["DATABASE_STATEMENT_TIMEOUT", "DATABASE_TRANSACTION_TIMEOUT"],
  ["DATABASE_POOL_SHED_TARGET", "DATABASE_POOL_TIMEOUT"],
] as const;

/** Contradictions between variables that are both set. A default that contradicts a set variable is accepted. */
function contradictions(
  values: Values,
  given: Readonly<Record<string, unknown>>,
  isInvalid: (name: string) => boolean,
): string[] {
  const found = SHORTER_FIRST
    .filter((pair) => pair.every((name) => name in given && !isInvalid(name)))
    .filter(([short, long]) => values[short] > values[long])
    .map(([short, long]) =>
      `Cannot use ${short} as it is longer than ${long} and would never take effect: ` +
      `current values ${given[short]} and ${given[long]}; make it shorter, or leave it out`
    );
  found.push(...queueConcurrencyProblems(values, given, isInvalid));
  return found;
}

/** Why the database cannot be reached over the transport. */
function transportProblems(values: Values, runtime: Runtime): string[] {
  const { DATABASE_URL: url, DATABASE_WS_PROXY: relay } = values;
  const transport = chosenTransport(values, runtime);
  if (transport === "tcp" && !runtime.hasTcp) {
    return [
      `Cannot use DATABASE_TRANSPORT as Workers reach a database by WebSocket only: current value is "tcp"; leave it ` +
      "out, and set DATABASE_WS_PROXY for a PostgreSQL that is not Neon",
    ];
  }
  const problem = transportProblem(url, transport);
  if (problem !== undefined) {
    return [
      `Cannot use DATABASE_URL as ${problem.reason}: current value is hidden; ${problem.wayOut}`,
    ];
  }
  if (transport === "tcp" || relay !== undefined || isNeonHost(new URL(url).hostname)) return [];
  return [
    `Cannot use DATABASE_URL as its host is not Neon's and needs a WebSocket relay: current ` +
    `DATABASE_WS_PROXY is none; set it to a relay ("deno task relay" runs one, as does Neon's ` +
    `wsproxy), ${runtime.hasTcp ? "leave DATABASE_TRANSPORT out, " : ""}or let "deno task ` +
    `${runtime.hasTcp ? "dev" : "worker"}" start everything`,
  ];
}

function chosenTransport(values: Values, runtime: Runtime): Exclude<Transport, "auto"> {
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy, DATABASE_TRANSPORT: transport } = values;
  return transportOf({ url, wsProxy, transport }, runtime);
}

/**
 * The queue's workers share the pool with requests, and the pool serves callers in order of arrival. With as many
 * workers as connections, requests would have to wait for messages.
 */
function queueConcurrencyProblems(
  {
    QUEUE_CONCURRENCY: concurrency,
    DATABASE_POOL_SIZE: size,
    DATABASE_MAX_OVERFLOW: overflow,
  }: Values,
  given: Readonly<Record<string, unknown>>,
  isInvalid: (name: string) => boolean,
): string[] {
  const names = ["QUEUE_CONCURRENCY", "DATABASE_POOL_SIZE", "DATABASE_MAX_OVERFLOW"];
  if (!("QUEUE_CONCURRENCY" in given) || names.some(isInvalid)) return [];
  if (concurrency === 0 || concurrency < size + overflow) return [];
  return [
    `Cannot use QUEUE_CONCURRENCY as it leaves no connection to requests: current value is ${concurrency}, of ` +
    `DATABASE_POOL_SIZE + DATABASE_MAX_OVERFLOW = ${size + overflow}; make it smaller`,
  ];
}

function settingsOf(values: Values, runtime: Runtime): Settings {
  const transport = chosenTransport(values, runtime);
  const { DATABASE_WS_PROXY: wsProxy, DATABASE_PIPELINE_CONNECT: pipeline } = values;
  const { DATABASE_OBJECT_LOCATION: location, OPS_TOKEN: opsToken } = values;
  const { MAX_CONNECTIONS: max, MAX_CONNECTIONS_PER_CLIENT: maxPerClient } = values;
  return {
    port: values.PORT,
    httpServer: values.HTTP_SERVER,
    logLevel: values.LOG_LEVEL,
    shutdownTimeoutMs: values.SHUTDOWN_TIMEOUT,
    ...(opsToken === undefined ? {} : { opsToken }),
    connections: {
      ...(max === undefined ? {} : { max }),
      ...(maxPerClient === undefined ? {} : { maxPerClient }),
    },
    database: {
      url: values.DATABASE_URL,
      ...(wsProxy === undefined ? {} : { wsProxy }),
      transport,
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
      },
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
      ...(location === undefined ? {} : { location }),
    },
  };
}

function deepFreeze<T extends object>(value: T): T {
  for (const part of Object.values(value)) {
    if (typeof part === "object" && part !== null) deepFreeze(part);
  }
  return Object.freeze(value);
}
