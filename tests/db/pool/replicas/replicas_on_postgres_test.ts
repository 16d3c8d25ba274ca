/** Reads through two real standbys that lag, fail, are promoted, or follow another server. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type DatabaseStats, ServerError, type Session, sql } from "../../../../src/db/mod.ts";
import type { Result, Statement } from "../../../../src/db/driver/driver.ts";
import { hasReached, type Position } from "../../../../src/db/pool/replicas/position.ts";
import {
  askReplayed,
  askWritten,
  readPosition,
} from "../../../../src/db/pool/replicas/server_position.ts";
import {
  type DatabaseConfig,
  type OpenDatabase,
  openDatabase,
} from "../../../../src/library/deno/mod.ts";
import { startRelay } from "../../../../src/library/testing/relay/relay.ts";
import { pollUntil } from "../../../../src/library/testing/postgres/poll.ts";
import { COMMIT, COMMITTED, dropBefore, startFaultRelay } from "../../../support/fault_relay.ts";
import { findPgBouncer, startPgBouncer } from "../../../support/pgbouncer.ts";
import type { TestServer } from "../../../support/test_server.ts";
import { promote, ReplicatingServer } from "../../../support/replicas.ts";

/** Until it is disposed of, the standby replays nothing. */
async function pause(standby: ReplicatingServer): Promise<AsyncDisposable> {
  await standby.run("select pg_wal_replay_pause()");
  await standby.waitFor("select pg_get_wal_replay_pause_state() = 'paused'");
  return {
    async [Symbol.asyncDispose]() {
      await standby.run("select pg_wal_replay_resume()");
    },
  };
}

interface Servers extends AsyncDisposable {
  readonly primary: ReplicatingServer;
  readonly standbys: readonly ReplicatingServer[];
}

