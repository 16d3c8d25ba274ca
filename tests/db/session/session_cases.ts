/** Cases of sessions that need a real server. They run directly and through a pooler. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  CommitRowsLostError,
  ConnectionLostError,
  type Database,
  DeadlineError,
  PoolClosedError,
  ServerError,
  SessionEndedError,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import type { Branch } from "../../support/branch.ts";

export interface SessionCase {
  readonly name: string;
  /** Each case gets its own branch. */
  run(branch: Branch): Promise<void>;
}

const cases: SessionCase[] = [];
export const sessionCases: readonly SessionCase[] = cases;

function sessionCase(name: string, run: SessionCase["run"]): void {
  cases.push({ name, run });
}

function insertUser(email: string) {
  return sql`insert into users (id, email, name) values (gen_random_uuid(), ${email}, 'Ann')`;
}

async function assertUserCount(db: Database, email: string, count: bigint): Promise<void> {
  await using session = db.session({ readOnly: true });
  const [rows] = await session.commit([sql`select count(*) from users where email = ${email}`]);
  assertEquals(rows, [{ count }], email);
}

sessionCase(
  "db.run runs outside a transaction, and its warnings and the text of what failed arrive",
  async (branch) => {
    const db = branch.open();
    const warnings: (string | undefined)[] = [];
    const vacuum = sql`vacuum users`;
    // The service's role owns no table, which VACUUM tells by a warning.
    await db.run(vacuum, { onNotice: ({ message }) => void warnings.push(message) });
    assertEquals(warnings.map((text) => text?.slice(0, 18)), ["permission denied "]);
    await using session = db.session();
    const batch = session.batch([sql`select 1`, vacuum]);
    const error = await assertRejects(() => batch, ServerError, "`db.run(statement)`");
    assertEquals(error.statement, "vacuum users");
  },
);

sessionCase(
  "a transaction begins with the session's settings, and none of them stays on the connection",
  async (branch) => {
    const db = branch.open();
    const settings = [
      "transaction_isolation",
      "transaction_read_only",
      "transaction_deferrable",
      "statement_timeout",
      "lock_timeout",
      "idle_in_transaction_session_timeout",
      "transaction_timeout",
      "app.user",
    ];
    const shown = settings.map((name) =>
      `coalesce(current_setting('${name}', true), '') as "${name}"`
    );
    const show = trustedSql<Record<string, string>>(`select ${shown.join(", ")}`);
    const [[inside]] = await db.transaction((session) => session.commit([show]), {
      isolation: "serializable",
      readOnly: true,
      deferrable: true,
      statementTimeoutMs: 1_000,
      lockTimeoutMs: 2_000,
      idleTransactionTimeoutMs: 3_000,
      transactionTimeoutMs: 4_000,
      locals: { "app.user": "it's Ann" },
    });
    assertEquals(inside, {
      transaction_isolation: "serializable",
      transaction_read_only: "on",
      transaction_deferrable: "on",
      statement_timeout: "1s",
      lock_timeout: "2s",
      idle_in_transaction_session_timeout: "3s",
      transaction_timeout: "4s",
      "app.user": "it's Ann",
    });
    const [[after]] = await db.transaction((session) => session.commit([show]));
    assertEquals(after?.["statement_timeout"], "15s");
    assertEquals(after?.["app.user"], "");
  },
);

sessionCase("a committed write remains, and one that was rolled back does not", async (branch) => {
  const db = branch.open();
  {
    await using session = db.session();
    await session.query(insertUser("kept@example.org"));
    await session.commit();
  }
  {
    await using session = db.session();
    await session.query(insertUser("dropped@example.org"));
  }
  await assertUserCount(db, "kept@example.org", 1n);
  await assertUserCount(db, "dropped@example.org", 0n);
});

sessionCase("the statement timeout applies to the first statement", async (branch) => {
  await using session = branch.open().session({ statementTimeoutMs: 50 });
  const error = await assertRejects(() => session.query(sql`select pg_sleep(60)`), ServerError);
  assertEquals(error.sqlState, "57014");
});

sessionCase("the lock timeout applies to the first statement", async (branch) => {
  const db = branch.open();
  await db.transaction((session) => session.commit([insertUser("locked@example.org")]));
  const lock = sql`select 1 from users where email = 'locked@example.org' for update`;
  await using holder = db.session();
  await holder.query(lock);
  await using session = db.session({ lockTimeoutMs: 50 });
  const error = await assertRejects(() => session.query(lock), ServerError);
  assertEquals(error.sqlState, "55P03");
});

