/** Validates `DATABASE_WS_PROXY`. */

import * as v from "valibot";
import { preview } from "../value_message.ts";
import { text } from "./variable.ts";

/** Schema of a `ws://` or `wss://` URL without query and fragment: the driver appends the target as a query. */
export function relayUrl() {
  return v.pipe(
    text(),
    v.check(
      (value) => {
        const url = URL.parse(value);
        return /^wss?:\/\/[^\s?#@]+$/.test(value) && url !== null && url.port !== "0";
      },
      ({ input }) => {
        // The text before an @, or in a query, may contain a password, and the path of our relay is a secret.
        const current = /[@?]/.test(input) ? "is hidden" : preview(withoutPath(input));
        return "it must be a ws:// or wss:// URL without user, query and fragment: " +
          `current value ${current}; write it as ws://host:port/path`;
      },
    ),
  );
}

function withoutPath(url: string): string {
  return url.replace(/^((?:\s*[a-z]+:)?\/{0,2}[^/]*\/).+$/is, "$1…");
}
