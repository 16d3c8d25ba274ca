import type { Context } from "hono";
import type { Database, OwnerScope } from "../db/mod.ts";
import { logFailures, logLeaks } from "../failure_log.ts";
import { type AppDatabase, type AppOptions, createApp } from "../http/app.ts";
import { Databases } from "../open_database.ts";
import { guard } from "../ops/guard.ts";
import { createLog, type Log, type LogLevel } from "../ops/log.ts";
import { Ops } from "../ops/ops.ts";
import { watchRequests } from "../ops/watch_requests.ts";
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
    this.#app = appOf(settings.logLevel, this.#opsOptions(settings));
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

  /** Of this isolate, or this object. The page is not here: it needs files that a bundle does not have. */
  #opsOptions({ opsToken: token }: Settings): Pick<AppOptions, "around" | "opsRoutes"> {
    const ops = new Ops({ database: this.#databases });
    return {
      around: [watchRequests((answered) => ops.http.record(answered))],
      opsRoutes: ops.routes({ guard: guard({ token }) }),
    };
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
function appOf(logLevel: LogLevel, options: Partial<AppOptions> = {}) {
  return createApp({
    ...options,
    db: (c: Context<{ Bindings: { db: () => AppDatabase } }>) => c.env.db(),
    onFailure: logFailures(createLog(logLevel)),
  });
}
