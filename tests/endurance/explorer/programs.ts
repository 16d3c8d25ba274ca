/** Short programs of one to three callers, each of which runs units of work, one after the other. */
import {
  ServerError,
  type Session,
  type SessionOptions,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import type { Unit } from "./unit.ts";

export interface UnitPlan {
  /** Names of the rows that it leaves if it succeeds. */
  readonly keeps: readonly string[];
  /** The name of the error that it ends with if nothing strikes. Such a unit never succeeds. */
  readonly throws?: string;
  readonly options?: SessionOptions;
  /** Callers that ask for the unit of one key ask for one unit. */
  readonly key?: string;
  /** Whether it counts in `Unit.hooks` what is called after its commit. */
  readonly hook?: true;
  /** Run without retry, in `await using session = db.session()`. */
  readonly once?: true;
  readonly work: Work;
}

type Work = (session: Session, unit: Unit) => Promise<void>;

export interface Program {
  readonly name: string;
  /** What each caller does: units of work, and pauses in milliseconds. */
  readonly callers: readonly (readonly (UnitPlan | number)[])[];
}

/** An error of the work's own. */
export class WorkError extends Error {
  override readonly name = "WorkError";
}

const FAILING = trustedSql("select 1/0");
const CONFLICTING = trustedSql("select conflict()");
const INVALIDATING = trustedSql("select break_deferred_constraint()");

const keeps = (names: readonly string[], work: Work, more: Partial<UnitPlan> = {}): UnitPlan => ({
  keeps: names,
  work,
  ...more,
});

const failsWith = (error: string, work: Work, more: Partial<UnitPlan> = {}): UnitPlan =>
  keeps([], work, { throws: error, ...more });

const read = keeps([], (session, unit) => unit.commit(session, [unit.select()]));

const write = keeps(["a"], (session, unit) => unit.commit(session, [unit.insert("a")]));

const writeThenCommit = keeps(["a"], async (session, unit) => {
  await unit.query(session, unit.insert("a"));
  await session.commit();
});

const rolledBack = keeps([], async (session, unit) => {
  await unit.query(session, unit.insert("x"));
  await session.rollback();
});

const severalFlights = keeps(["a", "b"], async (session, unit) => {
  await unit.query(session, unit.select());
  await unit.query(session, unit.insert("a"));
  await unit.query(session, unit.select());
  await unit.query(session, unit.insert("b"));
  await session.commit();
});

const keyed = keeps(["a", "b"], async (session, unit) => {
  await unit.query(session, unit.insert("a"));
  await unit.commit(session, [unit.insert("b")]);
}, { key: "key" });

const keyedInOneFlight = keeps(["a"], (session, unit) => unit.commit(session, [unit.insert("a")]), {
  key: "key",
});

const alone = (name: string, plan: UnitPlan): Program => ({ name, callers: [[plan]] });

const readOnly = keeps([], (session, unit) => unit.commit(session, [unit.select()]), {
  options: { readOnly: true },
});

/** Its error must reach its own caller alone. */
const failingRead = failsWith("ServerError", async (session) => {
  await session.commit([FAILING]);
}, { options: { readOnly: true } });

export const PROGRAMS: readonly Program[] = [
  alone("a read", read),
  alone(
    "a read that is not committed",
    keeps([], (session, unit) => unit.query(session, unit.select())),
  ),
  alone("a read-only read", readOnly),
  {
    name: "three reads on one connection",
    callers: [[readOnly, readOnly], [readOnly], [readOnly]],
  },
  {
    name: "reads on one connection, and one that fails",
    callers: [[readOnly, readOnly], [failingRead], [readOnly]],
  },
  {
    name: "reads on one connection, and a write",
    callers: [[readOnly, readOnly], [readOnly, write], [2, write, readOnly]],
  },
  alone(
    "serializable reads",
    keeps([], async (session, unit) => {
      await unit.query(session, unit.select());
      await unit.query(session, unit.select());
    }, { options: { isolation: "serializable", readOnly: true } }),
  ),
  alone("a write with its commit", write),
  alone("a write, then commit", writeThenCommit),
  alone("a write without retry", { ...writeThenCommit, once: true }),
  alone("several flights", severalFlights),
  alone(
    "a batch",
    keeps(["a", "b"], async (session, unit) => {
      await unit.batch(session, [unit.insert("a"), unit.select(), unit.insert("b")]);
      await session.commit();
    }),
  ),
  alone(
    "a write, then a write with its commit",
    keeps(["a", "b"], async (session, unit) => {
      await unit.query(session, unit.insert("a"));
      await unit.commit(session, [unit.insert("b")]);
    }),
  ),
  alone(
    "statements side by side",
    keeps(["a", "b"], async (session, unit) => {
      await Promise.all([
        unit.query(session, unit.insert("a")),
        unit.query(session, unit.select()),
        unit.query(session, unit.insert("b")),
      ]);
      await session.commit();
    }),
  ),
  alone(
    "a savepoint that is kept",
    keeps(["a", "b"], async (session, unit) => {
      await unit.query(session, unit.insert("a"));
      await session.savepoint((inner) => unit.query(inner, unit.insert("b")));
      await session.commit();
    }),
  ),
  alone(
    "a savepoint that is undone",
    keeps(["a", "b"], async (session, unit) => {
      await unit.query(session, unit.insert("a"));
      await session.savepoint(async (inner) => {
        await unit.query(inner, unit.insert("x"));
        await inner.rollback();
      });
      await unit.query(session, unit.insert("b"));
      await session.commit();
    }),
  ),
  alone(
    "a savepoint whose statement fails",
    keeps(["b"], async (session, unit) => {
      await failing(session.savepoint(async (inner) => {
        await unit.query(inner, unit.insert("x"));
        await inner.query(FAILING);
      }));
      await unit.commit(session, [unit.insert("b")]);
    }),
  ),
  alone(
    "savepoints in one another",
    keeps(["a", "b", "c"], async (session, unit) => {
      await session.savepoint(async (outer) => {
        await unit.query(outer, unit.insert("a"));
        await failing(outer.savepoint(async (inner) => {
          await unit.query(inner, unit.insert("x"));
          throw new WorkError("not this one");
        }));
        await outer.savepoint((inner) => unit.query(inner, unit.insert("b")));
      });
      await unit.commit(session, [unit.insert("c")]);
    }),
  ),
  alone(
    "a stream",
    keeps(["a"], async (session, unit) => {
      await unit.stream(session, unit.series(5));
      await unit.query(session, unit.insert("a"));
      await session.commit();
    }),
  ),
  alone(
    "a stream that is left early",
    keeps(["a", "b"], async (session, unit) => {
      await unit.query(session, unit.insert("a"));
      await unit.stream(session, unit.series(5), { atMost: 3 });
      await unit.commit(session, [unit.insert("b")]);
    }),
  ),
  alone("a rollback", rolledBack),
  alone(
    "an error of the work's own",
    failsWith("WorkError", async (session, unit) => {
      await unit.query(session, unit.insert("x"));
      throw new WorkError("no");
    }),
  ),
  alone(
    "a commit that was forgotten",
    failsWith("SessionNotCommittedError", (session, unit) => unit.query(session, unit.insert("x"))),
  ),
  alone(
    "a commit after a failure that was caught",
    failsWith("CommitRolledBackError", async (session, unit) => {
      await unit.query(session, unit.insert("x"));
      await failing(session.query(FAILING));
      await session.commit();
    }),
  ),
  alone(
    "a statement that fails in the flight of its commit",
    failsWith("ServerError", async (session, unit) => {
      await unit.query(session, unit.insert("x"));
      await session.commit([FAILING]);
    }),
  ),
  alone(
    "a commit that the server refuses",
    failsWith("ServerError", async (session, unit) => {
      await unit.query(session, unit.insert("x"));
      await session.commit([INVALIDATING]);
    }),
  ),
  alone(
    "a conflict, then success",
    keeps(
      ["a"],
      (() => {
        const conflicted = new WeakSet<Unit>();
        return async (session, unit) => {
          await unit.query(session, unit.insert("a"));
          if (!conflicted.has(unit)) {
            conflicted.add(unit);
            await session.query(CONFLICTING);
          }
          await session.commit();
        };
      })(),
    ),
  ),
  alone(
    "a hook for the commit",
    keeps(["a"], async (session, unit) => {
      session.afterCommit(() => void unit.hooks++);
      await unit.commit(session, [unit.insert("a")]);
    }, { hook: true }),
  ),
  alone("a keyed unit", keyed),
  alone("a keyed unit in one flight", keyedInOneFlight),
  alone(
    "a value that cannot be sent, then commit",
    keeps([], async (session, unit) => {
      await failing(session.query(sql`select ${"\0"} as echo`));
      await unit.commit(session, []);
    }),
  ),
  alone(
    "a loss that the work swallows",
    failsWith("SessionNotCommittedError", async (session, unit) => {
      await unit.query(session, unit.insert("x"));
      await unit.query(session, unit.select()).catch(() => {});
    }),
  ),
  alone(
    "a hidden write whose commit was forgotten",
    failsWith(
      "SessionNotCommittedError",
      (session, unit) => unit.query(session, unit.hiddenInsert("x")),
    ),
  ),
  alone(
    "a commit whose rows cannot be read",
    keeps(["a"], (session, unit) => unit.commit(session, [unit.unreadableInsert("a")]), {
      throws: "CommitRowsLostError",
    }),
  ),
  alone(
    "an error that cannot be changed",
    failsWith(
      "WorkError",
      (() => {
        const conflicted = new WeakSet<Unit>();
        return async (session, unit) => {
          await unit.query(session, unit.insert("x"));
          if (conflicted.has(unit)) throw Object.freeze(new WorkError("no"));
          conflicted.add(unit);
          await session.query(CONFLICTING);
        };
      })(),
    ),
  ),
  { name: "two callers of one key", callers: [[keyed], [keyed]] },
  {
    name: "two callers of one key in one flight",
    callers: [[keyedInOneFlight], [keyedInOneFlight]],
  },
  { name: "two units one after the other", callers: [[rolledBack, writeThenCommit]] },
  { name: "two units with a pause between them", callers: [[write, 1_500, write]] },
  {
    name: "three units with pauses",
    callers: [[writeThenCommit, 300, read, 2_000, severalFlights]],
  },
  { name: "two callers", callers: [[severalFlights], [writeThenCommit]] },
  {
    name: "three callers",
    callers: [[rolledBack, read], [writeThenCommit], [write, severalFlights]],
  },
];

/** Swallows the failure that the work provokes, and no other. */
async function failing(work: Promise<unknown>): Promise<void> {
  try {
    await work;
  } catch (error) {
    const isProvoked = error instanceof ServerError && error.sqlState === "22012" ||
      error instanceof WorkError || error instanceof TypeError;
    if (!isProvoked) throw error;
  }
}
