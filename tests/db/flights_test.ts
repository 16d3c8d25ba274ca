/** Round trips, counted where they cannot be denied: each message that the driver sends through the relay. */
import { assertEquals } from "@std/assert";
import { type Database, sql, trustedSql } from "../../src/db/mod.ts";
import { localDatabase } from "../support/local_database.ts";

const database = await localDatabase();

const insert = sql`insert into users (id, email, name)
  values (gen_random_uuid(), gen_random_uuid()::text, 'Ann')`;

const flights: [what: string, messages: number, work: (db: Database) => Promise<unknown>][] = [
  ["a single read", 1, async (db) => {
    await using session = db.session({ readOnly: true });
    await session.commit([sql`select 1`]);
  }],
  [
    "a single read in a unit of work",
    1,
    (db) => db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true }),
  ],
  ["a write, then its commit", 2, async (db) => {
    await using session = db.session();
    await session.query(insert);
    await session.commit();
  }],
  ["a write with its commit", 1, async (db) => {
    await using session = db.session();
    await session.commit([insert]);
  }],
  ["three dependent statements, then their commit", 4, async (db) => {
    await using session = db.session();
    for (let turn = 0; turn < 3; turn++) await session.query(insert);
    await session.commit();
  }],
  ["a batch, then its commit", 2, async (db) => {
    await using session = db.session();
    await session.batch([insert, insert, insert]);
    await session.commit();
  }],
  ["a write that is rolled back", 2, async (db) => {
    await using session = db.session();
    await session.query(insert);
  }],
  ["a write with settings of its own", 1, async (db) => {
    await using session = db.session({
      isolation: "serializable",
      statementTimeoutMs: 1_000,
      locals: { "app.user": "Ann" },
    });
    await session.commit([insert]);
  }],
  ["a failed write, rolled back", 2, async (db) => {
    await using session = db.session();
    await session.commit([trustedSql("insert into nowhere values (1)")]).catch(() => {});
  }],
];

for (const isWarm of [true, false]) {
  for (const [what, messages, work] of flights) {
    Deno.test(`${what} is ${messages} messages on a ${isWarm ? "warm" : "cold"} connection`, async () => {
      let sent = 0;
      await using branch = await database.connect({
        observe: {
          message(_, direction) {
            if (direction === "toServer") sent++;
          },
        },
      });
      const db = branch.open();
      if (isWarm) await db.transaction((session) => session.commit([sql`select 1`]));
      sent = 0;
      await work(db);
      assertEquals(sent, messages);
      // Nothing follows but the goodbye.
      await db.close({ timeoutMs: 5_000 });
      assertEquals(sent, messages + 1);
    });
  }
}
