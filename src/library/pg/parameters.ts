/**
 * Values as node-postgres sends them (`pg/lib/utils.js`). It differs from this layer's own in three ways: a Date is local
 * time, which counts for `timestamp` and `date` columns; `undefined` is NULL; an object may have a `toPostgres` method.
 */

/** Throws `TypeError` for an object whose `toPostgres` leads back to itself, and what `toPostgres` and `toJSON` throw. */
export function toParameter(value: unknown): string | null {
  return prepare(value, []);
}

function prepare(value: unknown, seen: readonly object[]): string | null {
  if (value === null || value === undefined) return null;
  if (typeof value !== "object") return String(value);
  if (ArrayBuffer.isView(value)) return `\\x${hexOf(value)}`;
  if (value instanceof Date) return localTimeOf(value);
  if (Array.isArray(value)) return arrayOf(value);
  if (!hasToPostgres(value)) return JSON.stringify(value) ?? null;
  if (seen.includes(value)) {
    throw new TypeError(
      "Cannot send the value as its toPostgres() returns the value itself; return what PostgreSQL is to get",
    );
  }
  return prepare(value.toPostgres(toParameter), [...seen, value]);
}

interface Convertible {
  toPostgres(prepareValue: (value: unknown) => string | null): unknown;
}

function hasToPostgres(value: object): value is Convertible {
  return typeof (value as Partial<Convertible>).toPostgres === "function";
}

/** https://www.postgresql.org/docs/current/arrays.html#ARRAYS-IO */
function arrayOf(items: readonly unknown[]): string {
  // Unlike `map`, `Array.from` does not leave out holes.
  const parts = Array.from(items, (item) => {
    if (Array.isArray(item)) return arrayOf(item);
    const text = toParameter(item);
    return text === null ? "NULL" : `"${text.replace(/["\\]/g, "\\$&")}"`;
  });
  return `{${parts.join(",")}}`;
}

function hexOf({ buffer, byteOffset, byteLength }: ArrayBufferView): string {
  const bytes = new Uint8Array(buffer, byteOffset, byteLength);
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("");
}

function localTimeOf(date: Date): string {
  const offset = -date.getTimezoneOffset();
  const year = date.getFullYear();
  const day = [year < 1 ? 1 - year : year, date.getMonth() + 1, date.getDate()];
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const zone = [Math.floor(Math.abs(offset) / 60), Math.abs(offset) % 60];
  return `${digits(day[0]!, 4)}-${digits(day[1]!)}-${digits(day[2]!)}T` +
    `${time.map((part) => digits(part)).join(":")}.${digits(date.getMilliseconds(), 3)}` +
    `${offset < 0 ? "-" : "+"}${zone.map((part) => digits(part)).join(":")}${
      year < 1 ? " BC" : ""
    }`;
}

function digits(value: number, length = 2): string {
  return String(value).padStart(length, "0");
}
