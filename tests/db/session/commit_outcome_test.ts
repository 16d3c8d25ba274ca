/**
 * A lost COMMIT on a real server: the unit takes effect once and succeeds, or the caller learns that the outcome is
 * unknown.
 */
import { assertEquals, assertRejects } from "@std/assert";
import {
  CommitOutcomeUnknownError,
  CommitRowsLostError,
  type Database,
  DeadlineError,
  type Session,
  sql,
} from "../../../src/db/mod.ts";
import { type FaultBranch, faultBranch } from "../../support/fault_branch.ts";
import { rowsInTheEnd, rowsOf } from "../../support/fault_fixture.ts";
import {
  answer,
  bindOf,
  COMMIT,
  COMMITTED,
  dropAfter,
  dropBefore,
  type Fault,
  hold,
  pass,
  type Point,
} from "../../support/fault_relay.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

function insert(name: string) {
  return sql<{ name: string }>`insert into users (id, email, name)
    values (gen_random_uuid(), gen_random_uuid()::text, ${name}) returning name`;
}

const TERMINATED = answer({
  severity: "FATAL",
  sqlState: "57P01",
  message: "terminating connection due to administrator command",
});

/** With one warm connection, so that no login is part of the flight. */
async function opened(branch: FaultBranch, env = {}): Promise<Database> {
  const db = branch.open(env);
  await db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true });
  return db;
}

type Unit = readonly [what: string, work: (session: Session, name: string) => Promise<unknown>];

const IN_TWO_FLIGHTS: Unit = ["a write, then COMMIT", async (session, name) => {
  const rows = await session.query(insert(name));
  await session.commit();
  return rows;
}];
const IN_ONE_FLIGHT: Unit = ["a write with its COMMIT", async (session, name) => {
  const [rows] = await session.commit([insert(name)]);
  return rows;
}];

for (
  const [what, point, fault, runs, units] of [
    ["answer dropped after the server committed", COMMITTED, dropBefore(), 1, [
      IN_TWO_FLIGHTS,
      IN_ONE_FLIGHT,
    ]],
    ["FATAL in place of the answer to COMMIT", COMMITTED, TERMINATED, 1, [
      IN_TWO_FLIGHTS,
      IN_ONE_FLIGHT,
    ]],
    ["COMMIT dropped before it reached the server", COMMIT, dropBefore(), 2, [IN_TWO_FLIGHTS]],
  ] as const satisfies readonly (readonly [string, Point, Fault, number, readonly Unit[]])[]
) {
  for (const [unit, work] of units) {
    Deno.test(`${what}: ${unit} succeeds and takes effect once`, async () => {
      await using branch = await faultBranch(database);
      const db = await opened(branch);
      const armed = branch.relay.when(point, fault);
      const name = `${what}, ${unit}`;
      let attempts = 0;
      let hooks = 0;
      const rows = await db.transaction((session) => {
        attempts++;
        session.afterCommit(() => void hooks++);
        return work(session, name);
      });
      assertEquals(rows, [{ name }]);
      assertEquals([armed.strikes, attempts, hooks], [1, runs, 1]);
      assertEquals(await rowsOf(branch, name), 1);
    });
  }
}

Deno.test("a COMMIT that is held until the client has timed out has no effect when it is released", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch, { DATABASE_STATEMENT_TIMEOUT: "0.1" });
  const name = "held";
  const armed = branch.relay.when(COMMIT, hold());
  await assertRejects(
    () =>
      db.transaction(async (session) => {
        await session.query(insert(name));
        await session.commit();
      }),
    DeadlineError,
    "no answer within",
  );
  armed.release();
  const [{ open } = { open: -1 }] = await branch.asAdmin<{ open: number }>(
    `select count(*)::int as open from pg_stat_activity
     where datname = current_database() and state like 'idle in transaction%'`,
  );
  assertEquals(open, 0, "no backend is left that could still commit");
  assertEquals(await rowsOf(branch, name), 0);
});

Deno.test("a caller that aborts during COMMIT gets CommitOutcomeUnknownError with the xid", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const armed = branch.relay.when(COMMITTED, hold());
  const gaveUp = new AbortController();
  const unit = assertRejects(
    () =>
      db.transaction(async (session) => {
        await session.query(insert("gave up"));
        await session.commit();
      }, { signal: gaveUp.signal }),
    CommitOutcomeUnknownError,
  );
  await armed.struck();
  gaveUp.abort();
  const { xid, reason, message } = await unit;
  assertEquals(reason, "gave up");
  assertEquals(message.includes(`pg_xact_status('${xid}')`), true);
  const [row] = await branch.asAdmin<{ status: string }>(
    `select pg_xact_status('${xid}'::xid8) as status`,
  );
  assertEquals(row?.status, "committed");
  assertEquals(await rowsOf(branch, "gave up"), 1);
});

