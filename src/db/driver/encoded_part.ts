import type { FlightPart } from "./driver.ts";
import { encodeParameters } from "./parameters.ts";
import { codeOf } from "./sql_text.ts";

/**
 * Checks a statement's text and converts its values to text, before a connection is leased for it. Throws `TypeError` for
 * a text or value that PostgreSQL cannot take.
 */
export function encodePart(part: FlightPart): FlightPart {
  if (!("text" in part) || part.isStatic || part.isEncoded) return part;
  const { text, values } = part;
  if (text.includes("\0") || !text.isWellFormed()) {
    throw new TypeError(
      "Cannot send the statement as its text contains a NUL character or a lone surrogate; pass such data as bytea",
    );
  }
  assertNoArrayInList(text, values);
  const { portal, rowMode, parsers, isInternal, prepare, flushesBefore } = part;
  return {
    text,
    values: encodeParameters(values),
    isEncoded: true,
    portal,
    rowMode,
    parsers,
    isInternal,
    prepare,
    flushesBefore,
  };
}

/** The values of an IN list. What stands in further parentheses, such as a call's arguments, is not among them. */
const IN_LIST = /\bin\s*(?:\(((?:[^()]|\([^()]*\))*)\)|(\$\d+))/g;

/**
 * The server would compare with the whole array as one value: it refuses that for numbers, and for texts it finds nothing.
 * With a cast the author says that an array is meant.
 */
function assertNoArrayInList(text: string, values: readonly unknown[]): void {
  if (!values.some((value) => Array.isArray(value)) || !/\bin\b/i.test(text)) return;
  for (const [, list, alone] of codeOf(text).matchAll(IN_LIST)) {
    for (const item of (list ?? alone!).replaceAll(/\([^()]*\)/g, "()").split(",")) {
      const number = /^\s*\$(\d+)\s*$/.exec(item)?.[1];
      if (number === undefined || !Array.isArray(values[Number(number) - 1])) continue;
      throw new TypeError(
        `Cannot send parameter $${number} as it is an array in an IN list, which takes it for one value; ` +
          "write = any(${array}), <> all(${array}) for NOT IN, or add a cast if the column holds arrays",
      );
    }
  }
}
