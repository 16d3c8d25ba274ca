/** Which settings and questions a transaction sends on a connection whose session is its own, and when it sends them again. */
import { assertEquals, assertRejects } from "@std/assert";
import {
  type Connection,
  type Database,
  type FlightPart,
  NeonDriver,
  type Observer,
  OwnerScope,
  type Pool,
  ServerError,
  type SessionOptions,
  sql,
  trustedSql,
} from "../../../src/db/mod.ts";
import { pollUntil } from "../../../src/library/testing/postgres/poll.ts";
import { DatabaseWebSocket } from "../../../src/library/deno/database_websocket.ts";
import { parseSettings } from "../../../src/settings/settings.ts";
import type { Env } from "../../support/branch.ts";
import { localDatabase } from "../../support/local_database.ts";
import { ManualClock } from "../../support/manual_clock.ts";
import { pgBouncerTest } from "../../support/pgbouncer_case.ts";
import { databaseOf, poolOf } from "../../support/test_pool.ts";

const database = await localDatabase();

interface World {
  readonly db: Database;
  readonly pool: Pool;
  readonly scope: OwnerScope;
  readonly clock: ManualClock;
  /** How the last transaction set its timeouts. */
  sent(): "in the transaction" | "in the session" | "not";
  /** The settings that a transaction runs under. */
  read(options?: SessionOptions): Promise<Record<string, unknown>>;
}

/** A database with one connection, on a clock that stands still. */
async function onOneConnection(env: Env, test: (world: World) => Promise<void>): Promise<void> {
  const clock = new ManualClock();
  const flights: (readonly FlightPart[])[] = [];
  const observer: Observer = {
    transaction: () => ({
      flight: (parts) => {
        if (/^begin|transaction_read_only/.test(textOf(parts[0]))) flights.push(parts);
        return () => {};
      },
      ended: () => {},
    }),
  };
  const driver = new NeonDriver({
    ...parseSettings(env).database,
    prepare: "auto",
    webSocketConstructor: DatabaseWebSocket,
  });
  let newest: Connection | undefined;
  const connect: NeonDriver["connect"] = async (options) => newest = await driver.connect(options);
  const pool = poolOf({ connect }, { size: 1, maxOverflow: 0 });
  const scope = OwnerScope.lasting();
  await using db = databaseOf(pool, { observer, clock, attempts: 1, scope });
  const world: World = {
    db,
    pool,
    scope,
    clock,
    sent() {
      const text = textOf(flights.at(-1)?.[1]);
      if (!text.includes("set_config($1, $2")) return "not";
      return text.includes("set_config($1, $2, false)") ? "in the session" : "in the transaction";
    },
    async read(options = {}) {
      const [[row]] = await db.session(options).commit([
        trustedSql<Record<string, unknown>>(`select
          current_setting('statement_timeout') as statement,
          current_setting('lock_timeout') as lock,
          current_setting('idle_in_transaction_session_timeout') as idle,
          current_setting('transaction_timeout') as transaction,
          current_setting('DateStyle') as dates, current_setting('IntervalStyle') as intervals,
          current_setting('extra_float_digits') as digits, current_setting('array_nulls') as nulls,
          current_setting('client_min_messages') as messages`),
      ]);
      // The answer may come in a chunk behind that of the transaction.
      const isKnown = () => newest!.isDirect !== undefined;
      assertEquals(await pollUntil(isKnown, { deadlineMs: 10_000, intervalMs: 1 }), true);
      return row!;
    },
  };
  await test(world);
}

function textOf(part: FlightPart | undefined): string {
  return part !== undefined && "text" in part ? part.text : "";
}

const EXPECTED = {
  statement: "15s",
  lock: "5s",
  idle: "4s",
  transaction: "30s",
  dates: "ISO, MDY",
  intervals: "postgres",
  digits: "1",
  nulls: "on",
  messages: "notice",
};

function directTest(name: string, test: (world: World) => Promise<void>): void {
  Deno.test(`on a direct connection, ${name}`, async () => {
    await using branch = await database.connect();
    await onOneConnection(branch.env, test);
  });
}

/** Two transactions: behind the first one the connection learns that it is direct, and the second one sets the session. */
async function warmUp({ read }: World): Promise<void> {
  for (let turn = 0; turn < 2; turn++) assertEquals(await read(), EXPECTED);
}

