/** Request bodies that never end, in real workerd, where a cancelled read rejects instead of ending. */
import { assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost, testOnEach } from "../support/worker_host.ts";
import { TOKEN_LINE } from "../support/token.ts";

const database = await localDatabase();

const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker" }),
  startWorkerHost(database, { name: "Durable Object", env: { DATABASE_OBJECT_SHARDS: "1" } }),
]);

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
});

/** The beginning of one that declares its length, and of one that does not. */
const BODIES = ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"];

// The answer comes after ten seconds.
testOnEach(hosts, "a body that never ends is answered 408", async ({ workerd }) => {
  const hostname = workerd.url.hostname;
  const port = Number(workerd.url.port);
  const statusLines = await Promise.all(BODIES.map(async (body) => {
    using client = await Deno.connect({ hostname, port });
    const head = `POST /users HTTP/1.1\r\nHost: service\r\n${TOKEN_LINE}` +
      "Content-Type: application/json\r\n";
    await client.write(new TextEncoder().encode(head + body));
    const buffer = new Uint8Array(1_024);
    const length = await client.read(buffer) ?? 0;
    return new TextDecoder().decode(buffer.subarray(0, length)).split("\r\n")[0];
  }));
  assertEquals(statusLines, BODIES.map(() => "HTTP/1.1 408 Request Timeout"));
});
