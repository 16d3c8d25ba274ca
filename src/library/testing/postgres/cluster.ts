import { basename, dirname, join } from "node:path";
import type { PostgresBinaries } from "./binaries.ts";
import { runPostgresCommand } from "./command.ts";
import { makeDirectory, type ServerAccount } from "./directory.ts";
import { postgresConf, postgresHba } from "./conf.ts";
import {
  makePasswords,
  type Passwords,
  readPasswords,
  roles,
  writePasswords,
} from "./passwords.ts";

/** The database that every new cluster has, owned by `user_service_owner`. */
export const databaseName = "user_service";

const majorVersion = "18";

/** A PostgreSQL cluster: its data, log and passwords in one directory. */
export interface Cluster {
  readonly directory: string;
  readonly data: string;
  readonly log: string;
  readonly passwords: Passwords;
}

export interface ClusterContext {
  readonly binaries: PostgresBinaries;
  readonly account: ServerAccount;
  readonly ephemeral: boolean;
}

/**
 * Opens the cluster in `directory`, and makes it if it is missing. Must not be called while its server runs, because
 * lost passwords are replaced by PostgreSQL in single-user mode.
 *
 * @throws {Error} when the data is not of PostgreSQL 18, or initdb fails.
 */
export async function openCluster(directory: string, context: ClusterContext): Promise<Cluster> {
  if (!await isDirectory(directory)) await makeCluster(directory, context);
  const data = join(directory, "data");
  await checkVersion(data);
  const passwords = await readPasswords(directory) ?? await replacePasswords(directory, context);
  const log = join(directory, "log", "server.log");
  return { directory, data, log, passwords };
}

/** Rewrites the server's configuration at every start, as the data may have been made by an older checkout. */
export async function configureCluster(
  { data }: Cluster,
  { account, ephemeral }: ClusterContext,
): Promise<void> {
  const files = { "postgresql.conf": postgresConf({ ephemeral }), "pg_hba.conf": postgresHba };
  for (const [name, text] of Object.entries(files)) {
    const path = join(data, name);
    await Deno.writeTextFile(path, text, { mode: 0o600 });
    if (account !== undefined) await Deno.chown(path, account.uid, account.gid);
  }
}

/**
 * Makes the cluster beside its place and renames it, so that an interrupted initdb leaves no incomplete cluster there.
 */
async function makeCluster(directory: string, context: ClusterContext): Promise<void> {
  await removeDrafts(directory);
  // The name is unique because the initdb of a killed start may still run for a second.
  const draft = `${directory}.new-${crypto.randomUUID().slice(0, 8)}`;
  await makeDirectory(draft);
  const data = join(draft, "data");
  for (const path of [data, join(draft, "log")]) {
    await makeDirectory(path, 0o700);
    if (context.account) await Deno.chown(path, context.account.uid, context.account.gid);
  }
  const passwords = makePasswords();
  await initialize(data, context);
  await runSingleUser(data, "postgres", bootstrapSql(passwords), context);
  await runSingleUser(data, databaseName, privilegesSql, context);
  await writePasswords(draft, passwords);
  await Deno.rename(draft, directory);
}

async function removeDrafts(directory: string): Promise<void> {
  for await (const { name } of Deno.readDir(dirname(directory))) {
    if (!name.startsWith(`${basename(directory)}.new-`)) continue;
    // This fails if an initdb that is ending adds a file. The next start, or reset, then removes the draft.
    await Deno.remove(join(dirname(directory), name), { recursive: true }).catch(() => {});
  }
}

async function initialize(data: string, context: ClusterContext): Promise<void> {
  const args = [
    // `trust` is safe here: configureCluster replaces pg_hba.conf before a server listens.
    ...["-D", data, "-U", "postgres", "--encoding=UTF8", "--auth=trust", "--no-instructions"],
    // The builtin provider has C.UTF-8 on every platform; a C library may lack it.
    ...["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
    ...(context.ephemeral ? ["--no-sync"] : []),
  ];
  const { account, binaries } = context;
  const { success, text } = await runPostgresCommand(binaries.initdb, args, { account });
  if (success) return;
  throw new Error(
    `Cannot make a PostgreSQL cluster in ${data} as initdb failed:\n${text.trim()}`,
  );
}

function bootstrapSql(passwords: Passwords): string[] {
  return [
    `ALTER ROLE postgres PASSWORD '${passwords.postgres}'`,
    `CREATE ROLE user_service_owner LOGIN PASSWORD '${passwords.user_service_owner}'`,
    `CREATE ROLE user_service LOGIN PASSWORD '${passwords.user_service}'`,
    `CREATE ROLE user_service_scram LOGIN PASSWORD '${passwords.user_service_scram}' ` +
    "IN ROLE user_service",
    `CREATE DATABASE ${databaseName} OWNER user_service_owner`,
  ];
}

/** Default privileges belong to a database, and CREATE DATABASE … TEMPLATE copies them. */
const privilegesSql: string[] = [
  ["SELECT, INSERT, UPDATE, DELETE", "TABLES"],
  ["USAGE", "SEQUENCES"],
  ["USAGE", "SCHEMAS"],
].map(([privileges, objects]) =>
  "ALTER DEFAULT PRIVILEGES FOR ROLE user_service_owner " +
  `GRANT ${privileges} ON ${objects} TO user_service`
);

async function replacePasswords(directory: string, context: ClusterContext): Promise<Passwords> {
  const passwords = makePasswords();
  const statements = roles.map((role) => `ALTER ROLE ${role} PASSWORD '${passwords[role]}'`);
  await runSingleUser(join(directory, "data"), "postgres", statements, context);
  await writePasswords(directory, passwords);
  return passwords;
}

async function runSingleUser(
  data: string,
  database: string,
  statements: string[],
  { binaries, account, ephemeral }: ClusterContext,
): Promise<void> {
  const args = ["--single", ...(ephemeral ? ["-F"] : []), "-j", "-D", data, database];
  // With -j a statement ends at a semicolon followed by an empty line.
  const input = statements.map((statement) => `${statement};\n\n`).join("");
  const { success, text } = await runPostgresCommand(binaries.postgres, args, { account, input });
  // A failed statement does not change the exit code.
  if (success && !/\b(ERROR|FATAL|PANIC): /.test(text)) return;
  throw new Error(`Cannot prepare the cluster in ${data} as PostgreSQL failed:\n${text.trim()}`);
}

async function checkVersion(data: string): Promise<void> {
  const version = await Deno.readTextFile(join(data, "PG_VERSION")).catch(ignoreNotFound);
  if (version?.trim() === majorVersion) return;
  const found = version === undefined ? "has no PG_VERSION" : `is of version ${version.trim()}`;
  throw new Error(
    `Cannot use ${data} with PostgreSQL ${majorVersion} as it ${found}; ` +
      "drop it with `deno task reset`, or move it away to keep it",
  );
}

async function isDirectory(path: string): Promise<boolean> {
  return (await Deno.stat(path).catch(ignoreNotFound))?.isDirectory ?? false;
}

function ignoreNotFound(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
