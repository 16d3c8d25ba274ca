/**
 * From JavaScript values to PostgreSQL's text format.
 *
 * Refuses before anything is sent what the server would refuse only after it had begun to read the message:
 * https://www.postgresql.org/docs/current/datatype-character.html (no NUL), and UTF-8 has no lone surrogates.
 */

import { jsonText, JsonValue } from "./json_value.ts";

/** The Bind message counts parameters in 16 bits. https://www.postgresql.org/docs/current/protocol-message-formats.html */
const MAX_PARAMETERS = 65_535;

/** Encodes a statement's values. Throws `TypeError` for a value that PostgreSQL cannot hold, and for too many values. */
export function encodeParameters(values: readonly unknown[]): (string | null)[] {
  if (values.length > MAX_PARAMETERS) {
    throw new TypeError(
      `Cannot send the statement as it has too many parameters: current count is ${values.length}, ` +
        `the limit is ${MAX_PARAMETERS}; pass an array and use unnest() instead`,
    );
  }
  return values.map((value, index) => {
    const encoded = encodeOrRefuse(value, index);
    if (encoded !== null) assertText(encoded, index);
    return encoded;
  });
}

/** A `toJSON` may throw anything, and a cycle throws a RangeError. Nothing has been sent by then. */
function encodeOrRefuse(value: unknown, index: number): string | null {
  try {
    return encode(value, index);
  } catch (cause) {
    if (cause instanceof TypeError) throw cause;
    throw new TypeError(
      `Cannot send parameter $${index + 1} as its conversion to text failed; see the cause`,
      { cause },
    );
  }
}

const WAYS_OUT: Readonly<Record<string, string>> = {
  undefined: "pass null for an absent value",
  function: "call it, and pass what it returns",
  symbol: "pass its description",
};

function encode(value: unknown, index: number): string | null {
  switch (typeof value) {
    case "string":
      return value;
    case "number":
      return Object.is(value, -0) ? "-0" : String(value);
    case "bigint":
    case "boolean":
      return String(value);
    case "object":
      return encodeObject(value, index);
    default:
      throw new TypeError(
        `Cannot send parameter $${index + 1} as its type has no PostgreSQL form: current type is ` +
          `${typeof value}; ${WAYS_OUT[typeof value]}`,
      );
  }
}

function encodeObject(value: object | null, index: number): string | null {
  if (value === null) return null;
  if (Array.isArray(value)) return encodeArray(value, index);
  if (value instanceof Date) {
    if (Number.isNaN(value.getTime())) {
      throw new TypeError(
        `Cannot send parameter $${index + 1} as it is an invalid Date; pass a valid one, or null`,
      );
    }
    return timestamp(value);
  }
  const bytes = bytesOf(value);
  if (bytes !== undefined) return `\\x${hex(bytes)}`;
  if (value instanceof JsonValue) return value.text;
  const text = jsonText(
    value,
    (noValue) => `Cannot send parameter $${index + 1} as it has no PostgreSQL form: ${noValue}`,
  );
  if (text !== undefined) return text;
  throw new TypeError(
    `Cannot send parameter $${index + 1} as its toJSON method returned no JSON value; ` +
      "return null for an absent value",
  );
}

/** ISO 8601, with PostgreSQL's `BC` for years before 1, of which ISO 8601 calls the first one 0. */
function timestamp(date: Date): string {
  const year = date.getUTCFullYear();
  if (year > 0) return date.toISOString().replace(/^\+0*/, "");
  const text = date.toISOString();
  const rest = text.slice(text.indexOf("-", 1));
  return `${String(1 - year).padStart(4, "0")}${rest} BC`;
}

/** https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
function encodeArray(items: readonly unknown[], index: number): string {
  let list = "";
  // Unlike `map`, this does not leave out holes.
  for (let at = 0; at < items.length; at++) {
    if (at > 0) list += ",";
    const item = items[at];
    list += Array.isArray(item) ? encodeArray(item, index) : encodeItem(item, index);
  }
  return `{${list}}`;
}

function encodeItem(item: unknown, index: number): string {
  const text = encode(item, index);
  if (text === null) return "NULL";
  // Where there is nothing to replace, `replace` takes longer than `test`.
  return `"${/["\\]/.test(text) ? text.replace(/["\\]/g, "\\$&") : text}"`;
}

function bytesOf(value: object): Uint8Array | undefined {
  if (value instanceof Uint8Array) return value;
  if (value instanceof ArrayBuffer) return new Uint8Array(value);
  if (!ArrayBuffer.isView(value)) return undefined;
  return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

function hex(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += HEX[byte];
  return text;
}

function assertText(text: string, index: number): void {
  const reason = text.includes("\0")
    ? "it contains a NUL character"
    : !text.isWellFormed()
    ? "it contains a lone surrogate, which UTF-8 cannot express"
    : undefined;
  if (reason !== undefined) {
    throw new TypeError(`Cannot send parameter $${index + 1} as ${reason}; remove the character`);
  }
}
