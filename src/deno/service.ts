/** The service on Deno: one pool per process, and a graceful shutdown. */
import { Authenticator } from "../access/authenticator.ts";
import { activityConsumer } from "../service/activity_consumer.ts";
import type { Context, MiddlewareHandler } from "hono";
import { ClientTurns, type NoTurn, type Turn } from "./client_turns.ts";
import { connectionLimits, descriptorLimit } from "./descriptors.ts";
import type { ExchangeInfo } from "./exchange.ts";
import { type HttpListener, Listener, type ListenerOptions } from "./listener.ts";
import { atTurnEnd } from "./loop_turns.ts";
import { outgoingHeaders } from "./outgoing_response.ts";
import { listenPlainly } from "./plain_listener.ts";
import { drain } from "./drain.ts";
import { appSettings } from "../service/app_settings.ts";
import { queueDepth } from "../service/queue_depth.ts";
import { reportSchema } from "../service/schema_report.ts";
import { logFailures, logLeaks, logMessages } from "../service/failure_log.ts";
import { fileServer } from "../docs/file_server.ts";
import { docsFiles } from "../docs/files.ts";
import { createApp } from "../http/app.ts";
import { BodyLimit } from "../http/body.ts";
import { databasePosition } from "../http/database_position.ts";
import { SharedUsers } from "../http/shared_users.ts";
import { RequestTracker } from "./request_tracker.ts";
import { PoolClosedError } from "../db/mod.ts";
import { ProblemError } from "../http/problem.ts";
import { openDatabase } from "../library/deno/mod.ts";
import { guard, isLoopback } from "../ops/guard.ts";
import { operatorsOf } from "../ops/operators.ts";
import { Guesses } from "../ops/guesses.ts";
import { createLog } from "../ops/log.ts";
import { HttpMetrics } from "../ops/http_metrics.ts";
import { markMessageFailed, propagateTrace, traceMessages } from "../ops/message_trace.ts";
import { metricsRoute } from "../ops/metrics_route.ts";
import { PoolPage } from "../ops/pool_page.ts";
import { replicaMetrics } from "../ops/replica_metrics.ts";
import { cachedFor } from "../ops/cached_for.ts";
import {
  databaseObserver,
  isTraced,
  tracedDatabase,
  traceFields,
  traceRequests,
} from "../ops/tracing.ts";
import { summarised } from "../ops/repeats.ts";
import { watchRequests } from "../ops/watch_requests.ts";
import { PostgresQueue } from "../queue/postgres_queue.ts";
import { parseSettings, type Settings } from "../settings/settings.ts";

/** A running service. */
export interface RunningService {
  /** Base URL of the listening server. */
  readonly url: string;
  /** Compares the database with this version, and logs where they differ. Never rejects. */
  reportSchema(): Promise<void>;
  /** Resolves when `shutdown` is complete. */
  readonly finished: Promise<void>;
  /**
   * Refuses new requests, lets running requests and messages finish, completes background tasks, and closes the pool,
   * within `SHUTDOWN_TIMEOUT`. Shortly before that time ends, unfinished requests are cancelled and answered with 503.
   */
  shutdown(): Promise<void>;
}

export interface StartOptions {
  readonly hostname?: string;
  /** Lets clients on the loopback address read `/metrics` and `/ops` without a token. */
  readonly opensOpsToLoopback?: boolean;
  /** Runs before everything else that may answer a request. Its answers are in metrics and traces too. */
  readonly middleware?: readonly MiddlewareHandler[];
}

/** What the app gets beside a request. */
type RequestInfo = ExchangeInfo & { readonly turn: Turn | NoTurn };

/** The one client of `HTTP_SERVER=plain`. */
const PROXY = "proxy";

