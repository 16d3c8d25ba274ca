/** The exact value of every counter of `/metrics` after known events, read by a third-party parser. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import {
  type Database,
  type DatabaseOptions,
  OwnerScope,
  type Pool,
  type PoolOptions,
  PoolOverloadedError,
  sql,
} from "../../src/db/mod.ts";
import { metricsText } from "../../src/ops/metrics.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { parsePrometheus } from "../support/prometheus.ts";
import { ScriptedDriver, serverError } from "../support/scripted_driver.ts";
import { ownedTimers, SimulatedScope } from "../support/simulated_scope.ts";

interface Fixture {
  readonly clock: ManualClock;
  readonly db: Database;
  readonly pool: Pool;
  readonly driver: ScriptedDriver;
  /** How the scripted database behaves from now on. */
  readonly server: {
    isDown: boolean;
    sqlState: string | undefined;
    cutsAt: string | undefined;
    isDirect: boolean | undefined;
    /** The statement that waits for `goOn`. */
    hangsAt: string | undefined;
    goOn(): void;
  };
  /** Runs due timers, without moving the clock, until the promise has settled. */
  settled<T>(promise: Promise<T>): Promise<T>;
}

type FixtureOptions = Partial<PoolOptions> & Pick<Partial<DatabaseOptions>, "resolveCommit">;

type Counted = Readonly<Record<string, number>>;

/** The counters that some test has changed. */
const seen = new Set<string>();

/** A test that runs `events`, by default on a pool of one connection, and compares all counters that are not 0. */
function countersTest(
  name: string,
  { events, options = {}, expected }: {
    readonly events: (fixture: Fixture) => Promise<void>;
    readonly options?: FixtureOptions;
    readonly expected: Counted;
  },
): void {
  Deno.test(name, async () => {
    const fixture = fixtureOf(options);
    await using _ = fixture.db;
    await events(fixture);
    const counted = await countersOf(fixture.db);
    const notZero = Object.fromEntries(Object.entries(counted).filter(([, value]) => value !== 0));
    assertEquals(notZero, expected);
    Object.keys(notZero).forEach((counter) => seen.add(counter));
  });
}

function fixtureOf(
  { resolveCommit, ...options }: FixtureOptions,
): Fixture & { db: Database & AsyncDisposable } {
  const clock = new ManualClock();
  const hung = Promise.withResolvers<void>();
  const server: Fixture["server"] = {
    isDown: false,
    sqlState: undefined,
    cutsAt: undefined,
    isDirect: undefined,
    hangsAt: undefined,
    goOn: hung.resolve,
  };
  const driver = new ScriptedDriver({
    onConnect(connection) {
      connection.isDirect = server.isDirect;
      if (server.isDown) throw new Error("scripted: server is down");
    },
    reply({ text }, connection) {
      if (text === server.cutsAt) {
        server.cutsAt = undefined;
        connection.cut();
      }
      if (text === server.hangsAt) return hung.promise.then(() => undefined);
      return text.startsWith("update") && server.sqlState !== undefined
        ? serverError(server.sqlState, "scripted")
        : undefined;
    },
  });
  const pool = poolOf(driver, {
    size: 1,
    maxOverflow: 0,
    clock: ownedTimers(clock),
    random: () => 0,
    ...options,
  });
  const db = databaseOf(pool, { clock, random: () => 0, resolveCommit });
  return {
    clock,
    db,
    pool,
    driver,
    server,
    async settled(promise) {
      let isSettled = false;
      promise.catch(() => {}).finally(() => isSettled = true);
      for (let turn = 0; turn < 1_000 && !isSettled; turn++) await clock.advance(0);
      assert(isSettled, "the promise waits for something other than timers");
      return await promise;
    },
  };
}

