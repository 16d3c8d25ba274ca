/** The sockets of database connections on Deno. */
import type { DriverSockets } from "../create_driver.ts";
import { databaseAddress } from "../database_address.ts";
import { DatabaseWebSocket } from "./database_websocket.ts";
import { TcpStream } from "./tcp_stream.ts";
import { type TlsSettings, tlsSettings } from "./tls_settings.ts";

export const denoSockets: DriverSockets = {
  webSocketConstructor: DatabaseWebSocket,
  hasFiles: true,
  tcpStreams(url) {
    const address = databaseAddress(url);
    // libpq uses no TLS on a Unix socket either, and ignores its parameters there.
    const tls: TlsSettings = address.socketPath === undefined
      ? tlsSettings(new URL(url))
      : { mode: "disable", verifies: false, checksHost: false };
    return () => new TcpStream(address, tls);
  },
};
