/**
 * `deno task chaos [--minutes N] [--seed N] [--host deno|worker|object] [--cheat blind|none|incarnation]`: the whole
 * run on a PostgreSQL of its own. `deno task chaos contention` and `deno task chaos storm` are the two beside it. Each
 * exits with 1 if anything is not as it must be.
 */
import { parseArgs } from "node:util";
import { localDatabase } from "../support/local_database.ts";
import { chaos, scaled } from "./chaos.ts";
import { CHEATS } from "./cheats.ts";
import { contention, contentionFaults, contentionRows, FULL_CONTENTION } from "./contention.ts";
import { HOSTS } from "./hosts.ts";
import { FULL_STORM, storm, stormFaults, stormRows } from "./storm.ts";
import { aligned, chaosTable } from "./table.ts";
import { faultsOf } from "./verdict.ts";

const { values, positionals: [what = "chaos"] } = parseArgs({
  allowPositionals: true,
  options: {
    minutes: { type: "string", default: "5" },
    seed: { type: "string", default: `${Math.floor(Math.random() * 2 ** 31)}` },
    host: { type: "string", default: "deno" },
    cheat: { type: "string" },
  },
});

/** Prints the table, and gives what is wrong. */
const RUNS: Readonly<Record<string, () => Promise<string[]>>> = {
  async chaos() {
    const [seed, minutes] = [Number(values.seed), Number(values.minutes)];
    const host = HOSTS.find((each) => each === values.host);
    const cheat = CHEATS.find((each) => each === values.cheat);
    const isCheatKnown = values.cheat === undefined || cheat !== undefined;
    if (!(Number.isSafeInteger(seed) && minutes > 0 && minutes <= 600 && host && isCheatKnown)) {
      return usage();
    }
    console.log(`${minutes} minutes on ${host}, --seed ${seed}`);
    const report = await chaos({ ...scaled(minutes * 60_000), host, seed, cheat });
    console.log(chaosTable(report));
    return faultsOf(report);
  },

  async contention() {
    const report = await contention(await localDatabase(), FULL_CONTENTION);
    console.log(aligned(contentionRows(report)));
    return contentionFaults(report);
  },

  async storm() {
    const report = await storm(FULL_STORM);
    console.log(aligned(stormRows(report)));
    return stormFaults(report);
  },
};

function usage(): never {
  console.error(
    `Usage: deno task chaos [--minutes N] [--seed N] [--host ${HOSTS.join("|")}] ` +
      `[--cheat ${CHEATS.join("|")}]\n       deno task chaos contention|storm`,
  );
  Deno.exit(2);
}

const faults = await (RUNS[what] ?? usage)();
console.log(faults.length === 0 ? "as it must be" : faults.join("\n"));
Deno.exit(faults.length === 0 ? 0 : 1);
