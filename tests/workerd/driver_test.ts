/** The driver's cases in workerd, where sockets fail and close differently than in Deno. */
import { assertEquals } from "@std/assert";
import { driverCases } from "../db/driver/driver_cases.ts";
import { driverPortalCases } from "../db/driver/driver_portal_cases.ts";
import { relayFaultCases } from "../db/driver/relay_fault_cases.ts";
import type { Env } from "../support/branch.ts";
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

interface Way {
  /** What stands between the driver and the server. A case may have it closed. */
  readonly peer: AsyncDisposable & { close(): Promise<void> };
  /** The settings that lead through it. */
  readonly env: Env;
}

const WAYS: Readonly<Record<string, (env: Env) => Promise<Way>>> = {
  async "workerd"(env) {
    const peer = await ownRelay(env);
    return { peer, env: { ...env, DATABASE_WS_PROXY: peer.url } };
  },
  async "workerd over TCP"(env) {
    const direct = env["DATABASE_URL"]!;
    const peer = await TcpHop.to(direct);
    return { peer, env: { ...env, DATABASE_URL: peer.url(direct), DATABASE_TRANSPORT: "tcp" } };
  },
};

for (
  const [login, role] of [
    ["pipelined password", "user_service"],
    ["SCRAM", "user_service_scram"],
  ] as const
) {
  for (const [where, open] of Object.entries(WAYS)) {
    for (const { name } of [...driverCases, ...driverPortalCases]) {
      Deno.test(`neon driver in ${where}, ${login}: ${name}`, async () => {
        await using branch = await database.connect();
        const { env, ...way } = await open(branch.envOf(role));
        await using peer = way.peer;
        await using control = Deno.serve(
          { hostname: "127.0.0.1", port: 0, onListen: () => {} },
          async () => {
            await peer.close();
            return new Response();
          },
        );
        await runInWorker({
          kind: "driver",
          name,
          env,
          adminEnv: branch.envOf("postgres"),
          hangUpUrl: `http://127.0.0.1:${control.addr.port}/`,
        });
      });
    }
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
