/** Which stream leads to a database: a WebSocket, or TCP. */
import { isNeonHost } from "../db/mod.ts";
import { databaseAddress } from "./database_address.ts";
import type { UrlProblem } from "./database_url.ts";

export const TRANSPORTS = ["auto", "websocket", "tcp"] as const satisfies readonly Transport[];
/** How a database is reached: see `DatabaseConfig.transport`. */
export type Transport = "auto" | "websocket" | "tcp";

interface TransportChoice {
  readonly url: string;
  readonly wsProxy?: string | undefined;
  readonly transport?: Transport | undefined;
}

/** What the runtime's TCP sockets can do. */
export interface TcpAbilities {
  /**
   * Whether they take certificates from files, connect to Unix sockets, and encrypt without checking the certificate. Workers'
   * sockets have public authorities and the host's name checked, always.
   */
  readonly hasFiles: boolean;
}

/**
 * `auto`: the WebSocket for Neon's hosts and where a relay is set; else TCP. The URL must be one that `findUrlProblem`
 * accepts.
 */
export function transportOf(
  { url, wsProxy, transport = "auto" }: TransportChoice,
): Exclude<Transport, "auto"> {
  if (transport !== "auto") return transport;
  return wsProxy !== undefined || isNeonHost(new URL(url).hostname) ? "websocket" : "tcp";
}

/** Whether a WebSocket would lead to a host that answers none: only Neon's do by themselves. */
export function needsRelay(
  { url, wsProxy }: TransportChoice,
  transport: Exclude<Transport, "auto">,
): boolean {
  return transport === "websocket" && wsProxy === undefined && !isNeonHost(new URL(url).hostname);
}

/**
 * Whether the password is sent with the startup message, where the config does not say so. Neon's proxy asks for it in
 * clear text on WebSockets alone: on TCP it asks for SCRAM.
 */
export function pipelinesByDefault(
  url: string,
  transport: Exclude<Transport, "auto">,
): boolean {
  return transport === "websocket" && isNeonHost(new URL(url).hostname);
}

/** What the URL asks for and the transport does not have, if anything. */
export function transportProblem(
  url: string,
  { transport, hasFiles }: { transport: Exclude<Transport, "auto"> } & TcpAbilities,
): UrlProblem | undefined {
  const { searchParams } = new URL(url);
  const [mode, certificate] = [searchParams.get("sslmode"), searchParams.get("sslrootcert")];
  const needsFiles = databaseAddress(url).socketPath !== undefined || certificate !== null;
  if (transport === "websocket") {
    if (!needsFiles) return undefined;
    return {
      reason: "a Unix socket and sslrootcert need TCP, and the transport is a WebSocket",
      wayOut: "use TCP, without a relay, or remove them",
    };
  }
  if (needsFiles && !hasFiles) {
    return {
      reason: "a Unix socket and sslrootcert need files, which Workers do not have",
      wayOut: "remove them; a Hyperdrive binding takes the certificate of an authority of your own",
    };
  }
  if (searchParams.get("channel_binding") === "require" && (!hasFiles || mode === "disable")) {
    return {
      reason: hasFiles
        ? "its channel_binding=require needs TLS, and its sslmode is disable"
        : "its channel_binding=require needs the server's certificate, which Workers do not show",
      wayOut: "set channel_binding=prefer" +
        (hasFiles ? ", or another sslmode" : "; Workers check the certificate and the host's name"),
    };
  }
  if (certificate === "system" && mode !== null && mode !== "verify-full") {
    return {
      reason:
        "its sslrootcert=system, with which every authority is trusted, needs the host's name checked",
      wayOut: "set sslmode=verify-full",
    };
  }
  return undefined;
}
