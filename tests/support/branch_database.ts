/**
 * A database for one test file. Without further settings it is a copy on the local server. With NEON_API_KEY and
 * NEON_PROJECT_ID it is a Neon branch, which is deleted after the file's tests, or expires if that fails.
 */
import { makeToken } from "../../src/dev/dev_token.ts";
import { migrate } from "../../src/dev/migrate.ts";
import { type Branch, branchOf, runAlone } from "./branch.ts";
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
  const adminEnv = { DATABASE_URL: branch.connectionUri };
  await migrate(adminEnv);
  // Neon's first role has BYPASSRLS: no policy binds it.
  const url = new URL(branch.connectionUri);
  [url.username, url.password] = ["user_service", makeToken()];
  for (
    const text of [
      `create role ${url.username} login password '${url.password}'`,
      `grant select, insert, update, delete on all tables in schema public to ${url.username}`,
      `grant usage on all sequences in schema public to ${url.username}`,
    ]
  ) {
    await runAlone(adminEnv, text);
  }
  const env = { DATABASE_URL: url.href };
  return { connect: () => Promise.resolve(branchOf({ env, adminEnv })) };
}
