/** The Host header chooses no route, and its text becomes no error of the service. */
import { assertEquals } from "@std/assert";
import { start } from "../../src/deno/service.ts";
import { hostCases, statusOfRaw, VALID_HOSTS } from "../http/host_cases.ts";
import { localDatabase } from "../support/local_database.ts";

const database = await localDatabase();
const TOKEN = "a-token-of-this-test";

async function serving(
  server: "guarded" | "plain",
  run: (port: number, count: () => Promise<number>) => Promise<void>,
): Promise<void> {
  await using branch = await database.connect();
  const env = {
    ...branch.env,
    PORT: "0",
    LOG_LEVEL: "error",
    QUEUE_CONCURRENCY: "0",
    HTTP_SERVER: server,
  };
  const service = await start({ ...env, OPS_TOKEN: TOKEN }, {
    hostname: "127.0.0.1",
    opensOpsToLoopback: true,
  });
  try {
    await run(Number(new URL(service.url).port), async () => {
      const [row] = await branch.asAdmin<{ count: bigint }>("select count(*) from users");
      return Number(row?.count);
    });
  } finally {
    await service.shutdown();
  }
}

Deno.test("a Host that is not host[:port] is answered with 400, before any route runs", async () => {
  await serving("guarded", async (port, count) => {
    for (const { name, head } of hostCases) {
      const body = head.startsWith("GET") ? "" : '{"email":"host@example.org","name":"Host"}';
      assertEquals([name, await statusOfRaw(port, head, body)], [name, 400]);
    }
    assertEquals(await count(), 0);
  });
});

Deno.test("a valid Host changes nothing", async () => {
  await serving("guarded", async (port) => {
    for (const host of VALID_HOSTS) {
      const head = `GET /healthz HTTP/1.1\r\nHost: ${host}`;
      assertEquals([host, await statusOfRaw(port, head)], [host, 200]);
    }
    const absolute = "GET http://example.org/healthz HTTP/1.1\r\nHost: a";
    assertEquals(await statusOfRaw(port, absolute), 200);
    assertEquals(await statusOfRaw(port, "GET /healthz HTTP/1.0"), 200);
    assertEquals(await statusOfRaw(port, "OPTIONS * HTTP/1.1\r\nHost: a"), 400);
    assertEquals(await statusOfRaw(port, "TRACE /users HTTP/1.1\r\nHost: a"), 405);
  });
});

Deno.test("on Deno.serve too, a Host that is not host[:port] is answered with 400, before any route runs", async () => {
  await serving("plain", async (port, count) => {
    // Without the header, Deno takes the address that the client has connected to.
    for (const { name, head } of hostCases.filter(({ head }) => /^host:/im.test(head))) {
      const body = head.startsWith("GET") ? "" : '{"email":"host@example.org","name":"Host"}';
      assertEquals([name, await statusOfRaw(port, head, body)], [name, 400]);
    }
    for (const host of VALID_HOSTS) {
      const head = `GET /healthz HTTP/1.1\r\nHost: ${host}`;
      assertEquals([host, await statusOfRaw(port, head)], [host, 200]);
    }
    assertEquals(await count(), 0);
  });
});
