/** A lost COMMIT that waits for a synchronous standby: the lookup must not terminate its backend. */
import { assertEquals } from "@std/assert";
import { sql } from "../../../src/db/mod.ts";
import { startPostgres } from "../../../src/dev/postgres/server.ts";
import { startRelay } from "../../../src/dev/relay/relay.ts";
import { makeScratch } from "../../dev/scratch.ts";
import { branchOf, runAlone } from "../../support/branch.ts";
import { COMMIT_EXECUTE, dropAfter, pass, startFaultRelay } from "../../support/fault_relay.ts";

const WAITING = `select count(*)::int as count from pg_stat_activity
  where usename = 'user_service' and wait_event = 'SyncRep'`;

Deno.test({
  name: "the lookup waits for a lost COMMIT that waits for a standby, and does not end it",
  timeout: 60_000,
  async fn() {
    await using scratch = await makeScratch();
    await using stack = new AsyncDisposableStack();
    let postgres = await startPostgres({ directory: scratch.path });
    stack.defer(() => postgres.stop());
    const targets = [{ hostname: "127.0.0.1", port: postgres.port }];
    const relay = stack.use(await startFaultRelay({ targets }));
    const plain = stack.use(await startRelay({ targets }));
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

    const branch = stack.use(branchOf({ env: envOf("user_service", relay), adminEnv }));
    const db = branch.open();
    await db.transaction((session) => session.commit([sql`select 1`]), { readOnly: true });
    relay.when(COMMIT_EXECUTE, dropAfter());
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
