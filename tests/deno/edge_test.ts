/** What every response has, by both of the process's HTTP servers. */
import { start } from "../../src/deno/service.ts";
import { CORS_ORIGINS, edgeCases } from "../http/edge_cases.ts";
import type { SendRequest } from "../http/requests.ts";
import { LONG_TIMEOUTS, timeoutCases } from "../http/timeout_cases.ts";
import { type LocalDatabase, localDatabase } from "../support/local_database.ts";

const database = await localDatabase();

async function serving(
  server: string,
  run: (request: SendRequest, database: LocalDatabase) => Promise<void>,
): Promise<void> {
  await using branch = await database.connect();
  const quiet = { PORT: "0", LOG_LEVEL: "error", QUEUE_CONCURRENCY: "0", SHUTDOWN_TIMEOUT: "1" };
  const service = await start(
    { ...branch.env, ...quiet, ...LONG_TIMEOUTS, CORS_ORIGINS, HTTP_SERVER: server },
    { hostname: "127.0.0.1" },
  );
  try {
    await run((path, init) => fetch(`${service.url}${path}`, init), database);
  } finally {
    await service.shutdown();
  }
}

for (const server of ["guarded", "plain"]) {
  for (const { name, run } of [...edgeCases, ...timeoutCases]) {
    Deno.test(`${server}: ${name}`, () => serving(server, run));
  }
}
