import type { Context } from "hono";
import type { Database, OwnerScope, TransactionRunner } from "../db/mod.ts";
import { logFailures, logLeaks } from "../service/failure_log.ts";
import { type AppOptions, createApp } from "../http/app.ts";
import { createDatabase } from "../library/create_database.ts";
import { guard } from "../ops/guard.ts";
import { HttpMetrics } from "../ops/http_metrics.ts";
import { createLog, type Log } from "../ops/log.ts";
import { metricsRoute } from "../ops/metrics_route.ts";
import { watchRequests } from "../ops/watch_requests.ts";
import { dispatchEvents, type QueueProducer } from "../queue/cloudflare_queue.ts";
import type { LogLevel } from "../settings/log_level.ts";
import type { Settings } from "../settings/settings.ts";
import { loggedWaitUntil } from "./logged_wait_until.ts";

/** The owner of a request's sockets, and the runtime's `waitUntil` for work that the response does not wait for. */
export interface RequestOwner {
  readonly scope: OwnerScope;
  waitUntil(promise: Promise<unknown>): void;
}

/** The Hono app with one pool, for any number of socket owners: one per isolate, or one per Durable Object. */
export class WorkerService {
  readonly #db: Database;
  readonly #log: Log;
  readonly #app;
  readonly #events: QueueProducer | undefined;

  /** `events` is the queue to which user events are sent. */
  constructor(settings: Settings, { events }: { events?: QueueProducer | undefined } = {}) {
    this.#events = events;
    this.#log = createLog(settings.logLevel);
    this.#db = createDatabase(settings.database, { onLeak: logLeaks(this.#log) });
    this.#app = appOf(settings.logLevel, this.#opsOptions(settings));
  }

  /** Answers one request. If the client disconnects, the request's sessions are aborted. */
  async fetch(request: Request, owner: RequestOwner): Promise<Response> {
    const db = this.#databaseOf(request, owner);
    const dispatch = () => this.#dispatch(owner);
    return await this.#app.fetch(request, { db: () => db, dispatch });
  }

  /** Closes the connections of a scope that has ended. Resolves when the sockets are closed. */
  endScope(scope: OwnerScope): Promise<void> {
    return this.#db.endScope(scope);
  }

  /** Metrics of this isolate or this Durable Object. */
  #opsOptions({ opsToken: token }: Settings): Pick<AppOptions, "middleware" | "opsRoutes"> {
    const http = new HttpMetrics();
    const database = this.#db;
    return {
      middleware: [watchRequests((answered) => http.record(answered))],
      opsRoutes: [metricsRoute({ database, http, guard: guard({ token }) })],
    };
  }

  /** Sends the event of a change. A client that disconnects does not abort it. */
  async #dispatch(owner: RequestOwner): Promise<void> {
    if (this.#events === undefined) return;
    await dispatchEvents(this.#databaseOf(undefined, owner), this.#events);
  }

  #databaseOf(request: Request | undefined, { scope, waitUntil }: RequestOwner): Database {
    return this.#db.forOwner({
      scope,
      signal: request?.signal,
      waitUntil: loggedWaitUntil(waitUntil, this.#log),
    });
  }
}

/** Answers a request with the problem document for `error`, and logs the error. */
export async function respondWithFailure(
  request: Request,
  { error, logLevel = "error" }: { error: unknown; logLevel?: LogLevel },
): Promise<Response> {
  return await appOf(logLevel).fetch(request, {
    db: () => {
      throw error;
    },
  });
}

interface AppBindings {
  readonly db: () => TransactionRunner;
  readonly dispatch?: () => Promise<void>;
}

/** The Hono app. Each request passes its database as Hono's `env`. */
function appOf(logLevel: LogLevel, options: Partial<AppOptions> = {}) {
  return createApp({
    ...options,
    db: (c: Context<{ Bindings: AppBindings }>) => c.env.db(),
    onUserChange: (c: Context<{ Bindings: AppBindings }>) => c.env.dispatch?.(),
    onFailure: logFailures(createLog(logLevel)),
  });
}
