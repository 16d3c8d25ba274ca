import type { MiddlewareHandler } from "hono";
import { Hono } from "../hono.ts";
import type { DatabaseStats, DatabaseView, PoolView } from "../db/mod.ts";
import type { RecentFailures } from "./recent_failures.ts";
import { sanitisedView } from "./snapshot.ts";

export interface PoolRouteOptions {
  readonly database: { stats(): DatabaseStats; inspect(): DatabaseView };
  /** Without them, as on Workers, the log has the failures. */
  readonly failures?: RecentFailures;
  readonly guard: MiddlewareHandler;
}

/** `/ops/pool`: what the page is made of, as JSON. */
export function poolRoute({ database, failures, guard }: PoolRouteOptions): Hono {
  return new Hono().get("/ops/pool", guard, (c) => {
    const view = database.inspect();
    const state = {
      timeMs: Date.now(),
      stats: database.stats(),
      ...readable(view),
      replicas: view.replicas?.map(readable),
      failures: failures?.list(),
    };
    return c.json(state, 200, { "Cache-Control": "no-store" });
  });
}

function readable({ connections, waiters, lastConnectError }: PoolView) {
  return {
    connections: connections.map(sanitisedView),
    waiters,
    lastConnectError: lastConnectError?.message,
  };
}
