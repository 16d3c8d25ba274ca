/**
 * The users API in real workerd: with sockets per request, by HTTP, over TCP, by Hyperdrive, and with Durable Objects. The
 * same cases run on Deno.
 */
import { serviceCases } from "../http/service_cases.ts";
import { crowdCases } from "../http/users_cases.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const database = await localDatabase();

/** For 100 requests at once, of which many may wait for longer than the pool likes. */
const PATIENT = { DATABASE_POOL_SHED_TARGET: "0" };

const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker", env: PATIENT }),
  startWorkerHost(database, {
    name: "Worker by HTTP",
    env: { ...PATIENT, DATABASE_HTTP: "on" },
  }),
  startWorkerHost(database, { name: "Worker over TCP", transport: "tcp", env: PATIENT }),
  startWorkerHost(database, { name: "Worker by Hyperdrive", hasHyperdrive: true, env: PATIENT }),
  startWorkerHost(database, {
    name: "Durable Object",
    env: { ...PATIENT, DATABASE_OBJECT_SHARDS: "2", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
});

for (const host of hosts) {
  for (const { name, run } of [...serviceCases, ...crowdCases]) {
    host.test(name, () => run(host.documented));
  }
}
