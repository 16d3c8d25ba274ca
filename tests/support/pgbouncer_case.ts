/** Tests through PgBouncer in transaction mode; skipped, and saying so, where there is none. */
import { findPgBouncer } from "./pgbouncer.ts";
import { type PgBouncerBranch, pgBouncerDatabase } from "./pgbouncer_database.ts";

const program = await findPgBouncer();
const database = program === undefined ? undefined : await pgBouncerDatabase(program);

/** Runs on a branch of its own. */
export function pgBouncerTest(name: string, run: (branch: PgBouncerBranch) => Promise<void>): void {
  const reason = database === undefined
    ? " (skipped: no `pgbouncer`, which Debian's package of that name brings)"
    : "";
  Deno.test({
    name: `through PgBouncer, ${name}${reason}`,
    ignore: database === undefined,
    timeout: 30_000,
    async fn() {
      await using branch = await database!.connect();
      await run(branch);
    },
  });
}
