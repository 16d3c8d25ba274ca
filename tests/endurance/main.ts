/**
 * `deno task soak`, `queue-soak`, `outage`, `replica-lag`, `fleet`, `workers`, `workers resets`, `workers queue`, `chaos`, `chaos storm`, `chaos contention` and `explore`: runs one
 * scenario and prints its report. All but `explore` run on a PostgreSQL of their own. Exits with 1 after a violation, with 2 if
 * it cannot read its arguments.
 */
import { parseArgs } from "node:util";
import { chaosScenario } from "./chaos/chaos.ts";
import { contentionScenario } from "./contention.ts";
import { explorerScenario } from "./explorer/explorer.ts";
import { fleetScenario } from "./fleet/fleet.ts";
import { outageScenario, stormScenario } from "./outage.ts";
import { queueSoakScenario } from "./queue_soak.ts";
import { textOf } from "./report.ts";
import { type FlagName, FLAGS, Flags, type Scenario, UsageError } from "./scenario.ts";
import { replicaLagScenario } from "./replica_lag.ts";
import { soakScenario } from "./soak.ts";
import { violationsOf } from "./verdict.ts";
import { workersScenario } from "./workers/load.ts";
import { workersQueueScenario } from "./workers/queue.ts";
import { resetsScenario } from "./workers/resets.ts";

const SCENARIOS: Readonly<Record<string, Scenario<unknown>>> = {
  "soak": soakScenario,
  "queue-soak": queueSoakScenario,
  "outage": outageScenario,
  "replica-lag": replicaLagScenario,
  "fleet": fleetScenario,
  "workers": workersScenario,
  "workers resets": resetsScenario,
  "workers queue": workersQueueScenario,
  "explore": explorerScenario,
  "chaos": chaosScenario,
  "chaos storm": stormScenario,
  "chaos contention": contentionScenario,
};

const USAGE = Object.entries(SCENARIOS).map(([name, { flags }]) =>
  [`deno task ${name}`, ...flags.map((flag) => `[--${flag} ${FLAGS[flag]}]`)].join(" ")
).join("\n       ");

function parse(): { scenario: Scenario<unknown>; options: unknown } {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    strict: false,
    options: Object.fromEntries(Object.keys(FLAGS).map((flag) => [flag, { type: "string" }])),
  });
  const scenario = SCENARIOS[positionals.join(" ")];
  if (scenario === undefined) throw new UsageError("Cannot run as there is no such scenario");
  const unknown = Object.keys(values).find((flag) => !scenario.flags.includes(flag as FlagName));
  if (unknown !== undefined) throw new UsageError(`Cannot use --${unknown} with this scenario`);
  return { scenario, options: scenario.options(new Flags(values as Record<string, string>)) };
}

try {
  const { scenario, options } = parse();
  console.log(Deno.inspect(options, { breakLength: Infinity }));
  const report = await scenario.run(options, console.log);
  console.log(textOf(report));
  Deno.exit(violationsOf(report).length === 0 ? 0 : 1);
} catch (error) {
  if (!(error instanceof UsageError)) throw error;
  console.error(`${error.message}\nUsage: ${USAGE}`);
  Deno.exit(2);
}
