/** Which flights carry a savepoint's statements, and what the outer session may do meanwhile. */
import {
  assert,
  assertEquals,
  assertInstanceOf,
  assertRejects,
  assertStrictEquals,
} from "@std/assert";
import {
  CommitRolledBackError,
  ConnectionLostError,
  type Session,
  SessionEndedError,
  SessionNotCommittedError,
  sql,
  StatementSkippedError,
} from "../../../src/db/mod.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";
import { type Reply, ScriptedDriver, serverError } from "../../support/scripted_driver.ts";

const BEGIN = "begin isolation level read committed";
const failure = serverError("23505", "duplicate key");

function scripted(reply?: Reply) {
  const driver = new ScriptedDriver(reply === undefined ? {} : { reply });
  const db = databaseOf(poolOf(driver));
  return { db, flights: () => flightsOf(driver) };
}

/** Fails each statement of this text. */
function failing(failed: string) {
  return scripted(({ text }) => (text === failed ? failure : undefined));
}

/** Flights without the settings that follow BEGIN. */
function flightsOf(driver: ScriptedDriver): string[][] {
  return driver.connections[0]!.flights
    .map((texts) => texts.filter((text) => !/^select (cardinality|pg_current_xact)/.test(text)));
}

Deno.test("SAVEPOINT is sent with the first statement inside it, and RELEASE with COMMIT", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  const value = await session.savepoint(async (inner) => {
    await inner.query(sql`insert 1`);
    await inner.query(sql`insert 2`);
    return "value";
  });
  await session.commit();
  assertEquals(value, "value");
  assertEquals(flights(), [
    [BEGIN, "savepoint savepoint_1", "insert 1"],
    ["insert 2"],
    ["release savepoint savepoint_1", "commit"],
  ]);
});

Deno.test("a savepoint without statements sends nothing", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.savepoint((inner) => inner.savepoint(() => {}));
  await assertRejects(() => session.savepoint(() => Promise.reject(failure)));
  await session.commit([sql`insert 1`]);
  assertEquals(flights(), [[BEGIN, "insert 1", "commit"]]);
});

Deno.test("an error of the savepoint's function is rethrown, and its work is undone in the next flight", async () => {
  const { db, flights } = failing("insert 2");
  await using _ = db;
  await using session = db.session();
  await session.query(sql`insert 1`);
  const error = await assertRejects(() => session.savepoint((inner) => inner.query(sql`insert 2`)));
  assertStrictEquals(error, failure);
  await session.query(sql`insert 3`);
  await session.commit();
  assert(session.isCommitted);
  assertEquals(flights(), [
    [BEGIN, "insert 1"],
    ["savepoint savepoint_1", "insert 2"],
    ["rollback to savepoint savepoint_1", "release savepoint savepoint_1", "insert 3"],
    ["commit"],
  ]);
});

Deno.test("a rollback to a savepoint is sent with COMMIT, and not before a ROLLBACK", async () => {
  for (const ending of ["commit", "rollback"] as const) {
    const { db, flights } = failing("insert 2");
    await using _ = db;
    await using session = db.session();
    await session.query(sql`insert 1`);
    await session.savepoint((inner) => inner.query(sql`insert 2`)).catch(() => {});
    await session[ending]();
    assertEquals(
      flights().at(-1),
      ending === "commit"
        ? ["rollback to savepoint savepoint_1", "release savepoint savepoint_1", "commit"]
        : ["ROLLBACK"],
    );
  }
});

Deno.test("savepoints nest, and a rollback of the outer one drops the inner one's unsent statements", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.savepoint(async (outer) => {
    await outer.query(sql`insert 1`);
    await outer.savepoint((inner) => inner.query(sql`insert 2`));
    throw failure;
  }).catch(() => {});
  await session.commit([sql`insert 3`]);
  assertEquals(flights(), [
    [BEGIN, "savepoint savepoint_1", "insert 1"],
    ["savepoint savepoint_2", "insert 2"],
    ["rollback to savepoint savepoint_1", "release savepoint savepoint_1", "insert 3", "commit"],
  ]);
});

Deno.test("the RELEASE of a savepoint and the next SAVEPOINT share a flight", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  for (const _ of [1, 2]) await session.savepoint((inner) => inner.query(sql`insert 1`));
  await session.commit();
  assertEquals(flights().slice(1), [
    ["release savepoint savepoint_1", "savepoint savepoint_1", "insert 1"],
    ["release savepoint savepoint_1", "commit"],
  ]);
});

Deno.test("a savepoint whose function swallows a failed statement is rolled back, and throws", async () => {
  const { db } = failing("insert 1");
  await using _ = db;
  await using session = db.session();
  const error = await assertRejects(() =>
    session.savepoint(async (inner) => {
      await inner.query(sql`insert 1`).catch(() => {});
      await assertRejects(() => inner.query(sql`insert 2`), StatementSkippedError);
    }), StatementSkippedError);
  assertStrictEquals(error.cause, failure);
  await session.commit([sql`insert 3`]);
  assert(session.isCommitted);
});

