/** The costs that the tests compare with. `deno task cost` measures them anew. */
import { join } from "node:path";
import type { LocalDatabase } from "../support/local_database.ts";
import { type Allocations, allocations, kept } from "./allocation.ts";
import { type WireCosts, wireCosts } from "./wire_cost.ts";

export interface Costs {
  readonly wire: WireCosts;
  readonly allocations: Allocations;
  /** See `kept`. */
  readonly kept: Allocations;
}

export const RECORDED = join(import.meta.dirname!, "recorded_costs.json");

export async function recordedCosts(): Promise<Costs> {
  return JSON.parse(await Deno.readTextFile(RECORDED));
}

export async function measureCosts(database: LocalDatabase): Promise<Costs> {
  return {
    wire: await wireCosts(database),
    allocations: await allocations(database),
    kept: await kept(database),
  };
}
