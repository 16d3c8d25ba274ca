/**
 * PostgreSQL over a WebSocket or another stream, by `@neondatabase/serverless`. Only this file imports that package, for the socket, the
 * login and the wire format. This folder's README lists the quirks of the package and the files that hide them.
 */
import { Client } from "@neondatabase/serverless";
import { ConnectError } from "../errors.ts";
import { NeonConnection } from "./neon_connection.ts";
import type { NeonClient, WireStream } from "./neon_client.ts";
import type { Credentials } from "./login.ts";
import { type PrepareMode, PreparePolicy } from "./prepared_statements.ts";
import { type ChannelBinding, ScramPassword } from "./scram.ts";
import type { Connection, Driver } from "../driver/driver.ts";

/** The address of one database and how to log in. */
export interface NeonDriverOptions {
  /** `postgresql://user:password@host:port/database`. */
  readonly url: string;
  /**
   * A WebSocket relay, `ws://host:port/path` or `wss://`, for a PostgreSQL that is not Neon. Without it the driver
   * connects to the host of `url` itself, as Neon expects.
   */
  readonly wsProxy?: string | undefined;
  /**
   * Sends the startup message, the password and the first flight together, which saves two round trips. Only for
   * servers that ask for the password in clear text, as Neon does. Any other server has received the password in clear
   * text when it refuses the login.
   */
  readonly pipelineConnect: boolean;
  /**
   * The runtime's own by default. A class with `terminate()`, such as that of npm's `ws`, also closes a connection
   * whose peer is frozen. A standard WebSocket waits for the peer for ever.
   */
  readonly webSocketConstructor?: (new (url: string) => unknown) | undefined;
  /**
   * @internal Makes an unopened stream to the database for each connection, in place of a WebSocket: `url` then has the login only,
   * and `wsProxy` and `webSocketConstructor` are not used.
   */
  readonly newStream?: (() => WireStream) | undefined;
  /**
   * @internal Whether a login by SCRAM is bound to the server's certificate, so that no other server with TLS can stand between: where
   * stream and server can, by default. `require` refuses every other login.
   */
  readonly channelBinding?: ChannelBinding | undefined;
  /**
   * When statements are sent as prepared statements. `auto`, the default: on connections whose backend is the one that has
   * logged in, and for Neon. `on`: through poolers as well, for those that keep prepared statements, as PgBouncer from 1.21
   * on with `max_prepared_statements`. If a pooler turns out not to, the driver stops.
   */
  readonly prepare?: PrepareMode;
  /** `application_name` in `pg_stat_activity`. */
  readonly applicationName?: string;
}

/** Opens connections through `@neondatabase/serverless`. */
export class NeonDriver implements Driver {
  readonly #options: NeonDriverOptions;
  readonly #policy: PreparePolicy;
  readonly #password: string;
  readonly #credentials: Credentials;

  /** Opens nothing. */
  constructor(options: NeonDriverOptions) {
    this.#options = options;
    const { url, prepare: mode = "auto", channelBinding = "prefer" } = options;
    this.#password = decodeURIComponent(new URL(url).password);
    this.#credentials = { password: new ScramPassword(this.#password), channelBinding };
    this.#policy = new PreparePolicy({ mode, host: new URL(url).hostname });
  }

  /**
   * Opens one connection and resolves when a flight may be sent. Throws `ConnectError` if that fails, if it takes
   * longer than `timeoutMs`, or if the signal aborts.
   */
  async connect(options: Parameters<Driver["connect"]>[0]): Promise<Connection> {
    if (options.signal?.aborted) {
      throw new ConnectError("Cannot connect to PostgreSQL: the caller gave up", {
        cause: options.signal.reason,
      });
    }
    const connection = new NeonConnection(() => this.#client(), {
      ...options,
      pipeline: this.#options.pipelineConnect,
      credentials: this.#credentials,
      policy: this.#policy,
    });
    await connection.opened;
    return connection;
  }

  #client(): NeonClient {
    const { newStream, pipelineConnect, applicationName = "user-service" } = this.#options;
    const url = new URL(this.#options.url);
    const login = {
      user: decodeURIComponent(url.username),
      database: decodeURIComponent(url.pathname.slice(1)),
      application_name: applicationName,
    };
    const client = new Client({
      host: url.hostname,
      port: url.port === "" ? 5432 : Number(url.port),
      ...login,
      // The stream has TLS.
      ssl: false,
      // Declared as a function, which the package would not call.
      ...(newStream === undefined ? {} : { stream: newStream() as never }),
    }) as unknown as NeonClient;
    // The package reads PGPASSWORD, PGOPTIONS and others from the environment.
    client.password = this.#password;
    client.getStartupConf = () => login;
    client.neonConfig.pipelineConnect = pipelineConnect ? "password" : false;
    client.neonConfig.disableWarningInBrowsers = true;
    if (newStream === undefined) this.#configureWebSocket(client);
    return client;
  }

  #configureWebSocket(client: NeonClient): void {
    const { wsProxy, webSocketConstructor } = this.#options;
    // The package's coalescing delays each message by a timer, and throws in that timer, where no caller can catch it.
    client.neonConfig.coalesceWrites = false;
    client.neonConfig.webSocketConstructor = webSocketConstructor;
    if (wsProxy !== undefined) {
      const { protocol, host, pathname } = new URL(wsProxy);
      client.neonConfig.useSecureWebSocket = protocol === "wss:";
      client.neonConfig.wsProxy = (name, port) => `${host}${pathname}?address=${name}:${port}`;
    }
  }
}
