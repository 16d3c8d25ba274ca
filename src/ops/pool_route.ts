import type { MiddlewareHandler } from "hono";
import { Hono } from "../hono.ts";
import type { DatabaseStats, PoolView } from "../db/mod.ts";
import type { RecentFailures } from "./recent_failures.ts";
import { sanitisedView } from "./snapshot.ts";

export interface PoolRouteOptions {
  readonly database: { stats(): DatabaseStats; inspect(): PoolView };
  /** Without them, as on Workers, the log has the failures. */
  readonly failures?: RecentFailures;
  readonly guard: MiddlewareHandler;
}

/** `/ops/pool`: what the page is made of, as JSON. */
export function poolRoute({ database, failures, guard }: PoolRouteOptions): Hono {
  return new Hono().get("/ops/pool", guard, (c) => {
    const { connections, waiters, lastConnectError } = database.inspect();
    const state = {
      timeMs: Date.now(),
      stats: database.stats(),
      connections: connections.map(sanitisedView),
      waiters,
      lastConnectError: lastConnectError?.message,
      failures: failures?.list(),
    };
    return c.json(state, 200, { "Cache-Control": "no-store" });
  });
}
