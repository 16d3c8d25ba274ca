/** The sockets of database connections on Workers: the runtime's own WebSocket, and its TCP. */
import type { DriverSockets } from "../create_driver.ts";
import { databaseAddress } from "../database_address.ts";
import { TcpStream, workersTls } from "./tcp_stream.ts";

export const workersSockets: DriverSockets = {
  hasFiles: false,
  tcpStreams(url) {
    const [address, tls] = [databaseAddress(url), workersTls(new URL(url))];
    return () => new TcpStream(address, tls);
  },
};
