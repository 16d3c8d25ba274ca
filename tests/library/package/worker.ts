/** A Worker of a consumer. */
import { sql } from "@user-service/db";
import { provideDatabase, withSession } from "@user-service/db/hono";
import { type Databases, databases } from "@user-service/db/workers";
import { Hono } from "hono";

interface Env {
  DATABASE_URL: string;
  RELAY: string;
}

let database: Databases | undefined;

const app = new Hono<{ Bindings: Env }>()
  .use(provideDatabase((c) => {
    database ??= databases({ url: c.env.DATABASE_URL, wsProxy: c.env.RELAY });
    return database.forRequest(c.executionCtx, c.req.raw);
  }))
  .get(
    "/",
    (c) =>
      withSession(
        c,
        async (session) => c.json(await session.one(sql<{ n: number }>`select 7 as n`)),
        {
          readOnly: true,
        },
      ),
  );

export default app;
