/** What a handler has set on its context, outside the response that it returns. */

import type { Context } from "hono";
import type { StatusCode } from "hono/utils/http-status";

/** Remembers the status, the headers and the variables of `c`; the function given back restores them. */
export function captureResponseState(c: Context): () => void {
  // The context shows neither, but builds every response from both; asking for `c.res` instead would change how
  // later headers are merged.
  const before = c.body(null);
  const status = before.status as StatusCode;
  const variables = { ...c.var };
  return () => {
    for (const name of new Set(c.body(null).headers.keys())) c.header(name, undefined);
    for (const [name, value] of before.headers) c.header(name, value, { append: true });
    c.status(status);
    for (const name of Object.keys(c.var)) c.set(name, variables[name]);
  };
}
