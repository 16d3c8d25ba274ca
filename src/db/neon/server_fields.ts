/** The fields of the server's errors and notices, as this layer's own. */
import type { Notice } from "../driver/driver.ts";
import { ServerError } from "../errors.ts";
import { protocolError } from "./message_framing.ts";
import { readText } from "./text_reader.ts";

/** By the letter of the field: https://www.postgresql.org/docs/current/protocol-error-fields.html */
type ServerFields = ReadonlyMap<string, string>;

/** Reads an ErrorResponse or NoticeResponse. Throws an `Error` for one without an end. */
export function readFields(bytes: Uint8Array, start: number, end: number): ServerFields {
  const fields = new Map<string, string>();
  let at = start;
  // A field is one type byte, a text and a zero byte. A zero byte in place of a type ends the list.
  while (at < end && bytes[at] !== 0) {
    const zero = bytes.indexOf(0, at + 1);
    if (zero === -1 || zero >= end) break;
    fields.set(String.fromCharCode(bytes[at]!), readText(bytes, at + 1, zero));
    at = zero + 1;
  }
  if (at !== end - 1 || bytes[at] !== 0) {
    throw protocolError("it sent an error message without an end");
  }
  return fields;
}

/** A missing severity becomes ERROR, and a missing SQLSTATE XX000, internal_error. */
export function toServerError(fields: ServerFields): ServerError {
  return new ServerError({
    message: fields.get("M") ?? "the server gave no reason",
    // V is never translated. Servers before PostgreSQL 9.6 and some poolers send S only.
    severity: fields.get("V") ?? fields.get("S") ?? "ERROR",
    sqlState: fields.get("C") ?? "XX000",
    detail: fields.get("D"),
    hint: fields.get("H"),
    schema: fields.get("s"),
    table: fields.get("t"),
    column: fields.get("c"),
    constraint: fields.get("n"),
    dataType: fields.get("d"),
    position: fields.get("P"),
    internalQuery: fields.get("q"),
    internalPosition: fields.get("p"),
    where: fields.get("W"),
    routine: fields.get("R"),
  });
}

export function toNotice(fields: ServerFields): Notice {
  return {
    severity: fields.get("S"),
    message: fields.get("M"),
    code: fields.get("C"),
    detail: fields.get("D"),
    hint: fields.get("H"),
    where: fields.get("W"),
    routine: fields.get("R"),
  };
}
