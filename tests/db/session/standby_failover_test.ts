/** An address that has moved from a standby to the primary: the idle connections still lead to the standby. */
import { join } from "node:path";
import { assertEquals, assertRejects } from "@std/assert";
import { type IsolationLevel, ServerError, type Session, sql } from "../../../src/db/mod.ts";
import { type Postgres, startPostgres } from "../../../src/dev/postgres.ts";
import { startRelay } from "../../../src/library/testing/relay/relay.ts";
import { makeScratch } from "../../dev/scratch.ts";
import { branchOf, runAlone } from "../../support/branch.ts";

/** Forwards each new connection to the current target. Connections that are open stay where they are. */
function startForwarder(target: number) {
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const sockets: Deno.Conn[] = [];
  let port = target;
  const forward = async (client: Deno.Conn) => {
    const server = await Deno.connect({ hostname: "127.0.0.1", port });
    sockets.push(client, server);
    await Promise.allSettled([
      client.readable.pipeTo(server.writable),
      server.readable.pipeTo(client.writable),
    ]);
  };
  const running: Promise<void>[] = [];
  const accepting = (async () => {
    for await (const client of listener) running.push(forward(client));
  })();
  return {
    port: listener.addr.port,
    moveTo: (next: number) => port = next,
    async [Symbol.asyncDispose]() {
      listener.close();
      await accepting;
      for (const socket of sockets) {
        try {
          socket.close();
        } catch {
          // The streams have closed it.
        }
      }
      await Promise.all(running);
    },
  };
}

/** A primary and a standby with the same data. */
async function startPair(): Promise<AsyncDisposable & { primary: Postgres; standby: Postgres }> {
  await using starting = new AsyncDisposableStack();
  const [one, two] = [starting.use(await makeScratch()), starting.use(await makeScratch())];
  const first = await startPostgres({ directory: one.path });
  {
    const targets = [{ hostname: "127.0.0.1", port: first.port }];
    await using relay = await startRelay({ targets });
    const env = { DATABASE_URL: first.url({ role: "postgres" }), DATABASE_WS_PROXY: relay.url };
    for (
      const statement of [
        "create table effects (name text)",
        "grant all on effects to user_service",
        "alter system set wal_level = 'replica'",
      ]
    ) await runAlone(env, statement);
  }
  await first.stop();
  // A standby needs a checkpoint that was written with this `wal_level`.
  await (await startPostgres({ directory: one.path })).stop();
  const copied = await new Deno.Command("cp", {
    args: ["-a", join(one.path, "development"), join(two.path, "development")],
  }).output();
  assertEquals(copied.code, 0);
  const data = join(two.path, "development", "cluster", "data");
  await Deno.writeTextFile(join(data, "standby.signal"), "");
  const primary = starting.use(await startPostgres({ directory: one.path }));
  const standby = starting.use(await startPostgres({ directory: two.path }));
  const parts = starting.move();
  return { primary, standby, [Symbol.asyncDispose]: () => parts.disposeAsync() };
}

Deno.test({
  name:
    "after an address has moved from a standby to the primary, each unit succeeds with two attempts",
  ignore: Deno.build.os === "windows",
  timeout: 60_000,
  async fn() {
    await using pair = await startPair();
    const { primary, standby } = pair;
    await using forwarder = startForwarder(standby.port);
    await using relay = await startRelay({
      targets: [{ hostname: "127.0.0.1", port: forwarder.port }],
    });
    const url = new URL(standby.url());
    url.port = String(forwarder.port);
    const env = {
      DATABASE_URL: url.href,
      DATABASE_WS_PROXY: relay.url,
      DATABASE_PIPELINE_CONNECT: "on",
      DATABASE_POOL_SIZE: "6",
      DATABASE_MAX_OVERFLOW: "0",
      DATABASE_RETRY_ATTEMPTS: "2",
    };
    await using branch = branchOf({ env, adminEnv: env });
    const db = branch.open();
    const readers = Array.from({ length: 6 }, () => db.session({ readOnly: true }));
    const isRecovering = sql<{ is: boolean }>`select pg_is_in_recovery() as "is"`;
    const read = await Promise.all(readers.map((session) => session.query(isRecovering)));
    assertEquals(read.flat().map((row) => row.is), [true, true, true, true, true, true]);
    await Promise.all(readers.map((session) => session.commit()));

    const insert = sql`insert into effects values ('effect')`;
    const units: readonly [
      work: (session: Session) => Promise<unknown>,
      isolation: IsolationLevel,
    ][] = [
      [(session) => session.commit([insert]), "read committed"],
      [(session) => session.commit([insert]), "serializable"],
      [async (session) => {
        await session.query(sql`lock table effects in exclusive mode`);
        await session.commit([insert]);
      }, "read committed"],
      [async (session) => {
        await session.query(sql`select pg_current_wal_lsn()`);
        await session.commit([insert]);
      }, "read committed"],
    ];
    // As long as the address leads to the standby, attempts end by their bound, and the server's error comes out.
    const error = await assertRejects(() => db.transaction(units[0]![0]), ServerError);
    assertEquals([error.sqlState, error.attempts], ["25006", 2]);
    const serializable = { isolation: "serializable", readOnly: true } as const;
    const mistake = await assertRejects(
      () => db.transaction((session) => session.commit([isRecovering]), serializable),
      ServerError,
    );
    assertEquals([mistake.sqlState, mistake.attempts], ["0A000", undefined]);

    forwarder.moveTo(primary.port);
    await Promise.all(units.map(([work, isolation]) => db.transaction(work, { isolation })));
    assertEquals(db.stats().retried, { read_only: 1 + 2, in_recovery: 2 });
    const rows = await db.transaction((session) => session.commit([sql`select 1 from effects`]));
    assertEquals(rows[0].length, 4);
  },
});
