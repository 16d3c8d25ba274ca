/** A lost COMMIT, on a real server: the unit is there once and its author is told so, or nobody can tell and he is told that. */
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

const GOODBYE = answer({
  severity: "FATAL",
  sqlState: "57P01",
  message: "terminating connection due to administrator command",
});

/** Warm, so that the login is over. */
async function opened(branch: FaultBranch, env = {}): Promise<Database> {
  const db = branch.open(env);
  await db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true });
  return db;
}

type Way = readonly [what: string, work: (session: Session, name: string) => Promise<unknown>];

const IN_TWO_FLIGHTS: Way = ["a write, then COMMIT", async (session, name) => {
  const rows = await session.query(insert(name));
  await session.commit();
  return rows;
}];
const IN_ONE_FLIGHT: Way = ["a write with its COMMIT", async (session, name) => {
  const [rows] = await session.commit([insert(name)]);
  return rows;
}];

for (
  const [what, point, fault, runs, ways] of [
    ["answer dropped after the server committed", COMMITTED, dropBefore(), 1, [
      IN_TWO_FLIGHTS,
      IN_ONE_FLIGHT,
    ]],
    ["goodbye in place of its answer", COMMITTED, GOODBYE, 1, [IN_TWO_FLIGHTS, IN_ONE_FLIGHT]],
    ["COMMIT dropped before it reached the server", COMMIT, dropBefore(), 2, [IN_TWO_FLIGHTS]],
  ] as const satisfies readonly (readonly [string, Point, Fault, number, readonly Way[]])[]
) {
  for (const [way, work] of ways) {
    Deno.test(`${what}: ${way} succeeds, and is there once`, async () => {
      await using branch = await faultBranch(database);
      const db = await opened(branch);
      const armed = branch.relay.when(point, fault);
      const name = `${what}, ${way}`;
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

Deno.test("a COMMIT that is held until its sender has given up does nothing when it is let go", async () => {
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
  assertEquals(open, 0, "no ghost is left that could still commit");
  assertEquals(await rowsOf(branch, name), 0);
});

Deno.test("whoever gives up while COMMIT is on its way is told that nobody can tell, and by which id to ask", async () => {
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

Deno.test("the id of a first flight that was lost and sent again is not the one that is asked about", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "sent again";
  // All of the first answer but its end, so that the lost transaction's id is heard.
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

Deno.test("an id that only the lost one of two first flights had is not asked about", async () => {
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

Deno.test("the id is learned of a write that is rolled back to a savepoint, too", async () => {
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

Deno.test("a lost COMMIT of nothing but a NOTIFY is of unknown outcome", async () => {
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

Deno.test("rows that are lost with their COMMIT are not made up, and the work is not done again", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const name = "rows lost";
  let runs = 0;
  await assertRejects(
    () =>
      db.transaction(async (session) => {
        runs++;
        await session.query(insert(name));
        // Only the way back is cut, at the first word of an answer.
        branch.relay.when({ direction: "toClient" }, dropAfter());
        await session.commit([sql`select name from users`]);
      }),
    CommitRowsLostError,
    "do not repeat the work",
  );
  assertEquals(runs, 1);
  assertEquals(await rowsInTheEnd(branch, { name, expected: 1 }), 1);
});

Deno.test("rows that could not be read are not made up where the answer to their COMMIT was lost", async () => {
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
    TypeError,
    "its parser failed",
  );
  assertEquals([runs, hooks], [1, 1]);
  assertEquals(await rowsOf(branch, name), 1);
});

Deno.test("rows of an answered COMMIT of unknown completion are its own, not those of a flight that was lost before", async () => {
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

Deno.test("work that was committed by a statement's own text is not done again", async () => {
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

Deno.test("a reading session asks for no id", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const armed = branch.relay.when(
    { direction: "toServer", kind: "Parse", text: /pg_current_xact_id/, times: Infinity },
    dropBefore(),
  );
  await db.transaction((session) => session.query(sql`select 1`), { readOnly: true });
  assertEquals(armed.strikes, 0);
});

Deno.test("a writing session asks for its id until it has one, and no longer", async () => {
  await using branch = await faultBranch(database);
  const db = await opened(branch);
  const asked: number[] = [];
  await db.transaction(async (session) => {
    const flights = [sql`select 1`, insert("asks"), sql`select 2`];
    for (const statement of flights) {
      const armed = branch.relay.when(
        { direction: "toServer", kind: "Parse", text: /pg_current_xact_id/, times: Infinity },
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
