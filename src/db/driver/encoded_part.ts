import type { FlightPart } from "./driver.ts";
import { encodeParameters } from "./parameters.ts";

/**
 * Checks a statement's text and converts its values to text, before a connection is leased for it. Throws `TypeError` for
 * a text or value that PostgreSQL cannot take.
 */
export function encodePart(part: FlightPart): FlightPart {
  if (!("text" in part) || part.isStatic || part.isEncoded) return part;
  const { text, values, portal, isInternal, flushesBefore } = part;
  if (text.includes("\0") || !text.isWellFormed()) {
    throw new TypeError(
      "Cannot send the statement as its text contains a NUL character or a lone surrogate; pass such data as bytea",
    );
  }
  return {
    text,
    values: encodeParameters(values),
    isEncoded: true,
    ...(portal === undefined ? {} : { portal }),
    ...(isInternal === undefined ? {} : { isInternal }),
    ...(flushesBefore === undefined ? {} : { flushesBefore }),
  };
}
