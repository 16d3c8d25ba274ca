/**
 * `deno task chaos [--minutes N] [--seed N] [--host deno|worker|object] [--cheat blind|none|incarnation]`: the whole
 * run on a PostgreSQL of its own. Exits with 1 if anything was lost, done twice, told falsely, or left behind.
 */
import { parseArgs } from "node:util";
import { chaos, FULL } from "./chaos.ts";
import { CHEATS } from "./cheats.ts";
import { HOSTS } from "./hosts.ts";
import { chaosTable } from "./table.ts";
import { faultsOf } from "./verdict.ts";

const { values } = parseArgs({
  options: {
    minutes: { type: "string" },
    seed: { type: "string" },
    host: { type: "string" },
    cheat: { type: "string" },
  },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const minutes = Number(values.minutes ?? 5);
const host = HOSTS.find((each) => each === (values.host ?? "deno"));
const cheat = CHEATS.find((each) => each === values.cheat);
const isCheatKnown = values.cheat === undefined || cheat !== undefined;
if (!(Number.isSafeInteger(seed) && minutes > 0 && minutes <= 600 && host && isCheatKnown)) {
  console.error(
    `Usage: deno task chaos [--minutes N] [--seed N] [--host ${HOSTS.join("|")}] ` +
      `[--cheat ${CHEATS.join("|")}]`,
  );
  Deno.exit(2);
}

console.log(`${minutes} minutes on ${host}, --seed ${seed}`);
const share = minutes * 60_000 / FULL.forMs;
const report = await chaos({
  ...FULL,
  host,
  seed,
  cheat,
  forMs: FULL.forMs * share,
  leastUnits: FULL.leastUnits * share,
  leastFaults: FULL.leastFaults * share,
});
console.log(chaosTable(report));
const faults = faultsOf(report);
console.log(faults.length === 0 ? "as it must be" : faults.join("\n"));
Deno.exit(faults.length === 0 ? 0 : 1);