directTest(
  "the timeouts are set in the transaction, then in the session, then not again",
  async (world) => {
    const ways: string[] = [];
    for (let turn = 0; turn < 4; turn++) {
      assertEquals(await world.read({ readOnly: turn % 2 === 0 }), EXPECTED);
      ways.push(world.sent());
    }
    assertEquals(ways, ["in the transaction", "in the session", "not", "not"]);
  },
);

directTest("a transaction with timeouts of its own sets them for itself", async (world) => {
  await warmUp(world);
  assertEquals(await world.read({ statementTimeoutMs: 700 }), { ...EXPECTED, statement: "700ms" });
  assertEquals(world.sent(), "in the transaction");
  assertEquals(await world.read(), EXPECTED);
  assertEquals(world.sent(), "not");
});

directTest("locals are set in each transaction, and end with it", async (world) => {
  await warmUp(world);
  const read = async (options: SessionOptions) => {
    const [[row]] = await world.db.session(options).commit([
      trustedSql(
        `select current_setting('app.user', true) as "user", current_setting('lock_timeout') as lock`,
      ),
    ]);
    return row;
  };
  assertEquals(await read({ locals: { "app.user": "Ann" } }), { user: "Ann", lock: "5s" });
  assertEquals(await read({ locals: { lock_timeout: "77ms" } }), { user: "", lock: "77ms" });
  assertEquals(await read({}), { user: "", lock: "5s" });
});

directTest(
  "a local cannot replace the transaction timeout, as without a known session",
  async (world) => {
    await warmUp(world);
    const locals = { Transaction_Timeout: "1h" };
    assertEquals(await world.read({ locals }), EXPECTED);
  },
);

for (
  const [what, texts] of [
    ["set_config in a SELECT", ["select set_config('statement_timeout', '0', false)"]],
    ["set_config in a CTE, in capitals", [
      "with a as (select SET_CONFIG('lock_timeout', '0', false)) select 1 from a",
    ]],
    ["set_config by an escaped name", [
      `select U&"set\\005fconfig"('statement_timeout', '0', false)`,
    ]],
    ["an UPDATE of pg_settings", [
      "update pg_settings set setting = '0' where name = 'statement_timeout'",
    ]],
    ["a DO block", [
      "do $$ begin perform pg_catalog.set_config('lock_timeout', '0', false); end $$",
    ]],
    ["a cursor", ["declare c cursor for select set_config('lock_timeout', '0', false)", "fetch c"]],
    ["EXPLAIN ANALYZE", ["explain analyze select set_config('lock_timeout', '0', false)"]],
    ["RESET", ["reset statement_timeout"]],
    ["RESET ALL", ["reset all"]],
    ["an EXECUTE inside a DO block", ["do $$ begin execute 'set lock_timeout = 0'; end $$"]],
    ["SET, after which the connection is closed", ["set statement_timeout = 0"]],
    ["SET behind a comment", ["/* a */ set statement_timeout = 0"]],
  ] as const
) {
  directTest(`after ${what}, the next transaction has its settings`, async (world) => {
    await warmUp(world);
    await world.db.session().commit(texts.map((text) => trustedSql(text)));
    assertEquals(await world.read(), EXPECTED);
    // Also if the change is rolled back.
    const session = world.db.session();
    await session.batch(texts.map((text) => trustedSql(text)));
    await session.rollback();
    assertEquals(await world.read(), EXPECTED);
  });
}

directTest(
  "after a rollback, an error and a savepoint the next transaction has its settings",
  async (world) => {
    // The transaction that would set the session is rolled back, and its settings with it.
    assertEquals(await world.read(), EXPECTED);
    const session = world.db.session();
    await session.query(sql`select 1`);
    assertEquals(world.sent(), "in the session");
    await session.rollback();
    assertEquals(await world.read(), EXPECTED);
    assertEquals(world.sent(), "in the session");
    await assertRejects(() => world.db.session().commit([trustedSql("select 1/0")]), ServerError);
    assertEquals(await world.read(), EXPECTED);
    await using outer = world.db.session();
    await outer.savepoint(async (inner) => {
      await inner.query(trustedSql("reset all"));
      throw new Error("undo");
    }).catch(() => {});
    await outer.commit();
    assertEquals(await world.read(), EXPECTED);
  },
);

