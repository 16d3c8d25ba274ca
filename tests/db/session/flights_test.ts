/**
 * Round trips, counted at the relay: each message that the driver sends, and those sent while a lease was held. The
 * sessions here are not disposed: their leases must be returned without that.
 */
import { assertEquals } from "@std/assert";
import { type Database, type SessionOptions, sql, trustedSql } from "../../../src/db/mod.ts";
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

const insert = sql`insert into users (id, email, name)
  values (gen_random_uuid(), gen_random_uuid()::text, 'Ann')`;
const failing = trustedSql("insert into nowhere values (1)");
const users = sql`select * from generate_series(1, 5)`;

interface Flights {
  readonly what: string;
  readonly messages: number;
  /** The number of these messages that pass while the lease is held. */
  readonly held: number;
  readonly work: (db: Database, options: SessionOptions) => Promise<unknown>;
}

const cases: readonly Flights[] = [
  {
    what: "a single read",
    messages: 1,
    held: 1,
    work: (db, options) => db.session({ ...options, readOnly: true }).commit([sql`select 1`]),
  },
  {
    what: "a single read in a unit of work",
    messages: 1,
    held: 1,
    work: (db, options) =>
      db.transaction((session) => session.commit([sql`select 1`]), { ...options, readOnly: true }),
  },
  {
    what: "a write, then COMMIT",
    messages: 2,
    held: 2,
    async work(db, options) {
      const session = db.session(options);
      await session.query(insert);
      await session.commit();
    },
  },
  {
    what: "a write with COMMIT",
    messages: 1,
    held: 1,
    work: (db, options) => db.session(options).commit([insert]),
  },
  {
    what: "three dependent statements, then COMMIT",
    messages: 4,
    held: 4,
    async work(db, options) {
      const session = db.session(options);
      for (let turn = 0; turn < 3; turn++) await session.query(insert);
      await session.commit();
    },
  },
  {
    what: "a batch, then COMMIT",
    messages: 2,
    held: 2,
    async work(db, options) {
      const session = db.session(options);
      await session.batch([insert, insert, insert]);
      await session.commit();
    },
  },
  {
    what: "a write in a savepoint, then COMMIT",
    messages: 2,
    held: 2,
    async work(db, options) {
      const session = db.session(options);
      await session.savepoint((inner) => inner.query(insert));
      await session.commit();
    },
  },
  {
    what: "a write, one in each of two savepoints inside a third, then COMMIT",
    messages: 4,
    held: 4,
    async work(db, options) {
      const session = db.session(options);
      await session.query(insert);
      await session.savepoint(async (outer) => {
        await outer.savepoint((inner) => inner.query(insert));
        await outer.savepoint((inner) => inner.query(insert));
      });
      await session.commit();
    },
  },
  {
    what: "a failed write in a savepoint, then another write with COMMIT",
    messages: 2,
    held: 2,
    async work(db, options) {
      const session = db.session(options);
      await session.savepoint((inner) => inner.query(failing)).catch(() => {});
      await session.commit([insert]);
    },
  },
  {
    what: "five rows streamed two at a time, then COMMIT",
    messages: 4,
    held: 4,
    async work(db, options) {
      const session = db.session(options);
      await Array.fromAsync(session.stream(users, { batchSize: 2 }));
      await session.commit();
    },
  },
  {
    what: "a stream ended by break, then COMMIT",
    messages: 2,
    held: 2,
    async work(db, options) {
      const session = db.session(options);
      for await (const _ of session.stream(users, { batchSize: 2 })) break;
      await session.commit();
    },
  },
  {
    what: "a write that is rolled back",
    messages: 2,
    held: 2,
    async work(db, options) {
      const session = db.session(options);
      await session.query(insert);
      await session.rollback();
    },
  },
  {
    what: "a failed write, rolled back",
    messages: 2,
    held: 2,
    work: (db, options) => db.session(options).commit([failing]).catch(() => {}),
  },
];

const settings: Record<string, SessionOptions> = {
  "": {},
  " with its own settings": {
    isolation: "serializable",
    statementTimeoutMs: 1_000,
    lockTimeoutMs: 1_000,
    idleTransactionTimeoutMs: 1_000,
    transactionTimeoutMs: 2_000,
    locals: { "app.user": "Ann", "app.tenant": "7" },
  },
};

/** A database whose messages to the server are counted, in all and while a lease is held. */
async function counted(): Promise<{ branch: LocalBranch; db: Database; count: Count }> {
  const count = { messages: 0, held: 0 };
  const branch = await database.connect({
    observe: {
      message(_, direction) {
        if (direction !== "toServer") return;
        count.messages++;
        if (db.stats().leased > 0) count.held++;
      },
    },
  });
  const db = branch.open();
  return { branch, db, count };
}

interface Count {
  messages: number;
  held: number;
}

for (const isWarm of [true, false]) {
  for (const [suffix, options] of Object.entries(settings)) {
    for (const { what, messages, held, work } of cases) {
      const where = `on a ${isWarm ? "warm" : "cold"} connection${suffix}`;
      Deno.test(`${what}: ${messages} messages, ${held} round trips held, ${where}`, async () => {
        const { branch, db, count } = await counted();
        await using _ = branch;
        if (isWarm) await db.transaction((session) => session.commit([sql`select 1`]));
        Object.assign(count, { messages: 0, held: 0 });
        await work(db, options);
        assertEquals(db.stats().leased, 0);
        assertEquals(count, { messages, held });
        // Closing sends one more message, Terminate.
        await db.close({ timeoutMs: 5_000 });
        assertEquals(count, { messages: messages + 1, held });
      });
    }
  }
}
