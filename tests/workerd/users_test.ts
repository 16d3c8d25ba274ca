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
  startWorkerHost(database, {
    name: "Worker over TCP",
    env: { ...PATIENT, DATABASE_TRANSPORT: "tcp" },
  }),
  startWorkerHost(database, { name: "Worker by Hyperdrive", hasHyperdrive: true, env: PATIENT }),
  startWorkerHost(database, {
    name: "Durable Object",
    env: { ...PATIENT, DATABASE_OBJECT_SHARDS: "2", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
});

/**
 * Over TCP, as with Hyperdrive, the runtime warns in some runs that promises of ended requests are resolved: the answers
 * are right. `NeonConnection.close` may give up waiting for the socket a moment before the runtime has closed it.
 */
const TAKES_CROWDS = ["Worker", "Worker by HTTP", "Durable Object"];

for (const host of hosts) {
  const crowd = TAKES_CROWDS.includes(host.name) ? crowdCases : [];
  for (const { name, run } of [...serviceCases, ...crowd]) {
    host.test(name, () => run(host.documented));
  }
}
