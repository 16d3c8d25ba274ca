/** What units allocate on V8's heap, and what V8 keeps of it, each measured in a process of its own. */
import { join } from "node:path";
import type { LocalDatabase } from "../support/local_database.ts";

/** Bytes of each unit, on a warm connection. */
export type Allocations = Readonly<Record<string, number>>;

/** When V8 compiles differs from run to run, and changes what is allocated. */
const INTERPRETED = ["--expose-gc", "--no-opt", "--no-maglev", "--no-sparkplug"];

/** Sizes of the young generation are in MiB. */
const semiSpace = (
  size: number,
) => [`--min-semi-space-size=${size}`, `--max-semi-space-size=${size}`];

/** The young generation holds all that is allocated between two collections. */
export function allocations(database: LocalDatabase): Promise<Allocations> {
  return measured(database, { program: "allocation_main.ts", flags: semiSpace(128) });
}

/**
 * What is left of a unit that has ended, until a full collection: an object of the old generation refers to it. Such objects
 * cost a busy process more time than it takes to allocate them.
 */
export function kept(database: LocalDatabase): Promise<Allocations> {
  return measured(database, { program: "kept_main.ts", flags: semiSpace(1) });
}

async function measured(
  database: LocalDatabase,
  { program, flags }: { program: string; flags: string[] },
): Promise<Allocations> {
  await using branch = await database.connect();
  const id = crypto.randomUUID();
  await branch.asAdmin(
    `insert into users (id, email, name) values ('${id}', '${id}@example.org', 'Ann')`,
  );
  const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
    args: [
      "run",
      "--allow-all",
      "--no-check",
      `--v8-flags=${[...INTERPRETED, ...flags].join()}`,
      join(import.meta.dirname!, program),
      id,
    ],
    env: branch.env,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
