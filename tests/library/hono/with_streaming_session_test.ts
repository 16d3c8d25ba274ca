/** Response bodies that are written while their rows are read from a real server. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Context, Hono } from "hono";
import {
  type Database,
  DeadlineError,
  ServerError,
  type Session,
  SessionEndedError,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import {
  type DatabaseVariables,
  provideDatabase,
  type StreamingSessionOptions,
  withStreamingSession,
} from "../../../src/library/hono/mod.ts";
import type { Branch } from "../../support/branch.ts";
import { branchDatabase } from "../../support/branch_database.ts";

const database = await branchDatabase();

type AppEnv = { Variables: DatabaseVariables };
type Handler = (c: Context<AppEnv>, session: Session) => Response | Promise<Response>;

/** Runs `work` on an app with one route, whose database has one connection. */
async function withApp(
  { options = {}, handler, env = {} }: {
    options?: StreamingSessionOptions;
    handler: Handler;
    env?: Record<string, string>;
  },
  work: (
    app: Hono<AppEnv>,
    context: { db: Database; branch: Branch; errors: Error[] },
  ) => Promise<void>,
): Promise<void> {
  await using branch = await database.connect();
  const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0", ...env });
  const errors: Error[] = [];
  const app = new Hono<AppEnv>();
  app.use(provideDatabase(db));
  app.get("/", (c) => withStreamingSession(c, (session) => handler(c, session), options));
  app.onError((error, c) => {
    errors.push(error);
    return c.text("failed", 500);
  });
  await work(app, { db, branch, errors });
  // Times out if the lease of the only connection was not returned.
  await db.session({ readOnly: true }).commit([sql`select 1`]);
}

async function* lines(session: Session, rows: string): AsyncGenerator<Uint8Array> {
  const encoder = new TextEncoder();
  const numbers = trustedSql<{ n: number }>(rows);
  for await (const { n } of session.stream(numbers, { batchSize: 2 })) {
    yield encoder.encode(`${n}\n`);
  }
}

function streaming(rows: string): Handler {
  return (c, session) => {
    c.header("X-Rows", "numbers");
    return c.body(ReadableStream.from(lines(session, rows)));
  };
}

const FIVE = "select n from generate_series(1, 5) n";
const ENDLESS = "select n from generate_series(1, 1000000000) n";

Deno.test("a body is written while its rows are read, and the session ends with the body", () =>
  withApp({ handler: streaming(FIVE) }, async (app, { db }) => {
    const response = await app.request("/");
    assertEquals([response.status, response.headers.get("X-Rows")], [200, "numbers"]);
    assertEquals(await response.text(), "1\n2\n3\n4\n5\n");
    assert(db.stats().counters.connected <= 1);
  }));

Deno.test("the session of a streamed body is read only", () =>
  withApp({
    handler: streaming(
      "insert into users (id, email, name) values (null, '', '') returning 1 as n",
    ),
  }, async (app) => {
    const response = await app.request("/");
    const error = await assertRejects(() => response.text(), ServerError);
    assertEquals(error.sqlState, "25006");
  }));

Deno.test("if the reader cancels, the server stops its work and the lease is returned", () =>
  withApp({ handler: streaming(`${FIVE} where n < 3 or pg_sleep(60) is null`) }, async (
    app,
    { branch },
  ) => {
    const reader = (await app.request("/")).body!.getReader();
    await reader.read();
    await reader.read();
    const blocked = reader.read();
    await untilSleeping(branch, 1);
    await reader.cancel("the client has left");
    assertEquals((await blocked).done, true);
    await untilSleeping(branch, 0);
  }));

Deno.test("a body that is not finished within bodyTimeoutMs breaks off, and the lease is returned", () =>
  withApp({ handler: streaming(ENDLESS), options: { bodyTimeoutMs: 50 } }, async (app, { db }) => {
    const reader = (await app.request("/")).body!.getReader();
    const error = await assertRejects(async () => {
      while (!(await reader.read()).done);
    }, DeadlineError);
    assertEquals(error.message, "Cannot finish the body within 50 ms");
    await db.session({ readOnly: true }).commit([sql`select 1`]);
  }));

Deno.test("a body that is never read returns its lease within bodyTimeoutMs", () =>
  withApp({ handler: streaming(ENDLESS), options: { bodyTimeoutMs: 50 } }, async (app, { db }) => {
    const response = await app.request("/");
    await db.session({ readOnly: true }).commit([sql`select 1`]);
    await assertRejects(() => response.text(), DeadlineError);
  }));

Deno.test("a body whose rows fail breaks off with an error for its reader", () =>
  withApp({ handler: streaming("select 1 / (4 - n) as n from generate_series(1, 9) n") }, async (
    app,
  ) => {
    const response = await app.request("/");
    await assertRejects(() => response.text(), ServerError, "division by zero");
  }));

Deno.test("HEAD reads no body and holds no lease", () =>
  withApp({ handler: streaming(ENDLESS) }, async (app) => {
    const response = await app.request("/", { method: "HEAD" });
    assertEquals([response.headers.get("X-Rows"), response.body], ["numbers", null]);
  }));

Deno.test("a response without a body, or with a complete one, ends the session too", async () => {
  for (
    const [handler, text] of [
      [(c: Context) => c.body(null, 204), ""],
      [
        async (c: Context, session: Session) => c.json(await session.query(sql`select 1 as n`)),
        '[{"n":1}]',
      ],
    ] as const
  ) {
    await withApp({ handler }, async (app) => {
      assertEquals(await (await app.request("/")).text(), text);
    });
  }
});

Deno.test("a handler that throws after a statement returns its lease, and does not run again", async () => {
  let runs = 0;
  const failure = new Error("from the handler");
  await withApp({
    handler: async (_c, session) => {
      runs++;
      await session.query(sql`select 1`);
      throw failure;
    },
  }, async (app, { errors }) => {
    assertEquals((await app.request("/")).status, 500);
    assertEquals([runs, ...errors], [1, failure]);
  });
});

Deno.test("a session that has ended with its body refuses statements", async () => {
  let kept: Session | undefined;
  await withApp({
    handler: (c, session) => {
      kept = session;
      return streaming(FIVE)(c, session);
    },
  }, async (app) => {
    await (await app.request("/")).text();
    await assertRejects(() => kept!.query(sql`select 1`), SessionEndedError);
  });
});

for (
  const [options, status] of [
    [{ isolation: "serializable" }, 500],
    [{ isolation: "serializable", deferrable: true }, 200],
    [{ isolation: "repeatable read" }, 200],
  ] as const
) {
  Deno.test(`a streamed body with ${JSON.stringify(options)} is answered with ${status}`, () =>
    withApp({ handler: streaming(FIVE), options }, async (app, { errors }) => {
      const response = await app.request("/");
      assertEquals(response.status, status);
      await response.text();
      assertEquals(
        errors.map(({ message }) => message.includes("deferrable: true")),
        status === 500 ? [true] : [],
      );
    }));
}

async function untilSleeping(branch: Branch, count: number): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const [row] = await branch.asAdmin<{ count: number }>(
      `select count(*)::int as count from pg_stat_activity
       where wait_event = 'PgSleep' and datname = current_database()`,
    );
    if (row?.count === count) return;
  }
  throw new Error(`Cannot continue as the server does not run ${count} sleeping statements`);
}
