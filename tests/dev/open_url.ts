import { type Database, OwnerScope, trustedSql } from "../../src/db/mod.ts";
import { BackgroundTasks } from "../../src/library/deno/background_tasks.ts";
import { denoSockets } from "../../src/library/deno/sockets.ts";
import { startRelay } from "../../src/library/testing/relay/relay.ts";
import { createDatabase } from "../../src/library/create_database.ts";
import { parseSettings } from "../../src/settings/settings.ts";

/** A `Database` with a relay of its own. */
export interface OpenedUrl extends AsyncDisposable {
  readonly db: Database;
  /** Runs one statement and commits. */
  ask(statement: string): Promise<readonly Record<string, unknown>[]>;
}

/** Opens the database of a `startPostgres` URL as the service would. */
export async function openUrl(
  url: string,
  { pipelineConnect = "on" }: { pipelineConnect?: "on" | "off" } = {},
): Promise<OpenedUrl> {
  const { hostname, port } = new URL(url);
  const relay = await startRelay({ targets: [{ hostname, port: Number(port) }] });
  const background = new BackgroundTasks(() => {});
  const settings = parseSettings({
    DATABASE_URL: url,
    DATABASE_WS_PROXY: relay.url,
    DATABASE_PIPELINE_CONNECT: pipelineConnect,
    DATABASE_IDLE_TRANSACTION_TIMEOUT: "15",
    DATABASE_LOCK_TIMEOUT: "15",
    DATABASE_RETRY_ATTEMPTS: "1",
  });
  const db = createDatabase(settings.database, {
    owner: { scope: OwnerScope.lasting(), waitUntil: background.waitUntil },
    ...denoSockets,
  });
  return {
    db,
    async ask(statement) {
      await using session = db.session();
      const [rows] = await session.commit([trustedSql<Record<string, unknown>>(statement)]);
      return rows!;
    },
    async [Symbol.asyncDispose]() {
      await background.drain();
      await db.close({ timeoutMs: 1_000 });
      await relay.close();
    },
  };
}

/** Runs one statement on a new connection and commits. */
export async function askUrl(
  url: string,
  statement: string,
  options?: { pipelineConnect?: "on" | "off" },
): Promise<readonly Record<string, unknown>[]> {
  await using opened = await openUrl(url, options);
  return await opened.ask(statement);
}
