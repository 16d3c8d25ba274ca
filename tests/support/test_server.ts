/**
 * One PostgreSQL for the whole run of `deno test`, started by the first test file that needs it. Test files are threads
 * of one process that share nothing but the disk, so that a file holds the server's address. The server ends with the
 * process.
 */
import { join } from "node:path";
import { migrate } from "../../src/dev/migrate.ts";
import { startPostgres } from "../../src/dev/postgres/server.ts";
import { startRelay } from "../../src/dev/relay/relay.ts";

export const ROLES = [
  "postgres",
  "user_service_owner",
  "user_service",
  "user_service_scram",
] as const;

export type Role = typeof ROLES[number];

/** The server's address, and a URL for each role to the migrated template database. */
export interface TestServer {
  readonly port: number;
  readonly urls: Readonly<Record<Role, string>>;
}

/** Set for a `deno test` that a test starts: it uses the server of the run that it belongs to. */
export const TEST_SERVER_PID = "TEST_SERVER_PID";

const pid = Number(Deno.env.get(TEST_SERVER_PID) ?? Deno.pid);
const directory = join(import.meta.dirname!, "..", "..", ".local");

/** Starts the server, or finds the server that another test file has started. */
export async function testServer(): Promise<TestServer> {
  await Deno.mkdir(directory, { recursive: true });
  const addressFile = join(directory, `test-server-${pid}.json`);
  using lock = await Deno.open(`${addressFile}.lock`, { create: true, write: true });
  await lock.lock(true);
  try {
    return JSON.parse(await Deno.readTextFile(addressFile));
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound)) throw error;
  }
  await removeLeftovers();
  const server = await startServer();
  await Deno.writeTextFile(addressFile, JSON.stringify(server), { mode: 0o600 });
  return server;
}

async function startServer(): Promise<TestServer> {
  const postgres = await startPostgres({ ephemeral: true });
  const urls = Object.fromEntries(ROLES.map((role) => [role, postgres.url({ role })]));
  const server = { port: postgres.port, urls: urls as Record<Role, string> };
  await using relay = await relayTo(server);
  await migrate({
    DATABASE_URL: server.urls.user_service_owner,
    DATABASE_WS_PROXY: relay.url,
    DATABASE_PIPELINE_CONNECT: "on",
  });
  return server;
}

export function relayTo(
  { port }: TestServer,
  options: Pick<Parameters<typeof startRelay>[0], "observe"> = {},
): ReturnType<typeof startRelay> {
  return startRelay({ targets: [{ hostname: "127.0.0.1", port }], ...options });
}

/** Removes the files of earlier runs. */
async function removeLeftovers(): Promise<void> {
  for await (const { name } of Deno.readDir(directory)) {
    const other = /^test-server-(\d+)\./.exec(name)?.[1];
    if (other !== undefined && Number(other) !== pid) {
      await Deno.remove(join(directory, name)).catch(() => {});
    }
  }
}
