/**
 * `Server-Timing`: where the time of a request went, for the developer tools of browsers. Not for production, where it
 * would tell a client how long a search that it may not see the result of has taken.
 * https://www.w3.org/TR/server-timing/
 */

import type { MiddlewareHandler } from "hono";
import type { Observer } from "../db/mod.ts";
import type { DatabaseVariables } from "../library/hono/mod.ts";

/**
 * Milliseconds: `wait` until there was a connection, `connect` until a new one had logged in, `db` from sending to the
 * answer. What is sent with the login is part of both.
 */
type Times = Record<"wait" | "connect" | "db", number>;

/** Middleware that adds the header, also with the time in all. Needs `provideDatabase` before it. */
export function serverTiming(): MiddlewareHandler<{ Variables: DatabaseVariables }> {
  return function showTimes(c, next) {
    const sinceMs = performance.now();
    const times: Times = { wait: 0, connect: 0, db: 0 };
    c.set("db", c.var.db.forRequest(observerOf(times)));
    return next().then(() => {
      const all = { ...times, total: performance.now() - sinceMs };
      const metrics = Object.entries(all).filter(([, ms]) => ms > 0)
        .map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`);
      if (metrics.length > 0) c.res.headers.set("Server-Timing", metrics.join(", "));
    });
  };
}

/** Adds to `times`. What goes on at once counts as often. */
function observerOf(times: Times): Observer {
  const measure = (name: keyof Times) => {
    const sinceMs = performance.now();
    return () => {
      times[name] += performance.now() - sinceMs;
    };
  };
  return {
    transaction() {
      let waited: (() => void) | undefined = measure("wait");
      const served = () => {
        waited?.();
        waited = undefined;
      };
      return {
        leased(login) {
          served();
          // A login that fails is the flight's failure.
          login?.then(measure("connect"), () => {});
        },
        flight() {
          served();
          return measure("db");
        },
        ended: served,
      };
    },
  };
}
