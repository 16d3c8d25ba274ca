/** An app of a consumer, on Deno. */
import { ServerError, type Session, sql } from "@user-service/db";
import { openDatabase } from "@user-service/db/deno";
import {
  databaseProblem,
  provideDatabase,
  respondWithProblem,
  withSession,
} from "@user-service/db/hono";
import { Hono } from "hono";

const db = openDatabase({
  url: process.env["DATABASE_URL"]!,
  wsProxy: process.env["RELAY"],
  pool: { size: 2 },
});

const app = new Hono().use(provideDatabase(db)).get(
  "/:id",
  (c) =>
    withSession(c, async (session: Session) => {
      const row = await session.one(
        sql<{ n: number }>`select 10 / ${Number(c.req.param("id"))}::int as n`,
      );
      return c.json({ n: row.n });
    }, { readOnly: true }),
);
app.onError((error, c) => {
  const problem = databaseProblem(error);
  return problem === undefined
    ? c.text(error instanceof ServerError ? error.sqlState : "failed", 500)
    : respondWithProblem(c, problem);
});

const answers: string[] = [];
for (const path of ["/5", "/0"]) answers.push(await (await app.request(path)).text());
const { rows, rowCount, columns } = await db.transaction(
  (session) => session.execute(sql`select 1 as a, 2 as a`, { rowMode: "array" }),
  { readOnly: true },
);
await db.close();
console.log(JSON.stringify({ answers, rows, rowCount, columns: columns.map(({ name }) => name) }));
