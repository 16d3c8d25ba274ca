/** Validates `CORS_ORIGINS`. */

import * as v from "valibot";
import { rejection } from "../value_message.ts";
import { text } from "./variable.ts";

/** Schema of origins as browsers send them, with commas between them; or `*` alone. The output is a list. */
export function origins() {
  return v.pipe(
    text(),
    v.check(
      (value) => value === "*" || listOf(value).every(isOrigin),
      rejection(
        "each of its parts must be an origin, or the whole must be *",
        "write scheme://host or scheme://host:port as browsers do, in lower case and without a " +
          "path, and a comma between two",
      ),
    ),
    v.transform(listOf),
  );
}

function listOf(value: string): string[] {
  return value.split(",").map((part) => part.trim());
}

/**
 * An origin that is not written as browsers do would never match, and neither would a pattern.
 * https://url.spec.whatwg.org/#concept-url-origin
 */
function isOrigin(value: string): boolean {
  const origin = URL.parse(value)?.origin;
  return origin !== "null" && origin === value && !value.includes("*");
}
