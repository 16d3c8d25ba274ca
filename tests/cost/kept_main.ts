/**
 * A process that prints what V8 still keeps of each unit once its young generation was collected. It needs `--expose-gc`, and
 * a young generation so small that it is collected many times while it counts.
 */
import { openDatabase } from "../../src/library/deno/mod.ts";
import { parseSettings } from "../../src/settings/settings.ts";
import { unitsOf } from "./units.ts";

const UNITS = 1_000;

const gc = (globalThis as unknown as { gc(options?: { type: "minor" }): void }).gc;

const { database } = parseSettings(Deno.env.toObject());
await using db = openDatabase(database);
const kept: Record<string, number> = {};
for (const { name, run } of unitsOf(db, { knownId: Deno.args[0]! })) {
  for (let i = 0; i < 50; i++) await run();
  gc();
  const before = Deno.memoryUsage().heapUsed;
  for (let i = 0; i < UNITS; i++) await run();
  // Twice: what survives one collection is young still.
  gc({ type: "minor" });
  gc({ type: "minor" });
  kept[name] = Math.round((Deno.memoryUsage().heapUsed - before) / UNITS);
}
console.log(JSON.stringify(kept));
