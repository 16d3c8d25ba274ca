import type { ServerAddress } from "../db/mod.ts";

/** Where the server of a database's URL listens. */
export interface DatabaseAddress {
  /** A name or an IP address, without the brackets of IPv6. */
  readonly host: string;
  readonly port: number;
  /** The path of a Unix socket, in place of host and port. */
  readonly socketPath?: string;
}

const DEFAULT_PORT = 5_432;

/**
 * Reads the address of a URL that `findUrlProblem` accepts. A host that begins with an encoded slash, or the parameter
 * `host`, is the directory of a Unix socket: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING-URIS
 */
export function databaseAddress(url: string): DatabaseAddress {
  const { hostname, port: digits, searchParams } = new URL(url);
  const port = digits === "" ? DEFAULT_PORT : Number(digits);
  const host = decodeURIComponent(hostname).replace(/^\[|\]$/g, "");
  const directory = searchParams.get("host") ?? host;
  return directory.startsWith("/")
    ? { host, port, socketPath: `${directory.replace(/\/+$/, "")}/.s.PGSQL.${port}` }
    : { host, port };
}

/** As `databaseAddress`, for operators. */
export function serverAddress(url: string): ServerAddress {
  const { host, port, socketPath } = databaseAddress(url);
  return socketPath === undefined ? { host, port } : { host: socketPath };
}
