/**
 * Request bodies in real workerd: those that never end, as a cancelled read rejects there instead of ending, and those
 * that are longer than their request says.
 */
import { assertEquals } from "@std/assert";
import { uniqueEmail } from "../http/requests.ts";
import { localDatabase } from "../support/local_database.ts";
import { startWorkerHost, testOnEach, type WorkerHost } from "../support/worker_host.ts";
import { TOKEN_LINE } from "../support/token.ts";

const database = await localDatabase();

const hosts = await Promise.all([
  startWorkerHost(database, { name: "Worker" }),
  startWorkerHost(database, {
    name: "Durable Object",
    env: { DATABASE_OBJECT_SHARDS: "1", DATABASE_POOL_IDLE_TIMEOUT: "0.05" },
  }),
]);

Deno.test.afterAll(async () => {
  await Promise.all(hosts.map((host) => host.stop()));
});

/** Sends the rest of a request to create a user, and returns the first line of the answer. */
async function statusLineOf({ workerd }: WorkerHost, rest: string): Promise<string | undefined> {
  const { hostname, port } = workerd.url;
  using client = await Deno.connect({ hostname, port: Number(port) });
  const head = `POST /users HTTP/1.1\r\nHost: service\r\n${TOKEN_LINE}` +
    "Content-Type: application/json\r\n";
  const writer = client.writable.getWriter();
  await writer.write(new TextEncoder().encode(head + rest));
  const buffer = new Uint8Array(1_024);
  const length = await client.read(buffer) ?? 0;
  return new TextDecoder().decode(buffer.subarray(0, length)).split("\r\n")[0];
}

/** The beginning of one that declares its length, and of one that does not. */
const ENDLESS = ["Content-Length: 100\r\n\r\n{", "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"];

// The answer comes after ten seconds.
testOnEach(hosts, "a body that never ends is answered 408", async (host) => {
  const lines = await Promise.all(ENDLESS.map((rest) => statusLineOf(host, rest)));
  assertEquals(lines, ENDLESS.map(() => "HTTP/1.1 408 Request Timeout"));
});

testOnEach(
  hosts,
  "the limit of a body holds for its bytes, whatever length the head states",
  async (host) => {
    const chunked = (name: string) => {
      const body = JSON.stringify({ email: uniqueEmail(), name });
      return `${body.length.toString(16)}\r\n${body}\r\n0\r\n\r\n`;
    };
    const framings = ["Content-Length: 5", "Transfer-Encoding: chunked"];
    for (const lines of [framings, framings.toReversed()]) {
      const head = `${lines.join("\r\n")}\r\n\r\n`;
      assertEquals(
        await statusLineOf(host, head + chunked("x".repeat(65_536))),
        "HTTP/1.1 413 Payload Too Large",
      );
      // workerd takes the chunks for the body: https://www.rfc-editor.org/rfc/rfc9112#section-6.3
      assertEquals(await statusLineOf(host, head + chunked("Ada")), "HTTP/1.1 201 Created");
    }
  },
);
