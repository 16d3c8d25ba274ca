import { assert, assertEquals } from "@std/assert";
import { sql } from "../../src/db/mod.ts";
import { FIRST_USER, takeEvents, takeFirstEvents } from "../../src/queue/outbox.ts";
import { localDatabase } from "../support/local_database.ts";
import { writeEvents } from "./events.ts";

const database = await localDatabase();

interface PlanNode {
  readonly "Actual Rows": number;
  readonly "Actual Loops": number;
  readonly "Rows Removed by Filter"?: number;
  readonly Plans?: readonly PlanNode[];
}

/** The highest number of rows that one step of the plan read. */
function mostRead(node: PlanNode): number {
  const seen = node["Actual Rows"] + (node["Rows Removed by Filter"] ?? 0);
  return Math.max(seen * node["Actual Loops"], ...(node.Plans ?? []).map(mostRead));
}

Deno.test("takeFirstEvents() reads no event that waits behind a user's first", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 3, versions: 2_000 });
  await branch.asAdmin("analyze user_events");
  await using session = branch.open().session();
  const take = takeFirstEvents({ limit: 20, leaseMs: 1_000, after: FIRST_USER });
  const [row] = await session.query(
    sql<{ "QUERY PLAN": [{ Plan: PlanNode }] }>`explain (analyze, format json) ${take}`,
  );
  const most = mostRead(row!["QUERY PLAN"][0].Plan);
  assert(most <= 10, `${most} rows were read`);
  await session.rollback();
  await branch.asAdmin("delete from user_events");
});

Deno.test("takeFirstEvents() starts after the given user, and returns no event twice during its lease", async () => {
  await using branch = await database.connect();
  const users = (await writeEvents(branch, { users: 5, versions: 2 })).sort();
  const db = branch.open();
  const take = async (after: string) => {
    const options = { limit: 2, leaseMs: 60_000, after };
    const [rows] = await db.transaction((session) => session.commit([takeFirstEvents(options)]));
    return rows.map(({ userId, version }) => `${users.indexOf(userId)} v${version}`).sort();
  };
  assertEquals(await take(users[1]!), ["2 v1", "3 v1"]);
  assertEquals(await take(users[3]!), ["4 v1"]);
  assertEquals(await take(users[4]!), []);
  assertEquals(await take(FIRST_USER), ["0 v1", "1 v1"]);
  assertEquals(await take(FIRST_USER), []);
  await branch.asAdmin("delete from user_events");
});

Deno.test("takeEvents() takes the events that have been due longest, also those that are due just now", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 1, versions: 3 });
  await branch.asAdmin("update user_events set due_at = now() - version * interval '1 min'");
  await using session = branch.open().session();
  await session.query(sql`
    insert into user_events (user_id, version, type, data)
    values (gen_random_uuid(), 9, 'user.deleted', '{}')`);
  const versions: number[] = [];
  for (let call = 0; call < 4; call++) {
    const [row] = await session.query(takeEvents({ limit: 1, leaseMs: 60_000 }));
    versions.push(row!.version);
  }
  assertEquals(versions, [3, 2, 1, 9]);
  await session.rollback();
  await branch.asAdmin("delete from user_events");
});

Deno.test("takeFirstEvents() finds events behind those that another transaction is just taking", async () => {
  await using branch = await database.connect();
  const users = (await writeEvents(branch, { users: 6, versions: 1 })).sort();
  const db = branch.open();
  await using one = db.session();
  await using two = db.session();
  const take = takeFirstEvents({ limit: 2, leaseMs: 60_000, after: FIRST_USER });
  const indexes: number[][] = [];
  for (const session of [one, two]) {
    const rows = await session.query(take);
    indexes.push(rows.map(({ userId }) => users.indexOf(userId)).sort());
  }
  assertEquals(indexes, [[0, 1], [2, 3]]);
  await one.rollback();
  await two.rollback();
  await branch.asAdmin("delete from user_events");
});

Deno.test("takeEvents() takes due events of any version, and none that is leased", async () => {
  await using branch = await database.connect();
  await writeEvents(branch, { users: 1, versions: 5 });
  await branch.asAdmin("update user_events set due_at = now() + interval '1 h' where version = 4");
  const db = branch.open();
  const take = async () => {
    const [rows] = await db.transaction((session) =>
      session.commit([takeEvents({ limit: 3, leaseMs: 60_000 })])
    );
    return rows.length;
  };
  assertEquals([await take(), await take(), await take()], [3, 1, 0]);
  await branch.asAdmin("delete from user_events");
});