async function startServers(count: number): Promise<Servers> {
  await using starting = new AsyncDisposableStack();
  const primary = starting.use(await ReplicatingServer.start());
  const standbys: ReplicatingServer[] = [];
  for (let at = 0; at < count; at++) {
    standbys.push(starting.use(await primary.copy({ asStandby: true })));
  }
  for (const standby of standbys) await caughtUp(standby, primary);
  const parts = starting.move();
  return { primary, standbys, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

async function caughtUp(standby: ReplicatingServer, primary: ReplicatingServer): Promise<void> {
  const lsn = await primary.value("select pg_current_wal_flush_lsn()::text");
  await standby.waitFor(`select pg_last_wal_replay_lsn() >= '${lsn}'`);
}

function open(
  primary: ReplicatingServer,
  standbys: readonly ReplicatingServer[],
  { maxStalenessMs = 60_000 } = {},
): OpenDatabase {
  return openDatabase({
    url: primary.url().href,
    transport: "tcp",
    connectTimeoutMs: 2_000,
    pool: { size: 4, maxOverflow: 0 },
    replicas: { urls: standbys.map((each) => each.url().href), maxStalenessMs },
  });
}

/** Inserts the row, and returns the commit's position. */
async function write(db: OpenDatabase, name: string): Promise<string> {
  return await db.transaction(async (session) => {
    await session.commit([sql`insert into effects values (${name})`]);
    return session.position!;
  });
}

const rowsOf = (name: string) =>
  sql<{ count: number; port: number }>`
    select count(*)::int as count, inet_server_port() as port from effects where name = ${name}`;

/** How many rows a read sees, and which server it came from. */
async function read(db: OpenDatabase, name: string, after?: string) {
  const session = db.session({ readOnly: true, replica: after === undefined ? {} : { after } });
  const [[row]] = await session.commit([rowsOf(name)]);
  return row!;
}

/** Reads until the replica answers: the first reads bring a mark, and learn how far the replica is. */
async function settle(db: OpenDatabase, { port }: ReplicatingServer, after?: string) {
  const isThere = async () => (await read(db, "any", after)).port === port;
  assert(
    await pollUntil(isThere, { deadlineMs: 10_000, intervalMs: 20 }),
    "no read on the replica",
  );
}

/** What the server answers to the question. */
async function tell(server: ReplicatingServer, { text }: Statement): Promise<Position> {
  const rows = await server.run(`select * from (${text}) as told (cluster, timeline, lsn)`);
  const position = readPosition({ command: "SELECT", rows } as Result);
  assert(position !== undefined, text);
  return position;
}

interface Through {
  /** Of the primary and the standby. */
  readonly urls: readonly string[];
  readonly config: Partial<DatabaseConfig>;
}

/** Reads of one flight go as one HTTP request. */
async function endpointOf(
  servers: readonly ReplicatingServer[],
  stack: AsyncDisposableStack,
): Promise<Through> {
  const targets = servers.map(({ port }) => ({ hostname: "127.0.0.1", port }));
  const relay = stack.use(await startRelay({ targets }));
  return {
    urls: servers.map((server) => server.url().href),
    config: { wsProxy: relay.url, pipelineConnect: true, http: "on" },
  };
}

/** A pooler in transaction mode in front of each server. `undefined` where there is no PgBouncer. */
async function poolersOf(
  servers: readonly ReplicatingServer[],
  stack: AsyncDisposableStack,
): Promise<Through | undefined> {
  const program = await findPgBouncer();
  if (program === undefined) return undefined;
  const urls: string[] = [];
  for (const server of servers) {
    const roles = ["postgres", "user_service_owner", "user_service", "user_service_scram"] as const;
    const of = roles.map((role) => [role, server.url(role).href] as const);
    const pooler = await startPgBouncer(program, {
      port: server.port,
      urls: Object.fromEntries(of) as TestServer["urls"],
    });
    stack.defer(() => pooler.stop());
    const url = server.url();
    url.port = String(pooler.port);
    urls.push(url.href);
  }
  return { urls, config: { transport: "tcp" } };
}

/** What brings the primary's log to the beginning of a page. */
const LOG_BOUNDARIES = {
  "the primary has begun a new file of its log": "select pg_switch_wal()",
  "the primary has filled a page of its log": `do $$
    declare
      at pg_lsn;
      overhead bigint;
      free bigint;
    begin
      at := pg_current_wal_insert_lsn();
      perform pg_logical_emit_message(false, '', repeat('x', 400), true);
      overhead := pg_current_wal_insert_lsn() - at - 400;
      for attempt in 1..1000 loop
        free := 8192 - (pg_current_wal_insert_lsn() - '0/0'::pg_lsn) % 8192;
        exit when free = 8192 - 24;
        perform pg_logical_emit_message(false, '', repeat('x', greatest(free - overhead, 400)::int), true);
      end loop;
      if free <> 8192 - 24 then raise 'no page was filled: % bytes are free', free; end if;
    end $$`,
};

function sumOf(db: OpenDatabase, name: "reads" | "stale" | "failed"): number {
  const { replicas = [] }: DatabaseStats = db.stats();
  return replicas.reduce((sum, replica) => sum + replica[name], 0);
}

async function connectionsOf(...servers: readonly ReplicatingServer[]): Promise<number[]> {
  return await Promise.all(servers.map(async (server) =>
    Number(
      await server.value("select count(*) from pg_stat_activity where usename = 'user_service'"),
    )
  ));
}

Deno.test({
  name: "reads on a standby",
  timeout: 180_000,
  async fn(test) {
    await using servers = await startServers(1);
    const { primary, standbys: [standby] } = servers as Servers & { standbys: [ReplicatingServer] };

    await test.step("go there once it has the mark, and see the writes whose positions they bring", async () => {
      await using db = open(primary, [standby]);
      const after = await write(db, "first");
      assert(/^[0-9A-F]{8}-00000001-[0-9A-F]{16}$/.test(after), after);
      await settle(db, standby, after);
      assertEquals(await read(db, "first", after), { count: 1, port: standby.port });
      assertEquals(sumOf(db, "failed"), 0);
    });

    await test.step("leave no connection behind", async () => {
      const isLeft = async () => (await connectionsOf(primary, standby)).join() === "0,0";
      assert(await pollUntil(isLeft, { deadlineMs: 5_000, intervalMs: 50 }));
    });

    await test.step("while its replay is paused for ever, those with a position go to the primary", async () => {
      await using db = open(primary, [standby]);
      await write(db, "before");
      await caughtUp(standby, primary);
      await settle(db, standby);
      const paused = await pause(standby);
      const after = await write(db, "unseen");
      assertEquals(await read(db, "unseen"), { count: 0, port: standby.port });
      let reads = 0;
      const hasTried = async () => {
        assertEquals(await read(db, "unseen", after), { count: 1, port: primary.port });
        return ++reads >= 20 && sumOf(db, "stale") >= 2;
      };
      assert(await pollUntil(hasTried, { deadlineMs: 5_000, intervalMs: 5 }));
      assert(sumOf(db, "stale") <= 10, "the standby was tried by too many reads");
      const inTransaction = await db.transaction(
        async (session) => [await session.one(rowsOf("unseen")), await session.one(rowsOf("x"))],
        { readOnly: true, replica: { after }, attempts: 1 },
      );
      assertEquals(inTransaction[0], { count: 1, port: primary.port });
      await paused[Symbol.asyncDispose]();
      await settle(db, standby, after);
      assertEquals(await read(db, "unseen", after), { count: 1, port: standby.port });
    });

    await test.step("with synchronous_commit off, too", async () => {
      await using db = open(primary, [standby]);
      await settle(db, standby, await write(db, "marked"));
      const paused = await pause(standby);
      const after = await db.transaction(async (session) => {
        await session.query(sql`set local synchronous_commit = off`);
        await session.commit([sql`insert into effects values ('asynchronous')`]);
        return session.position!;
      });
      assertEquals(await read(db, "asynchronous", after), { count: 1, port: primary.port });
      await paused[Symbol.asyncDispose]();
      await settle(db, standby, after);
      assertEquals((await read(db, "asynchronous", after)).count, 1);
    });

    for (const [what, statement] of Object.entries(LOG_BOUNDARIES)) {
      await test.step(`go there although nothing is written after ${what}`, async () => {
        await primary.run(statement);
        // The server may write on its own in between.
        const written = await tell(primary, askWritten());
        const isThere = async () => hasReached(await tell(standby, askReplayed()), written);
        assert(await pollUntil(isThere, { deadlineMs: 2_000, intervalMs: 20 }), written);
        // Its first mark is of now.
        await using db = open(primary, [standby]);
        await settle(db, standby);
      });
    }

    await test.step("that are behind a slow one move to another connection of the standby", async () => {
      await using db = open(primary, [standby]);
      const after = await write(db, "quick");
      await settle(db, standby, after);
      const counters = () => db.stats().replicas![0]!.counters;
      const hasMoved = async () => {
        const slow = db.session({ readOnly: true, replica: { after } })
          .commit([sql`select pg_sleep(0.2)`]);
        const rows = await Promise.all(Array.from({ length: 20 }, () => read(db, "quick", after)));
        for (const row of rows) assertEquals(row, { count: 1, port: standby.port });
        await slow;
        return counters().moved > 0;
      };
      assert(await pollUntil(hasMoved, { deadlineMs: 20_000, intervalMs: 1 }));
      assertEquals(sumOf(db, "failed"), 0);
    });

    await test.step("go to the primary if nothing shows that they are young enough", async () => {
      await using db = open(primary, [standby], { maxStalenessMs: 300 });
      await settle(db, standby, await write(db, "young"));
      await using _paused = await pause(standby);
      await write(db, "younger");
      const isPrimary = async () => (await read(db, "younger")).port === primary.port;
      assert(await pollUntil(isPrimary, { deadlineMs: 5_000, intervalMs: 20 }));
      for (let times = 0; times < 20; times++) assertEquals((await read(db, "younger")).count, 1);
    });

    await test.step("go to the primary with a position of the future, of another cluster, or of none", async () => {
      await using db = open(primary, [standby]);
      const after = await write(db, "real");
      await settle(db, standby, after);
      const [cluster, timeline, lsn] = after.split("-");
      for (
        const forged of [
          `${cluster}-${timeline}-FFFFFFFFFFFFFFFF`,
          `${cluster}-FFFFFFFF-${lsn}`,
          `00000000-00000000-0000000000000000`,
          `FFFFFFFF-${timeline}-${lsn}`,
          "primary",
        ]
      ) {
        for (let times = 0; times < 3; times++) {
          assertEquals((await read(db, "real", forged)).port, primary.port, forged);
        }
      }
      for (const bad of ["", "0/1", `${after} `, after.toLowerCase(), "Primary"]) {
        await assertRejects(() => read(db, "real", bad), TypeError, "no position");
      }
      await settle(db, standby, after);
    });

    await test.step("go to the primary at other levels than read committed, and are refused in a session that may write", async () => {
      await using db = open(primary, [standby]);
      await settle(db, standby, await write(db, "level"));
      for (const isolation of ["repeatable read", "serializable"] as const) {
        const [[row]] = await db.session({ readOnly: true, isolation, replica: {} })
          .commit([rowsOf("level")]);
        assertEquals(row!.port, primary.port);
      }
      for (const readOnly of [false, undefined]) {
        const session = db.session({ ...readOnly === false && { readOnly }, replica: {} });
        await assertRejects(() => session.query(rowsOf("level")), TypeError, "may write");
      }
      const [[row]] = await db.session({ readOnly: true }).commit([rowsOf("level")]);
      assertEquals(row!.port, primary.port, "a read that does not let a replica answer");
    });

    await test.step("that name what the standby does not have yet are answered by the primary", async () => {
      await using db = open(primary, [standby]);
      await settle(db, standby, await write(db, "schema"));
      await using _paused = await pause(standby);
      await primary.run("create table newer as select 1 as value");
      await primary.run("grant all on newer to user_service");
      const newer = sql<{ value: number }>`select value from newer`;
      assertEquals(
        await db.session({ readOnly: true, replica: {} }).commit([newer]),
        [[{ value: 1 }]],
      );
      let runs = 0;
      const later = await db.transaction(async (session) => {
        const { port } = await session.one(rowsOf("schema"));
        runs++;
        return { port, ...await session.one(newer) };
      }, { readOnly: true, replica: {} });
      assertEquals([later, runs], [{ port: primary.port, value: 1 }, 2]);
      await assertRejects(
        () => db.session({ readOnly: true, replica: {} }).commit([sql`select * from none_such`]),
        ServerError,
        "none_such",
      );
    });

    await test.step("that conflict with what the standby replays are answered by the primary", async () => {
      await using db = open(primary, [standby]);
      await standby.run("alter system set max_standby_streaming_delay = 0");
      await standby.run("select pg_reload_conf()");
      await settle(db, standby, await write(db, "conflict"));
      const conflict = () => primary.run("truncate effects");
      const slow = sql<{ count: number; port: number }>`
        select count(effects)::int as count, inet_server_port() as port
        from effects, pg_sleep(case when pg_is_in_recovery() then 20 else 0 end)`;
      const answer = db.session({ readOnly: true, replica: {} }).commit([slow]);
      await standby.waitFor(
        "select exists (select from pg_stat_activity where wait_event = 'PgSleep')",
      );
      await conflict();
      assertEquals(await answer, [[{ count: 0, port: primary.port }]]);

      const ports: number[] = [];
      await settle(db, standby, await write(db, "conflict"));
      const unit = db.transaction(async (session: Session) => {
        ports.push((await session.one(rowsOf("conflict"))).port);
        return await session.one(slow);
      }, { readOnly: true, replica: {} });
      await standby.waitFor(
        "select exists (select from pg_stat_activity where wait_event = 'PgSleep')",
      );
      await conflict();
      assertEquals([(await unit).port, ports], [primary.port, [standby.port, primary.port]]);
      assertEquals(db.stats().retried, { serialization_failure: 1 });
    });

    for (const way of ["HTTP", "PgBouncer"] as const) {
      await test.step(`by way of ${way}`, async () => {
        await using stack = new AsyncDisposableStack();
        const through = way === "HTTP"
          ? await endpointOf([primary, standby], stack)
          : await poolersOf([primary, standby], stack);
        // CI has PgBouncer.
        if (through === undefined) return;
        const [url, replicaUrl] = through.urls;
        const db = stack.use(openDatabase({
          ...through.config,
          url: url!,
          pool: { size: 4, maxOverflow: 0 },
          replicas: { urls: [replicaUrl!], maxStalenessMs: 60_000 },
        }));
        const before = await write(db, `${way} before`);
        assert(before !== "primary");
        await settle(db, standby, before);
        assertEquals(await read(db, `${way} before`, before), { count: 1, port: standby.port });
        await using _paused = await pause(standby);
        const after = await write(db, `${way} after`);
        assert(after > before);
        assertEquals(await read(db, `${way} after`), { count: 0, port: standby.port });
        for (let times = 0; times < 10; times++) {
          assertEquals(await read(db, `${way} after`, after), { count: 1, port: primary.port });
        }
      });
    }

    await test.step("never tell what has become of a lost COMMIT, or of a key", async () => {
      const targets = [primary, standby].map(({ port }) => ({ hostname: "127.0.0.1", port }));
      await using relay = await startFaultRelay({ targets });
      await using db = openDatabase({
        url: primary.url().href,
        wsProxy: relay.url,
        pipelineConnect: true,
        pool: { size: 4, maxOverflow: 0 },
        replicas: { urls: [standby.url().href], maxStalenessMs: 60_000 },
      });
      await settle(db, standby, await write(db, "lost"));
      await using _paused = await pause(standby);
      for (const [name, point] of [["answer lost", COMMITTED], ["COMMIT lost", COMMIT]] as const) {
        const struck = relay.when(point, dropBefore());
        const after = await db.transaction(async (session) => {
          await session.query(sql`insert into effects values (${name})`);
          await session.commit();
          return session.position;
        });
        await struck.struck();
        assertEquals(await read(db, name, after), { count: 1, port: primary.port });
      }
      assertEquals([db.stats().resolved, db.stats().unknown], [2, 0]);

      const once = () =>
        db.transaction(async (session) => {
          await session.commit([sql`insert into effects values ('keyed')`]);
          return { port: primary.port, position: session.position };
        }, {
          key: { insert: sql`insert into keys values ('one')`, constraint: "keys_pkey" },
          loadResult: async (session) => {
            const [[row]] = await session.commit([rowsOf("keyed")]);
            return { port: row!.port, position: session.position };
          },
        });
      await primary.run("create table keys (name text primary key)");
      await primary.run("grant all on keys to user_service");
      assert((await once()).position !== undefined);
      assertEquals(await once(), { port: primary.port, position: undefined });
    });

    await test.step("are answered by the primary while the standby is gone, and by the standby again afterwards", async () => {
      await using db = open(primary, [standby]);
      const after = await write(db, "gone");
      await settle(db, standby, after);
      await standby.stop({ immediately: true });
      for (let times = 0; times < 50; times++) {
        assertEquals(await read(db, "gone", after), { count: 1, port: primary.port });
      }
      assert(sumOf(db, "failed") >= 1 && sumOf(db, "failed") <= 5, `${sumOf(db, "failed")}`);
      await standby.start();
      await settle(db, standby, after);
    });

    await test.step("go on while the primary is gone, and fail as others do once both are", async () => {
      const db = open(primary, [standby]);
      const after = await write(db, "survives");
      await settle(db, standby, after);
      await primary.stop({ immediately: true });
      for (let times = 0; times < 50; times++) {
        assertEquals(await read(db, "survives", after), { count: 1, port: standby.port });
      }
      await standby.stop({ immediately: true });
      await assertRejects(() => read(db, "survives", after));
      await db.close({ timeoutMs: 0 });
      await primary.start();
      await standby.start();
      await caughtUp(standby, primary);
    });

    await test.step("are answered by the primary once the standby is promoted", async () => {
      await using db = open(primary, [standby]);
      const after = await write(db, "branch");
      await settle(db, standby, after);
      await promote(standby);
      await standby.run("insert into effects values ('branch')");
      for (let times = 0; times < 20; times++) {
        assertEquals(await read(db, "branch", after), { count: 1, port: primary.port });
        assertEquals(await read(db, "branch"), { count: 1, port: primary.port });
      }
    });
  },
});

Deno.test({
  name:
    "a standby that has followed the former primary for longer than the new one has is not read",
  timeout: 120_000,
  async fn() {
    await using servers = await startServers(2);
    const { primary, standbys } = servers;
    const [next, follower] = standbys as [ReplicatingServer, ReplicatingServer];
    // The one that becomes the primary misses what the other one still gets.
    await next.run("alter system set primary_conninfo = ''");
    await next.run("select pg_reload_conf()");
    await next.waitFor("select count(*) = 0 from pg_stat_wal_receiver");
    for (let times = 0; times < 50; times++) {
      await primary.run("insert into effects select 'lost' from generate_series(1, 1000)");
    }
    await caughtUp(follower, primary);
    await primary.stop({ immediately: true });
    await promote(next);

    await using db = open(next, [follower]);
    const after = await write(db, "new");
    const lsn = await next.value("select pg_current_wal_insert_lsn()::text");
    assertEquals(
      await follower.value(`select pg_last_wal_replay_lsn() >= '${lsn}'`),
      true,
      "the follower's log is longer",
    );
    for (let times = 0; times < 20; times++) {
      assertEquals(await read(db, "new", after), { count: 1, port: next.port });
      assertEquals(await read(db, "new"), { count: 1, port: next.port });
    }
    await primary.start();
  },
});
