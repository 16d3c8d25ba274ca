/** What units allocate on V8's heap, measured in a process of its own. */
import { join } from "node:path";
import type { LocalDatabase } from "../support/local_database.ts";

/** Bytes of each unit, on a warm connection. */
export type Allocations = Readonly<Record<string, number>>;

/** The young generation holds all that is allocated between two collections. Both sizes are in MiB. */
const V8_FLAGS = [
  "--expose-gc",
  "--min-semi-space-size=128",
  "--max-semi-space-size=128",
  "--no-opt",
  "--no-maglev",
  "--no-sparkplug",
];

export async function allocations(database: LocalDatabase): Promise<Allocations> {
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
      `--v8-flags=${V8_FLAGS.join()}`,
      join(import.meta.dirname!, "allocation_main.ts"),
      id,
    ],
    env: branch.env,
  }).output();
  if (!success) throw new Error(new TextDecoder().decode(stderr));
  return JSON.parse(new TextDecoder().decode(stdout));
}
