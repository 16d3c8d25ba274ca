/** What the caller of a unit of work is told agrees with what the unit did, in cases that are easy to get wrong. */
import { assert, assertEquals, assertRejects, assertStrictEquals } from "@std/assert";
import {
  CommitRowsLostError,
  ConnectionLostError,
  type Database,
  DeadlineError,
  type Session,
  SessionEndedError,
  SessionNotCommittedError,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import { databaseProblem } from "../../../src/library/hono/database_problem.ts";
import type { Branch } from "../../support/branch.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();
{
  await using branch = await database.connect();
  for (
    const text of [
      "create table notes (text text)",
      "grant all on notes to public",
      `create function write_note(note text) returns int language sql as
        $$ insert into notes values (note); select 1 $$`,
      `create function warn() returns trigger language plpgsql as
        $$ begin raise warning 'mine' using errcode = '25P01'; return null; end $$`,
      `create constraint trigger warns after insert on notes deferrable initially deferred
        for each row when (new.text = 'warns') execute function warn()`,
    ]
  ) await branch.asAdmin(text);
}

async function withDatabase(
  work: (db: Database, branch: Branch) => Promise<void>,
  env: Record<string, string> = {},
): Promise<void> {
  await using branch = await database.connect();
  await branch.asAdmin("truncate notes");
  const db = branch.open(env);
  await work(db, branch);
  const { leased, opening, waiting } = db.stats();
  assertEquals({ leased, opening, waiting }, { leased: 0, opening: 0, waiting: 0 });
}

async function notes(branch: Branch): Promise<string[]> {
  const rows = await branch.asAdmin<{ text: string }>("select text from notes order by text");
  return rows.map(({ text }) => text);
}

const insert = (text: string) => sql`insert into notes values (${text})`;

// A statement that cannot be encoded

const UNSENDABLE: readonly [what: string, run: (session: Session) => Promise<unknown>][] = [
  ["query()", (session) => session.query(sql`select ${"\0"}`)],
  ["batch()", (session) => session.batch([sql`select 1`, sql`select ${"\ud800"}`])],
  ["commit()", (session) => session.commit([insert("\0")])],
  ["stream()", (session) => session.stream(sql`select ${"\0"}`).next()],
  ["a savepoint", (session) => session.savepoint((inner) => inner.query(sql`select ${"\0"}`))],
];

for (const [what, run] of UNSENDABLE) {
  Deno.test(`a value that ${what} cannot send leases nothing, also if the caller goes on`, () =>
    withDatabase(async (db, branch) => {
      for (let round = 0; round < 3; round++) {
        await db.transaction(async (session) => {
          await assertRejects(() => run(session), TypeError);
          assertEquals(db.stats().leased, 0);
          await session.commit();
        });
        await db.transaction(async (session) => {
          await assertRejects(() => run(session), TypeError);
          await session.query(insert("kept"));
          await session.commit();
        });
      }
      assertEquals(await notes(branch), ["kept", "kept", "kept"]);
    }, { DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0", DATABASE_POOL_TIMEOUT: "2" }));
}

for (
  const [what, options] of [
    ["local setting", { locals: { "app.user": "\0" } }],
    ["key", { key: "\0", loadResult: () => Promise.resolve() }],
  ] as const
) {
  Deno.test(`a ${what} that cannot be sent leases nothing`, () =>
    withDatabase(async (db) => {
      for (let round = 0; round < 3; round++) {
        await assertRejects(
          () =>
            db.transaction(async (session) => void await session.commit([insert("x")]), options),
          TypeError,
        );
      }
    }, { DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0", DATABASE_POOL_TIMEOUT: "2" }));
}

// A write whose command tag does not show it

const UNSEEN: readonly [what: string, write: (session: Session) => Promise<unknown>][] = [
  ["a writing WITH", (session) =>
    session.query(sql`
      with note as (insert into notes values ('a') returning text) select text from note`)],
  ["a function", (session) => session.query(sql`select write_note('a')`)],
  [
    "EXPLAIN ANALYZE",
    (session) => session.query(sql`explain analyze insert into notes values ('a')`),
  ],
  ["SELECT INTO", (session) => session.query(sql`select 1 as one into temp table one`)],
  ["a stream that ends early", async (session) => {
    const statement = sql`insert into notes select 'a' from generate_series(1, 3) returning text`;
    for await (const _ of session.stream(statement, { batchSize: 1 })) break;
  }],
  ["a row lock", async (session) => {
    await session.query(sql`select 1 from users for update`);
    await session.query(sql`select 1 from notes for update`);
  }],
];

for (const [what, write] of UNSEEN) {
  Deno.test(`a unit that wrote by ${what} and ended neither way is refused`, () =>
    withDatabase(async (db, branch) => {
      await branch.asAdmin("insert into notes values ('locked')");
      const error = await assertRejects(
        () => db.transaction((session) => write(session)),
        SessionNotCommittedError,
      );
      assert(error.message.includes("rollback()"), error.message);
      assertEquals(await notes(branch), ["locked"]);
      await db.transaction(async (session) => {
        await write(session);
        await session.rollback();
      });
    }));
}

Deno.test("a write that no tag shows is seen also after another one that was undone with its savepoint", () =>
  withDatabase(async (db, branch) => {
    await assertRejects(() =>
      db.transaction(async (session) => {
        await session.savepoint(async (inner) => {
          await inner.query(insert("undone"));
          throw new Error("undo");
        }).catch(() => {});
        await session.query(sql`select write_note('lost')`);
      }), SessionNotCommittedError);
    assertEquals(await notes(branch), []);
  }));

Deno.test("a unit that swallowed the loss of its connection is run again, not taken for done", () =>
  withDatabase(async (db, branch) => {
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
      if (runs > 1) return;
      await session.query(sql`select write_note('lost')`);
      await branch.asAdmin(`select pg_terminate_backend(${row!.pid}, 5000)`);
      await session.query(sql`select 1`).catch(() => {});
    }, { isolation: "read committed" });
    assertEquals([runs, await notes(branch)], [2, []]);
  }));

// A COMMIT in a statement's own text

for (
  const [what, run, kept] of [
    ["commit and chain", (session: Session) => session.query(sql`commit and chain`), ["first"]],
    [
      "commit, then begin, in a batch",
      (session: Session) => session.batch([sql`commit`, sql`begin`]),
      ["first"],
    ],
    [
      "commit and chain beside COMMIT",
      (session: Session) => session.commit([sql`commit and chain`, insert("second")]),
      ["first", "second"],
    ],
  ] as const
) {
  Deno.test(`a statement that says "${what}" ends the session, and the unit is not run again`, () =>
    withDatabase(async (db, branch) => {
      let runs = 0;
      await assertRejects(
        () =>
          db.transaction(async (session) => {
            runs++;
            await session.query(insert("first"));
            await run(session);
            await session.query(insert("after"));
            await session.commit();
          }),
        SessionEndedError,
      );
      assertEquals([runs, await notes(branch)], [1, [...kept]]);
    }));
}

for (
  const text of [
    sql`rollback and chain`,
    sql` /* a comment */ abort work and chain`,
    sql`-- a comment
      prepare transaction 'one'`,
    sql`/* a /* nested */ comment */ prepare transaction 'one'`,
    sql`; prepare transaction 'one'`,
    sql` ;; /* empty statements */ ;abort /* and */ and -- a comment
      chain`,
    sql`;copy notes from stdin`,
    sql`copy notes (text) from /* here */ stdin with (format csv)`,
    sql`; copy (select text from notes) to stdout`,
  ]
) {
  Deno.test(`"${text.text.trim()}" is refused before it is sent, and the session goes on`, () =>
    withDatabase(async (db, branch) => {
      await db.transaction(async (session) => {
        await session.query(insert("kept"));
        await assertRejects(
          () => session.query(text),
          TypeError,
          "as the session cannot follow it; ",
        );
        await session.commit();
      });
      assertEquals(await notes(branch), ["kept"]);
      assertEquals(await branch.asAdmin("select 1 from pg_prepared_xacts"), []);
    }));
}

Deno.test("a literal that looks like the end of a comment and a refused statement is sent", () =>
  withDatabase(async (db) => {
    const text = sql`/* a comment */ select '*/ prepare transaction' as text`;
    assertEquals(await db.session().commit([text]), [[{ text: "*/ prepare transaction" }]]);
  }));

Deno.test("COPY with a file or a program of the server is sent, whatever its names and literals are", async () => {
  await using branch = await database.connect();
  const db = branch.open(branch.envOf("postgres"));
  for (
    const text of [
      "copy (select 'from stdin') to '/dev/null'",
      "copy (select 1 as stdin) to program 'cat > /dev/stdout'",
      "copy notes (text) from '/dev/null' -- from stdin",
    ]
  ) {
    assertEquals(await db.session().commit([trustedSql(text)]), [[]]);
    assertEquals(await db.run(trustedSql(text)), []);
  }
});

// COMMIT was answered

Deno.test("a parser that fails on the rows of a committed write is told as committed rows that are lost", () =>
  withDatabase(async (db, branch) => {
    const cause = new Error("from the parser");
    const parsers = {
      25: () => {
        throw cause;
      },
    };
    let runs = 0;
    const error = await assertRejects(
      () =>
        db.transaction((session) => {
          runs++;
          return session.commit([sql`insert into notes values ('kept') returning text`]);
        }, { parsers }),
      CommitRowsLostError,
    );
    assertStrictEquals((error.cause as Error).cause, cause);
    assertEquals([runs, await notes(branch)], [1, ["kept"]]);
  }));

Deno.test("a warning that a deferred trigger raises at COMMIT does not look like a missing transaction", () =>
  withDatabase(async (db, branch) => {
    await db.transaction((session) => session.commit([insert("warns")]));
    await db.transaction(async (session) => {
      await session.query(insert("warns"));
      await session.commit();
    });
    assertEquals(await notes(branch), ["warns", "warns"]);
  }));

// The work's own error

for (
  const [what, makeError] of [
    ["frozen", () => Object.freeze(new Error("mine"))],
    ["of a class with a getter", () =>
      new (class extends Error {
        get attempts(): number {
          throw new Error("not to be read");
        }
      })("mine")],
    ["a proxy", () =>
      new Proxy(new Error("mine"), {
        get(target, name) {
          if (name === "cause" || name === "attempts") throw new Error("not to be read");
          return Reflect.get(target, name);
        },
        defineProperty() {
          throw new Error("not to be written");
        },
      })],
  ] as const
) {
  Deno.test(`an error of the work that is ${what} comes out as it is, also after retries`, () =>
    withDatabase(async (db, branch) => {
      let runs = 0;
      const error = makeError();
      const told = await db.transaction(async (session) => {
        const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
        if (++runs > 1) throw error;
        await branch.asAdmin(`select pg_terminate_backend(${row!.pid}, 5000)`);
        await session.query(sql`select 1`);
      }).catch((told) => told);
      assertStrictEquals(told, error);
      assertEquals(runs, 2);
    }));
}

// A key that is not one

for (
  const [what, options] of [
    ["undefined", { key: undefined }],
    ["null", { key: null }],
    ["a number", { key: 7 }],
    ["empty", { key: "" }],
    ["of 256 characters", { key: "k".repeat(256) }],
    ["without loadResult", { key: "key", loadResult: undefined }],
  ] as const
) {
  Deno.test(`a unit whose key is ${what} is refused before it runs`, () =>
    withDatabase(async (db) => {
      let runs = 0;
      const all = { loadResult: () => Promise.resolve(), ...options } as {
        key: string;
        loadResult: () => Promise<void>;
      };
      const error = await db.transaction(async (session) => {
        runs++;
        await session.commit([insert("x")]);
      }, all).catch((error) => error);
      assert(error instanceof TypeError || error instanceof RangeError, `${error}`);
      assertEquals(runs, 0);
    }));
}

Deno.test("a key may have 255 characters, also of two UTF-16 units each", () =>
  withDatabase(async (db, branch) => {
    const options = { key: "🔑".repeat(255), loadResult: () => Promise.resolve() };
    for (let round = 0; round < 2; round++) {
      await db.transaction(async (session) => void await session.commit([insert("x")]), options);
    }
    assertEquals(await notes(branch), ["x"]);
  }));

// A connection that a later flight finds dead

async function untilGone(branch: Branch, pid: number): Promise<void> {
  const isGone = async () =>
    (await branch.asAdmin(`select from pg_stat_activity where pid = ${pid}`)).length === 0;
  assert(await pollUntil(isGone, { deadlineMs: 10_000, intervalMs: 10 }));
}

Deno.test("a unit whose connection was terminated before its last flight is run again, though it had no xid yet", () =>
  withDatabase(async (db, branch) => {
    let runs = 0;
    await db.transaction(async (session) => {
      const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
      if (++runs === 1) await branch.asAdmin(`select pg_terminate_backend(${row!.pid}, 5000)`);
      await session.commit([insert("once")]);
    });
    assertEquals([runs, await notes(branch)], [2, ["once"]]);
    assertEquals(db.stats().unknown, 0);
  }));

Deno.test("a unit that idled past the server's limit fails for good, and is told which limit", () =>
  withDatabase(async (db, branch) => {
    let runs = 0;
    const error = await assertRejects(() =>
      db.transaction(async (session) => {
        runs++;
        const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
        await untilGone(branch, row!.pid);
        await session.commit([insert("never")]);
      }), ConnectionLostError);
    assert(error.message.includes("idle-in-transaction timeout"), error.message);
    assertEquals(databaseProblem(error)?.status, 504);
    assertEquals([runs, await notes(branch)], [1, []]);
  }, { DATABASE_IDLE_TRANSACTION_TIMEOUT: "0.1" }));

// An abort between two microtasks

Deno.test("a COMMIT is not sent after an abort, however many microtasks lie between the two", () =>
  withDatabase(async (db, branch) => {
    let failed = 0;
    for (let ticks = 0; ticks < 40; ticks++) {
      const caller = new AbortController();
      const text = `tick ${ticks}`;
      const unit = db.transaction(async (session) => {
        await session.query(insert(text));
        const committed = session.commit();
        for (let tick = 0; tick < ticks; tick++) await null;
        caller.abort();
        await committed;
      }, { signal: caller.signal });
      const error = await unit.then(() => undefined, (error) => error);
      const isKept = (await notes(branch)).includes(text);
      if (error !== undefined) {
        failed++;
        assert(error instanceof DeadlineError, `${error}`);
        assertEquals(isKept, false, `after ${ticks} microtasks`);
      } else assertEquals(isKept, true, `after ${ticks} microtasks`);
    }
    assert(failed > 0, "no abort came in time");
  }));
