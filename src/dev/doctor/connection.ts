/** A connection of the doctor: the driver's own, so that a pooler in between is seen as the service would see it. */
import type { Connection } from "../../db/mod.ts";
import { createDriver } from "../../library/create_driver.ts";
import { denoSockets } from "../../library/deno/sockets.ts";
import type { Settings } from "../../settings/settings.ts";

const CLOSE_TIMEOUT_MS = 1_000;
const STATEMENT_TIMEOUT_MS = 10_000;

export type Row = Readonly<Record<string, unknown>>;

export class DoctorConnection implements AsyncDisposable {
  readonly #connection: Connection;

  private constructor(connection: Connection) {
    this.#connection = connection;
  }

  /** Connects and logs in. Throws `ConnectError`, whose cause is a `ServerError` if the server refused the login. */
  static async open({ database }: Pick<Settings, "database">): Promise<DoctorConnection> {
    const driver = createDriver(database, denoSockets, {
      applicationName: "user-service-doctor",
    });
    const connection = await driver.connect({ timeoutMs: database.connectTimeoutMs });
    await connection.ready;
    return new DoctorConnection(connection);
  }

  /** The process id that the login has told. */
  get processId(): number | undefined {
    return this.#connection.processId;
  }

  /** Runs one statement and returns its rows. Throws the server's error, or `ConnectionLostError` after `timeoutMs`. */
  async ask(
    text: string,
    { timeoutMs = STATEMENT_TIMEOUT_MS }: { timeoutMs?: number } = {},
  ): Promise<readonly Row[]> {
    const timer = setTimeout(() => this.#connection.close({ timeoutMs: 0 }), timeoutMs);
    try {
      const { results, error } = await this.#connection.flight([{ text, values: [] }]);
      if (error !== undefined) throw error;
      return results[0]?.rows ?? [];
    } finally {
      clearTimeout(timer);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#connection.close({ timeoutMs: CLOSE_TIMEOUT_MS });
  }
}