Deno.test("after a replay the xid of the first try is not looked up", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "sent again";
  // Only the end of the first answer is dropped, so that the client has read the lost transaction's xid.
  const first = branch.relay.when(
    { direction: "toClient", kind: "ReadyForQuery", statement: /^insert into users/m },
    dropBefore(),
  );
  const last = branch.relay.when(COMMITTED, dropBefore());
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    await session.query(insert(name));
    await session.commit();
  });
  assertEquals([first.strikes, last.strikes, runs], [1, 1, 1]);
  assertEquals(db.stats().replayed, 1);
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("after a replay that assigns no xid, the xid of the first try is not looked up", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "sent again, and had none";
  await branch.asAdmin("create sequence turns");
  await branch.asAdmin("grant usage on turns to user_service");
  const first = branch.relay.when(
    { direction: "toClient", kind: "ReadyForQuery", statement: /^select case/m },
    dropBefore(),
  );
  const last = branch.relay.when(COMMITTED, dropBefore());
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    // As a `for update skip locked` that finds its row locked by the lost flight's own transaction.
    await session.query(sql`select case when nextval('turns') = 1 then pg_current_xact_id() end`);
    await session.query(insert(name));
    await session.commit();
  });
  assertEquals([first.strikes, last.strikes, runs], [1, 1, 1]);
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("after a replay that fails in a savepoint, the xid of the first try is not looked up", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "sent again, and failed";
  await branch.asAdmin("create sequence tries");
  await branch.asAdmin("grant usage on tries to user_service");
  const first = branch.relay.when(
    { direction: "toClient", kind: "ReadyForQuery", statement: /^select 1 \//m },
    dropBefore(),
  );
  const last = branch.relay.when(COMMITTED, dropBefore());
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    await session.savepoint((inner) =>
      // Divides by zero at the second call.
      inner.query(sql`select 1 / (nextval('tries') - 2), pg_current_xact_id()`)
    ).catch(() => {});
    await session.query(insert(name));
    await session.commit();
  });
  assertEquals([first.strikes, last.strikes, runs], [1, 1, 1]);
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("the xid of a write that is rolled back to a savepoint is known", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const armed = branch.relay.when(COMMITTED, dropBefore());
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    await session.savepoint(async (inner) => {
      await inner.query(insert("undone"));
      await inner.query(sql`select 1 / 0`);
    }).catch(() => {});
    await session.commit();
  });
  assertEquals([armed.strikes, runs], [1, 1]);
  assertEquals(await rowsOf(branch, "undone"), 0);
});

Deno.test("a lost COMMIT after NOTIFY alone has an unknown outcome", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  branch.relay.when(COMMITTED, dropBefore());
  const { reason } = await assertRejects(
    () =>
      db.transaction(async (session) => {
        await session.query(sql`select pg_notify('told', 'once')`);
        await session.commit();
      }),
    CommitOutcomeUnknownError,
  );
  assertEquals(reason, "no xid");
});

Deno.test("if only the rows are lost with COMMIT, the caller gets CommitRowsLostError and the work is not repeated", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "rows lost";
  let runs = 0;
  await assertRejects(
    () =>
      db.transaction(async (session) => {
        runs++;
        await session.query(insert(name));
        // Drops only the server's messages, from the first one of the answer on.
        branch.relay.when({ direction: "toClient" }, dropAfter());
        await session.commit([sql`select name from users`]);
      }),
    CommitRowsLostError,
    "do not repeat the work",
  );
  assertEquals(runs, 1);
  assertEquals(await rowsInTheEnd(branch, { name, expected: 1 }), 1);
});

Deno.test("committed rows that a parser cannot read are told so also if the answer to COMMIT was lost", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "unreadable";
  branch.relay.when(COMMITTED, dropBefore());
  const parsers = {
    25: () => {
      throw new Error("from the parser");
    },
  };
  let runs = 0;
  let hooks = 0;
  await assertRejects(
    () =>
      db.transaction((session) => {
        runs++;
        session.afterCommit(() => void hooks++);
        return session.commit([insert(name)]);
      }, { parsers }),
    CommitRowsLostError,
    "a parser failed",
  );
  assertEquals([runs, hooks], [1, 1]);
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("the rows of a COMMIT answered with 40003 are its own, not those of an earlier lost flight", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  branch.relay.when(
    { direction: "toClient", kind: "ReadyForQuery", statement: /^select 'first/m },
    dropBefore(),
  );
  branch.relay.when(COMMITTED, answer({ sqlState: "40003", message: "completion unknown" }));
  const rows = await db.transaction(async (session) => {
    await session.query(sql`select 'first' as name`);
    await session.query(insert("first"));
    return await session.commit([sql<{ name: string }>`select 'last' as name`]);
  });
  assertEquals(rows, [[{ name: "last" }]]);
  assertEquals([db.stats().replayed, db.stats().resolved], [1, 1]);
});

Deno.test("work that a statement's text has committed is not retried", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "committed by a text";
  let runs = 0;
  await assertRejects(() =>
    db.transaction((session) => {
      runs++;
      return session.batch([
        insert(name),
        sql`commit`,
        sql`do $$ begin raise exception using errcode = '40001'; end $$`,
      ]);
    })
  );
  assertEquals(runs, 1);
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("a read-only session sends no xid query", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const armed = branch.relay.when(
    { ...bindOf(/pg_current_xact_id/), times: Infinity },
    dropBefore(),
  );
  await db.transaction((session) => session.query(sql`select 1`), { readOnly: true });
  assertEquals(armed.strikes, 0);
});

Deno.test("a writing session sends the xid query until it has an xid, and no longer", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const asked: number[] = [];
  await db.transaction(async (session) => {
    const flights = [sql`select 1`, insert("asks"), sql`select 2`];
    for (const statement of flights) {
      const armed = branch.relay.when(
        { ...bindOf(/pg_current_xact_id/), times: Infinity },
        pass(),
      );
      await session.query(statement);
      asked.push(armed.strikes);
      armed.clear();
    }
    await session.commit();
  });
  assertEquals(asked, [1, 1, 0]);
});
