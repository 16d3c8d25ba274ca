/**
 * What the service may do on Deno, and why. `deno task start` runs this program and passes what it prints to
 * `deno run`: the port and the database are known only from the environment.
 * https://docs.deno.com/runtime/fundamentals/security/
 */
import { existsSync } from "node:fs";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { databaseAddress } from "../library/database_address.ts";
import { parseSettings, type Settings } from "../settings/settings.ts";
import { variables } from "../settings/schema.ts";
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
  const databases = settings && [
    settings.database.url,
    ...settings.database.replicas?.urls ?? [],
  ].map((url) => databaseAccess({ ...settings.database, url }));
  const issuer = settings && issuerOf(settings);
  const addresses = databases && [
    `${hostname}:${settings.port}`,
    ...new Set(databases.map(({ net }) => net)),
    ...(issuer === undefined ? [] : [issuer]),
  ];
  return [
    { flag: `--allow-env=${names.join(",")}`, reason: "to read its settings" },
    ...(addresses === undefined ? [] : [{
      flag: `--allow-net=${addresses.join(",")}`,
      reason: issuer === undefined
        ? "to listen, and to connect to its database"
        : "to listen, and to connect to its database and to the issuer of tokens",
    }]),
    // A path with a space or a comma would be taken for several options or paths.
    ...(databases ?? []).flatMap(({ files }) => files).filter(({ path }) => !/[\s,]/.test(path))
      .map(({ path, use }) => ({
        flag: `--allow-${use}=${path}`,
        reason: "to open the sockets, or to read the certificates, that the databases' URLs name",
      })),
    // @neondatabase/serverless reads the variables of libpq, such as PGHOST. It gets undefined.
    { flag: "--ignore-env" },
    // No person could answer a service.
    { flag: "--no-prompt" },
  ];
}

interface DatabaseAccess {
  /** Where the driver opens its sockets: the server, the relay, or Neon's proxy in front of the database. */
  readonly net: string;
  readonly files: readonly { readonly use: "read" | "write"; readonly path: string }[];
}

function databaseAccess(
  { url, wsProxy, transport }: Pick<Settings["database"], "url" | "wsProxy" | "transport">,
): DatabaseAccess {
  if (transport === "tcp") {
    const { host, port, socketPath } = databaseAddress(url);
    const certificates = new URL(url).searchParams.get("sslrootcert");
    if (socketPath !== undefined) {
      const files = [{ use: "read", path: socketPath }, {
        use: "write",
        path: socketPath,
      }] as const;
      return { net: `unix:${socketPath}`, files };
    }
    return {
      net: `${isIPv6(host) ? `[${host}]` : host}:${port}`,
      files: certificates === null || certificates === "system"
        ? []
        : [{ use: "read", path: certificates }],
    };
  }
  return { net: addressOf(wsProxy ?? `wss://${new URL(url).hostname}`), files: [] };
}

/** Where the keys of JWTs are. */
function issuerOf({ access: { jwt } }: Settings): string | undefined {
  return jwt && addressOf(jwt.jwksUrl);
}

/** Host and port of a URL of HTTP or of a WebSocket. */
function addressOf(url: string): string {
  const { protocol, hostname, port } = new URL(url);
  const isEncrypted = protocol === "https:" || protocol === "wss:";
  return `${hostname}:${port || (isEncrypted ? 443 : 80)}`;
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
