/** The metrics of a Worker, in real workerd. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { SCOPED_TOKENS } from "../support/access.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost, type WorkerHost } from "../support/worker_host.ts";

const TOKEN = "a-token-of-24-characters";

const database = await localDatabase();
const env = { OPS_TOKEN: TOKEN, QUEUE_POLL_INTERVAL: "0.1" };
const [worker, objects] = await Promise.all([
  startWorkerHost(database, { name: "Worker", env }),
  startWorkerHost(database, {
    name: "Durable Objects",
    env: { ...env, DATABASE_OBJECT_SHARDS: "2", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all([worker.stop(), objects.stop()]);
});

const CLIENT = { Authorization: `Bearer ${SCOPED_TOKENS["users:read"]}` };
const BEARER = { Authorization: `Bearer ${TOKEN}` };

async function get(
  { request }: WorkerHost,
  path: string,
  headers: Record<string, string> = {},
): Promise<{ status: number; text: string }> {
  const response = await request(path, { headers });
  return { status: response.status, text: await response.text() };
}

worker.test("/metrics requires the token and reports this isolate's counters; /ops does not exist", async () => {
  assertEquals((await get(worker, "/users")).status, 200);
  for (const path of ["/metrics", "/ops/pool"]) {
    assertEquals((await get(worker, path, { Authorization: "Bearer wrong" })).status, 401);
    assertEquals((await get(worker, path, CLIENT)).status, 403);
  }
  const { status, text } = await get(worker, "/metrics", BEARER);
  assertEquals(status, 200);
  // That of /users, and the one that reads the depth of the outbox.
  assertMatch(text, /^db_client_transactions_total\{outcome="committed"\} [12]$/m);
  assertMatch(text, /^http_server_request_duration_seconds_count\{.*http_route="\/users"\} 1$/m);
  assertEquals((await get(worker, "/ops")).status, 404);
});

for (const host of [worker, objects]) {
  host.test("/metrics reports the depth of the outbox", async () => {
    await host.branch.asAdmin(`insert into user_events (user_id, version, type, data, occurred_at)
      select gen_random_uuid(), 1, 'user.created', '{}', now() - interval '1 h'
      from generate_series(1, 3)`);
    try {
      const isRead = async () =>
        /^messaging_queue_depth 3$/m.test((await get(host, "/metrics", BEARER)).text);
      assert(await pollUntil(isRead, { deadlineMs: 10_000, intervalMs: 50 }));
    } finally {
      await host.branch.asAdmin("truncate user_events");
    }
  });

  host.test("/ops/pool reports connections and counters, and no value of a statement", async () => {
    const { status, text } = await get(host, "/ops/pool", BEARER);
    const { stats, connections, waiters } = JSON.parse(text);
    assertEquals([status, waiters, Array.isArray(connections)], [200, [], true]);
    assertEquals(typeof stats.counters.acquired, "number");
  });
}

objects.test("?object= chooses the object, which reports its own pool only", async () => {
  const acquired = async (object: number) => {
    const { text } = await get(objects, `/ops/pool?object=${object}`, BEARER);
    return JSON.parse(text).stats.counters.acquired;
  };
  const before = [await acquired(0), await acquired(1)];
  for (let count = 0; count < 6; count++) await get(objects, "/users");
  assertEquals([await acquired(0) - before[0], await acquired(1) - before[1]], [3, 3]);
  const { text } = await get(objects, "/metrics?object=1", BEARER);
  assertMatch(text, /^db_client_connection_max 50$/m);
});

objects.test("?object= refuses what is no object, creates none, and needs the token as well", async () => {
  for (const object of ["2", "-1", "1.5", "", "x", "0x1", "1e0", "99999999999999999999"]) {
    for (const path of ["/metrics", "/ops/pool"]) {
      const { status } = await get(objects, `${path}?object=${object}`, BEARER);
      assertEquals([object, status], [object, 400]);
      const second = await get(objects, `${path}?x=1&object=${object}`, BEARER);
      assertEquals([object, second.status], [object, 400]);
    }
  }
  for (const path of ["/metrics", "/ops/pool"]) {
    assertEquals((await get(objects, `${path}?object=1`, { Authorization: "" })).status, 401);
    assertEquals((await get(objects, `${path}?object=1`, CLIENT)).status, 403);
  }
  // Other addresses have no such parameter.
  assertEquals((await get(objects, "/users?object=7")).status, 400);
  assertEquals((await get(objects, "/healthz?object=7")).status, 200);
});
