/** Hono answers 404 for an address that it knows under another method; this answers as HTTP says. */

import type { Context } from "hono";
import { ProblemError } from "./problem.ts";

/** The last handler of an address: tells OPTIONS which methods there are, and refuses all others with 405. */
export function onlyMethods(...methods: readonly string[]): (c: Context) => Response {
  const allow = methods.join(", ");
  return function refuseMethod(c) {
    if (c.req.method === "OPTIONS") return c.body(null, 204, { Allow: allow });
    throw new ProblemError("method-not-allowed", {
      detail: `Cannot serve the request as this address does not know its method: current method ` +
        `${c.req.method}; use ${allow}`,
      headers: { Allow: allow },
    });
  };
}
