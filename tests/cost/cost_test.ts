/**
 * No unit costs more than it did, unless someone decides so: `deno task cost` records the figures anew, and the change of
 * `recorded_costs.json` is part of the commit. Counts, not times, so that the machine does not matter. A unit that costs
 * less fails too: the lower figure is worth keeping.
 */
import { assert, assertEquals } from "@std/assert";
import { localDatabase } from "../support/local_database.ts";
import { type Allocations, allocations, kept } from "./allocation.ts";
import { recordedCosts } from "./recorded_costs.ts";
import { wireCosts } from "./wire_cost.ts";

const database = await localDatabase();
const recorded = await recordedCosts();

Deno.test("each unit sends and gets the messages, statements and bytes that are recorded", async () => {
  assertEquals(
    await wireCosts(database),
    recorded.wire,
    "a unit's cost on the wire has changed; if that is meant, run deno task cost",
  );
});

/** Runs differ by less than a hundredth. */
const TOLERANCE = 0.1;

Deno.test("each unit allocates what is recorded, within a tenth", async () => {
  assertClose(await allocations(database), recorded.allocations, "allocates");
});

Deno.test("of each unit is kept what is recorded, within a tenth", async () => {
  assertClose(await kept(database), recorded.kept, "leaves");
});

function assertClose(measured: Allocations, recorded: Allocations, verb: string): void {
  assertEquals(Object.keys(measured), Object.keys(recorded));
  for (const [unit, bytes] of Object.entries(measured)) {
    const before = recorded[unit]!;
    assert(
      Math.abs(bytes - before) <= before * TOLERANCE,
      `${unit} ${verb} ${bytes} bytes, recorded are ${before}; if that is meant, run deno task cost`,
    );
  }
}
