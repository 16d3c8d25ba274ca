/** The format of `/metrics`, read by a third-party parser. `counters_test.ts` tests the counters. */
import { assertEquals } from "@std/assert";
import { sql } from "../../src/db/mod.ts";
import { HttpMetrics } from "../../src/ops/http_metrics.ts";
import { metricsText } from "../../src/ops/metrics.ts";
import { metricsRoute } from "../../src/ops/metrics_route.ts";
import { databaseOf, poolOf } from "../support/test_pool.ts";
import { ManualClock } from "../support/manual_clock.ts";
import { parsePrometheus } from "../support/prometheus.ts";
import { ScriptedDriver } from "../support/scripted_driver.ts";

Deno.test("durations are reported in seconds, in cumulative buckets", async () => {
  const clock = new ManualClock();
  await using db = databaseOf(poolOf(new ScriptedDriver(), { clock }), { clock });
  const session = db.session();
  await session.query(sql`select 1`);
  await clock.advance(1_500);
  await session.rollback();
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

Deno.test("requests are reported by method, route and status, and the queue by its depth, age and dead letters", async () => {
  await using db = databaseOf(poolOf(new ScriptedDriver()));
  const queueDepth = () => Promise.resolve({ depth: 3, oldestMs: 1_500, deadLetters: 2 });
  const http = new HttpMetrics();
  const route = metricsRoute({ database: db, http, queueDepth, guard: (_, next) => next() });
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
