import { docsFiles } from "../../src/docs/files.ts";
import { fileServer } from "../../src/docs/file_server.ts";
import { branchDatabase } from "../support/branch_database.ts";
import { accessCases } from "./access_cases.ts";
import { bodyCases } from "./body_cases.ts";
import { docsCases } from "./docs_cases.ts";
import { CORS_ORIGINS, edgeCases } from "./edge_cases.ts";
import { idempotencyCases } from "./idempotency_cases.ts";
import { tenantCases } from "./tenant_cases.ts";
import { crowdCases, usersCases } from "./users_cases.ts";
import { testApp } from "./test_app.ts";

const database = await branchDatabase();
const corsOrigins = CORS_ORIGINS.split(", ");
const assets = fileServer(docsFiles);

const cases = [
  ...usersCases,
  ...crowdCases,
  ...accessCases,
  ...idempotencyCases,
  ...tenantCases,
  ...bodyCases,
  ...docsCases,
  ...edgeCases,
];
for (const { name, run } of cases) {
  Deno.test(name, async () => {
    await using branch = await database.connect();
    // Cases send 100 requests at once, of which many may wait for longer than the pool likes.
    const db = branch.open({ DATABASE_POOL_SHED_TARGET: "0" });
    const app = testApp({ db, assets, corsOrigins });
    await run(app.request);
  });
}
