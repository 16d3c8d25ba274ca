import { parseSettings } from "../../src/settings/settings.ts";
import type { LocalBranch } from "../support/local_database.ts";

/** What a caller of the library has to know of a test's database: where it is. */
export function configOf({ env }: LocalBranch): { url: string; wsProxy?: string } {
  const { url, wsProxy } = parseSettings(env).database;
  return { url, ...(wsProxy === undefined ? {} : { wsProxy }) };
}
