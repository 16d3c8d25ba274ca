/** Whether `deno task dev` and `deno task worker` may change the tables of the database that they were given. */
import { isLoopbackHost } from "../library/loopback.ts";
import type { Env } from "./env_file.ts";

/**
 * Whether to apply migrations before the service starts: always to a database of this machine, to any other only with
 * `--migrate`. A `.env` can name the production database, and a migration cannot be taken back.
 *
 * @throws {Error} for a database elsewhere with neither `--migrate` nor `--no-migrate`, and for other arguments.
 */
export function mayMigrate(env: Env, args: readonly string[]): boolean {
  const unknown = args.find((arg) => arg !== "--migrate" && arg !== "--no-migrate");
  if (unknown !== undefined || args.length > 1) {
    throw new Error(
      `Cannot start with these arguments: current value ${args.join(" ")}; ` +
        "use --migrate, --no-migrate or none",
    );
  }
  if (args[0] !== undefined) return args[0] === "--migrate";
  const host = foreignHost(env);
  if (host === undefined) return true;
  throw new Error(
    `Cannot start as the database may be in use by others and its tables would be changed: ` +
      `current DATABASE_URL leads to ${host}, which is not this machine; add --migrate to apply the ` +
      `migrations there, or --no-migrate to serve it as it is`,
  );
}

/**
 * The host outside this machine to which statements would go. A relay resolves the host of `DATABASE_URL` where the relay
 * runs: a relay elsewhere makes `localhost` another machine. A URL that cannot be parsed leads nowhere.
 */
function foreignHost({ DATABASE_URL: url, DATABASE_WS_PROXY: relay }: Env): string | undefined {
  if (!url) return undefined;
  const hosts = [url, relay].map((each) => URL.parse(each || "")?.hostname ?? "");
  // An encoded slash begins the directory of a Unix socket.
  return hosts.find((host) => host !== "" && !isLoopbackHost(host) && !/^%2f/i.test(host));
}
