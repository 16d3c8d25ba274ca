/**
 * One PostgreSQL for the whole run of `deno test`, started by the first test file that needs it. The server ends with the
 * process.
 */
import { migrate } from "../../src/dev/migrate.ts";
import { localDirectory } from "../../src/dev/checkout_directory.ts";
import { startPostgres } from "../../src/dev/postgres.ts";
import { oncePerProcess } from "../../src/library/testing/once_per_process.ts";
import { startRelay } from "../../src/library/testing/relay/relay.ts";

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

/** Starts the server, or finds the server that another test file has started. */
export async function testServer(): Promise<TestServer> {
  const pid = Number(Deno.env.get(TEST_SERVER_PID) ?? Deno.pid);
  const directory = await localDirectory();
  return await oncePerProcess({ directory, name: "test-server", pid }, startServer);
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
