/** Prepared statements and PgBouncer in transaction mode, whose clients share server connections. */
import { assertEquals, assertNotEquals } from "@std/assert";
import {
  type Database,
  NeonDriver,
  type PrepareMode,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { pgBouncerTest } from "../../support/pgbouncer_case.ts";
import type { PgBouncerBranch } from "../../support/pgbouncer_database.ts";

let texts = 0;

/** Statements that this process has not sent before. */
function fresh(count: number) {
  return Array.from({ length: count }, () => {
    const n = ++texts;
    return { n, read: trustedSql<{ n: number }>(`select ${n} as n /* through a pooler */`) };
  });
}

/** Prepared statements on the server connections. */
async function leftPrepared(branch: PgBouncerBranch): Promise<string[]> {
  return (await branch.leftovers()).filter((what) => what.includes("prepared statement"));
}

async function readAll(
  db: Database,
  statements: ReturnType<typeof fresh>,
  { times }: { times: number },
): Promise<void> {
  for (let turn = 0; turn < times; turn++) {
    await Promise.all(statements.map(async ({ n, read }) => {
      const [[row]] = await db.transaction((session) => session.commit([read]));
      assertEquals(row, { n });
    }));
  }
}

async function connect({ env }: PgBouncerBranch, prepare: PrepareMode) {
  const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = env;
  const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true, prepare });
  return await driver.connect({ timeoutMs: 5_000 });
}

pgBouncerTest(
  "auto names nothing, as the pooler's process id is not the backend's",
  async (branch) => {
    const connection = await connect(branch, "auto");
    const { results } = await connection.flight([{
      text: "select pg_backend_pid() as pid",
      values: [],
    }]);
    assertNotEquals(results[0]!.rows[0]!["pid"], connection.processId);
    await connection.close({ timeoutMs: 5_000 });
    await readAll(branch.open(), fresh(20), { times: 5 });
    assertEquals(await branch.leftovers(), []);
  },
);

pgBouncerTest(
  "with on, a pooler that keeps no prepared statements costs no unit its result, and naming stops",
  async (branch) => {
    const db = branch.open({ DATABASE_PREPARE: "on", DATABASE_POOL_SIZE: "12" });
    const statements = fresh(20);
    await readAll(db, statements, { times: 10 });
    // Writes are done once.
    const name = `through a pooler ${++texts}`;
    const insert = sql`insert into users (id, email, name)
      values (gen_random_uuid(), gen_random_uuid()::text, ${name})`;
    await Promise.all(Array.from({ length: 40 }, () =>
      db.transaction(async (session) => {
        await session.query(insert);
        await session.commit();
      })));
    const [row] = await branch.asAdmin(
      `select count(*)::int as count from users where name = '${name}'`,
    );
    assertEquals(row, { count: 40 });
    const before = await leftPrepared(branch);
    await readAll(db, fresh(20), { times: 5 });
    // Those of before may have been closed meanwhile.
    const after = await leftPrepared(branch);
    assertEquals(after.filter((what) => !before.includes(what)), []);
  },
);

pgBouncerTest(
  "two clients that both name statements never get each other's answers",
  async (branch) => {
    const settings = { DATABASE_PREPARE: "on", DATABASE_POOL_SIZE: "8" };
    const [one, other] = [branch.open(settings), branch.open(settings)];
    await Promise.all([
      readAll(one, fresh(20), { times: 10 }),
      readAll(other, fresh(20), { times: 10 }),
    ]);
  },
);
