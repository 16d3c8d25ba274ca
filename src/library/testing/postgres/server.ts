import { join } from "node:path";
import { preparePostgresBinaries } from "./binaries.ts";
import { type ClusterContext, configureCluster, databaseName, openCluster } from "./cluster.ts";
import { makeDirectory, serverAccount } from "./directory.ts";
import { launchPostgres } from "./launch.ts";
import type { PostgresRole } from "./passwords.ts";
import { processIdentity, stopServer, stopStaleServer } from "./process.ts";
import { startWatchdog } from "./watchdog.ts";

export type { PostgresRole } from "./passwords.ts";

/** A PostgreSQL server on 127.0.0.1 that ends with this process at the latest. */
export interface Postgres extends AsyncDisposable {
  readonly port: number;
  /** The postmaster's pid. */
  readonly pid: number;
  /** The directory of its data, log and credentials. */
  readonly directory: string;
  /** `postgresql://role:password@127.0.0.1:port/database`; role and database default to `user_service`. */
  url(target?: { role?: PostgresRole; database?: string }): string;
  /**
   * Rolls back open transactions and stops the server within `deadlineMs` (default 10 000). `immediately` asks for
   * PostgreSQL's immediate shutdown instead. Removes the data of an ephemeral server. Calling it twice is harmless.
   *
   * @throws {Error} when the server does not stop.
   */
  stop(options?: StopOptions): Promise<void>;
}

export interface StopOptions {
  readonly deadlineMs?: number;
  readonly immediately?: boolean;
}

export interface PostgresOptions {
  /** Uses a data directory of its own, without fsync. `stop` removes it. */
  readonly ephemeral?: boolean;
  /** Holds the programs and the data. Must be writable, and the server's account must be able to reach it. */
  readonly directory: string;
}

/**
 * Starts PostgreSQL 18. Stops a server first that an earlier process left running on the same data. The caller must
 * make sure that no second process starts the same data at the same time: `deno task dev` holds a lock for that.
 *
 * @throws {Error} when it can't be started, with the reason and the last lines of the server's log.
 */
export async function startPostgres(
  { ephemeral = false, directory: home }: PostgresOptions,
): Promise<Postgres> {
  await makeDirectory(home);
  const binaries = await preparePostgresBinaries(home);
  const { pgCtl } = binaries;
  const context: ClusterContext = { binaries, account: serverAccount(), ephemeral };
  const paths = ephemeral ? ephemeralPaths(home) : developmentPaths(home);
  const { directory, data } = paths;
  await makeDirectory(directory);
  const ephemeralDirectory = ephemeral ? directory : null;
  const order = { data, pgCtl, ephemeralDirectory };
  const watchdog = await startWatchdog(join(directory, "watchdog.json"), order);
  try {
    await stopStaleServer(data, pgCtl);
    const cluster = await openCluster(paths.cluster, context);
    await configureCluster(cluster, context);
    const [{ port, pid }] = await Promise.all([launchPostgres(cluster, context), watchdog.ready()]);
    const identity = await processIdentity(pid);
    let stopping: Promise<void> | undefined;
    const end = async (options: StopOptions) => {
      await endServer(options);
      await watchdog.release();
      if (ephemeral) await Deno.remove(directory, { recursive: true });
    };
    const endServer = async ({ deadlineMs = 10_000, immediately = false }: StopOptions) => {
      // If the server was killed, its pid may belong to another program by now.
      const isAlive = identity !== undefined && await processIdentity(pid) === identity;
      const server = { data, pid: isAlive ? pid : undefined };
      const { ownsData } = watchdog;
      await stopServer(server, { deadlineMs, pgCtl, immediately, ownsData });
    };
    const stop = async (options: StopOptions = {}) => {
      // A slower stop is in progress: stop the server immediately, which also completes that one.
      if (stopping !== undefined && options.immediately) await endServer(options);
      await (stopping ??= end(options));
    };
    return {
      port,
      pid,
      directory: paths.cluster,
      url: ({ role = "user_service", database = databaseName } = {}) =>
        `postgresql://${role}:${cluster.passwords[role]}@127.0.0.1:${port}/${database}`,
      stop,
      [Symbol.asyncDispose]: () => stop(),
    };
  } catch (error) {
    await stopStaleServer(data, pgCtl).catch(() => {});
    await watchdog.release();
    if (ephemeral) await Deno.remove(directory, { recursive: true }).catch(() => {});
    throw error;
  }
}

/** The data of `deno task dev`, in a directory that holds nothing else. */
export function developmentPaths(home: string): ClusterPaths {
  return clusterPaths(join(home, "development"));
}

/** The owner's pid is in the name: `deno task reset` drops the directories whose owner has ended. */
function ephemeralPaths(home: string): ClusterPaths {
  return clusterPaths(join(home, `ephemeral-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`));
}

interface ClusterPaths {
  readonly directory: string;
  readonly cluster: string;
  readonly data: string;
}

function clusterPaths(directory: string): ClusterPaths {
  const cluster = join(directory, "cluster");
  return { directory, cluster, data: join(cluster, "data") };
}
