/** What `/metrics` says after events that are known, as a parser that is not ours reads it. */
import { assert, assertEquals, assertRejects } from "@std/assert";
import { type Database, type Pool, type PoolOptions, sql } from "../../src/db/mod.ts";
import { metricsText } from "../../src/ops/metrics.ts";
import { HttpMetrics } from "../../src/ops/http_metrics.ts";
import { metricsRoute } from "../../src/ops/metrics_route.ts";
import { databaseOf, poolOf } from "../support/database.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { parsePrometheus } from "../support/prometheus.ts";
import { ScriptedDriver, serverError } from "../support/scripted_driver.ts";

interface Scene extends AsyncDisposable {
  readonly clock: ManualClock;
  readonly db: Database;
  readonly pool: Pool;
  /** What the database is to do from now on. */
  readonly server: { isDown: boolean; sqlState: string | undefined; cutsAt: string | undefined };
  /** Moves the clock on, by nothing at a time, until the promise has settled. */
  through<T>(promise: Promise<T>): Promise<T>;
}

function scene(options: Partial<PoolOptions> = {}): Scene {
  const clock = new ManualClock();
  const server: Scene["server"] = { isDown: false, sqlState: undefined, cutsAt: undefined };
  const driver = new ScriptedDriver({
    onConnect() {
      if (server.isDown) throw new Error("scripted: nobody there");
    },
    reply({ text }, connection) {
      if (text === server.cutsAt) {
        server.cutsAt = undefined;
        connection.cut();
      }
      return text.startsWith("update") && server.sqlState !== undefined
        ? serverError(server.sqlState, "scripted")
        : undefined;
    },
  });
  const pool = poolOf(driver, { size: 1, maxOverflow: 0, clock, random: () => 0, ...options });
  const db = databaseOf(pool, { clock, random: () => 0 });
  return {
    clock,
    db,
    pool,
    server,
    async through(promise) {
      let isSettled = false;
      promise.catch(() => {}).finally(() => isSettled = true);
      for (let turn = 0; turn < 1_000 && !isSettled; turn++) await clock.advance(0);
      assert(isSettled, "the promise waits for something else than time");
      return await promise;
    },
    [Symbol.asyncDispose]: () => db[Symbol.asyncDispose](),
  };
}

/** The metrics that are not zero, histograms' sums apart. */
async function counted(db: Database): Promise<Record<string, number>> {
  const text = metricsText({ database: db.stats(), http: [] });
  const values = await parsePrometheus(text);
  return Object.fromEntries(
    [...values].filter(([name, value]) => value !== 0 && !name.endsWith("_sum")),
  );
}

const write = (db: Database, attempts = 4) =>
  db.transaction((session) => session.commit([sql`update t`]), { attempts, label: "a write" });

Deno.test("transactions, retries, replays and lost commits are counted by what became of them", async () => {
  await using it = scene();
  const { db, server, through } = it;
  await through(write(db));
  await through(write(db));
  await through(db.transaction((session) => session.query(sql`select 1`)));
  assertEquals(await counted(db), {
    'db_client_connection_count{db_client_connection_state="idle"}': 1,
    "db_client_connection_max": 1,
    "db_client_connection_wait_time_seconds": 3,
    "db_client_connection_use_time_seconds": 3,
    "db_client_connection_create_time_seconds": 1,
    "db_client_connection_acquired_total": 3,
    "db_client_connection_created_total": 1,
    "db_client_operation_duration_seconds": 3,
    "db_client_transaction_duration_seconds": 3,
    'db_client_transactions_total{outcome="committed"}': 2,
    'db_client_transactions_total{outcome="rolled_back"}': 1,
  });

  server.cutsAt = "begin isolation level read committed";
  await through(db.transaction((session) => session.query(sql`select 1`)));
  server.cutsAt = "commit";
  await assertRejects(() => through(write(db)));
  server.sqlState = "40001";
  await assertRejects(() => through(write(db, 3)));
  server.sqlState = "40P01";
  // A second's retries are there at the beginning, and what three units of work add makes none; two are spent.
  await assertRejects(() => through(write(db, 20)));
  const values = await counted(db);
  assertEquals(values["db_client_replays_total"], 1);
  assertEquals(values['db_client_lost_commits_total{outcome="unknown"}'], 1);
  assertEquals(values['db_client_retries_total{error_type="serialization_failure"}'], 2);
  assertEquals(values['db_client_retries_total{error_type="deadlock_detected"}'], 9);
  assertEquals(values["db_client_retries_denied_total"], 1);
  assertEquals(values['db_client_transactions_total{outcome="lost"}'], 1);
  assertEquals(values['db_client_transactions_total{outcome="committed"}'], 2);
  assertEquals(values['db_client_transactions_total{outcome="rolled_back"}'], 2 + 3 + 10);
  assertEquals(values['db_client_connection_closed_total{cause="broken"}'], 2);
});

