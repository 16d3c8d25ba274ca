import { docsFiles } from "../../src/docs/files.ts";
import { fileServer } from "../../src/docs/file_server.ts";
import { branchDatabase } from "../support/branch_database.ts";
import { CORS_ORIGINS, edgeCases } from "./edge_cases.ts";
import { serviceCases } from "./service_cases.ts";
import { crowdCases } from "./users_cases.ts";
import { testApp } from "./test_app.ts";

const database = await branchDatabase();
const corsOrigins = CORS_ORIGINS.split(", ");
const assets = fileServer(docsFiles);

for (const { name, run } of [...serviceCases, ...crowdCases, ...edgeCases]) {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    // Cases send 100 requests at once, of which many may wait for longer than the pool likes.
    const db = branch.open({ DATABASE_POOL_SHED_TARGET: "0" });
    const app = testApp({ db, assets, corsOrigins });
    await run(app.request);
  });
}
