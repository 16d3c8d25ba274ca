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
    .map((texts) => texts.filter((text) => !/^select (set_config|pg_current_xact)/.test(text)));
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
    text.startsWith("select set_config") ? failure : undefined
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
      "return from the savepoint's function",
    );
    await assertRejects(() => inner.commit([sql`insert 2`]), SessionEndedError);
  });
  await session.commit();
  assertEquals(flights().at(-1), ["release savepoint savepoint_1", "commit"]);
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
      await assertRejects(async () => await use(session), SessionEndedError, "await the savepoint");
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
