import type { Connection, Driver, Statement } from "../../../src/db/driver/driver.ts";

/** One way of having a driver, for one case. */
export interface DriverHost {
  readonly driver: Driver;
  /** The server ends the connection, and says so. */
  cut(connection: Connection): Promise<void>;
  /** The other side closes the socket, and the server says nothing. Resolves when it is shut there. */
  hangUp(connection: Connection): Promise<void>;
  /** Closes the newest connection's socket on this side, beneath the driver. */
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

/** A case on a fresh connection. */
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
