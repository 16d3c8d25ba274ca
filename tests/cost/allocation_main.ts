/**
 * A process that prints what a unit allocates on V8's heap. It needs `--expose-gc`, and a young generation so large that
 * nothing is collected while it counts. Its code is not optimised, since when V8 does that differs from run to run; so the
 * figures are above those of a warm service, and compare only with one another.
 */
import { openDatabase } from "../../src/library/deno/mod.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import { unitsOf } from "./units.ts";

const UNITS = 150;
const TURNS = 3;

const gc = (globalThis as unknown as { gc(): void }).gc;

/** The least of several turns: what else the process does can only add. */
async function bytesOf(run: () => Promise<void>): Promise<number> {
  let least = Infinity;
  for (let turn = 0; turn < TURNS; turn++) {
    gc();
    const before = Deno.memoryUsage().heapUsed;
    for (let i = 0; i < UNITS; i++) await run();
    least = Math.min(least, (Deno.memoryUsage().heapUsed - before) / UNITS);
  }
  return Math.round(least);
}

const { database } = parseSettings(Deno.env.toObject());
await using db = openDatabase(database);
const costs: Record<string, number> = {};
for (const { name, run } of unitsOf(db, { knownId: Deno.args[0]! })) {
  for (let i = 0; i < 50; i++) await run();
  costs[name] = await bytesOf(run);
}
console.log(JSON.stringify(costs));
