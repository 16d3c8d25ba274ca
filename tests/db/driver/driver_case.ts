import type { Connection, Driver, Statement } from "../../../src/db/driver/driver.ts";

/** A driver under test, and the faults that a case can inject. */
export interface DriverHost {
  readonly driver: Driver;
  /** The server terminates the connection with a FATAL message. */
  cut(connection: Connection): Promise<void>;
  /** The other side closes the socket without a message from the server. Resolves when that side is shut. */
  hangUp(connection: Connection): Promise<void>;
  /** Closes the newest connection's socket on this side, without the driver's knowledge. */
  closeSocket(): void;
}

export interface DriverCase {
  readonly name: string;
  run(host: DriverHost): Promise<void>;
}

export const selectOne = statement("select 1 as one");

export function statement(text: string, ...values: unknown[]): Statement {
  return { text, values };
}

/** A case on a new connection, which is closed at its end. */
export function withConnection(
  name: string,
  run: (connection: Connection, host: DriverHost) => Promise<void>,
): DriverCase {
  return {
    name,
    async run(host) {
      const connection = await host.driver.connect({ timeoutMs: 5_000 });
      try {
        await run(connection, host);
      } finally {
        await connection.close({ timeoutMs: 5_000 });
      }
    },
  };
}
