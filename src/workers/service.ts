import type { Context } from "hono";
import type { Database, OwnerScope } from "../db/mod.ts";
import { logFailures, logLeaks } from "../failure_log.ts";
import { type AppDatabase, createApp } from "../http/app.ts";
import { Databases } from "../open_database.ts";
import { createLog, type Log, type LogLevel } from "../ops/log.ts";
import type { Settings } from "../settings.ts";

/** Whom a request's sockets belong to, and who finishes what its answer need not wait for. */
export interface RequestOwner {
  readonly scope: OwnerScope;
  waitUntil(rest: Promise<unknown>): void;
}

/** The app over one pool, for any number of owners of sockets: of a whole isolate, or of one object. */
export class Service {
  readonly #databases: Databases;
  readonly #log: Log;
  readonly #app;

  constructor(settings: Settings) {
    this.#log = createLog(settings.logLevel);
    this.#databases = new Databases(settings, { onLeak: logLeaks(this.#log) });
    this.#app = appOf(settings.logLevel);
  }

  /** Answers one request; a client that leaves ends its sessions. */
  async fetch(request: Request, owner: RequestOwner): Promise<Response> {
    const db = this.#databaseOf(request, owner);
    return await this.#app.fetch(request, { db: () => db });
  }

  /** Closes the connections of a scope that has ended. Resolves when their sockets are shut. */
  endScope(scope: OwnerScope): Promise<void> {
    return this.#databases.endScope(scope);
  }

  #databaseOf({ signal }: Request, { scope, waitUntil }: RequestOwner): Database {
    return this.#databases.of({
      scope,
      signal,
      defer: (rest) =>
        waitUntil(rest.catch((error) => this.#log.error("deferred work failed", { error }))),
    });
  }
}

/** Answers a request that cannot be served with what `error` is to a client, and logs it. */
export async function refuse(
  request: Request,
  { error, logLevel = "error" }: { error: unknown; logLevel?: LogLevel },
): Promise<Response> {
  return await appOf(logLevel).fetch(request, {
    db: () => {
      throw error;
    },
  });
}

/** The app, which finds the database of each request in what it is given as Hono's `env`. */
function appOf(logLevel: LogLevel) {
  return createApp({
    db: (c: Context<{ Bindings: { db: () => AppDatabase } }>) => c.env.db(),
    onFailure: logFailures(createLog(logLevel)),
  });
}
