/**
 * The users API in real workerd: with sockets per request, by HTTP, over TCP, by Hyperdrive, and with Durable Objects. The
 * same cases run on Deno.
 */
import { accessCases } from "../http/access_cases.ts";
import { bodyCases } from "../http/body_cases.ts";
import { docsCases } from "../http/docs_cases.ts";
import { usersCases } from "../http/users_cases.ts";
import { localDatabase } from "../support/local_database.ts";
import { AnswerLog } from "../support/openapi.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const database = await localDatabase();

const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker" }),
  startWorkerHost(database, { name: "Worker by HTTP", env: { DATABASE_HTTP: "on" } }),
  startWorkerHost(database, { name: "Worker over TCP", env: { DATABASE_TRANSPORT: "tcp" } }),
  startWorkerHost(database, { name: "Worker by Hyperdrive", hasHyperdrive: true }),
  startWorkerHost(database, {
    name: "Durable Object",
    env: { DATABASE_OBJECT_SHARDS: "2", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
});

for (const host of hosts) {
  const answers = new AnswerLog();
  for (const { name, run } of [...usersCases, ...accessCases, ...bodyCases, ...docsCases]) {
    host.test(name, () => run(answers.watch(host.request)));
  }
  answers.test(host.name);
}
