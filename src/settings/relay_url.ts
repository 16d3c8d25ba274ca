/** Validates `DATABASE_WS_PROXY`. */

import * as v from "valibot";
import { isRelayUrl, RELAY_RULE } from "../library/relay_url.ts";
import { preview } from "../value_message.ts";
import { text } from "./variable.ts";

/** Schema of the URL of a WebSocket relay. */
export function relayUrl() {
  return v.pipe(
    text(),
    v.check(
      isRelayUrl,
      ({ input }) => {
        // The text before an @, or in a query, may contain a password, and the path of our relay is a secret.
        const current = /[@?]/.test(input) ? "is hidden" : preview(withoutPath(input));
        return `${RELAY_RULE}: current value ${current}; write it as ws://host:port/path`;
      },
    ),
  );
}

function withoutPath(url: string): string {
  return url.replace(/^((?:\s*[a-z]+:)?\/{0,2}[^/]*\/).+$/is, "$1…");
}
