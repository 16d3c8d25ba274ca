/** A Worker of somebody else's: Hono and the library, as its guide shows them. */
import { Hono } from "hono";
import { type Database, sql } from "../../src/db/mod.ts";
import { provideDatabase, withSession } from "../../src/library/hono/mod.ts";
import { pgPool } from "../../src/library/pg/mod.ts";
import { type Databases, databases, type WorkerContext } from "../../src/library/workers/mod.ts";

interface Bindings {
  readonly DATABASE_URL: string;
  readonly DATABASE_WS_PROXY: string;
}

const backend = sql<{ pid: number }>`select pg_backend_pid() as pid`;

const app = new Hono<{ Bindings: { db: Database } }>()
  .use(provideDatabase((c) => c.env.db))
  .get(
    "/once",
    (c) =>
      withSession(c, async (session) => c.json(await session.commit([backend])), {
        readOnly: true,
      }),
  )
  // Two units, one after the other, in one request.
  .get("/twice", async (c) => {
    const pids = [];
    for (let unit = 0; unit < 2; unit++) {
      const [[row]] = await c.var.db.session({ readOnly: true }).commit([backend]);
      pids.push(row!.pid);
    }
    return c.json(pids);
  })
  // A unit long after the first one.
  .get("/later", async (c) => {
    await c.var.db.session({ readOnly: true }).commit([backend]);
    await scheduler.wait(100);
    const [[row]] = await c.var.db.session({ readOnly: true }).commit([backend]);
    return c.json(row);
  })
  // A library for node-postgres: queries, and a transaction on one client.
  .get("/pg", async (c) => {
    const pool = pgPool(c.env.db);
    const { rows } = await pool.query("select $1::int8 as big, $2::bytea as bytes, now() as at", [
      7n,
      new Uint8Array([1, 255]),
    ]);
    const client = await pool.connect();
    await client.query("begin; create temporary table short (id int) on commit drop");
    const { rowCount } = await client.query("insert into short values (1), (2)");
    client.release();
    const [{ big, bytes, at }] = rows;
    await pool.end();
    return c.json({ big, bytes: [...bytes], isDate: at instanceof Date, rowCount });
  })
  .get("/without", (c) => c.text("no unit"));

let database: Databases | undefined;

export default {
  fetch(request: Request, env: Bindings, ctx: WorkerContext): Response | Promise<Response> {
    database ??= databases({ url: env.DATABASE_URL, wsProxy: env.DATABASE_WS_PROXY });
    return app.fetch(request, { db: database.forRequest(ctx, request) });
  },
};

declare const scheduler: { wait(ms: number): Promise<void> };
