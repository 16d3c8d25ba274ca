/** What every response has, by both of the process's HTTP servers. */
import { assertEquals } from "@std/assert";
import { start } from "../../src/deno/service.ts";
import { CORS_ORIGINS, edgeCases } from "../http/edge_cases.ts";
import { FAIR_USE, fairUseCases } from "../http/fair_use_cases.ts";
import { statusOfRaw } from "../http/host_cases.ts";
import type { SendRequest } from "../http/requests.ts";
import { LONG_TIMEOUTS, timeoutCases } from "../http/timeout_cases.ts";
import { withToken } from "../support/access.ts";
import { type LocalDatabase, localDatabase } from "../support/local_database.ts";

const database = await localDatabase();

async function serving(
  server: string,
  run: (request: SendRequest, database: LocalDatabase) => Promise<void>,
  env: Readonly<Record<string, string>> = {},
): Promise<void> {
  await using branch = await database.connect();
  const quiet = { PORT: "0", LOG_LEVEL: "error", QUEUE_CONCURRENCY: "0", SHUTDOWN_TIMEOUT: "1" };
  const service = await start(
    { ...branch.env, ...quiet, ...LONG_TIMEOUTS, CORS_ORIGINS, HTTP_SERVER: server, ...env },
    { hostname: "127.0.0.1" },
  );
  // Connections that stay open would hold up the shutdown of each test for 400 ms.
  using client = Deno.createHttpClient({ poolMaxIdlePerHost: 0 });
  try {
    await run(
      (path, init) => fetch(`${service.url}${path}`, { ...withToken(init), client }),
      database,
    );
  } finally {
    await service.shutdown();
  }
}

for (const server of ["guarded", "plain"]) {
  for (const { name, run } of [...edgeCases, ...timeoutCases]) {
    Deno.test(`${server}: ${name}`, () => serving(server, run));
  }
}

for (const server of ["guarded", "plain"]) {
  Deno.test(`${server}: an operator signs in by a form that does not state its length`, async () => {
    const OPS_TOKEN = "operator-token-of-this-test";
    await serving(server, async (request) => {
      const signIn = async (token: string) => {
        const body = new Blob([`token=${token}`]).stream();
        const headers = { "Content-Type": "application/x-www-form-urlencoded" };
        const init = { method: "POST", headers, body, redirect: "manual" } as const;
        const response = await request("/ops/sign-in", init);
        await response.body?.cancel();
        return response.status;
      };
      assertEquals(await signIn(OPS_TOKEN), 303);
      assertEquals(await signIn("another-token"), 401);
      if (server === "guarded") {
        const head =
          "POST /ops/sign-in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nno chunk";
        const health = await request("/healthz");
        await health.body?.cancel();
        assertEquals(await statusOfRaw(Number(new URL(health.url).port), head), 400);
      }
    }, { OPS_TOKEN });
  });
}

Deno.test("one process keeps the limits on its clients", async (t) => {
  await serving("guarded", async (request) => {
    for (const { name, run } of fairUseCases) await t.step(name, () => run(request));
  }, FAIR_USE);
});
