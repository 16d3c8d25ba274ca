/**
 * A lost COMMIT whose address leads to another server when the outcome is looked up: to a logical replica, which is a
 * cluster of its own with xids of its own, or to a physical standby, which continues the cluster.
 */
import { assertEquals } from "@std/assert";
import {
  CommitOutcomeUnknownError,
  type Database,
  type Session,
  sql,
} from "../../../src/db/mod.ts";
import { branchOf } from "../../support/branch.ts";
import {
  COMMIT,
  COMMITTED,
  dropBefore,
  hold,
  type Point,
  startFaultRelay,
} from "../../support/fault_relay.ts";
import { startMovingAddress } from "../../support/moving_address.ts";
import { promote, ReplicatingServer, subscribe } from "../../support/replicas.ts";

interface Move {
  readonly from: ReplicatingServer;
  readonly to: ReplicatingServer;
  /** What the unit inserts. */
  readonly name: string;
  /** Where the unit's connection is cut. By default the server has committed, and its answer is lost. */
  readonly point?: Point;
  /** Runs when the connection is cut, before the outcome is looked up at `to`. */
  readonly meanwhile?: (xid: string) => Promise<unknown>;
}

/** Loses a unit's COMMIT while its address moves. `rows` are the unit's rows on `to` afterwards. */
async function loseWhileMoving({ from, to, name, point = COMMITTED, meanwhile }: Move) {
  await using address = startMovingAddress(from);
  const targets = [{ hostname: "127.0.0.1", port: address.port }];
  await using relay = await startFaultRelay({ targets });
  const envOf = (role: "user_service" | "postgres") => {
    const url = from.url(role);
    url.port = String(address.port);
    return {
      DATABASE_URL: url.href,
      DATABASE_WS_PROXY: relay.url,
      DATABASE_PIPELINE_CONNECT: "on",
    };
  };
  await using branch = branchOf({ env: envOf("user_service"), adminEnv: envOf("postgres") });
  const db = branch.open();
  await useAtOnce(db, 3);
  const struck = relay.when(point, dropBefore());
  let runs = 0;
  let xid = "";
  const unit = db.transaction(async (session) => {
    runs++;
    const [row] = await session.query(sql<{ xid: string }>`
      with written as (insert into effects values (${name}))
      select pg_current_xact_id()::text as xid`);
    xid ||= row!.xid;
    if (runs === 1) asking = relay.when({ at: "dial", times: Infinity }, hold());
    await session.commit();
    return "done";
  }).catch((error) => error instanceof CommitOutcomeUnknownError ? error.reason : error);
  let asking: ReturnType<typeof relay.when>;
  await Promise.race([struck.struck(), unit]);
  await meanwhile?.(xid);
  address.moveTo(to);
  asking!.clear();
  asking!.release();
  const told = await unit;
  // A standby takes no writes, so that it is no reason to leave a primary that can still be reached.
  if (told !== "in recovery") {
    assertEquals(await useAtOnce(db, 3), [to.port, to.port, to.port], "the servers of later units");
  }
  const rows = await to.value(`select count(*)::int from effects where name = '${name}'`);
  return { told, runs, rows };
}

/** Uses this many connections at once, which are idle afterwards. Returns the ports of their servers. */
async function useAtOnce(db: Database, count: number): Promise<number[]> {
  const { promise, resolve } = Promise.withResolvers<void>();
  let open = 0;
  const work = async (session: Session) => {
    const port = sql<{ port: number }>`select inet_server_port() as port`;
    const [row] = await session.query(port);
    if (++open === count) resolve();
    await promise;
    return row!.port;
  };
  const uses = Array.from({ length: count }, () => db.transaction(work, { readOnly: true }));
  return await Promise.all(uses);
}

/** Assigns xids that all end as aborted, as those of any failed transactions. */
function abortXids(count: number): string {
  return `do $$ begin
    for turn in 1..${count} loop
      begin
        insert into effects values ('aborted');
        raise exception 'aborted';
      exception when others then
      end;
    end loop;
  end $$`;
}

/** What the server says about the xid. It is the lost unit's own only within the unit's cluster. */
function statusOn(server: ReplicatingServer, xid: string): Promise<unknown> {
  return server.value(`select pg_xact_status('${xid}'::xid8)`)
    .catch((error) => error.sqlState === "22023" ? "in the future" : error);
}

function hasRow(name: string): string {
  return `select exists (select from effects where name = '${name}')`;
}

const REVOKE = "revoke execute on function pg_control_system() from public";
const GRANT = "grant execute on function pg_control_system() to public";

/** Loses the answer to a COMMIT that is replicated before the outcome is looked up at the replica. */
async function loseToReplica({ from, to, name, status }: Move & { readonly status: string }) {
  let answered: unknown;
  const told = await loseWhileMoving({
    ...{ from, to, name },
    meanwhile: async (xid) => {
      await to.waitFor(hasRow(name));
      answered = await statusOn(to, xid);
    },
  });
  assertEquals(answered, status, "the replica's answer about the xid");
  return told;
}

