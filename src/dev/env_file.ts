import { join } from "node:path";
import { parseEnv } from "node:util";
import { variables } from "../settings/settings.ts";
import { checkoutDirectory } from "./postgres/directory.ts";

export type Env = Readonly<Record<string, string | undefined>>;

/**
 * The environment of a task: the variables of the process, and those of the checkout's `.env` that the process does not
 * set. Every task reads the file by this function, so that `deno task migrate` changes the database that
 * `deno task start` uses. Nothing is stored: a second call sees a changed file.
 *
 * @throws {Error} if the file exists and cannot be read.
 */
export function taskEnvironment(names: readonly string[] = [".env"]): Env {
  return { ...firstFile(names), ...Deno.env.toObject() };
}

/**
 * The variables that a child process inherits although no setting has their name, such as `OTEL_EXPORTER_OTLP_ENDPOINT`,
 * which Deno itself reads. The settings go to it by another way.
 */
export function inheritedVariables(env: Env): Record<string, string> {
  return Object.fromEntries(
    Object.entries(env).flatMap(([name, value]) =>
      name in variables.entries || value === undefined ? [] : [[name, value]]
    ),
  );
}

/**
 * The first of these files that exists. `deno task worker` passes `.dev.vars` too, which replaces `.env` as in wrangler:
 * https://developers.cloudflare.com/workers/configuration/secrets/#local-development-with-secrets
 */
function firstFile(names: readonly string[]): Env {
  for (const name of names) {
    try {
      return parseEnv(Deno.readTextFileSync(join(checkoutDirectory, name)));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) throw error;
    }
  }
  return {};
}
