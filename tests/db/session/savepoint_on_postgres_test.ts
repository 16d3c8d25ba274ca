/** Savepoints on a real server: their statements are sent with later flights, and must mean the same. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import fc from "fast-check";
import {
  type Database,
  ServerError,
  type Session,
  SessionEndedError,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { localDatabase } from "../../support/local_database.ts";

const database = await localDatabase();

/** Gives the test a table of numbers. */
async function withNumbers(
  work: (db: Database, numbers: () => Promise<number[]>) => Promise<void>,
): Promise<void> {
  await using branch = await database.connect();
  await branch.asAdmin(`do $$ begin
    drop table if exists numbers;
    create table numbers (n int primary key deferrable initially deferred);
    grant all on numbers to public;
  end $$`);
  const db = branch.open();
  await work(db, async () => {
    const [rows] = await db.session({ readOnly: true }).commit([
      sql<{ n: number }>`select n from numbers order by n`,
    ]);
    return rows.map(({ n }) => n);
  });
}

function insert(n: number) {
  return sql`insert into numbers values (${n})`;
}

const failing = trustedSql("select 1 / 0");

Deno.test("a failed statement in a savepoint is undone, and the transaction can go on", () =>
  withNumbers(async (db, numbers) => {
    await using session = db.session();
    await session.query(insert(1));
    const error = await assertRejects(
      () => session.savepoint((inner) => inner.batch([insert(2), failing])),
      ServerError,
    );
    assertEquals(error.sqlState, "22012");
    await session.query(insert(3));
    await session.savepoint((inner) => inner.query(insert(4)));
    await session.commit();
    assertEquals(await numbers(), [1, 3, 4]);
  }));

Deno.test("the first statement of a session may fail in a savepoint", () =>
  withNumbers(async (db, numbers) => {
    await using session = db.session();
    await assertRejects(() => session.savepoint((inner) => inner.query(failing)));
    await session.commit([insert(1)]);
    assertEquals(await numbers(), [1]);
  }));

Deno.test("a setting made in a savepoint lasts only if the savepoint is released", () =>
  withNumbers(async (db) => {
    await using session = db.session({ locals: { "app.user": "Ann" } });
    const set = (user: string) => sql`select set_config('app.user', ${user}, true)`;
    const shown = sql<{ user: string }>`select current_setting('app.user') as user`;
    await session.savepoint(async (inner) => {
      await inner.query(set("Bob"));
      throw new Error("changed my mind");
    }).catch(() => {});
    assertEquals(await session.query(shown), [{ user: "Ann" }]);
    await session.savepoint((inner) => inner.query(set("Cem")));
    assertEquals(await session.query(shown), [{ user: "Cem" }]);
  }));

Deno.test("releasing a savepoint does not check deferred constraints", () =>
  withNumbers(async (db, numbers) => {
    await using session = db.session();
    await session.savepoint((inner) => inner.batch([insert(1), insert(1)]));
    await session.commit([trustedSql("delete from numbers where ctid = '(0,2)'")]);
    assertEquals(await numbers(), [1]);
  }));

Deno.test("a constraint made immediate in a savepoint fails in the savepoint", () =>
  withNumbers(async (db, numbers) => {
    await using session = db.session();
    await session.query(insert(1));
    const error = await assertRejects(
      () =>
        session.savepoint((inner) =>
          inner.batch([insert(1), trustedSql("set constraints all immediate")])
        ),
      ServerError,
    );
    assertEquals(error.sqlState, "23505");
    await session.commit();
    assertEquals(await numbers(), [1]);
  }));

Deno.test("a savepoint may be opened while the rows of a stream are read", () =>
  withNumbers(async (db, numbers) => {
    await using session = db.session();
    const rows = sql<{ n: number }>`select n from generate_series(1, 7) as n`;
    for await (const { n } of session.stream(rows, { batchSize: 2 })) {
      await session.savepoint((inner) => inner.batch([insert(n), ...(n % 2 ? [] : [failing])]))
        .catch(() => {});
    }
    await session.commit();
    assertEquals(await numbers(), [1, 3, 5, 7]);
  }));

Deno.test("a serialization failure in a savepoint retries the whole unit", () =>
  withNumbers(async (db, numbers) => {
    await db.transaction((session) => session.commit([insert(1)]));
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      await session.query(sql`select * from numbers`);
      if (runs === 1) {
        await db.transaction((other) => other.commit([sql`update numbers set n = 2`]));
      }
      await session.savepoint((inner) => inner.query(sql`update numbers set n = n + 10`));
      await session.commit();
    }, { isolation: "repeatable read" });
    assertEquals([runs, ...await numbers()], [2, 12]);
  }));

