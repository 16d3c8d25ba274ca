/** `deno task soak [--sessions N] [--seed N]`: the whole run on a PostgreSQL of its own. Exits with 1 if it has a fault. */
import { parseArgs } from "node:util";
import { localDatabase } from "../support/local_database.ts";
import { FULL, soak } from "./soak.ts";
import { soakTable } from "./table.ts";
import { faultsOf } from "./verdict.ts";

const { values } = parseArgs({
  options: { sessions: { type: "string" }, seed: { type: "string" } },
});
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
const sessions = Number(values.sessions ?? FULL.sessions);
if (!(Number.isSafeInteger(seed) && Number.isSafeInteger(sessions) && sessions > 0)) {
  console.error("Usage: deno task soak [--sessions N] [--seed N], both whole numbers");
  Deno.exit(2);
}

console.log(`${sessions} sessions, --seed ${seed}`);
const report = await soak(await localDatabase(), {
  ...FULL,
  sessions,
  seed,
  onTenth: (tenths) => console.log(`${tenths}0 %`),
});
console.log(soakTable(report));
const faults = faultsOf(report);
console.log(faults.length === 0 ? "as it must be" : faults.join("\n"));
Deno.exit(faults.length === 0 ? 0 : 1);
