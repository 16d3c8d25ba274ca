/**
 * `deno task hostile NAME [MINUTES]`: attacks the service, and prints what became of it. Linux only. Exits with 1 after a
 * violation, with 2 without a name.
 */
import { textOf } from "../endurance/report.ts";
import { violationsOf } from "../endurance/verdict.ts";
import { ATTACKS } from "./attacks.ts";

const attack = ATTACKS[Deno.args[0] ?? ""];
if (attack === undefined) {
  console.error(
    `Usage: deno task hostile ${
      Object.keys(ATTACKS).join("|")
    }, with minutes for siege (default 60)`,
  );
  Deno.exit(2);
}
const report = await attack(Number(Deno.args[1] ?? 60));
console.log(textOf(report));
Deno.exit(violationsOf(report).length === 0 ? 0 : 1);
