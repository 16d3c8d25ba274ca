/** The driver's cases in workerd, where sockets fail and close differently than in Deno. */
import { assertEquals } from "@std/assert";
import { driverCases } from "../db/driver/driver_cases.ts";
import { driverPortalCases } from "../db/driver/driver_portal_cases.ts";
import { relayFaultCases } from "../db/driver/relay_fault_cases.ts";
import { startBrokenEndpoints } from "../support/broken_endpoints.ts";
import { localDatabase } from "../support/local_database.ts";
import { ownRelay } from "../support/own_relay.ts";
import { TcpHop } from "../support/tcp_hop.ts";
import { startWorkerd } from "../support/workerd.ts";
import type { DriverOrder, DriverReport } from "./driver_worker.ts";

const TIMEOUT_MS = 30_000;

const [database, workerd] = await Promise.all([
  localDatabase(),
  startWorkerd({ entry: "tests/workerd/driver_worker.ts" }),
]);

Deno.test.afterAll(() => workerd.stop());

for (
  const [login, role] of [
    ["pipelined password", "user_service"],
    ["SCRAM", "user_service_scram"],
  ] as const
) {
  for (const { name } of [...driverCases, ...driverPortalCases]) {
    Deno.test(`neon driver in workerd, ${login}: ${name}`, async () => {
      await using branch = await database.connect();
      const env = branch.envOf(role);
      await using relay = await ownRelay(env);
      await using control = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        async () => {
          await relay.close();
          return new Response();
        },
      );
      await runInWorker({
        kind: "driver",
        name,
        env: { ...env, DATABASE_WS_PROXY: relay.url },
        adminEnv: branch.envOf("postgres"),
        hangUpUrl: `http://127.0.0.1:${control.addr.port}/`,
      });
    });
  }

  for (const { name } of [...driverCases, ...driverPortalCases]) {
    Deno.test(`neon driver in workerd over TCP, ${login}: ${name}`, async () => {
      await using branch = await database.connect();
      const env = branch.envOf(role);
      await using hop = await TcpHop.to(env);
      await using control = Deno.serve(
        { hostname: "127.0.0.1", port: 0, onListen: () => {} },
        async () => {
          await hop.close();
          return new Response();
        },
      );
      await runInWorker({
        kind: "driver",
        name,
        env: { ...env, DATABASE_URL: hop.url(env), DATABASE_TRANSPORT: "tcp" },
        adminEnv: branch.envOf("postgres"),
        hangUpUrl: `http://127.0.0.1:${control.addr.port}/`,
      });
    });
  }

  for (const { name } of relayFaultCases) {
    Deno.test(`neon driver in workerd, ${login}: ${name}`, async () => {
      await using endpoints = await startBrokenEndpoints();
      await runInWorker({
        kind: "relay fault",
        name,
        url: "postgresql://user:password@127.0.0.1/database",
        relayUrl: endpoints.url,
        pipelineConnect: role === "user_service",
      });
    });
  }
}

async function runInWorker(order: DriverOrder): Promise<void> {
  const id = crypto.randomUUID();
  const response = await fetch(workerd.url, {
    method: "POST",
    headers: { "x-request-id": id },
    body: JSON.stringify(order),
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  const report: DriverReport = await response.json();
  await workerd.logged(id, { timeoutMs: TIMEOUT_MS });
  assertEquals({ ...report, uncaught: workerd.takeUncaught() }, { ok: true, uncaught: [] });
}