/** Values by name and labels, without the common prefix and `_total`. */
async function countersOf(db: Database): Promise<Counted> {
  const values = await parsePrometheus(metricsText({ database: db.stats(), http: [] }));
  return Object.fromEntries(
    [...values].filter(([name]) => /_total(?:\{|$)/.test(name))
      .map(([name, value]) => [name.replace(/^db_client_/, "").replace("_total", ""), value]),
  );
}

const read = (db: Database) => db.transaction((session) => session.query(sql`select 1`));

const write = (db: Database, attempts = 4) =>
  db.transaction((session) => session.commit([sql`update t`]), { attempts });

const scope = OwnerScope.lasting();

countersTest("transactions are counted by outcome", {
  async events({ db, server, settled }) {
    await settled(write(db));
    await settled(write(db));
    await settled(read(db));
    const session = db.session();
    await settled(session.query(sql`select 1`));
    server.cutsAt = "select 2";
    await assertRejects(() => settled(session.query(sql`select 2`)));
    await settled(session.rollback());
  },
  expected: {
    "connection_acquired": 4,
    "connection_created": 1,
    'connection_closed{cause="broken"}': 1,
    'transactions{outcome="committed"}': 2,
    'transactions{outcome="rolled_back"}': 1,
    'transactions{outcome="lost"}': 1,
  },
});

countersTest("retries are counted by kind of failure, and those denied by the budget separately", {
  async events({ db, server, settled }) {
    server.sqlState = "40001";
    await assertRejects(() => settled(write(db, 3)));
    server.sqlState = "40P01";
    // The budget starts with ten retries. Two units of work add less than one.
    await assertRejects(() => settled(write(db, 20)));
  },
  expected: {
    "connection_acquired": 3 + 9,
    "connection_created": 1,
    'transactions{outcome="rolled_back"}': 3 + 9,
    'retries{error_type="serialization_failure"}': 2,
    'retries{error_type="deadlock_detected"}': 8,
    "retries_denied": 1,
  },
});

countersTest("a flight that is replayed on another connection is counted", {
  async events({ db, server, settled }) {
    await settled(read(db));
    server.cutsAt = "begin isolation level read committed";
    await settled(read(db));
  },
  expected: {
    "connection_acquired": 3,
    "connection_created": 2,
    'connection_closed{cause="broken"}': 1,
    'transactions{outcome="rolled_back"}': 2,
    "replays": 1,
  },
});

for (
  const [outcome, resolveCommit, expected] of [
    ["committed", () => ({ outcome: "committed" }), {
      'lost_commits{outcome="settled"}': 1,
      'transactions{outcome="committed"}': 1,
    }],
    ["unknown", () => ({ outcome: "unknown", reason: "scripted" }), {
      'lost_commits{outcome="unknown"}': 1,
      'transactions{outcome="lost"}': 1,
    }],
  ] as const
) {
  countersTest(`a COMMIT whose answer is lost is counted, with outcome ${outcome}`, {
    options: {
      resolveCommit: (() => Promise.resolve(resolveCommit())) as NonNullable<
        FixtureOptions["resolveCommit"]
      >,
    },
    async events({ db, server, settled }) {
      const session = db.session();
      await settled(session.query(sql`update t`));
      server.cutsAt = "commit";
      await settled(session.commit()).catch(() => {});
    },
    expected: {
      "connection_acquired": 1,
      "connection_created": 1,
      'connection_closed{cause="broken"}': 1,
      ...expected,
    },
  });
}

countersTest("callers that time out, abort, or find the queue full are counted by cause", {
  options: { acquireTimeoutMs: 5_000, maxWaiters: 1 },
  async events({ pool, clock }) {
    const lease = await pool.acquire({ scope });
    const late = assertRejects(() => pool.acquire({ scope }));
    await assertRejects(() => pool.acquire({ scope }));
    await clock.advance(5_000);
    await late;
    const leaving = new AbortController();
    const left = assertRejects(() => pool.acquire({ scope, signal: leaving.signal }));
    leaving.abort();
    await left;
    await lease.release();
  },
  expected: {
    "connection_acquired": 1,
    "connection_created": 1,
    "connection_timeouts": 1,
    'connection_refusals{cause="timeout"}': 1,
    'connection_refusals{cause="queue_full"}': 1,
    'connection_refusals{cause="aborted"}': 1,
  },
});

countersTest(
  "callers that are shed, or that hold a connection and would wait for another, are counted",
  {
    options: { shedTargetMs: 100 },
    async events({ pool, clock }) {
      const lease = await pool.acquire({ scope });
      const waiting = pool.acquire({ scope });
      // No lease comes back for longer than the target.
      await clock.advance(200);
      await assertRejects(() => pool.acquire({ scope }), PoolOverloadedError);
      await lease.release();
      await (await waiting).destroy();
      const request = OwnerScope.request();
      const only = await pool.acquire({ scope: request });
      await assertRejects(() => pool.acquire({ scope: request }));
      await only.destroy();
    },
    expected: {
      "connection_acquired": 2 + 1,
      "connection_created": 2,
      'connection_closed{cause="destroyed"}': 2,
      'connection_refusals{cause="shed"}': 1,
      'connection_refusals{cause="held_and_waited"}': 1,
    },
  },
);

countersTest(
  "connections that cannot be opened are counted, and callers refused during the outage",
  {
    async events({ db, server, settled }) {
      server.isDown = true;
      // The first failure refuses no callers yet.
      await assertRejects(() => settled(write(db, 2)));
      await assertRejects(() => settled(write(db, 1)));
    },
    expected: {
      "connection_create_failures": 2,
      'connection_refusals{cause="unreachable"}': 1,
      'transactions{outcome="lost"}': 3,
      'retries{error_type="not_reached"}': 1,
    },
  },
);

const leaks: (string | undefined)[] = [];

countersTest("leaks, and connections closed for overflow, idle time or age, are counted", {
  options: {
    maxOverflow: 1,
    recycleMs: 100_000,
    idleTimeoutMs: 60_000,
    leaks: { thresholdMs: 1_000, onLeak: ({ label }) => leaks.push(label) },
  },
  async events({ pool, clock }) {
    const leases = [
      await pool.acquire({ scope, label: "a holder" }),
      await pool.acquire({ scope }),
    ];
    await clock.advance(1_000);
    for (const lease of leases) await lease.release();
    await clock.advance(60_000);
    const old = await pool.acquire({ scope });
    await clock.advance(100_000);
    await old.release();
    await clock.advance(0);
    assertEquals(leaks, ["a holder", undefined, undefined]);
  },
  expected: {
    "connection_acquired": 3,
    "connection_created": 3,
    "connection_leaks": 3,
    'connection_closed{cause="overflow"}': 1,
    'connection_closed{cause="idle"}': 1,
    'connection_closed{cause="recycled"}': 1,
  },
});

countersTest(
  "connections closed by a server restart are counted, those that reported it separately",
  {
    options: { size: 4 },
    async events({ pool, driver, clock }) {
      const leases = await Promise.all([1, 2, 3, 4].map(() => pool.acquire({ scope })));
      await Promise.all(leases.map((lease) => lease.release()));
      for (const index of [0, 1]) {
        driver.connections[index]!.cut({ fatal: serverError("57P01", "terminating", "FATAL") });
        await clock.advance(0);
      }
      await (await pool.acquire({ scope })).release();
    },
    expected: {
      "connection_acquired": 5,
      "connection_created": 5,
      'connection_closed{cause="broken"}': 2,
      'connection_closed{cause="outlived"}': 2,
    },
  },
);

countersTest("connections that the pool closes in close() are counted", {
  async events({ pool }) {
    await (await pool.acquire({ scope })).release();
    await pool.close({ timeoutMs: 0 });
  },
  expected: {
    "connection_acquired": 1,
    "connection_created": 1,
    'connection_closed{cause="pool_closed"}': 1,
  },
});

countersTest("a permit that is reclaimed from an ended request is counted", {
  async events({ pool, clock }) {
    const requestOf = () => SimulatedScope.open({ lasting: false, isBound: true });
    const acquire = (scope: SimulatedScope) =>
      scope.enter(() => pool.acquire({ scope, holdMs: 1_000 }));
    const dead = requestOf();
    await acquire(dead);
    dead.isDead = true;
    const waiting = acquire(requestOf());
    await clock.advance(3_000);
    await (await waiting).destroy();
  },
  expected: {
    "connection_acquired": 2,
    "connection_created": 2,
    'connection_closed{cause="expired"}': 1,
    'connection_closed{cause="destroyed"}': 1,
  },
});

countersTest("a connection on which a transaction has left state is counted when it is closed", {
  async events({ db, settled }) {
    await settled(db.session().commit([sql`set search_path = public`]));
    await settled(db.session().commit([sql`set local search_path = public`]));
  },
  expected: {
    "connection_acquired": 2,
    "connection_created": 2,
    'connection_closed{cause="left_state"}': 1,
    'transactions{outcome="committed"}': 2,
  },
});

countersTest("reads that share a connection are counted, and those moved from behind a slow one", {
  async events({ db, clock, server, settled }) {
    const reads = async () => {
      await db.session({ readOnly: true }).commit([sql`select 1`]);
    };
    server.isDirect = true;
    server.hangsAt = "select 2";
    const slow = db.session({ readOnly: true }).commit([sql`select 2`]);
    await clock.advance(0);
    server.hangsAt = undefined;
    const behind = Promise.all([reads(), reads()]);
    await clock.advance(0);
    // The connect of another one is under way from then on.
    await clock.advance(200);
    await settled(behind);
    server.goOn();
    await settled(slow);
  },
  options: { maxOverflow: 1, readDepth: 3 },
  expected: {
    "connection_acquired": 5,
    "connection_shared": 3,
    "connection_moved": 2,
    "connection_created": 2,
    'transactions{outcome="committed"}': 3,
  },
});

Deno.test("there is no counter that none of these tests changes", async () => {
  await using db = databaseOf(poolOf(new ScriptedDriver()));
  const all = Object.keys(await countersOf(db));
  assert(all.length > 20);
  assertEquals(all.filter((counter) => !seen.has(counter)), []);
});
