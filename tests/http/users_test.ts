import { createApp } from "../../src/http/app.ts";
import { branchDatabase } from "../support/branch_database.ts";
import { bodyCases } from "./body_cases.ts";
import { usersCases } from "./users_cases.ts";

const database = await branchDatabase();

for (const { name, run } of [...usersCases, ...bodyCases]) {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    const app = createApp({ db: branch.open() });
    await run(async (path, init) => await app.request(path, init));
  });
}
