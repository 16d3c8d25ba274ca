import { assert, assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost } from "../support/worker_host.ts";

const host = await startWorkerHost(await localDatabase(), {
  name: "Worker",
  entry: "tests/workerd/streaming_worker.ts",
  env: { DATABASE_POOL_SIZE: "1", DATABASE_MAX_OVERFLOW: "0" },
});

Deno.test.afterAll(() => host.stop());

async function readAll(): Promise<number> {
  const response = await host.request("/rows");
  const text = await response.text();
  return text.split("\n").length - 1;
}

host.test("a streamed body keeps its connection until it ends", async () => {
  assertEquals(await readAll(), 8_000);
});

host.test("when a client disconnects during a body, the connection and its permit are released", async () => {
  const response = await host.request("/rows");
  const reader = response.body!.getReader();
  const { value } = await reader.read();
  assert(value !== undefined && value.length > 0);
  assertEquals(host.branch.relay.openConnections.length, 1);
  await reader.cancel();
  await host.quiet();
  assertEquals(await readAll(), 8_000);
});
