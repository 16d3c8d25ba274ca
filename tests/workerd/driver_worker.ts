/** A Worker that runs one of the driver's cases per request, because a socket ends with the request that opened it. */
import { NeonDriver } from "../../src/db/mod.ts";
import { workersSockets } from "../../src/library/workers/sockets.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import { driverCases } from "../db/driver/driver_cases.ts";
import { driverPortalCases } from "../db/driver/driver_portal_cases.ts";
import { relayFaultCases } from "../db/driver/relay_fault_cases.ts";
import type { Env } from "../support/branch.ts";
import { SocketTap } from "../support/socket_tap.ts";

/** A case by its list and its name, with the settings of its host. */
export type DriverOrder =
  | {
    readonly kind: "driver";
    readonly name: string;
    readonly env: Env;
    readonly adminEnv: Env;
    /** Fetching it makes the relay close its connections. */
    readonly hangUpUrl: string;
  }
  | {
    readonly kind: "relay fault";
    readonly name: string;
    readonly url: string;
    readonly relayUrl: string;
    readonly pipelineConnect: boolean;
  };

export interface DriverReport {
  readonly ok: boolean;
  readonly error?: string;
}

function run(order: DriverOrder): Promise<void> {
  if (order.kind === "driver") {
    const { name, env, adminEnv, hangUpUrl } = order;
    const settings = parseSettings(env).database;
    const tap = new SocketTap();
    const streams: { destroy(): void }[] = [];
    const newStream = () => {
      const stream = workersSockets.tcpStreams(settings.url)();
      streams.push(stream);
      return stream;
    };
    return named(name, [...driverCases, ...driverPortalCases]).run({
      driver: new NeonDriver({
        ...settings,
        applicationName: "driver test",
        webSocketConstructor: tap.webSocketConstructor,
        ...(settings.transport === "tcp" ? { newStream } : {}),
      }),
      closeSocket: () => settings.transport === "tcp" ? streams.at(-1)!.destroy() : tap.close(),
      async cut({ processId }) {
        const driver = new NeonDriver(parseSettings(adminEnv).database);
        const admin = await driver.connect({ timeoutMs: 5_000 });
        const text = `select pg_terminate_backend(${processId})`;
        const { error } = await admin.flight([{ text, values: [] }]);
        await admin.close({ timeoutMs: 5_000 });
        if (error !== undefined) throw error;
      },
      async hangUp() {
        await (await fetch(hangUpUrl)).text();
      },
    });
  }
  const { name, url, relayUrl, pipelineConnect } = order;
  return named(name, relayFaultCases).run({
    driverTo: (fault) =>
      new NeonDriver({
        url,
        wsProxy: fault === "absent" ? "ws://127.0.0.1:1/v1" : `${relayUrl}/${fault}`,
        pipelineConnect,
      }),
  });
}

function named<Case extends { readonly name: string }>(
  name: string,
  cases: readonly Case[],
): Case {
  const found = cases.find((each) => each.name === name);
  if (found === undefined) throw new Error(`There is no case named ${name}`);
  return found;
}

export default {
  async fetch(request: Request): Promise<Response> {
    const order: DriverOrder = await request.json();
    let report: DriverReport;
    try {
      await run(order);
      report = { ok: true };
    } catch (error) {
      report = { ok: false, error: error instanceof Error ? error.stack! : String(error) };
    }
    // Marks the end of this case's lines in the log.
    console.error(`over: ${request.headers.get("x-request-id")}`);
    return Response.json(report);
  },
};
