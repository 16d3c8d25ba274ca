/**
 * From JavaScript values to PostgreSQL's text format.
 *
 * Refuses before anything is sent what the server would refuse only after it had begun to read the message:
 * https://www.postgresql.org/docs/current/datatype-character.html (no NUL), and UTF-8 has no lone surrogates.
 */

import { JsonValue } from "./json_value.ts";

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
          `${typeof value}; pass null for an absent value`,
      );
  }
}

function encodeObject(value: object | null, index: number): string | null {
  if (value === null) return null;
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
  if (Array.isArray(value)) return encodeArray(value, index);
  if (value instanceof JsonValue) return value.text;
  if (!hasJsonForm(value)) throw noValueError(value, index);
  return JSON.stringify(value) ?? null;
}

/** Plain objects, also of another realm, and objects that define their own JSON. JSON.stringify makes `{}` of others. */
function hasJsonForm(value: object): boolean {
  if (typeof (value as { toJSON?: unknown }).toJSON === "function") return true;
  const prototype = Object.getPrototypeOf(value);
  return prototype === null || Object.getPrototypeOf(prototype) === null;
}

const WAYS_OUT: Readonly<Record<string, string>> = {
  Promise: "await it first",
  Map: "pass Object.fromEntries(map)",
  Set: "pass [...set]",
  Sql: "put it into the template itself, not into a value",
  String: "pass the primitive",
  Number: "pass the primitive",
  Boolean: "pass the primitive",
  BigInt: "pass the primitive",
};

function noValueError(value: object, index: number): TypeError {
  const kind = kindOf(value);
  const wayOut = WAYS_OUT[kind] ?? "pass a plain object, or give its class a toJSON method";
  return new TypeError(
    `Cannot send parameter $${
      index + 1
    } as it has no PostgreSQL form: current type is ${kind}; ${wayOut}`,
  );
}

function kindOf(value: object): string {
  if (value instanceof Promise) return "Promise";
  const { constructor } = Object.getPrototypeOf(value) as { constructor?: unknown };
  return typeof constructor === "function" && constructor.name !== "" ? constructor.name : "object";
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
  const parts = items.map((item) => {
    if (Array.isArray(item)) return encodeArray(item, index);
    const text = encode(item, index);
    return text === null ? "NULL" : `"${text.replace(/["\\]/g, "\\$&")}"`;
  });
  return `{${parts.join(",")}}`;
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
