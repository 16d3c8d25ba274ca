/** Which of the errors that hide a failure of the database behind a `cause` are run again, and which are not. */
import { assertEquals, assertInstanceOf, assertRejects, assertStrictEquals } from "@std/assert";
import { ConnectionLostError, ServerError, type Session, sql } from "../../src/db/mod.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { type Reply, ScriptedDriver, serverError } from "../support/scripted_driver.ts";

/** As the errors that ORMs throw in place of the driver's: `DrizzleQueryError`, for one. */
class LibraryError extends Error {}

function scripted(reply: Reply) {
  const driver = new ScriptedDriver({ reply });
  // Without jitter, an attempt follows the last one at once.
  return databaseOf(poolOf(driver), { random: () => 0 });
}

/** `update t` fails with `sqlState` at its first run. */
function failingOnce(sqlState = "40001"): Reply {
  let failed = false;
  return ({ text }) => {
    if (text !== "update t" || failed) return undefined;
    failed = true;
    return serverError(sqlState, "scripted");
  };
}

const update = (session: Session) => session.query(sql`update t`);

/** As an ORM does: what its query throws has the database's error as its cause. */
function wrapped(
  session: Session,
  wrap = (cause: unknown): unknown => new LibraryError("x", { cause }),
) {
  return update(session).catch((cause) => {
    throw wrap(cause);
  });
}

function deep(cause: unknown, depth: number): unknown {
  for (let level = 0; level < depth; level++) cause = new LibraryError(`${level}`, { cause });
  return cause;
}

const HIDDEN: readonly [what: string, wrap: (cause: unknown) => unknown][] = [
  ["a library's error", (cause) => new LibraryError("x", { cause })],
  ["eight of them", (cause) => deep(cause, 8)],
  ["an AggregateError", (cause) => new AggregateError([new Error("first"), cause])],
  ["a SuppressedError", (cause) => new SuppressedError(new Error("in a disposal"), cause)],
  ["an object that is no error", (cause) => ({ cause })],
  [
    "an error whose other properties throw",
    (cause) =>
      Object.defineProperty(new LibraryError("x", { cause }), "errors", {
        get() {
          throw new TypeError("a getter");
        },
      }),
  ],
  [
    "a cycle that holds it",
    (cause) => {
      const inner = new AggregateError([cause]);
      const outer = new LibraryError("x", { cause: inner });
      inner.cause = outer;
      return outer;
    },
  ],
];

for (const [what, wrap] of HIDDEN) {
  Deno.test(`a transient failure is run again behind ${what}`, async () => {
    await using db = scripted(failingOnce());
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await wrapped(session, wrap);
      await session.commit();
    });
    assertEquals(runs, 2);
  });
}

Deno.test("a transient failure is run again behind a library's error that leaves savepoints", async () => {
  await using db = scripted(failingOnce());
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    await session.savepoint((outer) => outer.savepoint((inner) => wrapped(inner)));
    await session.commit();
  });
  assertEquals(runs, 2);
});

Deno.test("a transient failure is run again behind a library's error that leaves the blocks of savepoints", async () => {
  await using db = scripted(failingOnce());
  let runs = 0;
  await db.transaction(async (session) => {
    runs++;
    {
      await using outer = session.savepoint();
      await using inner = outer.savepoint();
      await wrapped(inner);
      await inner.release();
      await outer.release();
    }
    await session.commit();
  });
  assertEquals(runs, 2);
});

const UNREADABLE: readonly [what: string, make: () => unknown][] = [
  ["a cycle of causes", () => {
    const error = new Error("x");
    error.cause = new Error("y", { cause: error });
    return error;
  }],
  [
    "a throwing cause",
    () =>
      Object.defineProperty(new Error("x"), "cause", {
        get() {
          throw new TypeError("a getter");
        },
      }),
  ],
  ["a revoked proxy", () => {
    const { proxy, revoke } = Proxy.revocable({}, {});
    revoke();
    return proxy;
  }],
  ["a hundred thousand causes", () => deep(undefined, 100_000)],
  ["undefined", () => undefined],
];

for (const [what, make] of UNREADABLE) {
  Deno.test(`the work's own error comes out at once, also with ${what}`, async () => {
    await using db = scripted(failingOnce());
    const thrown = make();
    let runs = 0;
    let caught: unknown = "nothing";
    await db.transaction(async (session) => {
      runs++;
      await session.query(sql`select 1`);
      throw thrown;
    }).catch((error) => {
      caught = error;
    });
    assertStrictEquals(caught, thrown);
    assertEquals(runs, 1);
  });
}

/** The work has dealt with the failure; its own error only tells of it. */
const HANDLED: readonly [what: string, work: (session: Session) => Promise<unknown>][] = [
  ["in the block of a savepoint, before other work", async (session) => {
    let cause: unknown;
    try {
      await using inner = session.savepoint();
      await update(inner);
    } catch (error) {
      cause = error;
    }
    await session.query(sql`select 2`);
    throw new LibraryError("busy", { cause });
  }],
  ["in a savepoint", async (session) => {
    try {
      await session.savepoint((inner) => update(inner));
    } catch (cause) {
      throw new LibraryError("busy", { cause });
    }
  }],
  ["in a savepoint, behind another error", async (session) => {
    try {
      await session.savepoint((inner) => wrapped(inner));
    } catch (cause) {
      throw new LibraryError("busy", { cause });
    }
  }],
];

for (const [what, work] of HANDLED) {
  Deno.test(`the work's own error is final if it tells of a failure that was handled ${what}`, async () => {
    await using db = scripted(failingOnce("55P03"));
    let runs = 0;
    const error = await assertRejects(() =>
      db.transaction((session) => {
        runs++;
        return work(session);
      }), LibraryError);
    assertEquals([runs, error.message], [1, "busy"]);
  });
}

Deno.test("the work's own error is final if it tells of another session's failure", async () => {
  await using db = scripted(failingOnce());
  let runs = 0;
  await assertRejects(() =>
    db.transaction(async (session) => {
      runs++;
      await session.query(sql`select 1`);
      await using other = db.session();
      await wrapped(other);
    }), LibraryError);
  assertEquals(runs, 1);
});

Deno.test("a session that the work uses after a swallowed loss fails by the loss, and the unit is run again", async () => {
  let runs = 0;
  const db = scripted(({ text }, connection) => {
    if (text !== "update t" || runs > 1) return undefined;
    connection.cut({ fatal: serverError("57P01", "terminating connection", "FATAL") });
    return undefined;
  });
  await using _ = db;
  await db.transaction(async (session) => {
    runs++;
    await update(session).catch((error) => assertInstanceOf(error, ConnectionLostError));
    await session.query(sql`select 2`);
    await session.commit();
  });
  assertEquals(runs, 2);
});

Deno.test("a session that the work uses after its own rollback is the work's mistake, whatever was rolled back", async () => {
  await using db = scripted(failingOnce());
  let runs = 0;
  await assertRejects(
    () =>
      db.transaction(async (session) => {
        runs++;
        await update(session).catch((error) => assertInstanceOf(error, ServerError));
        await session.rollback();
        await session.query(sql`select 2`);
      }),
    Error,
    "Cannot use the session as it has ended",
  );
  assertEquals(runs, 1);
});