sessionCase("the server ends a session that is idle for too long", async (branch) => {
  await using session = branch.open().session({ idleTransactionTimeoutMs: 50 });
  const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
  await untilGone(branch, row!.pid);
  await assertRejects(() => session.query(sql`select 1`), ConnectionLostError);
});

sessionCase("the server ends a transaction that lasts too long", async (branch) => {
  await using session = branch.open().session({ transactionTimeoutMs: 50 });
  await assertRejects(() => session.query(sql`select pg_sleep(60)`), ConnectionLostError);
});

async function untilGone(branch: Branch, pid: number): Promise<void> {
  for (let attempt = 0; attempt < 5_000; attempt++) {
    const rows = await branch.asAdmin(`select 1 from pg_stat_activity where pid = ${pid}`);
    if (rows.length === 0) return;
  }
  throw new Error(`Cannot go on as the server still has its backend ${pid}`);
}

sessionCase("an aborted session's statement is stopped on the server", async (branch) => {
  const db = branch.open();
  const gaveUp = new AbortController();
  const running = assertRejects(
    () =>
      db.transaction((session) => session.query(sql`select pg_sleep(60)`), {
        signal: gaveUp.signal,
      }),
    DeadlineError,
  );
  await untilActivity(branch, "select pg_sleep(60)", 1n);
  gaveUp.abort();
  await running;
  await untilActivity(branch, "select pg_sleep(60)", 0n);
});

sessionCase(
  "a statement without the server's timeout is cancelled by the client's timeout",
  async (branch) => {
    const db = branch.open();
    await using session = db.session({ statementTimeoutMs: 100 });
    await session.query(sql`set local statement_timeout = 0`);
    // The statement timeout of 100 ms, and one second of grace for the answer.
    await assertRejects(
      () => session.query(sql`select pg_sleep(57)`),
      DeadlineError,
      "no answer within 1100 ms",
    );
    await untilActivity(branch, "select pg_sleep(57)", 0n);
  },
);

sessionCase(
  "closing the database stops running statements, and their callers get PoolClosedError",
  async (branch) => {
    const db = branch.open();
    const running = assertRejects(
      () => db.transaction((session) => session.query(sql`select pg_sleep(59)`)),
      PoolClosedError,
    );
    await untilActivity(branch, "select pg_sleep(59)", 1n);
    await db.close({ timeoutMs: 0 });
    await running;
    await untilActivity(branch, "select pg_sleep(59)", 0n);
  },
);

export async function untilActivity(branch: Branch, query: string, count: bigint): Promise<void> {
  for (let attempt = 0; attempt < 500; attempt++) {
    const [row] = await branch.asAdmin<{ count: bigint }>(
      `select count(*) from pg_stat_activity
       where state = 'active' and query = '${query}' and datname = current_database()`,
    );
    if (row?.count === count) return;
  }
  throw new Error(`Cannot go on as the server still does not run "${query}" ${count} times`);
}

sessionCase(
  "serializable units that conflict are retried until each one succeeds",
  async (branch) => {
    const db = branch.open();
    await db.transaction((session) => session.commit([insertUser("counter@example.org")]));
    const increment = () =>
      db.transaction(async (session) => {
        const [row] = await session.query(
          sql<{ version: number }>`select version from users where email = 'counter@example.org'`,
        );
        await session.commit([sql`
        update users set version = ${row!.version + 1} where email = 'counter@example.org'`]);
      }, { isolation: "serializable", attempts: 50 });
    await Promise.all(Array.from({ length: 8 }, increment));
    const [row] = await db.transaction((session) =>
      session.query(
        sql<{ version: number }>`select version from users where email = 'counter@example.org'`,
      )
    );
    assertEquals(row?.version, 9);
  },
);

sessionCase("the victim of a deadlock is retried", async (branch) => {
  const db = branch.open();
  await db.transaction((session) =>
    session.commit([insertUser("one@example.org"), insertUser("two@example.org")])
  );
  const bothHold = Promise.withResolvers<void>();
  let holding = 0;
  let runs = 0;
  const touch = (emails: [string, string]) =>
    db.transaction(async (session) => {
      runs++;
      await session.query(sql`update users set version = version + 1 where email = ${emails[0]}`);
      if (++holding === 2) bothHold.resolve();
      await bothHold.promise;
      await session.commit([
        sql`update users set version = version + 1 where email = ${emails[1]}`,
      ]);
    });
  await Promise.all([
    touch(["one@example.org", "two@example.org"]),
    touch(["two@example.org", "one@example.org"]),
  ]);
  assertEquals(runs, 3);
});

