import { existsSync } from "node:fs";
import { join } from "node:path";
import { variables } from "../settings/schema.ts";
import { checkoutDirectory } from "./checkout_directory.ts";

export type Env = Readonly<Record<string, string | undefined>>;

/** Runs in a process of its own, whose environment Deno has completed from the file. */
const PRINT = "console.log(JSON.stringify(Deno.env.toObject()))";

/**
 * The environment of a task: the variables of the process, and those of the checkout's `.env` that the process does not
 * set. Every task reads the file by this function, and `deno task start` by `deno run --env-file`: both are Deno's own
 * parser, which also replaces `$NAME`, so that `deno task migrate` changes the database that `deno task start` uses. A
 * second call sees a changed file.
 *
 * `names` are the files to look for. The first that exists counts: `deno task worker` passes `.dev.vars` too, which
 * replaces `.env` as in wrangler:
 * https://developers.cloudflare.com/workers/configuration/secrets/#local-development-with-secrets
 *
 * @throws {Error} if the file cannot be read.
 */
export function taskEnvironment(names: readonly string[] = [".env"]): Env {
  const path = names.map((name) => join(checkoutDirectory, name)).find((path) => existsSync(path));
  if (path === undefined) return Deno.env.toObject();
  const { success, stdout } = new Deno.Command(Deno.execPath(), {
    args: ["eval", "--no-config", "--quiet", `--env-file=${path}`, PRINT],
    stderr: "inherit",
  }).outputSync();
  if (!success) {
    throw new Error(
      `Cannot read the settings as Deno could not read a file: current value ${path}`,
    );
  }
  return JSON.parse(new TextDecoder().decode(stdout));
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
