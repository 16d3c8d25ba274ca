/**
 * What the service may do on Deno, and why. `deno task start` runs this program and passes what it prints to
 * `deno run`: the port and the database are known only from the environment.
 * https://docs.deno.com/runtime/fundamentals/security/
 */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { parseSettings, type Settings, variables } from "../settings/settings.ts";
import { type Env, taskEnvironment } from "./env_file.ts";
import { checkoutDirectory } from "./checkout_directory.ts";

export interface Permission {
  /** An option of `deno run`. */
  readonly flag: string;
  /** What the service does with it, for people. Without it the option takes something away. */
  readonly reason?: string;
}

/**
 * The permissions that the service needs with these settings. With bad settings it gets no network, and says what is
 * wrong with them.
 */
export function permissionsOf(env: Env, { hostname = "0.0.0.0" } = {}): Permission[] {
  const names = Object.keys(variables.entries);
  const settings = settingsOf(env);
  const addresses = settings && [`${hostname}:${settings.port}`, databaseAddress(settings)];
  return [
    { flag: `--allow-env=${names.join(",")}`, reason: "to read its settings" },
    ...(addresses === undefined ? [] : [{
      flag: `--allow-net=${addresses.join(",")}`,
      reason: "to listen, and to connect to its database",
    }]),
    // @neondatabase/serverless reads the variables of libpq, such as PGHOST. It gets undefined.
    { flag: "--ignore-env" },
    // A service has nobody who could answer.
    { flag: "--no-prompt" },
  ];
}

/** Where the driver opens its sockets: the relay, or Neon's proxy in front of the database. */
function databaseAddress({ database: { url, wsProxy } }: Settings): string {
  const { protocol, hostname, port } = new URL(wsProxy ?? `wss://${new URL(url).hostname}`);
  return `${hostname}:${port || (protocol === "wss:" ? 443 : 80)}`;
}

function settingsOf(env: Env): Settings | undefined {
  try {
    return parseSettings(env);
  } catch {
    return undefined;
  }
}

if (import.meta.main) {
  const flags = permissionsOf(taskEnvironment()).map(({ flag }) => flag);
  const file = join(checkoutDirectory, ".env");
  console.log([...flags, ...(existsSync(file) ? ["--env-file=.env"] : [])].join(" "));
}
