/** The metrics of a Worker, in real workerd. */
import { assert, assertEquals, assertMatch } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const TOKEN = "a-token-of-24-characters";

const database = await localDatabase();
const host = await startWorkerHost(database, { name: "Worker", env: { OPS_TOKEN: TOKEN } });

Deno.test.afterAll(() => host.stop());

host.test("/metrics requires the token and reports this isolate's counters; /ops does not exist", async () => {
  const get = async (path: string, headers: Record<string, string> = {}) => {
    const response = await host.request(path, { headers });
    return { status: response.status, text: await response.text() };
  };
  const bearer = { Authorization: `Bearer ${TOKEN}` };
  assertEquals((await get("/users")).status, 200);
  assertEquals((await get("/metrics", { Authorization: "Bearer wrong" })).status, 401);
  const { status, text } = await get("/metrics", bearer);
  assertEquals(status, 200);
  assertMatch(text, /^db_client_transactions_total\{outcome="committed"\} 1$/m);
  assertMatch(text, /^http_server_request_duration_seconds_count\{.*http_route="\/users"\} 1$/m);
  // Cloudflare reports the depth of its queues itself.
  assert(!text.includes("messaging_queue_depth"));
  assertEquals((await get("/ops")).status, 404);
});