sessionCase("a statement that ends the transaction ends the session", async (branch) => {
  await using session = branch.open().session();
  await assertRejects(
    () => session.query(trustedSql("commit")),
    SessionEndedError,
    "a statement has ended the transaction",
  );
  await assertRejects(() => session.query(insertUser("outside@example.org")), SessionEndedError);
});

sessionCase(
  "a COMMIT after a statement that has ended the transaction is an error",
  async (branch) => {
    const db = branch.open();
    for (const [text, count] of [["rollback", 0n], ["commit", 1n]] as const) {
      const email = `ended-by-${text}@example.org`;
      await using session = db.session();
      await assertRejects(
        () => session.commit([insertUser(email), trustedSql(text)]),
        SessionEndedError,
        "a statement has ended the transaction",
      );
      assertEquals(session.isCommitted, count === 1n);
      await assertUserCount(db, email, count);
    }
  },
);

sessionCase(
  "a transaction stays committed if the driver cannot read another answer of its flight",
  async (branch) => {
    const db = branch.open();
    const parsers = {
      23: () => {
        throw new Error("from the parser");
      },
    };
    await using session = db.session({ parsers });
    await assertRejects(
      () => session.commit([insertUser("unread@example.org"), sql`select 1 as one`]),
      CommitRowsLostError,
      "a parser failed",
    );
    assertEquals(session.isCommitted, true);
    await assertUserCount(db, "unread@example.org", 1n);
  },
);

sessionCase("a constraint that fails at COMMIT rolls the transaction back", async (branch) => {
  const db = branch.open();
  await branch.asAdmin(`
    create table deferred (id int primary key deferrable initially deferred)`);
  await branch.asAdmin("grant all on deferred to public");
  const twice = sql`insert into deferred values (1)`;
  const error = await assertRejects(
    () => db.transaction((session) => session.commit([twice, twice])),
    ServerError,
  );
  assertEquals(error.sqlState, "23505");
  assertEquals(db.stats().idle, 1);
});

sessionCase("no caller notices backends that were killed while idle", async (branch) => {
  const db = branch.open();
  const reads = () =>
    Promise.all(
      Array.from({ length: 10 }, () =>
        db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true })),
    );
  await reads();
  await branch.asAdmin(`
    select pg_terminate_backend(pid, 5000) from pg_stat_activity
    where application_name = 'user-service' and datname = current_database()`);
  await reads();
  await Promise.all(
    Array.from(
      { length: 10 },
      (_, index) =>
        db.transaction((session) =>
          session.commit([insertUser(`after-kill-${index}@example.org`)])
        ),
    ),
  );
});

sessionCase(
  "a unit is retried if its backend is killed during the transaction",
  async (branch) => {
    const db = branch.open();
    let runs = 0;
    await db.transaction(async (session) => {
      runs++;
      const [row] = await session.query(sql<{ pid: number }>`select pg_backend_pid() as pid`);
      await session.query(insertUser("survivor@example.org"));
      if (runs === 1) await branch.asAdmin(`select pg_terminate_backend(${row!.pid})`);
      await session.query(sql`select 1`);
      await session.commit();
    });
    assertEquals(runs, 2);
    await assertUserCount(db, "survivor@example.org", 1n);
  },
);

sessionCase(
  "a unit is retried if its backend is killed while it runs COMMIT",
  async (branch) => {
    await branch.asAdmin(`
    create function linger() returns trigger language plpgsql
      as 'begin perform pg_sleep(60); return null; end'`);
    await branch.asAdmin(`
    create constraint trigger linger after insert on users deferrable initially deferred
      for each row when (new.email = 'lingering@example.org') execute function linger()`);
    let runs = 0;
    const running = branch.open().transaction(async (session) => {
      runs++;
      await session.query(insertUser("lingering@example.org"));
      await session.commit();
    });
    await untilActivity(branch, "commit", 1n);
    await branch.asAdmin(`
      create or replace function linger() returns trigger language plpgsql
      as 'begin return null; end'`);
    await branch.asAdmin(`
    select pg_terminate_backend(pid) from pg_stat_activity
    where query = 'commit' and state = 'active' and datname = current_database()`);
    await running;
    assertEquals(runs, 2);
    await assertUserCount(branch.open(), "lingering@example.org", 1n);
  },
);
