/** The orders app on Cloudflare Workers: one bound for the isolate, and the sockets of each request are its own. */
import type { Context } from "hono";
import type { Database } from "@user-service/db";
import { type Databases, databases } from "@user-service/db/workers";
import { ordersApp } from "./orders/app.ts";

interface Bindings {
  readonly DATABASE_URL: string;
  readonly DATABASE_WS_PROXY?: string;
}

let database: Databases | undefined;

function databaseOf(c: Context<{ Bindings: Bindings }>): Database {
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = c.env;
  database ??= databases({ url, wsProxy });
  return database.forRequest(c.executionCtx, c.req.raw);
}

export default ordersApp(databaseOf, (event) => {
  console.log("event", JSON.stringify(event));
  return Promise.resolve();
});