Deno.test("on a direct connection, what a function sets in the session unseen lasts a second at most", async () => {
  await using branch = await database.connect();
  await branch.asAdmin(
    "create function public.sets_unseen() returns void language plpgsql as " +
      "$$ begin perform set_config('lock_timeout', '1ms', false); end $$",
  );
  await onOneConnection(branch.env, async (world) => {
    await warmUp(world);
    await world.db.session().commit([sql`select sets_unseen()`]);
    assertEquals(await world.read(), { ...EXPECTED, lock: "1ms" });
    await world.clock.advance(1_000);
    assertEquals(await world.read(), EXPECTED);
  });
});

Deno.test("on a direct connection, settings of the server, role and database do not replace those of the session", async () => {
  await using branch = await database.connect();
  await onOneConnection(branch.env, async (world) => {
    await warmUp(world);
    try {
      await branch.asAdmin("alter system set statement_timeout = 1234");
      await branch.asAdmin("alter role user_service set lock_timeout = 1234");
      await branch.asAdmin("select pg_reload_conf()");
      // The connection's own backend has read the file as well.
      const isReloaded = await pollUntil(async () => {
        const [[row]] = await world.db.session().commit([
          sql<
            { reset_val: string }
          >`select reset_val from pg_settings where name = 'statement_timeout'`,
        ]);
        return row!.reset_val === "1234";
      }, { deadlineMs: 10_000, intervalMs: 20 });
      assertEquals(isReloaded, true);
      await world.read();
      assertEquals(await world.read(), EXPECTED);
      assertEquals(world.sent(), "not");
    } finally {
      await branch.asAdmin("alter system reset statement_timeout");
      await branch.asAdmin("alter role user_service reset lock_timeout");
      await branch.asAdmin("select pg_reload_conf()");
    }
  });
});

directTest(
  "statements outside our transactions find the session as it was at the login",
  async (world) => {
    await warmUp(world);
    const timeouts = sql`select current_setting('statement_timeout') as statement,
    current_setting('lock_timeout') as lock, current_setting('transaction_timeout') as transaction`;
    const login = { statement: "0", lock: "0", transaction: "0" };
    for (let turn = 0; turn < 2; turn++) {
      await using connection = await world.db.connect();
      for (let run = 0; run < 2; run++) {
        const [result] = await connection.run([timeouts]);
        assertEquals(result!.rows, [login]);
      }
    }
    for (let turn = 0; turn < 2; turn++) assertEquals(await world.read(), EXPECTED);
    // Also if the transaction between has not ended well.
    await assertRejects(() => world.db.session().commit([trustedSql("select 1/0")]), ServerError);
    await using connection = await world.db.connect();
    const [result] = await connection.run([timeouts]);
    assertEquals(result!.rows, [login]);
  },
);

directTest(
  "after a lease that was no transaction, the next one has its settings",
  async (world) => {
    await warmUp(world);
    const lease = await world.pool.acquire({ scope: world.scope });
    await lease.connection.flight([{ text: "set lock_timeout = '1ms'", values: [] }]);
    await lease.release();
    assertEquals(await world.read(), EXPECTED);
    assertEquals(world.sent(), "in the session");
  },
);

directTest("the server's incarnation is asked for once, and the xid each time", async (world) => {
  await warmUp(world);
  const insert = () =>
    world.db.session().commit([sql`insert into users (id, email, name)
      values (gen_random_uuid(), gen_random_uuid()::text, 'Ann')`]);
  await insert();
  await insert();
  const [[row]] = await world.db.session({ readOnly: true }).commit([
    trustedSql<{ texts: string[] }>(
      "select array_agg(statement order by prepare_time) as texts from pg_prepared_statements where statement like '%if_assigned%'",
    ),
  ]);
  const asks = row!.texts.map((text) => text.includes("pg_postmaster_start_time"));
  assertEquals(asks.at(-1), false);
});

pgBouncerTest(
  "every transaction sets its timeouts and asks everything, and for itself alone",
  async (branch) => {
    await onOneConnection(branch.env, async (world) => {
      for (let turn = 0; turn < 5; turn++) {
        assertEquals(await world.read(), EXPECTED);
        assertEquals(world.sent(), "in the transaction");
      }
    });
    assertEquals(await branch.leftovers(), []);
  },
);
