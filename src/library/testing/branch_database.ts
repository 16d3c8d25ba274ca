import process from "node:process";
import { type Sql, sql } from "../../db/mod.ts";
import { type OpenDatabase, openDatabase, type OpenDatabaseOptions } from "../deno/mod.ts";
import { testingDirectory } from "./embedded_postgres.ts";
import { createNeonBranch, type NeonBranchOptions } from "./neon_branch.ts";
import { oncePerProcess } from "./once_per_process.ts";
import { startPostgres } from "./postgres/server.ts";
import { reach, type TestConfig } from "./test_config.ts";

/** Where to make a test's database, and what is in it. */
export interface BranchDatabaseOptions {
  /**
   * Makes the tables. `config` is for tools that open the database by themselves. On the embedded server it runs once
   * for all test files that pass the same function text: see `template`.
   */
  readonly migrate?: ((db: OpenDatabase, config: TestConfig) => Promise<unknown>) | undefined;
  /**
   * On the embedded server: names what `migrate` makes, for test files whose `migrate` has the same text and makes
   * something else. On the server of `adminUrl`: a database to copy.
   */
  readonly template?: string | undefined;
  /**
   * A server that is running already, such as a service container of CI: `postgresql://` with a role that may create
   * databases. The test's database is dropped at its end.
   */
  readonly adminUrl?: string | undefined;
  /** A project of Neon, and how to make its branch. By default what the environment says. */
  readonly neon?: NeonBranchOptions | undefined;
}

/** A database of one test file. */
export interface BranchDatabase extends AsyncDisposable {
  /** For `openDatabase`, and for tools that take a URL. Contains the password. */
  readonly config: TestConfig;
  /** Opens it. The caller closes it, by `await using`. */
  open(options?: Omit<OpenDatabaseOptions, "url">): OpenDatabase;
  /** Drops the database, or deletes the branch. For `Deno.test.afterAll`. */
  [Symbol.asyncDispose](): Promise<void>;
}

/**
 * Makes a database for one test file. Call it once, before its tests, and dispose of it in `afterAll`.
 *
 * With `adminUrl` it is on that server. Otherwise, with `neon`, or NEON_API_KEY and NEON_PROJECT_ID in the environment, it
 * is a branch of the project's default branch, with a compute of its own. The branch is deleted at the end, and expires after
 * an hour if that fails. Otherwise it is on an embedded server, which all test files of a run share and which ends with
 * the process: a copy of a template, made in some 30 ms. See `embeddedPostgres` for what that needs.
 *
 * Throws what `migrate` throws, `NeonApiError`, and errors of the server.
 */
export async function branchDatabase(
  options: BranchDatabaseOptions = {},
): Promise<BranchDatabase> {
  const { adminUrl, neon = neonOf(process.env) } = options;
  if (adminUrl !== undefined) return await onServer(adminUrl, options);
  return neon === undefined ? await onEmbeddedServer(options) : await onNeon(neon, options);
}

function neonOf(
  { NEON_API_KEY: apiKey, NEON_PROJECT_ID: projectId }: Record<string, string | undefined>,
): NeonBranchOptions | undefined {
  return apiKey && projectId ? { apiKey, projectId } : undefined;
}

async function onNeon(
  project: NeonBranchOptions,
  { migrate }: BranchDatabaseOptions,
): Promise<BranchDatabase> {
  const branch = await createNeonBranch(project);
  const reached = await reach(branch.connectionUri);
  const end = async () => {
    await using _reached = reached;
    await branch.delete();
  };
  return await prepared(reached.config, migrate, end);
}

async function onServer(
  adminUrl: string,
  { migrate, template }: BranchDatabaseOptions,
): Promise<BranchDatabase> {
  const reached = await reach(adminUrl);
  const admin = reached.config;
  const name = newName();
  const end = async () => {
    await using _reached = reached;
    await runAlone(admin, sql`drop database if exists ${sql.identifier(name)} with (force)`);
  };
  try {
    await createDatabaseFrom(admin, { name, template });
  } catch (error) {
    await reached[Symbol.asyncDispose]();
    throw error;
  }
  return await prepared({ ...admin, url: urlOf(adminUrl, name) }, migrate, end);
}

async function onEmbeddedServer(
  { migrate, template = String(migrate) }: BranchDatabaseOptions,
): Promise<BranchDatabase> {
  const directory = await testingDirectory();
  const { ownerUrl, adminUrl } = await oncePerProcess({ directory, name: "server" }, async () => {
    const server = await startPostgres({ ephemeral: true, directory });
    return {
      ownerUrl: server.url({ role: "user_service_owner" }),
      adminUrl: server.url({ role: "postgres", database: "postgres" }),
    };
  });
  const reached = await reach(ownerUrl, { isOurs: true });
  const end = async () => await reached[Symbol.asyncDispose]();
  try {
    const owner = new URL(ownerUrl).username;
    const admin = { ...reached.config, url: adminUrl };
    const key = await digest(template);
    const source = await oncePerProcess({ directory, name: `template-${key}` }, async () => {
      // One whose migration failed keeps its name.
      const name = `template_${crypto.randomUUID().replaceAll("-", "")}`;
      await createDatabaseFrom(admin, { name, owner });
      await migrated({ ...reached.config, url: urlOf(ownerUrl, name) }, migrate);
      return name;
    });
    const name = newName();
    await createDatabaseFrom(admin, { name, template: source, owner });
    return branchOf({ ...reached.config, url: urlOf(ownerUrl, name) }, end);
  } catch (error) {
    await end();
    throw error;
  }
}

/** Migrates the database. Ends it if that fails. */
async function prepared(
  config: TestConfig,
  migrate: BranchDatabaseOptions["migrate"],
  end: () => Promise<void>,
): Promise<BranchDatabase> {
  try {
    await migrated(config, migrate);
    return branchOf(config, end);
  } catch (error) {
    // The first error explains more than a failed end would.
    await end().catch(() => {});
    throw error;
  }
}

async function migrated(
  config: TestConfig,
  migrate: BranchDatabaseOptions["migrate"],
): Promise<void> {
  if (migrate === undefined) return;
  await using db = openDatabase(config);
  await migrate(db, config);
}

function branchOf(config: TestConfig, end: () => Promise<void>): BranchDatabase {
  let ended: Promise<void> | undefined;
  return {
    config,
    open: (options = {}) => openDatabase({ ...config, ...options }),
    [Symbol.asyncDispose]: () => ended ??= end(),
  };
}

/** Creates a database, as a copy of `template` if there is one. Nobody may be connected to the template. */
export async function createDatabaseFrom(
  admin: TestConfig,
  { name, template = "template1", owner }: {
    name: string;
    template?: string | undefined;
    owner?: string | undefined;
  },
): Promise<void> {
  const owned = owner === undefined ? sql`` : sql` owner ${sql.identifier(owner)}`;
  await runAlone(
    admin,
    sql`create database ${sql.identifier(name)} template ${sql.identifier(template)}${owned}`,
  );
}

async function runAlone(config: TestConfig, statement: Sql): Promise<void> {
  await using db = openDatabase(config);
  await db.run(statement, { timeoutMs: 60_000 });
}

/** The same server and role, with another database. */
function urlOf(url: string, database: string): string {
  const changed = new URL(url);
  changed.pathname = `/${database}`;
  return changed.href;
}

export function newName(): string {
  return `branch_${crypto.randomUUID().replaceAll("-", "")}`;
}

async function digest(text: string): Promise<string> {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return new Uint8Array(hash).toHex().slice(0, 16);
}
