/** Requests that open a second unit of work while they hold a connection, on a real server. */
import { assert, assertEquals } from "@std/assert";
import { type Context, Hono } from "hono";
import {
  type Database,
  ScopeError,
  type Session,
  sql,
  type TransactionRunner,
} from "../../../src/db/mod.ts";
import {
  type DatabaseVariables,
  provideDatabase,
  withSession,
} from "../../../src/library/hono/mod.ts";
import { propagateTrace } from "../../../src/ops/message_trace.ts";
import type { Branch } from "../../support/branch.ts";
import { branchDatabase } from "../../support/branch_database.ts";

const database = await branchDatabase();

type AppEnv = { Variables: DatabaseVariables };

/** A unit that would wait for a permit is refused long before the pool's own timeout, which is 30 s. */
const AT_ONCE_MS = 1_000;

/** Runs `work` with a database of `size` connections, and then checks that all of them are back. */
async function withDatabase(
  size: number,
  work: (db: Database, branch: Branch) => Promise<void>,
): Promise<void> {
  await using branch = await database.connect();
  const db = branch.open({ DATABASE_POOL_SIZE: `${size}`, DATABASE_MAX_OVERFLOW: "0" });
  await work(db, branch);
  assertEquals(db.stats().leased, 0);
}

function appOf(
  db: TransactionRunner,
  handler: (c: Context<AppEnv>, session: Session) => Promise<Response>,
): Hono<AppEnv> {
  const app = new Hono<AppEnv>();
  app.use(provideDatabase(db));
  app.get("/", (c) => withSession(c, (session) => handler(c, session)));
  app.onError((error, c) => c.json({ error: error.name }, 500));
  return app;
}

/** Resolves for all callers once `count` have called. */
function barrier(count: number): () => Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  return () => {
    if (--count === 0) resolve();
    return promise;
  };
}

async function newXid(db: TransactionRunner): Promise<void> {
  await db.transaction((session) => session.commit([sql`select pg_current_xact_id()`]));
}

const VIEWS: Record<string, (db: Database) => TransactionRunner> = {
  "a database": (db) => db,
  "a database that sends traces, as the service's": propagateTrace,
};

for (const [what, viewOf] of Object.entries(VIEWS)) {
  Deno.test(`${what}: when every request that holds a permit opens a second unit, the inner ones are refused at once and the outer ones commit`, () =>
    withDatabase(2, async (db) => {
      const allHold = barrier(2);
      const refused: { error: Error; afterMs: number }[] = [];
      const app = appOf(viewOf(db), async (c, session) => {
        await session.query(sql`select pg_current_xact_id()`);
        await allHold();
        const sinceMs = performance.now();
        await newXid(c.var.db).catch((error) =>
          refused.push({ error, afterMs: performance.now() - sinceMs })
        );
        await session.commit();
        return c.text("committed");
      });
      const answers = await Promise.all([app.request("/"), app.request("/")]);
      assertEquals(await Promise.all(answers.map((answer) => answer.text())), [
        "committed",
        "committed",
      ]);
      assertEquals(refused.map(({ error }) => error.name), ["ScopeError", "ScopeError"]);
      for (const { error, afterMs } of refused) {
        assert(error instanceof ScopeError && error.pool?.leased === 2);
        assert(error.message.includes("use one session for the whole request"), error.message);
        assert(afterMs < AT_ONCE_MS, `${afterMs} ms`);
      }
    }));
}

Deno.test("the refusal of an uncaught inner unit fails its request alone, without a retry", () =>
  withDatabase(2, async (db) => {
    const allHold = barrier(2);
    let runs = 0;
    const app = appOf(db, async (c, session) => {
      runs++;
      await session.query(sql`select 1`);
      await allHold();
      if (c.req.query("inner") !== undefined) await newXid(c.var.db);
      await session.commit();
      return c.text("committed");
    });
    const answers = await Promise.all([app.request("/?inner"), app.request("/")]);
    const texts = await Promise.all(answers.map((answer) => answer.text()));
    assertEquals(texts, ['{"error":"ScopeError"}', "committed"]);
    assertEquals(runs, 2);
  }));

Deno.test("while permits are left a request runs units inside and beside one another", () =>
  withDatabase(4, async (db) => {
    const app = appOf(db, async (c, session) => {
      await session.query(sql`select 1`);
      await Promise.all([newXid(c.var.db), newXid(c.var.db), newXid(c.var.db)]);
      await session.commit();
      return c.text("committed");
    });
    // The first request opens the connections; the second one finds them idle.
    for (let requests = 0; requests < 2; requests++) {
      assertEquals(await (await app.request("/")).text(), "committed");
    }
  }));

Deno.test("a request that runs its units one after the other waits for its connection, also behind a deferred rollback", () =>
  withDatabase(1, async (db) => {
    const app = new Hono<AppEnv>();
    app.use(provideDatabase(db));
    app.get("/", async (c: Context<AppEnv>) => {
      const read = { readOnly: true } as const;
      await c.var.db.transaction((session) => session.query(sql`select 1`), read);
      {
        await using session = c.var.db.session(read);
        await session.query(sql`select 1`);
      }
      await newXid(c.var.db);
      return c.text("done");
    });
    app.onError((error, c) => c.json({ error: error.name }, 500));
    const answers = await Promise.all([1, 2, 3].map(() => app.request("/")));
    const texts = await Promise.all(answers.map((answer) => answer.text()));
    assertEquals(texts, ["done", "done", "done"]);
  }));

Deno.test("requests that hold no connection wait for those of others", () =>
  withDatabase(1, async (db) => {
    const app = appOf(db, async (c, session) => {
      await session.query(sql`select pg_sleep(0.05)`);
      await session.commit();
      return c.text("committed");
    });
    const answers = await Promise.all([1, 2, 3, 4].map(() => app.request("/")));
    assertEquals(answers.map(({ status }) => status), [200, 200, 200, 200]);
  }));
