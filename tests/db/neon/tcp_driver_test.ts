/** The cases of every driver, of sessions and of failing endpoints, over TCP. */
import { NeonDriver } from "../../../src/db/mod.ts";
import { createDriver } from "../../../src/library/create_driver.ts";
import { denoSockets } from "../../../src/library/deno/sockets.ts";
import { parseSettings } from "../../../src/settings/settings.ts";
import { localDatabase } from "../../support/local_database.ts";
import { TcpHop } from "../../support/tcp_hop.ts";
import { driverCases } from "../driver/driver_cases.ts";
import { driverPortalCases } from "../driver/driver_portal_cases.ts";
import { relayFaultCases } from "../driver/relay_fault_cases.ts";
import { sessionCases } from "../session/session_cases.ts";

const database = await localDatabase();

for (
  const [kind, role] of [
    ["over TCP, pipelined password", "user_service"],
    ["over TCP, SCRAM", "user_service_scram"],
  ] as const
) {
  for (const { name, run } of [...driverCases, ...driverPortalCases]) {
    Deno.test(`${kind}: ${name}`, async () => {
      await using branch = await database.connectDirectly();
      const env = branch.envOf(role);
      const direct = env["DATABASE_URL"]!;
      await using hop = await TcpHop.to(direct);
      const { database: settings } = parseSettings({ ...env, DATABASE_URL: hop.url(direct) });
      const streams: { destroy(): void }[] = [];
      const newStream = denoSockets.tcpStreams(settings.url);
      await run({
        driver: new NeonDriver({
          ...settings,
          applicationName: "driver test",
          newStream() {
            const stream = newStream();
            streams.push(stream);
            return stream;
          },
        }),
        closeSocket: () => streams.at(-1)!.destroy(),
        async cut({ processId }) {
          await branch.asAdmin(`select pg_terminate_backend(${processId})`);
        },
        hangUp: () => hop.close(),
      });
    });
  }

  for (const { name, run } of relayFaultCases) {
    Deno.test(`${kind}: ${name.replaceAll("a relay", "a server")}`, async () => {
      await using silent = await TcpHop.silent();
      await using vanishing = await TcpHop.vanishing();
      const ports = {
        absent: 1,
        refuses: 1,
        stalls: silent.port,
        "stays-silent": silent.port,
        vanishes: vanishing.port,
      };
      await run({
        driverTo: (fault) =>
          createDriver({
            url: `postgresql://user:password@127.0.0.1:${ports[fault]}/database`,
            pipelineConnect: role === "user_service",
          }, denoSockets),
      });
    });
  }
}

for (const { name, run } of sessionCases) {
  Deno.test(`over TCP: ${name}`, async () => {
    await using branch = await database.connectDirectly();
    await run(branch);
  });
}
