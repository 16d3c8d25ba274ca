/**
 * Hono, as all apps of the service use it: with its fastest router alone. The class of that name in "hono" brings two more routers, for patterns that this one
 * does not support and the service does not have: they would be 1.1 kB of a Worker's bundle. With an unsupported pattern,
 * the first request fails.
 */

import type { Context, Env, Schema } from "hono";
import { HonoBase } from "hono/hono-base";
import { matchedRoutes } from "hono/route";
import { RegExpRouter } from "hono/router/reg-exp-router";

/** The parameters are Hono's own. */
export class Hono<
  E extends Env = Env,
  // deno-lint-ignore ban-types -- as Hono declares it
  S extends Schema = {},
  BasePath extends string = "/",
> extends HonoBase<E, S, BasePath> {
  constructor() {
    super({ router: new RegExpRouter() });
  }
}

/**
 * The pattern that the request's path has matched, such as `/users/:id`; `""` if it has matched that of a middleware only.
 * A route may stand before a middleware for later ones, which then is the last match.
 */
export function routeOf(c: Context): string {
  return matchedRoutes(c).findLast(({ path }) => path !== "/*" && path !== "*")?.path ?? "";
}
