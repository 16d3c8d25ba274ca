import { NeonDriver, type NeonDriverOptions } from "../db/mod.ts";
import { DATABASE_DEFAULTS, type DatabaseConfig } from "./database_config.ts";
import { assertDatabaseUrl, unusable } from "./database_url.ts";
import { pipelinesByDefault, transportOf, transportProblem } from "./transport.ts";

/** The sockets of a runtime. */
export interface DriverSockets {
  /** The runtime's own by default. */
  readonly webSocketConstructor?: NeonDriverOptions["webSocketConstructor"];
  /**
   * Streams over TCP to the server of a URL. Without it, the runtime has none, and `auto` is the WebSocket. Throws
   * `TypeError` for parameters that cannot be used.
   */
  readonly tcpStreams?: ((url: string) => NonNullable<NeonDriverOptions["newStream"]>) | undefined;
}

export type DriverConfig = Pick<
  DatabaseConfig,
  "url" | "wsProxy" | "transport" | "pipelineConnect" | "prepare"
>;

/** Creates a driver over the transport of the config. Throws `TypeError` for a URL or a transport that cannot be used. */
export function createDriver(
  config: DriverConfig,
  { webSocketConstructor, tcpStreams }: DriverSockets,
  options: Pick<NeonDriverOptions, "applicationName"> = {},
): NeonDriver {
  const { url, wsProxy, prepare = DATABASE_DEFAULTS.prepare } = config;
  assertDatabaseUrl(url);
  const transport = transportOf(config, { hasTcp: tcpStreams !== undefined });
  const { pipelineConnect = pipelinesByDefault(url, transport) } = config;
  const problem = transportProblem(url, transport);
  if (problem !== undefined) throw unusable(problem);
  const driver = { url, pipelineConnect, prepare, ...options };
  if (transport === "websocket") {
    return new NeonDriver({ ...driver, wsProxy, webSocketConstructor });
  }
  if (tcpStreams !== undefined) return new NeonDriver({ ...driver, newStream: tcpStreams(url) });
  throw new TypeError(
    'Cannot open the database over TCP as this runtime reaches it by WebSocket only: current transport is "tcp"; ' +
      "leave it out, and set wsProxy for a PostgreSQL that is not Neon",
  );
}
