/** A lost COMMIT that waits for a synchronous standby: the lookup must not terminate its backend. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { CommitOutcomeUnknownError, type Database, sql } from "../../../src/db/mod.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import { startPostgres } from "../../../src/dev/postgres.ts";
import { startRelay } from "../../../src/library/testing/relay/relay.ts";
import { makeScratch } from "../../dev/scratch.ts";
import { branchOf, runAlone } from "../../support/branch.ts";
import { pass, startFaultRelay } from "../../support/fault_relay.ts";

const WAITING = `select count(*)::int as count from pg_stat_activity
  where usename = 'user_service' and wait_event = 'SyncRep'`;

/** A server whose COMMITs wait for a standby that does not exist, with a fault relay in front. */
async function startWithoutStandby() {
  await using starting = new AsyncDisposableStack();
  const scratch = starting.use(await makeScratch());
  let postgres = await startPostgres({ directory: scratch.path });
  starting.defer(() => postgres.stop());
  const targets = [{ hostname: "127.0.0.1", port: postgres.port }];
  const relay = starting.use(await startFaultRelay({ targets }));
  const plain = starting.use(await startRelay({ targets }));
  const envOf = (role: "user_service" | "postgres", { url }: { url: string }) => ({
    DATABASE_URL: postgres.url({ role }),
    DATABASE_WS_PROXY: url,
    DATABASE_PIPELINE_CONNECT: "on",
  });
  const adminEnv = envOf("postgres", plain);
  const run = (text: string) => runAlone<{ count: number }>(adminEnv, text);
  await run("create table effects (name text)");
  await run("grant all on effects to user_service");
  await run("alter system set synchronous_standby_names = 'nobody'");
  await run("alter system set wal_level = 'replica'");
  await run("alter system set max_wal_senders = 1");
  // Restarted, because a reload reaches the process that applies the setting at an unknown time.
  await postgres.stop();
  postgres = await startPostgres({ directory: scratch.path });
  const branch = starting.use(branchOf({ env: envOf("user_service", relay), adminEnv }));
  const parts = starting.move();
  const open = () => branch.open();
  return { relay, run, open, db: open(), [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

Deno.test({
  name:
    "a COMMIT whose wait for its standby is cancelled has an unknown outcome, however it is cancelled, " +
    "also where the role has switched warnings off",
  timeout: 60_000,
  async fn() {
    await using server = await startWithoutStandby();
    const { run } = server;
    const isWaiting = async () => (await run(WAITING))[0]!.count === 1;
    const cancels: [name: string, cancel: (caller: AbortController) => unknown][] = [
      ["the caller's abort", (caller) => caller.abort()],
      [
        "another client's pg_cancel_backend",
        () =>
          run("select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'"),
      ],
    ];
    const insert = sql`insert into effects values ('effect')`;
    const writes: Record<string, (db: Database, signal: AbortSignal) => Promise<unknown>> = {
      "COMMIT": (db, signal) =>
        db.transaction(async (session) => {
          await session.query(insert);
          await session.commit();
        }, { signal }),
      "db.run": (db, signal) => db.run(insert, { signal, timeoutMs: 0 }),
    };
    for (const level of ["notice", "error"]) {
      // Does not wait for the standby itself.
      await run(`do $$ begin
        set local synchronous_commit = off;
        alter role user_service set client_min_messages = ${level};
      end $$`);
      const db = server.open();
      for (const [what, write] of Object.entries(writes)) {
        for (const [name, cancel] of cancels) {
          const caller = new AbortController();
          const unit = assertRejects(
            () => write(db, caller.signal),
            CommitOutcomeUnknownError,
            undefined,
            `${what}, ${level}, ${name}`,
          );
          assert(await pollUntil(isWaiting, { deadlineMs: 30_000, intervalMs: 10 }), name);
          await cancel(caller);
          assertEquals((await unit).reason, "not replicated");
        }
      }
      assertEquals(db.stats().unknown, 4);
    }
  },
});

Deno.test({
  name: "the lookup waits for a lost COMMIT that waits for a standby, and does not end it",
  timeout: 60_000,
  async fn() {
    await using server = await startWithoutStandby();
    const { relay, run, db } = server;
    await db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true });
    const question = {
      direction: "toServer",
      kind: "Execute",
      statement: /pg_xact_status/,
    } as const;
    const askedAgain = relay.when({ ...question, nth: 3 }, pass());
    let isTold = false;
    const unit = db.transaction(async (session) => {
      await session.query(sql`insert into effects values ('effect')`);
      await session.commit();
    }).finally(() => isTold = true);
    const isWaiting = async () => (await run(WAITING))[0]!.count === 1;
    assert(await pollUntil(isWaiting, { deadlineMs: 30_000, intervalMs: 10 }));
    for (const connection of relay.connections) connection.cut();
    await Promise.race([askedAgain.struck(), unit]);
    const [waiting] = await run(WAITING);
    assertEquals([isTold, waiting?.count], [false, 1], "before there is a standby");

    await run("alter system reset synchronous_standby_names");
    await run("select pg_reload_conf()");
    await unit;
    const [row] = await run("select count(*)::int as count from effects");
    assertEquals(row?.count, 1);
  },
});
