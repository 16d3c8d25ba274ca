/** Which statements a connection names, and what happens when the server no longer has them as they were. */
import { assert, assertEquals, assertInstanceOf, assertMatch, assertNotEquals } from "@std/assert";
import { ServerError } from "../../../src/db/errors.ts";
import type { Connection, FlightAnswer, FlightPart } from "../../../src/db/driver/driver.ts";
import {
  type Database,
  NeonDriver,
  type PrepareMode,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { type LocalBranch, localDatabase } from "../../support/local_database.ts";
import { WireLog } from "../../support/wire_log.ts";

const database = await localDatabase();

let texts = 0;

/** A text that this process has not sent before. */
function fresh(text: string): string {
  return `${text} /* ${++texts} */`;
}

const UNNAMED = "Parse Bind Describe Execute";
const NAMED_FIRST = "Close* Parse* Bind* Describe Execute";
const NAMED = "Bind* Execute";

interface Place {
  readonly branch: LocalBranch;
  readonly connection: Connection;
  /** Runs texts, or parts, in one flight. */
  run(...parts: (string | FlightPart)[]): Promise<FlightAnswer>;
  readonly log: WireLog;
}

/** A test on one connection that has found out whether it is direct. */
function onConnection(
  name: string,
  test: (place: Place) => Promise<void>,
  { prepare = "auto" }: { prepare?: PrepareMode } = {},
): void {
  Deno.test(name, async () => {
    const log = new WireLog();
    await using branch = await database.connect({ observe: log.observe });
    const { DATABASE_URL: url, DATABASE_WS_PROXY: wsProxy } = branch.env;
    const driver = new NeonDriver({ url: url!, wsProxy, pipelineConnect: true, prepare });
    const connection = await driver.connect({ timeoutMs: 5_000 });
    const run = (...parts: (string | FlightPart)[]) =>
      connection.flight(
        parts.map((part) => typeof part === "string" ? { text: part, values: [] } : part),
      );
    try {
      await run("begin", "rollback");
      log.take();
      await test({ branch, connection, run, log });
    } finally {
      await connection.close({ timeoutMs: 5_000 });
    }
  });
}

async function rowsOf(answer: Promise<FlightAnswer>): Promise<unknown[]> {
  const { results, error } = await answer;
  if (error !== undefined) throw error;
  return results.at(-1)!.rows;
}

/** The prepared statements that the server has for the connection. */
async function prepared({ run }: Place): Promise<number> {
  const text = "select count(*)::int as count from pg_prepared_statements";
  const [row] = await rowsOf(run({ text, values: [], prepare: false }));
  return (row as { count: number }).count;
}

onConnection(
  "a text is sent itself the first time, named the second time, and by its name from then on",
  async ({ run, log }) => {
    const text = fresh("select $1::int as n, 'x' as x");
    for (let n = 1; n <= 4; n++) {
      assertEquals(await rowsOf(run({ text, values: [n] })), [{ n, x: "x" }]);
    }
    assertEquals(log.take(), [UNNAMED, NAMED_FIRST, NAMED, NAMED].map((sent) => `${sent} Sync`));
  },
);

onConnection("a statement without rows is described once too", async ({ run, log }) => {
  await run("create temporary table quiet (n int)");
  log.take();
  const text = fresh("insert into quiet values (1)");
  for (let turn = 0; turn < 3; turn++) assertEquals((await run(text)).results[0]!.rowCount, 1);
  assertEquals(log.take(), [UNNAMED, NAMED_FIRST, NAMED].map((sent) => `${sent} Sync`));
});

onConnection("a text that is twice in a flight is parsed once", async ({ run, log }) => {
  const text = fresh("select 1 as one");
  await run(text);
  const { results, error } = await run(text, text);
  assertEquals([results.map(({ rows }) => rows), error], [[[{ one: 1 }], [{ one: 1 }]], undefined]);
  assertEquals(log.take()[1], `${NAMED_FIRST} Bind* Describe Execute Sync`);
});

onConnection("a Parse that the server skipped counts as not done", async ({ run, log }) => {
  const text = fresh("select 1 as one");
  await run(text);
  assertInstanceOf((await run("select 1/0", text)).error, ServerError);
  assertEquals(await rowsOf(run(text)), [{ one: 1 }]);
  assertEquals(await rowsOf(run(text)), [{ one: 1 }]);
  const sent = log.take();
  // The next flight closes it too, in case the server has it after all.
  assertEquals(sent.slice(2), [`Close* ${NAMED_FIRST} Sync`, `${NAMED} Sync`]);
});

onConnection("a Parse that failed counts as not done", async ({ run, log }) => {
  const text = fresh("select * from not_there");
  await run(text);
  for (let turn = 0; turn < 2; turn++) {
    assertEquals((await run(text)).error?.message, 'relation "not_there" does not exist');
  }
  await run("create temporary table not_there (n int)");
  assertEquals(await rowsOf(run(text)), []);
  assertEquals(log.take().at(-1), `${NAMED_FIRST} Sync`);
});

onConnection(
  "a connection keeps 100 statements, and closes the one that was used longest ago with its next flight",
  async (place) => {
    const { run, log } = place;
    const all = Array.from({ length: 101 }, () => fresh("select 1 as one"));
    await run(...all);
    await run(...all.slice(0, 100));
    await run(all[0]!);
    log.take();
    await run(all[100]!);
    assertEquals(log.take(), [`${NAMED_FIRST} Sync`]);
    await run("select 2");
    assertEquals(log.take(), [`Close* ${UNNAMED} Sync`]);
    assertEquals(await prepared(place), 100);
    log.take();
    await run(all[0]!, all[1]!);
    assertEquals(log.take(), [`${NAMED} ${NAMED_FIRST} Sync`]);
  },
);

onConnection(
  "a flight of more statements than a connection keeps works, and again",
  async (place) => {
    const { run } = place;
    const all = Array.from({ length: 250 }, (_, n) => [fresh(`select ${n} as n`), n] as const);
    for (let turn = 0; turn < 3; turn++) {
      // In turns forwards and backwards: statements are used again right after they were dropped.
      const order = turn === 1 ? all.toReversed() : all;
      const { results, error } = await run(...order.map(([text]) => text));
      assertEquals(error, undefined);
      assertEquals(results.map(({ rows }) => rows[0]), order.map(([, n]) => ({ n })));
    }
    assertEquals(await prepared(place), 100);
  },
);

onConnection(
  "a name belongs to one text, and is not used again for another one",
  async ({ run, log }) => {
    const one = fresh("select 1 as one");
    await run(one);
    log.takeNames("Parse");
    await run(one);
    const [[name]] = log.takeNames("Parse") as [[string, string]];
    assertMatch(name, /^edge_[0-9a-z]{8,}_\d+$/);
    // The process forgets the text.
    for (let turn = 0; turn < 6; turn++) {
      await run(
        ...Array.from({ length: 100 }, () => fresh("select 1")),
      );
    }
    const seen = new Map([[name, one]]);
    const others = Array.from({ length: 90 }, () => fresh("select 1"));
    await run(...others);
    await run(...others);
    for (const [other, text] of log.takeNames("Parse")) {
      assertNotEquals(other, name);
      assertEquals(seen.get(other) ?? text, text);
      seen.set(other, text);
    }
    assert(seen.size > 80);
  },
);

for (
  const [what, text] of [
    ["'today'", "select 'today'::date as day"],
    ["'now'", "select timestamptz ' Now' as day"],
    ["a date", "select '2026-11-28 12:00'::timestamptz as day"],
    ["a time", "select time '12:00' as day"],
    ["a time behind a date", "select 'Nov 28, 2026 12:00' < now() as past"],
    ["a date with its month's name", "select '28 Nov 2026'::timestamptz as day"],
    ["a date with its month's name in front", "select cast('November 28, 2026' as timestamptz)"],
    ["a date of digits", "select '20261128'::timestamptz as day"],
    ["a timestamp", "select timestamptz 'Nov 28 2026' as day"],
  ]
) {
  onConnection(`a text with ${what} as a constant is never named`, async ({ run, log }) => {
    const repeated = fresh(text!);
    for (let turn = 0; turn < 3; turn++) await run(repeated);
    assertEquals(log.take(), Array(3).fill(`${UNNAMED} Sync`));
  });
}

onConnection("a constant's meaning follows the time zone of the transaction", async ({ run }) => {
  const text = fresh("select extract(epoch from '2026-11-28 12:00'::timestamptz)::int as at");
  const at = async (zone: string) =>
    (await rowsOf(run("begin", `set local time zone '${zone}'`, text)))[0] as { at: number };
  const times = [];
  for (const zone of ["UTC", "UTC", "UTC", "Asia/Tokyo"]) {
    times.push((await at(zone)).at);
    await run("rollback");
  }
  assertEquals(times[0]! - times[3]!, 9 * 3_600);
});

onConnection("FETCH, EXECUTE and SHOW have the columns of their time", async ({ run, log }) => {
  const shown = [];
  await run("prepare author_s as select 1 as one");
  log.take();
  for (const columns of ["1 as a", "2 as b", "3 as c, 4 as d"]) {
    await run("begin", `declare reader cursor for select ${columns}`);
    shown.push((await rowsOf(run("fetch all from reader")))[0]);
    await run("rollback");
  }
  assertEquals(shown, [{ a: 1 }, { b: 2 }, { c: 3, d: 4 }]);
  for (const columns of ["1 as a", "2 as b", "3 as c"]) {
    await run("deallocate author_s", `prepare author_s as select ${columns}`);
    shown.push((await rowsOf(run("execute author_s")))[0]);
  }
  assertEquals(shown.slice(3), [{ a: 1 }, { b: 2 }, { c: 3 }]);
  assertEquals(log.take().filter((sent) => sent.includes("*")), []);
});

onConnection("prepare: false keeps a statement unnamed", async ({ run, log }) => {
  const text = fresh("select 1 as one");
  for (let turn = 0; turn < 3; turn++) await run({ text, values: [], prepare: false });
  assertEquals(log.take(), Array(3).fill(`${UNNAMED} Sync`));
});

Deno.test("an option that is undefined leaves a statement unnamed that is to be", async () => {
  const log = new WireLog();
  await using branch = await database.connect({ observe: log.observe });
  const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" });
  const text = fresh("select 1 as one");
  const statement = trustedSql(text).with({ prepare: false });
  for (let turn = 0; turn < 4; turn++) {
    await using session = db.session();
    await session.execute(statement, { prepare: undefined });
    for await (const _ of session.stream(statement, { prepare: undefined }));
    await session.commit();
  }
  const named = log.takeNames("Parse").map(([, text]) => text);
  assert(named.length > 0, "the connection names nothing");
  assertEquals(named.filter((each) => each.includes(text)), []);
});

onConnection("off names nothing and asks nothing", async ({ run, log, branch }) => {
  const text = fresh("select 1 as one");
  for (let turn = 0; turn < 3; turn++) await run(text);
  assertEquals(log.take(), Array(3).fill(`${UNNAMED} Sync`));
  const db = branch.open({ DATABASE_PREPARE: "off" });
  for (let turn = 0; turn < 3; turn++) {
    await db.transaction((session) => session.query(sql`select 1`));
  }
  assertEquals(log.take().filter((sent) => sent.includes("*")), []);
}, { prepare: "off" });

onConnection("portals of a named statement are read in portions", async ({ run, log }) => {
  const text = fresh("select n from generate_series(1, 3) n");
  for (let turn = 0; turn < 3; turn++) {
    const portal = { name: "three", maxRows: 2 };
    const first = await run("begin", { text, values: [], portal });
    const { results } = await run({ fetch: portal }, { close: portal }, "rollback");
    assertEquals([first.results[1]!.rows, results[0]!.rows], [[{ n: 1 }, { n: 2 }], [{ n: 3 }]]);
  }
  assertMatch(log.take()[4]!, /Bind\* Execute Sync$/);
});

for (const ends of ["deallocate all", "discard all"]) {
  onConnection(`after ${ends} every statement is parsed anew`, async ({ run, log }) => {
    const text = fresh("select 1 as one");
    for (let turn = 0; turn < 3; turn++) await run(text);
    await run(ends);
    log.take();
    assertEquals(await rowsOf(run(text)), [{ one: 1 }]);
    assertEquals(await rowsOf(run(text)), [{ one: 1 }]);
    const [first, second] = log.take();
    assertMatch(first!, /^(?:Close\* )*Close\* Parse\* Bind\* Describe Execute Sync$/);
    assertEquals(second, `${NAMED} Sync`);
  });
}

onConnection("a right that is missing costs no second run", async ({ run, log }) => {
  const text = fresh("select rolname from pg_authid");
  for (let turn = 0; turn < 4; turn++) {
    assertEquals(((await run(text)).error as ServerError).sqlState, "42501");
  }
  assertEquals(log.take().length, 4);
});

for (
  const [sets, names] of [
    ["set local search_path = pg_catalog, pg_temp", false],
    ["SET LOCAL /* x */ schema 'pg_temp'", false],
    ["set local role none", false],
    ["select set_config('search_path', 'pg_temp', true)", false],
    ["reset search_path", false],
    ["set local time zone 'UTC'", true],
    ["select set_config('app.user', '1', true)", true],
    ["select 'set search_path'", true],
  ] as const
) {
  onConnection(
    `behind ${sets} a transaction's texts are ${names ? "" : "not "}sent by a name`,
    async ({ run, log }) => {
      const text = fresh("select 1 as one");
      for (let turn = 0; turn < 2; turn++) await run(text);
      await run("begin", sets, text);
      log.take();
      await run(text);
      await run("rollback");
      await run("begin");
      await run(text);
      await run("rollback");
      const [inside, , , behind] = log.take();
      assertEquals(inside, `${names ? NAMED : UNNAMED} Sync`);
      // What RESET has set lasts as long as the session.
      assertEquals(behind, `${sets.startsWith("reset") ? UNNAMED : NAMED} Sync`);
    },
  );
}

Deno.test("a text means the tables of its transaction's search path, whatever types they have", async () => {
  await using branch = await database.connect();
  const schemas = ["tenant_of_dates", "tenant_of_times", "tenant_of_texts"];
  for (const [index, type] of ["date", "timestamp", "text"].entries()) {
    const schema = schemas[index]!;
    await branch.asAdmin(`create schema ${schema}`);
    await branch.asAdmin(`create table ${schema}.visits (at ${type})`);
    await branch.asAdmin(`grant usage on schema ${schema} to public`);
    await branch.asAdmin(`grant all on ${schema}.visits to public`);
  }
  try {
    const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" });
    const at = "2026-11-28 12:34:56";
    const insert = trustedSql(fresh("insert into visits values ($1)"), [at]);
    const read = trustedSql<{ at: string }>(
      fresh("select at::text as at from visits where at = $1"),
      [at],
    );
    const settings = (how: "frozen" | "plain" | "set", search_path: string) =>
      how === "set"
        ? {}
        : { locals: how === "frozen" ? Object.freeze({ search_path }) : { search_path } };
    for (let turn = 0; turn < 12; turn++) {
      for (const how of ["frozen", "plain", "set"] as const) {
        for (const [index, schema] of schemas.entries()) {
          const path = trustedSql(`set local search_path = ${schema}`);
          const rows = await db.transaction(async (session) => {
            if (how === "set") await session.query(path);
            await session.query(insert);
            return (await session.commit([read]))[0];
          }, settings(how, schema));
          assertEquals(rows[0]!.at, index === 0 ? "2026-11-28" : at, `${turn} ${how} ${schema}`);
        }
      }
    }
  } finally {
    for (const schema of schemas) await branch.asAdmin(`drop schema ${schema} cascade`);
  }
});

/** Neither the tag nor a notice tells that the statements are gone. */
const DEALLOCATES = "do $$ begin execute 'deallocate all'; end $$";

onConnection("statements that have gone in silence cost a round trip", async ({ run, log }) => {
  const text = fresh("select 1 as one");
  for (let turn = 0; turn < 3; turn++) await run(text);
  await run(DEALLOCATES);
  log.take();
  assertEquals(await rowsOf(run(text)), [{ one: 1 }]);
  assertEquals(log.take(), [`${NAMED} Sync`, `Close* ${UNNAMED} Sync`]);
  assertEquals(await rowsOf(run(text)), [{ one: 1 }]);
  assertMatch(log.take()[0]!, /Parse\* Bind\* Describe Execute Sync$/);
});

onConnection("statements that go in the middle of a flight cost a round trip", async ({ run }) => {
  const text = fresh("select 1 as one");
  for (let turn = 0; turn < 3; turn++) await run(text);
  const { results, error } = await run("begin", text, DEALLOCATES, text, "rollback");
  assertEquals([error, results.map(({ rows }) => rows)], [undefined, [[], [{ one: 1 }], [], [{
    one: 1,
  }], []]]);
});

onConnection("a changed table costs a round trip", async ({ run, log }) => {
  await run("create temporary table changing as select 1 as a");
  const text = fresh("select * from changing");
  for (let turn = 0; turn < 3; turn++) await run(text);
  await run("alter table changing add column b int");
  log.take();
  assertEquals(await rowsOf(run(text)), [{ a: 1, b: null }]);
  assertEquals(log.take().length, 2);
  assertEquals(await rowsOf(run(text)), [{ a: 1, b: null }]);
  assertEquals(
    log.take(),
    [`${NAMED_FIRST} Sync`],
  );
});

onConnection(
  "inside a transaction, a changed table fails the transaction with an error that says so",
  async ({ run, connection }) => {
    await run("create temporary table changing as select 1 as a");
    const text = fresh("select * from changing");
    for (let turn = 0; turn < 3; turn++) await run(text);
    await run("alter table changing add column b int");
    await run("begin");
    const { error } = await run(text);
    assertInstanceOf(error, ServerError);
    assertEquals([error.sqlState, connection.status], ["0A000", "E"]);
    await run("rollback");
    assertEquals(await rowsOf(run(text)), [{ a: 1, b: null }]);
  },
);

onConnection("a parameter whose type has changed costs a round trip", async ({ run, log }) => {
  await run("create temporary table typed as select 1 as n");
  const text = fresh("select n from typed where n = $1");
  const find = (value: string) => run({ text, values: [value] });
  for (let turn = 0; turn < 3; turn++) await find("1");
  await run("alter table typed alter n type bigint", "insert into typed values (3000000000)");
  log.take();
  // 22003: the value is too large for an integer.
  assertEquals(await rowsOf(find("3000000000")), [{ n: 3000000000n }]);
  assertEquals(log.take().length, 2);
  for (let turn = 0; turn < 2; turn++) await find("1");
  await run("alter table typed alter n type text");
  log.take();
  // 42883: there is no operator for a text and a number.
  assertEquals(await rowsOf(find("3000000000")), [{ n: "3000000000" }]);
  assertEquals(log.take().length, 2);
  for (let turn = 0; turn < 2; turn++) await find("1");
  log.take();
  await run("alter table typed alter n type int using 1");
  // 22P02 with the old type and with the new one.
  assertEquals(((await find("x")).error as ServerError).sqlState, "22P02");
  assertEquals(await rowsOf(find("1")), [{ n: 1 }, { n: 1 }]);
});

onConnection(
  "an error that comes while a prepared statement runs costs no second run",
  async ({ run, log }) => {
    await run("create temporary table checked (n int check (n > 0))");
    await run("create temporary table words as select 'x' as word");
    for (
      const [text, values] of [
        ["insert into checked values ($1)", ["-1"]],
        ["select 1 / n from generate_series(0, 1) n where n = $1", ["0"]],
        ["select word::int from words where word = $1", ["x"]],
      ] as const
    ) {
      const statement = { text: fresh(text), values };
      for (let turn = 0; turn < 2; turn++) assertInstanceOf((await run(statement)).error, Error);
      log.take();
      for (let turn = 0; turn < 2; turn++) assertInstanceOf((await run(statement)).error, Error);
      assertEquals(log.take(), [`${NAMED} Sync`, `${NAMED} Sync`], text);
    }
  },
);

onConnection("an error of a function's own statement is the caller's", async ({ run, log }) => {
  const text = fresh("select pg_temp.fails()");
  await run(
    "create function pg_temp.fails() returns int language plpgsql as 'begin execute ''execute gone''; end'",
  );
  log.take();
  for (let turn = 0; turn < 3; turn++) {
    const { error } = await run(text);
    assertInstanceOf(error, ServerError);
    assertEquals(error.sqlState, "26000");
  }
  assertEquals(log.take().length, 3);
});

onConnection(
  "a flight that has committed by its own text is not sent again",
  async ({ run, log }) => {
    await run("create temporary table once (n int)");
    const text = fresh("select 1 as one");
    for (let turn = 0; turn < 3; turn++) await run(text);
    log.take();
    const { error, results } = await run(
      "begin",
      "insert into once values (1)",
      "commit",
      DEALLOCATES,
      text,
    );
    assertEquals([(error as ServerError).sqlState, results.length], ["26000", 4]);
    assertEquals(log.take().length, 1);
    assertEquals(await rowsOf(run("select * from once")), [{ n: 1 }]);
  },
);

onConnection(
  "after a cancel request a flight is not sent again",
  async ({ run, log, connection }) => {
    await run("create temporary table changing as select 1 as a");
    const text = fresh("select * from changing");
    for (let turn = 0; turn < 3; turn++) await run(text);
    await run("alter table changing add column b int");
    log.take();
    const answer = run(text);
    const cancelled = connection.cancel({ timeoutMs: 5_000 });
    const { error } = await answer;
    await cancelled;
    assertInstanceOf(error, ServerError);
    assert(["0A000", "57014"].includes(error.sqlState));
    assertEquals(log.take().filter((sent) => sent.endsWith("Sync")).length, 1);
  },
);

/** A database with one connection that has prepared `statement`, and the messages that it sends. */
async function warm(
  log: WireLog,
  branch: LocalBranch,
  statement: ReturnType<typeof sql>,
): Promise<Database> {
  const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" });
  for (let turn = 0; turn < 4; turn++) {
    await db.transaction((session) => session.commit([statement]));
  }
  log.take();
  return db;
}

Deno.test("BEGIN, the settings, the xid query and COMMIT are prepared once the connection is known to be direct", async () => {
  const log = new WireLog();
  await using branch = await database.connect({ observe: log.observe });
  const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" });
  const insert = sql`insert into users (id, email, name)
    values (gen_random_uuid(), gen_random_uuid()::text, ${fresh("Ann")})`.with({ prepare: false });
  const commit = async () => {
    await db.transaction((session) => session.commit([insert]));
    return log.take()[0]!;
  };
  // The xid query, the question for the process id, and COMMIT.
  assertMatch(
    await commit(),
    /Execute Parse Bind Execute Parse Bind Execute Flush Parse Bind Execute Sync$/,
  );
  const first = await commit();
  const own = "Close* Parse* Bind* Execute";
  assertEquals(first, `${own} ${own} ${UNNAMED} ${own} Flush ${own} Sync`);
  // The session has its settings and has told its incarnation: the xid alone is asked for, by a text of its own. All of that
  // is sent again after a second.
  const last = `${NAMED} ${UNNAMED} ${NAMED} Flush ${NAMED} Sync`;
  await commit();
  assertEquals(await commit(), last);
});

Deno.test("a connection whose first transaction fails asks again", async () => {
  const log = new WireLog();
  await using branch = await database.connect({ observe: log.observe });
  const db = branch.open({ DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" });
  const failing = () => db.session().commit([trustedSql("select 1/0")]).catch(() => {});
  await failing();
  let sent = "";
  for (let turn = 0; turn < 100 && !sent.includes("*"); turn++) {
    await db.transaction((session) => session.commit([sql`select 1`]));
    sent = log.take().join();
  }
  assertMatch(sent, /\*/);
});

Deno.test("a write and a read of a changed table in one flight are done once", async () => {
  const log = new WireLog();
  await using branch = await database.connect({ observe: log.observe });
  await branch.asAdmin("create table changing as select 1 as a");
  await branch.asAdmin("grant all on changing to public");
  const read = trustedSql<{ a: number }>(fresh("select * from changing order by a"));
  const db = await warm(log, branch, read);
  await branch.asAdmin("alter table changing add column b int");
  const insert = sql`insert into changing (a) values (2)`;
  let runs = 0;
  const [, rows] = await db.transaction((session) => {
    runs++;
    return session.commit([insert, read]);
  });
  assertEquals([runs, rows], [1, [{ a: 1, b: null }, { a: 2, b: null }]] as unknown[]);
  assertEquals(await branch.asAdmin("select a from changing order by a"), [{ a: 1 }, { a: 2 }]);
  await branch.asAdmin("drop table changing");
});

Deno.test("a unit that meets a changed table in its second flight is run again", async () => {
  const log = new WireLog();
  await using branch = await database.connect({ observe: log.observe });
  await branch.asAdmin("create table changing_later as select 1 as a");
  await branch.asAdmin("grant all on changing_later to public");
  const read = trustedSql<{ a: number }>(fresh("select * from changing_later order by a"));
  const db = await warm(log, branch, read);
  await branch.asAdmin("alter table changing_later add column b int");
  let runs = 0;
  const rows = await db.transaction(async (session) => {
    runs++;
    await session.query(sql`select 1`);
    const rows = await session.query(read);
    await session.commit([sql`insert into changing_later (a) values (2)`]);
    return rows;
  });
  assertEquals([runs, rows], [2, [{ a: 1, b: null }]] as unknown[]);
  assertEquals(await branch.asAdmin("select a from changing_later order by a"), [{ a: 1 }, {
    a: 2,
  }]);
  await branch.asAdmin("drop table changing_later");
});

Deno.test("a unit is committed once where its own COMMIT's statement has gone", async () => {
  const log = new WireLog();
  await using branch = await database.connect({ observe: log.observe });
  const insert = sql`insert into users (id, email, name)
    values (gen_random_uuid(), gen_random_uuid()::text, 'gone')`;
  const db = await warm(log, branch, sql`select 1`);
  // COMMIT in the same flight, and in one of its own.
  await db.transaction((session) => session.commit([insert, trustedSql(DEALLOCATES)]));
  for (let turn = 0; turn < 2; turn++) {
    await db.transaction((session) => session.commit([sql`select 1`]));
  }
  let runs = 0;
  await db.transaction(async (session) => {
    await session.query(insert);
    if (runs++ === 0) await session.query(trustedSql(DEALLOCATES));
    await session.commit();
  });
  assertEquals(runs, 2);
  const [row] = await branch.asAdmin(
    "select count(*)::int as count from users where name = 'gone'",
  );
  assertEquals(row, { count: 2 });
});