Deno.test("a failure before a savepoint is not undone by it", async () => {
  // The settings after BEGIN fail, so SAVEPOINT is never run.
  const { db, flights } = scripted(({ text }) => (
    text.startsWith("select cardinality") ? failure : undefined
  ));
  await using _ = db;
  await using session = db.session();
  await assertRejects(() => session.savepoint((inner) => inner.query(sql`insert 1`)));
  const error = await assertRejects(() => session.commit([sql`insert 2`]), CommitRolledBackError);
  assertStrictEquals(error.cause, failure);
  assertEquals(flights().at(-1), ["ROLLBACK"]);
});

Deno.test("rollback() of a savepoint's session undoes only the savepoint", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.savepoint(async (inner) => {
    await inner.query(sql`insert 1`);
    await inner.rollback();
    assert(inner.hasEnded);
    await assertRejects(() => inner.query(sql`insert 2`), SessionEndedError, "savepoint");
  });
  assert(!session.hasEnded);
  await session.commit([sql`insert 3`]);
  assertEquals(flights().at(-1)?.slice(-2), ["insert 3", "commit"]);
});

Deno.test("commit() in a savepoint throws", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.savepoint(async (inner) => {
    await inner.query(sql`insert 1`);
    await assertRejects(
      () => inner.commit(),
      SessionEndedError,
      "end the savepoint",
    );
    await assertRejects(() => inner.commit([sql`insert 2`]), SessionEndedError);
  });
  await session.commit();
  assertEquals(flights().at(-1), ["release savepoint savepoint_1", "commit"]);
});

Deno.test("a savepoint without a function is kept by release(), and adds no flight", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  {
    await using point = session.savepoint();
    await point.query(sql`insert 1`);
    await point.release();
  }
  await session.commit([sql`insert 2`]);
  assertEquals(flights(), [
    [BEGIN, "savepoint savepoint_1", "insert 1"],
    ["release savepoint savepoint_1", "insert 2", "commit"],
  ]);
});

Deno.test("a savepoint without a function is undone at the end of its block if it was not released", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  {
    await using point = session.savepoint();
    await point.query(sql`insert 1`);
    await assertRejects(() => session.query(sql`insert 2`), SessionEndedError, "end the savepoint");
  }
  await session.commit([sql`insert 3`]);
  assertEquals(flights().at(-1), [
    "rollback to savepoint savepoint_1",
    "release savepoint savepoint_1",
    "insert 3",
    "commit",
  ]);
});

Deno.test("a savepoint without a function begins behind the statements that were called before it", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  const before = session.query(sql`insert 1`);
  const point = session.savepoint();
  const inside = point.query(sql`insert 2`);
  await Promise.all([before, inside, point.release()]);
  await session.commit();
  assertEquals(flights(), [
    [BEGIN, "insert 1"],
    ["savepoint savepoint_1", "insert 2"],
    ["release savepoint savepoint_1", "commit"],
  ]);
});

Deno.test("savepoints without a function nest, and cannot be released around an open one or twice", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  const outer = session.savepoint();
  const inner = outer.savepoint();
  await inner.query(sql`insert 1`);
  await assertRejects(() => outer.release(), SessionEndedError, "a savepoint is open in it");
  await inner.release();
  await assertRejects(() => inner.release(), SessionEndedError, "its savepoint has ended");
  await assertRejects(
    () => inner.query(sql`insert 2`),
    SessionEndedError,
    "its savepoint has ended",
  );
  await outer.release();
  await assertRejects(() => session.release(), SessionEndedError, "belongs to no savepoint");
  await session.commit();
  assertEquals(flights(), [
    [BEGIN, "savepoint savepoint_1", "savepoint savepoint_2", "insert 1"],
    ["release savepoint savepoint_2", "release savepoint savepoint_1", "commit"],
  ]);
});

Deno.test("every use of a savepoint that could not begin says why", async () => {
  const { db } = scripted();
  await using _ = db;
  await using session = db.session();
  const first = session.savepoint();
  const second = session.savepoint();
  for (const use of [() => second.query(sql`insert 1`), () => second.release()]) {
    await assertRejects(use, SessionEndedError, "cannot be open side by side");
  }
  await second.rollback();
  await first.release();
  await session.commit();
});

Deno.test("hooks of a savepoint without a function run after the commit if it was released, and not if it was undone", async () => {
  const { db } = scripted();
  await using _ = db;
  const ran: string[] = [];
  await using session = db.session();
  const kept = session.savepoint();
  await kept.query(sql`insert 1`);
  kept.afterCommit(() => void ran.push("kept"));
  await kept.release();
  const undone = session.savepoint();
  await undone.query(sql`insert 2`);
  undone.afterCommit(() => void ran.push("undone"));
  await undone.rollback();
  await session.commit();
  await session.idle();
  assertEquals(ran, ["kept"]);
});

