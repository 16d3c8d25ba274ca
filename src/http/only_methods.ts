/**
 * Hono answers 404 if an address exists but not for the request's method. HTTP asks for 405.
 * https://www.rfc-editor.org/rfc/rfc9110#section-15.5.6
 */

import type { Context } from "hono";
import { ProblemError } from "./problem.ts";

/** The last handler of an address. It answers OPTIONS with the methods in `Allow`, and any other method with 405. */
export function onlyMethods(...methods: readonly string[]): (c: Context) => Response {
  const allow = methods.join(", ");
  return function refuseMethod(c) {
    if (c.req.method === "OPTIONS") return c.body(null, 204, { Allow: allow });
    throw new ProblemError("method-not-allowed", {
      detail:
        `Cannot serve the request as this address does not support its method: current method ` +
        `${c.req.method}; use ${allow}`,
      headers: { Allow: allow },
    });
  };
}
