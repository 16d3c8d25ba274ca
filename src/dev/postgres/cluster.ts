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

/** The database every cluster has from the start, owned by `user_service_owner`. */
export const databaseName = "user_service";

const majorVersion = "18";

/** A data directory with what belongs to it, all in one directory. */
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
 * Opens the cluster in `directory`, making it if it isn't there. Must not be called while its
 * server runs: lost passwords are replaced by single-user PostgreSQL.
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

/** The server's files are ours to write at every start: an older checkout's would linger. */
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

/** Made beside its place and renamed: an interrupted initdb leaves nothing that looks whole. */
async function makeCluster(directory: string, context: ClusterContext): Promise<void> {
  await removeDrafts(directory);
  // A name of its own: the initdb of a killed start may go on for a second.
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
    // What a dying initdb adds meanwhile is for the next start, or for reset.
    await Deno.remove(join(dirname(directory), name), { recursive: true }).catch(() => {});
  }
}

async function initialize(data: string, context: ClusterContext): Promise<void> {
  const args = [
    // Trust lasts until configureCluster writes pg_hba.conf; no server listens before that.
    ...["-D", data, "-U", "postgres", "--encoding=UTF8", "--auth=trust", "--no-instructions"],
    // The builtin provider has C.UTF-8 on every platform; the C library may not.
    ...["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"],
    ...(context.ephemeral ? ["--no-sync"] : []),
  ];
  const { account, binaries } = context;
  const { success, text } = await runPostgresCommand(binaries.initdb, args, { account });
  if (success) return;
  throw new Error(`Cannot make a PostgreSQL cluster in ${data}: initdb said\n${text.trim()}`);
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

/** Kept per database, and copied with it by CREATE DATABASE … TEMPLATE. */
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
  // With -j a statement ends at a semicolon and an empty line.
  const input = statements.map((statement) => `${statement};\n\n`).join("");
  const { success, text } = await runPostgresCommand(binaries.postgres, args, { account, input });
  // A failed statement doesn't change the exit code.
  if (success && !/\b(ERROR|FATAL|PANIC): /.test(text)) return;
  throw new Error(`Cannot prepare the cluster in ${data}: PostgreSQL said\n${text.trim()}`);
}

async function checkVersion(data: string): Promise<void> {
  const version = await Deno.readTextFile(join(data, "PG_VERSION")).catch(ignoreNotFound);
  if (version?.trim() === majorVersion) return;
  const found = version === undefined ? "has no PG_VERSION" : `is of version ${version.trim()}`;
  throw new Error(
    `Cannot use ${data} with PostgreSQL ${majorVersion}: it ${found}; ` +
      "`deno task reset` drops it, or move it away to keep it",
  );
}

async function isDirectory(path: string): Promise<boolean> {
  return (await Deno.stat(path).catch(ignoreNotFound))?.isDirectory ?? false;
}

function ignoreNotFound(error: unknown): undefined {
  if (!(error instanceof Deno.errors.NotFound)) throw error;
}