Deno.test("a unit does not commit while a savepoint without a function is open, and is rolled back", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await assertRejects(
    () =>
      db.transaction(async (session) => {
        await session.savepoint().query(sql`insert 1`);
        await session.commit();
      }),
    SessionEndedError,
    "end the savepoint",
  );
  assert(!flights().flat().includes("commit"));
});

const misuses: [what: string, use: (session: Session) => Promise<unknown> | void][] = [
  ["query()", (session) => session.query(sql`select 1`)],
  ["commit()", (session) => session.commit()],
  ["a second savepoint()", (session) => session.savepoint(() => {})],
  ["stream()", (session) => session.stream(sql`select 1`).next()],
  ["afterCommit()", (session) => session.afterCommit(() => {})],
];
for (const [what, use] of misuses) {
  Deno.test(`${what} of a session throws while a savepoint is open in it`, async () => {
    const { db, flights } = scripted();
    await using _ = db;
    await using session = db.session();
    await session.savepoint(async (inner) => {
      await inner.query(sql`insert 1`);
      await assertRejects(async () => await use(session), SessionEndedError, "end the savepoint");
    });
    await session.commit();
    assertEquals(flights().flat().filter((text) => text === "insert 1").length, 1);
  });
}

Deno.test("a second savepoint beside an open one throws", async () => {
  const { db } = scripted();
  await using _ = db;
  await using session = db.session();
  const both = await Promise.allSettled([
    session.savepoint((inner) => inner.query(sql`insert 1`)),
    session.savepoint((inner) => inner.query(sql`insert 2`)),
  ]);
  assertEquals(both.map(({ status }) => status), ["fulfilled", "rejected"]);
  assertInstanceOf((both[1] as PromiseRejectedResult).reason, SessionEndedError);
  await session.commit();
});

Deno.test("a savepoint's session throws after the end of the savepoint", async () => {
  const { db } = scripted();
  await using _ = db;
  await using session = db.session();
  let kept: Session | undefined;
  await session.savepoint((inner) => void (kept = inner));
  await assertRejects(() => kept!.query(sql`select 1`), SessionEndedError, "savepoint");
});

Deno.test("statements that a savepoint's function has not awaited belong to the savepoint", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.savepoint((inner) => {
    inner.query(sql`insert 1`);
    inner.savepoint((innermost) => innermost.query(sql`insert 2`));
  });
  await session.commit();
  assertEquals(flights().at(-1), [
    "release savepoint savepoint_2",
    "release savepoint savepoint_1",
    "commit",
  ]);
});

Deno.test("rolling back the session ends the savepoint that is open inside it", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  await assertRejects(
    () =>
      session.savepoint(async (inner) => {
        await inner.query(sql`insert 1`);
        await session.rollback();
      }),
    SessionEndedError,
    "rolled back",
  );
  assertEquals(flights().at(-1), ["ROLLBACK"]);
});

Deno.test("a connection lost in a savepoint ends the session", async () => {
  const { db } = scripted(({ text }, connection) => {
    if (text === "insert 2") connection.cut({ begun: true });
    return undefined;
  });
  await using _ = db;
  await using session = db.session();
  await session.query(sql`insert 1`);
  await assertRejects(
    () => session.savepoint((inner) => inner.query(sql`insert 2`)),
    ConnectionLostError,
  );
  await assertRejects(() => session.commit(), SessionEndedError, "lost");
});

Deno.test("a value that cannot be sent keeps the prepended statements for the next flight", async () => {
  const { db, flights } = scripted();
  await using _ = db;
  await using session = db.session();
  await session.savepoint(async (inner) => {
    await assertRejects(() => inner.query(sql`insert ${"\0"}`), TypeError, "NUL");
    await inner.query(sql`insert 1`);
  });
  await session.commit();
  assertEquals(flights()[0], [BEGIN, "savepoint savepoint_1", "insert 1"]);
});

Deno.test("writes in a rolled-back savepoint do not count as writes of the unit", async () => {
  const { db } = scripted();
  await using _ = db;
  await db.transaction(async (session) => {
    await session.savepoint(async (inner) => {
      await inner.query(sql`insert 1`);
      throw failure;
    }).catch(() => {});
  });
  await assertRejects(
    () => db.transaction((session) => session.savepoint((inner) => inner.query(sql`insert 1`))),
    SessionNotCommittedError,
  );
});

Deno.test("transaction() waits for a savepoint that the work has not awaited", async () => {
  const { db } = scripted();
  await using _ = db;
  await assertRejects(() =>
    db.transaction((session) => {
      session.savepoint(async (inner) => {
        await Promise.resolve();
        await inner.query(sql`insert 1`);
      });
      return Promise.resolve();
    }), SessionNotCommittedError);
});