/** Starts the service. Rejects with `SettingsError` for bad settings, and an `Error` if it cannot listen on the port. */
export async function start(
  env: Readonly<Record<string, string | undefined>>,
  { hostname = "0.0.0.0", opensOpsToLoopback = false, middleware = [] }: StartOptions = {},
): Promise<RunningService> {
  const settings = parseSettings(env, { hasFiles: true, serves: true });
  const { pool: { size, maxOverflow, shedTargetMs }, replicas } = settings.database;
  const limits = connectionLimits(settings.connections, {
    poolMax: (size + maxOverflow) * (1 + (replicas?.urls.length ?? 0)),
    descriptors: descriptorLimit(),
  });
  const { log, flush } = summarised(createLog(settings.logLevel, { context: traceFields }));
  const db = openDatabase({
    ...settings.database,
    onLeak: logLeaks(log),
    observer: databaseObserver(tracedDatabase(settings.database.url)),
    onBackgroundError: (error) => log.error("background task failed", { error }),
  });
  const draining = new AbortController();
  const logMessage = logMessages(log);
  const consumer = activityConsumer(db, {
    onFailure(failure) {
      logMessage(failure);
      markMessageFailed(failure);
    },
  });
  const queue = new PostgresQueue({
    ...settings.queue,
    db,
    consume: traceMessages("user_events", consumer.consume),
    onFailure: (error) => log.warn("queue cannot access the outbox and keeps retrying", { error }),
  });
  const http = new HttpMetrics();
  const authenticator = new Authenticator(settings.access);
  const operators = operatorsOf(authenticator, settings.opsToken);
  const isTrusted = (c: Context<{ Bindings: ExchangeInfo }>) =>
    opensOpsToLoopback && isLoopback(c, c.env.remoteAddr.hostname);
  const fromSettings = appSettings(settings, {
    peerOf: (c: Context<{ Bindings: ExchangeInfo }>) => c.env.remoteAddr.hostname,
  });
  const isBehindProxy = settings.httpServer === "plain";
  const guesses = new Guesses({
    clientOf: (c) => fromSettings.fairUse.addressOf(c) ?? "",
    onRefused: (guess) => log.warn("wrong OPS_TOKEN refused", { ...guess }),
  });
  const metrics = metricsRoute({
    database: db,
    http,
    queueDepth: cachedFor(() => queueDepth(db), { forMs: settings.queue.pollMs }),
    more: replicaMetrics,
    guard: guard({ operators, guesses, isTrusted }),
  });
  const page = new PoolPage({
    database: db,
    operators,
    guesses,
    isTrusted,
    shutdownSignal: draining.signal,
  });
  const requests = new RequestTracker();
  const logFailure = logFailures(log);
  const app = createApp({
    ...fromSettings,
    replicaReads: replicas && databasePosition(),
    shared: replicas ? undefined : new SharedUsers({
      atTurnEnd,
      isTraced,
      statementTimeoutMs: settings.database.session.statementTimeoutMs,
    }),
    db: propagateTrace(db),
    headersOf: isBehindProxy ? undefined : outgoingHeaders,
    authenticator,
    middleware,
    observers: [
      traceRequests(),
      watchRequests((answered) => {
        http.record(answered);
        log.debug("request answered", { ...answered });
      }),
    ],
    opsRoutes: [metrics, page.routes],
    refusalOf: (c: Context<{ Bindings: RequestInfo }>) => {
      if (draining.signal.aborted) {
        return new PoolClosedError("Cannot take requests as the service is draining");
      }
      const { turn } = c.env;
      return "waiting" in turn ? tooManyWait(turn) : undefined;
    },
    onFailure: (failure) => {
      logFailure(failure);
      page.failures.add({ ...failure, request: `${failure.method} ${failure.route}` });
    },
    onUserChange: () => queue.wake(),
    bodyLimit: new BodyLimit({
      // Behind a proxy that names no clients, they are one.
      clientOf: isBehindProxy && settings.fairUse.addressHeader === undefined
        ? undefined
        : fromSettings.fairUse.addressOf,
      leaveWhile: ({ env: { turn } }: Context<{ Bindings: RequestInfo }>, wait) =>
        "leaveWhile" in turn ? turn.leaveWhile(wait) : wait(),
    }),
    assets: fileServer(docsFiles),
  });
  const turns = new ClientTurns({
    connections: size + maxOverflow,
    readDepth: () => db.readDepth,
    shedTargetMs,
  });
  // In front of the app, where a request that waits keeps no frames of middleware: `tests/bench/README.md`.
  const answer = (request: Request, { remoteAddr }: ExchangeInfo) => {
    const client = isBehindProxy ? PROXY : remoteAddr.hostname;
    const isRead = request.method === "GET" || request.method === "HEAD";
    return turns.run({ client, isRead }, (turn) => app.fetch(request, { remoteAddr, turn }));
  };
  const server = await listen(settings.httpServer, {
    hostname,
    port: settings.port,
    ...limits,
    handler: (request, info) => requests.track(answer(request, info)),
    onError: (error) => log.error("request failed", { error }),
    onSilence: () => log.error("listener stopped accepting connections, and is opened again"),
    onRefused: (reason, client) => log.warn("connection refused", { reason, client }),
  });

  const refuseRequests = () => {
    draining.abort();
    page[Symbol.dispose]();
  };
  const targets = { requests, queue, db, server, refuseRequests };
  const end = () => drain(targets, { timeoutMs: settings.shutdownTimeoutMs }).finally(flush);
  const finished = Promise.withResolvers<void>();
  let ending: Promise<void> | undefined;
  return {
    url: `http://${hostname === "0.0.0.0" ? "localhost" : hostname}:${server.port}`,
    reportSchema: () => reportSchema(db, log),
    finished: finished.promise,
    shutdown: () => ending ??= end().finally(finished.resolve),
  };
}

function tooManyWait({ waiting }: NoTurn): ProblemError {
  return new ProblemError("overloaded", {
    detail: `Cannot take the request as too many others of its client wait to be served: ` +
      `currently ${waiting}; try again after Retry-After`,
    headers: { "Retry-After": "1" },
  });
}

async function listen(
  kind: Settings["httpServer"],
  options: ListenerOptions,
): Promise<HttpListener> {
  try {
    return kind === "plain" ? listenPlainly(options) : await Listener.listen(options);
  } catch (error) {
    if ((error as { code?: unknown }).code !== "EADDRINUSE") throw error;
    throw new Error(
      `Cannot listen on port ${options.port} as another program uses it; end that program, or set PORT to another number (0 takes any free port)`,
      { cause: error },
    );
  }
}
