/** The short forms of the endurance scenarios, under the same verdicts as the full ones. */
import { assert, assertEquals } from "@std/assert";
import { chaos, chaosReport, scaled } from "./chaos/chaos.ts";
import { HOSTS } from "./chaos/hosts.ts";
import { contentionScenario } from "./contention.ts";
import { fleetScenario } from "./fleet/fleet.ts";
import { stormScenario } from "./outage.ts";
import { findPgBouncer } from "../support/pgbouncer.ts";
import { queueSoakScenario } from "./queue_soak.ts";
import { textOf } from "./report.ts";
import { replicaLagScenario } from "./replica_lag.ts";
import { soakScenario } from "./soak.ts";
import { type Measure, violationsOf } from "./verdict.ts";

const seed = Math.floor(Math.random() * 2 ** 31);
const quiet = () => {};

function enduranceTest(
  name: string,
  timeout: number,
  run: () => Promise<readonly Measure[]>,
  { ignore = false } = {},
) {
  Deno.test({
    name,
    timeout,
    ignore,
    async fn() {
      const report = await run();
      assertEquals(violationsOf(report), [], textOf(report));
    },
  });
}

enduranceTest(
  "soak: while random backends are terminated no unit fails that could be repeated, none is " +
    "done twice, and none outlives the pool",
  120_000,
  () => soakScenario.run({ sessions: 1_500, killEveryMs: 200, seed }, quiet),
);

enduranceTest(
  "queue soak: while random consumers and backends are killed every event takes effect once, in " +
    "its user's order, and only events that cannot be read are dead letters",
  180_000,
  () => {
    const size = { users: 200, versions: 8, deadlineMs: 120_000 };
    return queueSoakScenario.run({ ...size, leaseMs: 2_000, killEveryMs: 1_000, seed }, quiet);
  },
);

for (const host of HOSTS) {
  enduranceTest(
    `chaos on ${host}: under faults nothing is lost, done twice, reported falsely or left behind`,
    180_000,
    async () => {
      const result = await chaos({
        ...scaled(6_000),
        atMostMs: 60_000,
        host,
        seed,
        faultEveryMs: 60,
        stopEveryMs: 3_000,
        leastUnits: 100,
        leastFaults: 30,
      });
      assert(result.counters.resolved > 0, textOf(chaosReport(result)));
      // One in a hundred of some twenty lost COMMITs is none: only the full run judges the share of unknown outcomes.
      return chaosReport({ ...result, unknown: { ...result.unknown, calm: 0 } });
    },
  );
}

enduranceTest(
  "contention: clients at one counter lose no increment under serializable isolation alone",
  120_000,
  () => contentionScenario.run({ clients: 16, increments: 10 }, quiet),
);

enduranceTest(
  "storm: while the server is stopped retries send little to it, and its return is seen",
  120_000,
  () => stormScenario.run({ goneMs: 2_000, callEveryMs: 5 }, quiet),
);

const hasPgBouncer = await findPgBouncer() !== undefined;

enduranceTest(
  "fleet: processes behind one PgBouncer share it, and its kills lose or double no write" +
    (hasPgBouncer ? "" : " (skipped: `pgbouncer` is not installed)"),
  120_000,
  () =>
    fleetScenario.run({
      processes: 3,
      clients: 300,
      serverConnections: 6,
      connections: 12,
      warmUpMs: 3_000,
      calmMs: 8_000,
      killsMs: 9_000,
      killEveryMs: 300,
      restartEveryMs: 3_000,
      // A p99 of seconds is that of some 30 requests.
      fairness: { goodput: 0.2, p99: 0.5 },
      seed,
    }, quiet),
  { ignore: !hasPgBouncer },
);

enduranceTest(
  "replica lag: through standbys that lag, no read is older than the write whose position it brings",
  60_000,
  () => replicaLagScenario.run({ pairs: 500, callers: 16, seed }, quiet),
);
