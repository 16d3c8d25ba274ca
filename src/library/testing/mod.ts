/** Databases for an app's own tests, on Deno. */
export {
  type BranchDatabase,
  branchDatabase,
  type BranchDatabaseOptions,
} from "./branch_database.ts";
export { type EmbeddedPostgres, embeddedPostgres } from "./embedded_postgres.ts";
export {
  createNeonBranch,
  NeonApiError,
  type NeonBranch,
  type NeonBranchOptions,
  type NeonClock,
} from "./neon_branch.ts";
export type { TestConfig } from "./test_config.ts";
