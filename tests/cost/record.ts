/** `deno task cost`: records what units cost, after a change that is meant to change it. */
import { localDatabase } from "../support/local_database.ts";
import { measureCosts, RECORDED } from "./recorded_costs.ts";

const costs = await measureCosts(await localDatabase());
await Deno.writeTextFile(RECORDED, `${JSON.stringify(costs, null, 2)}\n`);
await new Deno.Command(Deno.execPath(), { args: ["fmt", "-q", RECORDED] }).output();
console.log(
  `Recorded in ${RECORDED}. Look at its diff: each figure that changed is a decision.`,
);
Deno.exit(0);
