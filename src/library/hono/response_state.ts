/** The status, headers and variables that a handler sets on its context, outside the response that it returns. */

import type { Context } from "hono";
import type { StatusCode } from "hono/utils/http-status";

/** Saves the status, headers and variables of `c`. The returned function restores them. */
export function captureResponseState(c: Context): () => void {
  // The context has no getter for its status and headers, but builds every response from them. Reading `c.res`
  // instead would change how Hono merges headers that are set later.
  const before = c.body(null);
  const status = before.status as StatusCode;
  // Not the response itself, which a request that waits would keep.
  const { headers } = before;
  const variables: Record<string, unknown> = c.var;
  return () => {
    for (const name of new Set(c.body(null).headers.keys())) c.header(name, undefined);
    for (const [name, value] of headers) c.header(name, value, { append: true });
    c.status(status);
    for (const name of Object.keys(c.var)) c.set(name, variables[name]);
  };
}
