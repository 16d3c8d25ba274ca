/** COMMIT shares its flight with other statements. If the server ends the connection during one of those, it never ran. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  ConnectionLostError,
  ServerError,
  type Session,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import { databaseProblem } from "../../../src/library/hono/database_problem.ts";
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";
import { ScriptedDriver } from "../../support/scripted_driver.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

const database = await localDatabase();
{
  await using branch = await database.connect();
  for (
    const text of [
      "create table notes (text text)",
      "create table counts (n int)",
      "insert into counts values (0)",
    ]
  ) await branch.asAdmin(text);
}

const note = sql`insert into notes values ('one')`;
const count = sql<{ n: number }>`update counts set n = n + 1 returning n`;

/** The row of `counts` is locked until the unit's backend waits for it, and `strike` has ended that. */
async function whileLocked(
  branch: LocalBranch,
  unit: () => Promise<unknown>,
  strike: (done: Promise<unknown>) => Promise<unknown>,
): Promise<unknown> {
  const holder = branch.open(branch.envOf("postgres")).session();
  await holder.query(sql`update counts set n = n`);
  const done = unit().catch((error) => error);
  await strike(done);
  await holder.rollback();
  return await done;
}

async function terminateWaiting(branch: LocalBranch): Promise<void> {
  const terminate = async () =>
    (await branch.asAdmin(`select pg_terminate_backend(pid, 5000) from pg_stat_activity
      where wait_event_type = 'Lock' and datname = current_database()`)).length > 0;
  assert(await pollUntil(terminate, { deadlineMs: 10_000, intervalMs: 5 }));
}

async function left(branch: LocalBranch): Promise<unknown> {
  const [row] = await branch.asAdmin(
    "select (select sum(n)::int from counts) as n, (select count(*)::int from notes) as notes",
  );
  return row;
}

const UNITS: Record<string, (session: Session) => Promise<unknown>> = {
  "the only statement beside COMMIT": (session) => session.commit([count]),
  "the second statement beside COMMIT": (session) => session.commit([note, count]),
  "a statement in front of a COMMIT in a text": async (session) => {
    await session.batch([count, sql`commit`]);
  },
  "a statement before a RELEASE and COMMIT": async (session) => {
    await session.savepoint((inner) => inner.query(sql`select 1`));
    await session.commit([count]);
  },
};

for (const [where, unit] of Object.entries(UNITS)) {
  Deno.test(`a backend that is terminated in ${where} has not committed, and the unit is run again`, async () => {
    await using branch = await database.connect();
    for (const text of ["truncate notes", "update counts set n = 0"]) await branch.asAdmin(text);
    const db = branch.open(branch.envOf("postgres"));
    let runs = 0;
    const result = await whileLocked(
      branch,
      () => db.transaction((session) => (runs++, unit(session))),
      () => terminateWaiting(branch),
    );
    const endsByText = where.includes("text");
    assertEquals(
      result instanceof Error ? result.name : "done",
      endsByText ? "SessionEndedError" : "done",
    );
    assertEquals([runs, db.stats().unknown], [2, 0]);
    assertEquals(await left(branch), { n: 1, notes: where.includes("second") ? 1 : 0 });
  });
}

Deno.test("a transaction that is too long in a statement beside COMMIT fails for good, and is told which limit", async () => {
  await using branch = await database.connect();
  const db = branch.open(branch.envOf("postgres"));
  const before = await left(branch);
  let runs = 0;
  const error = await whileLocked(
    branch,
    () =>
      db.transaction((session) => (runs++, session.commit([note, count])), {
        transactionTimeoutMs: 200,
      }),
    (done) => done,
  );
  assert(error instanceof ConnectionLostError, `${error}`);
  assert(error.message.includes("transaction timeout"), error.message);
  assertEquals(databaseProblem(error)?.status, 504);
  assertEquals([runs, await left(branch)], [1, before]);
});

/** What the connection says when it is cut. PostgreSQL names its function; a proxy does not. */
const FATAL = { severity: "FATAL", sqlState: "57P01", message: "terminating" };
const ENDS: readonly [
  what: string,
  at: string,
  fatal: ServerError | undefined,
  unknown: boolean,
][] = [
  [
    "PostgreSQL's FATAL in a statement",
    "two",
    new ServerError({ ...FATAL, routine: "ProcessInterrupts" }),
    false,
  ],
  [
    "PostgreSQL's FATAL in COMMIT",
    "commit",
    new ServerError({ ...FATAL, routine: "ProcessInterrupts" }),
    true,
  ],
  ["a proxy's FATAL in a statement", "two", new ServerError(FATAL), true],
  [
    "an ERROR, then the loss, in a statement",
    "two",
    new ServerError({ ...FATAL, severity: "ERROR", routine: "x" }),
    true,
  ],
  ["a loss without a word in a statement", "two", undefined, true],
];

for (const [what, at, fatal, isUnknown] of ENDS) {
  Deno.test(`${what} leaves the outcome of COMMIT ${isUnknown ? "open" : "known"}`, async () => {
    const driver = new ScriptedDriver({
      reply: ({ text }, connection) => {
        if (text === at) connection.cut({ begun: true, ...(fatal && { fatal }) });
        return undefined;
      },
    });
    await using db = databaseOf(poolOf(driver), {
      attempts: 2,
      resolveCommit: () => Promise.resolve({ outcome: "unknown", reason: "unreachable" }),
    });
    let runs = 0;
    const error = await assertRejects(() =>
      db.transaction((session) => {
        runs++;
        return session.commit([trustedSql("one"), trustedSql("two")]);
      })
    );
    assertEquals(
      (error as Error).name,
      isUnknown ? "CommitOutcomeUnknownError" : "ConnectionLostError",
    );
    assertEquals(runs, isUnknown ? 1 : 2);
  });
}
