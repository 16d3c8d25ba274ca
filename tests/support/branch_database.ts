/**
 * A database for one test file. Without further settings it is a copy on the local server. With NEON_API_KEY and
 * NEON_PROJECT_ID it is a Neon branch, which is deleted after the file's tests, or expires if that fails.
 */
import { migrate } from "../../src/dev/migrate.ts";
import { type Branch, branchOf } from "./branch.ts";
import { localDatabase } from "./local_database.ts";
import { createNeonBranch } from "../../src/library/testing/neon_branch.ts";

export interface BranchDatabase {
  /** Gives access to it. */
  connect(): Promise<Branch>;
}

/** Creates the database. Call it once in each test file, before its tests. */
export async function branchDatabase(): Promise<BranchDatabase> {
  const apiKey = Deno.env.get("NEON_API_KEY");
  const projectId = Deno.env.get("NEON_PROJECT_ID");
  return apiKey && projectId ? await neonDatabase({ apiKey, projectId }) : await localDatabase();
}

async function neonDatabase(
  project: { apiKey: string; projectId: string },
): Promise<BranchDatabase> {
  const branch = await createNeonBranch(project);
  Deno.test.afterAll(() => branch.delete());
  const env = { DATABASE_URL: branch.connectionUri };
  await migrate(env);
  return { connect: () => Promise.resolve(branchOf({ env, adminEnv: env })) };
}
