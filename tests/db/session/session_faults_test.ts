/**
 * An ERROR, or a lost connection, at each flight of a session: the caller's error, the rows in the database, and
 * whether the connection is kept. The caller gets the first error, whatever follows it. FATAL errors and frozen or slow
 * servers are in `fault_matrix_test.ts`.
 */
import { assertEquals } from "@std/assert";
import { type Database, type Session, type Sql, sql } from "../../../src/db/mod.ts";
import { faultBranch } from "../../support/fault_branch.ts";
import { rowsInTheEnd } from "../../support/fault_fixture.ts";
import {
  answer,
  BEGIN,
  bindOf,
  COMMIT,
  dropBefore,
  hold,
  type MessagePoint,
} from "../../support/fault_relay.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

const POINTS: Readonly<Record<string, MessagePoint>> = {
  BEGIN,
  "the first statement": bindOf(/^insert/),
  SAVEPOINT: bindOf(/^savepoint/),
  RELEASE: bindOf(/^release/),
  "ROLLBACK TO": bindOf(/^rollback to/),
  COMMIT,
  ROLLBACK: bindOf(/^ROLLBACK$/),
};

const FAULTS = {
  ERROR: () => answer({ sqlState: "XX000", message: "from the relay" }),
  cut: () => dropBefore(),
};

/** The caller's error, the rows in the end, and the connections that the pool has kept. */
type Outcome = readonly [error: string, rows: number, idle: number];

const DONE: Outcome = ["nothing", 2, 1];
const SERVER_ERROR: Outcome = ["ServerError", 0, 1];
const LOST: Outcome = ["ConnectionLostError", 0, 0];
/** The connection on which the outcome was looked up is kept. */
const NOT_COMMITTED: Outcome = ["ConnectionLostError", 0, 1];

/** Two rows, the second in a savepoint. */
async function write(session: Session, insert: Sql): Promise<void> {
  await session.query(insert);
  await session.savepoint((inner) => inner.query(insert));
}

const units: Record<string, {
  work(session: Session, insert: Sql): Promise<void>;
  outcomes: Readonly<Record<string, Readonly<Record<keyof typeof FAULTS, Outcome>>>>;
}> = {
  "that commits": {
    async work(session, insert) {
      await write(session, insert);
      await session.commit();
    },
    outcomes: {
      // The connection was idle before, so the first flight is sent again on a new one.
      BEGIN: { ERROR: SERVER_ERROR, cut: DONE },
      "the first statement": { ERROR: SERVER_ERROR, cut: DONE },
      SAVEPOINT: { ERROR: SERVER_ERROR, cut: LOST },
      // RELEASE shares COMMIT's flight. If the connection is lost, the outcome is looked up.
      RELEASE: { ERROR: SERVER_ERROR, cut: NOT_COMMITTED },
      COMMIT: { ERROR: SERVER_ERROR, cut: NOT_COMMITTED },
    },
  },
  "that rolls back its savepoint, and commits": {
    async work(session, insert) {
      await session.query(insert);
      await session.savepoint(async (inner) => {
        await inner.query(insert);
        await inner.rollback();
      });
      await session.query(sql`select 1`);
      await session.commit();
    },
    outcomes: { "ROLLBACK TO": { ERROR: SERVER_ERROR, cut: LOST } },
  },
  "whose handler throws": {
    async work(session, insert) {
      await write(session, insert);
      throw new RangeError("from the handler");
    },
    outcomes: {
      ROLLBACK: { ERROR: ["RangeError", 0, 0], cut: ["RangeError", 0, 0] },
    },
  },
  "that calls rollback()": {
    async work(session, insert) {
      await write(session, insert);
      await session.rollback();
    },
    outcomes: {
      ROLLBACK: { ERROR: ["nothing", 0, 0], cut: ["nothing", 0, 0] },
    },
  },
};

async function runUnit(
  db: Database,
  work: (session: Session) => Promise<void>,
): Promise<string> {
  try {
    await using session = db.session();
    await work(session);
    return "nothing";
  } catch (error) {
    return (error as Error).name;
  }
}

for (const [unit, { work, outcomes }] of Object.entries(units)) {
  for (const [point, byFault] of Object.entries(outcomes)) {
    for (const [fault, expected] of Object.entries(byFault)) {
      const [error, rows, idle] = expected;
      Deno.test({
        name:
          `a session ${unit}, ${fault} at ${point}: ${error}, rows ${rows}, connections ${idle}`,
        timeout: 20_000,
        async fn() {
          await using branch = await faultBranch(database);
          const db = branch.open();
          await db.session({ readOnly: true }).commit([sql`select 1`]);
          const armed = branch.relay.when(POINTS[point]!, FAULTS[fault as keyof typeof FAULTS]());
          const name = `${unit}, ${fault} at ${point}`;
          const seen = await runUnit(db, (session) => work(session, insertOf(name)));
          assertEquals(armed.strikes, 1);
          const { leased, waiting, opening, idle } = db.stats();
          assertEquals([leased, waiting, opening], [0, 0, 0]);
          const found = await rowsInTheEnd(branch, { name, expected: rows });
          assertEquals([seen, found, idle], expected);
        },
      });
    }
  }
}

function insertOf(name: string) {
  return sql`insert into users (id, email, name)
    values (gen_random_uuid(), gen_random_uuid()::text, ${name})`;
}

Deno.test({
  name: "disposal during a running statement waits for it and rolls it back, also if called twice",
  timeout: 20_000,
  async fn() {
    await using branch = await faultBranch(database);
    const db = branch.open();
    await db.session({ readOnly: true }).commit([sql`select 1`]);
    const name = "disposed of while it ran";
    const armed = branch.relay.when(POINTS["the first statement"]!, hold());
    const session = db.session();
    const statement = session.query(insertOf(name));
    await armed.struck();
    const ends = [session[Symbol.asyncDispose](), session[Symbol.asyncDispose]()];
    assertEquals(db.stats().leased, 1);
    armed.release();
    await Promise.all([statement, ...ends]);
    assertEquals(await rowsInTheEnd(branch, { name, expected: 0 }), 0);
    assertEquals([db.stats().leased, db.stats().idle], [0, 1]);
  },
});

Deno.test({
  name: "the caller gets the handler's error although the connection died meanwhile",
  timeout: 20_000,
  async fn() {
    await using branch = await faultBranch(database);
    const db = branch.open();
    const name = "thrown beside a dead connection";
    const seen = await runUnit(db, async (session) => {
      await session.query(insertOf(name));
      for (const connection of branch.relay.openConnections) connection.cut();
      throw new RangeError("from the handler");
    });
    assertEquals(seen, "RangeError");
    assertEquals(await rowsInTheEnd(branch, { name, expected: 0 }), 0);
    assertEquals([db.stats().leased, db.stats().idle], [0, 0]);
  },
});
