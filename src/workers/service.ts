import type { Context } from "hono";
import { Authenticator } from "../access/authenticator.ts";
import type { Identity } from "../access/identity.ts";
import type { Database, TransactionRunner } from "../db/mod.ts";
import { appSettings } from "../service/app_settings.ts";
import { logFailures, logLeaks } from "../service/failure_log.ts";
import { queueDepth } from "../service/queue_depth.ts";
import { type AppOptions, createApp } from "../http/app.ts";
import type { Assets } from "../http/docs_routes.ts";
import { isHost, refuseHost } from "../http/host.ts";
import { type Databases, databases } from "../library/workers/mod.ts";
import { cachedFor } from "../ops/cached_for.ts";
import { DataPoints, type Dataset } from "../ops/data_points.ts";
import { guard } from "../ops/guard.ts";
import { HttpMetrics } from "../ops/http_metrics.ts";
import { createLog, type Log } from "../ops/log.ts";
import { operatorsOf } from "../ops/operators.ts";
import { metricsRoute } from "../ops/metrics_route.ts";
import { poolRoute } from "../ops/pool_route.ts";
import { watchRequests } from "../ops/watch_requests.ts";
import { dispatchEvents, type QueueProducer } from "../queue/cloudflare_queue.ts";
import { figuresObserver, noFigures, type RequestFigures } from "../request_figures.ts";
import type { Settings } from "../settings/settings.ts";
import type { Instrumentation } from "./instrumentation.ts";
import type { Bindings } from "./settings.ts";

/** The databases of the Worker's requests or objects, whose failures and leaks are logged. */
export function serviceDatabases(
  { database, logLevel }: Pick<Settings, "database" | "logLevel">,
  seen: Instrumentation,
): Databases {
  const log = createLog(logLevel, { context: seen.logFields });
  return databases({
    ...database,
    observer: seen.observerOf(database.url),
    onLeak: logLeaks(log),
    onBackgroundError: (error) => log.error("background task failed", { error }),
  });
}

export interface WorkerServiceOptions {
  /** For the metrics of this isolate or this Durable Object. */
  readonly database: Pick<Databases, "stats" | "totals" | "inspect">;
  readonly bindings: Bindings;
  readonly seen: Instrumentation;
}

/** The binding of the queue to which user events are sent. Without it, events stay in the outbox for a Deno process. */
export function producerOf(bindings: Bindings): QueueProducer | undefined {
  return bindings["USER_EVENTS"] as QueueProducer | undefined;
}

/** The binding of the static assets, which `deno task bundle` makes of `src/docs`. */
function assetsOf(bindings: Bindings): Assets | undefined {
  return bindings["ASSETS"] as Assets | undefined;
}

/** The binding of the dataset that gets the metrics of all isolates. Throws `TypeError` if it is something else. */
export function datasetOf({ METRICS: binding }: Bindings): Dataset | undefined {
  if (binding === undefined) return undefined;
  if (typeof binding === "object" && binding !== null && "writeDataPoint" in binding) {
    return binding as Dataset;
  }
  throw new TypeError(
    `Cannot write metrics as the binding METRICS is no dataset of the Analytics Engine: current value is a ${typeof binding}; ` +
      "bind a dataset, see wrangler.toml, or remove it",
  );
}

/**
 * Cloudflare sets it for each request from outside, whatever the client sent. Requests of other Workers lack it.
 * https://developers.cloudflare.com/fundamentals/reference/http-headers/#cf-connecting-ip
 */
const CLOUDFLARE_ADDRESS = "CF-Connecting-IP";

/** The Hono app, with a database for each request: one per isolate, or one per Durable Object. */
export class WorkerService {
  readonly #app;
  readonly #events: QueueProducer | undefined;
  readonly #seen: Instrumentation;
  readonly #points: DataPoints | undefined;

  constructor(settings: Settings, { database, bindings, seen }: WorkerServiceOptions) {
    const { logLevel, access, opsToken } = settings;
    this.#events = producerOf(bindings);
    this.#seen = seen;
    const http = new HttpMetrics();
    const log = createLog(logLevel, { context: seen.logFields });
    const dataset = datasetOf(bindings);
    const points = this.#points = dataset && new DataPoints({ dataset, database, log });
    const authenticator = new Authenticator(access);
    const guarded = guard({ operators: operatorsOf(authenticator, opsToken) });
    const depth = cachedFor(
      ({ env }: Context<{ Bindings: AppBindings }>) => queueDepth(env.db()),
      { forMs: settings.queue.pollMs },
    );
    this.#app = appOf(log, {
      ...appSettings(settings, { addressHeader: CLOUDFLARE_ADDRESS, peerOf: () => undefined }),
      authenticator,
      observers: [
        ...seen.observers,
        watchRequests((answered, { env }: Context<{ Bindings: AppBindings }>) => {
          http.record(answered);
          if (env.figures !== undefined) points?.write(answered, env.figures);
          log.debug("request answered", { ...answered });
        }),
      ],
      opsRoutes: [
        metricsRoute({ database, http, queueDepth: depth, guard: guarded }),
        poolRoute({ database, guard: guarded }),
      ],
      assets: assetsOf(bindings),
    });
  }

  /** Answers one request with its database. `caller` is who sends it, if that is known without a token. */
  async fetch(request: Request, db: Database, caller?: Identity): Promise<Response> {
    const host = request.headers.get("Host");
    if (host !== null && !isHost(host)) return refuseHost();
    const figures = this.#points && noFigures();
    const own = this.#seen.writing(figures ? db.forRequest(figuresObserver(figures)) : db);
    const env: AppBindings = {
      figures,
      db: () => own,
      dispatch: () => this.#dispatch(db),
      caller,
    };
    return await this.#app.fetch(request, env);
  }

  /** Sends the event of a change. A client that disconnects does not abort it. */
  async #dispatch(db: Database): Promise<void> {
    const events = this.#events;
    if (events === undefined) return;
    await this.#seen.send(() => dispatchEvents(db.withSignal(undefined), events));
  }
}

export interface FailureOptions extends Partial<Pick<Settings, "logLevel" | "corsOrigins">> {
  readonly error: unknown;
}

/** Answers a request with the problem document for `error`, and logs the error. */
export async function respondWithFailure(
  request: Request,
  { error, logLevel = "error", corsOrigins }: FailureOptions,
): Promise<Response> {
  return await appOf(createLog(logLevel), { corsOrigins }).fetch(request, {
    db: () => {
      throw error;
    },
  });
}

interface AppBindings {
  readonly db: () => TransactionRunner;
  readonly dispatch?: () => Promise<void>;
  /** Of the request, if there is a dataset for them. */
  readonly figures?: RequestFigures | undefined;
  readonly caller?: Identity | undefined;
}

/** For an app that answers every request with one failure. */
const NO_CLIENTS = new Authenticator({ tokens: [] });

/** The Hono app. Each request passes its database as Hono's `env`. */
function appOf(log: Log, options: Partial<AppOptions> = {}) {
  return createApp({
    authenticator: NO_CLIENTS,
    ...options,
    db: (c: Context<{ Bindings: AppBindings }>) => c.env.db(),
    callerOf: (c: Context<{ Bindings: AppBindings }>) => c.env.caller,
    onUserChange: (c: Context<{ Bindings: AppBindings }>) => c.env.dispatch?.(),
    onFailure: logFailures(log),
  });
}
