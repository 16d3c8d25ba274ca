/** The library in an app of somebody else's, in real workerd: a request's connection ends without a call of the app. */
import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const host = await startWorkerHost(await localDatabase(), {
  name: "Worker with the library",
  entry: "tests/workerd/library_worker.ts",
});
const { branch: { relay } } = host;

Deno.test.afterAll(() => host.stop());

async function get(path: string): Promise<unknown> {
  const response = await host.request(path);
  assertEquals(response.status, 200);
  return await response.json();
}

host.test("units of one request use one connection, which is closed after the last one", async () => {
  const before = relay.connections.length;
  const [first, second] = await get("/twice") as number[];
  assertEquals(first, second);
  await host.quiet();
  assertEquals(relay.connections.length - before, 1);
});

host.test("a unit long after the others opens another connection, which is closed too", async () => {
  const before = relay.connections.length;
  await get("/later");
  await host.quiet();
  assertEquals(relay.connections.length - before, 2);
});

host.test("requests do not share connections, and one without a unit opens none", async () => {
  const before = relay.connections.length;
  await (await host.request("/without")).text();
  assertEquals(relay.connections.length - before, 0);
  await Promise.all(Array.from({ length: 10 }, () => get("/once")));
  await host.quiet();
  assertEquals(relay.connections.length - before, 10);
});

host.test("pgPool() runs on a request's database, whose connection is closed after it", async () => {
  const before = relay.connections.length;
  assertEquals(await get("/pg"), { big: "7", bytes: [1, 255], isDate: true, rowCount: 2 });
  await host.quiet();
  assertEquals(relay.connections.length - before, 1);
});
