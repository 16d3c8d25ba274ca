/** The session's cases on a server reached directly. */
import { branchDatabase } from "../support/branch_database.ts";
import { sessionCases } from "./session_cases.ts";

const database = await branchDatabase();

for (const { name, run } of sessionCases) {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    await run(branch);
  });
}
