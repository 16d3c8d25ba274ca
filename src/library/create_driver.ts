import { NeonDriver, type NeonDriverOptions } from "../db/mod.ts";
import { DATABASE_DEFAULTS, type DatabaseConfig } from "./database_config.ts";
import { assertDatabaseUrl, unusable } from "./database_url.ts";
import {
  needsRelay,
  pipelinesByDefault,
  type TcpAbilities,
  transportOf,
  transportProblem,
} from "./transport.ts";

/** The sockets of a runtime. */
export interface DriverSockets extends TcpAbilities {
  /** The runtime's own by default. */
  readonly webSocketConstructor?: NeonDriverOptions["webSocketConstructor"];
  /** Streams over TCP to the server of a URL. Throws `TypeError` for parameters that cannot be used. */
  readonly tcpStreams: (url: string) => NonNullable<NeonDriverOptions["newStream"]>;
}

export type DriverConfig = Pick<
  DatabaseConfig,
  "url" | "wsProxy" | "transport" | "pipelineConnect" | "prepare"
>;

/** Creates a driver over the transport of the config. Throws `TypeError` for a URL or a transport that cannot be used. */
export function createDriver(
  config: DriverConfig,
  { webSocketConstructor, tcpStreams, hasFiles }: DriverSockets,
  options: Pick<NeonDriverOptions, "applicationName"> = {},
): NeonDriver {
  const { url, wsProxy, prepare = DATABASE_DEFAULTS.prepare } = config;
  assertDatabaseUrl(url);
  const transport = transportOf(config);
  if (needsRelay(config, transport)) {
    throw unusable({
      reason: "its host is not Neon's and needs a WebSocket relay",
      wayOut: "set wsProxy to a relay, or leave transport out for TCP",
    });
  }
  const { pipelineConnect = pipelinesByDefault(url, transport) } = config;
  const problem = transportProblem(url, { transport, hasFiles });
  if (problem !== undefined) throw unusable(problem);
  const channelBinding = transport === "tcp" ? channelBindingOf(url) : undefined;
  if (channelBinding === "require" && pipelineConnect) {
    throw unusable({
      reason:
        "its channel_binding=require forbids to send the password before the server has asked",
      wayOut: "set DATABASE_PIPELINE_CONNECT=off (pipelineConnect), the default over TCP",
    });
  }
  const driver = { url, pipelineConnect, prepare, channelBinding, ...options };
  return transport === "websocket"
    ? new NeonDriver({ ...driver, wsProxy, webSocketConstructor })
    : new NeonDriver({ ...driver, newStream: tcpStreams(url) });
}

/** As the URL's parameter says, which `assertDatabaseUrl` has checked. */
function channelBindingOf(url: string): NeonDriverOptions["channelBinding"] {
  const given = new URL(url).searchParams.get("channel_binding");
  return (given ?? undefined) as NeonDriverOptions["channelBinding"];
}
