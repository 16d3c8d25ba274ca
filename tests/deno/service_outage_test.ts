/** The database stops under load, and starts again. */
import { assert, assertEquals } from "@std/assert";
import { pollUntil } from "../../src/library/testing/postgres/poll.ts";
import { startPostgres } from "../../src/dev/postgres.ts";
import { migrate } from "../../src/dev/migrate.ts";
import { start } from "../../src/deno/service.ts";
import { makeScratch } from "../dev/scratch.ts";
import { startFaultRelay } from "../support/fault_relay.ts";
import { ACCESS } from "../support/access.ts";
import { BEARER } from "../support/token.ts";

Deno.test("while PostgreSQL is stopped requests are refused with 503, and the first connect after its return serves them", async () => {
  await using scratch = await makeScratch();
  let postgres = await startPostgres({ directory: scratch.path });
  await using relay = await startFaultRelay({
    targets: [{ hostname: "127.0.0.1", port: postgres.port }],
  });
  const env = {
    ...ACCESS,
    DATABASE_URL: postgres.url(),
    DATABASE_WS_PROXY: relay.url,
    DATABASE_PIPELINE_CONNECT: "on",
    LOG_LEVEL: "error",
    PORT: "0",
  };
  await migrate({ ...env, DATABASE_URL: postgres.url({ role: "user_service_owner" }) });
  const logged = silenceConsole();
  const service = await start(env, { hostname: "127.0.0.1" });

  const seen: { status: number; retryAfter: string | null; type: string | null }[] = [];
  const phase = { now: "before" as "before" | "down" | "back" };
  const reached = {
    warm: Promise.withResolvers<void>(),
    refused: Promise.withResolvers<void>(),
    served: Promise.withResolvers<void>(),
  };
  let isOver = false;
  const client = async (index: number) => {
    for (let turn = 0; !isOver; turn++) {
      const isWrite = turn % 2 === 0;
      const response = await fetch(`${service.url}/users${isWrite ? "" : "?limit=1"}`, {
        method: isWrite ? "POST" : "GET",
        headers: { ...BEARER, ...(isWrite ? { "content-type": "application/json" } : {}) },
        ...(isWrite
          ? {
            body: JSON.stringify({ email: `load-${index}-${turn}@example.org`, name: "Load" }),
          }
          : {}),
      });
      const body = await response.json();
      seen.push({
        status: response.status,
        retryAfter: response.headers.get("retry-after"),
        type: body.type ?? null,
      });
      if (seen.length === 50) reached.warm.resolve();
      if (phase.now === "down" && response.status === 503) reached.refused.resolve();
      if (phase.now === "back" && response.ok) reached.served.resolve();
    }
  };
  const clients = Array.from({ length: 10 }, (_, index) => client(index));
  try {
    await reached.warm.promise;
    phase.now = "down";
    await postgres.stop();
    await reached.refused.promise;
    const { port } = postgres;
    postgres = await startPostgres({ directory: scratch.path });
    assertEquals(postgres.port, port, "the relay dials this port");
    const dialledBefore = relay.connections.length;
    phase.now = "back";
    await reached.served.promise;
    // None if what has served was dialled while PostgreSQL started. Another connection may have served first.
    const [first] = relay.connections.slice(dialledBefore);
    const isOpen = () => first === undefined || first.openedMs !== undefined;
    assert(
      await pollUntil(isOpen, { deadlineMs: 10_000, intervalMs: 10 }),
      "the first connect failed",
    );
  } finally {
    isOver = true;
    await Promise.all(clients);
    await service.shutdown();
    await postgres.stop();
    logged.restore();
  }
  for (const { status, retryAfter, type } of seen.filter(({ status }) => status >= 400)) {
    // The only other failure is a COMMIT whose answer was lost.
    if (status === 500) assertEquals(type, "/problems/outcome-unknown");
    else {
      assertEquals([status, Number(retryAfter) >= 1], [503, true]);
      assertEquals(type, "/problems/database-unreachable");
    }
  }
});

/** Suppresses the log lines of the refusals. */
function silenceConsole(): { restore(): void } {
  const { error } = console;
  console.error = () => {};
  return {
    restore() {
      console.error = error;
    },
  };
}
