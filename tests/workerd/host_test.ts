/**
 * The Host header chooses no route in real workerd either. Miniflare's own Worker in front fails on a Host that is no
 * host, and Cloudflare's front chooses the Worker by it. So a front Worker sets the header here.
 */
import { assertEquals } from "@std/assert";
import { HOSTS, VALID_HOSTS } from "../http/host_cases.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost, type WorkerHost } from "../support/worker_host.ts";

/** A header's value is bytes; the test sends it encoded. */
const FRONT = `export default {
  async fetch(request, { SERVICE }) {
    const host = request.headers.get("x-host");
    if (host === null) return await SERVICE.fetch(request);
    const headers = new Headers(request.headers);
    headers.set("host", decodeURIComponent(host));
    return await SERVICE.fetch(new Request(request, { headers }));
  },
};`;

const database = await localDatabase();
const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker", front: FRONT }),
  startWorkerHost(database, {
    name: "Durable Object",
    front: FRONT,
    env: { DATABASE_OBJECT_SHARDS: "1", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);
Deno.test.afterAll(() => Promise.all(hosts.map((host) => host.stop())).then(() => {}));

async function answer({ request }: WorkerHost, name: string): Promise<[number, string]> {
  const headers = { "x-host": encodeURIComponent(name) };
  const response = await request("/healthz", { headers });
  const { type, status } = await response.json();
  return [response.status, type ?? status];
}

for (const host of hosts) {
  host.test("a Host that is not host[:port] is answered with 400", async () => {
    for (const name of HOSTS.filter((name) => name !== "")) {
      const expected = [400, "/problems/malformed-request"];
      assertEquals([name, ...await answer(host, name)], [name, ...expected]);
    }
  });

  host.test("a valid Host changes nothing", async () => {
    for (const name of VALID_HOSTS) {
      assertEquals([name, ...await answer(host, name)], [name, 200, "alive"]);
    }
  });
}
