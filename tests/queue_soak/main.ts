/** `deno task queue-soak [--seed N]`: the whole run on a PostgreSQL of its own. Exits with 1 if it has a fault. */
import { parseArgs } from "node:util";
import { localDatabase } from "../support/local_database.ts";
import { FULL, queueSoak } from "./soak.ts";
import { queueSoakTable } from "./table.ts";
import { faultsOf } from "./verdict.ts";

const { values } = parseArgs({ options: { seed: { type: "string" } } });
const seed = Number(values.seed ?? Math.floor(Math.random() * 2 ** 31));
if (!Number.isSafeInteger(seed)) {
  console.error("Usage: deno task queue-soak [--seed N], a whole number");
  Deno.exit(2);
}

const report = await queueSoak(await localDatabase(), { ...FULL, seed });
console.log(queueSoakTable(report));
const faults = faultsOf(report);
console.log(faults.length === 0 ? "as it must be" : faults.join("\n"));
Deno.exit(faults.length === 0 ? 0 : 1);
