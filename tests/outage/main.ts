/** `deno task outage`: a database that is gone for 10 s, in each way. Exits with 1 if callers had to suffer for it. */
import { FULL, outage, type OutageReport } from "./outage.ts";
import { outageTable } from "./table.ts";
import { faultsOf } from "./verdict.ts";
import { WAYS } from "./ways.ts";

const reports: OutageReport[] = [];
for (const way of WAYS) {
  console.log(`${way.name} …`);
  reports.push(await outage(way, FULL));
}
console.log(outageTable(reports));
const faults = faultsOf(reports);
console.log(faults.length === 0 ? "as it must be" : faults.join("\n"));
Deno.exit(faults.length === 0 ? 0 : 1);
