/**
 * `deno task bench pool [--json FILE]`. The packages compared with are in no import that Deno can see before it runs,
 * and in a lock of their own, `contenders.lock`: what the project's lock lists is downloaded by every first
 * `deno task dev`.
 */
import { parseArgs } from "node:util";
import { benchPool } from "./pool.ts";
import { poolTable } from "./pool_table.ts";

const { positionals, values: { json } } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "string" } },
});
if (positionals.join() !== "pool") {
  console.error("Usage: deno task bench pool [--json FILE]");
  Deno.exit(2);
}

const figures = await benchPool();
console.log(poolTable(figures));
if (json !== undefined) {
  const machine = {
    ...Deno.version,
    target: Deno.build.target,
    cores: navigator.hardwareConcurrency,
  };
  await Deno.writeTextFile(json, `${JSON.stringify({ machine, figures }, null, 2)}\n`);
}
