/** `deno task reset`: drops the data that `deno task dev` has stored in this checkout. */
import { join } from "node:path";
import { preparePostgresBinaries } from "../library/testing/postgres/binaries.ts";
import { postgresDirectory } from "./checkout_directory.ts";
import { developmentPaths } from "./postgres.ts";
import { processIdentity, stopStaleServer } from "../library/testing/postgres/process.ts";
import { takeDevLock } from "./dev_lock.ts";

/**
 * Drops the development data of a checkout, and the ephemeral data of processes that were killed. Returns the
 * directories that were removed.
 *
 * @throws {Error} when the development stack is running.
 */
export async function reset(checkout?: string): Promise<string[]> {
  using _lock = await takeDevLock("reset the data", checkout);
  const home = await postgresDirectory(checkout);
  const { pgCtl } = await preparePostgresBinaries(home);
  const { directory, data } = developmentPaths(home);
  await stopStaleServer(data, pgCtl);
  const dropped: string[] = [];
  for await (const { name } of Deno.readDir(home)) {
    const path = join(home, name);
    const owner = /^ephemeral-(\d+)-/.exec(name)?.[1];
    const isAbandoned = owner !== undefined && await processIdentity(Number(owner)) === undefined;
    if (!isAbandoned && path !== directory) continue;
    await Deno.remove(path, { recursive: true });
    dropped.push(path);
  }
  return dropped;
}

if (import.meta.main) {
  try {
    const dropped = await reset();
    console.log(dropped.length === 0 ? "There is no data to drop" : dropped.map(asLine).join("\n"));
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    Deno.exit(1);
  }
}

function asLine(path: string): string {
  return `Dropped ${path}`;
}