Deno.test({
  name:
    "a lost COMMIT that is looked up at a logical replica is unknown, and its write is done once",
  timeout: 120_000,
  async fn(test) {
    await using from = await ReplicatingServer.start();
    await using to = await ReplicatingServer.start();
    await to.run(`alter role user_service password '${from.url().password}'`);
    await subscribe(to, from);

    await test.step("where its xid is in the future", async () => {
      await from.run(abortXids(2_000));
      const name = "future";
      assertEquals(
        await loseToReplica({ from, to, name, status: "in the future" }),
        { told: "other cluster", runs: 1, rows: 1 },
      );
    });
    await to.run(abortXids(10_000));
    await test.step("where its xid belongs to a transaction that was rolled back", async () => {
      assertEquals(
        await loseToReplica({ from, to, name: "aborted", status: "aborted" }),
        { told: "other cluster", runs: 1, rows: 1 },
      );
    });
    for (const [name, server] of [["its own server", from], ["the replica", to]] as const) {
      await test.step(`where ${name} does not tell its system identifier`, async () => {
        await server.run(REVOKE);
        assertEquals(
          await loseToReplica({ from, to, name, status: "aborted" }),
          { told: "cluster unknown", runs: 1, rows: 1 },
        );
        await server.run(GRANT);
      });
    }
  },
});

Deno.test({
  name:
    "a lost COMMIT that is looked up at a logical replica made from a copy of the data is unknown",
  timeout: 120_000,
  async fn() {
    await using from = await ReplicatingServer.start();
    await using to = await from.copy();
    await subscribe(to, from);
    const identifier = "select system_identifier::text from pg_control_system()";
    assertEquals(await to.value(identifier), await from.value(identifier));
    await from.run(abortXids(10));
    await to.run(abortXids(1_000));
    assertEquals(
      await loseToReplica({ from, to, name: "copied", status: "aborted" }),
      { told: "cluster unknown", runs: 1, rows: 1 },
    );
  },
});

Deno.test({
  name: "a lost COMMIT that is looked up at a physical standby",
  timeout: 120_000,
  async fn(test) {
    await using from = await ReplicatingServer.start();

    await test.step("is unknown before the promotion", async () => {
      await using to = await from.copy({ asStandby: true });
      const name = "recovering";
      const meanwhile = () => to.waitFor(hasRow(name));
      assertEquals(
        await loseWhileMoving({ from, to, name, meanwhile }),
        { told: "in recovery", runs: 1, rows: 1 },
      );
    });

    await test.step("is unknown if the promoted standby has received it", async () => {
      await using to = await from.copy({ asStandby: true });
      const name = "received";
      const meanwhile = async () => {
        await to.waitFor(hasRow(name));
        await promote(to);
      };
      assertEquals(
        await loseWhileMoving({ from, to, name, meanwhile }),
        { told: "restarted", runs: 1, rows: 1 },
      );
    });

    await test.step("is rolled back, and run again, if the promoted standby has not received it", async () => {
      await using to = await from.copy({ asStandby: true });
      await to.run("alter system set primary_conninfo = ''");
      await to.run("select pg_reload_conf()");
      await from.waitFor("select count(*) = 0 from pg_stat_replication");
      assertEquals(
        await loseWhileMoving({ from, to, name: "missed", meanwhile: () => promote(to) }),
        { told: "done", runs: 2, rows: 1 },
      );
    });

    await test.step("is unknown if its own server did not tell its system identifier", async () => {
      await using to = await from.copy({ asStandby: true });
      await from.run(REVOKE);
      const name = "untold";
      await to.waitFor(
        "select not has_function_privilege('user_service', 'pg_control_system()', 'execute')",
      );
      const meanwhile = async () => {
        await promote(to);
        await to.run(GRANT);
      };
      assertEquals(
        await loseWhileMoving({ from, to, name, point: COMMIT, meanwhile }),
        { told: "cluster unknown", runs: 1, rows: 0 },
      );
      await from.run(GRANT);
    });
  },
});

Deno.test({
  name: "a lost COMMIT on a server that does not tell its system identifier",
  timeout: 120_000,
  async fn(test) {
    await using server = await ReplicatingServer.start();
    await server.run(REVOKE);
    const move = { from: server, to: server };

    for (
      const [what, point, runs] of [["is committed", COMMITTED, 1], [
        "is rolled back",
        COMMIT,
        2,
      ]] as const
    ) {
      await test.step(`${what} in the same life of the server`, async () => {
        assertEquals(
          await loseWhileMoving({ ...move, name: what, point }),
          { told: "done", runs, rows: 1 },
        );
      });
    }
    await test.step("is unknown after a restart", async () => {
      assertEquals(
        await loseWhileMoving({
          ...{ ...move, name: "restarted", point: COMMIT },
          meanwhile: () => server.restart(),
        }),
        { told: "cluster unknown", runs: 1, rows: 0 },
      );
    });
  },
});
