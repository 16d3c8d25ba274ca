/**
 * `Server-Timing`: where the time of a request went, for the developer tools of browsers. Not for production, where it
 * would tell a client how long a search that it may not see the result of has taken.
 * https://www.w3.org/TR/server-timing/
 */

import type { Context } from "hono";
import type { DatabaseVariables } from "../library/hono/mod.ts";
import { figuresObserver, noFigures } from "../request_figures.ts";
import type { Step } from "../chain.ts";

/** Middleware that adds the header, also with the time in all. Needs `provideDatabase` before it. */
export function serverTiming(): Step {
  return function showTimes(c: Context<{ Variables: DatabaseVariables }>, next) {
    const sinceMs = performance.now();
    const figures = noFigures();
    c.set("db", c.get("db").forRequest(figuresObserver(figures)));
    return next().then(() => {
      const { waitMs: wait, connectMs: connect, databaseMs: db } = figures;
      const all = { wait, connect, db, total: performance.now() - sinceMs };
      const metrics = Object.entries(all).filter(([, ms]) => ms > 0)
        .map(([name, ms]) => `${name};dur=${ms.toFixed(1)}`);
      if (metrics.length > 0) c.res.headers.set("Server-Timing", metrics.join(", "));
    });
  };
}
