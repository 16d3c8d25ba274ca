import type { Endpoint } from "../../driver/driver.ts";
import type { Pool } from "../pool.ts";

/** Where a server listens, for operators to read. Holds no secret. */
export interface ServerAddress {
  /** A name, an IP address, or the path of a Unix socket. */
  readonly host: string;
  /** `undefined` of a Unix socket. */
  readonly port?: number;
}

/** A server, as a transaction needs it. */
export interface ReadServer {
  /** Its connections. */
  readonly pool: Pool;
  /** See `DatabaseOptions.endpoint`. */
  readonly endpoint?: Endpoint | undefined;
  /** Names it in metrics and traces. */
  readonly address: ServerAddress;
}