Deno.test("whoever the pool sends away is counted by the cause", async () => {
  await using it = scene({ acquireTimeoutMs: 5_000, maxWaiters: 1 });
  const { db, clock, through } = it;
  const first = db.session();
  await through(first.query(sql`select 1`));

  const late = db.session().query(sql`select 1`);
  late.catch(() => {});
  await clock.advance(0);
  assertEquals((await counted(db))["db_client_connection_pending_requests"], 1);
  await assertRejects(() => through(db.session().query(sql`select 1`)));
  await clock.advance(5_000);
  await assertRejects(() => late);

  const leaving = new AbortController();
  const left = db.session({ signal: leaving.signal }).query(sql`select 1`);
  left.catch(() => {});
  await clock.advance(0);
  leaving.abort();
  await assertRejects(() => left);

  await through(first.rollback());
  const refusals = await counted(db);
  assertEquals(refusals["db_client_connection_timeouts_total"], 1);
  assertEquals(refusals['db_client_connection_refusals_total{cause="timeout"}'], 1);
  assertEquals(refusals['db_client_connection_refusals_total{cause="queue_full"}'], 1);
  assertEquals(refusals['db_client_connection_refusals_total{cause="aborted"}'], 1);
  // The one that waited in vain, the one that was refused, the one that left: none of them did anything.
  assertEquals(refusals['db_client_transactions_total{outcome="lost"}'], 3);
});

Deno.test("connections that fail to open, leak, grow old or idle are counted by the cause", async () => {
  const leaks: (string | undefined)[] = [];
  await using it = scene({
    recycleMs: 100_000,
    idleTimeoutMs: 60_000,
    leaks: { thresholdMs: 1_000, onLeak: ({ label }) => leaks.push(label) },
  });
  const { db, clock, server, through } = it;
  const holder = db.session({ label: "a holder" });
  await through(holder.query(sql`select 1`));
  await clock.advance(1_000);
  await through(holder.rollback());
  await clock.advance(60_000);
  await through(write(db));
  const old = db.session();
  await through(old.query(sql`select 1`));
  await clock.advance(100_000);
  await through(old.rollback());
  server.isDown = true;
  await assertRejects(() => through(write(db, 2)));
  await assertRejects(() => through(write(db, 1)));

  const values = await counted(db);
  assertEquals(leaks, ["a holder", undefined]);
  assertEquals(values["db_client_connection_leaks_total"], 2);
  assertEquals(values['db_client_connection_closed_total{cause="idle"}'], 1);
  assertEquals(values['db_client_connection_closed_total{cause="recycled"}'], 1);
  assertEquals(values["db_client_connection_created_total"], 2);
  assertEquals(values["db_client_connection_create_failures_total"], 2);
  assertEquals(values['db_client_connection_refusals_total{cause="unreachable"}'], 1);
});

Deno.test("times are told in seconds, in classes that add up", async () => {
  await using it = scene();
  const { db, clock, through } = it;
  const session = db.session();
  await through(session.query(sql`select 1`));
  await clock.advance(1_500);
  await through(session.rollback());
  const text = metricsText({ database: db.stats(), http: [] });
  const use = text.split("\n").filter((line) =>
    line.startsWith("db_client_connection_use_time_seconds")
  );
  assertEquals(use.slice(-6), [
    'db_client_connection_use_time_seconds_bucket{le="1"} 0',
    'db_client_connection_use_time_seconds_bucket{le="5"} 1',
    'db_client_connection_use_time_seconds_bucket{le="10"} 1',
    'db_client_connection_use_time_seconds_bucket{le="+Inf"} 1',
    "db_client_connection_use_time_seconds_sum 1.5",
    "db_client_connection_use_time_seconds_count 1",
  ]);
});

Deno.test("requests are told by method, route and status, a queue by what its depth says", async () => {
  await using it = scene();
  const queueDepth = () => Promise.resolve({ depth: 3, oldestMs: 1_500, deadLetters: 2 });
  const http = new HttpMetrics();
  const route = metricsRoute({ database: it.db, http, queueDepth, guard: (_, next) => next() });
  http.record({ method: "GET", route: "/users/:id", status: 200, durationMs: 3 });
  http.record({ method: "GET", route: "/users/:id", status: 200, durationMs: 4 });
  http.record({ method: "BREW", route: "", status: 404, durationMs: 1 });
  const text = await (await route.request("/metrics")).text();
  const counts = text.split("\n").filter((line) => /^http_.*_(?:count|sum)/.test(line));
  assertEquals(counts, [
    'http_server_request_duration_seconds_sum{http_request_method="GET",http_response_status_code="200",http_route="/users/:id"} 0.007',
    'http_server_request_duration_seconds_count{http_request_method="GET",http_response_status_code="200",http_route="/users/:id"} 2',
    'http_server_request_duration_seconds_sum{http_request_method="_OTHER",http_response_status_code="404"} 0.001',
    'http_server_request_duration_seconds_count{http_request_method="_OTHER",http_response_status_code="404"} 1',
  ]);
  const values = await parsePrometheus(text);
  assertEquals(values.get("messaging_queue_depth"), 3);
  assertEquals(values.get("messaging_queue_oldest_age_seconds"), 1.5);
  assertEquals(values.get("messaging_dead_letters"), 2);
});
