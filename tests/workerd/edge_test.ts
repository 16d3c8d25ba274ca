/** What every response has, in real workerd. The same cases run on Deno. */
import { assertMatch } from "@std/assert";
import { CORS_ORIGINS, edgeCases } from "../http/edge_cases.ts";
import { FAIR_USE, fairUseCases } from "../http/fair_use_cases.ts";
import { LONG_TIMEOUTS, timeoutCases } from "../http/timeout_cases.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const database = await localDatabase();

const env = { ...LONG_TIMEOUTS, CORS_ORIGINS };

const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker", env }),
  startWorkerHost(database, { name: "Worker by HTTP", env: { ...env, DATABASE_HTTP: "on" } }),
  startWorkerHost(database, {
    name: "Durable Object",
    env: { ...env, DATABASE_OBJECT_SHARDS: "2", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);

const limited = await Promise.all([
  startWorkerHost(database, { name: "Worker", env: { ...FAIR_USE, LOG_LEVEL: "debug" } }),
  startWorkerHost(database, {
    name: "Durable Object",
    env: {
      ...FAIR_USE,
      LOG_LEVEL: "debug",
      DATABASE_OBJECT_SHARDS: "1",
      DATABASE_POOL_IDLE_TIMEOUT: "0.05",
    },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all([...hosts, ...limited].map((host) => host.stop()));
});

for (const host of limited) {
  for (const { name, run } of fairUseCases) host.test(name, () => run(host.documented));

  host.test("with LOG_LEVEL=debug a response tells where its time went", async () => {
    const { headers, body } = await host.request("/readyz");
    await body?.cancel();
    assertMatch(
      headers.get("Server-Timing") ?? "none",
      /^(?:wait;dur=[\d.]+, )?(?:connect;dur=[\d.]+, )?db;dur=[\d.]+, total;dur=[\d.]+$/,
    );
  });
}
for (const host of hosts) {
  for (const { name, run } of edgeCases) host.test(name, () => run(host.documented));
  for (const { name, run } of timeoutCases) host.test(name, () => run(host.documented, database));
}
