import { join } from "node:path";
import { preparePostgresBinaries } from "./binaries.ts";
import { type ClusterContext, configureCluster, databaseName, openCluster } from "./cluster.ts";
import { makeDirectory, postgresDirectory, serverAccount } from "./directory.ts";
import { guardPostgres } from "./watchdog.ts";
import { launchPostgres } from "./launch.ts";
import type { PostgresRole } from "./passwords.ts";
import { processIdentity, stopLeftover, stopServer } from "./process.ts";

export type { PostgresRole } from "./passwords.ts";

/** A PostgreSQL server on 127.0.0.1 that lives no longer than this process. */
export interface Postgres extends AsyncDisposable {
  readonly port: number;
  /** Of the postmaster. */
  readonly pid: number;
  /** Where its data, log and credentials are. */
  readonly directory: string;
  /** `postgresql://role:password@127.0.0.1:port/database`; role and database `user_service`. */
  url(target?: { role?: PostgresRole; database?: string }): string;
  /**
   * Rolls back what is open and ends the server within `deadlineMs` (10 000), at once if
   * `immediately`; removes the data of an ephemeral one. Calling it twice is harmless.
   *
   * @throws {Error} when the server does not end.
   */
  stop(options?: StopOptions): Promise<void>;
}

export interface StopOptions {
  readonly deadlineMs?: number;
  readonly immediately?: boolean;
}

export interface PostgresOptions {
  /** Data of its own that is gone after `stop`, and no care for a crash of the machine. */
  readonly ephemeral?: boolean;
  /** For programs and data; must be writable, and within reach of the server's account. */
  readonly directory?: string;
}

/**
 * Starts PostgreSQL 18. The same data must not be started twice at once by this user: `deno task
 * dev` holds a lock for it. A server that an earlier process left behind on it is stopped first.
 *
 * @throws {Error} when it can't be started; says why, with the last lines of the server's log.
 */
export async function startPostgres(options: PostgresOptions = {}): Promise<Postgres> {
  const { ephemeral = false, directory: home = await postgresDirectory() } = options;
  await makeDirectory(home);
  const binaries = await preparePostgresBinaries(home);
  const { pgCtl } = binaries;
  const context: ClusterContext = { binaries, account: serverAccount(), ephemeral };
  const place = ephemeral ? ephemeralData(home) : developmentData(home);
  const { directory: guardHome, data } = place;
  await makeDirectory(guardHome);
  const removes = ephemeral ? guardHome : null;

  const guarded = await guardPostgres(join(guardHome, "guard.json"), { data, pgCtl, removes });
  try {
    await stopLeftover(data, pgCtl);
    const cluster = await openCluster(place.cluster, context);
    await configureCluster(cluster, context);
    const [{ port, pid }] = await Promise.all([launchPostgres(cluster, context), guarded.ready()]);
    const identity = await processIdentity(pid);
    let stopping: Promise<void> | undefined;
    const end = async (options: StopOptions) => {
      await endServer(options);
      await guarded.release();
      if (removes !== null) await Deno.remove(removes, { recursive: true });
    };
    const endServer = async ({ deadlineMs = 10_000, immediately = false }: StopOptions) => {
      // If it was killed, the pid may be another program's by now.
      const isThere = identity !== undefined && await processIdentity(pid) === identity;
      const server = { data, pid: isThere ? pid : undefined };
      await stopServer(server, { deadlineMs, pgCtl, immediately, isOurs: guarded.isOurs });
    };
    const stop = async (options: StopOptions = {}) => {
      // Whoever waits for a gentler end is hurried too.
      if (stopping !== undefined && options.immediately) await endServer(options);
      await (stopping ??= end(options));
    };
    return {
      port,
      pid,
      directory: place.cluster,
      url: ({ role = "user_service", database = databaseName } = {}) =>
        `postgresql://${role}:${cluster.passwords[role]}@127.0.0.1:${port}/${database}`,
      stop,
      [Symbol.asyncDispose]: () => stop(),
    };
  } catch (error) {
    await stopLeftover(data, pgCtl).catch(() => {});
    await guarded.release();
    if (removes !== null) await Deno.remove(removes, { recursive: true }).catch(() => {});
    throw error;
  }
}

/** Where the data of `deno task dev` is, in a directory that holds nothing else. */
export function developmentData(home: string): DataPlace {
  return dataPlace(join(home, "development"));
}

/** The owner's pid is in the name, for `deno task reset` to tell which are left over. */
function ephemeralData(home: string): DataPlace {
  return dataPlace(join(home, `ephemeral-${Deno.pid}-${crypto.randomUUID().slice(0, 8)}`));
}

interface DataPlace {
  readonly directory: string;
  readonly cluster: string;
  readonly data: string;
}

function dataPlace(directory: string): DataPlace {
  const cluster = join(directory, "cluster");
  return { directory, cluster, data: join(cluster, "data") };
}
