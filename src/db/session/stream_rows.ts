import type { Close, Fetch, Portal, Result, Statement } from "../driver/driver.ts";
import type { ExecuteOptions } from "./session_options.ts";

export interface StreamRowsOptions extends ExecuteOptions {
  readonly portal: Portal;
  /** Runs one part in a flight and returns its result. */
  run(part: Statement | Fetch): Promise<Result>;
  /** Closes the portal with the next flight, without a round trip of its own. */
  close(part: Close): void;
}

/** Yields a statement's rows one by one. Fetches the next `maxRows` rows when all fetched ones are used. */
export async function* streamRows<Row>(
  { text, values, ...statement }: Statement,
  { portal, run, close, ...rowOptions }: StreamRowsOptions,
): AsyncGenerator<Row, void, void> {
  const prepare = rowOptions.prepare ?? statement.prepare;
  let result = await run({ ...rowOptions, text, values, prepare, portal });
  try {
    // `yield*` would take twice as many microtasks for each row.
    for (const row of result.rows) yield row as Row;
    while (result.isSuspended) {
      result = await run({ fetch: portal, statementText: text, ...rowOptions });
      for (const row of result.rows) yield row as Row;
    }
  } finally {
    // Even a portal that has returned all rows holds its resources on the server until it is closed.
    close({ close: portal });
  }
}
