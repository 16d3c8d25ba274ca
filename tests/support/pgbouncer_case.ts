/** Tests through PgBouncer in transaction mode. Without the program they are skipped, and their names say so. */
import { findPgBouncer, type PgBouncerSettings } from "./pgbouncer.ts";
import { type PgBouncerBranch, pgBouncerDatabase } from "./pgbouncer_database.ts";

const program = await findPgBouncer();
const database = program === undefined ? undefined : await pgBouncerDatabase(program);

/** Adds a test that gets access to a database behind PgBouncer; with `settings`, behind one of its own. */
export function pgBouncerTest(
  name: string,
  run: (branch: PgBouncerBranch) => Promise<void>,
  settings?: PgBouncerSettings,
): void {
  const reason = database === undefined
    ? " (skipped: `pgbouncer` is not installed; Debian has a package of that name)"
    : "";
  Deno.test({
    name: `through PgBouncer, ${name}${reason}`,
    ignore: database === undefined,
    timeout: 30_000,
    async fn() {
      await using branch = await database!.connect(settings);
      await run(branch);
    },
  });
}
