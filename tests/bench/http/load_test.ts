/** The load generator against a server that answers at once: what counts, and what does not. */
import { assert, assertEquals } from "@std/assert";
import { LoadGenerator } from "./load.ts";

const KNOWN_ID = "00000000-0000-0000-0000-000000000001";

Deno.test("requests of the ramp do not count, and a rate rises in it", async () => {
  let asked = 0;
  await using server = Deno.serve({ port: 0, onListen() {} }, () => {
    asked++;
    return new Response("{}");
  });
  await using load = await LoadGenerator.start();
  const { port } = server.addr;
  const common = { port, operation: "read", knownIds: [KNOWN_ID] } as const;
  const rate = { ...common, durationMs: 200, by: { requestsPerSecond: 500 } };
  const whole = await load.run(rate);
  assertEquals([whole.accepted.count, whole.failed, asked], [100, 0, 100]);
  const ramped = await load.run({ ...rate, rampMs: 200 });
  // At half of the rate on average.
  assertEquals([ramped.accepted.count, ramped.failed, asked], [100, 0, 100 + 50 + 100]);
  asked = 0;
  const clients = { ...common, durationMs: 100, rampMs: 100, by: { connections: 2 } };
  const { accepted, failed } = await load.run(clients);
  assertEquals(failed, 0);
  assert(accepted.count > 0 && accepted.count < asked, `${accepted.count} of ${asked}`);
});

Deno.test("the times are a thousand, from the shortest to the longest", async () => {
  await using server = Deno.serve({ port: 0, onListen() {} }, () => new Response("{}"));
  await using load = await LoadGenerator.start();
  const { accepted } = await load.run({
    port: server.addr.port,
    operation: "read",
    knownIds: [KNOWN_ID],
    durationMs: 50,
    by: { connections: 1 },
  });
  const { times, p50Ms } = accepted;
  assertEquals(times.length, 1_000);
  assertEquals(times, times.toSorted((one, other) => one - other));
  assert(Math.abs(times[500]! - p50Ms) < 1);
});
