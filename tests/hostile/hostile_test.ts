/** Short forms of the attacks. `deno task hostile NAME` runs them at full length. */
import { assertEquals } from "@std/assert";
import { type Measure, violationsOf } from "../endurance/verdict.ts";
import { emfile } from "./connections.ts";
import { generated } from "./generated.ts";
import { GENERATED_HOSTS } from "./generated_hosts.ts";
import { host } from "./host.ts";
import { logFlood } from "./log_flood.ts";
import { shutdown } from "./shutdown.ts";

function hostileTest(name: string, attack: () => Promise<Measure[]>): void {
  Deno.test({
    name,
    // The usage of the service is read from /proc, and its open files are limited by a shell.
    ignore: Deno.build.os !== "linux",
    timeout: 120_000,
    fn: async () => assertEquals(violationsOf(await attack()), []),
  });
}

hostileTest(
  "emfile: more idle connections than the process may open files leave it serving",
  () => emfile({ openFiles: 512, connections: 600, forMs: 12_000 }),
);

hostileTest("host: no Host header creates a user", host);

hostileTest(
  "log-flood: an attack on a service without its database leaves a few lines that count all refusals",
  () => logFlood({ clients: 20, forMs: 3_000 }),
);

hostileTest(
  "shutdown: SIGTERM loses no request of clients with keep-alive connections",
  () => shutdown({ clients: 50, pauseMs: 100 }),
);

for (const [name, start] of Object.entries(GENERATED_HOSTS)) {
  hostileTest(`generated: requests of a seed over all routes, on the host ${name}`, async () => {
    await using host = await start();
    return await generated(host, { requests: 600, seed: 19 });
  });
}