Deno.test("rolling back a savepoint ends the savepoint that is open inside it", () =>
  withNumbers(async (db, numbers) => {
    await using session = db.session();
    await session.query(insert(1));
    await session.savepoint((outer) =>
      outer.savepoint(async (inner) => {
        await inner.query(insert(2));
        await outer.rollback();
        await assertRejects(() => inner.query(insert(3)), SessionEndedError);
      })
    );
    await session.commit();
    assertEquals(await numbers(), [1]);
  }));

for (const isUsed of [false, true]) {
  const title = `a stream is closed even if ${
    isUsed ? "a used" : "an unused"
  } savepoint was rolled back meanwhile`;
  Deno.test(title, () =>
    withNumbers(async (db, numbers) => {
      await db.session().commit([insert(1), insert(2)]);
      await using session = db.session();
      const rows = session.stream(sql`select * from numbers`, { batchSize: 1 });
      await rows.next();
      await session.savepoint(async (inner) => {
        if (isUsed) await inner.query(insert(3));
        await rows.return();
        await inner.rollback();
      });
      // The server refuses TRUNCATE while a portal reads the table.
      await session.commit([sql`truncate numbers`]);
      assertEquals(await numbers(), []);
    }));
}

type Step =
  | "insert"
  | "hook"
  | "break off a stream"
  | "fail"
  | { readonly body: readonly Step[]; readonly end: "keep" | "throw" | "roll back" };

const { step } = fc.letrec<{ step: Step; savepoint: Step }>((tie) => ({
  savepoint: fc.record({
    body: fc.array(tie("step"), { maxLength: 4 }),
    end: fc.constantFrom("keep", "throw", "roll back"),
  }),
  step: fc.oneof(
    { maxDepth: 4 },
    fc.constantFrom<Step>("insert", "insert", "hook", "break off a stream", "fail"),
    tie("savepoint"),
    tie("savepoint"),
  ),
}));

/** Runs the steps, and records which rows and hooks must remain. */
class Program {
  #n = 0;
  readonly called: number[] = [];

  /** Returns the numbers that were inserted, and those of hooks. Throws if a step does. */
  async run(
    session: Session,
    steps: readonly Step[],
  ): Promise<{ rows: number[]; hooks: number[] }> {
    const kept = { rows: [] as number[], hooks: [] as number[] };
    for (const step of steps) {
      const n = ++this.#n;
      if (step === "insert") {
        await session.query(insert(n));
        kept.rows.push(n);
      } else if (step === "hook") {
        session.afterCommit(() => void this.called.push(n));
        kept.hooks.push(n);
      } else if (step === "break off a stream") {
        const rows = session.stream(sql`select * from generate_series(1, 9)`, { batchSize: 2 });
        for await (const _ of rows) break;
      } else if (step === "fail") await session.query(failing);
      else {
        const { rows, hooks } = await this.#savepoint(session, step);
        kept.rows.push(...rows);
        kept.hooks.push(...hooks);
      }
    }
    return kept;
  }

  async #savepoint(session: Session, { body, end }: Exclude<Step, string>) {
    const nothing = { rows: [], hooks: [] };
    try {
      return await session.savepoint(async (inner) => {
        const kept = await this.run(inner, body);
        if (end === "throw") throw new Error("changed my mind");
        if (end === "roll back") await inner.rollback();
        return end === "keep" ? kept : nothing;
      });
    } catch {
      return nothing;
    }
  }
}

Deno.test("after any nesting of savepoints, failures and streams, exactly the kept work remains", () =>
  withNumbers(async (db, numbers) => {
    const steps = fc.array(step, { maxLength: 6 }).map((steps) =>
      // A failure outside any savepoint would fail the transaction.
      steps.filter((step) => step !== "fail")
    );
    await fc.assert(
      fc.asyncProperty(steps, async (steps) => {
        await db.transaction((session) => session.commit([sql`delete from numbers`]));
        const program = new Program();
        const session = db.session();
        const { rows, hooks } = await program.run(session, steps);
        await session.commit();
        assert(session.isCommitted);
        await nextTurn();
        assertEquals([await numbers(), program.called], [rows, hooks]);
        assertEquals(db.stats().leased, 0);
      }),
      { numRuns: 150 },
    );
  }));

/** Hooks without asynchronous work have run by the next timer. */
function nextTurn(): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, 0));
}
