import type { Close, Fetch, Portal, Result, Statement } from "../driver/driver.ts";

export interface StreamRowsOptions {
  readonly portal: Portal;
  run(part: Statement | Fetch): Promise<Result>;
  /** Ends the portal, whenever that costs nothing. */
  close(part: Close): void;
}

/** Gives a statement's rows one by one, and asks for as many as `maxRows` when it has no more. */
export async function* streamRows<Row>(
  { text, values }: Statement,
  { portal, run, close }: StreamRowsOptions,
): AsyncGenerator<Row, void, void> {
  let result = await run({ text, values, portal });
  try {
    // `yield*` would take twice the turns of the microtask queue for each row.
    for (const row of result.rows) yield row as Row;
    while (result.isSuspended) {
      result = await run({ fetch: portal });
      for (const row of result.rows) yield row as Row;
    }
  } finally {
    // One that has come to its end still holds what it was run with.
    close({ close: portal });
  }
}
