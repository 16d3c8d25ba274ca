/**
 * PostgreSQL over a WebSocket, by `@neondatabase/serverless`. The only importer of that package: it gives the
 * socket, the login and the wire format. Its quirks are kept in the three `neon_…` files.
 */
import { Client } from "@neondatabase/serverless";
import { ConnectError } from "../errors.ts";
import { type ConnectOptions, NeonConnection } from "./neon_connection.ts";
import type { NeonClient, WebSocketConstructor } from "./neon_client.ts";
import type { Connection, Driver } from "../driver/driver.ts";

/** How to reach one database. */
export interface NeonDriverOptions {
  /** `postgresql://user:password@host:port/database`. */
  readonly url: string;
  /** Relay (`ws://host:port/path`) for a PostgreSQL that is not Neon. Without it the host itself is asked, as Neon expects. */
  readonly wsProxy?: string | undefined;
  /**
   * Send the password together with the startup message, and the first flight with both. Saves two round trips;
   * only for servers that want the password in clear text, since any other has seen it by the time it refuses.
   */
  readonly pipelineConnect: boolean;
  /**
   * The runtime's own by default. One with `terminate()`, as npm's `ws` has, also ends a connection whose peer has
   * frozen; the standard's waits for the peer for ever.
   */
  readonly webSocketConstructor?: WebSocketConstructor | undefined;
  /** Shown in `pg_stat_activity`. */
  readonly applicationName?: string;
}

/** Opens connections through `@neondatabase/serverless`. */
export class NeonDriver implements Driver {
  readonly #options: NeonDriverOptions;

  constructor(options: NeonDriverOptions) {
    this.#options = options;
  }

  async connect(options: ConnectOptions): Promise<Connection> {
    if (options.signal?.aborted) {
      throw new ConnectError("Cannot connect to PostgreSQL: the caller gave up", {
        cause: options.signal.reason,
      });
    }
    const connection = new NeonConnection(() => this.#client(), {
      ...options,
      pipeline: this.#options.pipelineConnect,
    });
    await connection.opened;
    return connection;
  }

  #client(): NeonClient {
    const { wsProxy, pipelineConnect, webSocketConstructor, applicationName = "user-service" } =
      this.#options;
    const url = new URL(this.#options.url);
    const client = new Client({
      host: url.hostname,
      port: url.port === "" ? 5432 : Number(url.port),
      user: decodeURIComponent(url.username),
      password: decodeURIComponent(url.password),
      database: decodeURIComponent(url.pathname.slice(1)),
      application_name: applicationName,
    }) as unknown as NeonClient;
    client.neonConfig.pipelineConnect = pipelineConnect ? "password" : false;
    // The package's own coalescing waits a timer turn for each message, and throws where nobody can catch.
    client.neonConfig.coalesceWrites = false;
    client.neonConfig.disableWarningInBrowsers = true;
    client.neonConfig.webSocketConstructor = webSocketConstructor;
    if (wsProxy !== undefined) {
      const { protocol, host, pathname } = new URL(wsProxy);
      client.neonConfig.useSecureWebSocket = protocol === "wss:";
      client.neonConfig.wsProxy = (name, port) => `${host}${pathname}?address=${name}:${port}`;
    }
    return client;
  }
}
