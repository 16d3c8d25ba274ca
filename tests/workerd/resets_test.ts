/** Durable Objects that are reset while they answer requests. */
import { assert, assertEquals } from "@std/assert";
import { createUser } from "../http/requests.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const database = await localDatabase();

const host = await startWorkerHost(database, {
  name: "resetting objects",
  entry: "tests/workerd/resetting_object_worker.ts",
  env: { DATABASE_OBJECT_SHARDS: "2", DATABASE_POOL_IDLE_TIMEOUT: "0.05", RESET_EVERY: "40" },
});

Deno.test.afterAll(() => host.stop());

host.test("every read succeeds while objects are reset", async () => {
  const { id } = await createUser(host.request);
  const statuses = new Map<number, number>();
  await Promise.all(Array.from({ length: 4 }, async () => {
    for (let count = 0; count < 150; count++) {
      const response = await host.request(`/users/${id}`);
      // A reset may break off the body.
      assertEquals((await response.json()).id, id);
      statuses.set(response.status, (statuses.get(response.status) ?? 0) + 1);
    }
  }));
  assertEquals([...statuses], [[200, 600]]);
  const resets = await (await host.request("/resets")).json();
  assert(resets >= 10, `${resets} resets`);
});
